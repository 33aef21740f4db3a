package connection

import (
	"context"
	"sync"

	"github.com/frigg-host/frigg-host/host/fault"
)

// gates hold a connection to the number of requests that its vendor takes at once. A gate lives while somebody uses it.
type gates struct {
	mu    sync.Mutex
	byKey map[string]*gate
}

type gate struct {
	places chan struct{}
	users  int
}

// enter waits for a place. leave must be called once.
func (gs *gates) enter(ctx context.Context, c *conn) (leave func(), err error) {
	if c.m.api == nil || c.m.api.RateLimit == nil || c.m.api.RateLimit.Concurrency == 0 {
		return func() {}, nil
	}
	key, g := c.budget(), (*gate)(nil)
	gs.mu.Lock()
	if gs.byKey == nil {
		gs.byKey = map[string]*gate{}
	}
	if g = gs.byKey[key]; g == nil {
		g = &gate{places: make(chan struct{}, min(c.m.api.RateLimit.Concurrency, 1024))}
		gs.byKey[key] = g
	}
	g.users++
	gs.mu.Unlock()
	select {
	case g.places <- struct{}{}:
		return func() { <-g.places; gs.part(key, g) }, nil
	case <-ctx.Done():
		gs.part(key, g)
		return nil, fault.Wrap(ctx.Err(), fault.Canceled, "connection.Send", "no place for another request of this connection became free")
	}
}

func (gs *gates) part(key string, g *gate) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if g.users--; g.users == 0 {
		delete(gs.byKey, key)
	}
}
