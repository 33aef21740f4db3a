package requester

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/frigg-host/frigg-host/host/fault"
)

// budgets holds what the calls of one key share: places, and a rate. An entry lives while it is used or its rate remembers
// something, so the map cannot grow with the number of keys ever seen.
type budgets struct {
	places int

	mu      sync.Mutex
	byKey   map[string]*budget
	sweepAt int
}

type budget struct {
	places  chan struct{}
	limiter *rate.Limiter // nil without a rate
	users   int
}

func (b *budget) idle() bool {
	return b.users == 0 && (b.limiter == nil || b.limiter.Tokens() >= float64(b.limiter.Burst()))
}

// enter waits for a place and for the rate of p. leave must be called once.
func (bs *budgets) enter(ctx context.Context, p Policy) (leave func(), err error) {
	b, limiter := bs.join(p)
	select {
	case b.places <- struct{}{}:
	case <-ctx.Done():
		bs.part(p.Key, b)
		if ctx.Err() == context.Canceled {
			return nil, context.Cause(ctx)
		}
		return nil, &fault.Error{Kind: fault.Timeout, Side: fault.Host, Msg: fmt.Sprintf("all %d places of this connection were taken", bs.places)}
	}
	leave = func() { <-b.places; bs.part(p.Key, b) }
	if err := pace(ctx, limiter); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

func (bs *budgets) join(p Policy) (*budget, *rate.Limiter) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	b := bs.byKey[p.Key]
	if b == nil {
		bs.sweep()
		b = &budget{places: make(chan struct{}, bs.places)}
		bs.byKey[p.Key] = b
	}
	b.users++
	burst := max(p.Burst, 1)
	switch {
	case p.Rate <= 0:
		b.limiter = nil
	case b.limiter == nil:
		b.limiter = rate.NewLimiter(p.Rate, burst)
	case b.limiter.Limit() != p.Rate || b.limiter.Burst() != burst:
		b.limiter.SetLimit(p.Rate)
		b.limiter.SetBurst(burst)
	}
	return b, b.limiter
}

func (bs *budgets) part(key string, b *budget) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	if b.users--; b.idle() {
		delete(bs.byKey, key)
	}
}

// sweep drops what has become idle by time alone. It runs when the map has doubled, so its cost stays constant per entry.
func (bs *budgets) sweep() {
	if len(bs.byKey) < max(bs.sweepAt, 1024) {
		return
	}
	for key, b := range bs.byKey {
		if b.idle() {
			delete(bs.byKey, key)
		}
	}
	bs.sweepAt = 2 * len(bs.byKey)
}

// pace takes one token, waiting for it if the deadline allows, else it says at once how long the wait would be.
func pace(ctx context.Context, limiter *rate.Limiter) error {
	if limiter == nil {
		return nil
	}
	turn := limiter.Reserve()
	wait := turn.Delay()
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
		turn.Cancel()
		return &fault.Error{
			Kind: fault.RateLimited, Side: fault.Host, RetryAfter: wait,
			Msg: "the request budget of this connection is used up for now",
		}
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		turn.Cancel()
		return context.Cause(ctx)
	}
}
