// Package disk is a disk in memory for SQLite that remembers every change in order, so that tests can pull its plug.
//
// It is a SQLite VFS. What a process wrote and what survives a power cut are two things: Killed gives the disk as another
// process finds it after this one died, Cut as it is after the power went, when only what was synced is certain. It does not
// know what SQLite keeps on it. The model follows Linux and what SQLite does there: a file's name is certain once the file was
// synced, and the first sync of a journal or log syncs its folder too; a sector of 512 bytes is written whole or not at all;
// unsynced sectors reach the disk in any order; sync does not lie.
//
// A Disk is safe for concurrent use. Only tests use this package.
package disk

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Disk holds files. Make it with New and Close it when no database on it is open any more.
type Disk struct {
	id   int64
	base map[string][]byte // when the log begins; never changed

	mu     sync.Mutex
	files  map[string]*file
	log    []change
	blocks [][]byte      // with the data of the log, of which the last has room
	dead   chan struct{} // closed when the power is gone
	stopAt int           // length of the log at which that happens, 0: never
	after  bool          // the change at which the power goes is still made
}

// file is what processes see.
type file struct {
	name  string // empty for a temporary file, which is in no log
	data  []byte
	base  bool // data is that of the disk's base, which does not change
	locks map[*handle]int32
	shm   *memory
}

// change is an entry of the log.
type change struct {
	kind kind
	name string
	at   int64 // offset, or the size of a truncate
	data []byte
}

type kind byte

const (
	create kind = iota
	write
	truncate
	sync_
	remove
	removeNow // and the folder is synced
)

var (
	disks sync.Map // of *Disk by id
	last  atomic.Int64
)

// New returns a disk with the given files, all of them certain; nil is an empty disk. The disk takes contents over.
func New(contents map[string][]byte) *Disk {
	d := &Disk{id: last.Add(1), base: contents, files: map[string]*file{}, dead: make(chan struct{})}
	for name, data := range contents {
		d.files[name] = &file{name: name, data: data, base: true, locks: map[*handle]int32{}}
	}
	disks.Store(d.id, d)
	register()
	return d
}

// Path is where SQLite, opened with the VFS Name, finds a file of this disk.
func (d *Disk) Path(name string) string { return fmt.Sprintf("/%d/%s", d.id, name) }

// of returns the disk and the file that a path names.
func of(path string) (d *Disk, name string) {
	number, name, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	var id int64
	if _, err := fmt.Sscan(number, &id); err != nil {
		return nil, ""
	}
	if found, ok := disks.Load(id); ok {
		return found.(*Disk), name
	}
	return nil, ""
}

// blocks keep the data of logs. They are used again: simulations go through many.
var blocks = sync.Pool{New: func() any { b := make([]byte, 0, 1<<20); return &b }}

// keep copies data into the blocks of the log: SQLite uses its buffer again.
func (d *Disk) keep(data []byte) []byte {
	last := len(d.blocks) - 1
	if last < 0 || len(d.blocks[last])+len(data) > cap(d.blocks[last]) {
		b := blocks.Get().(*[]byte)
		d.blocks = append(d.blocks, slices.Grow(*b, len(data)))
		last++
	}
	b := append(d.blocks[last], data...)
	d.blocks[last] = b
	return b[len(b)-len(data) : len(b) : len(b)]
}

// Close forgets the disk and its log.
func (d *Disk) Close() {
	d.Off()
	disks.Delete(d.id)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range d.blocks {
		b = b[:0]
		blocks.Put(&b)
	}
	for _, f := range d.files {
		f.data = nil
	}
	d.blocks, d.log, d.base, d.files = nil, nil, nil, nil
}

// Changes is how many changes were made so far. Whatever was acknowledged before is among them.
func (d *Disk) Changes() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.log)
}

// Writes is how often a file was written to.
func (d *Disk) Writes(name string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.log {
		if c.kind == write && c.name == name {
			n++
		}
	}
	return n
}

// OffAt turns the power off at the nth change from now (1 is the next), which is still made if after.
func (d *Disk) OffAt(n int, after bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopAt, d.after = len(d.log)+n, after
}

// Off turns the power off: from now on everything fails and nothing changes.
func (d *Disk) Off() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off()
}

func (d *Disk) off() {
	if !d.isOff() {
		close(d.dead)
	}
}

// Dead is closed when the power is off.
func (d *Disk) Dead() <-chan struct{} { return d.dead }

// isOff says the same without waiting.
func (d *Disk) isOff() bool {
	select {
	case <-d.dead:
		return true
	default:
		return false
	}
}

