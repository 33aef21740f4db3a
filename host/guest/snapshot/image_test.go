package snapshot_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/guest/snapshot"
)

// Whatever the tests make, they must have given back.
func TestMain(m *testing.M) {
	code := m.Run()
	if memories, images := snapshot.Live(); memories+images > 0 {
		fmt.Fprintf(os.Stderr, "%d memories and %d images are left\n", memories, images)
		code = 1
	}
	os.Exit(code)
}

func TestNewImage_Copies(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, page, 5*page + 3, 1 << 20} {
		source := picture(size)
		want := bytes.Clone(source)
		i := newImage(t, source)
		clear(source)
		m := started(t, 1<<20, i)
		dirty(m.Bytes())
		if !bytes.Equal(i.Bytes(), want) || i.Size() != uint64(size) || i.Sum() != sha256.Sum256(want) {
			t.Errorf("the image of %d bytes is not what the memory was", size)
		}
	}
}

func TestResident_CountsPagesThatAreNotZero(t *testing.T) {
	t.Parallel()
	memory := make([]byte, 10*page)
	memory[0], memory[4*page-1], memory[9*page] = 1, 1, 1
	if got := newImage(t, memory).Resident(); got != uint64(3*page) {
		t.Errorf("%d bytes, want 3 pages", got)
	}
}

// Whoever comes too late gets no memory, whoever does not keeps the image.
func TestClose_WhileMemoriesStart(t *testing.T) {
	t.Parallel()
	for range 20 {
		i := newImage(t, picture(wasmPage))
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				m, err := snapshot.NewMemory(wasmPage, i)
				if err != nil {
					return
				}
				defer m.Free()
				m.Reallocate(0)
				if !m.Same() || i.Sum() != sha256.Sum256(picture(wasmPage)) {
					t.Error("the image is not there")
				}
			})
		}
		all.Go(func() {
			if err := i.Close(); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
		if i.Bytes() != nil {
			t.Error("the image is still there")
		}
	}
}

func TestClose_LeavesTheImageToItsMemories(t *testing.T) {
	i := newImage(t, picture(1<<20))
	m := started(t, 4<<20, i)
	for range 2 {
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := snapshot.NewMemory(4<<20, i); !fault.Is(err, fault.Internal) {
		t.Errorf("a memory started from a closed image: %v", err)
	}
	dirty(m.Bytes())
	restore(t, m, methods(t)[0])
	if !m.Same() {
		t.Error("the memory is not its image")
	}
	if memories, images := snapshot.Live(); memories != 1 || images != 1 {
		t.Errorf("%d memories and %d images, want one each", memories, images)
	}
	m.Free()
	if memories, images := snapshot.Live(); memories+images != 0 {
		t.Errorf("%d memories and %d images are left", memories, images)
	}
	if i.Bytes() != nil {
		t.Error("the image shows what is no longer there")
	}
}
