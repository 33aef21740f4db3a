package snapshot

import "runtime"

// Watch is called before the instance is, so that Restore need not search if only pages were written to that were private
// already: the first write to another page is a page fault, and the system counts those of each thread. The goroutine keeps
// its thread until Pause, Restore or Free. Where that cannot be known, Watch does nothing.
func (m *Memory) Watch() {
	if m.complete && !m.watching {
		m.calm = true
		m.Resume()
	}
}

// Pause lets the goroutine go. It has to be called before it waits for anything, since a goroutine that keeps its thread
// wakes slowly; until Resume nobody may write to the memory. Without Resume, Restore searches. It may be repeated.
func (m *Memory) Pause() {
	if m.watching {
		m.calm = pageFaults() == m.faults
		m.watching = false
		runtime.UnlockOSThread()
	}
}

// Resume goes on with what Pause has paused, on whatever thread that is.
func (m *Memory) Resume() {
	if m.calm && !m.watching {
		runtime.LockOSThread()
		m.faults, m.watching = pageFaults(), true
	}
}

// undisturbed ends the watch and reports whether no page has become private in it.
func (m *Memory) undisturbed() bool {
	watched := m.watching
	m.Pause()
	calm := watched && m.calm
	m.calm = false
	return calm
}

// maxKnown bounds the list of private runs that a memory keeps.
const maxKnown = 64

// learn notes a run of private pages.
func (m *Memory) learn(run span) {
	if m.complete = m.complete && len(m.known) < maxKnown; m.complete {
		m.known = append(m.known, run)
	}
}

// forget empties the list; it is complete if there is none.
func (m *Memory) forget() { m.known, m.complete = m.known[:0], shares }
