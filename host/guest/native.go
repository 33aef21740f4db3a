package guest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/guest/javascript"
	"github.com/frigg-host/frigg-host/host/guest/rewrite"
)

// native is wazero with our own Extism kernel and WASI: one runtime for all modules, since none of them has state in it.
//
// A module is taken through the load-time pass, compiled, and set up once; what it is then, its template, is what every
// call starts from. After a call its instance is put back and kept for the next one.
type native struct {
	config    Config
	cache     wazero.CompilationCache
	runtime   wazero.Runtime
	instance  wazero.ModuleConfig
	offered   map[Import]signature
	ladder    ladder
	turns     *turns
	pool      *pool
	compiling *gate
	shelf     shelf
	open      atomic.Int64
	free      func() error
}

// OpenNative opens the engine to use. Close it after use.
func OpenNative(ctx context.Context, c Config) (Engine, error) {
	c = c.orDefault()
	cache, err := newCache(c.CacheDir)
	if err != nil {
		return nil, err
	}
	e := &native{
		config:  c,
		cache:   cache,
		runtime: wazero.NewRuntimeWithConfig(ctx, c.runtimeConfig(cache)),
		// Anonymous, so that there can be many; nothing runs by itself.
		instance:  wazero.NewModuleConfig().WithName("").WithStartFunctions(),
		turns:     newTurns(),
		pool:      newPool(c.IdleInstances, c.IdleBytes, c.IdleTime),
		compiling: newGate(func() error { return nil }),
	}
	TrimCache(c.CacheDir, c.CacheBytes)
	sweeping, stop := context.WithCancel(context.Background())
	var swept sync.WaitGroup
	swept.Go(func() { e.sweep(sweeping) })
	e.free = sync.OnceValue(func() error {
		stop()
		swept.Wait()
		return errors.Join(e.runtime.Close(context.Background()), e.cache.Close(context.Background()))
	})
	if err = e.offer(ctx); err == nil {
		err = e.climb(ctx)
	}
	if err != nil {
		_ = e.free()
		return nil, err
	}
	return e, nil
}

// sweep closes idle instances until ctx ends.
func (e *native) sweep(ctx context.Context) {
	tick := time.NewTicker(max(e.config.IdleTime/4, time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			e.pool.sweep(now)
		}
	}
}

// runtimeConfig is what both engines run with; no debug information is parsed.
func (c Config) runtimeConfig(cache wazero.CompilationCache) wazero.RuntimeConfig {
	config := wazero.NewRuntimeConfig()
	if c.Interpreter {
		config = wazero.NewRuntimeConfigInterpreter()
	}
	return config.
		WithCoreFeatures(api.CoreFeaturesV2).
		WithDebugInfoEnabled(false).
		WithCompilationCache(cache)
}

// offer puts the host functions into the runtime.
func (e *native) offer(ctx context.Context) error {
	all := append(append(kernelFunctions(abi.KernelModule, env), kernelFunctions(abi.BulkModule, bulk)...), kernelFunctions(abi.WASIModule, preview1)...)
	modules, err := byModule(append(all, e.config.capabilities()...))
	if err != nil {
		return err
	}
	e.offered = map[Import]signature{}
	for name, functions := range modules {
		b := e.runtime.NewHostModuleBuilder(name)
		for _, f := range functions {
			e.offered[f.Import] = signature{f.params, f.results}
			b.NewFunctionBuilder().WithGoFunction(goFunc(f), valueTypes(f.params), valueTypes(f.results)).Export(f.Name)
		}
		if _, err := b.Instantiate(ctx); err != nil {
			return &fault.Error{Kind: fault.Internal, Side: fault.Host, Op: "guest.Open", Msg: "host functions cannot be offered", Err: err}
		}
	}
	return e.offerScripts(ctx)
}

// offerScripts puts what the JavaScript engine imports into the runtime. No other module can: it is not among what is
// offered.
func (e *native) offerScripts(ctx context.Context) error {
	b := e.runtime.NewHostModuleBuilder(javascript.Module)
	for _, f := range javascript.Functions() {
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(f.Run), valueTypes(f.Params), valueTypes(f.Results)).Export(f.Name)
	}
	if _, err := b.Instantiate(ctx); err != nil {
		return &fault.Error{Kind: fault.Internal, Side: fault.Host, Op: "guest.Open", Msg: "host functions cannot be offered", Err: err}
	}
	return nil
}

