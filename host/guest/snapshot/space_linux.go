package snapshot

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// shares says that a memory shares pages with its image until it writes to them.
const shares = true

const reservation = unix.MAP_PRIVATE | unix.MAP_ANON | unix.MAP_NORESERVE

// start puts the image at the head of the space, copy-on-write.
func (s *space) start(i *Image) error {
	// Where huge pages are the rule, one byte behind the image would take 2 MiB. A kernel without them refuses this.
	_ = unix.Madvise(s.all, unix.MADV_NOHUGEPAGE)
	if i.size == 0 {
		return nil
	}
	_, err := unix.MmapPtr(i.backing.fd, 0, unsafe.Pointer(unsafe.SliceData(s.all)), uintptr(wholePages(i.size)),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_NORESERVE|unix.MAP_FIXED)
	return err
}

// giveBack gives the private pages in [from, to) back to the system: they read as the image again, and behind it as zero.
func (s *space) giveBack(from, to uint64) error {
	return unix.Madvise(s.all[from:to], unix.MADV_DONTNEED)
}
