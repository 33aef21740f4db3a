package snapshot

import (
	"bytes"

	"github.com/frigg-host/frigg-host/host/fault"
)

// Method is a way to put a memory back.
type Method string

const (
	PagemapScan Method = "pagemap-scan" // Linux 6.7: asks the kernel for the runs of pages that were written to
	Pagemap     Method = "pagemap"      // Linux 3.5: reads an entry per page to find them
	Copy        Method = "copy"         // everywhere: compares each page with the image and copies those that differ
)

// Restore makes the memory what its image is: pages that were written to are copied back, what has grown is zero and
// forgotten, and the size is that of the image. It returns how many pages it put back one by one.
//
// An instance learns the size of its memory only from Reallocate: grow must make the engine call it once, by growing the
// memory of the instance by one page and reporting whether that succeeded. It is called only if the size has changed, so
// the engine's own limit has to be at least one page above the ceiling.
//
// It returns fault.Unsupported if this system does not offer the method, and fault.Internal for a memory without an image
// or if grow fails. After an error the memory may be anything: free it.
func (m *Memory) Restore(by Method, grow func() bool) (pages int, err error) {
	const op = "snapshot.Restore"
	if m.state != running || m.image == nil {
		return 0, misused(op, "only a running memory that started from an image can be put back")
	}
	switch by {
	case PagemapScan, Pagemap:
		pages, err = m.restorePrivate(by)
	case Copy:
		pages, err = m.restoreChanged()
	default:
		err = fault.New(fault.Unsupported, op, "there is no method %q", by)
	}
	if err != nil {
		return pages, err
	}
	if m.size != m.image.size && !m.shrink(grow) {
		return pages, misused(op, "the instance did not learn the new size of its memory")
	}
	return pages, nil
}

// restorePrivate copies back every page that the memory does not share with its image. These stay private, so that the
// next search finds them again, and the next call writes to them without a fault.
func (m *Memory) restorePrivate(by Method) (pages int, err error) {
	m.private = 0
	err = m.image.backing.private(by, m.space.all[:m.top], func(from, to uint64) bool {
		if m.private += to - from; m.private > m.Keep {
			return false
		}
		m.copyBack(from, to)
		pages += int((to - from) / pageSize)
		return true
	})
	if err == nil && m.private > m.Keep {
		err = m.giveBack(0)
	}
	return pages, err
}

// restoreChanged copies back every page that differs from the image. Pages that were only read stay shared.
func (m *Memory) restoreChanged() (pages int, err error) {
	end := wholePages(m.image.size)
	for at := uint64(0); at < end; at += pageSize {
		if !m.unchanged(at) {
			m.copyBack(at, at+pageSize)
			pages++
		}
	}
	if !shares {
		m.private = end
		return pages, m.giveBack(end)
	}
	if m.private += uint64(pages) * pageSize; m.private > m.Keep {
		return pages, m.giveBack(0)
	}
	return pages, m.giveBack(end)
}

// unchanged reports whether the page at an offset is that of the image.
func (m *Memory) unchanged(at uint64) bool {
	page, want := m.space.all[at:at+pageSize], m.image.view[at:]
	n := min(len(page), len(want))
	return bytes.Equal(page[:n], want[:n]) && isZero(page[n:])
}

// copyBack makes [from, to) what it is in the image, and zero behind that.
func (m *Memory) copyBack(from, to uint64) {
	n := 0
	if from < m.image.size {
		n = copy(m.space.all[from:to], m.image.view[from:])
	}
	clear(m.space.all[from+uint64(n) : to])
}

// giveBack drops the private pages from an offset on.
func (m *Memory) giveBack(from uint64) error {
	if from >= m.top {
		return nil
	}
	if err := m.space.giveBack(from, m.top); err != nil {
		return refused("snapshot.Restore", "the memory of a plugin could not be given back", err)
	}
	m.top = wholePages(m.image.size)
	if from == 0 {
		m.private = 0
	}
	return nil
}

// shrink has the engine call Reallocate, which hands out the size of the image.
func (m *Memory) shrink(grow func() bool) bool {
	m.state = restoring
	defer func() { m.state = running }()
	return grow() && m.state == running
}
