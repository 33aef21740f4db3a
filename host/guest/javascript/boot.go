package javascript

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
)

// prelude is a function that takes the doors and returns what Boot needs.
//
//go:embed prelude.js
var prelude []byte

// What Boot leaves for Call is a block in the guest's memory, which the engine keeps as the opaque pointer of its context. All
// numbers are words in the byte order of the machine; values are handles, which stay where they are.
const (
	rootMagic     = 0  // magic
	rootUndefined = 4  // value: undefined
	rootExplain   = 8  // value: function that explains an exception; 0 is not there yet
	rootScratch   = 12 // four words for results of the engine
	rootArgv      = 28 // arguments of a call
	rootRuns      = rootArgv + maxArgv*wordBytes
	maxArgv       = 16

	magic = 'f' | 'r'<<8 | 'g'<<16 | 'g'<<24
)

// Flags of the engine's eval.
const (
	evalScript = 0
	evalModule = 1
)

// Boot starts the engine on a fresh instance, whose _initialize has run, and evaluates the program. Failures of the program are
// an *Exception.
func (p *Program) Boot(ctx context.Context, in *Instance) error {
	return p.located(p.boot(ctx, in))
}

func (p *Program) boot(ctx context.Context, in *Instance) error {
	in.begin()
	in.booting = true
	defer func() { in.booting = false }()
	if err := in.start(ctx, len(p.Exports)); err != nil {
		return err
	}
	host, err := in.prepare(ctx)
	if err != nil {
		return err
	}
	namespace, err := in.evaluate(ctx, p.Source)
	if err != nil {
		return err
	}
	for i, name := range p.Exports {
		run, err := in.link(ctx, host, namespace, name)
		if err != nil {
			return err
		}
		if !in.setWord(in.root+rootRuns+uint32(i)*wordBytes, run) {
			return ErrCorrupt
		}
	}
	if _, err = in.call(ctx, fnRunGC); err != nil {
		return err
	}
	return in.reserve(ctx)
}

// spareBytes are ready in the heap after Boot: most calls need less, and so do not grow the memory, each anew.
const spareBytes = 1 << 20

// reserve makes the engine's heap so large. Memory that it has not touched costs an image nothing.
func (in *Instance) reserve(ctx context.Context) error {
	at, err := in.call(ctx, fnMalloc, spareBytes)
	if err != nil {
		return err
	}
	_, err = in.call(ctx, fnFree, at) // free takes the null pointer, too
	return err
}

// start starts the engine and makes the root.
func (in *Instance) start(ctx context.Context, exports int) error {
	failed, err := in.call(ctx, fnInit)
	if err != nil {
		return err
	}
	if uint32(failed) != 0 {
		return errors.New("the JavaScript engine does not start")
	}
	if _, err := in.call(ctx, fnSetRejectionHandler, 1); err != nil {
		return err
	}
	root, err := in.place(ctx, make([]byte, rootRuns+exports*wordBytes))
	if err != nil {
		return err
	}
	undefined, err := in.call(ctx, fnUndefined)
	if err != nil {
		return err
	}
	in.root = root
	if !in.setWord(root+rootMagic, magic) || !in.setWord(root+rootUndefined, uint32(undefined)) {
		return ErrCorrupt
	}
	c, err := in.call(ctx, fnContext)
	if err != nil {
		return err
	}
	_, err = in.call(ctx, fnSetOpaque, c, uint64(root))
	return err
}

// find looks up the root on an instance that was booted elsewhere.
func (in *Instance) find(ctx context.Context) error {
	if in.root != 0 {
		return nil
	}
	c, err := in.call(ctx, fnContext)
	if err != nil {
		return err
	}
	root, err := in.call(ctx, fnOpaque, c)
	if err != nil {
		return err
	}
	if word, ok := in.word(uint32(root) + rootMagic); !ok || word != magic {
		return errors.New("the instance has not been booted")
	}
	in.root = uint32(root)
	return nil
}

// prepare runs the prelude. Its result has what the host needs as properties.
func (in *Instance) prepare(ctx context.Context) (host uint32, err error) {
	f, err := in.eval(ctx, prelude, "frigg.js", evalScript)
	if err != nil {
		return 0, err
	}
	var functions []uint32
	for _, d := range doors {
		name, err := in.place(ctx, []byte(d.name))
		if err != nil {
			return 0, err
		}
		v, err := in.call(ctx, fnNewHostFunction, uint64(name), uint64(len(d.name)), 0)
		if err != nil {
			return 0, err
		}
		functions = append(functions, uint32(v))
	}
	host, err = in.invoke(ctx, f, functions...)
	if err != nil {
		return 0, err
	}
	explain, err := in.property(ctx, host, "explain")
	if err != nil {
		return 0, err
	}
	if !in.setWord(in.root+rootExplain, explain) {
		return 0, ErrCorrupt
	}
	return host, in.failure()
}

// failure is what the program has thrown so far.
func (in *Instance) failure() error {
	if in.thrown == nil {
		return nil
	}
	return in.thrown
}

// eval evaluates a source.
func (in *Instance) eval(ctx context.Context, source []byte, name string, flags uint64) (uint32, error) {
	text, err := in.place(ctx, source)
	if err != nil {
		return 0, err
	}
	file, err := in.place(ctx, []byte(name))
	if err != nil {
		return 0, err
	}
	v, err := in.call(ctx, fnEval, uint64(text), uint64(len(source)), uint64(file), flags)
	if err != nil {
		return 0, err
	}
	for _, at := range []uint32{text, file} {
		if _, err := in.call(ctx, fnFree, uint64(at)); err != nil {
			return 0, err
		}
	}
	value, err := in.value(ctx, uint32(v))
	if err != nil {
		return 0, err
	}
	return value, in.failure()
}

// States of a promise.
const (
	pending = iota
	fulfilled
)

// evaluate runs the program's top level. The result is its namespace.
func (in *Instance) evaluate(ctx context.Context, source string) (uint32, error) {
	promise, err := in.eval(ctx, []byte(source), "plugin.js", evalModule)
	if err != nil {
		return 0, err
	}
	if err := in.finish(ctx); err != nil {
		return 0, err
	}
	if err := in.failure(); err != nil {
		return 0, err
	}
	state, err := in.call(ctx, fnPromiseState, uint64(promise))
	if err != nil {
		return 0, err
	}
	if int32(uint32(state)) != fulfilled {
		return 0, &Exception{Message: "an await at the top level of the program never settles"}
	}
	v, err := in.call(ctx, fnPromiseResult, uint64(promise))
	return uint32(v), err
}

// link makes the function that runs an export.
func (in *Instance) link(ctx context.Context, host, namespace uint32, name string) (uint32, error) {
	linker, err := in.property(ctx, host, "link")
	if err != nil {
		return 0, err
	}
	text, err := in.newString(ctx, []byte(name))
	if err != nil {
		return 0, err
	}
	run, err := in.invoke(ctx, linker, namespace, text)
	if err != nil {
		return 0, err
	}
	return run, in.failure()
}

func (in *Instance) property(ctx context.Context, object uint32, name string) (uint32, error) {
	at, err := in.place(ctx, []byte(name))
	if err != nil {
		return 0, err
	}
	v, err := in.call(ctx, fnGetProperty, uint64(object), uint64(at))
	if err != nil {
		return 0, err
	}
	if uint32(v) == 0 {
		return 0, fmt.Errorf("the prelude has no %s", name)
	}
	_, err = in.call(ctx, fnFree, uint64(at))
	return uint32(v), err
}
