package guest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
)

// Reason says why a module was refused or a call ended without success.
type Reason string

// Reasons. Those for which Limit is true mean that the host stopped the guest.
const (
	ReasonFailed    Reason = "failed"     // the guest's own error: error_set, a result that is not 0, an exit code
	ReasonTrap      Reason = "trap"       // a bug of the guest: unreachable, out of bounds, stack overflow, wrong use of an import
	ReasonDeadline  Reason = "deadline"   // Limits.Timeout, or the deadline of the caller
	ReasonCanceled  Reason = "canceled"   // the caller went away
	ReasonMemory    Reason = "memory"     // Limits.MemoryBytes
	ReasonArena     Reason = "arena"      // Limits.ArenaBytes, or too many bytes of variables
	ReasonInput     Reason = "input"      // Limits.InputBytes; nothing ran
	ReasonOutput    Reason = "output"     // Limits.OutputBytes
	ReasonHostCalls Reason = "host_calls" // Limits.HostCalls
	ReasonFuel      Reason = "fuel"       // Limits.Fuel
	ReasonLog       Reason = "log"        // far more log than even dropping it is worth
	ReasonExport    Reason = "export"     // there is no such export; nothing ran
	ReasonModule    Reason = "module"     // not a usable module
	ReasonImport    Reason = "import"     // not a usable module: it imports what this host does not offer
	ReasonEngine    Reason = "engine"     // only the other engine can run it
	ReasonClosed    Reason = "closed"     // module or engine were closed
	ReasonBusy      Reason = "busy"       // too many guests run; nothing ran
	ReasonDepth     Reason = "depth"      // guests call each other too deep; nothing ran
	ReasonHost      Reason = "host"       // a failure of the host
	ReasonCrashed   Reason = "crashed"    // the guest's own process ended under the call
	ReasonEnded     Reason = "ended"      // the host ended it with End
)

// Limit reports whether the guest was stopped by a limit.
func (r Reason) Limit() bool {
	switch r {
	case ReasonDeadline, ReasonCanceled, ReasonMemory, ReasonArena, ReasonInput, ReasonOutput, ReasonHostCalls, ReasonFuel, ReasonLog:
		return true
	}
	return false
}

// Unusable reports whether the module itself was refused.
func (r Reason) Unusable() bool {
	return r == ReasonModule || r == ReasonImport || r == ReasonEngine
}

// ReasonOf returns the reason of an error of this package, "" for nil, and ReasonHost for any other error.
func ReasonOf(err error) Reason {
	var s *stop
	switch {
	case err == nil:
		return ""
	case errors.As(err, &s):
		return s.reason
	}
	return ReasonHost
}

// stop is the cause inside every fault of this package, and what a host function panics with to end a guest. wazero
// unwinds the guest and hands it back.
type stop struct {
	reason Reason
	text   string // for people, without the name of the guest
	detail string // for operators: stack of the guest, cause in the host
	code   uint32 // of an exit
	exit   bool
	// overflow: of the call stack
	overflow bool
	cause    error // context.Canceled or context.DeadlineExceeded, for errors.Is; of End, what it was given
}

// Unwrap returns the cause, if there is one.
func (s *stop) Unwrap() error { return s.cause }

// Error is the operator's text.
func (s *stop) Error() string {
	if s.detail == "" {
		return string(s.reason)
	}
	return string(s.reason) + ": " + s.detail
}

// kinds says what a reason means to the rest of the host.
var kinds = map[Reason]struct {
	kind fault.Kind
	side fault.Side
}{
	ReasonFailed:    {fault.Internal, fault.Guest},
	ReasonTrap:      {fault.Internal, fault.Guest},
	ReasonDeadline:  {fault.Timeout, fault.Guest},
	ReasonCanceled:  {fault.Canceled, fault.Caller},
	ReasonMemory:    {fault.Exhausted, fault.Guest},
	ReasonArena:     {fault.Exhausted, fault.Guest},
	ReasonInput:     {fault.TooLarge, fault.Caller},
	ReasonOutput:    {fault.TooLarge, fault.Guest},
	ReasonHostCalls: {fault.Exhausted, fault.Guest},
	ReasonFuel:      {fault.Exhausted, fault.Guest},
	ReasonLog:       {fault.Exhausted, fault.Guest},
	ReasonExport:    {fault.NotFound, fault.Guest},
	ReasonModule:    {fault.Invalid, fault.Guest},
	ReasonImport:    {fault.Invalid, fault.Guest},
	ReasonEngine:    {fault.Unsupported, fault.Guest},
	ReasonClosed:    {fault.Unavailable, fault.Host},
	ReasonBusy:      {fault.RateLimited, fault.Host}, // so that a job waits without losing a try
	ReasonDepth:     {fault.Exhausted, fault.Guest},
	ReasonHost:      {fault.Internal, fault.Host},
	ReasonCrashed:   {fault.Unavailable, fault.Guest}, // trying again helps if it was not this call that did it
	ReasonEnded:     {fault.Canceled, fault.Host},
}

