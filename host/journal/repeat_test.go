package journal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/guest"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/journal"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// ask is what a scripted guest does: a host call, or a sleep.
type ask struct {
	capability, function, request string
	sleep                         time.Duration
}

// played is a guest without code: it asks, then it answers with output, or fails. It sees what it is answered, and the clock.
type played struct {
	asks   []ask
	output string
	fuel   int64
	trap   string
	saw    []string
}

func (s *played) Call(ctx context.Context, c plugin.Call) (json.RawMessage, error) {
	for _, a := range s.asks {
		if a.sleep > 0 {
			if err := c.Journal.Sleep(ctx, a.sleep); err != nil {
				return nil, err
			}
			s.saw = append(s.saw, "awake at "+c.Journal.Now().Format(time.StampMilli))
			continue
		}
		answer, err := c.Journal.Serve(ctx, a.capability, a.function, []byte(a.request), func(context.Context) []byte {
			return []byte(fmt.Sprintf(`{"value":"answer to %s"}`, a.request))
		})
		if err != nil {
			return nil, err
		}
		s.saw = append(s.saw, fmt.Sprintf("%s at %s", answer, c.Journal.Now().Format(time.StampMilli)))
	}
	if s.trap != "" {
		c.Journal.Ended(nil, s.fuel, 0)
		return nil, fault.New(fault.Internal, "test", "%s", s.trap).On(fault.Guest)
	}
	c.Journal.Ended([]byte(s.output), s.fuel, 0)
	return json.RawMessage(s.output), nil
}

// record runs a job with a caller on a store, and returns the run.
func (r *rig) record(caller plugin.Caller, p *plugin.Plugin, input string, state job.State) *journal.Service {
	r.t.Helper()
	ctx := context.Background()
	s := &journal.Service{Store: r.db, Now: func() time.Time { r.now = r.now.Add(time.Millisecond); return r.now }}
	jobs, err := r.db.ClaimJobs(ctx, "w", r.now, r.now.Add(time.Minute), 1)
	if err != nil || len(jobs) != 1 {
		r.t.Fatalf("%d jobs, %v", len(jobs), err)
	}
	rec, err := s.Open(ctx, jobs[0], "int_1", "LATER")
	check(r.t, err)
	start := rec.Resume()
	if start == nil {
		start, err = rec.Begin(journal.Start{Plugin: p.Name, Digest: p.Digest, Export: abi.ExportHandleEvent, Input: json.RawMessage(input), Handles: "sealed"})
		check(r.t, err)
	}
	w := world{r.db}
	_, err = caller.Call(ctx, plugin.Call{
		Plugin: p, Export: start.Export, Input: start.Input, Journal: rec.Journal(), Can: plugin.Capabilities{HTTP: w, Module: w, Storage: w},
	})
	closing, err := rec.Close(rec.Finish(err))
	check(r.t, err)
	if closing != nil {
		check(r.t, r.db.AppendJournal(ctx, closing.Run, jobs[0].Epoch, closing.Chunk, closing.Restart))
	}
	check(r.t, r.db.SettleJob(ctx, jobs[0].ID, jobs[0].Epoch, r.now, job.Settlement{State: state, RunAt: r.now}))
	return s
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// last is the last try of the rig's run.
func (r *rig) last(s *journal.Service) *journal.Try {
	r.t.Helper()
	log, err := s.Log(context.Background(), actor, r.id)
	check(r.t, err)
	return log.Last()
}

var (
	old   = &plugin.Plugin{Name: "flow", Version: "1.0.0", Digest: plugin.DigestOf([]byte("old"))}
	newer = &plugin.Plugin{Name: "flow", Version: "2.0.0", Digest: plugin.DigestOf([]byte("new"))}
)

func told() []ask {
	return []ask{
		{"storage", "get", `{"key":"a"}`, 0},
		{sleep: time.Second},
		{"http", "send", `{"role":"crm","url":"/contacts/7"}`, 0},
		{"http", "send", `{"method":"POST","url":"/tasks"}`, 0},
	}
}

// TestRepeat_ShowsTheFirstDifference: whatever a changed guest does otherwise is shown with both sides.
func TestRepeat_ShowsTheFirstDifference(t *testing.T) {
	t.Parallel()
	ended := played{output: `{"value":{}}`, fuel: 100}
	for _, c := range []struct {
		name             string
		recorded, now    played
		p                *plugin.Plugin
		steps            int
		path             journal.Path
		recorded_, says_ string
	}{
		{name: "the same", p: old, steps: 3},
		{name: "the same from other code takes other fuel", now: played{fuel: 7}, p: newer, steps: 3},
		{name: "the same code takes other fuel", now: played{fuel: 7}, p: old, steps: 3, recorded_: "100 units of fuel", says_: "it takes 7"},
		{name: "another output", now: played{output: `{"value":1}`}, p: newer, steps: 3, recorded_: `the output {"value":{}}`, says_: `the output {"value":1}`},
		{name: "it fails", now: played{trap: "oh"}, p: newer, steps: 3, recorded_: `the output {"value":{}}`, says_: `the failure "oh" (internal)`},
		{name: "another failure", recorded: played{trap: "ah"}, now: played{trap: "oh"}, p: newer, steps: 3, recorded_: `the failure "ah" (internal)`, says_: `the failure "oh" (internal)`},
		{name: "the same failure", recorded: played{trap: "ah"}, now: played{trap: "ah"}, p: newer, steps: 3},
		{name: "it ends early", now: played{asks: told()[:3]}, p: newer, steps: 2, path: "3", recorded_: `http.send POST /tasks {"method"`, says_: "it ends"},
		{
			name: "it asks for more", now: played{asks: append(told(), ask{"http", "send", `{"url":"/x"}`, 0})}, p: newer, steps: 3, path: "4",
			recorded_: "nothing more", says_: `it asks for http.send GET /x {"url":"/x"}, which is not on record`,
		},
		{
			name: "another request", now: played{asks: append(told()[:3:3], ask{"http", "send", `{"method":"POST","url":"/notes"}`, 0})}, p: newer, steps: 2, path: "3",
			recorded_: `http.send POST /tasks`, says_: `it asks for http.send POST /notes {"method":"POST","url":"/notes"}, which is not on record`,
		},
		{
			name: "another order", now: played{asks: []ask{told()[2], told()[0]}}, p: newer, steps: 0, path: "1",
			recorded_: `storage.get a`, says_: `it asks for http.send GET crm /contacts/7 {"role":"crm","url":"/contacts/7"}, which is on record as step 2`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			recorded, now := whole(c.recorded, ended), whole(c.now, whole(c.recorded, ended))
			r := newRig(t)
			try := r.last(r.record(&recorded, old, `{}`, job.Done))
			got, err := journal.Repeat(t.Context(), &now, c.p, try, nil)
			check(t, err)
			if got.Steps != c.steps || got.Open {
				t.Errorf("%d steps, open %v", got.Steps, got.Open)
			}
			if d := got.Difference; d != nil {
				if d.Path != c.path || !strings.HasPrefix(d.Recorded, c.recorded_) || d.Now != c.says_ || c.says_ == "" {
					t.Errorf("differs: %+v", d)
				}
			} else if c.says_ != "" {
				t.Error("no difference is shown")
			}
			if c.says_ == "" && cmp.Diff(recorded.saw, now.saw) != "" {
				t.Errorf("the guest saw something else: %s", cmp.Diff(recorded.saw, now.saw))
			}
		})
	}
}

