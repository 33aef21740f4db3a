package guest

import (
	"slices"
	"sync"
	"time"
)

// pool holds the idle instances of all modules: at most so many of each, and so many bytes together. Those that nobody
// used for longest go first, and any that nobody used for a while.
//
// Safe for concurrent use.
type pool struct {
	each  int
	bytes uint64
	keep  time.Duration

	mu             sync.Mutex
	n              int
	used           uint64
	newest, oldest *instance // of a list through all of them, by use
}

// place is where an idle instance is in the list. It belongs to the pool.
type place struct{ newer, older *instance }

func newPool(each int, bytes uint64, keep time.Duration) *pool {
	return &pool{each: each, bytes: bytes, keep: keep}
}

// take returns an idle instance of a module, the one used last; nil if there is none.
func (p *pool) take(m *nativeModule) *instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(m.idle) == 0 {
		return nil
	}
	i := m.idle[len(m.idle)-1]
	p.forget(i)
	return i
}

// put keeps an instance for the next call, and closes what is too much then.
func (p *pool) put(i *instance, now time.Time) {
	p.mu.Lock()
	p.remember(i, now)
	var gone []*instance
	if len(i.module.idle) > p.each {
		gone = append(gone, p.forget(i.module.idle[0]))
	}
	for p.used > p.bytes && p.n > 0 {
		gone = append(gone, p.forget(p.oldest))
	}
	p.mu.Unlock()
	closeAll(gone)
}

// sweep closes what was idle for too long.
func (p *pool) sweep(now time.Time) {
	var gone []*instance
	p.mu.Lock()
	for p.n > 0 && now.Sub(p.oldest.idle) >= p.keep {
		gone = append(gone, p.forget(p.oldest))
	}
	p.mu.Unlock()
	closeAll(gone)
}

// drop closes all instances of a module.
func (p *pool) drop(m *nativeModule) {
	p.mu.Lock()
	gone := slices.Clone(m.idle)
	for _, i := range gone {
		p.forget(i)
	}
	p.mu.Unlock()
	closeAll(gone)
}

// len is how many instances are idle, and how many bytes they have for themselves.
func (p *pool) len() (instances int, bytes uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n, p.used
}

// remember puts an instance in as the newest; it needs the lock.
func (p *pool) remember(i *instance, now time.Time) {
	i.idle, i.place = now, place{older: p.newest}
	if p.newest != nil {
		p.newest.newer = i
	} else {
		p.oldest = i
	}
	p.newest = i
	i.module.idle = append(i.module.idle, i)
	p.n++
	p.used += i.private
}

// forget takes an instance out and returns it; it needs the lock.
func (p *pool) forget(i *instance) *instance {
	if i.newer != nil {
		i.newer.older = i.older
	} else {
		p.newest = i.older
	}
	if i.older != nil {
		i.older.newer = i.newer
	} else {
		p.oldest = i.newer
	}
	i.place = place{}
	n := slices.Index(i.module.idle, i)
	i.module.idle = slices.Delete(i.module.idle, n, n+1)
	p.n--
	p.used -= i.private
	return i
}

func closeAll(instances []*instance) {
	for _, i := range instances {
		i.close()
	}
}
