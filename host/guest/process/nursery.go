package process

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/frigg-host/frigg-host/host/guest"
)

// patience is how long the start of a child waits for room. A host function may call a guest that waits while its caller
// keeps another child busy, so it must end.
const patience = 5 * time.Second

// nursery starts children, bounds how many there are, and waits for all.
//
// All of them are started by one thread that lives as long as the nursery: on Linux a child is told of the death of the
// thread that started it, and other threads of a Go program may end at any time.
//
// Safe for concurrent use.
type nursery struct {
	room  chan struct{} // a token for each child
	begin chan func()
	all   sync.WaitGroup

	mu       sync.Mutex
	children map[*child]struct{}
	waiting  int
	closing  sync.Once
}

func newNursery(most int) *nursery {
	n := &nursery{room: make(chan struct{}, most), begin: make(chan func()), children: map[*child]struct{}{}}
	n.all.Add(1)
	go n.thread()
	return n
}

func (n *nursery) thread() {
	runtime.LockOSThread() // and never unlocked, so that the thread ends with this function
	defer n.all.Done()
	for f := range n.begin {
		f()
	}
}

// start runs a child's command. A child that was started leaves at its end.
func (n *nursery) start(ch *child) error {
	started := make(chan error)
	n.begin <- func() { started <- ch.cmd.Start() }
	err := <-started
	if err == nil {
		n.mu.Lock()
		n.children[ch] = struct{}{}
		n.mu.Unlock()
	}
	return err
}

// enter waits for room for another child; leave must follow. A child that nobody uses makes room.
func (n *nursery) enter(ctx context.Context) error {
	select {
	case n.room <- struct{}{}:
		n.all.Add(1)
		return nil
	default:
	}
	n.want(1)
	defer n.want(-1)
	n.retireOldest()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case n.room <- struct{}{}:
		n.all.Add(1)
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	f := guest.Failure{Reason: guest.ReasonBusy, Text: "too many plugins run at once; try again in a moment", RetryAfter: time.Second}
	return f.Err("guest.Call", "")
}

func (n *nursery) want(more int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waiting += more
}

// wanted reports whether somebody waits for room.
func (n *nursery) wanted() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.waiting > 0
}

// retireOldest retires the child that nobody has used for longest, if there is one.
func (n *nursery) retireOldest() {
	n.mu.Lock()
	var oldest *child
	var since time.Time
	for ch := range n.children {
		if at, idle := ch.since(); idle && (oldest == nil || at.Before(since)) {
			oldest, since = ch, at
		}
	}
	n.mu.Unlock()
	if oldest != nil {
		oldest.retireIf(false)
	}
}

// leave gives the room of a child back; nil if it was never started.
func (n *nursery) leave(ch *child) {
	n.mu.Lock()
	delete(n.children, ch)
	n.mu.Unlock()
	<-n.room
	n.all.Done()
}

// close waits until the last child has ended, which all of them must have been told to.
func (n *nursery) close() {
	n.closing.Do(func() { close(n.begin) })
	n.all.Wait()
}
