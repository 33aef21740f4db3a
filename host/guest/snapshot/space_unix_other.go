//go:build unix && !linux

package snapshot

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// shares says that a memory shares pages with its image until it writes to them.
const shares = false

const reservation = unix.MAP_PRIVATE | unix.MAP_ANON

// start copies the image to the head of the space.
func (s *space) start(i *Image) error {
	copy(s.all, i.view)
	return nil
}

// giveBack gives the pages in [from, to) back to the system by mapping new ones over them: they read as zero.
func (s *space) giveBack(from, to uint64) error {
	part := s.all[from:to]
	_, err := unix.MmapPtr(-1, 0, unsafe.Pointer(unsafe.SliceData(part)), uintptr(len(part)),
		unix.PROT_READ|unix.PROT_WRITE, reservation|unix.MAP_FIXED)
	return err
}
