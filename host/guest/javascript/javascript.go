// Package javascript runs JavaScript plugins: programs for the engine that package quickjs keeps, on an instance of that
// module.
//
// An instance is booted once (Program.Boot): the engine starts and evaluates the program. What that leaves in linear memory is
// the plugin, ready to be copied: Program.Call works on any instance whose memory and globals are those after Boot, in this
// process or another, and everything that a call changes is undone by putting them back. Boot is deterministic as long as the
// clock and the randomness that the instance gets are.
//
// The package knows how to talk with the engine, and neither how instances are made, restored or stopped, nor what a
// capability does: that is the Host, found in the context of the call. Of wazero it needs the api alone.
//
// Programs are hostile, and so is the memory of their instance: every number that comes out of it is checked, the engine is
// entered from a host function for work that runs no JavaScript only, and what the Host is handed is as long as the
// guest's memory at most. Programs are safe for concurrent use, Instances are not.
package javascript

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/frigg-host/frigg-host/host/guest/javascript/quickjs"
)

// Host is what the program of a running call may reach. The context that Boot and Call are given must be one, and reach the
// host functions unwrapped. Bytes handed to a method are the guest's memory: they are gone when the method returns,
// may be as many as that memory has, and are UTF-8 only if the program's strings have no lone surrogates.
//
// A method may panic to end the guest; Boot and Call return an error that wraps what it panicked with, if that was an error.
type Host interface {
	context.Context
	// Instance is the instance that runs.
	Instance() *Instance
	// Input is what the export is called with, JSON in UTF-8.
	Input() []byte
	// SetOutput takes the Answer of the export, JSON in UTF-8.
	SetOutput(answer []byte)
	// Capability serves a function of frigg:host/<capability>; the answer is an Answer in JSON. It is not called during Boot.
	Capability(capability, function string, request []byte) (answer []byte)
	// Log writes a line of the program.
	Log(level Level, line []byte)
	// Random fills b with unpredictable bytes; during Boot they should be the same every time.
	Random(b []byte)
}

// Level of a log line.
type Level int

// Levels, by methods of console.
const (
	Debug Level = iota // debug, trace
	Info               // log, info
	Warn
	Error
)

// Exception is a failure of the program that it did not handle.
type Exception struct {
	Message string // for people, for example "TypeError: x is not a function"; at most 4 KiB
	Stack   string // functions and lines of the author's files, innermost first; may be empty
}

// Error is the message and the stack.
func (e *Exception) Error() string {
	if e.Stack == "" {
		return e.Message
	}
	return e.Message + "\n" + e.Stack
}

// ErrCorrupt means that the engine's memory is not as the engine leaves it.
var ErrCorrupt = errors.New("the memory of the JavaScript engine is corrupt")

// Program is what a plugin does.
type Program struct {
	quickjs.Program

	places func() *locations
}

// located returns an exception with the places of the author's files, which the engine does not know.
func (p *Program) located(err error) error {
	var e *Exception
	if !errors.As(err, &e) || e.Stack == "" {
		return err
	}
	stack := p.places().in(e.Stack)
	return &Exception{e.Message, stack[:min(len(stack), maxStack)]}
}

// Engine is the module that all programs run on. Nobody may change it.
func Engine() []byte { return quickjs.Engine() }

// Source returns the program of a module, false if it is no JavaScript plugin. It fails for sections that are malformed or on a
// module that is not the engine.
func Source(module []byte) (*Program, bool, error) {
	p, err := quickjs.Read(module)
	if p == nil || err != nil {
		return nil, false, err
	}
	return &Program{*p, sync.OnceValue(func() *locations { return readMap(p.Map) })}, true, nil
}

// Call runs an export to its end: until its promise is settled and no job is left. The instance must be as Boot left it. The
// answer goes to the Host; a FriggError that the export throws is an answer, too. All else that the program throws, a promise
// that nobody handles, and one that never settles are an *Exception. Other errors are those of api.Function.
func (p *Program) Call(ctx context.Context, in *Instance, export string) error {
	i, ok := slices.BinarySearch(p.Exports, export)
	if !ok {
		return fmt.Errorf("the program does not export %q", export)
	}
	in.begin()
	if err := in.find(ctx); err != nil {
		return err
	}
	run, ok := in.word(in.root + rootRuns + uint32(i)*wordBytes)
	if !ok {
		return ErrCorrupt
	}
	if _, err := in.invoke(ctx, run); err != nil {
		return err
	}
	if err := in.finish(ctx); err != nil {
		return err
	}
	switch {
	case in.thrown != nil:
		return p.located(in.thrown)
	case !in.settled:
		return &Exception{Message: "the promise of " + export + " never settles: it waits for something, and nothing is left that could happen; only capabilities can be waited for"}
	}
	return nil
}