// fault makes the error that leaves the package.
func (s *stop) fault(op, msg string) *fault.Error {
	k := kinds[s.reason]
	return &fault.Error{Kind: k.kind, Side: k.side, Op: op, Msg: msg, Err: s}
}

// of makes the error of a call of the guest with this name.
func (s *stop) of(plugin string) *fault.Error {
	if s.reason == ReasonEnded {
		return ended(s)
	}
	return s.fault("guest.Call", "guest "+plugin+": "+s.text)
}

// unusable is the error of a module that cannot be compiled.
func unusable(reason Reason, format string, args ...any) *fault.Error {
	s := &stop{reason: reason}
	return s.fault("guest.Compile", "not a usable module: "+fmt.Sprintf(format, args...))
}

// closedModule is the error of a call after Close.
func closedModule(plugin string) error {
	return (&stop{reason: ReasonClosed, text: "it is closed"}).of(plugin)
}

// noExport is the error of a call of something that is not there.
func noExport(export string, exports []string) *stop {
	const most = 20
	offers := strings.Join(exports[:min(len(exports), most)], ", ")
	switch {
	case len(exports) == 0:
		offers = "nothing"
	case len(exports) > most:
		offers += ", ..."
	}
	return &stop{reason: ReasonExport, text: fmt.Sprintf("no export %q; it offers %s", export, clean(offers, maxTextBytes))}
}

// closedEngine is the error of an engine after Close.
func closedEngine(op string) *fault.Error {
	return (&stop{reason: ReasonClosed}).fault(op, "the engine is closed")
}

// trapText is the first line of what wazero says of a trap, without its decoration, and the rest for operators. It never
// holds a Go stack: that names files of the machine that built the host.
func trapText(err error) (text, detail string) {
	all := err.Error()
	all, _, _ = strings.Cut(all, "Go runtime stack trace:")
	text, detail, _ = strings.Cut(all, "\n")
	text = strings.TrimPrefix(text, "wasm error: ")
	text = strings.TrimSuffix(text, " (recovered by wazero)")
	return clean(text, maxTextBytes), clean(strings.TrimSpace(detail), maxDetailBytes)
}

// Bounds of texts that come from a guest.
const (
	maxTextBytes   = 1 << 10
	maxDetailBytes = 8 << 10
)

// clean makes text of a guest fit for an error: valid UTF-8 of at most limit bytes.
func clean(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// contextStop is why ctx ended.
func contextStop(ctx context.Context, timeout time.Duration, export string) *stop {
	if errors.Is(ctx.Err(), context.Canceled) {
		return &stop{reason: ReasonCanceled, text: "canceled by the caller in " + export, cause: context.Canceled}
	}
	return &stop{
		reason: ReasonDeadline, text: fmt.Sprintf("deadline exceeded (%s) in %s", timeout.Round(time.Millisecond), export),
		cause: context.DeadlineExceeded,
	}
}

// End ends the guest from inside of Call.Host or Call.Sleep, and does not return. The call fails with ReasonEnded, and with
// the kind, side and message of err, which errors.Is and errors.As find.
func End(err error) { panic(&end{err}) }

// end is what End panics with.
type end struct{ err error }

// EndOf returns what End was given, from what was recovered from a panic; nil for any other panic.
func EndOf(recovered any) error {
	if e, ok := recovered.(*end); ok {
		return e.err
	}
	return nil
}

// Ended is the error of a call that End ended, for engines outside of this package.
func Ended(err error) error { return ended(&stop{reason: ReasonEnded, cause: err}) }

func ended(s *stop) *fault.Error {
	return &fault.Error{
		Kind: fault.KindOf(s.cause), Side: fault.SideOf(s.cause), Op: "guest.Call", Msg: fault.PublicMessage(s.cause),
		RetryAfter: fault.RetryAfterOf(s.cause), Err: s,
	}
}

// size writes a number of bytes for people.
func size(n uint64) string {
	for _, u := range []struct {
		shift uint
		name  string
	}{{30, "GiB"}, {20, "MiB"}, {10, "KiB"}} {
		if n >= 1<<u.shift && n%(1<<u.shift) == 0 {
			return fmt.Sprintf("%d %s", n>>u.shift, u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
