// Package fault is the one error that crosses the walls between rooms.
//
// An Error says what kind of failure it is (which decides behaviour: status code, retry, halt), whose fault it is (Side),
// where it happened (Op), what a person may read (Msg), and what only an operator may read (Err).
// Everything here is safe for concurrent use.
package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind decides behaviour. Kinds are only ever added; their texts are part of the contract with guests (abi/abi.yaml).
type Kind string

const (
	Invalid      Kind = "invalid"      // the request makes no sense; sending it again will not help
	Unauthorized Kind = "unauthorized" // who is asking is not known
	Forbidden    Kind = "forbidden"    // known, and not allowed (also: capability or host not granted)
	NotFound     Kind = "not_found"    // does not exist, or belongs to somebody else
	Conflict     Kind = "conflict"     // exists already, or changed meanwhile
	TooLarge     Kind = "too_large"    // over a size limit
	RateLimited  Kind = "rate_limited" // try again after RetryAfter
	Timeout      Kind = "timeout"      // a deadline passed
	Unavailable  Kind = "unavailable"  // the other side does not answer or says 5xx
	Exhausted    Kind = "exhausted"    // a limit of memory, calls or log was reached
	Unsupported  Kind = "unsupported"  // not offered by this host, plugin or remote
	Canceled     Kind = "canceled"     // the caller went away
	Internal     Kind = "internal"     // a bug, here or in the guest
)

// Side says whose fault it is.
type Side string

const (
	Caller Side = "caller" // whoever called our API
	Guest  Side = "guest"  // the plugin
	Remote Side = "remote" // the external service
	Host   Side = "host"   // us
)

// Error is immutable after creation.
type Error struct {
	Kind Kind
	Side Side
	// Op is where: "package.Verb".
	Op string
	// Msg is for people: what happened and what to do. It never carries a secret or a cause.
	Msg string
	// RetryAfter is how long to wait before another try; zero when unknown.
	RetryAfter time.Duration
	// Err is the cause, for operators only.
	Err error
}

// New makes an Error on side Caller for Invalid, NotFound, Conflict, Forbidden and Unauthorized, else on side Host.
func New(kind Kind, op, format string, args ...any) *Error {
	side := Host
	switch kind {
	case Invalid, NotFound, Conflict, Forbidden, Unauthorized, TooLarge:
		side = Caller
	}
	return &Error{Kind: kind, Side: side, Op: op, Msg: fmt.Sprintf(format, args...)}
}

// Wrap gives err a kind and a place; nil stays nil. A context error keeps its own kind (Timeout, Canceled), and an *Error
// in the chain keeps its kind, side and public message.
func Wrap(err error, kind Kind, op, msg string) error {
	if err == nil {
		return nil
	}
	var inner *Error
	if errors.As(err, &inner) {
		return &Error{Kind: inner.Kind, Side: inner.Side, Op: op, Msg: inner.Msg, RetryAfter: inner.RetryAfter, Err: err}
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		kind = Timeout
	case errors.Is(err, context.Canceled):
		kind = Canceled
	}
	e := New(kind, op, "%s", msg)
	e.Err = err
	return e
}

// On returns a copy of e on another side.
func (e *Error) On(side Side) *Error {
	c := *e
	c.Side = side
	return &c
}

// With returns a copy of e with a cause.
func (e *Error) With(cause error) *Error {
	c := *e
	c.Err = cause
	return &c
}

// Error is the operator's text: op, message, cause. Never send it to a client; use PublicMessage.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Op != "" {
		b.WriteString(e.Op + ": ")
	}
	b.WriteString(e.Msg)
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the outermost Error in err, Timeout or Canceled for a bare context error, else Internal.
// It returns "" for nil.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	case errors.Is(err, context.Canceled):
		return Canceled
	}
	return Internal
}

// SideOf returns the side of the outermost Error in err, else Host. It returns "" for nil.
func SideOf(err error) Side {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Side
	}
	return Host
}

// Is reports whether err is an Error of this kind.
func Is(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }

// PublicMessage is what a client may read: Msg, without causes. Internal faults say nothing of their reason.
func PublicMessage(err error) string {
	var e *Error
	if errors.As(err, &e) && (e.Kind != Internal || e.Side == Guest || e.Side == Remote) {
		return e.Msg
	}
	switch KindOf(err) {
	case Timeout:
		return "the deadline passed"
	case Canceled:
		return "the request was cancelled"
	}
	return "Internal Server Error"
}

// RetryAfterOf returns how long to wait before another try, zero when unknown.
func RetryAfterOf(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

// Retryable reports whether doing the same again later can help.
func Retryable(err error) bool {
	switch KindOf(err) {
	case RateLimited, Timeout, Unavailable, Internal, Canceled, Exhausted:
		return true
	}
	return false
}
