package snapshot

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/frigg-host/frigg-host/host/fault"
)

func TestIsPrivate_ReadsTheBitsOfTheKernel(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		entry uint64
		want  bool
	}{
		{"never touched", 0, false},
		{"page of the image", entryPresent | entryFile, false},
		{"page of the image, swapped out", entrySwapped | entryFile, false},
		{"private copy", entryPresent | 12345, true},
		{"private copy, soft-dirty and exclusive", entryPresent | 1<<55 | 1<<56, true},
		{"private copy, swapped out", entrySwapped | 77, true},
	} {
		if isPrivate(c.entry) != c.want {
			t.Errorf("%s: %v", c.name, !c.want)
		}
		if isTouched(c.entry) != (c.entry != 0) {
			t.Errorf("%s: touched %v", c.name, c.entry == 0)
		}
	}
}

// A check that reads all of a sparse image would make it take its whole size, and count as resident in every memory.
func TestSame_DoesNotFillHoles(t *testing.T) {
	i, err := NewImage(make([]byte, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	m, err := NewMemory(1<<20, i)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Free()
	m.Reallocate(0)
	m.Bytes()[0] = 1
	if m.Same() {
		t.Error("a changed memory passes for its image")
	}
	m.Bytes()[0] = 0
	if !m.Same() {
		t.Error("the memory is not its image")
	}
	if i.backing.tables.err != nil {
		t.Skip("without page tables all is read: ", i.backing.tables.err)
	}
	var s unix.Stat_t
	if err := unix.Fstat(i.backing.fd, &s); err != nil {
		t.Fatal(err)
	}
	if taken := uint64(s.Blocks) * 512; taken > pageSize {
		t.Errorf("the file takes %d bytes after one page was touched", taken)
	}
}

// A private page that was swapped out is not present, and must be found all the same.
func TestRestore_FindsSwappedPages(t *testing.T) {
	swaps, err := os.ReadFile("/proc/swaps")
	if err != nil || strings.Count(string(swaps), "\n") < 2 {
		t.Skip("this machine has no swap")
	}
	i, err := NewImage(make([]byte, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	for _, by := range []Method{PagemapScan, Pagemap} {
		m, err := NewMemory(1<<20, i)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Free()
		m.Reallocate(0)
		dirty(m.Bytes())
		if err := unix.Madvise(m.Bytes(), unix.MADV_PAGEOUT); err != nil {
			t.Skip("this kernel does not page out on demand: ", err)
		}
		if _, err := m.Restore(by, nil); err != nil {
			t.Skip(by, " does not work here: ", err)
		}
		if !m.Same() {
			t.Errorf("%s: the memory is not its image", by)
		}
	}
}

// Not parallel: it takes the page tables away from the whole process.
func TestProbe_FallsBackToCopyAndSaysWhy(t *testing.T) {
	shared.users, shared.pagemap = 1, &pagemap{-1, unix.EACCES}
	defer func() { shared.users, shared.pagemap = 0, nil }()
	best, rejected := Probe()
	if best != Copy || len(rejected) != 2 {
		t.Fatalf("%s, %v", best, rejected)
	}
	for _, r := range rejected {
		if !fault.Is(r.Err, fault.Unsupported) || !errors.Is(r.Err, unix.EACCES) {
			t.Errorf("%s: %v", r.Method, r.Err)
		}
	}
}

func TestProbe_RejectsAMethodThatDoesNotPutBack(t *testing.T) {
	if err := try(func(*Memory) error { return nil }); !fault.Is(err, fault.Unsupported) {
		t.Errorf("a method that does nothing: %v", err)
	}
}
