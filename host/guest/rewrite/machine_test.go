package rewrite

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// How a host runs what Rewrite returns, in small.

// errStopped ends a guest that used up what it had.
var errStopped = errors.New("stopped")

// machine is the linear memory of an instance; it counts yields and stops the guest after too many.
type machine struct {
	bytes  []byte
	limit  uint64 // bytes
	yields int    // that were answered
	most   int
}

const maxMachine = 70 << 20

func (m *machine) Allocate(_, _ uint64) experimental.LinearMemory { return m }

func (m *machine) Reallocate(n uint64) []byte {
	if n == uint64(len(m.bytes))+YieldPages*pageSize {
		if m.yields+1 >= m.most {
			panic(errStopped) // $slow does not get to refill
		}
		m.yields++
		return nil
	}
	if n > m.limit {
		return nil
	}
	if n > uint64(len(m.bytes)) {
		m.bytes = append(m.bytes, make([]byte, n-uint64(len(m.bytes)))...)
	}
	return m.bytes
}

func (m *machine) Free() {}

// run is how to run a module.
type run struct {
	interpret bool
	cache     wazero.CompilationCache // nil for none
	module    *Module                 // what Wasm was rewritten to, nil to run the original
	most      int                     // yields
	memory    uint64                  // bytes, 0 for maxMachine
	calls     []string
	args      []uint64 // of the last call
	input     string
}

// outcome is what can be seen of a run.
type outcome struct {
	Results [][]uint64
	Err     string // without the stack
	Output  string
	Memory  []byte
	used    uint64 // units
	stopped bool
}

// equal reports whether guests cannot tell two runs apart.
func (o outcome) equal(other outcome) bool {
	return fmt.Sprint(o.Results, o.Err) == fmt.Sprint(other.Results, other.Err) &&
		o.Output == other.Output && bytes.Equal(o.Memory, other.Memory)
}

// String leaves out what is long.
func (o outcome) String() string {
	return fmt.Sprintf("results %v, error %q, output %.100q, memory of %d bytes, %d units", o.Results, o.Err, o.Output, len(o.Memory), o.used)
}

// start compiles and runs a module. An error of compiling is returned, one of the guest is in the outcome.
func (r run) start(t testing.TB, binary []byte) (o outcome, err error) {
	t.Helper()
	config := wazero.NewRuntimeConfigCompiler()
	if r.interpret {
		config = wazero.NewRuntimeConfigInterpreter()
	}
	if r.cache != nil {
		config = config.WithCompilationCache(r.cache)
	}
	ctx := context.Background()
	runtime := wazero.NewRuntimeWithConfig(ctx, config.WithCoreFeatures(api.CoreFeaturesV2))
	defer runtime.Close(ctx)
	m := &machine{limit: maxMachine, most: r.most}
	if r.memory > 0 {
		m.limit = r.memory
	}
	if r.module != nil {
		binary = r.module.Wasm
		m.limit = min(m.limit, r.module.MaxMemory)
	}
	compiled, err := runtime.CompileModule(ctx, binary)
	if err != nil {
		return o, err
	}
	k := &kernel{input: r.input, blocks: map[uint64]uint64{}}
	k.offer(t, ctx, runtime, compiled)
	o.Err = r.guest(experimental.WithMemoryAllocator(ctx, m), runtime, compiled, m, &o)
	o.Output, o.Memory = k.output, bytes.TrimRight(m.bytes, "\x00")
	o.stopped = strings.Contains(o.Err, errStopped.Error())
	return o, nil
}

