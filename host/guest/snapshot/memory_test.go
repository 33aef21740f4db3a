package snapshot_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"testing"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/guest/snapshot"
)

var page = os.Getpagesize()

const wasmPage = 1 << 16

// methods are all that work here; the best one first.
func methods(t testing.TB) []snapshot.Method {
	t.Helper()
	best, rejected := snapshot.Probe()
	for _, r := range rejected {
		t.Logf("%s does not work here: %v", r.Method, r.Err)
	}
	all := []snapshot.Method{snapshot.PagemapScan, snapshot.Pagemap, snapshot.Copy}
	for all[0] != best {
		all = all[1:]
	}
	return all
}

// picture is n bytes of which every third page is zero.
func picture(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{7})
	for at := 0; at < n; at += page {
		if at/page%3 != 1 {
			_, _ = r.Read(b[at:min(at+page, n)])
		}
	}
	return b
}

func newImage(t testing.TB, memory []byte) *snapshot.Image {
	t.Helper()
	i, err := snapshot.NewImage(memory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	return i
}

// started is a memory whose instance was made.
func started(t testing.TB, ceiling int, i *snapshot.Image) *snapshot.Memory {
	t.Helper()
	m, err := snapshot.NewMemory(uint64(ceiling), i)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Free)
	if b := m.Reallocate(0); i != nil && uint64(len(b)) != i.Size() {
		t.Fatalf("the first Reallocate exposes %d bytes, want those of the image: %d", len(b), i.Size())
	}
	return m
}

// growOne is what an engine does to grow by one page.
func growOne(m *snapshot.Memory) func() bool {
	return func() bool { return m.Reallocate(uint64(len(m.Bytes())+wasmPage)) != nil }
}

