package javascript

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/frigg-host/frigg-host/host/guest/javascript/quickjs"
)

// machine is a runtime with what the engine imports, and the engine compiled.
type machine struct {
	runtime wazero.Runtime
	code    wazero.CompiledModule
}

// Machines are shared, since compiling takes a while. Guests of the one can be stopped, those of the other are as fast as in an
// engine that counts fuel.
var (
	stoppable = sync.OnceValue(func() *machine { return newMachine(true) })
	fast      = sync.OnceValue(func() *machine { return newMachine(false) })
)

func newMachine(stoppable bool) *machine {
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithMemoryLimitPages(1024).WithCloseOnContextDone(stoppable))
	env := rt.NewHostModuleBuilder(Module)
	for _, f := range Functions() {
		env.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(f.Run), types(f.Params), types(f.Results)).Export(f.Name)
	}
	must(env.Instantiate(ctx))
	wasi := rt.NewHostModuleBuilder("wasi_snapshot_preview1")
	for name, params := range map[string]string{"clock_time_get": "iIi", "fd_close": "i", "fd_fdstat_get": "ii", "fd_seek": "iIii", "fd_write": "iiii", "random_get": "ii"} {
		wasi.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, m api.Module, stack []uint64) {
			stack[0] = ctx.(*call).wasi(name, m.Memory(), stack)
		}), types(params), types("i")).Export(name)
	}
	must(wasi.Instantiate(ctx))
	return &machine{rt, must(rt.CompileModule(ctx, Engine()))}
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

// call is the Host of a test.
type call struct {
	context.Context
	instance *Instance
	input    string
	output   string
	now      int64 // ns
	random   *rand.ChaCha8
	log      []string
	asked    []string // capability.function request
	answer   func(question string) string
}

func (c *call) Instance() *Instance { return c.instance }
func (c *call) Input() []byte       { return []byte(c.input) }
func (c *call) SetOutput(b []byte)  { c.output = string(b) }
func (c *call) Random(b []byte)     { _, _ = c.random.Read(b) }
func (c *call) Log(l Level, b []byte) {
	c.log = append(c.log, fmt.Sprint(int(l), " ", string(b)))
}

func (c *call) Capability(capability, function string, request []byte) []byte {
	question := capability + "." + function + " " + string(request)
	c.asked = append(c.asked, question)
	if c.answer == nil {
		return []byte(`{"value":{}}`)
	}
	return []byte(c.answer(question))
}

func (c *call) wasi(name string, memory api.Memory, p []uint64) uint64 {
	switch name {
	case "clock_time_get":
		memory.WriteUint64Le(uint32(p[2]), uint64(c.now))
		return 0
	case "random_get":
		if b, ok := memory.Read(uint32(p[0]), uint32(p[1])); ok {
			c.Random(b)
		}
		return 0
	}
	return 8 // there are no files
}

// guest is a booted instance that is put back before each call, by a plain copy.
type guest struct {
	t       testing.TB
	program *Program
	module  api.Module
	in      *Instance
	image   []byte
	stack   uint64
}

// load makes a module of a program and boots it.
func load(t testing.TB, m *machine, source string, exports ...string) (*guest, error) {
	t.Helper()
	module, err := quickjs.New(exports, source).Module()
	if err != nil {
		t.Fatal(err)
	}
	program, is, err := Source(module)
	if err != nil || !is {
		t.Fatal(is, err)
	}
	boot := &call{Context: context.Background(), now: 1e18, random: rand.NewChaCha8([32]byte{})}
	mod, err := m.runtime.InstantiateModule(boot, m.code, wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mod.Close(context.Background()) })
	boot.instance = NewInstance(mod)
	if err := program.Boot(boot, boot.instance); err != nil {
		return nil, err
	}
	g := &guest{t: t, program: program, module: mod, in: boot.instance}
	g.image = bytes.Clone(g.memory())
	g.stack = mod.ExportedGlobal("__stack_pointer").Get()
	return g, nil
}

// booted is load of a program that boots.
func booted(t testing.TB, source string, exports ...string) *guest {
	t.Helper()
	g, err := load(t, stoppable(), source, exports...)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *guest) memory() []byte {
	b, _ := g.module.Memory().Read(0, g.module.Memory().Size())
	return b
}

// restore puts the memory back. What has grown cannot be taken away here, but it is zero again.
func (g *guest) restore() {
	b := g.memory()
	clear(b[copy(b, g.image):])
	g.module.ExportedGlobal("__stack_pointer").(api.MutableGlobal).Set(g.stack)
}

// call runs an export on the restored instance.
func (g *guest) call(export, input string, answer func(string) string) (*call, error) {
	g.t.Helper()
	g.restore()
	c := &call{Context: context.Background(), instance: g.in, input: input, now: 1_700_000_000_000_000_000, random: rand.NewChaCha8([32]byte{1}), answer: answer}
	return c, g.program.Call(c, g.in, export)
}

// said runs an export that must answer.
func (g *guest) said(export, input string) string {
	g.t.Helper()
	c, err := g.call(export, input, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	return c.output
}
