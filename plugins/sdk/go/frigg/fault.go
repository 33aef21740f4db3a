package frigg

import (
	"errors"
	"fmt"
	"time"

	"github.com/frigg-host/frigg-host/abi"
)

// Kind says what kind of failure a Fault is; the host decides by it whether to try again.
type Kind = abi.FaultKind

// The kinds. Rate limits, timeouts, unavailability and internal faults are tried again; the others end the event.
const (
	KindInvalid      = abi.FaultKindInvalid
	KindUnauthorized = abi.FaultKindUnauthorized
	KindForbidden    = abi.FaultKindForbidden
	KindNotFound     = abi.FaultKindNotFound
	KindConflict     = abi.FaultKindConflict
	KindTooLarge     = abi.FaultKindTooLarge
	KindRateLimited  = abi.FaultKindRateLimited
	KindTimeout      = abi.FaultKindTimeout
	KindUnavailable  = abi.FaultKindUnavailable
	KindExhausted    = abi.FaultKindExhausted
	KindUnsupported  = abi.FaultKindUnsupported
	KindCanceled     = abi.FaultKindCanceled
	KindInternal     = abi.FaultKindInternal
)

// Side says whose fault it is.
type Side = abi.FaultSide

// The sides.
const (
	SideCaller = abi.FaultSideCaller
	SideGuest  = abi.FaultSideGuest
	SideRemote = abi.FaultSideRemote
	SideHost   = abi.FaultSideHost
)

// Fault is a failure as the host and plugins tell each other of it. What a host function answers and what a handler returns
// are Faults; find one in an error with errors.As. Treat it as read-only.
type Fault struct {
	Kind Kind
	Side Side // empty is filled by the host
	// Message is for people: what happened and what to do.
	Message string
	// RetryAfter is how long to wait before another try; zero when unknown.
	RetryAfter time.Duration
	// Halt asks the host not to try this event again, whatever the kind.
	Halt bool
	// Status is the HTTP status that the vendor answered; zero if none.
	Status int
	// Err is the cause; it does not leave the plugin.
	Err error
}

// Error returns the message.
func (f *Fault) Error() string { return f.Message }

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

// Errorf makes a fault. As with fmt.Errorf, %w keeps a cause.
func Errorf(kind Kind, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Fault{Kind: kind, Message: err.Error(), Err: errors.Unwrap(err)}
}

// Invalid is a fault of kind invalid: the request makes no sense, and sending it again will not help.
func Invalid(format string, args ...any) error { return Errorf(KindInvalid, format, args...) }

// NotFound is a fault of kind not_found.
func NotFound(format string, args ...any) error { return Errorf(KindNotFound, format, args...) }

// Conflict is a fault of kind conflict: it exists already, or changed meanwhile.
func Conflict(format string, args ...any) error { return Errorf(KindConflict, format, args...) }

// Unsupported is a fault of kind unsupported: neither this plugin nor the vendor offers it.
func Unsupported(format string, args ...any) error { return Errorf(KindUnsupported, format, args...) }

// Unavailable is a fault of kind unavailable: the vendor does not answer as it should, and may do so later.
func Unavailable(format string, args ...any) error { return Errorf(KindUnavailable, format, args...) }

// Halt marks err as final: the host keeps it with the run and does not try the event again. Nil stays nil.
func Halt(err error) error {
	if err == nil {
		return nil
	}
	f := outermost(err)
	f.Halt = true
	return f
}

// RetryAfter asks the host to try again after d, which does not count as a failure. Err is the reason; nil is allowed.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		return &Fault{Kind: KindRateLimited, Message: "not yet; try again in " + d.String(), RetryAfter: d}
	}
	f := outermost(err)
	f.Kind, f.RetryAfter = KindRateLimited, d
	return f
}

// outermost returns a new Fault that says all of err and is caused by it.
func outermost(err error) *Fault {
	f := FaultOf(err)
	f.Err = err
	return &f
}

// FaultOf tells err as a Fault: the first one in its chain with err's whole text, or one of kind internal.
// Err must not be nil.
func FaultOf(err error) Fault {
	f := Fault{Kind: KindInternal, Side: SideGuest}
	if inner, ok := errors.AsType[*Fault](err); ok {
		f = *inner
	}
	f.Message = err.Error()
	return f
}

// KindOf returns the kind of the first Fault in err, internal if there is none, and "" for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	return FaultOf(err).Kind
}

// Is reports whether err is a fault of one of these kinds.
func Is(err error, kinds ...Kind) bool {
	kind := KindOf(err)
	for _, k := range kinds {
		if kind == k && kind != "" {
			return true
		}
	}
	return false
}

// StatusOf returns the HTTP status that the vendor answered, zero if err does not come from an answer.
func StatusOf(err error) int {
	if err == nil {
		return 0
	}
	return FaultOf(err).Status
}
