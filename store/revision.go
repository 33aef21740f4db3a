package store

import (
	"sync/atomic"
	"unsafe"
)

// revision counts the commits of all processes that have a database open, in memory that they share: the lock file, mapped.
// SQLite's own counter (PRAGMA data_version) costs about half of what the reads cost that it is to spare.
//
// begun is ahead of ended from before a commit until after it, and stays ahead if the process dies in between: what the
// newest state is nobody knows then, until the next commit of anybody. A nil revision never knows.
type revision struct{ begun, ended *atomic.Uint64 }

const revisionBytes = 16

// revisionIn reads and counts in shared, which is as long as revisionBytes and starts at a page.
func revisionIn(shared []byte) *revision {
	if shared == nil {
		return nil
	}
	counters := (*[2]atomic.Uint64)(unsafe.Pointer(unsafe.SliceData(shared)))
	return &revision{&counters[0], &counters[1]}
}

// begin is called before a commit, by the one who may commit now.
func (r *revision) begin() uint64 {
	if r == nil {
		return 0
	}
	return r.begun.Add(1)
}

// end is called when the commit that begin has numbered is on disk or undone, before anybody is told. Another process may
// have committed since.
func (r *revision) end(n uint64) {
	if r == nil {
		return
	}
	for {
		last := r.ended.Load()
		if last >= n || r.ended.CompareAndSwap(last, n) {
			return
		}
	}
}

// now is a number that stays the same as long as nobody commits; false while somebody does.
func (r *revision) now() (n uint64, known bool) {
	if r == nil {
		return 0, false
	}
	ended := r.ended.Load()
	return ended, r.begun.Load() == ended
}
