package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// Runtime runs plugins: it keeps one compiled module for each digest and speaks the contract with its guests. The calls
// that run at once fit into a budget of memory; one plugin has at most half of it.
type Runtime struct {
	engine Engine
	source Source
	log    *slog.Logger
	budget *budget

	mu    sync.Mutex
	slots map[plugin.Digest]*slot
}

// Source finds the bytes of a version that was not loaded before it is called.
type Source func(plugin.Digest) ([]byte, error)

var (
	_ plugin.Caller = (*Runtime)(nil)
	_ plugin.Loader = (*Runtime)(nil)
)

// RuntimeConfig of a Runtime. Source is required.
type RuntimeConfig struct {
	Source Source
	// MemoryBudget bounds the bytes that all calls together may take. A call counts with the limits of its linear memory
	// and its Extism blocks, 192 MiB by default, whatever it really uses; what a guest calls through a capability does not
	// count. Zero is a quarter of the machine's memory, at least 1 GiB.
	MemoryBudget uint64
	// Log has a line at debug level for each call: what it took. Nil discards it.
	Log *slog.Logger
}

// NewRuntime returns a Runtime on an engine, which stays the caller's to close.
func NewRuntime(engine Engine, c RuntimeConfig) *Runtime {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Runtime{engine: engine, source: c.Source, log: c.Log, budget: newBudget(or(c.MemoryBudget, defaultBudget())), slots: map[plugin.Digest]*slot{}}
}

// slot is a module that is compiled or being compiled. After done is closed it does not change.
type slot struct {
	done   chan struct{}
	module Module
	err    error
}

// Load compiles a module, unless that has been done.
func (r *Runtime) Load(ctx context.Context, p *plugin.Plugin, module []byte) error {
	_, err := r.module(ctx, p.Digest, func(plugin.Digest) ([]byte, error) { return module, nil })
	return err
}

// Unload forgets a module and frees it when its running calls have finished, without waiting for them.
func (r *Runtime) Unload(ctx context.Context, d plugin.Digest) {
	r.mu.Lock()
	s := r.slots[d]
	delete(r.slots, d)
	r.mu.Unlock()
	if s == nil {
		return
	}
	ended, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cancel()
	go func() {
		<-s.done
		if s.module != nil {
			_ = s.module.Close(ended) // which says only that calls are still running
		}
	}()
}

// Imports are the host functions of the contract, for Config.Imports.
func Imports() []Import {
	imports := make([]Import, len(abi.Functions))
	for i, f := range abi.Functions {
		imports[i] = Import{Module: abi.ModulePrefix + f.Capability, Name: f.Name}
	}
	return imports
}

// module returns the module of a digest. The first caller has it compiled, all wait for that; a caller who leaves does
// not end it for the others.
func (r *Runtime) module(ctx context.Context, d plugin.Digest, source Source) (Module, error) {
	r.mu.Lock()
	s := r.slots[d]
	if s == nil {
		s = &slot{done: make(chan struct{})}
		r.slots[d] = s
		go r.compile(context.WithoutCancel(ctx), d, s, source)
	}
	r.mu.Unlock()
	select {
	case <-s.done:
		return s.module, s.err
	case <-ctx.Done():
		return nil, fault.Wrap(ctx.Err(), fault.Canceled, "guest.Load", "the caller left")
	}
}

// compile fills a slot. A failure that may pass is forgotten, so that the next call tries again.
func (r *Runtime) compile(ctx context.Context, d plugin.Digest, s *slot, source Source) {
	defer close(s.done)
	module, err := source(d)
	if err == nil {
		s.module, s.err = r.engine.Compile(ctx, module)
	} else {
		s.err = fault.Wrap(err, fault.Internal, "guest.Load", "the module cannot be read")
	}
	if s.err == nil || fault.Is(s.err, fault.Invalid) || fault.Is(s.err, fault.Unsupported) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.slots[d] == s {
		delete(r.slots, d)
	}
}

// Call runs an export in a clean instance and takes the value out of its Answer. When too many guests run it waits, at
// most for half of the call's timeout, and then fails with fault.RateLimited on side Host (ReasonBusy). A call that a
// guest causes through a capability does not wait: its caller holds what it would wait for.
func (r *Runtime) Call(ctx context.Context, c plugin.Call) (json.RawMessage, error) {
	p := c.Plugin
	if p.State == plugin.NeedsApproval {
		return nil, fault.New(fault.Forbidden, "guest.Call", "plugin %s %s", p.Name, p.Problem).On(fault.Host)
	}
	call := Call{Plugin: p.Name, Export: c.Export, Input: c.Input, Limits: limitsOf(c), Host: hostOf(c), Log: logOf(c)}
	if j := c.Journal; j != nil {
		call.Seed, call.Now = j.Seed(), j.Now
		call.Sleep = func(ctx context.Context, d time.Duration) {
			if err := j.Sleep(ctx, d); err != nil {
				End(err)
			}
		}
	}
	result, err := r.call(ctx, p.Digest, call)
	r.report(ctx, c, result, err)
	if c.Journal != nil {
		c.Journal.Ended(result.Output, result.Fuel, result.MemoryBytes)
	}
	if err != nil {
		return nil, err
	}
	value, refusal, err := openAnswer(result.Output)
	switch {
	case err != nil:
		return nil, &fault.Error{
			Kind: fault.Internal, Side: fault.Guest, Op: "guest.Call",
			Msg: fmt.Sprintf("guest %s: %s answered something else than an Answer: %v", p.Name, c.Export, err),
		}
	case refusal != nil:
		return nil, plugin.ErrorOf("guest.Call", p.Name, *refusal)
	}
	return value, nil
}

