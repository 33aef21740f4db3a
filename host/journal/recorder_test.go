package journal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/journal"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/plugin/plugintest"
	"github.com/frigg-host/frigg-host/store"
)

// script is a guest in Go.
type script func(ctx context.Context, c plugin.Call) error

// phone is a vendor behind the capability http: each call is answered by the next function.
type phone struct {
	calls  []string
	answer func(ctx context.Context, q abi.HTTPRequest) (abi.HTTPResponse, error)
}

func (p *phone) Send(ctx context.Context, q abi.HTTPRequest) (abi.HTTPResponse, error) {
	p.calls = append(p.calls, q.Method+" "+q.URL)
	if p.answer != nil {
		return p.answer(ctx, q)
	}
	return abi.HTTPResponse{Status: 200, Headers: map[string][]string{}, Text: "ok"}, nil
}

// play is one claim of the run: it settles the job as a worker would and returns how the run went.
func (r *rig) play(p *phone, guest script) error {
	r.t.Helper()
	ctx := context.Background()
	r.now = r.now.Add(time.Second)
	if _, err := r.db.RecoverJobs(ctx, r.now, true); err != nil {
		r.t.Fatal(err)
	}
	jobs, err := r.db.ClaimJobs(ctx, "w", r.now, r.now.Add(time.Minute), 1)
	if err != nil || len(jobs) != 1 {
		r.t.Fatalf("%d jobs, %v", len(jobs), err)
	}
	rec, err := r.service().Open(ctx, jobs[0], "int_1", "E")
	if err != nil {
		r.t.Fatal(err)
	}
	start := rec.Resume()
	if start == nil {
		if start, err = rec.Begin(journal.Start{Plugin: "p", Digest: "d", Export: "x", Input: json.RawMessage(`{}`)}); err != nil {
			r.t.Fatal(err)
		}
	}
	err = guest(ctx, plugin.Call{Plugin: &plugin.Plugin{Name: "p"}, Input: start.Input, Journal: rec.Journal(), Can: plugin.Capabilities{HTTP: p, Storage: world{r.db}}})
	err = rec.Finish(err)
	var c *journal.Checkpoint
	if errors.As(err, &c) {
		if err := rec.Restart(c.State); err != nil {
			r.t.Fatal(err)
		}
	}
	closing, cerr := rec.Close(err)
	if cerr != nil {
		r.t.Fatal(cerr)
	}
	s := job.Settlement{State: job.Queued, RunAt: r.now, With: closing}
	var undecided *journal.Undecided
	switch {
	case err == nil:
		s.State = job.Done
	case errors.As(err, &undecided):
		s.State = job.Parked
	}
	if err := r.settle(jobs[0], s, closing); err != nil {
		r.t.Fatal(err)
	}
	return err
}

func (r *rig) settle(j *job.Job, s job.Settlement, closing *journal.Closing) error {
	s.With = nil
	if closing != nil {
		if err := r.db.AppendJournal(context.Background(), closing.Run, j.Epoch, closing.Chunk, closing.Restart); err != nil {
			return err
		}
	}
	return r.db.SettleJob(context.Background(), j.ID, j.Epoch, r.now, s)
}

func (r *rig) service() *journal.Service {
	s := &journal.Service{Store: r.db, Now: func() time.Time { r.now = r.now.Add(r.tick); return r.now }, Unpark: r.db.Unpark, Warnings: r.warnings}
	if r.store != nil {
		s.Store = r.store
	}
	return s
}

