package guest

import (
	"context"
	"time"
)

// limit is the context of a call: it ends with that of the caller, or when the time of the call is up. Most calls are over
// before anybody waits for that, so it has a timer only from when somebody does.
//
// It belongs to the goroutine of the call. What others may hold is timed.
type limit struct {
	caller context.Context
	end    time.Time
	waited context.Context // nil until somebody waits
	stop   context.CancelFunc
}

// timed is the same as a context that any goroutine may wait for.
func (l *limit) timed() context.Context {
	if l.waited == nil {
		l.waited, l.stop = context.WithDeadline(l.caller, l.end)
	}
	return l.waited
}

// cancel ends it, for those who wait.
func (l *limit) cancel() {
	if l.stop != nil {
		l.stop()
	}
}

// Deadline implements context.Context.
func (l *limit) Deadline() (time.Time, bool) {
	if d, ok := l.caller.Deadline(); ok && d.Before(l.end) {
		return d, true
	}
	return l.end, true
}

// Done implements context.Context.
func (l *limit) Done() <-chan struct{} { return l.timed().Done() }

// Err implements context.Context.
func (l *limit) Err() error {
	if l.waited != nil {
		return l.waited.Err()
	}
	if err := l.caller.Err(); err != nil {
		return err
	}
	if !time.Now().Before(l.end) {
		return context.DeadlineExceeded
	}
	return nil
}

// Value implements context.Context.
func (l *limit) Value(key any) any { return l.caller.Value(key) }
