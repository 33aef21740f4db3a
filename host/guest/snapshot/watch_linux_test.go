package snapshot

import (
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
)

// watched is a memory of an image, which method can put back, of so many pages.
func watched(t *testing.T, by Method, pages int) *Memory {
	t.Helper()
	if best, _ := Probe(); best == Copy || best == Pagemap && by != Pagemap {
		t.Skipf("%s does not work here", by)
	}
	image := make([]byte, uint64(pages)*pageSize)
	for at := range image {
		image[at] = byte(at)
	}
	i, err := NewImage(image)
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewMemory(i.size, i)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Free(); _ = i.Close() })
	m.Reallocate(0)
	return m
}

// locked reports whether the goroutine keeps its thread.
func locked() bool {
	var b [200]byte
	header, _, _ := strings.Cut(string(b[:runtime.Stack(b[:], false)]), "\n")
	return strings.Contains(header, "locked to thread")
}

func (m *Memory) mustRestore(t *testing.T, by Method) {
	t.Helper()
	if _, err := m.Restore(by, nil); err != nil {
		t.Fatal(err)
	}
	if !m.Same() {
		t.Fatal("the memory is not its image")
	}
}

// elsewhere runs f on another thread.
func elsewhere(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends
		f()
	}()
	<-done
}

// TestWatch_NoticesEveryPageThatBecomesPrivate: and nothing else, so that the search is spared when it can be.
func TestWatch_NoticesEveryPageThatBecomesPrivate(t *testing.T) {
	for _, by := range []Method{PagemapScan, Pagemap} {
		m := watched(t, by, 64)
		m.Watch()
		if m.watching || locked() {
			t.Error("it watches before it knows the private pages")
		}
		for at := uint64(0); at < m.size; at += 4 * pageSize { // reading faults too
			_ = m.Bytes()[at]
		}
		m.Bytes()[0]++
		m.Bytes()[10*pageSize]++
		m.mustRestore(t, by)
		for _, c := range []struct {
			name string
			do   func()
			calm bool
		}{
			{"nothing", func() {}, true},
			{"a private page", func() { m.Bytes()[10*pageSize+7]++ }, true},
			{"reading", func() { _ = m.Bytes()[20*pageSize] }, true},
			{"another page", func() { m.Bytes()[20*pageSize]++ }, false},
			{"that page again", func() { m.Bytes()[20*pageSize]++ }, true},
			{"the last byte", func() { m.Bytes()[m.size-1]++ }, false},
			{"waiting", func() { m.Pause(); m.Pause() }, false},
			{"waiting for another thread", func() { m.Pause(); elsewhere(func() {}); m.Resume(); m.Resume() }, true},
			{"a private page, waiting, another private page", func() { m.Bytes()[0]++; m.Pause(); m.Resume(); m.Bytes()[10*pageSize]++ }, true},
			{"another page, waiting", func() { m.Bytes()[30*pageSize]++; m.Pause(); m.Resume() }, false},
			{"another page, waiting twice", func() { m.Bytes()[31*pageSize]++; m.Pause(); m.Resume(); m.Pause(); m.Resume() }, false},
			{"waiting, another page", func() { m.Pause(); m.Resume(); m.Bytes()[32*pageSize]++ }, false},
			{"waiting, another page on another thread", func() {
				m.Pause()
				elsewhere(func() { m.Resume(); m.Bytes()[33*pageSize]++; m.Pause() })
				m.Resume()
			}, false},
		} {
			calm := false
			for range 100 { // also a page fault in other memory, of Go's or of the race detector's, disturbs
				m.Watch()
				m.Watch()
				if !locked() {
					t.Fatal("the goroutine does not keep its thread")
				}
				c.do()
				calm = m.watching && m.calm && pageFaults() == m.faults
				m.mustRestore(t, by)
				if locked() {
					t.Fatal("the goroutine still keeps its thread")
				}
				if calm || !c.calm {
					break
				}
			}
			if calm != c.calm {
				t.Errorf("%s after %s: undisturbed is %t", by, c.name, calm)
			}
		}
	}
}

func TestWatch_EndsWithTheMemory(t *testing.T) {
	m := watched(t, PagemapScan, 4)
	m.mustRestore(t, PagemapScan)
	m.Watch()
	if !locked() {
		t.Fatal("the goroutine does not keep its thread")
	}
	m.Free()
	if locked() {
		t.Error("the goroutine still keeps its thread")
	}
}

// TestWatch_HoldsThroughEverything: also where there are more runs than are kept, all is given back, or methods alternate.
func TestWatch_HoldsThroughEverything(t *testing.T) {
	t.Parallel()
	const pages = 8 * maxKnown
	m := watched(t, PagemapScan, pages)
	random := rand.New(rand.NewPCG(1, 2))
	spared := 0
	for range 1000 {
		if m.Keep = m.size; random.IntN(20) == 0 {
			m.Keep = uint64(random.IntN(pages)) * pageSize
		}
		m.Watch()
		for range []int{0, 1, 2, pages / 4}[random.IntN(4)] {
			m.Bytes()[random.IntN(pages)*int(pageSize)]++
		}
		if random.IntN(4) == 0 {
			m.Pause()
			m.Resume()
		}
		if m.watching && m.calm && pageFaults() == m.faults {
			spared++
		}
		by := PagemapScan
		if random.IntN(5) == 0 {
			by = Copy
		}
		m.mustRestore(t, by)
	}
	if spared == 0 {
		t.Error("no search was ever spared")
	}
}
