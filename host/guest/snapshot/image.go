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
	size     uint64
	sum      [sha256.Size]byte
	resident uint64
	backing  backing // what the system holds for it

	mu     sync.Mutex
	view   []byte // read-only; users may read it without the lock
	users  int    // the maker until Close, and each memory until Free
	closed bool
}

// NewImage copies memory, which may be empty and need not end at a page. On Linux the copy is a sealed file in memory with
// holes for pages of zeros, elsewhere plain bytes. Close it. It returns fault.Exhausted if the system has no room.
func NewImage(memory []byte) (*Image, error) {
	i := &Image{size: uint64(len(memory)), sum: sha256.Sum256(memory), users: 1}
	for page := range slices.Chunk(memory, int(pageSize)) {
		if !isZero(page) {
			i.resident += pageSize
		}
	}
	view, err := i.backing.open(memory)
	if err != nil {
		return nil, refused("snapshot.NewImage", "there is no room for the image of a plugin", err)
	}
	i.view = view
	liveImages.Add(1)
	return i, nil
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

// Sum is the SHA-256 of Bytes.
func (i *Image) Sum() [sha256.Size]byte { return i.sum }

// Resident is how many bytes lie in pages that are not all zero: what the image costs when nobody reads the others.
func (i *Image) Resident() uint64 { return i.resident }

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