// whole fills what a script leaves out.
func whole(s, from played) played {
	if s.asks == nil {
		s.asks = told()
	}
	if s.output == "" && s.trap == "" {
		s.output, s.trap = from.output, from.trap
	}
	if s.fuel == 0 {
		s.fuel = from.fuel
	}
	s.saw = nil
	return s
}

// TestRepeat_OfARunThatWaitsEndsWithItsRecord: a record without an end is repeated as far as it goes.
func TestRepeat_OfARunThatWaitsEndsWithItsRecord(t *testing.T) {
	t.Parallel()
	asks := append(told(), ask{sleep: 72 * time.Hour}, ask{"storage", "get", `{"key":"b"}`, 0}, ask{"run", "sleep", `{"ms":100}`, 0})
	r := newRig(t)
	s := r.record(&played{asks: asks, output: "{}"}, old, `{}`, job.Queued)
	got, err := journal.Repeat(t.Context(), &played{asks: asks, output: "{}"}, old, r.last(s), nil)
	check(t, err)
	if got.Difference != nil || !got.Open || got.Steps != 4 {
		t.Errorf("%+v", got)
	}
	asks[4].sleep = time.Hour
	got, err = journal.Repeat(t.Context(), &played{asks: asks, output: "{}"}, newer, r.last(s), nil)
	check(t, err)
	if got.Difference == nil || got.Difference.Recorded != "a sleep of 72h0m0s" || !strings.HasPrefix(got.Difference.Now, "it asks for a sleep of 1h0m0s") {
		t.Errorf("%+v", got.Difference)
	}
	r.now = r.now.Add(73 * time.Hour)
	asks[4].sleep = 72 * time.Hour
	recorded, now := &played{asks: asks, output: "{}"}, &played{asks: asks, output: "{}"}
	s = r.record(recorded, old, `{}`, job.Done)
	got, err = journal.Repeat(t.Context(), now, old, r.last(s), nil)
	check(t, err)
	if got.Difference != nil || got.Open || got.Steps != 5 || cmp.Diff(recorded.saw, now.saw) != "" {
		t.Errorf("after the sleep: %+v %s", got, cmp.Diff(recorded.saw, now.saw))
	}
}

