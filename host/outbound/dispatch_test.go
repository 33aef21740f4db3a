package outbound_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/frigg-host/frigg-host/host/event"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/outbound"
)

// told are the ids of messages that an endpoint took, each once.
func (r *rig) told(url string) (ids []string) {
	for _, g := range r.world.arrived() {
		if g.url == url && !slices.Contains(ids, g.id()) {
			ids = append(ids, g.id())
		}
	}
	return ids
}

func (r *rig) facts() (ids []string) {
	r.t.Helper()
	list, err := r.db.FactsBehind(r.t.Context(), 0, 1000)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range list {
		ids = append(ids, string(f.ID))
	}
	return ids
}

// TestCrash_BetweenFactAndDeliveryLosesNothing ends the process after each step on the way.
func TestCrash_BetweenFactAndDeliveryLosesNothing(t *testing.T) {
	t.Parallel()
	const url = "https://app.example.com/"
	claim := func(r *rig) *job.Job {
		claimed, err := r.db.ClaimJobs(r.t.Context(), "dead", time.Now(), time.Now().Add(time.Minute), 1)
		if err != nil || len(claimed) != 1 {
			r.t.Fatalf("claimed %d jobs: %v", len(claimed), err)
		}
		return claimed[0]
	}
	dispatch := func(r *rig) {
		ctx, stop := context.WithCancel(r.t.Context())
		done := make(chan struct{})
		go func() { r.s.Run(ctx); close(done) }()
		synctest.Wait()
		stop()
		<-done
	}
	steps := map[string]func(r *rig){
		"after the act":      func(*rig) {},
		"after the dispatch": dispatch,
		"after the claim":    func(r *rig) { dispatch(r); claim(r) },
		"after the answer": func(r *rig) {
			dispatch(r)
			r.s.Work(r.t.Context(), claim(r)) // and not settled
		},
	}
	for name, step := range steps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				e, _ := r.endpoint(ada, url)
				for range 3 {
					r.happens(ada)
				}
				step(r)
				r.again()
				r.run()
				pass(2 * time.Minute)
				if got, want := r.told(url), r.facts(); !slices.Equal(got, want) || len(want) != 3 {
					t.Errorf("told %v, want %v", got, want)
				}
				if d := r.deliveries(ada, e.ID, outbound.Done); len(d) != 3 {
					t.Errorf("%d deliveries are done", len(d))
				}
			})
		})
	}
}

// failing is a store whose dispatch fails a few times, before and after its commit.
type failing struct {
	outbound.Store
	calls int
}

var errDisk = errors.New("the disk is full")

func (f *failing) Dispatch(ctx context.Context, upTo int64, d []outbound.NewDelivery) error {
	switch f.calls++; f.calls {
	case 1:
		return errDisk
	case 2:
		return errors.Join(f.Store.Dispatch(ctx, upTo, d), errDisk)
	}
	return f.Store.Dispatch(ctx, upTo, d)
}

func TestDispatch_ThatFailsIsDoneAgainAndDoublesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const url = "https://app.example.com/"
		r := newRig(t)
		r.wrap = func(s outbound.Store) outbound.Store { return &failing{Store: s} }
		r.again()
		e, _ := r.endpoint(ada, url)
		r.run()
		r.happens(ada)
		pass(time.Minute)
		if got := r.told(url); len(got) != 1 || len(r.world.arrived()) != 1 || len(r.deliveries(ada, e.ID)) != 1 {
			t.Errorf("%d messages, %d deliveries", len(r.world.arrived()), len(r.deliveries(ada, e.ID)))
		}
	})
}

func TestDispatch_ChoosesByNameAndOwner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.run()
		r.happens(ada) // before anybody listens
		r.endpoint(ada, "https://all.example.com/")
		r.endpoint(ada, "https://created.example.com/", "connection.created", "job.dead")
		r.endpoint(ada, "https://jobs.example.com/", "job.*")
		r.endpoint(bob, "https://bob.example.com/")
		r.endpoint(outbound.Operator, "https://operator.example.com/", "connection.*")
		r.happens(ada)
		r.happens(bob)
		pass(10 * time.Second)
		for url, want := range map[string]int{
			"https://all.example.com/": 1, "https://created.example.com/": 1, "https://jobs.example.com/": 0, "https://bob.example.com/": 1,
			"https://operator.example.com/": 2,
		} {
			if n := len(r.told(url)); n != want {
				t.Errorf("%s was told %d times, want %d", url, n, want)
			}
		}
	})
}

func TestDispatch_FactsThatNobodyWantsCostNoWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		counts := &counting{}
		r.wrap = func(s outbound.Store) outbound.Store { counts.Store = s; return counts }
		r.again()
		r.endpoint(ada, "https://jobs.example.com/", "job.*")
		r.run()
		for range 50 {
			r.happens(ada)
			pass(time.Second)
		}
		if counts.n != 0 {
			t.Errorf("%d dispatches were written", counts.n)
		}
	})
}

type counting struct {
	outbound.Store
	n int
}

func (c *counting) Dispatch(ctx context.Context, upTo int64, d []outbound.NewDelivery) error {
	c.n++
	return c.Store.Dispatch(ctx, upTo, d)
}

// TestJobs_OfDeliveriesTellNothingOfThemselves would not end otherwise: each message of a failure could fail.
func TestJobs_OfDeliveriesTellNothingOfThemselves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, time.Minute)
		r.run()
		r.endpoint(ada, "https://app.example.com/")
		r.world.answers(func(got) (*http.Response, error) { return nil, context.DeadlineExceeded })
		r.happens(ada)
		n := job.New{ID: job.NewID(), Owner: ada, Lane: "x", Kind: outbound.JobDeliver, Payload: []byte(`"nonsense"`), CreatedAt: time.Now()}
		if _, _, err := r.db.Enqueue(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		pass(4 * 24 * time.Hour)
		list, err := r.db.FactsBehind(t.Context(), 0, 100)
		if err != nil || len(list) != 1 || list[0].Name != event.ConnectionCreated {
			t.Errorf("%d facts, %v", len(list), err)
		}
	})
}
