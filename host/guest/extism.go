package guest

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	extism "github.com/extism/go-sdk"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/guest/javascript"
	"github.com/frigg-host/frigg-host/host/guest/rewrite"
)

// reference is the Extism Go SDK. It shows that a guest is a standard Extism plugin and that the native engine answers
// as others do. What the SDK leaves open is closed here: its own requests stay forbidden (no allowed hosts), deadline and
// memory are bounded per call, and what it says in texts is told apart.
//
// It has no frigg:host/bulk, and no log below info: its level is one for the whole process.
type reference struct {
	config    Config
	functions []hostFunction
	offered   map[Import]signature
	compiling *gate
	shelf     shelf
	open      atomic.Int64
}

// OpenExtism opens the reference engine. Close it after use.
func OpenExtism(_ context.Context, c Config) (Engine, error) {
	c = c.orDefault()
	e := &reference{config: c, functions: c.capabilities(), offered: map[Import]signature{}, compiling: newGate(func() error { return nil })}
	all := append(kernelFunctions(abi.KernelModule, env), kernelFunctions(abi.WASIModule, preview1)...)
	all = append(all, e.functions...)
	if _, err := byModule(all); err != nil {
		return nil, err
	}
	for _, f := range all {
		e.offered[f.Import] = signature{f.params, f.results}
	}
	cache, err := newCache(c.CacheDir) // each module opens its own; this one tells early that it cannot
	if err != nil {
		return nil, err
	}
	_ = cache.Close(context.Background())
	extism.SetLogLevel(extism.LogLevelInfo)
	return e, nil
}

// Name implements Engine.
func (e *reference) Name() string { return Extism }

// Instances implements Engine.
func (e *reference) Instances() int { return int(e.open.Load()) }

// Report implements Engine.
func (e *reference) Report() Report { return Report{Isolation: Fresh} }

// Close implements Engine.
func (e *reference) Close(ctx context.Context) error {
	if err := e.compiling.shut(ctx); err != nil {
		return err
	}
	return e.shelf.close(ctx)
}

// Compile implements Engine.
func (e *reference) Compile(ctx context.Context, wasm []byte) (Module, error) {
	if !e.compiling.enter() {
		return nil, closedEngine("guest.Compile")
	}
	defer e.compiling.leave()
	switch _, isScript, err := javascript.Source(wasm); {
	case err != nil:
		return nil, unusable(ReasonModule, "%s", clean(err.Error(), maxTextBytes))
	case isScript:
		return nil, unusable(ReasonEngine, "it is a JavaScript plugin, which only the native engine runs")
	}
	v, err := vet(wasm, rewrite.Options{})
	if err != nil {
		return nil, err
	}
	for _, im := range v.Imports {
		if im.Module == abi.BulkModule {
			return nil, unusable(ReasonEngine, "it imports %s, which only the native engine has; build it without, or use that engine", abi.BulkModule)
		}
	}
	if err := v.check(e.offered); err != nil {
		return nil, err
	}
	return e.compile(ctx, v)
}

// compile hands v to the SDK. The SDK makes a runtime for each plugin and loses it when compiling fails, so the code is
// compiled before, in a runtime that is closed, and the SDK finds it in their common cache. The cache goes with the
// module: in a longer-lived one the SDK would leave the code of closed plugins.
func (e *reference) compile(ctx context.Context, v *vetted) (Module, error) {
	cache, err := newCache(e.config.CacheDir)
	if err != nil {
		return nil, err
	}
	trial := wazero.NewRuntimeWithConfig(ctx, e.config.runtimeConfig(cache).WithCloseOnContextDone(true))
	_, err = compile(ctx, trial, v.Wasm, e.config.CacheDir)
	var plugin *extism.CompiledPlugin
	if err == nil {
		plugin, err = e.plugin(ctx, cache, v.Wasm)
	}
	_ = trial.Close(context.Background())
	if err != nil {
		_ = cache.Close(context.Background())
		return nil, err
	}
	m := &referenceModule{engine: e, plugin: plugin, exports: newExtismConvention(v).names, minMemory: v.MinMemory}
	m.gate = newGate(func() error {
		e.shelf.remove(m)
		return errors.Join(plugin.Close(context.Background()), cache.Close(context.Background()))
	})
	e.shelf.add(m)
	return m, nil
}

