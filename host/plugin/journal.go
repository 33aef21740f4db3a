package plugin

import (
	"context"
	"time"
)

// Journal is the record of one guest call: what it started from and what it was answered. With it the call can be repeated
// exactly. It belongs to the goroutine of the call.
type Journal interface {
	// Pin says with which version the call runs: d, unless the call is repeated and began with another one.
	Pin(d Digest) Digest
	// Seed determines all that the guest reads as random.
	Seed() *[32]byte
	// Now is the guest's clock: when the call started, and after each answer when that was given.
	Now() time.Time
	// Sleep waits, or ends the guest with an error: the call is repeated when the time has come.
	Sleep(ctx context.Context, d time.Duration) error
	// Serve answers one host function, by do unless the answer is known. An error ends the guest. do is called at most once,
	// with a context that carries a HostCall.
	Serve(ctx context.Context, capability, function string, request []byte, do func(context.Context) []byte) ([]byte, error)
	// Ended is told, when the call has ended, what the guest answered, nil if it was stopped, and what it took: units of
	// computing and bytes of memory.
	Ended(output []byte, fuel int64, memory uint64)
	// Replaying reports that what happens now has happened before, so that log lines were written.
	Replaying() bool
}

// HostCall is one host call of a recorded guest, for the rooms behind the capabilities.
type HostCall struct {
	// Key is the same for this effect in every try of the run, and different for every other.
	Key string
	// Unsure is not zero when the effect was begun before, at that time, and nobody knows whether it happened.
	Unsure time.Time
	// Still fails when the run is somebody else's by now, who may do the same: then nothing may be sent. Nil is always.
	Still func(ctx context.Context) error
	// Journal returns that of a guest which is called to answer this one.
	Journal func() Journal

	doubt    error
	later    bool
	resolved bool
}

// MaySend asks Still.
func (h *HostCall) MaySend(ctx context.Context) error {
	if h.Still == nil {
		return nil
	}
	return h.Still(ctx)
}

// Resolved says that the answer tells what became of an effect which was begun before, also when it is a failure. Without it
// such a failure says only that nobody found out: the run stops there, and the next try goes on finding out.
func (h *HostCall) Resolved() { h.resolved = true }

// Unknown reports that the effect was begun before, and that a failure does not tell what became of it.
func (h *HostCall) Unknown() bool { return !h.Unsure.IsZero() && !h.resolved }

// Undecided says that nobody can know whether the effect happened, and that it must not be repeated: a person decides. why is
// for that person.
func (h *HostCall) Undecided(why error) { h.doubt, h.later = why, false }

// Unresolved says that it is not known yet whether the effect happened: the run stops here, and the next try finds out.
func (h *HostCall) Unresolved(why error) { h.doubt, h.later = why, true }

// Doubt returns what Undecided or Unresolved was told, nil if all is clear. later says that it was Unresolved.
func (h *HostCall) Doubt() (why error, later bool) { return h.doubt, h.later }

type hostCallKey struct{}

// WithHostCall returns a context that carries h.
func WithHostCall(ctx context.Context, h *HostCall) context.Context {
	return context.WithValue(ctx, hostCallKey{}, h)
}

// HostCallOf returns the host call that ctx serves; nil when no recorded guest waits for it.
func HostCallOf(ctx context.Context) *HostCall {
	h, _ := ctx.Value(hostCallKey{}).(*HostCall)
	return h
}
