package snapshot

import (
	"encoding/binary"
	"slices"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/frigg-host/frigg-host/host/fault"
)

// pagemap is the process's own page tables as the kernel shows them (Documentation/admin-guide/mm/pagemap.rst). Reading
// one's own needs no privilege. A page of an image that was written to is a private copy: no longer the file's.
type pagemap struct {
	fd  int
	err error // why it cannot be read
}

// shared is the one pagemap of the process, open while there are images.
var shared struct {
	sync.Mutex
	users int
	*pagemap
}

// openPagemap counts one more user. It does not fail: only searching does.
func openPagemap() *pagemap {
	shared.Lock()
	defer shared.Unlock()
	if shared.users == 0 {
		fd, err := unix.Open("/proc/self/pagemap", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		shared.pagemap = &pagemap{fd, err}
	}
	shared.users++
	return shared.pagemap
}

// close counts one user less and closes after the last.
func (p *pagemap) close() error {
	shared.Lock()
	defer shared.Unlock()
	shared.users--
	if shared.users > 0 || p.err != nil {
		return nil
	}
	return unix.Close(p.fd)
}

// private visits the runs of private pages of memory as byte ranges, in order, until visit returns false.
func (b *backing) private(by Method, memory []byte, visit func(from, to uint64) bool) error {
	find := (*scratch).scan
	if by == Pagemap {
		find = (*scratch).readPrivate
	}
	if err := b.tables.search(find, memory, visit); err != nil {
		return fault.New(fault.Unsupported, "snapshot.Restore", "this system does not show which pages of a memory were written to").With(err)
	}
	return nil
}

// touched visits the runs of pages that something is mapped to, private or not; all pages if that is not known.
func (b *backing) touched(memory []byte, visit func(from, to uint64) bool) {
	if err := b.tables.search((*scratch).readTouched, memory, visit); err != nil {
		visit(0, uint64(len(memory)))
	}
}

type search func(s *scratch, fd int, memory []byte, visit func(from, to uint64) bool) error

func (p *pagemap) search(find search, memory []byte, visit func(from, to uint64) bool) error {
	if p.err != nil || len(memory) == 0 {
		return p.err
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	return find(s, p.fd, memory, visit)
}

// scratch is what one search needs, in the heap, so that the kernel may write to it.
type scratch struct {
	regions [256]region
	entries [1024 * entrySize]byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// region is struct page_region of linux/fs.h.
type region struct{ start, end, _ uint64 }

// scanArgument is struct pm_scan_arg of linux/fs.h.
type scanArgument struct {
	size, flags, start, end, walkEnd                 uint64
	regions, regionsLen, maxPages                    uint64
	categoryInverted, categoryMask, categoryAny, ret uint64
}

const (
	pagemapScan = 0xC0606610 // _IOWR('f', 16, struct pm_scan_arg)

	isFile    = 1 << 2
	isPresent = 1 << 3
	isSwapped = 1 << 4
)

// scan asks for the runs with ioctl PAGEMAP_SCAN (Linux 6.7).
func (s *scratch) scan(fd int, memory []byte, visit func(from, to uint64) bool) error {
	base := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(memory))))
	end := base + uint64(len(memory))
	arg := scanArgument{
		start: base, end: end,
		regions: uint64(uintptr(unsafe.Pointer(&s.regions))), regionsLen: uint64(len(s.regions)),
		categoryInverted: isFile, categoryMask: isFile, // must not be
		categoryAny: isPresent | isSwapped, ret: isPresent,
	}
	arg.size = uint64(unsafe.Sizeof(arg))
	for arg.start < end {
		n, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), pagemapScan, uintptr(unsafe.Pointer(&arg)))
		if errno != 0 {
			return errno
		}
		for _, r := range s.regions[:n] {
			if !visit(r.start-base, r.end-base) {
				return nil
			}
		}
		if arg.walkEnd <= arg.start {
			return unix.EPROTO
		}
		arg.start = arg.walkEnd
	}
	return nil
}

const (
	entrySize    = 8
	entryFile    = 1 << 61
	entrySwapped = 1 << 62
	entryPresent = 1 << 63
)

func (s *scratch) readPrivate(fd int, memory []byte, visit func(from, to uint64) bool) error {
	return s.read(fd, memory, isPrivate, visit)
}

func (s *scratch) readTouched(fd int, memory []byte, visit func(from, to uint64) bool) error {
	return s.read(fd, memory, isTouched, visit)
}

// read reads one entry per page (Linux 4.2) and visits the runs of those that match.
func (s *scratch) read(fd int, memory []byte, match func(entry uint64) bool, visit func(from, to uint64) bool) error {
	first := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(memory)))) / pageSize
	var run struct{ from, to uint64 }
	count := wholePages(uint64(len(memory))) / pageSize
	for page := uint64(0); page < count; {
		want := min(count-page, uint64(len(s.entries)/entrySize))
		n, err := unix.Pread(fd, s.entries[:want*entrySize], int64((first+page)*entrySize))
		if err != nil {
			return err
		}
		if n < entrySize {
			return unix.EPROTO
		}
		for entry := range slices.Chunk(s.entries[:n-n%entrySize], entrySize) {
			if match(binary.NativeEndian.Uint64(entry)) {
				if at := page * pageSize; at != run.to {
					if run.from < run.to && !visit(run.from, run.to) {
						return nil
					}
					run.from = at
				}
				run.to = (page + 1) * pageSize
			}
			page++
		}
	}
	if run.from < run.to {
		visit(run.from, run.to)
	}
	return nil
}

func isTouched(entry uint64) bool { return entry&(entryPresent|entrySwapped) != 0 }

func isPrivate(entry uint64) bool { return isTouched(entry) && entry&entryFile == 0 }
