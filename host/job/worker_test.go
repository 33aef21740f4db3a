package job_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/store"
)

// handler is a job.Handler of a function.
type handler func(context.Context, *job.Job) job.Outcome

func (h handler) Work(ctx context.Context, j *job.Job) job.Outcome { return h(ctx, j) }

// bench is a real store and workers on the fake clock of synctest.
type bench struct {
	db   *store.DB
	w    *job.Workers
	stop context.CancelFunc
	done chan error
}

func start(t *testing.T, slots int, h handler) *bench {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{DSN: filepath.Join(t.TempDir(), "jobs.db")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	b := &bench{db: db, stop: stop, done: make(chan error, 1)}
	w := &job.Workers{Store: db, Handlers: map[string]job.Handler{"test": h}, Now: time.Now, Log: slog.New(slog.DiscardHandler), Slots: slots, Alone: true}
	b.w = w
	go func() { b.done <- w.Run(ctx, time.Second) }()
	t.Cleanup(func() { b.end(t) })
	return b
}

func (b *bench) end(t *testing.T) {
	b.stop()
	if err := <-b.done; err != nil {
		t.Error(err)
	}
	b.done <- nil
	if err := b.db.Close(); err != nil {
		t.Error(err)
	}
}

func (b *bench) enqueue(t *testing.T, lane string) job.ID {
	t.Helper()
	id, _, err := b.db.Enqueue(t.Context(), job.New{ID: job.NewID(), Owner: "usr_a", Lane: lane, Kind: "test", MaxAttempts: 3, CreatedAt: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (b *bench) job(t *testing.T, id job.ID) *job.Job {
	t.Helper()
	j, err := b.db.JobByID(t.Context(), "usr_a", id)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// until advances the fake clock second by second until the job is in a state.
func (b *bench) until(t *testing.T, id job.ID, state job.State) *job.Job {
	t.Helper()
	for range 4 * 3600 {
		if j := b.job(t, id); j.State == state {
			return j
		}
		time.Sleep(time.Second) // of the fake clock
	}
	t.Fatalf("job is %s, want %s", b.job(t, id).State, state)
	return nil
}

func TestWorkers_StoppedBeforeTheyBeganIsACleanStop(t *testing.T) {
	db, err := store.Open(t.Context(), store.Config{DSN: filepath.Join(t.TempDir(), "jobs.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	w := &job.Workers{Store: db, Now: time.Now, Log: slog.New(slog.DiscardHandler), Alone: true}
	if err := w.Run(ctx, time.Second); err != nil {
		t.Error(err)
	}
}

func TestWorkers_TryAgainAndBuryWhatKeepsFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int32
		b := start(t, 2, func(context.Context, *job.Job) job.Outcome {
			tries.Add(1)
			return job.Outcome{Err: fault.New(fault.Unavailable, "test", "the vendor is away")}
		})
		j := b.until(t, b.enqueue(t, "a"), job.Dead)
		if tries.Load() != 3 || j.Attempt != 3 || j.LastError != "the vendor is away" {
			t.Errorf("%d tries, job %+v", tries.Load(), j)
		}
	})
}

func TestWorkers_HaltWhatAnotherTryCannotMend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, 2, func(context.Context, *job.Job) job.Outcome {
			return job.Outcome{Err: fault.New(fault.Invalid, "test", "no such field")}
		})
		if j := b.until(t, b.enqueue(t, "a"), job.Halted); j.Attempt != 1 {
			t.Errorf("tried %d times", j.Attempt)
		}
	})
}

func TestWorkers_APanicIsAFailedTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, 2, func(_ context.Context, j *job.Job) job.Outcome {
			if j.Attempt == 1 {
				panic("bug")
			}
			return job.Outcome{}
		})
		b.until(t, b.enqueue(t, "a"), job.Done)
	})
}

func TestWorkers_RateLimitsAndDefersDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int32
		began := time.Now()
		b := start(t, 2, func(context.Context, *job.Job) job.Outcome {
			switch n := tries.Add(1); {
			case n <= 5:
				return job.Outcome{Err: &fault.Error{Kind: fault.RateLimited, Side: fault.Remote, Msg: "slow down", RetryAfter: time.Minute}}
			case n <= 10:
				return job.Outcome{Defer: time.Minute}
			}
			return job.Outcome{}
		})
		j := b.until(t, b.enqueue(t, "a"), job.Done)
		if j.Attempt != 1 || time.Since(began) < 10*time.Minute {
			t.Errorf("attempt %d after %s", j.Attempt, time.Since(began))
		}
	})
}

func TestWorkers_WhatIsPutAsideEndsAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, 1, func(context.Context, *job.Job) job.Outcome {
			return job.Outcome{Err: &fault.Error{Kind: fault.RateLimited, Side: fault.Remote, Msg: "slow down", RetryAfter: 10 * time.Minute}}
		})
		id, _, err := b.db.Enqueue(t.Context(), job.New{ID: job.NewID(), Owner: "usr_a", Lane: "a", Kind: "test", Deadline: time.Now().Add(time.Hour), CreatedAt: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if j := b.until(t, id, job.Dead); time.Since(began) < time.Hour || j.LastError != "slow down" {
			t.Errorf("dead after %s: %q", time.Since(began), j.LastError)
		}
	})
}

func TestWorkers_ASleepNeitherCountsNorMeetsTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int32
		began := time.Now()
		b := start(t, 1, func(context.Context, *job.Job) job.Outcome {
			if tries.Add(1) <= 3 {
				return job.Outcome{Until: time.Now().Add(30 * time.Minute)}
			}
			return job.Outcome{}
		})
		id, _, err := b.db.Enqueue(t.Context(), job.New{ID: job.NewID(), Owner: "usr_a", Lane: "a", Kind: "test", Deadline: began.Add(time.Minute), CreatedAt: began})
		if err != nil {
			t.Fatal(err)
		}
		if j := b.until(t, id, job.Done); j.Attempt != 1 || time.Since(began) < 90*time.Minute {
			t.Errorf("attempt %d after %s", j.Attempt, time.Since(began))
		}
	})
}

func TestWorkers_AParkedJobGoesOnAfterTheDecision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int32
		b := start(t, 1, func(context.Context, *job.Job) job.Outcome {
			if tries.Add(1) == 1 {
				return job.Outcome{Park: true, Err: fault.New(fault.Unavailable, "test", "was it sent?")}
			}
			return job.Outcome{}
		})
		id := b.enqueue(t, "a")
		if j := b.until(t, id, job.Parked); j.LastError != "was it sent?" {
			t.Errorf("the question is %q", j.LastError)
		}
		time.Sleep(time.Hour) // of the fake clock
		if tries.Load() != 1 {
			t.Error("tried without a decision")
		}
		if err := b.db.Unpark(t.Context(), "usr_a", id, time.Now()); err != nil {
			t.Fatal(err)
		}
		b.until(t, id, job.Done)
	})
}

func TestWorkers_CancelStopsARunningJobWithinASecond(t *testing.T) {
	for name, stop := range map[string]func(b *bench) func(job.ID){
		"of this process":    func(b *bench) func(job.ID) { return b.w.Cancel },
		"of another process": func(*bench) func(job.ID) { return nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			entered := make(chan struct{})
			b := start(t, 1, func(ctx context.Context, _ *job.Job) job.Outcome {
				close(entered)
				<-ctx.Done()
				return job.Outcome{Err: fault.New(fault.Canceled, "guest.Call", "stopped").On(fault.Guest)}
			})
			id := b.enqueue(t, "a")
			<-entered
			began := time.Now()
			s := &job.Service{Store: b.db, Now: time.Now, Stop: stop(b)}
			if err := s.Cancel(t.Context(), account.Actor{User: "usr_a", Owner: "usr_a"}, id); err != nil {
				t.Fatal(err)
			}
			if j := b.until(t, id, job.Canceled); j.FinishedAt.Sub(began) > time.Second {
				t.Errorf("%s: canceled after %s", name, j.FinishedAt.Sub(began))
			}
			if err := s.Cancel(t.Context(), account.Actor{User: "usr_a", Owner: "usr_a"}, id); !fault.Is(err, fault.Conflict) {
				t.Errorf("%s: canceled again: %v, want a conflict", name, err)
			}
		})
	}
}

