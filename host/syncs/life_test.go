package syncs_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/host/syncs"
)

// alike fails the test unless both vendors have the same contacts, each once.
func (r *rig) alike(n int) {
	r.t.Helper()
	left, right := r.left.byEmail(), r.right.byEmail()
	if diff := cmp.Diff(left, right); diff != "" || len(left) != n {
		r.t.Fatalf("%d on the left, %d on the right, want %d: %s", len(left), len(right), n, diff)
	}
	for email, times := range right {
		if times != 1 {
			r.t.Errorf("%s is there %d times", email, times)
		}
	}
}

func TestSync_EveryRecordOnceInSpiteOfFaults(t *testing.T) {
	t.Parallel()
	r := newRig(t, map[string]any{"page_size": 50})
	r.left.addMany(150)
	var writes atomic.Int32
	r.right.hits = func(q *http.Request) {
		if q.Method != http.MethodPost || q.URL.Path != "/api/v1/contacts" {
			return
		}
		switch writes.Add(1) {
		case 35:
			r.left.crm.FailNext(2, http.StatusBadGateway) // the third page
		case 70:
			r.right.crm.FailNext(1, http.StatusServiceUnavailable) // in the middle of a batch
		case 110:
			r.right.crm.CutNext(1) // it is done, and nobody hears of it
		}
	}
	p := r.connect()
	r.completed(p, syncs.Totals{Synced: 150 + seeded})
	if n := len(r.right.contacts()); n != 150+2*seeded {
		t.Errorf("%d contacts on the right", n)
	}
	for email, times := range r.right.byEmail() {
		if times != 1 && times != 2 {
			t.Errorf("%s is there %d times", email, times)
		}
	}
	before := writes.Load()
	r.completed(r.run(), syncs.Totals{Skipped: 1}) // the one at the watermark
	r.left.change(r.left.find("person7@example.org").ID, map[string]string{"phone": "+1 555 0199"})
	r.left.add(contact{Name: "New", Email: "new@example.org"})
	r.completed(r.run(), syncs.Totals{Synced: 2, Skipped: 1})
	if got := r.right.find("person7@example.org").Phone; got != "+1 555 0199" || writes.Load() != before+1 {
		t.Errorf("phone %q after %d further creations", got, writes.Load()-before)
	}
}

func TestSync_MatchesWhatIsThereAlready(t *testing.T) {
	t.Parallel()
	r := newRig(t, map[string]any{"match": []string{"email"}})
	r.left.add(contact{Name: "Grace Hopper", Email: "grace@example.org"})
	r.right.add(contact{Name: "G. Hopper", Email: " Grace@Example.org "[1:18]})
	r.completed(r.connect(), syncs.Totals{Synced: 1, Skipped: seeded}) // those that are the same are only linked
	if got := r.right.contacts(); len(got) != seeded+1 {
		t.Fatalf("%d contacts on the right: %+v", len(got), got)
	}
	if got := r.right.find("grace@example.org").Name; got != "Grace Hopper" {
		t.Errorf("named %s", got)
	}
}

func TestSync_TwoWayWithoutEcho(t *testing.T) {
	t.Parallel()
	r := newRig(t, map[string]any{"match": []string{"email"}, "direction": "two_way"})
	r.left.addMany(5)
	r.right.add(contact{Name: "Right", Email: "right@example.org"})
	p := r.connect()
	if p.State != syncs.Completed || p.Synced != 6 || p.Failed != 0 {
		t.Fatalf("%+v\n%s", p, r.log)
	}
	r.alike(seeded + 6)
	for range 2 { // what was written does not come back
		if p := r.run(); p.State != syncs.Completed || p.Synced != 0 || p.Failed != 0 {
			t.Fatalf("an echo: %+v", p)
		}
	}
	r.right.change(r.right.find("person3@example.org").ID, map[string]string{"name": "Changed on the right"})
	r.left.change(r.left.find("right@example.org").ID, map[string]string{"name": "Changed on the left"})
	if p := r.run(); p.Synced != 2 {
		t.Errorf("%+v", p.Totals)
	}
	if p := r.run(); p.Synced != 0 {
		t.Errorf("an echo: %+v", p.Totals)
	}
	for _, v := range []*vendor{r.left, r.right} {
		if a, b := v.find("person3@example.org").Name, v.find("right@example.org").Name; a != "Changed on the right" || b != "Changed on the left" {
			t.Errorf("%s, %s", a, b)
		}
	}
	r.alike(seeded + 6)
}

func TestSync_SeveralMatchesAreNeverGuessed(t *testing.T) {
	t.Parallel()
	r := newRig(t, map[string]any{"match": []string{"email"}})
	r.left.add(contact{Name: "One", Email: "same@example.org"})
	for i := range 2 {
		r.right.add(contact{Name: fmt.Sprint("Two ", i), Email: "same@example.org"})
	}
	p := r.connect()
	r.completed(p, syncs.Totals{Failed: 1, Skipped: seeded})
	if len(p.Errors) != 1 || p.Errors[0].ExternalID != r.left.find("same@example.org").ID {
		t.Errorf("errors: %+v", p.Errors)
	}
}

