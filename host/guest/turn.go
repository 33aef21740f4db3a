package guest

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// turns keeps calls that compute for long out of the way of all others: there are as many turns as cores, and while all are
// taken, one after the other pauses: for a moment, or, while other calls keep coming, until a turn has passed, so that they
// find a core. What answers quickly never asks for a turn.
//
// Go's scheduler alone would not do. It knows no priorities, it looks at the network only when a core has nothing else to
// do, and it cannot interrupt compiled guest code at all; that comes back here by itself, at the end of each quantum of
// fuel.
type turns struct {
	free  chan struct{}
	began atomic.Int64 // when the last call began, in Unix nanoseconds

	mu     sync.Mutex
	pauser chan struct{} // closed to end the pause of who pauses; nil if nobody does
}

const (
	step  = 100 * time.Microsecond // after which whoever waits for this core goes before a call that computes for long
	first = 500 * time.Microsecond // after which it goes before any other: asking may move the call to a core that is cold
	quick = time.Millisecond       // computing that needs no turn, or no further pause
	small = 200                    // quanta that need no turn, however long they take: others may have had the core
	turn  = 5 * time.Millisecond   // after which others get theirs
	alone = 10 * time.Millisecond  // between pauses on the only core
	calm  = 10 * time.Millisecond  // without a new call
)

func newTurns() *turns {
	n := runtime.GOMAXPROCS(0)
	t := &turns{free: make(chan struct{}, n)}
	for range n {
		t.free <- struct{}{}
	}
	return t
}

// pause leaves the core until another call that computes comes by and nobody else has come for a while: long enough for the
// scheduler to look at everything. A sleep would last a millisecond, the finest that it knows while it waits for the network.
func (t *turns) pause(ctx context.Context) {
	t.mu.Lock()
	if t.pauser != nil || len(t.free) > 0 {
		t.mu.Unlock() // somebody pauses, or a core is free already
		return
	}
	mine := make(chan struct{})
	t.pauser = mine
	t.mu.Unlock()
	enough := time.NewTimer(turn)
	defer enough.Stop()
	select {
	case <-mine:
		return
	case <-enough.C:
	case <-ctx.Done():
	}
	t.resume()
}

// resume ends the pause of whoever pauses.
func (t *turns) resume() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pauser != nil {
		close(t.pauser)
		t.pauser = nil
	}
}

// pace is the part of one call in turns. It belongs to the goroutine of the call.
type pace struct {
	turns *turns
	since time.Time // of computing without a pause
	asked time.Time // when others could go first
	steps int
	held  bool
	until time.Time // of the turn
}

func (p *pace) begin(t *turns, now time.Time) {
	*p = pace{turns: t, since: now, asked: now}
	t.began.Store(now.UnixNano())
}

// due is asked where a guest may be left alone for a while, and reports whether it is time for others; step follows then.
func (p *pace) due(now time.Time) bool {
	if p.held && now.UnixNano()-p.turns.began.Load() > int64(calm) {
		p.turns.resume()
	}
	p.steps++
	ran := now.Sub(p.asked)
	return p.long(now) || ran >= first || p.held && ran >= step
}

// long reports whether the guest has computed for so long that it needs a turn.
func (p *pace) long(now time.Time) bool { return p.steps >= small && now.Sub(p.since) >= quick }

// step lets others go first.
func (p *pace) step(ctx context.Context, now time.Time) {
	if !p.long(now) {
		p.asked = now
		runtime.Gosched()
		return
	}
	if p.held && now.After(p.until) {
		p.rest()
	}
	switch {
	case !p.held:
	case cap(p.turns.free) > 1:
		p.turns.pause(ctx)
	case now.Sub(p.since) >= alone:
		time.Sleep(time.Millisecond)
	default:
		runtime.Gosched()
		return
	}
	p.take(ctx)
	p.since = time.Now()
}

// take waits for a turn.
func (p *pace) take(ctx context.Context) {
	if p.held {
		return
	}
	select {
	case <-p.turns.free:
		p.held, p.until = true, time.Now().Add(turn)
	case <-ctx.Done():
	}
}

// rest gives the turn back: the guest waits for something, or its call has ended.
func (p *pace) rest() {
	if p.held {
		p.held = false
		p.turns.free <- struct{}{}
		p.turns.resume()
	}
}
