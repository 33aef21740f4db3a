package journal_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/journal"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/plugin/plugintest"
)

// BenchmarkHostCall is what the record costs a host call, by what the call does; "unrecorded" is the same read without one.
func BenchmarkHostCall(b *testing.B) {
	read := func(ctx context.Context, c plugin.Call) error { _, err := send(ctx, c, "GET", "/a"); return err }
	effect := func(ctx context.Context, c plugin.Call) error { _, err := send(ctx, c, "POST", "/a"); return err }
	local := func(ctx context.Context, c plugin.Call) error {
		_, err := plugintest.Ask[abi.Empty](ctx, c, "storage.put", abi.StoragePut{Key: "k", Value: json.RawMessage(`1`)})
		return err
	}
	for _, bench := range []struct {
		name     string
		recorded bool
		call     script
	}{{"unrecorded", false, read}, {"read", true, read}, {"local", true, local}, {"effect", true, effect}} {
		b.Run(bench.name, func(b *testing.B) {
			const each = 1000 // calls of one run
			var c plugin.Call
			r := newRig(b)
			for i := 0; b.Loop(); i++ {
				if i%each == 0 {
					b.StopTimer()
					c = r.claimed(bench.recorded)
					b.StartTimer()
				}
				if err := bench.call(context.Background(), c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// claimed is a guest call of a new run.
func (r *rig) claimed(recorded bool) plugin.Call {
	r.t.Helper()
	c := plugin.Call{Plugin: &plugin.Plugin{Name: "p"}, Can: plugin.Capabilities{HTTP: &phone{}, Storage: world{r.db}}}
	if !recorded {
		return c
	}
	r.again()
	rec, start := r.open()
	c.Input, c.Journal = start.Input, rec.Journal()
	return c
}

// open claims the run and opens its record.
func (r *rig) open() (*journal.Recorder, *journal.Start) {
	r.t.Helper()
	ctx := context.Background()
	if _, err := r.db.RecoverJobs(ctx, r.now, true); err != nil {
		r.t.Fatal(err)
	}
	jobs, err := r.db.ClaimJobs(ctx, "w", r.now, r.now.Add(1e12), 1)
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
	return rec, start
}

// BenchmarkResume is how long it takes to be where a run of 1,000 host calls ended: reading its record and answering from it.
func BenchmarkResume(b *testing.B) {
	r := newRig(b)
	guest := func(ctx context.Context, c plugin.Call) {
		for i := range 1000 {
			method := "GET"
			if i%10 == 0 {
				method = "POST"
			}
			if _, err := send(ctx, c, method, fmt.Sprint("/", i)); err != nil {
				b.Fatal(err)
			}
		}
	}
	rec, start := r.open()
	c := plugin.Call{Plugin: &plugin.Plugin{Name: "p"}, Input: start.Input, Journal: rec.Journal(), Can: plugin.Capabilities{HTTP: &phone{}}}
	guest(context.Background(), c)
	if _, err := send(context.Background(), c, "POST", "/last"); err != nil { // so that all before is on disk
		b.Fatal(err)
	}
	for b.Loop() {
		rec, start := r.open()
		guest(context.Background(), plugin.Call{Plugin: c.Plugin, Input: start.Input, Journal: rec.Journal()})
	}
}
