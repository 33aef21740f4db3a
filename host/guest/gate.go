package guest

import (
	"context"
	"sync"

	"github.com/frigg-host/frigg-host/host/fault"
)

// gate counts what is running inside something that can be closed. Closing waits for it; the last one out releases.
type gate struct {
	mu      sync.Mutex
	inside  int
	closed  bool
	empty   chan struct{} // closed when closed and nobody is inside, after release
	release func() error
	err     error
}

func newGate(release func() error) *gate {
	return &gate{empty: make(chan struct{}), release: release}
}

// enter reports whether the gate is open; then leave must follow.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inside++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	g.settle()
}

// settle releases when the time has come; it needs the lock. Nobody can enter any more.
func (g *gate) settle() {
	if g.closed && g.inside == 0 {
		g.err = g.release()
		close(g.empty)
	}
}

// shut closes the gate and waits until nobody is inside, or until ctx ends.
func (g *gate) shut(ctx context.Context) error {
	g.mu.Lock()
	if !g.closed {
		g.closed = true
		g.settle()
	}
	g.mu.Unlock()
	select {
	case <-g.empty:
		return g.err
	default:
	}
	select {
	case <-g.empty:
		return g.err
	case <-ctx.Done():
		return fault.Wrap(ctx.Err(), fault.Timeout, "guest.Close", "calls of the guest are still running")
	}
}

// shelf holds the open modules of an engine.
type shelf struct {
	mu      sync.Mutex
	modules map[Module]struct{}
}

func (s *shelf) add(m Module) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.modules == nil {
		s.modules = map[Module]struct{}{}
	}
	s.modules[m] = struct{}{}
}

func (s *shelf) remove(m Module) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.modules, m)
}

// close closes every module on it.
func (s *shelf) close(ctx context.Context) error {
	s.mu.Lock()
	open := make([]Module, 0, len(s.modules))
	for m := range s.modules {
		open = append(open, m)
	}
	s.mu.Unlock()
	for _, m := range open {
		if err := m.Close(ctx); err != nil {
			return err
		}
	}
	return nil
}