// change makes a change and logs it. It reports false, and does nothing, when there is no power for it. d.mu is held.
func (d *Disk) change(f *file, c change) bool {
	if d.isOff() {
		return false
	}
	if f.base && (c.kind == write || c.kind == truncate) {
		f.data, f.base = slices.Clone(f.data), false
	}
	if f.name == "" {
		f.data = c.apply(f.data)
		return true
	}
	if len(d.log)+1 == d.stopAt {
		d.off()
		if !d.after {
			return false
		}
	}
	c.name, c.data = f.name, d.keep(c.data)
	d.log = append(d.log, c)
	f.data = c.apply(f.data)
	return true
}

// apply changes the content of a file.
func (c change) apply(data []byte) []byte {
	switch c.kind {
	case write:
		if end := int(c.at) + len(c.data); end > cap(data) {
			data = append(make([]byte, 0, max(2*end, 256<<10)), data...)[:end]
		} else if end > len(data) {
			data = data[:end] // zero, as truncate left it
		}
		copy(data[c.at:], c.data)
	case truncate:
		if int(c.at) <= len(data) {
			clear(data[c.at:]) // a later write may grow into it again
			data = data[:c.at]
		} else {
			data = append(data, make([]byte, int(c.at)-len(data))...)
		}
	}
	return data
}

// Killed returns a disk with everything that was written until change n: a process died, the machine did not.
func (d *Disk) Killed(n int) *Disk { return New(d.replay(n, keepAll)) }

// Cut returns a disk as the power left it at change n: what was synced and, if random is not nil, of the later changes a
// random half in any order.
func (d *Disk) Cut(n int, random *rand.Rand) *Disk {
	return New(d.replay(n, func(pending []change) []change {
		if random == nil {
			return nil
		}
		return half(pending, random)
	}))
}

func keepAll(pending []change) []change { return pending }

const sector = 512

// half returns a random half of the changes, sector by sector, in any order.
func half(pending []change, random *rand.Rand) (kept []change) {
	for _, c := range pending {
		for len(c.data) > sector {
			n := sector - int(c.at)%sector
			if random.IntN(2) == 0 {
				kept = append(kept, change{kind: c.kind, name: c.name, at: c.at, data: c.data[:n]})
			}
			c.at, c.data = c.at+int64(n), c.data[n:]
		}
		if random.IntN(2) == 0 {
			kept = append(kept, c)
		}
	}
	random.Shuffle(len(kept), func(i, j int) { kept[i], kept[j] = kept[j], kept[i] })
	return kept
}

// replay goes through the log until change n. What is not certain then goes through keep.
func (d *Disk) replay(n int, keep func([]change) []change) map[string][]byte {
	d.mu.Lock()
	log := d.log[:n]
	d.mu.Unlock()
	certain := make(map[string][]byte, len(d.base))
	for name, data := range d.base {
		certain[name] = slices.Clone(data)
	}
	pending := map[string][]change{}
	for _, c := range log {
		switch c.kind {
		case sync_:
			if syncsFolder(pending[c.name]) {
				settleRemoved(certain, pending)
			}
			certain[c.name] = applied(certain[c.name], pending[c.name])
			delete(pending, c.name)
		case removeNow:
			delete(certain, c.name)
			delete(pending, c.name)
		default:
			pending[c.name] = append(pending[c.name], c)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(pending)) {
		kept := keep(pending[name])
		if len(kept) == 0 {
			continue
		}
		if kept[len(kept)-1].kind == remove {
			delete(certain, name)
			continue
		}
		certain[name] = applied(certain[name], kept)
	}
	return certain
}

// syncsFolder reports whether the first sync after these changes of a file syncs its folder too.
func syncsFolder(pending []change) bool {
	return slices.ContainsFunc(pending, func(c change) bool {
		return c.kind == create && (strings.HasSuffix(c.name, "-wal") || strings.HasSuffix(c.name, "-journal"))
	})
}

// settleRemoved makes certain that files are gone which were removed before.
func settleRemoved(certain map[string][]byte, pending map[string][]change) {
	for name, changes := range pending {
		if changes[len(changes)-1].kind == remove {
			delete(certain, name)
			delete(pending, name)
		}
	}
}

func applied(data []byte, changes []change) []byte {
	for _, c := range changes {
		if c.kind == remove || c.kind == create {
			data = nil
		}
		data = c.apply(data)
	}
	if data == nil {
		data = []byte{}
	}
	return data
}

// Files returns what processes see now.
func (d *Disk) Files() map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make(map[string][]byte, len(d.files))
	for name, f := range d.files {
		out[name] = slices.Clone(f.data)
	}
	return out
}