func TestReplay_TakesInputOnlyFromTheStartAndWhereItFits(t *testing.T) {
	t.Parallel()
	db, err := store.Open(t.Context(), store.Config{DSN: filepath.Join(t.TempDir(), "jobs.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	actor := account.Actor{User: "usr_a", Owner: "usr_a"}
	now := time.Now().UTC()
	s := &job.Service{Store: db, Now: func() time.Time { return now }, TakesInput: func(kind string) bool { return kind == "test" }}
	for name, row := range map[string]struct {
		kind string
		how  job.ReplayOptions
		want fault.Kind
	}{
		"from the start":         {"test", job.ReplayOptions{}, ""},
		"from the failed step":   {"test", job.ReplayOptions{From: job.FailedStep}, ""},
		"other input":            {"test", job.ReplayOptions{Input: []byte(`{"a":1}`)}, ""},
		"from elsewhere":         {"test", job.ReplayOptions{From: "middle"}, fault.Invalid},
		"other input, in midway": {"test", job.ReplayOptions{From: job.FailedStep, Input: []byte(`1`)}, fault.Invalid},
		"no JSON":                {"test", job.ReplayOptions{Input: []byte(`{`)}, fault.Invalid},
		"too large":              {"test", job.ReplayOptions{Input: make([]byte, job.MaxInput+1)}, fault.TooLarge},
		"a kind without input":   {"other", job.ReplayOptions{Input: []byte(`1`)}, fault.Unsupported},
	} {
		n := job.New{ID: job.NewID(), Owner: actor.Owner, Lane: name, Kind: row.kind, CreatedAt: now}
		if _, _, err := db.Enqueue(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		if err := s.Cancel(t.Context(), actor, n.ID); err != nil {
			t.Fatal(err)
		}
		if err := s.Replay(t.Context(), actor, n.ID, row.how); fault.KindOf(err) != row.want {
			t.Errorf("%s: %v, want %q", name, err, row.want)
		}
		j, err := db.JobByID(t.Context(), actor.Owner, n.ID)
		if err != nil || row.want == "" && (j.Replays != 1 || j.State != job.Queued || string(j.Replay.Input) != string(row.how.Input)) {
			t.Errorf("%s: job %+v, %v", name, j, err)
		}
	}
}

// torn is a store whose commits of claims fail.
type torn struct{ *store.DB }

func (s torn) ClaimJobs(ctx context.Context, worker string, now, until time.Time, n int) ([]*job.Job, error) {
	return []*job.Job{{ID: "job_0", Kind: "test"}}, fault.New(fault.Unavailable, "test", "the disk is full")
}

func TestWorkers_NothingIsWorkedThatWasNotClaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := store.Open(t.Context(), store.Config{DSN: filepath.Join(t.TempDir(), "jobs.db")})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		h := handler(func(context.Context, *job.Job) job.Outcome { t.Error("worked without a claim"); return job.Outcome{} })
		w := &job.Workers{Store: torn{db}, Handlers: map[string]job.Handler{"test": h}, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
		if err := w.Run(ctx, time.Second); err != nil {
			t.Error(err)
		}
	})
}

func TestWorkers_ALaneIsOneAfterAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most, others atomic.Int32
		var mu sync.Mutex
		var order []job.ID
		b := start(t, 4, func(_ context.Context, j *job.Job) job.Outcome {
			if j.Lane == "other" {
				others.Add(1)
				return job.Outcome{}
			}
			most.Store(max(most.Load(), running.Add(1)))
			time.Sleep(time.Second)
			mu.Lock()
			order = append(order, j.ID)
			mu.Unlock()
			running.Add(-1)
			return job.Outcome{}
		})
		var want []job.ID
		for range 5 {
			want = append(want, b.enqueue(t, "a"))
		}
		b.enqueue(t, "other")
		b.until(t, want[4], job.Done)
		if most.Load() != 1 || others.Load() != 1 {
			t.Errorf("%d of one lane at once, %d of the other lane", most.Load(), others.Load())
		}
		for i := range want {
			if order[i] != want[i] {
				t.Fatalf("order %v, want %v", order, want)
			}
		}
	})
}

func TestWorkers_StopHandsBackWithoutCounting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		entered := make(chan struct{})
		b := start(t, 1, func(ctx context.Context, _ *job.Job) job.Outcome {
			close(entered)
			<-ctx.Done()
			return job.Outcome{Err: fault.New(fault.Canceled, "guest.Call", "stopped").On(fault.Guest)}
		})
		id := b.enqueue(t, "a")
		<-entered
		b.stop()
		if err := <-b.done; err != nil {
			t.Fatal(err)
		}
		b.done <- nil
		if j := b.job(t, id); j.State != job.Queued || j.Attempt != 0 {
			t.Errorf("job is %s after %d attempts", j.State, j.Attempt)
		}
	})
}

func TestWorkers_ALongJobKeepsItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		b := start(t, 4, func(ctx context.Context, _ *job.Job) job.Outcome {
			runs.Add(1)
			select {
			case <-ctx.Done():
				return job.Outcome{Err: ctx.Err()}
			case <-time.After(5 * time.Minute):
				return job.Outcome{}
			}
		})
		b.until(t, b.enqueue(t, "a"), job.Done)
		if runs.Load() != 1 {
			t.Errorf("ran %d times", runs.Load())
		}
	})
}

func TestWorkers_AnUnknownKindIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, 1, nil)
		id, _, err := b.db.Enqueue(t.Context(), job.New{ID: job.NewID(), Owner: "usr_a", Lane: "a", Kind: "nonsense", CreatedAt: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		if j := b.until(t, id, job.Halted); j.LastError == "" {
			t.Error("no reason is kept")
		}
	})
}
