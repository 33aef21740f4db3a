package snapshot

import (
	"bytes"

	"github.com/frigg-host/frigg-host/host/fault"
)

// Method is a way to put a memory back.
type Method string

const (
	PagemapScan Method = "pagemap-scan" // Linux 6.7: asks the kernel for the runs of pages that were written to
	Pagemap     Method = "pagemap"      // Linux 4.2: reads an entry per page to find them
	Copy        Method = "copy"         // everywhere: compares each page with the image and copies those that differ
)

// Restore makes the memory what its image is: pages that were written to are copied back, what has grown is zero and
// forgotten, and the size is that of the image. It returns how many pages it copied back or cleared; those that it gave back
// to the system are not counted.
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

// A private page is kept because the next call would pay for a copy of its own with a page fault, which costs about as much
// as looking at faultCost pages. The pages of the image that are only read fault again too, once all is given back: about
// readSet of them.
const (
	faultCost = 16
	readSet   = 64
)

// searched is how many bytes behind the image are searched for private pages. A memory that grew by more gives them back
// unseen, since reading an entry per page would cost more than the faults.
const searched = 32 << 20

// restorePrivate puts back the pages that the memory does not share with its image. They stay private, and the next search
// finds them again. Those that did not differ were looked at in vain; when that has cost as much as the page faults would
// that having none spares, all are given back, so that what is kept follows what calls need now.
func (m *Memory) restorePrivate(by Method) (pages int, err error) {
	if m.undisturbed() {
		for _, run := range m.known {
			pages += m.putBack(run.from, run.to)
		}
	} else if pages, err = m.restoreFound(by); err != nil {
		return pages, err
	}
	kept := int(m.private / pageSize)
	m.inVain += kept - pages
	if m.private > m.Keep || m.inVain > faultCost*(kept+readSet) {
		err = m.giveBack(0)
	}
	return pages, err
}

// restoreFound searches for the private pages.
func (m *Memory) restoreFound(by Method) (pages int, err error) {
	if end := wholePages(m.image.size); m.top-end > searched {
		if err := m.giveBack(end); err != nil {
			return 0, err
		}
	}
	m.private = 0
	m.forget()
	err = m.image.backing.private(by, m.space.all[:m.top], func(from, to uint64) bool {
		if m.private += to - from; m.private > m.Keep {
			return false
		}
		m.learn(span{from, to})
		pages += m.putBack(from, to)
		return true
	})
	return pages, err
}

// restoreChanged looks at every page. Those that were only read stay shared.
func (m *Memory) restoreChanged() (pages int, err error) {
	m.undisturbed()
	defer func() { m.complete = false }() // it looks at contents, and does not learn which pages are private
	end := wholePages(m.image.size)
	pages = m.putBack(0, end)
	if !shares {
		m.private = end
		return pages, m.giveBack(end)
	}
	if m.private += uint64(pages) * pageSize; m.private > m.Keep {
		return pages, m.giveBack(0)
	}
	return pages, m.giveBack(end)
}

// putBack copies the pages in [from, to) that differ from the image. It returns how many.
func (m *Memory) putBack(from, to uint64) (pages int) {
	for at := from; at < to; at += pageSize {
		if page, want := m.page(at); differ(page, want) {
			clear(page[copy(page, want):])
			pages++
		}
	}
	return pages
}

// page is the page at an offset and what it has to be: want, and zero behind it.
func (m *Memory) page(at uint64) (page, want []byte) {
	end := at + pageSize
	return m.space.all[at:end], m.image.view[min(at, m.image.size):min(end, m.image.size)]
}

func differ(page, want []byte) bool {
	n := len(want)
	return !bytes.Equal(page[:n], want) || !isZero(page[n:])
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
		m.private, m.inVain = 0, 0
		m.forget()
	}
	return nil
}

// shrink has the engine call Reallocate, which hands out the size of the image.
func (m *Memory) shrink(grow func() bool) bool {
	m.state = restoring
	defer func() { m.state = running }()
	return grow() && m.state == running
}
