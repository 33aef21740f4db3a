// Package javascripttest runs JavaScript programs in tests, on a bare wazero: without fuel, snapshots and the rooms of the
// host. The instance is put back before each call by copying its whole memory.
package javascripttest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/frigg-host/frigg-host/host/guest/javascript"
	"github.com/frigg-host/frigg-host/host/guest/javascript/quickjs"
)

// Machine is a runtime with what the engine imports, and the engine compiled.
type Machine struct {
	runtime wazero.Runtime
	code    wazero.CompiledModule
}

// Machines are shared, since compiling takes a while. Calls on Stoppable end with their context; Fast is as fast as an engine
// that counts fuel.
var (
	Stoppable   = sync.OnceValue(func() *Machine { return newMachine(wazero.NewRuntimeConfig().WithCloseOnContextDone(true)) })
	Fast        = sync.OnceValue(func() *Machine { return newMachine(wazero.NewRuntimeConfig()) })
	Interpreter = sync.OnceValue(func() *Machine { return newMachine(wazero.NewRuntimeConfigInterpreter()) })
)

const memoryPages = 640

func newMachine(config wazero.RuntimeConfig) *Machine {
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, config.WithMemoryLimitPages(memoryPages))
	env := rt.NewHostModuleBuilder(javascript.Module)
	for _, f := range javascript.Functions() {
		env.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(f.Run), types(f.Params), types(f.Results)).Export(f.Name)
	}
	must(env.Instantiate(ctx))
	wasi := rt.NewHostModuleBuilder("wasi_snapshot_preview1")
	for name, params := range map[string]string{"clock_time_get": "iIi", "fd_close": "i", "fd_fdstat_get": "ii", "fd_seek": "iIii", "fd_write": "iiii", "random_get": "ii"} {
		wasi.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, m api.Module, stack []uint64) {
			stack[0] = ctx.(*Call).wasi(name, m.Memory(), stack)
		}), types(params), types("i")).Export(name)
	}
	must(wasi.Instantiate(ctx))
	return &Machine{rt, must(rt.CompileModule(ctx, javascript.Engine()))}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func types(letters string) []api.ValueType {
	var all []api.ValueType
	for _, l := range letters {
		all = append(all, map[rune]api.ValueType{'i': api.ValueTypeI32, 'I': api.ValueTypeI64}[l])
	}
	return all
}

// Call is the host of one call and what it saw.
type Call struct {
	context.Context
	In     string
	Out    string
	Now    int64 // ns since 1970
	Source *rand.ChaCha8
	Logged []string // level and line
	Asked  []string // capability.function request
	// Answer answers capabilities; nil answers {"value":{}}.
	Answer func(function, request string) string

	instance *javascript.Instance
}

// NewCall is a call of fixed time and randomness.
func NewCall(ctx context.Context, input string) *Call {
	return &Call{Context: ctx, In: input, Now: 1_700_000_000_000_000_000, Source: rand.NewChaCha8([32]byte{1})}
}

// Instance implements javascript.Host.
func (c *Call) Instance() *javascript.Instance { return c.instance }

// Input implements javascript.Host.
func (c *Call) Input() []byte { return []byte(c.In) }

// SetOutput implements javascript.Host.
func (c *Call) SetOutput(b []byte) { c.Out = string(b) }

// Random implements javascript.Host.
func (c *Call) Random(b []byte) { _, _ = c.Source.Read(b) }

// Log implements javascript.Host.
func (c *Call) Log(l javascript.Level, b []byte) {
	c.Logged = append(c.Logged, fmt.Sprint(int(l), " ", string(b)))
}

// Capability implements javascript.Host.
func (c *Call) Capability(capability, function string, request []byte) []byte {
	c.Asked = append(c.Asked, capability+"."+function+" "+string(request))
	if c.Answer == nil {
		return []byte(`{"value":{}}`)
	}
	return []byte(c.Answer(capability+"."+function, string(request)))
}

func (c *Call) wasi(name string, memory api.Memory, p []uint64) uint64 {
	const badf = 8
	switch name {
	case "clock_time_get":
		memory.WriteUint64Le(uint32(p[2]), uint64(c.Now))
		return 0
	case "random_get":
		if b, ok := memory.Read(uint32(p[0]), uint32(p[1])); ok {
			c.Random(b)
		}
		return 0
	}
	return badf
}

// Guest is a booted program.
type Guest struct {
	Program  *javascript.Program
	Instance *javascript.Instance
	Image    []byte // of its memory after Boot
	Stack    uint64 // the engine's only global, after Boot

	t      testing.TB
	module api.Module
}

// Load makes a plugin of a program, reads it back, and boots it. The error is that of Boot.
func Load(t testing.TB, m *Machine, p quickjs.Program) (*Guest, error) {
	t.Helper()
	module, err := p.Module()
	if err != nil {
		t.Fatal(err)
	}
	program, is, err := javascript.Source(module)
	if err != nil || !is {
		t.Fatal(is, err)
	}
	boot := NewCall(context.Background(), "")
	mod, err := m.runtime.InstantiateModule(boot, m.code, wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mod.Close(context.Background()) })
	g := &Guest{t: t, Program: program, module: mod}
	g.Renew()
	boot.instance = g.Instance
	if err := program.Boot(boot, boot.instance); err != nil {
		return nil, err
	}
	g.Image = bytes.Clone(g.Memory())
	g.Stack = mod.ExportedGlobal("__stack_pointer").Get()
	return g, nil
}

// Boot is Load of a program that boots, on Stoppable.
func Boot(t testing.TB, p quickjs.Program) *Guest {
	t.Helper()
	g, err := Load(t, Stoppable(), p)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// Renew forgets all that is known of the instance.
func (g *Guest) Renew() { g.Instance = javascript.NewInstance(g.module) }

// Memory is that of the instance.
func (g *Guest) Memory() []byte {
	b, _ := g.module.Memory().Read(0, g.module.Memory().Size())
	return b
}

// Restore puts the memory back. What has grown cannot be taken away, but it is zero again.
func (g *Guest) Restore() {
	b := g.Memory()
	clear(b[copy(b, g.Image):])
	g.module.ExportedGlobal("__stack_pointer").(api.MutableGlobal).Set(g.Stack)
}

// Run runs an export on the instance as it is.
func (g *Guest) Run(c *Call, export string) error {
	c.instance = g.Instance
	return g.Program.Call(c, g.Instance, export)
}

// Call runs an export on the restored instance.
func (g *Guest) Call(export, input string, answer func(function, request string) string) (*Call, error) {
	g.t.Helper()
	g.Restore()
	c := NewCall(context.Background(), input)
	c.Answer = answer
	return c, g.Run(c, export)
}

// Said is the output of an export that must not fail.
func (g *Guest) Said(export, input string) string {
	g.t.Helper()
	c, err := g.Call(export, input, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	return c.Out
}
