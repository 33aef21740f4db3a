package snapshot

// DefaultKeep is the Keep of a new Memory: what a Go program writes to in one call before it collects garbage.
const DefaultKeep = 4 << 20

// Memory is the linear memory of one instance, used by one goroutine at a time. On Unix it lies outside the Go heap and
// does not move; elsewhere it moves when it grows.
type Memory struct {
	// Guard, if not nil, is asked before the memory changes its size at the wish of the guest, with the current and the
	// wanted size in bytes; also when the ceiling refuses that size anyway. It returns false to refuse. It may panic: the
	// memory stays as it was. It is not asked at instantiation nor by Restore.
	Guard func(current, wanted uint64) bool
	// Keep bounds the private bytes that survive a Restore where pages are shared with the image. They save the next call
	// a page fault each. A Restore that finds more gives them all back to the system; with zero that is each one that
	// finds any.
	Keep uint64

	image   *Image // may be nil
	ceiling uint64
	space   space
	size    uint64 // exposed now
	top     uint64 // what lies behind is untouched; never less than the image in whole pages
	private uint64
	inVain  int // pages that Restore looked at and found unchanged since it gave back
	state   state

	known    []span // runs of private pages after the last Restore
	complete bool   // that are all
	watching bool
	faults   int64 // of this thread when watching began
	calm     bool  // none before that, since Watch
}

type state int

const (
	fresh     state = iota // the first Reallocate instantiates
	running                // Reallocate grows
	restoring              // Reallocate answers with the size of the image
	freed
)

// NewMemory reserves address space for a memory of at most ceiling bytes. With an image, which may be nil, the memory
// starts as that: the first Reallocate exposes the size of the image, whatever it asks for. Free it. It returns
// fault.Exhausted if the system has no room, and fault.Internal if the image is closed or above the ceiling.
func NewMemory(ceiling uint64, i *Image) (*Memory, error) {
	const op = "snapshot.NewMemory"
	m := &Memory{Keep: DefaultKeep, image: i, ceiling: ceiling}
	if i != nil {
		if i.size > ceiling {
			return nil, misused(op, "the image of a plugin is larger than its memory may be")
		}
		if !i.acquire() {
			return nil, misused(op, "the image of a plugin was closed")
		}
		m.size, m.top = i.size, wholePages(i.size)
	}
	if err := m.reserve(); err != nil {
		if i != nil {
			_ = i.release() // the first failure says more
		}
		return nil, refused(op, "there is no room for the memory of a plugin", err)
	}
	liveMemories.Add(1)
	return m, nil
}

func (m *Memory) reserve() (err error) {
	if m.space, err = reserve(m.ceiling); err != nil || m.image == nil {
		return err
	}
	if err := m.space.start(m.image); err != nil {
		_ = m.space.release()
		return err
	}
	return nil
}

// Bytes is the memory as it is now, empty after Free. It is valid until the next Reallocate, Restore or Free.
func (m *Memory) Bytes() []byte {
	if m.state == freed {
		return nil
	}
	return m.space.head(m.size)
}

// Private is how many bytes of the memory were its own and not the image's after the last Restore.
func (m *Memory) Private() uint64 { return m.private }

// Reallocate is what the engine calls to make the memory size bytes long: once at instantiation, and for each growth. New
// bytes are zero. It returns nil to refuse: a size above the ceiling or below the current one, an image that is smaller
// than the module's minimum, whatever Guard refuses, and everything after Free.
func (m *Memory) Reallocate(size uint64) []byte {
	switch m.state {
	case fresh:
		if m.image != nil {
			if size > m.image.size {
				return nil
			}
			size = m.image.size
		}
	case running:
		if m.Guard != nil && !m.Guard(m.size, size) {
			return nil
		}
		if size < m.size {
			return nil
		}
	case restoring:
		size = m.image.size
	case freed:
		return nil
	}
	if size > m.ceiling {
		return nil
	}
	m.state, m.size, m.top = running, size, max(m.top, wholePages(size))
	return m.space.head(size)
}

// Same reports whether the memory is byte by byte what its image is, and zero behind it: a check of Restore, to be made now
// and then. It reads every page that was ever touched, written or not, however Restore found what it put back. It leaves
// alone those where nothing is mapped yet: they are the image's own, and reading them would only make them take memory.
// A memory without an image is never the same.
func (m *Memory) Same() bool {
	if m.state == freed || m.image == nil || m.size != m.image.size {
		return false
	}
	same := true
	m.image.backing.touched(m.space.all[:m.top], func(from, to uint64) bool {
		for at := from; at < to && same; at += pageSize {
			same = !differ(m.page(at))
		}
		return same
	})
	return same
}

// Free gives the memory back. The engine calls it when the instance is closed; freeing again does nothing.
func (m *Memory) Free() {
	if m.state == freed {
		return
	}
	m.Pause()
	m.state, m.size, m.private = freed, 0, 0
	_ = m.space.release() // fails only for what was never mapped
	m.space = space{}
	if m.image != nil {
		_ = m.image.release()
	}
	liveMemories.Add(-1)
}