func TestSync_WhatFailedIsTriedInTheNextRun(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.left.addMany(30)
	var writes atomic.Int32
	r.right.hits = func(q *http.Request) {
		if q.Method == http.MethodPost && q.URL.Path == "/api/v1/contacts" && writes.Add(1) == 5 {
			r.right.crm.FailNext(3, http.StatusUnprocessableEntity)
		}
	}
	p := r.connect()
	r.completed(p, syncs.Totals{Synced: 27 + seeded, Failed: 3})
	if len(p.Errors) != 3 || p.Errors[0].Message == "" || p.Errors[0].ExternalID == "" {
		t.Errorf("errors: %+v", p.Errors)
	}
	r.completed(r.run(), syncs.Totals{Synced: 3, Skipped: 1})
	if n := len(r.right.contacts()); n != 30+2*seeded {
		t.Errorf("%d contacts", n)
	}
}

func TestSync_StopsAfterTooManyFailuresAndGoesOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, map[string]any{"max_failures": 10, "batch": 5, "page_size": 10})
	r.left.addMany(40)
	r.right.hits = func(q *http.Request) {
		if q.Method == http.MethodPost && q.URL.Path == "/api/v1/contacts" {
			r.right.crm.FailNext(1, http.StatusUnprocessableEntity)
		}
	}
	p := r.connect()
	if p.State != syncs.Failed || p.Failed != 10 || p.Synced != 0 || p.Message == "" {
		t.Fatalf("%+v", p)
	}
	r.right.hits = nil
	q := r.run()
	if q.ID != p.ID || q.State != syncs.Completed || q.Synced != 40+seeded || q.Failed != 10 {
		t.Errorf("%+v", q)
	}
	if n := len(r.right.contacts()); n != 40+2*seeded {
		t.Errorf("%d contacts", n)
	}
}

func TestSync_ParallelWritersLoseNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, map[string]any{"parallel": 4, "batch": 10, "page_size": 40})
	r.left.addMany(200)
	var touched atomic.Bool
	r.right.hits = func(q *http.Request) {
		if q.Method == http.MethodPost && q.URL.Path == "/api/v1/contacts" && touched.CompareAndSwap(false, true) {
			r.left.change(r.left.find("person1@example.org").ID, map[string]string{"name": "Changed while it is written"})
		}
	}
	p := r.connect()
	if p.State != syncs.Completed || p.Failed != 0 || len(r.right.contacts()) != 200+2*seeded {
		t.Fatalf("%+v, %d contacts", p, len(r.right.contacts()))
	}
	if got := r.right.find("person1@example.org").Name; got != "Changed while it is written" {
		t.Errorf("named %s", got)
	}
	r.completed(r.run(), syncs.Totals{Skipped: 1})
}

func TestSync_CancelEndsIt(t *testing.T) {
	t.Parallel()
	r := newRig(t, map[string]any{"batch": 5, "page_size": 10})
	r.left.addMany(100)
	canceled := make(chan *syncs.Process, 1)
	var writes atomic.Int32
	r.right.hits = func(q *http.Request) {
		if q.Method == http.MethodPost && q.URL.Path == "/api/v1/contacts" && writes.Add(1) == 23 {
			p, err := r.host.Syncs.Cancel(context.Background(), r.actor, r.newest().ID)
			if err != nil {
				t.Error(err)
			}
			canceled <- p
		}
	}
	r.integrate()
	p := <-canceled
	if p.State != syncs.Canceled {
		t.Fatalf("%+v", p)
	}
	r.await("what was being written is counted", func() bool { return r.newest().Synced == 25 })
	q := r.run()
	if q.ID == p.ID || q.State != syncs.Completed || q.Synced != 100+seeded-25 {
		t.Errorf("%+v", q)
	}
	if n := len(r.right.contacts()); n != 100+2*seeded {
		t.Errorf("%d contacts", n)
	}
}

func TestSync_GoesOnAfterTheHostWasStopped(t *testing.T) {
	t.Parallel()
	r := newRig(t, map[string]any{"batch": 10, "page_size": 20})
	r.left.addMany(100)
	reached := make(chan struct{})
	var writes atomic.Int32
	r.right.hits = func(q *http.Request) {
		if q.Method == http.MethodPost && q.URL.Path == "/api/v1/contacts" && writes.Add(1) == 45 {
			close(reached)
		}
	}
	r.integrate()
	<-reached
	r.stop()
	r.start()
	r.completed(r.ended(), syncs.Totals{Synced: 100 + seeded})
	if n := len(r.right.contacts()); n != 100+2*seeded {
		t.Errorf("%d contacts", n)
	}
}
