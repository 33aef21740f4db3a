package snapshot_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/frigg-host/frigg-host/host/guest/snapshot"
)

var _ experimental.LinearMemory = (*snapshot.Memory)(nil)

// module has a memory of one page without a maximum, and four functions that are no more than their instruction.
var module = []byte("\x00asm\x01\x00\x00\x00" +
	"\x01\x0f\x03\x60\x00\x01\x7f\x60\x01\x7f\x01\x7f\x60\x02\x7f\x7f\x00" + // types: () -> i32, i32 -> i32, (i32, i32) -> ()
	"\x03\x05\x04\x00\x01\x01\x02" + // functions of these types
	"\x05\x03\x01\x00\x01" + // memory of at least 1 page
	"\x07\x1e\x04\x04size\x00\x00\x04grow\x00\x01\x04load\x00\x02\x05store\x00\x03" +
	"\x0a\x1f\x04" +
	"\x04\x00\x3f\x00\x0b" + // memory.size
	"\x06\x00\x20\x00\x40\x00\x0b" + // memory.grow
	"\x07\x00\x20\x00\x28\x02\x00\x0b" + // i32.load
	"\x09\x00\x20\x00\x20\x01\x36\x02\x00\x0b") // i32.store

const enginePages = 8 // that a guest may have

type guest struct {
	t   *testing.T
	mem *snapshot.Memory
	mod api.Module
}

func instantiate(t *testing.T, r wazero.Runtime, i *snapshot.Image) guest {
	t.Helper()
	m, err := snapshot.NewMemory(enginePages*wasmPage, i)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Free)
	ctx := experimental.WithMemoryAllocator(context.Background(),
		experimental.MemoryAllocatorFunc(func(_, _ uint64) experimental.LinearMemory { return m }))
	mod, err := r.InstantiateWithConfig(ctx, module, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		t.Fatal(err)
	}
	return guest{t, m, mod}
}

// call returns the result, false after a trap or the guard's panic.
func (g guest) call(name string, args ...uint64) (uint64, bool) {
	g.t.Helper()
	out, err := g.mod.ExportedFunction(name).Call(context.Background(), args...)
	if err != nil {
		return 0, false
	}
	return append(out, 0)[0], true
}

func (g guest) want(result uint64, name string, args ...uint64) {
	g.t.Helper()
	if got, ok := g.call(name, args...); !ok || got != result {
		g.t.Errorf("%s%v is %d, %v; want %d", name, args, int32(got), ok, int32(result))
	}
}

func (g guest) restore(by snapshot.Method) {
	g.t.Helper()
	if _, err := g.mem.Restore(by, func() bool { _, ok := g.mod.Memory().Grow(1); return ok }); err != nil {
		g.t.Fatal(err)
	}
	if !g.mem.Same() {
		g.t.Error("the memory is not its image")
	}
}

func TestEngine_SeesTheImageAfterRestore(t *testing.T) {
	t.Parallel()
	const failed = 0xffffffff
	for name, config := range map[string]wazero.RuntimeConfig{
		"compiler": wazero.NewRuntimeConfig(), "interpreter": wazero.NewRuntimeConfigInterpreter(),
	} {
		for _, by := range methods(t) {
			t.Run(fmt.Sprintf("%s/%s", name, by), func(t *testing.T) {
				t.Parallel()
				r := wazero.NewRuntimeWithConfig(context.Background(), config.WithMemoryLimitPages(enginePages+1))
				defer r.Close(context.Background())

				boot := instantiate(t, r, nil)
				boot.want(1, "grow", 2)
				boot.want(0, "store", 2*wasmPage, 42)
				i := newImage(t, boot.mem.Bytes())
				if err := boot.mod.Close(context.Background()); err != nil {
					t.Fatal(err)
				}
				if len(boot.mem.Bytes()) != 0 {
					t.Error("closing the instance did not free its memory")
				}

				g := instantiate(t, r, i)
				for range 3 {
					g.want(3, "size")
					g.want(42, "load", 2*wasmPage)
					if _, ok := g.call("load", 3*wasmPage); ok {
						t.Error("a load behind the image does not trap")
					}
					g.want(0, "store", 2*wasmPage, 7)
					g.want(0, "store", 0, 7)
					g.want(3, "grow", enginePages-3)
					g.want(0, "load", 3*wasmPage)
					g.want(0, "store", enginePages*wasmPage-4, 7)
					g.want(failed, "grow", 1)
					g.want(enginePages, "size")
					g.restore(by)
				}
				g.restore(by)

				g.mem.Guard = func(uint64, uint64) bool { panic("stop") }
				if _, ok := g.call("grow", 1); ok {
					t.Error("the guard's panic did not end the call")
				}
				g.restore(by)
				g.mem.Guard = nil
				g.want(3, "grow", 1)
				g.want(0, "load", 3*wasmPage)
			})
		}
	}
}
