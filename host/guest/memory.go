package guest

import "github.com/tetratelabs/wazero/experimental"

// pageSize is the unit of linear memory (WebAssembly core specification 2.0, 4.2.8).
const pageSize = 1 << 16

// linear is the linear memory of an instance with a limit. It stays readable after wazero has freed it, until the next
// garbage collection without a reference. It is its own allocator: one memory per instance.
type linear struct {
	bytes  []byte
	limit  uint64
	denied bool   // more was refused
	refuse func() // if not nil, called when more is refused
}

var (
	_ experimental.MemoryAllocator = (*linear)(nil)
	_ experimental.LinearMemory    = (*linear)(nil)
)

// Allocate implements experimental.MemoryAllocator.
func (l *linear) Allocate(_, _ uint64) experimental.LinearMemory { return l }

// Reallocate implements experimental.LinearMemory: nil above the limit, which the guest sees as a failed memory.grow.
// What is behind the old end is zero, since memory never shrinks.
func (l *linear) Reallocate(n uint64) []byte {
	if n > l.limit {
		l.denied = true
		if l.refuse != nil {
			l.refuse()
		}
		return nil
	}
	if n > uint64(cap(l.bytes)) {
		// Doubling keeps many small steps from copying quadratically.
		grown := make([]byte, n, min(l.limit, max(n, 2*uint64(cap(l.bytes)))))
		copy(grown, l.bytes)
		l.bytes = grown
	}
	l.bytes = l.bytes[:n]
	return l.bytes
}

// Free implements experimental.LinearMemory. The garbage collector does it.
func (l *linear) Free() {}
