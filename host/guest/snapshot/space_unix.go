//go:build unix

package snapshot

import (
	"math"
	"unsafe"

	"golang.org/x/sys/unix"
)

// space is address space from the system, outside the Go heap. It never moves, and pages that nobody touched cost nothing.
type space struct{ all []byte }

func reserve(ceiling uint64) (space, error) {
	n := max(wholePages(ceiling), pageSize)
	if n < ceiling || n > math.MaxInt {
		return space{}, unix.ENOMEM
	}
	base, err := unix.MmapPtr(-1, 0, nil, uintptr(n), unix.PROT_READ|unix.PROT_WRITE, reservation)
	if err != nil {
		return space{}, err
	}
	return space{unsafe.Slice((*byte)(base), int(n))}, nil
}

// head is the first n bytes, with no capacity behind them.
func (s *space) head(n uint64) []byte { return s.all[:n:n] }

func (s *space) release() error {
	return unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(s.all)), uintptr(len(s.all)))
}
