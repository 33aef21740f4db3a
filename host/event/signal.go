package event

import "sync"

// Signal wakes everybody who waits for new facts. The zero value is ready.
//
// Who waits takes Next first, then reads what there is, then waits: so nothing that is committed in between is missed.
type Signal struct {
	mu   sync.Mutex
	next chan struct{}
}

// Next returns a channel that is closed by the next Ring.
func (s *Signal) Next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		s.next = make(chan struct{})
	}
	return s.next
}

// Ring wakes those who wait. It never blocks.
func (s *Signal) Ring() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != nil {
		close(s.next)
		s.next = nil
	}
}