// hostOf answers a guest's host functions by what the call may reach, through its journal if it has one.
func hostOf(c plugin.Call) HostFunc {
	return func(ctx context.Context, im Import, request []byte) []byte {
		capability := strings.TrimPrefix(im.Module, abi.ModulePrefix)
		serve := func(ctx context.Context) []byte { return c.Can.Serve(deeper(ctx), capability, im.Name, request) }
		if c.Journal == nil {
			return serve(ctx)
		}
		answer, err := c.Journal.Serve(ctx, capability, im.Name, request, serve)
		if err != nil {
			End(err)
		}
		return answer
	}
}

// report logs what a call took.
func (r *Runtime) report(ctx context.Context, c plugin.Call, took Result, err error) {
	if !r.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	r.log.DebugContext(ctx, "guest called", "plugin", c.Plugin.Name, "export", c.Export, "fuel", took.Fuel, "duration", took.Duration,
		"memory", took.MemoryBytes, "host_calls", took.HostCalls, "reason", ReasonOf(err))
}

// call runs a module. One that was unloaded since it was found is loaded again, once.
func (r *Runtime) call(ctx context.Context, d plugin.Digest, c Call) (Result, error) {
	for again := true; ; again = false {
		m, err := r.module(ctx, d, r.source)
		if err != nil {
			return Result{}, err
		}
		result, err := r.run(ctx, m, c)
		if !again || ReasonOf(err) != ReasonClosed {
			return result, err
		}
	}
}

// run runs a call when there is memory for it.
func (r *Runtime) run(ctx context.Context, m Module, c Call) (Result, error) {
	switch n := depth(ctx); {
	case n > maxDepth:
		return Result{}, (&stop{reason: ReasonDepth, text: fmt.Sprintf("guests call each other more than %d deep", maxDepth)}).of(c.Plugin)
	case n > 0:
		return m.Call(ctx, c)
	}
	l := c.Limits.orDefault()
	leave := r.budget.admit(ctx, c.Plugin, l.MemoryBytes+l.ArenaBytes, min(l.Timeout/2, maxPatience))
	switch {
	case leave != nil:
		defer leave()
		return m.Call(ctx, c)
	case ctx.Err() != nil:
		return Result{}, contextStop(ctx, l.Timeout, c.Export).of(c.Plugin)
	}
	busy := (&stop{reason: ReasonBusy, text: "too many guests run at once; try again in a moment"}).of(c.Plugin)
	busy.RetryAfter = time.Second
	return Result{}, busy
}

// limitsOf are those of the manifest, which were granted; a timeout of the call goes before.
func limitsOf(c plugin.Call) Limits {
	l := Limits{Timeout: c.Timeout}
	if m := c.Plugin.Manifest.Limits; m != nil {
		l.MemoryBytes, l.OutputBytes = uint64(m.MemoryBytes), uint64(m.OutputBytes)
		if l.Timeout <= 0 {
			l.Timeout = time.Duration(m.TimeoutMS) * time.Millisecond
		}
	}
	return l
}

func logOf(c plugin.Call) func(Level, string) {
	if c.Log == nil {
		return nil
	}
	return func(l Level, msg string) {
		if c.Journal == nil || !c.Journal.Replaying() {
			c.Log(l.String(), msg)
		}
	}
}

// openAnswer opens the envelope. Unknown fields are ignored; exactly one of value and fault must be there. The value is a
// part of output.
func openAnswer(output []byte) (json.RawMessage, *abi.Fault, error) {
	if value, f, ok := abi.OpenAnswer(output); ok {
		if f != nil {
			f.Message = clean(f.Message, maxTextBytes)
		}
		return value, f, nil
	}
	if len(output) == 0 {
		return nil, nil, fmt.Errorf("nothing")
	}
	var fields map[string]json.RawMessage // not a struct: names in another spelling are other names
	switch err := plugin.Decode(output, &fields); {
	case fault.Is(err, fault.TooLarge):
		return nil, nil, errors.New(fault.PublicMessage(err))
	case err != nil:
		return nil, nil, fmt.Errorf("it is not a JSON object")
	}
	value, hasValue := fields["value"]
	refusal, hasFault := fields["fault"]
	if hasFault && string(refusal) == "null" {
		hasFault = false
	}
	switch {
	case hasValue && hasFault:
		return nil, nil, fmt.Errorf("it has both value and fault")
	case hasValue:
		return value, nil, nil
	case !hasFault:
		return nil, nil, fmt.Errorf("it has neither value nor fault")
	}
	var f abi.Fault
	if err := json.Unmarshal(refusal, &f); err != nil {
		return nil, nil, fmt.Errorf("its fault does not have the contract's shape")
	}
	f.Message = clean(f.Message, maxTextBytes)
	return nil, &f, nil
}