// goFunc adapts f to wazero. The context of every call is its kernel.
func goFunc(f hostFunction) api.GoFunc {
	return func(ctx context.Context, stack []uint64) { f.run(ctx.(*kernel), stack) }
}

// kernelFunctions lists functions of the kernel as host functions of a module.
func kernelFunctions(module string, functions []kernelFunction) []hostFunction {
	all := make([]hostFunction, len(functions))
	for i, f := range functions {
		all[i] = hostFunction{
			Import: Import{module, f.name}, params: f.params, results: f.results,
			run: func(b blocks, stack []uint64) { f.run(b.(*kernel), stack) },
		}
	}
	return all
}

// valueTypes turns letters into wazero's types.
func valueTypes(letters string) []api.ValueType {
	types := make([]api.ValueType, len(letters))
	for i, l := range letters {
		types[i] = api.ValueTypeI32
		if l == 'I' {
			types[i] = api.ValueTypeI64
		}
	}
	return types
}

// Name implements Engine.
func (e *native) Name() string { return Native }

// Instances implements Engine.
func (e *native) Instances() int { return int(e.open.Load()) }

// Report implements Engine.
func (e *native) Report() Report {
	n, bytes := e.pool.len()
	return Report{Isolation: e.ladder.isolation, Rejected: e.ladder.rejected, Idle: n, IdleBytes: bytes}
}

// Close implements Engine.
func (e *native) Close(ctx context.Context) error {
	if err := e.compiling.shut(ctx); err != nil {
		return err
	}
	if err := e.shelf.close(ctx); err != nil {
		return err
	}
	return e.free()
}

// Compile implements Engine.
func (e *native) Compile(ctx context.Context, wasm []byte) (Module, error) {
	if !e.compiling.enter() {
		return nil, closedEngine("guest.Compile")
	}
	defer e.compiling.leave()
	v, convention, err := e.read(wasm)
	if err != nil {
		return nil, err
	}
	compiled, err := compile(ctx, e.runtime, v.Wasm, e.config.CacheDir)
	if err != nil {
		return nil, err
	}
	m := &nativeModule{engine: e, compiled: compiled, code: v.Module, convention: convention}
	m.exports = m.convention.exports()
	m.gate = newGate(m.free)
	m.makeTemplate(ctx)
	if m.template == nil && ctx.Err() != nil { // which may be why
		_ = m.Close(context.Background())
		return nil, compilingCancelled(ctx)
	}
	e.shelf.add(m)
	return m, nil
}

// read takes a module through the load-time pass, and finds out which convention it follows.
func (e *native) read(wasm []byte) (*vetted, convention, error) {
	program, isScript, err := javascript.Source(wasm)
	switch {
	case err != nil:
		return nil, nil, unusable(ReasonModule, "%s", clean(err.Error(), maxTextBytes))
	case isScript:
		wasm = javascript.Engine() // which no other bytes can be
	default:
		wasm = slices.Clone(wasm)
	}
	v, err := vet(wasm, rewrite.Options{Fuel: quantum, Restore: true})
	switch {
	case err != nil:
		return nil, nil, err
	case isScript:
		return v, &scriptConvention{program}, nil
	}
	return v, newExtismConvention(v), v.check(e.offered)
}

func compilingCancelled(ctx context.Context) error {
	return fault.Wrap(ctx.Err(), fault.Canceled, "guest.Compile", "compiling was cancelled")
}

// compile compiles vetted bytes. A cache that cannot be read is emptied once: everything in it can be made again.
func compile(ctx context.Context, rt wazero.Runtime, wasm []byte, cacheDir string) (wazero.CompiledModule, error) {
	if ctx.Err() != nil {
		return nil, compilingCancelled(ctx)
	}
	compiled, err := tryCompile(ctx, rt, wasm)
	if isCacheError(err) {
		emptyCache(cacheDir)
		compiled, err = tryCompile(ctx, rt, wasm)
	}
	switch {
	case err == nil:
		return compiled, nil
	case isCacheError(err):
		return nil, cacheFault("guest.Compile", err)
	}
	return nil, unusable(ReasonModule, "%s", clean(err.Error(), maxTextBytes))
}

// tryCompile compiles on this goroutine alone, so that a bug of the compiler can be caught.
func tryCompile(ctx context.Context, rt wazero.Runtime, wasm []byte) (compiled wazero.CompiledModule, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the compiler failed: %v", p)
		}
	}()
	return rt.CompileModule(ctx, wasm)
}
