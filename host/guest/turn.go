package guest

import (
	"context"
	"runtime"
	"time"
)

// turns keeps calls that compute for long out of the way of all others: there are as many turns as cores, and who has one
// leaves its core for a breath in every millisecond. What answers quickly never asks for one.
//
// Go's scheduler alone would not do. It knows no priorities, it looks at the network only when a core has nothing else to
// do, and it cannot interrupt compiled guest code at all; that comes back here by itself, at the end of each quantum of
// fuel.
type turns struct{ free chan struct{} }

const (
	step   = 100 * time.Microsecond // after which whoever waits for this core goes first
	quick  = time.Millisecond       // computing that needs no turn, or no further breath
	turn   = 5 * time.Millisecond   // after which others get theirs
	breath = 50 * time.Microsecond  // long enough for the scheduler to look at everything
)

func newTurns() *turns {
	n := runtime.GOMAXPROCS(0)
	t := &turns{free: make(chan struct{}, n)}
	for range n {
		t.free <- struct{}{}
	}
	return t
}

// pace is the part of one call in turns. It belongs to the goroutine of the call.
type pace struct {
	turns *turns
	since time.Time // of computing without a breath
	asked time.Time // when others could go first
	held  bool
	until time.Time // of the turn
}

func (p *pace) begin(t *turns, now time.Time) { *p = pace{turns: t, since: now, asked: now} }

// step is called where a guest may be left alone for a while.
func (p *pace) step(ctx context.Context, now time.Time) {
	if now.Sub(p.since) < quick {
		if now.Sub(p.asked) >= step {
			p.asked = now
			runtime.Gosched()
		}
		return
	}
	if p.held && now.After(p.until) {
		p.rest()
	}
	time.Sleep(breath)
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
	}
}
