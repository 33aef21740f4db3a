package snapshot

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// holdings counts the open files and the mappings of images, and of the page tables.
func holdings(t *testing.T) (files, mappings int) {
	t.Helper()
	open, err := filepath.Glob("/proc/self/fd/*")
	if err != nil || len(open) == 0 {
		t.Fatal("no open files are to be seen: ", err)
	}
	for _, name := range open {
		if to, _ := os.Readlink(name); strings.Contains(to, "memfd:image") || strings.HasSuffix(to, "/pagemap") {
			files++
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return files, strings.Count(string(maps), "memfd:image")
}

// Not parallel: it counts what the whole process has open.
func TestClose_LeavesNoFileAndNoMapping(t *testing.T) {
	files, mappings := holdings(t)
	for range 20 {
		i, err := NewImage([]byte("memory"))
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			m, err := NewMemory(1<<30, i)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Free()
			m.Reallocate(0)
			m.Bytes()[0]++
			if _, err := m.Restore(Copy, nil); err != nil {
				t.Fatal(err)
			}
			if f, m := holdings(t); f < files+2 || m < mappings+2 {
				t.Fatal("this test does not see what is held: ", f, m)
			}
			m.Free()
		}
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if f, m := holdings(t); f != files || m != mappings {
		t.Errorf("%d files and %d mappings are left of %d and %d", f, m, files, mappings)
	}
}

func TestNewImage_IsSealedAndHasHoles(t *testing.T) {
	memory := make([]byte, 1<<20)
	memory[len(memory)/2] = 1
	i, err := NewImage(memory)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	var s unix.Stat_t
	if err := unix.Fstat(i.backing.fd, &s); err != nil {
		t.Fatal(err)
	}
	if taken := uint64(s.Blocks) * 512; taken != i.Resident() {
		t.Errorf("the file takes %d bytes, want %d", taken, i.Resident())
	}
	if _, err := unix.Pwrite(i.backing.fd, []byte{1}, 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("write: %v", err)
	}
	if err := unix.Ftruncate(i.backing.fd, 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("truncate: %v", err)
	}
}