// guest makes an instance and calls it. It returns the first line of the error.
func (r run) guest(ctx context.Context, runtime wazero.Runtime, compiled wazero.CompiledModule, m *machine, o *outcome) string {
	instance, err := runtime.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithStartFunctions().WithName(""))
	if err != nil {
		return firstLine(err)
	}
	calls := r.calls
	if r.module != nil {
		if r.module.Fuel != "" {
			fuel := instance.ExportedGlobal(r.module.Fuel)
			quantum := fuel.Get()
			defer func() { o.used = uint64(int64(m.yields+1)*int64(quantum) - int64(int32(fuel.Get()))) }()
		}
		for i, s := range r.module.Data {
			if uint64(s.Offset)+uint64(len(s.Bytes)) > uint64(len(m.bytes)) {
				return fmt.Sprintf("data[%d]: out of bounds memory access", i) // as wazero says
			}
			copy(m.bytes[s.Offset:], s.Bytes)
		}
		if r.module.Start != "" {
			calls = append([]string{r.module.Start}, calls...)
		}
	}
	for i, name := range calls {
		f := instance.ExportedFunction(name)
		if f == nil {
			return "no export " + name
		}
		args := make([]uint64, len(f.Definition().ParamTypes()))
		if i == len(calls)-1 {
			copy(args, r.args)
		}
		results, err := f.Call(ctx, args...)
		if err != nil {
			return firstLine(err)
		}
		if i >= len(calls)-len(r.calls) { // not our start
			o.Results = append(o.Results, results)
		}
	}
	return ""
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	if strings.HasPrefix(line, "start function[") { // ours is called like any other
		_, line, _ = strings.Cut(line, " failed: ")
	}
	return line
}

// kernel is as much of Extism's as its modules need to run.
type kernel struct {
	input, output string
	arena         []byte
	blocks        map[uint64]uint64
}

const maxArena = 4 << 20

func (k *kernel) alloc(n uint64) uint64 {
	if n > maxArena-uint64(len(k.arena)) {
		return 0
	}
	at := uint64(len(k.arena)) + 64
	k.arena = append(k.arena, make([]byte, n)...)
	k.blocks[at] = n
	return at
}

// at is the block from an offset on, and zeros if there is none.
func (k *kernel) at(p uint64) []byte {
	if p < 64 || p-64+8 > uint64(len(k.arena)) {
		if p >= 64 && p-64 < uint64(len(k.arena)) {
			return append(k.arena[p-64:], make([]byte, 8)...)[:8:8]
		}
		return make([]byte, 8)
	}
	return k.arena[p-64:]
}

// call is a function of the kernel. What is not here answers zeros.
func (k *kernel) call(name string, s []uint64) {
	switch name {
	case "alloc":
		s[0] = k.alloc(s[0])
	case "length":
		s[0] = k.blocks[s[0]]
	case "input_length":
		s[0] = uint64(len(k.input))
	case "input_load_u8":
		s[0] = uint64((k.input + "\x00")[min(s[0], uint64(len(k.input)))])
	case "input_load_u64":
		s[0] = binary.LittleEndian.Uint64([]byte((k.input + "\x00\x00\x00\x00\x00\x00\x00\x00")[min(s[0], uint64(len(k.input))):]))
	case "store_u8":
		k.at(s[0])[0] = byte(s[1])
	case "store_u64":
		binary.LittleEndian.PutUint64(k.at(s[0]), s[1])
	case "load_u8":
		s[0] = uint64(k.at(s[0])[0])
	case "load_u64":
		s[0] = binary.LittleEndian.Uint64(k.at(s[0]))
	case "output_set":
		if from := s[0] - 64; from < uint64(len(k.arena)) {
			k.output = string(k.arena[from:min(from+s[1]&0xfffff, uint64(len(k.arena)))])
		}
	default:
		clear(s)
	}
}

// offer makes everything that a module imports.
func (k *kernel) offer(t testing.TB, ctx context.Context, runtime wazero.Runtime, compiled wazero.CompiledModule) {
	t.Helper()
	modules := map[string]map[string]api.FunctionDefinition{}
	for _, f := range compiled.ImportedFunctions() {
		module, name, _ := f.Import()
		if modules[module] == nil {
			modules[module] = map[string]api.FunctionDefinition{}
		}
		modules[module][name] = f
	}
	for module, functions := range modules {
		if module == wasi_snapshot_preview1.ModuleName {
			wasi_snapshot_preview1.MustInstantiate(ctx, runtime)
			continue
		}
		b := runtime.NewHostModuleBuilder(module)
		for name, f := range functions {
			b.NewFunctionBuilder().WithGoFunction(api.GoFunc(func(_ context.Context, s []uint64) {
				k.call(name, s)
			}), f.ParamTypes(), f.ResultTypes()).Export(name)
		}
		if _, err := b.Instantiate(ctx); err != nil {
			t.Fatal(err)
		}
	}
}
