// Package sim judges hosts that fail: what they owe the world outside, whatever becomes of their processes and disks.
//
// The ledger is the judge. Its tests are the simulation: the real rooms in a world in which time, vendors, crashes and power
// cuts follow from a seed. The package knows no room. A Ledger is safe for concurrent use.
package sim

import (
	"fmt"
	"slices"
	"sync"
)

// Ledger is what happened, as the world outside saw it: who posted what, what the host acknowledged, and what it did.
type Ledger struct {
	mu     sync.Mutex
	clock  int // counts what happened
	events map[string]*entry
}

// entry is the story of one event. Its times are of the ledger's clock; zero is never.
type entry struct {
	lane                        string
	posted, acknowledged, begun int // each for the first time
	effects                     int
}

func (l *Ledger) at(event string, happened func(e *entry, now int)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.events == nil {
		l.events = map[string]*entry{}
	}
	e := l.events[event]
	if e == nil {
		e = &entry{}
		l.events[event] = e
	}
	l.clock++
	happened(e, l.clock)
}

// first keeps the first of several times.
func first(at *int, now int) {
	if *at == 0 {
		*at = now
	}
}

// Post says that an event is about to be posted to a lane, maybe again.
func (l *Ledger) Post(event, lane string) {
	l.at(event, func(e *entry, now int) { e.lane = lane; first(&e.posted, now) })
}

// Acknowledge says that the host took the event in, as far as whoever posted it knows.
func (l *Ledger) Acknowledge(event string) {
	l.at(event, func(e *entry, now int) { first(&e.acknowledged, now) })
}

// Begin says that the host works the event off, maybe again.
func (l *Ledger) Begin(event string) {
	l.at(event, func(e *entry, now int) { first(&e.begun, now) })
}

// Effect says that something happened at the vendor because of the event.
func (l *Ledger) Effect(event string) {
	l.at(event, func(e *entry, _ int) { e.effects++ })
}

// Acknowledged is how many events were acknowledged.
func (l *Ledger) Acknowledged() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.acknowledged > 0 {
			n++
		}
	}
	return n
}

// Effects is how many effects an event had.
func (l *Ledger) Effects(event string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.events[event]; e != nil {
		return e.effects
	}
	return 0
}

// Problems says what a host must not do once it has had the time to finish: lose what it acknowledged, do anything twice, or
// begin an event before another of its lane that it had acknowledged before the first was posted. excused are events that may
// have had no effect, because a person decides about them.
func (l *Ledger) Problems(excused ...string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := l.disorder()
	for name, e := range l.events {
		switch {
		case e.effects > 1:
			found = append(found, fmt.Sprintf("%s was done %d times", name, e.effects))
		case e.acknowledged > 0 && e.effects == 0 && !slices.Contains(excused, name):
			found = append(found, name+" was acknowledged and never worked off")
		}
	}
	slices.Sort(found)
	return found
}

// disorder walks each lane in the order in which its events began.
func (l *Ledger) disorder() (found []string) {
	var begun []string
	for name, e := range l.events {
		if e.begun > 0 {
			begun = append(begun, name)
		}
	}
	slices.SortFunc(begun, func(a, b string) int { return l.events[a].begun - l.events[b].begun })
	latest := map[string]string{} // by lane, the event posted last of those that began
	for _, name := range begun {
		e := l.events[name]
		before, ok := latest[e.lane]
		if ok && e.acknowledged > 0 && l.events[before].posted > e.acknowledged {
			found = append(found, fmt.Sprintf("%s began before %s, which was acknowledged before it was posted", before, name))
		}
		if !ok || e.posted > l.events[before].posted {
			latest[e.lane] = name
		}
	}
	return found
}
