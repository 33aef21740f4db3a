package guest

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	maxWaiting  = 64               // calls of one plugin that wait; further ones are refused at once
	maxPatience = 15 * time.Second // that a call waits
	maxDepth    = 4                // calls inside a call
)

// budget admits calls while the memory that they may take together fits into size. One plugin has at most half of it, so
// that no plugin alone can keep others out. Whose plugin holds least is admitted first, then who came first.
//
// Safe for concurrent use.
type budget struct {
	size, share uint64

	mu      sync.Mutex
	used    uint64
	held    map[string]uint64 // by plugin; nothing for those without a call
	waiting []*waiter         // in order of arrival
}

// waiter is a call that waits.
type waiter struct {
	plugin string
	bytes  uint64
	in     chan struct{} // closed when it was admitted
}

func newBudget(size uint64) *budget {
	size = max(size, 2)
	return &budget{size: size, share: size / 2, held: map[string]uint64{}}
}

// admit waits until a call of a plugin may take bytes of memory, and returns what must be called when it has ended; nil if
// that took longer than patience or ctx. One call may take a plugin's whole share, whatever its limits are: otherwise it
// could never run.
func (b *budget) admit(ctx context.Context, plugin string, bytes uint64, patience time.Duration) (leave func()) {
	w := &waiter{plugin: plugin, bytes: min(bytes, b.share), in: make(chan struct{})}
	leave = func() { b.leave(w) }
	if !b.arrive(w) {
		return nil
	}
	select {
	case <-w.in:
		return leave
	default:
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-w.in:
		return leave
	case <-timer.C:
	case <-ctx.Done():
	}
	if b.withdraw(w) {
		return nil
	}
	return leave // it was admitted in the same moment
}

// arrive puts w in line, unless too many of its plugin are there.
func (b *budget) arrive(w *waiter) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	inLine := 0
	for _, o := range b.waiting {
		if o.plugin == w.plugin {
			inLine++
		}
	}
	if inLine >= maxWaiting {
		return false
	}
	b.waiting = append(b.waiting, w)
	b.settle()
	return true
}

// withdraw takes w out of the line; false if it is not there any more.
func (b *budget) withdraw(w *waiter) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.Index(b.waiting, w)
	if i < 0 {
		return false
	}
	b.waiting = slices.Delete(b.waiting, i, i+1)
	b.settle() // it may have been in the way of others
	return true
}

func (b *budget) leave(w *waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= w.bytes
	if b.held[w.plugin] -= w.bytes; b.held[w.plugin] == 0 {
		delete(b.held, w.plugin)
	}
	b.settle()
}

// settle admits as many as fit; it needs the lock. Who is next is waited for, so that many small calls cannot keep a large
// one out.
func (b *budget) settle() {
	for {
		i := b.next()
		if i < 0 || b.used+b.waiting[i].bytes > b.size {
			return
		}
		w := b.waiting[i]
		b.waiting = slices.Delete(b.waiting, i, i+1)
		b.used += w.bytes
		b.held[w.plugin] += w.bytes
		close(w.in)
	}
}

// next is the first waiter of the plugin that holds least of those whose share has room; -1 if there is none. A plugin's
// calls do not overtake each other.
func (b *budget) next() int {
	next := -1
	seen := map[string]bool{}
	for i, w := range b.waiting {
		if seen[w.plugin] {
			continue
		}
		seen[w.plugin] = true
		held := b.held[w.plugin]
		if held+w.bytes <= b.share && (next < 0 || held < b.held[b.waiting[next].plugin]) {
			next = i
		}
	}
	return next
}

// depthKey finds in a context how many guest calls it is inside of.
type depthKey struct{}

// deeper marks the context of a host function as inside of one more call.
func deeper(ctx context.Context) context.Context {
	return context.WithValue(ctx, depthKey{}, depth(ctx)+1)
}

// depth is 0 for a call that no guest has caused.
func depth(ctx context.Context) int {
	n, _ := ctx.Value(depthKey{}).(int)
	return n
}