func (e *reference) plugin(ctx context.Context, cache wazero.CompilationCache, wasm []byte) (*extism.CompiledPlugin, error) {
	manifest := extism.Manifest{Wasm: []extism.Wasm{extism.WasmData{Data: wasm}}}
	config := extism.PluginConfig{EnableWasi: true, RuntimeConfig: e.config.runtimeConfig(cache).WithCloseOnContextDone(true)}
	functions := make([]extism.HostFunction, len(e.functions))
	for i, f := range e.functions {
		functions[i] = extism.NewHostFunctionWithStack(f.Name, func(ctx context.Context, p *extism.CurrentPlugin, stack []uint64) {
			f.run(&sdkBlocks{call: ctx.Value(meterKey{}).(*meter), plugin: p}, stack)
		}, valueTypes(f.params), valueTypes(f.results))
		functions[i].SetNamespace(f.Module)
	}
	plugin, err := extism.NewCompiledPlugin(ctx, manifest, config, functions)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Internal, Side: fault.Host, Op: "guest.Compile", Msg: "the reference engine refuses the module", Err: err}
	}
	return plugin, nil
}

// meterKey finds the meter of a call in the context that the SDK passes through.
type meterKey struct{}

// referenceModule is compiled code in the reference engine.
type referenceModule struct {
	engine    *reference
	plugin    *extism.CompiledPlugin
	exports   []string
	minMemory uint64
	gate      *gate
}

// Exports implements Module.
func (m *referenceModule) Exports() []string { return slices.Clone(m.exports) }

// Describe implements Module.
func (m *referenceModule) Describe() Description {
	return Description{Isolation: Fresh, Why: "the reference engine knows no other way"}
}

// Close implements Module.
func (m *referenceModule) Close(ctx context.Context) error { return m.gate.shut(ctx) }

// Call implements Module.
func (m *referenceModule) Call(ctx context.Context, c Call) (Result, error) {
	if !m.gate.enter() {
		return Result{}, closedModule(c.Plugin)
	}
	defer m.gate.leave()
	call := &sdkCall{}
	if s := call.open(ctx, &c, m.exports, memoryRange{m.minMemory, m.engine.config.MemoryCeiling}); s != nil {
		return Result{}, s.of(c.Plugin)
	}
	defer call.cancel()
	call.Context = call.limit.timed() // the SDK waits for it elsewhere
	m.engine.open.Add(1)
	defer m.engine.open.Add(-1)

	// Without this its kernel would answer with block 0, into which everything vanishes.
	call.arena.refuse = func() { call.stop(ReasonArena, "%s", arenaFull(call.limits.ArenaBytes)) }
	call.arena.limit = sdkArenaBase + (call.limits.ArenaBytes+uint64(len(c.Input))+2*pageSize-1)/pageSize*pageSize
	call.memory.limit = call.room
	output, err := call.run(m)
	if hook := m.engine.config.AfterCall; hook != nil {
		hook(c.Plugin, [][]byte{call.memory.bytes, call.arena.bytes})
	}
	call.refused, call.had = call.memory.denied, uint64(len(call.memory.bytes))
	return call.finish(output, call.judge(err))
}

// sdkArenaBase is the memory that the SDK's kernel has before the first block.
const sdkArenaBase = 16 * pageSize

// sdkCall is a call in the reference engine. Its blocks are in the linear memory of the SDK's kernel.
type sdkCall struct {
	meter
	memory, arena linear
	started       int // memories given out
}

// Allocate implements experimental.MemoryAllocator: the SDK makes its kernel first and the guest after it.
func (c *sdkCall) Allocate(_, _ uint64) experimental.LinearMemory {
	if c.started++; c.started == 1 {
		return &c.arena
	}
	return &c.memory
}

