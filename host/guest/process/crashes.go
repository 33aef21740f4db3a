package process

import (
	"crypto/sha256"
	"sync"
	"time"
)

const (
	firstDelay = time.Second
	mostDelay  = 30 * time.Second
	calm       = time.Minute
)

// digest of a module.
type digest [sha256.Size]byte

// crashes remembers which modules took their process down, and how long each has to wait for another one. It doubles with
// each crash, so that a module that crashes always does so twice a minute; after a calm minute it is forgotten.
//
// Safe for concurrent use.
type crashes struct {
	now func() time.Time

	mu sync.Mutex
	of map[digest]crash
}

type crash struct {
	at    time.Time
	delay time.Duration
}

func newCrashes(now func() time.Time) *crashes {
	return &crashes{now: now, of: map[digest]crash{}}
}

// add counts one and returns how long to wait.
func (c *crashes) add(d digest) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget()
	delay := firstDelay
	if last, ok := c.of[d]; ok {
		delay = min(2*last.delay, mostDelay)
	}
	c.of[d] = crash{c.now(), delay}
	return delay
}

// wait is how long a module has to wait still.
func (c *crashes) wait(d digest) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	last, ok := c.of[d]
	if !ok {
		return 0
	}
	return max(0, last.at.Add(last.delay).Sub(c.now()))
}

// forget drops what is over; it needs the lock.
func (c *crashes) forget() {
	for d, last := range c.of {
		if c.now().Sub(last.at) >= last.delay+calm {
			delete(c.of, d)
		}
	}
}
