package job

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/google/uuid"
)

// Handler works one job off. It may be called again for the same job, also after a try that went well and was not
// recorded. ctx ends when the lease is lost or the workers stop.
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
	// With is committed together with what becomes of the job. With is called once that is known. Nil adds nothing.
	With func(s Settlement) any
}

// Workers claim jobs and hand them to handlers.
type Workers struct {
	Store    Store
	Handlers map[string]Handler // by kind
	Now      func() time.Time
	Log      *slog.Logger
	// Slots is how many jobs run at once; zero is 8.
	Slots int
	// Lease is how long a claim lasts without a heartbeat; zero is 30 s.
	Lease time.Duration
	// Poll is how often due jobs are looked for without being woken; zero is 1 s.
	Poll time.Duration
	// Retain is how long done jobs are kept, zero is 7 days; RetainFailed those that halted or died, zero is 90 days.
	Retain, RetainFailed time.Duration
	// Alone says that no other host works on this database, so every lease found at start is of a dead process.
	Alone bool

	once sync.Once
	wake chan struct{}
}

func (w *Workers) init() {
	w.once.Do(func() {
		w.wake = make(chan struct{}, 1)
		w.Slots = cmp.Or(w.Slots, 8)
		w.Lease = cmp.Or(w.Lease, 30*time.Second)
		w.Poll = cmp.Or(w.Poll, time.Second)
		w.Retain = cmp.Or(w.Retain, 7*24*time.Hour)
		w.RetainFailed = cmp.Or(w.RetainFailed, 90*24*time.Hour)
	})
}

// Wake makes the workers look for due jobs at once. It never blocks and may be called before Run.
func (w *Workers) Wake() {
	w.init()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends, then stops claiming and waits up to grace for running jobs; those that do not end are
// cancelled, and handed back without counting the try. It returns nil after a clean stop.
func (w *Workers) Run(ctx context.Context, grace time.Duration) error {
	w.init()
	if err := w.recover(ctx, w.Alone); err != nil {
		if ctx.Err() != nil {
			return nil // stopped before there was anything to do
		}
		return err
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var running sync.WaitGroup
	defer running.Wait()
	name := uuid.NewString()
	free := make(chan struct{}, w.Slots)
	poll := time.NewTicker(w.Poll)
	defer poll.Stop()
	rounds := 0
	for {
		claimed := w.claim(ctx, name, w.Slots-len(free))
		for _, j := range claimed {
			free <- struct{}{}
			running.Go(func() {
				w.work(work, j)
				<-free
				w.Wake()
			})
		}
		select {
		case <-ctx.Done():
			return drain(&running, cancel, grace)
		case <-w.wake:
		case <-poll.C:
			if rounds++; rounds%int(max(1, w.Lease/w.Poll/2)) == 0 {
				w.upkeep(ctx)
			}
		}
	}
}

// drain waits for running jobs, and cancels them after grace.
func drain(running *sync.WaitGroup, cancel context.CancelFunc, grace time.Duration) error {
	ended := make(chan struct{})
	go func() { running.Wait(); close(ended) }()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		cancel()
		<-ended
	}
	return nil
}

// upkeep gives the jobs of dead workers to others and forgets old ones. It is a loop, not a start-up pass.
func (w *Workers) upkeep(ctx context.Context) {
	if err := w.recover(ctx, false); err != nil && ctx.Err() == nil {
		w.Log.Error("jobs of lost workers could not be recovered", "op", "job.upkeep", "err", err)
	}
	if _, err := w.Store.PruneJobs(ctx, w.Now().Add(-w.Retain), w.Now().Add(-w.RetainFailed), 1000); err != nil && ctx.Err() == nil {
		w.Log.Error("old jobs could not be removed", "op", "job.upkeep", "err", err)
	}
}

func (w *Workers) recover(ctx context.Context, all bool) error {
	n, err := w.Store.RecoverJobs(ctx, w.Now(), all)
	if n > 0 {
		w.Log.Info("jobs of lost workers are queued again", "op", "job.recover", "count", n)
	}
	return err
}

func (w *Workers) claim(ctx context.Context, name string, n int) []*Job {
	if n <= 0 || ctx.Err() != nil {
		return nil
	}
	now := w.Now()
	jobs, err := w.Store.ClaimJobs(ctx, name, now, now.Add(w.Lease), n)
	if err != nil {
		if ctx.Err() == nil {
			w.Log.Error("jobs could not be claimed", "op", "job.claim", "err", err)
		}
		return nil
	}
	return jobs
}

// work runs one claimed job and settles it.
func (w *Workers) work(ctx context.Context, j *Job) {
	log := w.Log.With("owner", string(j.Owner), "job", string(j.ID), "op", j.Kind)
	leased, lost := context.WithCancel(ctx)
	defer lost()
	var beat sync.WaitGroup
	beat.Go(func() { w.heartbeat(leased, lost, j) })
	outcome := w.try(leased, j)
	handedBack := ctx.Err() != nil && outcome.Err != nil
	lost()
	beat.Wait()
	s := w.settlement(j, outcome, handedBack)
	if outcome.With != nil {
		s.With = outcome.With(s)
	}
	err := w.Store.SettleJob(context.WithoutCancel(ctx), j.ID, j.Epoch, w.Now(), s)
	switch {
	case err != nil:
		log.Error("job could not be settled; it will be tried again when its lease ends", "err", err)
	case s.State == Done:
		log.Debug("job done", "attempt", j.Attempt)
	case s.State == Queued:
		log.Info("job will be tried again", "attempt", j.Attempt, "at", s.RunAt, "err", outcome.Err)
	default:
		log.Warn("job failed", "state", string(s.State), "attempt", j.Attempt, "err", outcome.Err)
	}
}

// heartbeat keeps the lease until ctx ends, and calls lost when the claim is somebody else's.
func (w *Workers) heartbeat(ctx context.Context, lost context.CancelFunc, j *Job) {
	tick := time.NewTicker(w.Lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			err := w.Store.ExtendLease(ctx, j.ID, j.Epoch, w.Now().Add(w.Lease))
			if fault.Is(err, fault.Conflict) {
				lost()
				return
			}
		}
	}
}

// try calls the handler; a panic in it is a failed try.
func (w *Workers) try(ctx context.Context, j *Job) (o Outcome) {
	h, ok := w.Handlers[j.Kind]
	if !ok {
		return Outcome{Err: fault.New(fault.Unsupported, "job.work", "nothing here works jobs of kind %s", j.Kind)}
	}
	defer func() {
		if p := recover(); p != nil {
			o = Outcome{Err: fault.New(fault.Internal, "job.work", "the handler panicked").With(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))}
		}
	}()
	return h.Work(ctx, j)
}

// settlement decides what becomes of a job.
func (w *Workers) settlement(j *Job, o Outcome, handedBack bool) Settlement {
	now := w.Now()
	msg := ""
	if o.Err != nil {
		msg = fault.PublicMessage(o.Err)
	}
	switch {
	case handedBack && (errors.Is(o.Err, context.Canceled) || fault.Is(o.Err, fault.Canceled)):
		return Settlement{State: Queued, RunAt: now, Free: true, Error: "the host stopped"}
	case o.Park:
		return Settlement{State: Parked, Error: msg}
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

// putAside lets a job wait without counting the try, until its deadline.
func putAside(j *Job, now time.Time, wait time.Duration, msg string) Settlement {
	if now.After(j.Deadline) {
		return Settlement{State: Dead, Error: cmp.Or(msg, "it could not be worked off in time")}
	}
	return Settlement{State: Queued, RunAt: now.Add(wait), Free: true, Error: msg}
}
