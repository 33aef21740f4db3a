package process

import (
	"context"
	"sync"

	"github.com/frigg-host/frigg-host/host/fault"
)

// door counts who is inside of something that can be closed.
type door struct {
	mu     sync.Mutex
	inside int
	shut   bool
	empty  chan struct{} // closed when nobody is inside and nobody can come in
}

func newDoor() *door { return &door{empty: make(chan struct{})} }

// enter reports whether the door is open; then leave must follow.
func (d *door) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shut {
		return false
	}
	d.inside++
	return true
}

func (d *door) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.inside--; d.shut && d.inside == 0 {
		close(d.empty)
	}
}

// close lets nobody in any more and waits until all have left, or until ctx ends.
func (d *door) close(ctx context.Context) error {
	d.mu.Lock()
	if !d.shut {
		d.shut = true
		if d.inside == 0 {
			close(d.empty)
		}
	}
	d.mu.Unlock()
	select {
	case <-d.empty:
		return nil
	default:
	}
	select {
	case <-d.empty:
		return nil
	case <-ctx.Done():
		return fault.Wrap(ctx.Err(), fault.Timeout, "guest.Close", "calls of the guest are still running")
	}
}
