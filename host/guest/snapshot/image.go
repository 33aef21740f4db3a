package snapshot

import (
	"bytes"
	"crypto/sha256"
	"os"
	"slices"
	"sync"
)

var (
	pageSize = uint64(os.Getpagesize())
	zeroPage = make([]byte, pageSize)
)

// wholePages rounds n bytes up to whole pages.
func wholePages(n uint64) uint64 { return (n + pageSize - 1) / pageSize * pageSize }

// Image is an immutable copy of a linear memory, shared by all memories that start from it. It is safe for concurrent use.
type Image struct {
	size    uint64
	data    []span // all but the pages of zeros
	backing backing

	mu     sync.Mutex
	view   []byte // read-only; users may read it without the lock
	users  int    // the maker until Close, and each memory until Free
	closed bool
	sum    *[sha256.Size]byte // once it was asked for
}

// span is a part of a memory: it starts at a page and ends at one or at the end of the memory.
type span struct{ from, to uint64 }

// NewImage copies memory, which may be empty and need not end at a page. On Linux the copy is a sealed file in memory with
// holes for pages of zeros, elsewhere plain bytes. Close it. It returns fault.Exhausted if the system has no room.
func NewImage(memory []byte) (*Image, error) {
	i := &Image{size: uint64(len(memory)), data: dataOf(memory), users: 1}
	view, err := i.backing.open(memory, i.data)
	if err != nil {
		return nil, refused("snapshot.NewImage", "there is no room for the image of a plugin", err)
	}
	i.view = view
	liveImages.Add(1)
	return i, nil
}

// dataOf finds the pages of memory that are not all zero.
func dataOf(memory []byte) (data []span) {
	at := uint64(0)
	for page := range slices.Chunk(memory, int(pageSize)) {
		end := at + uint64(len(page))
		switch last := len(data) - 1; {
		case isZero(page):
		case last >= 0 && data[last].to == at:
			data[last].to = end
		default:
			data = append(data, span{at, end})
		}
		at = end
	}
	return slices.Clip(data)
}

// Size is the length of the memory in bytes.
func (i *Image) Size() uint64 { return i.size }

// Bytes is the memory; writing to it is a fatal error on Linux. What it returns is valid as long as the image is open or a
// memory of it is not freed, after that it returns nil.
func (i *Image) Bytes() []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.view
}

// Sum is the SHA-256 of Bytes, computed when first asked for; zero if that is after the image was closed and its last
// memory freed.
func (i *Image) Sum() (sum [sha256.Size]byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.sum == nil {
		if i.users == 0 {
			return sum
		}
		sum = i.hash()
		i.sum = &sum
	}
	return *i.sum
}

// hash is the SHA-256 of the view. It does not read the holes, which would make them take memory.
func (i *Image) hash() (sum [sha256.Size]byte) {
	h, at := sha256.New(), uint64(0)
	zeros := func(to uint64) {
		for ; at < to; at += min(pageSize, to-at) {
			h.Write(zeroPage[:min(pageSize, to-at)])
		}
	}
	for _, d := range i.data {
		zeros(d.from)
		h.Write(i.view[d.from:d.to])
		at = d.to
	}
	zeros(i.size)
	h.Sum(sum[:0])
	return sum
}

// Resident is how many bytes lie in pages that are not all zero: what the image costs when nobody reads the others.
func (i *Image) Resident() (n uint64) {
	for _, d := range i.data {
		n += wholePages(d.to - d.from)
	}
	return n
}

// Close gives the image back: no memory starts from it any more, and those that did keep it until they are freed. Closing
// again does nothing.
func (i *Image) Close() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return nil
	}
	i.closed = true
	return i.leave()
}

// acquire counts one more user, false when the image is closed.
func (i *Image) acquire() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return false
	}
	i.users++
	return true
}

// release counts one user less.
func (i *Image) release() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.leave()
}

// leave counts one user less; the last one takes the image along. The caller holds the lock.
func (i *Image) leave() error {
	i.users--
	if i.users > 0 {
		return nil
	}
	view := i.view
	i.view = nil
	liveImages.Add(-1)
	if err := i.backing.close(view); err != nil {
		return refused("snapshot.Close", "the image of a plugin could not be given back", err)
	}
	return nil
}

func isZero(page []byte) bool { return bytes.Equal(page, zeroPage[:len(page)]) }
