package snapshot

import (
	"errors"

	"golang.org/x/sys/unix"
)

const sealed = unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

// backing is the file in memory that all memories of an image map, and the process's page tables that tell which of their
// pages are still the file's.
type backing struct {
	fd     int
	tables *pagemap
}

// open copies memory to a new file and returns a read-only view of it.
func (b *backing) open(memory []byte, data []span) (view []byte, err error) {
	if b.fd, err = newFile(); err != nil {
		return nil, err
	}
	if err := b.write(memory, data); err != nil {
		return nil, errors.Join(err, unix.Close(b.fd))
	}
	if len(memory) > 0 {
		// A shared view would count as a writer on kernels before 6.7 and keep the file from being sealed.
		if view, err = unix.Mmap(b.fd, 0, len(memory), unix.PROT_READ, unix.MAP_PRIVATE); err != nil {
			return nil, errors.Join(err, unix.Close(b.fd))
		}
	}
	b.tables = openPagemap()
	return view, nil
}

func (b *backing) close(view []byte) error {
	var err error
	if len(view) > 0 {
		err = unix.Munmap(view)
	}
	return errors.Join(err, unix.Close(b.fd), b.tables.close())
}

// newFile is an empty file in memory. Kernels before 6.3 do not know that files can be sealed against execution, later
// ones can be told to insist on it.
func newFile() (int, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("image", flags|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate("image", flags)
	}
	return fd, err
}

// write fills the file with the data and seals it. What is left out becomes holes, which take no memory until read.
func (b *backing) write(memory []byte, data []span) error {
	if err := unix.Ftruncate(b.fd, int64(len(memory))); err != nil {
		return err
	}
	for _, d := range data {
		for d.from < d.to { // the kernel may write less than asked
			n, err := unix.Pwrite(b.fd, memory[d.from:d.to], int64(d.from))
			if err != nil {
				return err
			}
			d.from += uint64(n)
		}
	}
	_, err := unix.FcntlInt(uintptr(b.fd), unix.F_ADD_SEALS, sealed)
	return err
}