// TestRepeat_FromAFileOnBothBackEnds: a real guest, its record read back from a file, compiled and interpreted.
func TestRepeat_FromAFileOnBothBackEnds(t *testing.T) {
	t.Parallel()
	engines := []*engine{newEngine(t, guest.Config{}), newEngine(t, guest.Config{Interpreter: true})}
	failing, _ := json.Marshal(map[string]any{"steps": []map[string]any{
		{"do": "told"},
		{"do": "send", "role": "key", "method": "POST", "url": "/same"},
		{"do": "call", "role": "key", "method": "do"},
		{"do": "fail", "method": "invalid", "text": "as told"},
	}})
	for name, data := range map[string]json.RawMessage{"well": steps(50), "failed": failing} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			input, err := json.Marshal(abi.EventInput{Event: "LATER", Data: data, Integration: abi.Integration{ID: "int_1", Status: "ENABLED", Config: json.RawMessage(`{}`), Entities: []abi.Entity{}}})
			check(t, err)
			s := r.record(engines[0].caller, engines[0].plugin, string(input), job.Dead)
			f, err := s.Export(t.Context(), actor, r.id, false)
			check(t, err)
			var packed bytes.Buffer
			check(t, f.Write(&packed))
			if f, err = journal.Read(&packed); err != nil {
				t.Fatal(err)
			}
			try := f.Log.Last()
			if (name == "failed") != (try.End.Fault != nil) || try.End.Own == 0 {
				t.Fatalf("it ended with %+v", try.End)
			}
			for _, e := range engines {
				seen := 0
				got, err := journal.Repeat(t.Context(), e.caller, e.plugin, try, func(*journal.Entry) { seen++ })
				check(t, err)
				if got.Difference != nil || got.Fuel != try.End.Own || !bytes.Equal(got.Output, try.End.Output) || seen != got.Steps || seen < 2 {
					t.Errorf("%v, %d units of fuel, %s", got.Difference, got.Fuel, got.Output)
				}
			}
		})
	}
}

// TestRepeat_SaysWhenTheGuestCannotRun: what is not the guest's doing is no difference.
func TestRepeat_SaysWhenTheGuestCannotRun(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	try := r.last(r.record(&played{asks: told(), output: "{}"}, old, `{}`, job.Done))
	busy := caller(func(context.Context, plugin.Call) (json.RawMessage, error) {
		return nil, fault.New(fault.RateLimited, "test", "too many guests").On(fault.Host)
	})
	if _, err := journal.Repeat(t.Context(), busy, old, try, nil); !fault.Is(err, fault.RateLimited) {
		t.Error(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := journal.Repeat(gone, busy, old, try, nil); !fault.Is(err, fault.Canceled) {
		t.Error(err)
	}
}

type caller func(context.Context, plugin.Call) (json.RawMessage, error)

func (f caller) Call(ctx context.Context, c plugin.Call) (json.RawMessage, error) { return f(ctx, c) }

// TestRehearse_GroupsEqualDifferences: runs that differ only in their ids differ alike.
func TestRehearse_GroupsEqualDifferences(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var s *journal.Service
	for i := range 5 {
		if i > 0 {
			r.id = job.ID(fmt.Sprint("job_", i+1))
			_, _, err := r.db.Enqueue(t.Context(), job.New{ID: r.id, Owner: owner, Lane: "l", Kind: "k", CreatedAt: r.now})
			check(t, err)
		}
		asks := []ask{{"http", "send", fmt.Sprintf(`{"url":"/contacts/%d"}`, i), 0}}
		if i == 4 {
			asks = nil
		}
		s = r.record(&played{asks: asks, output: "{}"}, old, fmt.Sprint(i), job.Done)
	}
	changed := caller(func(ctx context.Context, c plugin.Call) (json.RawMessage, error) {
		var asks []ask
		if string(c.Input) != "4" {
			asks = []ask{{"http", "send", fmt.Sprintf(`{"url":"/people/%s"}`, c.Input), 0}}
		}
		return (&played{asks: asks, output: "{}"}).Call(ctx, c)
	})
	got, err := s.Rehearse(t.Context(), changed, newer, 100)
	check(t, err)
	if got.Runs != 5 || got.Same != 1 || len(got.Unlike) != 1 || len(got.Unlike[0].Runs) != 4 || !strings.Contains(got.Unlike[0].Now, "/people/3") {
		t.Errorf("%+v", got)
	}
	if got, err = s.Rehearse(t.Context(), changed, newer, 2); err != nil || got.Runs != 2 {
		t.Errorf("the last 2: %+v, %v", got, err)
	}
}