func (r *rig) log() *journal.Log {
	r.t.Helper()
	l, err := r.service().Log(context.Background(), actor, r.id)
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

var actor = account.Actor{Owner: owner, User: "usr_1"}

func send(ctx context.Context, c plugin.Call, method, url string) (abi.HTTPResponse, error) {
	return plugintest.Ask[abi.HTTPResponse](ctx, c, "http.send", abi.HTTPRequest{Method: method, URL: url})
}

func away() error {
	return &fault.Error{Kind: fault.Unavailable, Side: fault.Remote, Msg: "the vendor is away"}
}

func TestRetry_GoesOnAtTheFailedStep(t *testing.T) {
	t.Parallel()
	r, p := newRig(t), &phone{}
	guest := func(ctx context.Context, c plugin.Call) error {
		for _, url := range []string{"/a", "/b", "/c"} {
			if _, err := send(ctx, c, "POST", url); err != nil {
				return err
			}
		}
		return nil
	}
	p.answer = func(_ context.Context, q abi.HTTPRequest) (abi.HTTPResponse, error) {
		if q.URL == "/b" {
			return abi.HTTPResponse{}, away()
		}
		return abi.HTTPResponse{Status: 200}, nil
	}
	if err := r.play(p, guest); !fault.Is(err, fault.Unavailable) {
		t.Fatal(err)
	}
	p.answer = nil
	if err := r.play(p, guest); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(p.calls, ", "); got != "POST /a, POST /b, POST /b, POST /c" {
		t.Error(got)
	}
	if l := r.log(); len(l.Tries) != 1 || len(l.Last().Entries) != 3 || l.Last().End == nil || l.Last().End.Fault != nil {
		t.Errorf("%+v", l.Last())
	}
}

func TestRetry_FromTheStartReadsAnewAndRepeatsNoEffect(t *testing.T) {
	t.Parallel()
	r, p := newRig(t), &phone{}
	fails := true
	guest := func(ctx context.Context, c plugin.Call) error {
		for _, m := range []string{"GET", "POST", "POST"} {
			if _, err := send(ctx, c, m, "/a"); err != nil {
				return err
			}
		}
		if fails {
			return &fault.Error{Kind: fault.Unavailable, Side: fault.Guest, Msg: "of itself"}
		}
		return nil
	}
	if err := r.play(p, guest); err == nil {
		t.Fatal("it did not fail")
	}
	fails = false
	if err := r.play(p, guest); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(p.calls, ", "); got != "GET /a, POST /a, POST /a, GET /a" {
		t.Error(got)
	}
	l := r.log()
	if len(l.Tries) != 2 || !l.Last().Entries[1].Recalled || !l.Last().Entries[2].Recalled || l.Last().Entries[0].Recalled {
		t.Errorf("%+v", l.Last().Entries)
	}
}

func TestResume_TheSameEffectTwiceIsTwoEffects(t *testing.T) {
	t.Parallel()
	r, p := newRig(t), &phone{}
	keys := map[string]bool{}
	p.answer = func(ctx context.Context, _ abi.HTTPRequest) (abi.HTTPResponse, error) {
		keys[plugin.HostCallOf(ctx).Key] = true
		return abi.HTTPResponse{Status: 200}, nil
	}
	first := true
	guest := func(ctx context.Context, c plugin.Call) error {
		for n := range 3 {
			if n == 2 && first { // the process dies
				return &fault.Error{Kind: fault.Canceled, Side: fault.Host}
			}
			if _, err := send(ctx, c, "POST", "/a"); err != nil {
				return err
			}
		}
		return nil
	}
	_ = r.play(p, guest)
	first = false
	if err := r.play(p, guest); err != nil {
		t.Fatal(err)
	}
	if len(p.calls) != 3 || len(keys) != 3 {
		t.Errorf("%d requests with %d keys", len(p.calls), len(keys))
	}
}

func TestEffect_OfUnknownOutcomeIsDecidedByAPerson(t *testing.T) {
	t.Parallel()
	for choice, want := range map[journal.Choice]struct {
		calls int
		text  string
	}{journal.Happened: {1, "as decided"}, journal.Resend: {2, "sent again"}} {
		t.Run(string(choice), func(t *testing.T) {
			t.Parallel()
			r, p := newRig(t), &phone{}
			p.answer = func(ctx context.Context, _ abi.HTTPRequest) (abi.HTTPResponse, error) {
				plugin.HostCallOf(ctx).Undecided(away())
				return abi.HTTPResponse{}, away()
			}
			var got string
			guest := func(ctx context.Context, c plugin.Call) error {
				res, err := send(ctx, c, "POST", "/a")
				got = res.Text
				return err
			}
			var u *journal.Undecided
			if err := r.play(p, guest); !errors.As(err, &u) || u.Path != "1" {
				t.Fatal(err)
			}
			run, err := r.service().Run(context.Background(), actor, r.id)
			if err != nil || run.Doubt != "1" || run.State != job.Parked {
				t.Fatalf("%+v, %v", run, err)
			}
			p.answer = func(ctx context.Context, _ abi.HTTPRequest) (abi.HTTPResponse, error) {
				if !plugin.HostCallOf(ctx).Unsure.IsZero() {
					t.Error("what was decided is in doubt again")
				}
				return abi.HTTPResponse{Status: 200, Text: "sent again"}, nil
			}
			answer := json.RawMessage(`{"status": 201, "text": "as decided"}`)
			if err := r.service().Decide(context.Background(), account.Actor{Owner: "usr_2", User: "usr_2"}, r.id, choice, answer, "eve"); !fault.Is(err, fault.NotFound) {
				t.Errorf("a foreign run is decided: %v", err)
			}
			if err := r.service().Decide(context.Background(), actor, r.id, choice, answer, "ada"); err != nil {
				t.Fatal(err)
			}
			if err := r.service().Decide(context.Background(), actor, r.id, choice, answer, "ada"); !fault.Is(err, fault.Conflict) {
				t.Errorf("decided twice: %v", err)
			}
			if err := r.play(p, guest); err != nil || got != want.text || len(p.calls) != want.calls {
				t.Errorf("%q after %d calls, %v", got, len(p.calls), err)
			}
		})
	}
}

func TestEffect_ADecisionToSendAgainCountsOnce(t *testing.T) {
	t.Parallel()
	r, p := newRig(t), &phone{}
	guest := func(ctx context.Context, c plugin.Call) error { _, err := send(ctx, c, "POST", "/a"); return err }
	lost := func(ctx context.Context, _ abi.HTTPRequest) (abi.HTTPResponse, error) {
		plugin.HostCallOf(ctx).Undecided(away())
		return abi.HTTPResponse{}, away()
	}
	for range 2 { // it is lost, sent again, and lost again
		p.answer = lost
		var u *journal.Undecided
		if err := r.play(p, guest); !errors.As(err, &u) {
			t.Fatal(err)
		}
		if err := r.service().Decide(context.Background(), actor, r.id, journal.Resend, nil, "ada"); err != nil {
			t.Fatal(err)
		}
	}
	p.answer = func(ctx context.Context, _ abi.HTTPRequest) (abi.HTTPResponse, error) { // cut short
		plugin.HostCallOf(ctx).Unresolved(away())
		return abi.HTTPResponse{}, away()
	}
	if err := r.play(p, guest); !fault.Is(err, fault.Unavailable) {
		t.Fatal(err)
	}
	p.answer = func(ctx context.Context, _ abi.HTTPRequest) (abi.HTTPResponse, error) {
		if plugin.HostCallOf(ctx).Unsure.IsZero() {
			t.Error("what was begun after the decision is repeated as if it never was")
		}
		return abi.HTTPResponse{Status: 200}, nil
	}
	if err := r.play(p, guest); err != nil {
		t.Fatal(err)
	}
}

func TestEffect_CutShortIsUnsureInTheNextTry(t *testing.T) {
	t.Parallel()
	r, p := newRig(t), &phone{}
	p.answer = func(ctx context.Context, _ abi.HTTPRequest) (abi.HTTPResponse, error) {
		plugin.HostCallOf(ctx).Unresolved(away())
		return abi.HTTPResponse{}, away()
	}
	guest := func(ctx context.Context, c plugin.Call) error { _, err := send(ctx, c, "POST", "/a"); return err }
	if err := r.play(p, guest); !fault.Is(err, fault.Unavailable) {
		t.Fatal(err)
	}
	asked := r.now
	p.answer = func(ctx context.Context, _ abi.HTTPRequest) (abi.HTTPResponse, error) {
		if got := plugin.HostCallOf(ctx).Unsure; !got.Equal(asked) {
			t.Errorf("unsure since %v, want %v", got, asked)
		}
		return abi.HTTPResponse{Status: 200}, nil
	}
	if err := r.play(p, guest); err != nil {
		t.Fatal(err)
	}
}

func TestServe_AnotherRequestThanOnRecordStopsTheRunAndShowsBoth(t *testing.T) {
	t.Parallel()
	r, p := newRig(t), &phone{}
	url := "/a"
	guest := func(ctx context.Context, c plugin.Call) error {
		if _, err := send(ctx, c, "POST", url); err != nil {
			return err
		}
		return &fault.Error{Kind: fault.Canceled, Side: fault.Host}
	}
	_ = r.play(p, guest)
	url = "/b"
	var d *journal.Diverged
	err := r.play(p, guest)
	if !errors.As(err, &d) || !strings.Contains(fault.PublicMessage(d.Fault()), `"/a"`) || !strings.Contains(fault.PublicMessage(d.Fault()), `"/b"`) {
		t.Fatal(err)
	}
	if err := r.play(p, func(context.Context, plugin.Call) error { return nil }); !errors.As(err, &d) || d.Asked != nil {
		t.Errorf("a guest that ends early: %v", err)
	}
	if len(p.calls) != 1 {
		t.Errorf("%v was sent", p.calls)
	}
}

func TestSleep_LongerThanAMomentIsARowAndNoProcess(t *testing.T) {
	t.Parallel()
	r, p := newRig(t), &phone{}
	guest := func(ctx context.Context, c plugin.Call) error {
		if _, err := send(ctx, c, "POST", "/before"); err != nil {
			return err
		}
		if err := c.Journal.Sleep(ctx, 72*time.Hour); err != nil {
			return err
		}
		_, err := send(ctx, c, "POST", "/after")
		return err
	}
	var s *journal.Suspended
	if err := r.play(p, guest); !errors.As(err, &s) || !s.Until.Equal(r.now.Add(72*time.Hour)) {
		t.Fatal(err)
	}
	until := s.Until
	if err := r.play(p, guest); !errors.As(err, &s) || !s.Until.Equal(until) {
		t.Fatalf("woken too early it sleeps on until %v, %v", s, err)
	}
	r.now = until
	if err := r.play(p, guest); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(p.calls, ", "); got != "POST /before, POST /after" {
		t.Error(got)
	}
}

func TestCheckpoint_BeginsAgainWithNothingButItsState(t *testing.T) {
	t.Parallel()
	r, p := newRig(t), &phone{}
	guest := func(ctx context.Context, c plugin.Call) error {
		if _, err := send(ctx, c, "POST", "/same"); err != nil {
			return err
		}
		if string(c.Input) == `{}` {
			_, err := plugintest.Ask[abi.Empty](ctx, c, "run.checkpoint", abi.RunCheckpoint{State: json.RawMessage(`{"page":2}`)})
			return err
		}
		if string(c.Input) != `{"page":2}` {
			t.Errorf("input %s", c.Input)
		}
		return nil
	}
	var c *journal.Checkpoint
	if err := r.play(p, guest); !errors.As(err, &c) {
		t.Fatal(err)
	}
	if l := r.log(); len(l.Tries) != 1 || len(l.Last().Entries) != 0 {
		t.Fatalf("on record is %+v", l.Last())
	}
	if err := r.play(p, guest); err != nil {
		t.Fatal(err)
	}
	if len(p.calls) != 2 {
		t.Errorf("%v: the same effect behind a checkpoint is another", p.calls)
	}
}

// TestAppend_RefusesAClaimThatIsOver: who lost its lease must not write beside its successor.
func TestAppend_RefusesAClaimThatIsOver(t *testing.T) {
	t.Parallel()
	r, p := newRig(t), &phone{}
	ctx := context.Background()
	jobs, err := r.db.ClaimJobs(ctx, "w", r.now, r.now.Add(time.Minute), 1)
	if err != nil || len(jobs) != 1 {
		t.Fatal(err)
	}
	rec, err := r.service().Open(ctx, jobs[0], "int_1", "E")
	if err != nil {
		t.Fatal(err)
	}
	start, err := rec.Begin(journal.Start{Plugin: "p", Digest: "d", Export: "x", Input: json.RawMessage(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.db.RecoverJobs(ctx, r.now, true); err != nil {
		t.Fatal(err)
	}
	c := plugin.Call{Plugin: &plugin.Plugin{Name: "p"}, Input: start.Input, Journal: rec.Journal(), Can: plugin.Capabilities{HTTP: p, Storage: world{r.db}}}
	if _, err := send(ctx, c, "POST", "/a"); !fault.Is(err, fault.Conflict) || len(p.calls) != 0 {
		t.Errorf("%v, sent %v", err, p.calls)
	}
	if _, err := plugintest.Ask[abi.Empty](ctx, c, "storage.put", abi.StoragePut{Key: "k", Value: json.RawMessage(`1`)}); !fault.Is(err, fault.Conflict) {
		t.Errorf("%v", err)
	}
	n := 0
	_ = r.db.Read(ctx, func(q store.Querier) (err error) {
		n, err = store.One(q, store.Value[int], `SELECT count(*) FROM key_checks`)
		return err
	})
	if n != 0 {
		t.Error("a local effect was committed")
	}
}

// fails settles the job as dead, so that a person can replay it.
func (r *rig) replay(from job.ReplayFrom) {
	r.t.Helper()
	ctx := context.Background()
	err := r.db.Write(ctx, func(tx *store.Tx) error {
		return tx.ExecOne(`UPDATE jobs SET state = 'dead', due = 0, lease_owner = NULL WHERE id = $1`, r.id)
	})
	if err == nil {
		err = r.db.ReplayJob(ctx, owner, r.id, r.now, job.ReplayOptions{From: from})
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func TestReplay_FromTheFailedStepOrFromTheStart(t *testing.T) {
	t.Parallel()
	for from, want := range map[job.ReplayFrom]string{
		job.FailedStep: "GET /a, POST /b, POST /b, POST /c",
		job.Start:      "GET /a, POST /b, GET /a, POST /b, POST /c",
	} {
		t.Run(string(from), func(t *testing.T) {
			t.Parallel()
			r, p := newRig(t), &phone{}
			p.answer = func(_ context.Context, q abi.HTTPRequest) (abi.HTTPResponse, error) {
				if q.URL == "/b" {
					return abi.HTTPResponse{}, &fault.Error{Kind: fault.Invalid, Side: fault.Remote, Msg: "no"}
				}
				return abi.HTTPResponse{Status: 200}, nil
			}
			guest := func(ctx context.Context, c plugin.Call) error {
				for i, m := range []string{"GET", "POST", "POST"} {
					if _, err := send(ctx, c, m, "/"+string("abc"[i])); err != nil {
						return err
					}
				}
				return nil
			}
			if err := r.play(p, guest); !fault.Is(err, fault.Invalid) {
				t.Fatal(err)
			}
			r.replay(from)
			p.answer = nil
			if err := r.play(p, guest); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(p.calls, ", "); got != want {
				t.Errorf("got %s", got)
			}
		})
	}
}

// TestReplay_FromTheStartDoesNotForgetADoubt: what may have happened before is asked for, not sent again.
func TestReplay_FromTheStartDoesNotForgetADoubt(t *testing.T) {
	t.Parallel()
	r, p := newRig(t), &phone{}
	p.answer = func(ctx context.Context, _ abi.HTTPRequest) (abi.HTTPResponse, error) {
		plugin.HostCallOf(ctx).Unresolved(away())
		return abi.HTTPResponse{}, away()
	}
	guest := func(ctx context.Context, c plugin.Call) error { _, err := send(ctx, c, "POST", "/a"); return err }
	_ = r.play(p, guest)
	asked := r.now
	r.replay(job.Start)
	p.answer = func(ctx context.Context, _ abi.HTTPRequest) (abi.HTTPResponse, error) {
		if got := plugin.HostCallOf(ctx).Unsure; !got.Equal(asked) {
			t.Errorf("unsure since %v, want %v", got, asked)
		}
		return abi.HTTPResponse{Status: 200}, nil
	}
	if err := r.play(p, guest); err != nil || len(r.log().Tries) != 2 {
		t.Fatalf("%v, %d tries", err, len(r.log().Tries))
	}
}

// TestEffect_AFailureToFindOutIsNoOutcome: a request went out and nobody knows more. That its account cannot be reached the next
// time says nothing of it, and must not make it one that failed and can be sent again.
func TestEffect_AFailureToFindOutIsNoOutcome(t *testing.T) {
	t.Parallel()
	for _, resolved := range []bool{false, true} {
		r, p := newRig(t), &phone{}
		var unsure []bool
		p.answer = func(ctx context.Context, _ abi.HTTPRequest) (abi.HTTPResponse, error) {
			h := plugin.HostCallOf(ctx)
			unsure = append(unsure, !h.Unsure.IsZero())
			switch {
			case len(unsure) == 1:
				h.Unresolved(away())
			case resolved:
				h.Resolved()
			}
			return abi.HTTPResponse{}, away()
		}
		guest := func(ctx context.Context, c plugin.Call) error {
			_, err := send(ctx, c, "POST", "/a")
			return err
		}
		for range 3 {
			if err := r.play(p, guest); !fault.Is(err, fault.Unavailable) {
				t.Fatal(err)
			}
		}
		if len(unsure) != 3 || unsure[0] || !unsure[1] || unsure[2] == resolved {
			t.Errorf("it was found out: %v; what was sent before: %v", resolved, unsure)
		}
	}
}

func TestServe_WarnsBeforeTheRecordIsFullAndThenRefuses(t *testing.T) {
	t.Parallel()
	r, p := newRig(t), &phone{}
	var log bytes.Buffer
	r.warnings = slog.New(slog.NewTextHandler(&log, nil))
	asked := 0
	err := r.play(p, func(ctx context.Context, c plugin.Call) error {
		for {
			if _, err := send(ctx, c, "GET", "/a"); err != nil {
				return err
			}
			asked++
		}
	})
	if !fault.Is(err, fault.Exhausted) || fault.SideOf(err) != fault.Guest || asked != 10_000 {
		t.Errorf("after %d calls: %v", asked, err)
	}
	if n := strings.Count(log.String(), "should make checkpoints"); n != 1 {
		t.Errorf("warned %d times", n)
	}
}

// TestEffect_MayNotBeSentOnceTheRunIsSomebodyElses: the claim may be lost between the intent and the wire.
func TestEffect_MayNotBeSentOnceTheRunIsSomebodyElses(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := &phone{answer: func(ctx context.Context, _ abi.HTTPRequest) (abi.HTTPResponse, error) {
		effect := plugin.HostCallOf(ctx)
		if err := effect.MaySend(ctx); err != nil {
			t.Errorf("with the claim: %v", err)
		}
		if _, err := r.db.RecoverJobs(ctx, r.now, true); err != nil {
			t.Error(err)
		}
		err := effect.MaySend(ctx)
		if !fault.Is(err, fault.Conflict) {
			t.Errorf("without the claim: %v", err)
		}
		effect.Unresolved(err)
		return abi.HTTPResponse{}, err
	}}
	rec, start := r.open()
	c := plugin.Call{Plugin: &plugin.Plugin{Name: "p"}, Input: start.Input, Journal: rec.Journal(), Can: plugin.Capabilities{HTTP: p}}
	if _, err := send(context.Background(), c, "POST", "/a"); !fault.Is(err, fault.Conflict) || len(p.calls) != 1 {
		t.Errorf("%v after %v", err, p.calls)
	}
}
