package journal

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
)

// Suspended ends a guest that waits for longer than an instance is kept. The run is repeated at Until.
type Suspended struct{ Until time.Time }

func (s *Suspended) Error() string { return "the run sleeps until " + s.Until.Format(time.RFC3339) }

// Checkpoint ends a guest that wants to be started again with State, and nothing else, on record.
type Checkpoint struct{ State json.RawMessage }

func (*Checkpoint) Error() string { return "the run begins again from a checkpoint" }

// Undecided ends a guest at an effect of which nobody knows whether it happened.
type Undecided struct {
	Path Path
	Why  error
}

func (u *Undecided) Error() string { return "undecided at " + string(u.Path) + ": " + u.Why.Error() }

// Fault is what a person reads.
func (u *Undecided) Fault() error {
	return &fault.Error{
		Kind: fault.Conflict, Side: fault.Remote, Op: "journal.Serve", Err: u,
		Msg: fmt.Sprintf("nobody knows whether step %s of this run happened (%s); decide: it happened, send it again, or give up", u.Path, fault.PublicMessage(u.Why)),
	}
}

// Diverged ends a guest that asks for something else than what is on record.
type Diverged struct {
	Path     Path
	Recorded Entry
	Asked    *Entry // nil when the guest ended instead
}

func (d *Diverged) Error() string { return "diverged at " + string(d.Path) }

// Fault is what a person reads: both sides.
func (d *Diverged) Fault() error {
	asks := "it ended"
	if d.Asked != nil {
		asks = "it asks for " + brief(d.Asked.what())
	}
	return &fault.Error{
		Kind: fault.Internal, Side: fault.Guest, Op: "journal.Serve", Err: d,
		Msg: fmt.Sprintf("the run cannot go on: at step %s the record has %s, now %s", d.Path, brief(d.Recorded.what()), asks),
	}
}
