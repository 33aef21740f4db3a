//go:build !unix

package snapshot

// shares says that a memory shares pages with its image until it writes to them.
const shares = false

// space is a slice that grows, and moves when it does: these systems offer no address space that costs nothing.
type space struct {
	all     []byte
	ceiling uint64
}

func reserve(ceiling uint64) (space, error) { return space{ceiling: ceiling}, nil }

// start copies the image to the head of the space.
func (s *space) start(i *Image) error {
	s.all = make([]byte, wholePages(i.size))
	copy(s.all, i.view)
	return nil
}

// head is the first n bytes, with no capacity behind them.
func (s *space) head(n uint64) []byte {
	if n > uint64(len(s.all)) {
		// Doubling keeps many small steps from copying quadratically.
		grown := make([]byte, max(n, min(2*uint64(len(s.all)), s.ceiling)))
		copy(grown, s.all)
		s.all = grown
	}
	return s.all[:n:n]
}

// giveBack moves the space to one that ends at from, so that the garbage collector gets the rest.
func (s *space) giveBack(from, _ uint64) error {
	s.all = append(make([]byte, 0, from), s.all[:from]...)
	return nil
}

func (s *space) release() error { return nil }
