package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/guest/javascript"
	"github.com/frigg-host/frigg-host/host/guest/rewrite"
	"github.com/frigg-host/frigg-host/host/guest/snapshot"
)

// bare is the least that a host can be which runs these guests: it believes everything that they say, and keeps what one
// call left for the next. It is the context of calls.
type bare struct {
	context.Context
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	config   wazero.ModuleConfig
	guest    api.Module
	exports  map[string]api.Function

	input, arena, output []byte
	lengths              map[uint64]uint64

	program *javascript.Program // of a guest in JavaScript
	script  *javascript.Instance
}

const bareBase = 16 // the first block of bare; 0 is none

var errGuest = errors.New("the guest failed")

// openBare compiles wasm, the guest or what was made of it, and offers it what it imports.
func openBare(ctx context.Context, s *sample, wasm []byte) (*bare, error) {
	b := &bare{Context: ctx, program: s.program, config: wazero.NewModuleConfig().WithName("").WithStartFunctions(), lengths: map[uint64]uint64{}}
	// The limit keeps the memory.grow by which fuel yields from succeeding.
	b.runtime = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCoreFeatures(api.CoreFeaturesV2).WithDebugInfoEnabled(false).WithMemoryLimitPages(1<<14))
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, b.runtime); err != nil {
		return nil, err
	}
	var err error
	if b.compiled, err = b.runtime.CompileModule(ctx, wasm); err != nil {
		return nil, err
	}
	builders := map[string]wazero.HostModuleBuilder{}
	for _, f := range b.compiled.ImportedFunctions() {
		module, name, _ := f.Import()
		if module == abi.WASIModule {
			continue
		}
		if builders[module] == nil {
			builders[module] = b.runtime.NewHostModuleBuilder(module)
		}
		builders[module].NewFunctionBuilder().WithGoModuleFunction(bareFunction(module, name), f.ParamTypes(), f.ResultTypes()).Export(name)
	}
	for _, builder := range builders {
		if _, err := builder.Instantiate(ctx); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// bareFunction is a host function; what no row uses does nothing.
func bareFunction(module, name string) api.GoModuleFunc {
	if module == javascript.Module {
		return scriptFunctions[name]
	}
	f := bareFunctions[name]
	if isCapability(module) {
		f = func(b *bare, _ api.Module, s []uint64) { s[0] = b.place(answer) }
	}
	return func(ctx context.Context, m api.Module, s []uint64) {
		if f != nil {
			f(ctx.(*bare), m, s)
		} else if len(s) > 0 {
			s[0] = 0
		}
	}
}

var bareFunctions = map[string]func(b *bare, m api.Module, s []uint64){
	"input_length":   func(b *bare, _ api.Module, s []uint64) { s[0] = uint64(len(b.input)) },
	"input_load_u8":  func(b *bare, _ api.Module, s []uint64) { s[0] = uint64(b.input[s[0]]) },
	"input_load_u64": func(b *bare, _ api.Module, s []uint64) { s[0] = binary.LittleEndian.Uint64(b.input[s[0]:]) },
	"alloc":          func(b *bare, _ api.Module, s []uint64) { s[0] = b.alloc(s[0]) },
	"free":           func(*bare, api.Module, []uint64) {},
	"length":         func(b *bare, _ api.Module, s []uint64) { s[0] = b.lengths[s[0]] },
	"load_u8":        func(b *bare, _ api.Module, s []uint64) { s[0] = uint64(b.arena[s[0]]) },
	"load_u64":       func(b *bare, _ api.Module, s []uint64) { s[0] = binary.LittleEndian.Uint64(b.arena[s[0]:]) },
	"store_u8":       func(b *bare, _ api.Module, s []uint64) { b.arena[s[0]] = byte(s[1]) },
	"store_u64":      func(b *bare, _ api.Module, s []uint64) { binary.LittleEndian.PutUint64(b.arena[s[0]:], s[1]) },
	"output_set":     func(b *bare, _ api.Module, s []uint64) { b.output = b.arena[s[0] : s[0]+s[1]] },
	"input_read": func(b *bare, m api.Module, s []uint64) {
		to, _ := m.Memory().Read(uint32(s[0]), uint32(s[1]))
		s[0] = uint64(copy(to, b.input))
	},
	"output_write": func(b *bare, m api.Module, s []uint64) {
		from, _ := m.Memory().Read(uint32(s[0]), uint32(s[1]))
		b.output = append(b.output[:0], from...)
	},
	"read": func(b *bare, m api.Module, s []uint64) {
		to, _ := m.Memory().Read(uint32(s[1]), uint32(s[2]))
		copy(to, b.arena[s[0]:])
	},
	"write": func(b *bare, m api.Module, s []uint64) {
		from, _ := m.Memory().Read(uint32(s[0]), uint32(s[1]))
		s[0] = b.place(from)
	},
}

func (b *bare) alloc(n uint64) uint64 {
	at := uint64(len(b.arena))
	b.arena = slices.Grow(b.arena, int(n))[:at+n]
	b.lengths[at] = n
	return at
}

func (b *bare) place(content []byte) uint64 {
	at := b.alloc(uint64(len(content)))
	copy(b.arena[at:], content)
	return at
}

// instantiate makes the instance and sets it up.
func (b *bare) instantiate() (err error) {
	if b.guest, err = b.runtime.InstantiateModule(b, b.compiled, b.config); err != nil {
		return err
	}
	b.exports = map[string]api.Function{}
	if setUp := b.guest.ExportedFunction("_initialize"); setUp != nil {
		_, err = setUp.Call(b)
	}
	if err != nil {
		return err
	}
	return b.boot()
}

func (b *bare) call(export string, input []byte) ([]byte, error) {
	b.input, b.output = input, b.output[:0]
	if b.program != nil {
		return b.run(export)
	}
	if len(b.arena) > bareBase {
		clear(b.lengths)
	}
	b.arena = slices.Grow(b.arena[:0], bareBase)[:bareBase]
	f := b.exports[export]
	if f == nil {
		f = b.guest.ExportedFunction(export)
		b.exports[export] = f
	}
	var stack [1]uint64
	if err := f.CallWithStack(b, stack[:]); err != nil {
		return nil, err
	}
	if uint32(stack[0]) != 0 {
		return nil, errGuest
	}
	return b.output, nil
}

func (b *bare) close() error { return b.runtime.Close(context.Background()) }

func openRawPooled(ctx context.Context, s *sample) (caller, error) {
	b, err := openBare(ctx, s, s.wasm)
	if err != nil {
		return nil, err
	}
	return b, b.instantiate()
}

// openRawFuel adds what our load-time pass puts in for fuel. Nobody counts, and memory.grow just fails.
func openRawFuel(ctx context.Context, s *sample) (caller, error) {
	m, err := rewrite.Rewrite(s.wasm, rewrite.Options{Fuel: 20_000})
	if err != nil {
		return nil, err
	}
	b, err := openBare(ctx, s, m.Wasm)
	if err != nil {
		return nil, err
	}
	return b, b.instantiate()
}

// rawFresh makes an instance for each call.
type rawFresh struct{ *bare }

func openRawFresh(ctx context.Context, s *sample) (caller, error) {
	b, err := openBare(ctx, s, s.wasm)
	return rawFresh{b}, err
}

func (r rawFresh) call(export string, input []byte) ([]byte, error) {
	if err := r.instantiate(); err != nil {
		return nil, err
	}
	output, err := r.bare.call(export, input)
	return output, errors.Join(err, r.guest.Close(r))
}

// rawRestore puts the memory and the globals back after each call.
type rawRestore struct {
	*bare
	image  *snapshot.Image
	memory *snapshot.Memory
	method snapshot.Method

	globals []api.MutableGlobal
	were    []uint64
}

func openRawRestore(ctx context.Context, s *sample) (caller, error) {
	m, err := rewrite.Rewrite(s.wasm, rewrite.Options{Restore: true})
	if err != nil {
		return nil, err
	}
	b, err := openBare(ctx, s, m.Wasm)
	if err != nil {
		return nil, err
	}
	r := &rawRestore{bare: b}
	r.method, _ = snapshot.Probe()
	if err := r.start(nil); err != nil {
		return nil, err
	}
	for _, d := range m.Data {
		if !r.guest.Memory().Write(d.Offset, d.Bytes) {
			return nil, fmt.Errorf("data of %s does not fit", s.name)
		}
	}
	for _, setUp := range []string{m.Start, "_initialize"} {
		if f := r.guest.ExportedFunction(setUp); f != nil {
			if _, err := f.Call(b); err != nil {
				return nil, err
			}
		}
	}
	if err := b.boot(); err != nil {
		return nil, err
	}
	if r.image, err = snapshot.NewImage(r.memory.Bytes()); err != nil {
		return nil, err
	}
	for _, name := range m.Globals {
		r.were = append(r.were, r.guest.ExportedGlobal(name).Get())
	}
	if err := errors.Join(r.guest.Close(ctx), r.start(r.image)); err != nil {
		return nil, err
	}
	for i, name := range m.Globals {
		r.globals = append(r.globals, r.guest.ExportedGlobal(name).(api.MutableGlobal))
		r.globals[i].Set(r.were[i])
	}
	r.script = javascript.NewInstance(r.guest)
	return r, nil
}

// start makes an instance whose memory starts from an image.
func (r *rawRestore) start(image *snapshot.Image) (err error) {
	if r.memory, err = snapshot.NewMemory(1<<30, image); err != nil {
		return err
	}
	allocator := experimental.MemoryAllocatorFunc(func(_, _ uint64) experimental.LinearMemory { return r.memory })
	r.exports = map[string]api.Function{}
	r.guest, err = r.runtime.InstantiateModule(experimental.WithMemoryAllocator(r.bare, allocator), r.compiled, r.config)
	return err
}

func (r *rawRestore) call(export string, input []byte) ([]byte, error) {
	r.memory.Watch()
	output, err := r.bare.call(export, input)
	if err != nil {
		return nil, err
	}
	for i, g := range r.globals {
		g.Set(r.were[i])
	}
	_, err = r.memory.Restore(r.method, func() bool {
		_, ok := r.guest.Memory().Grow(1)
		return ok
	})
	return output, err
}

func (r *rawRestore) close() error { return errors.Join(r.bare.close(), r.image.Close()) }