func restore(t testing.TB, m *snapshot.Memory, by snapshot.Method) int {
	t.Helper()
	n, err := m.Restore(by, growOne(m))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func dirty(b []byte) {
	for at := 0; at < len(b); at += page {
		b[at] ^= 0xff
	}
}

func isZero(b []byte) bool { return bytes.Equal(b, make([]byte, len(b))) }

func TestRestore_MakesTheMemoryItsImage(t *testing.T) {
	t.Parallel()
	const ceiling = 4 << 20
	grow := func(m *snapshot.Memory, by int) { dirty(m.Reallocate(uint64(len(m.Bytes()) + by))) }
	changes := []struct {
		name   string
		change func(m *snapshot.Memory)
	}{
		{"nothing", func(*snapshot.Memory) {}},
		{"reads", func(m *snapshot.Memory) { bytes.Count(m.Bytes(), []byte{1}) }},
		{"the first byte", func(m *snapshot.Memory) {
			if len(m.Bytes()) > 0 {
				m.Bytes()[0]++
			}
		}},
		{"the last byte", func(m *snapshot.Memory) {
			if b := m.Bytes(); len(b) > 0 {
				b[len(b)-1]++
			}
		}},
		{"every page", func(m *snapshot.Memory) { dirty(m.Bytes()) }},
		{"every other page", func(m *snapshot.Memory) {
			for at := 0; at < len(m.Bytes()); at += 2 * page {
				m.Bytes()[at]++
			}
		}},
		{"growth by less than a page", func(m *snapshot.Memory) { grow(m, 1) }},
		{"growth", func(m *snapshot.Memory) { grow(m, wasmPage) }},
		{"growth to the ceiling", func(m *snapshot.Memory) { grow(m, ceiling-len(m.Bytes())) }},
		{"growth in steps and every page", func(m *snapshot.Memory) { grow(m, wasmPage); grow(m, wasmPage); dirty(m.Bytes()) }},
	}
	for _, by := range methods(t) {
		for _, size := range []int{0, 1, page - 1, page, 3*page + 17, 2 * wasmPage, 3<<20 + wasmPage} {
			for _, keep := range []uint64{0, snapshot.DefaultKeep, ceiling} {
				t.Run(fmt.Sprintf("%s/%d/%d", by, size, keep), func(t *testing.T) {
					t.Parallel()
					i := newImage(t, picture(size))
					m := started(t, ceiling, i)
					m.Keep = keep
					for _, c := range changes {
						m.Watch()
						c.change(m)
						restore(t, m, by)
						if !m.Same() {
							t.Fatalf("after %s the memory is not its image", c.name)
						}
						if runtime.GOOS == "linux" && m.Private() > keep {
							t.Errorf("after %s it keeps %d private bytes of at most %d", c.name, m.Private(), keep)
						}
						m.Watch()
						restore(t, m, by)
						if !m.Same() {
							t.Fatalf("after %s and a second Restore the memory is not its image", c.name)
						}
					}
					grown := m.Reallocate(ceiling)
					if !isZero(grown[size:]) {
						t.Fatal("growth shows what was there before")
					}
				})
			}
		}
	}
}

func TestRestore_FindsOnlyWhatWasWritten(t *testing.T) {
	t.Parallel()
	for _, by := range methods(t) {
		t.Run(string(by), func(t *testing.T) {
			t.Parallel()
			m := started(t, 1<<30, newImage(t, picture(4<<20)))
			bytes.Count(m.Bytes(), []byte{1})
			if n := restore(t, m, by); n != 0 {
				t.Errorf("%d pages were put back after reading", n)
			}
			for at := 0; at < 7; at++ {
				m.Bytes()[(100+at*at)*page]++
			}
			if n := restore(t, m, by); n != 7 {
				t.Errorf("%d pages were put back, 7 were written to", n)
			}
		})
	}
}

// A Restore that forgets a page must not pass for one.
func TestSame_CatchesAWrongRestore(t *testing.T) {
	t.Parallel()
	i := newImage(t, picture(1<<20))
	for _, forgotten := range []int{0, 100, 1<<20/page - 1} {
		m := started(t, 4<<20, i)
		dirty(m.Bytes())
		for p := range 1 << 20 / page {
			if p != forgotten {
				copy(m.Bytes()[p*page:(p+1)*page], i.Bytes()[p*page:])
			}
		}
		if m.Same() {
			t.Errorf("page %d was not put back and nobody noticed", forgotten)
		}
		m.Bytes()[forgotten*page] ^= 0xff
		if !m.Same() {
			t.Error("the last page was put back and it still differs")
		}
	}
}

func TestSame_WantsTheSizeOfTheImage(t *testing.T) {
	t.Parallel()
	m := started(t, 2*wasmPage, newImage(t, picture(wasmPage)))
	m.Reallocate(2 * wasmPage)
	if m.Same() {
		t.Error("a grown memory passes for its image")
	}
	if started(t, wasmPage, nil).Same() {
		t.Error("a memory without an image passes for its image")
	}
}

// One call that writes much must not make all later ones slow.
func TestRestore_ForgetsAnOutlier(t *testing.T) {
	t.Parallel()
	for _, by := range methods(t) {
		if by == snapshot.Copy {
			continue // looks at everything anyway
		}
		m := started(t, 4<<20, newImage(t, picture(2<<20)))
		dirty(m.Bytes())
		restore(t, m, by)
		if m.Private() != 2<<20 {
			t.Errorf("%s: it keeps %d bytes, want all that was written to", by, m.Private())
		}
		for range 20 {
			m.Bytes()[0]++
			restore(t, m, by)
		}
		if m.Private() > uint64(page) {
			t.Errorf("%s: it still keeps %d bytes for one page", by, m.Private())
		}
	}
}

func TestRestore_GivesBackAFarGrowth(t *testing.T) {
	t.Parallel()
	const ceiling = 1 << 30
	for _, by := range methods(t) {
		m := started(t, ceiling, newImage(t, picture(wasmPage)))
		for range 3 {
			b := m.Reallocate(ceiling)
			for _, at := range []int{wasmPage, ceiling / 2, ceiling - 1} {
				if b[at] != 0 {
					t.Fatalf("%s: growth shows what was there before", by)
				}
				b[at] = 1
			}
			restore(t, m, by)
			if !m.Same() || runtime.GOOS == "linux" && m.Private() != 0 {
				t.Errorf("%s: the memory is not its image, or keeps %d bytes for pages that are far behind it", by, m.Private())
			}
		}
	}
}

func TestRestore_SurvivesAnyHistory(t *testing.T) {
	t.Parallel()
	const ceiling = 1 << 20
	for _, by := range methods(t) {
		for seed := range uint64(8) {
			t.Run(fmt.Sprintf("%s/%d", by, seed), func(t *testing.T) {
				t.Parallel()
				r := rand.New(rand.NewPCG(seed, 1))
				m := started(t, ceiling, newImage(t, picture(r.IntN(ceiling/2))))
				m.Keep = uint64(r.IntN(ceiling))
				for range 40 {
					for range r.IntN(30) {
						if b := m.Bytes(); r.IntN(4) > 0 && len(b) > 0 {
							at := r.IntN(len(b))
							clear(b[at:min(len(b), at+r.IntN(3*page))])
							b[at] = byte(r.Uint32())
							continue
						}
						was := len(m.Bytes())
						b := m.Reallocate(uint64(was + r.IntN(ceiling/4)))
						if b != nil && !isZero(b[was:]) {
							t.Fatal("growth shows what was there before")
						}
					}
					restore(t, m, by)
					if !m.Same() {
						t.Fatal("the memory is not its image")
					}
				}
			})
		}
	}
}

func TestMemories_OfOneImageDoNotMeet(t *testing.T) {
	t.Parallel()
	by := methods(t)[0]
	i := newImage(t, picture(1<<20))
	var all sync.WaitGroup
	for g := range 32 {
		all.Go(func() {
			m, err := snapshot.NewMemory(4<<20, i)
			if err != nil {
				t.Error(err)
				return
			}
			defer m.Free()
			m.Reallocate(0)
			for range 12 {
				for at := g; at < len(m.Bytes()); at += 7 * page {
					m.Bytes()[at] = byte(g)
				}
				if g%2 == 0 {
					dirty(m.Reallocate(2 << 20))
				}
				if _, err := m.Restore(by, growOne(m)); err != nil || !m.Same() {
					t.Errorf("memory %d was not put back: %v", g, err)
					return
				}
			}
		})
	}
	all.Wait()
}

func TestReallocate_AsksTheGuardOnlyForTheGuest(t *testing.T) {
	t.Parallel()
	type ask struct{ current, wanted uint64 }
	m := started(t, 4*wasmPage, newImage(t, picture(wasmPage)))
	var asked []ask
	m.Guard = func(current, wanted uint64) bool {
		asked = append(asked, ask{current, wanted})
		if wanted == 3*wasmPage {
			panic("stop")
		}
		return wanted != 2*wasmPage
	}
	if m.Reallocate(2*wasmPage) != nil || len(m.Bytes()) != wasmPage {
		t.Error("the guard was not obeyed")
	}
	func() {
		defer func() {
			if recover() != "stop" {
				t.Error("the guard's panic did not come through")
			}
		}()
		m.Reallocate(3 * wasmPage)
	}()
	if m.Reallocate(4*wasmPage) == nil {
		t.Error("the memory cannot grow after a panic")
	}
	if m.Reallocate(5*wasmPage) != nil {
		t.Error("the memory grew above its ceiling")
	}
	restore(t, m, methods(t)[0])
	if !m.Same() {
		t.Error("the memory is not its image")
	}
	want := []ask{{wasmPage, 2 * wasmPage}, {wasmPage, 3 * wasmPage}, {wasmPage, 4 * wasmPage}, {4 * wasmPage, 5 * wasmPage}}
	if fmt.Sprint(asked) != fmt.Sprint(want) {
		t.Errorf("the guard was asked %v, want %v", asked, want)
	}
}

func TestReallocate_RefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	i := newImage(t, picture(wasmPage))
	m, err := snapshot.NewMemory(4*wasmPage, i)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Free()
	if m.Reallocate(2*wasmPage) != nil {
		t.Error("an image smaller than the module's minimum was taken")
	}
	if len(m.Reallocate(wasmPage)) != wasmPage {
		t.Error("it did not start")
	}
	if m.Reallocate(wasmPage-1) != nil {
		t.Error("it shrank")
	}
	empty, err := snapshot.NewMemory(wasmPage, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Free()
	if empty.Reallocate(2*wasmPage) != nil {
		t.Error("a minimum above the ceiling was taken")
	}
	if b := empty.Reallocate(wasmPage); len(b) != wasmPage || cap(b) != wasmPage || !isZero(b) {
		t.Error("a memory without an image is not the size that was asked for, or not zero")
	}
}

func TestRestore_RefusesWhatItCannotPutBack(t *testing.T) {
	t.Parallel()
	i := newImage(t, picture(wasmPage))
	never := func() bool { return false }
	silent := func() bool { return true }
	for _, c := range []struct {
		name string
		by   snapshot.Method
		grow func() bool
		m    func() *snapshot.Memory
		want fault.Kind
	}{
		{"no image", snapshot.Copy, nil, func() *snapshot.Memory { return started(t, wasmPage, nil) }, fault.Internal},
		{"unknown method", "guess", nil, func() *snapshot.Memory { return started(t, wasmPage, i) }, fault.Unsupported},
		{"freed", snapshot.Copy, nil, func() *snapshot.Memory { m := started(t, wasmPage, i); m.Free(); return m }, fault.Internal},
		{"an engine that refuses", snapshot.Copy, never, func() *snapshot.Memory {
			m := started(t, 2*wasmPage, i)
			m.Reallocate(2 * wasmPage)
			return m
		}, fault.Internal},
		{"an engine that does not ask", snapshot.Copy, silent, func() *snapshot.Memory {
			m := started(t, 2*wasmPage, i)
			m.Reallocate(2 * wasmPage)
			return m
		}, fault.Internal},
	} {
		if _, err := c.m().Restore(c.by, c.grow); !fault.Is(err, c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

func TestFree_LeavesNothing(t *testing.T) {
	t.Parallel()
	m := started(t, 2*wasmPage, newImage(t, picture(wasmPage)))
	m.Free()
	m.Free()
	if len(m.Bytes()) != 0 || m.Reallocate(wasmPage) != nil || m.Same() || m.Private() != 0 {
		t.Error("a freed memory still shows something")
	}
}

func TestNewMemory_RefusesAnImageAboveTheCeiling(t *testing.T) {
	t.Parallel()
	if _, err := snapshot.NewMemory(wasmPage, newImage(t, picture(wasmPage+1))); !fault.Is(err, fault.Internal) {
		t.Error(err)
	}
}

func TestNewMemory_SaysWhenThereIsNoRoom(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no address space is reserved there")
	}
	if _, err := snapshot.NewMemory(1<<62, nil); !fault.Is(err, fault.Exhausted) {
		t.Error(err)
	}
}
