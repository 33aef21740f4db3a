package guest

import (
	"container/list"
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

	mu     sync.Mutex
	used   uint64
	byUse  list.List // of *instance, newest first
	places map[*instance]*list.Element
	of     map[*nativeModule][]*instance // newest last
}

func newPool(each int, bytes uint64, keep time.Duration) *pool {
	return &pool{each: each, bytes: bytes, keep: keep, places: map[*instance]*list.Element{}, of: map[*nativeModule][]*instance{}}
}

// take returns an idle instance of a module, the one used last; nil if there is none.
func (p *pool) take(m *nativeModule) *instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.of[m]
	if len(all) == 0 {
		return nil
	}
	i := all[len(all)-1]
	p.forget(i)
	return i
}

// put keeps an instance for the next call, and closes what is too much then.
func (p *pool) put(i *instance, now time.Time) {
	p.mu.Lock()
	i.idle = now
	p.places[i] = p.byUse.PushFront(i)
	p.of[i.module] = append(p.of[i.module], i)
	p.used += i.private
	var gone []*instance
	if all := p.of[i.module]; len(all) > p.each {
		gone = append(gone, all[0])
		p.forget(all[0])
	}
	for p.used > p.bytes && p.byUse.Len() > 0 {
		gone = append(gone, p.forgetOldest())
	}
	p.mu.Unlock()
	closeAll(gone)
}

// sweep closes what was idle for too long.
func (p *pool) sweep(now time.Time) {
	var gone []*instance
	p.mu.Lock()
	for last := p.byUse.Back(); last != nil && now.Sub(last.Value.(*instance).idle) >= p.keep; last = p.byUse.Back() {
		gone = append(gone, p.forgetOldest())
	}
	p.mu.Unlock()
	closeAll(gone)
}

// drop closes all instances of a module.
func (p *pool) drop(m *nativeModule) {
	p.mu.Lock()
	gone := slices.Clone(p.of[m])
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
	return p.byUse.Len(), p.used
}

func (p *pool) forgetOldest() *instance {
	i := p.byUse.Back().Value.(*instance)
	p.forget(i)
	return i
}

// forget takes an instance out; it needs the lock.
func (p *pool) forget(i *instance) {
	p.byUse.Remove(p.places[i])
	delete(p.places, i)
	p.used -= i.private
	all := p.of[i.module]
	n := slices.Index(all, i)
	if all = slices.Delete(all, n, n+1); len(all) > 0 {
		p.of[i.module] = all
	} else {
		delete(p.of, i.module)
	}
}

func closeAll(instances []*instance) {
	for _, i := range instances {
		i.close()
	}
}
