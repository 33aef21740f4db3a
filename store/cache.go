package store

import (
	"context"
	"sync"
	"time"
)

// cache keeps what reads found that nearly every call of a guest repeats: who asks, which record, which account, and its
// credential. An entry holds until anybody commits anything to the database, in this process or another, so a read that
// begins after a change was acknowledged sees it: a token that was revoked is refused at once.
//
// Entries are rows as they are stored: credentials and settings stay sealed, tokens are hashes, and what somebody opens is
// opened for his call alone. None is used for longer than a second, which bounds what a program could miss that writes to
// the file by itself, past this package.
type cache struct {
	revision *revision
	clock    func() time.Time

	mu      sync.Mutex
	at      uint64 // the revision of all entries
	until   time.Time
	entries map[cacheKey]any
}

// cacheKey is what a read asks for. It names the owner, so that what one owner's read found is never another's.
type cacheKey struct{ read, owner, id string }

const (
	cachedFor  = time.Second
	maxEntries = 4096
)

func newCache(r *revision) *cache {
	return &cache{revision: r, clock: time.Now, entries: map[cacheKey]any{}}
}

// cached is what load finds. Others get the same value, so what it points to must be copied before it is changed.
func cached[T any](ctx context.Context, db *DB, key cacheKey, load func() (T, error)) (T, error) {
	if db.cache == nil || db.together(ctx) != nil {
		return load()
	}
	kept, at, known := db.cache.find(key)
	if kept != nil {
		return kept.(T), nil
	}
	found, err := load()
	if err == nil && known {
		db.cache.keep(key, at, found)
	}
	return found, err
}

// find returns the entry of key, nil if there is none, and the revision at which that is so.
func (c *cache) find(key cacheKey) (kept any, at uint64, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, known = c.revision.now()
	if now := c.clock(); !known || c.at != at || !now.Before(c.until) {
		clear(c.entries)
		c.at, c.until = at, now.Add(cachedFor)
	}
	return c.entries[key], at, known
}

// keep keeps what was read at a revision or later, if it is still of use.
func (c *cache) keep(key cacheKey, at uint64, found any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at != at || c.entries == nil {
		return
	}
	if len(c.entries) >= maxEntries {
		clear(c.entries)
	}
	c.entries[key] = found
}

// close makes it keep and find nothing: the memory of its revision goes away.
func (c *cache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.revision, c.entries = nil, nil
}
