package guest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
)

// This file is for engines outside of this package: what they need to refuse and to fail as the ones here do.

// OrDefault fills zero fields from DefaultLimits and cuts what would overflow.
func (l Limits) OrDefault() Limits { return l.orDefault() }

// Check says why a call is refused before anything runs, nil if it is not. exports are sorted.
func (c *Call) Check(ctx context.Context, exports []string) error {
	l := c.Limits.orDefault()
	switch n := uint64(len(c.Input)); {
	case ctx.Err() != nil:
		return c.Ended(ctx, c.Timeout(ctx))
	case !slices.Contains(exports, c.Export):
		return noExport(c.Export, exports).of(c.Plugin)
	case n > l.InputBytes:
		return (&stop{reason: ReasonInput, text: fmt.Sprintf("input of %s is over the limit of %s", size(n), size(l.InputBytes))}).of(c.Plugin)
	}
	return nil
}

// Timeout is how long the call may take if it starts now: until its limit or the deadline of ctx, whichever is first.
func (c *Call) Timeout(ctx context.Context) time.Duration {
	timeout := c.Limits.orDefault().Timeout
	if deadline, ok := ctx.Deadline(); ok {
		return min(timeout, max(0, time.Until(deadline)))
	}
	return timeout
}

// Ended is the error of a call whose ctx has ended. timeout is what it had, for the text.
func (c *Call) Ended(ctx context.Context, timeout time.Duration) error {
	return contextStop(ctx, timeout, c.Export).of(c.Plugin)
}

// NewError is an error with a reason: its kind and side follow from that. detail is for operators.
func NewError(reason Reason, op, msg, detail string) *fault.Error {
	return (&stop{reason: reason, detail: detail}).fault(op, msg)
}

// Failure is an error of Compile or Call as data, for a wire.
type Failure struct {
	Reason     Reason        `json:"reason"`
	Kind       fault.Kind    `json:"kind"`
	Text       string        `json:"text"` // for people, without the name of the guest
	Detail     string        `json:"detail,omitempty"`
	RetryAfter time.Duration `json:"retry_after,omitempty"`
}

// FailureOf takes an error of a call of the plugin with this name, or of Compile when that is "", apart. It returns nil for
// nil.
func FailureOf(err error, plugin string) *Failure {
	if err == nil {
		return nil
	}
	f := Failure{Reason: ReasonOf(err), Kind: fault.KindOf(err), Text: "the engine failed", RetryAfter: fault.RetryAfterOf(err)}
	var outer *fault.Error
	if errors.As(err, &outer) {
		f.Text = strings.TrimPrefix(outer.Msg, prefix(plugin))
	}
	var s *stop
	if errors.As(err, &s) {
		f.Detail = s.detail
	} else {
		f.Detail = err.Error()
	}
	f.bound()
	return &f
}

// Err puts the error together again. The other side of the wire is not trusted: the reason decides kind and side, unknown
// reasons are ReasonHost, and texts are bounded.
func (f *Failure) Err(op, plugin string) error {
	f.bound()
	s := &stop{reason: f.Reason, detail: f.Detail}
	if _, ok := kinds[s.reason]; !ok {
		s.reason = ReasonHost
	}
	switch s.reason {
	case ReasonDeadline:
		s.cause = context.DeadlineExceeded
	case ReasonCanceled:
		s.cause = context.Canceled
	}
	e := s.fault(op, prefix(plugin)+f.Text)
	e.RetryAfter = min(max(0, f.RetryAfter), time.Minute)
	if s.reason == ReasonHost && (f.Kind == fault.Unavailable || f.Kind == fault.Canceled) {
		e.Kind = f.Kind // of the compile cache, or of a compilation that nobody waits for
	}
	return e
}

func (f *Failure) bound() {
	f.Text = cmp.Or(clean(f.Text, 2*maxTextBytes), "the engine failed") // room for what a text of the guest stands in
	f.Detail = clean(f.Detail, maxDetailBytes)
}

// prefix says whose error it is.
func prefix(plugin string) string {
	if plugin == "" {
		return ""
	}
	return "guest " + plugin + ": "
}