// run makes an instance, calls the export and closes the instance.
func (c *sdkCall) run(m *referenceModule) (output []byte, err error) {
	defer c.recover()
	ctx := experimental.WithMemoryAllocator(context.WithValue(c, meterKey{}, &c.meter), c)
	p, err := m.plugin.Instance(ctx, extism.PluginInstanceConfig{ModuleConfig: c.moduleConfig(&m.engine.config)})
	if err != nil {
		c.sdkExit(err)
		c.exitedEarly()
		return nil, err
	}
	defer p.Close(context.Background())
	p.Config = c.call.Config
	p.SetLogger(func(l extism.LogLevel, msg string) { c.meter.log(Level(l-extism.LogLevelTrace), []byte(msg)) })
	result, output, err := p.CallWithContext(ctx, c.call.Export, c.call.Input)
	if err != nil && c.stopped == nil && err.Error() == p.GetError() || err == nil && result != 0 {
		c.stopped = failed(p.GetError(), c.call.Export, result)
		return nil, c.stopped
	}
	c.sdkStop(err)
	if c.stopped == nil && err == nil {
		c.checkOutput(uint64(len(output)))
	}
	return output, err
}

// sdkStop finds out what the SDK says only in texts, or not at all.
func (c *sdkCall) sdkStop(err error) {
	c.sdkExit(err)
	var bug runtime.Error
	switch {
	case err == nil || c.stopped != nil:
	case errors.As(err, &bug): // some of wazero's WASI does not check what it is given
		c.stopped = &stop{reason: ReasonTrap, text: "trap: wrong use of an import", detail: bug.Error()}
	case c.Err() != nil:
	case strings.Contains(err.Error(), "Variable store is full"):
		c.stopped = &stop{reason: ReasonArena, text: varsFull()}
	case strings.HasPrefix(err.Error(), "HTTP request to "):
		c.stopped = &stop{reason: ReasonTrap, text: "trap: " + noHTTP}
	}
}

// sdkExit recognises proc_exit. wazero uses the same error for a deadline, which has its own codes then.
func (c *sdkCall) sdkExit(err error) {
	var exit *sys.ExitError
	if c.stopped == nil && c.Err() == nil && errors.As(err, &exit) {
		c.stopped = exited(exit.ExitCode())
	}
}

// moduleConfig gives the guest the sources of cfg. The SDK would fake them.
func (c *sdkCall) moduleConfig(cfg *Config) wazero.ModuleConfig {
	start := time.Now()
	return wazero.NewModuleConfig().
		WithStdout(&c.console).
		WithStderr(&c.console).
		WithRandSource(cfg.Entropy).
		WithWalltime(func() (int64, int32) {
			now := cfg.Now()
			return now.Unix(), int32(now.Nanosecond())
		}, sys.ClockResolution(time.Microsecond)).
		WithNanotime(func() int64 { return bootMono + int64(time.Since(start)) }, sys.ClockResolution(time.Microsecond)).
		WithNanosleep(func(ns int64) { c.sleep(time.Duration(ns)) })
}

// sdkBlocks are the blocks of a call as host functions of the SDK see them.
type sdkBlocks struct {
	call   *meter
	plugin *extism.CurrentPlugin
}

// ask implements blocks.
func (b *sdkBlocks) ask(im Import, request []byte) []byte { return b.call.capability(im, request) }

// running implements blocks.
func (b *sdkBlocks) running() *meter { return b.call }

// block implements blocks.
func (b *sdkBlocks) block(offset uint64) []byte {
	if offset == 0 {
		return nil
	}
	n, err := b.plugin.Length(offset)
	if err != nil || n == 0 {
		b.call.trap(noBlock, offset)
	}
	content, ok := b.plugin.Memory().Read(uint32(offset), uint32(n))
	if !ok {
		b.call.trap(noBlock, offset)
	}
	return content
}

// place implements blocks.
func (b *sdkBlocks) place(content []byte) uint64 {
	if len(content) == 0 {
		return 0
	}
	offset, err := b.plugin.Alloc(uint64(len(content)))
	if err != nil || offset == 0 || !b.plugin.Memory().Write(uint32(offset), content) {
		b.call.stop(ReasonArena, "%s", arenaFull(b.call.limits.ArenaBytes))
	}
	return offset
}
