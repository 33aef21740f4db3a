package job

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
)

// Handler works one job off. It may be called again for the same job, also after a try that went well and was not
// recorded. ctx ends when the lease is lost, the job is canceled or the workers stop.
type Handler interface {
	Work(ctx context.Context, j *Job) Outcome
}

// Outcome is what a handler says of a try.
type Outcome struct {
	// Err decides: nil is done; a fault that another try can mend is tried again; all else halts.
	Err error
	// Halt stops further tries whatever Err is.
	Halt bool
	// Park keeps the job until a person has decided; Err says what is asked. It goes before all else.
	Park bool
	// Until puts the job to sleep until then. The try does not count, and the deadline does not matter. It needs no Err.
	Until time.Time
	// Defer waits this long without counting the try, for reasons that lie outside of the job. It needs no Err.
	Defer time.Duration
	// Pause lets other jobs wait too, whatever becomes of this one: those of a limit that a vendor has spoken out, say.
	Pause []Pause
	// With is committed together with what becomes of the job. With is called once that is known. Nil adds nothing.
	With func(s Settlement) any
}

// Why the context of a job ended.
var (
	errCanceled = errors.New("the job was canceled")
	errLost     = errors.New("the claim of the job is over")
	errStopped  = errors.New("the host stops")
)

// settlement decides what becomes of a job after a try. ended is why its context ended, nil if it did not.
func settlement(j *Job, o Outcome, ended error, now time.Time) Settlement {
	s := verdict(j, o, ended, now)
	s.Pauses = o.Pause
	return s
}

func verdict(j *Job, o Outcome, ended error, now time.Time) Settlement {
	msg := ""
	if o.Err != nil {
		msg = fault.PublicMessage(o.Err)
	}
	interrupted := errors.Is(o.Err, context.Canceled) || fault.Is(o.Err, fault.Canceled)
	switch {
	case errors.Is(ended, errCanceled) && unfinished(o):
		return Settlement{State: Canceled, Error: "canceled"}
	case o.Park:
		return Settlement{State: Parked, Error: msg}
	case errors.Is(ended, errStopped) && interrupted:
		return Settlement{State: Queued, RunAt: now, Free: true, Error: "the host stopped"}
	case !o.Until.IsZero():
		return Settlement{State: Queued, RunAt: o.Until, Free: true, Asleep: true}
	case o.Defer > 0:
		return putAside(j, now, o.Defer, msg)
	case o.Err == nil:
		return Settlement{State: Done}
	case o.Halt || !fault.Retryable(o.Err):
		return Settlement{State: Halted, Error: msg}
	case fault.Is(o.Err, fault.RateLimited):
		return putAside(j, now, max(fault.RetryAfterOf(o.Err), time.Second), msg)
	case j.Last():
		return Settlement{State: Dead, Error: msg}
	}
	return Settlement{State: Queued, RunAt: now.Add(max(Backoff(j.Attempt), fault.RetryAfterOf(o.Err))), Error: msg}
}

func unfinished(o Outcome) bool { return o.Err != nil || o.Park || !o.Until.IsZero() || o.Defer > 0 }

// putAside lets a job wait without counting the try, until its deadline.
func putAside(j *Job, now time.Time, wait time.Duration, msg string) Settlement {
	if now.After(j.Deadline) {
		return Settlement{State: Dead, Error: cmp.Or(msg, "it could not be worked off in time")}
	}
	return Settlement{State: Queued, RunAt: now.Add(wait), Free: true, Error: msg}
}
