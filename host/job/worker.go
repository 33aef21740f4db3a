package job

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/google/uuid"
)

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
	// Poll is how often due jobs are looked for without being woken, and whether others canceled what runs here; zero is 1 s.
	Poll time.Duration
	// Retain is how long done and canceled jobs are kept, zero is 7 days; RetainFailed those that failed, zero is 90 days.
	Retain, RetainFailed time.Duration
	// Alone says that no other host works on this database, so every lease found at start is of a dead process.
	Alone bool

	once  sync.Once
	name  string
	wake  chan struct{}
	mu    sync.Mutex
	holds map[ID]hold
}

// hold is a job that runs here.
type hold struct {
	epoch int64
	end   context.CancelCauseFunc
}

func (w *Workers) init() {
	w.once.Do(func() {
		w.name = uuid.NewString()
		w.wake = make(chan struct{}, 1)
		w.holds = map[ID]hold{}
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

// Cancel tells a job that runs here, if it does, to stop. Its row says already that it is canceled.
func (w *Workers) Cancel(id ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h, ok := w.holds[id]; ok {
		h.end(errCanceled)
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
	work, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	var running, beat sync.WaitGroup
	beat.Go(func() { w.heartbeat(work) })
	defer beat.Wait()
	defer stop(errStopped)
	free := make(chan struct{}, w.Slots)
	poll := time.NewTicker(w.Poll)
	defer poll.Stop()
	rounds := 0
	for {
		for _, j := range w.claim(ctx, w.Slots-len(free)) {
			free <- struct{}{}
			leased := w.hold(work, j)
			running.Go(func() {
				w.work(leased, j)
				<-free
				w.Wake()
			})
		}
		select {
		case <-ctx.Done():
			drain(&running, func() { stop(errStopped) }, grace)
			return nil
		case <-w.wake:
			runtime.Gosched() // those whose end shared a commit free their slots: one claim fills them all
		case <-poll.C:
			if rounds++; rounds%int(max(1, w.Lease/w.Poll/2)) == 0 {
				w.upkeep(ctx)
			}
		}
	}
}

// drain waits for running jobs, and stops them after grace.
func drain(running *sync.WaitGroup, stop func(), grace time.Duration) {
	ended := make(chan struct{})
	go func() { running.Wait(); close(ended) }()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		stop()
		<-ended
	}
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

func (w *Workers) claim(ctx context.Context, n int) []*Job {
	if n <= 0 || ctx.Err() != nil {
		return nil
	}
	now := w.Now()
	jobs, err := w.Store.ClaimJobs(ctx, w.name, now, now.Add(w.Lease), n)
	if err != nil {
		if ctx.Err() == nil {
			w.Log.Error("jobs could not be claimed", "op", "job.claim", "err", err)
		}
		return nil
	}
	return jobs
}

// work runs one claimed job and settles it.
func (w *Workers) work(leased context.Context, j *Job) {
	log := w.Log.With("owner", string(j.Owner), "job", string(j.ID), "op", j.Kind)
	outcome := w.try(leased, j)
	s := settlement(j, outcome, context.Cause(leased), w.Now())
	w.release(j)
	if outcome.With != nil {
		s.With = outcome.With(s)
	}
	err := w.Store.SettleJob(context.WithoutCancel(leased), j.ID, j.Epoch, w.Now(), s)
	switch {
	case err != nil:
		log.Error("job could not be settled; it will be tried again when its lease ends", "err", err)
	case s.State == Done:
		log.Debug("job done", "attempt", j.Attempt)
	case s.State == Queued:
		log.Info("job will be tried again", "attempt", j.Attempt, "at", s.RunAt, "err", outcome.Err)
	case s.State == Parked:
		log.Warn("job needs a decision", "attempt", j.Attempt, "err", outcome.Err)
	case s.State == Canceled:
		log.Info("job canceled", "attempt", j.Attempt)
	default:
		log.Warn("job failed", "state", string(s.State), "attempt", j.Attempt, "err", outcome.Err)
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
