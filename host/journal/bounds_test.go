package journal_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/journal"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/plugin/plugintest"
	"github.com/frigg-host/frigg-host/store"
)

// unlucky is a store that undoes one act, and goes on.
type unlucky struct {
	*store.DB
	left int // acts until then
}

var errUndone = fault.New(fault.Unavailable, "store.Write", "the write was undone together with others; try again")

func (u *unlucky) Together(ctx context.Context, f func(context.Context) error) error {
	u.left--
	return u.DB.Together(ctx, func(ctx context.Context) error {
		if err := f(ctx); err != nil || u.left != 0 {
			return err
		}
		return errUndone
	})
}

func (u *unlucky) AppendJournal(ctx context.Context, r *journal.Run, epoch int64, c *journal.Chunk, restart bool) error {
	if c.Entries == 1 && r.Doubt != "" { // an intent
		if u.left--; u.left == 0 {
			return errUndone
		}
	}
	return u.DB.AppendJournal(ctx, r, epoch, c, restart)
}

// TestServe_WhatCouldNotBeCommittedIsNotOnRecord: the end of the claim, which can be committed, must not say that it was.
func TestServe_WhatCouldNotBeCommittedIsNotOnRecord(t *testing.T) {
	t.Parallel()
	for name, guest := range map[string]script{
		"a local effect": func(ctx context.Context, c plugin.Call) error {
			_, err := plugintest.Ask[abi.Empty](ctx, c, "storage.put", abi.StoragePut{Key: "k", Value: json.RawMessage(`1`)})
			return err
		},
		"the intent of a remote one": func(ctx context.Context, c plugin.Call) error {
			_, err := send(ctx, c, "POST", "/a")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, p := newRig(t), &phone{}
			p.answer = func(ctx context.Context, _ abi.HTTPRequest) (abi.HTTPResponse, error) {
				if h := plugin.HostCallOf(ctx); !h.Unsure.IsZero() {
					h.Undecided(errors.New("it may have been sent"))
				}
				return abi.HTTPResponse{Status: 200}, nil
			}
			r.store = &unlucky{DB: r.db, left: 1}
			if err := r.play(p, guest); !errors.Is(err, errUndone) || len(p.calls) != 0 {
				t.Fatalf("%v, %v", err, p.calls)
			}
			if e := r.log().Last().Entries; len(e) != 0 {
				t.Errorf("on record is %+v", e[0])
			}
			if err := r.play(p, guest); err != nil {
				t.Fatal(err)
			}
			local := 0
			if err := r.db.Read(t.Context(), func(q store.Querier) (err error) {
				local, err = store.One(q, store.Value[int], `SELECT count(*) FROM key_checks`)
				return err
			}); err != nil || local+len(p.calls) != 1 {
				t.Errorf("it happened %d times here and %d times outside, %v", local, len(p.calls), err)
			}
		})
	}
}

func gets(n int) script {
	return func(ctx context.Context, c plugin.Call) error {
		for range n {
			if _, err := send(ctx, c, "GET", "/a"); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestBounds_AreThoseOfATry(t *testing.T) {
	t.Parallel()
	r, p := newRig(t), &phone{}
	fails := func(ctx context.Context, c plugin.Call) error {
		_ = gets(6000)(ctx, c)
		return &fault.Error{Kind: fault.Internal, Side: fault.Guest, Msg: "a bug that comes and goes"}
	}
	if err := r.play(p, fails); !fault.Is(err, fault.Internal) {
		t.Fatal(err)
	}
	if err := r.play(p, gets(6000)); err != nil {
		t.Errorf("the second try has not the room of the first: %v", err)
	}
}

// TestBounds_CountWhatARunTakesUnpacked: what packs well would otherwise be without bound for who repeats the run.
func TestBounds_CountWhatARunTakesUnpacked(t *testing.T) {
	t.Parallel()
	if raceDetector {
		t.Skip("it takes too long")
	}
	r, p := newRig(t), &phone{answer: func(context.Context, abi.HTTPRequest) (abi.HTTPResponse, error) {
		return abi.HTTPResponse{Status: 200, Text: strings.Repeat(" ", 4<<20)}, nil
	}}
	guest := func(ctx context.Context, c plugin.Call) error {
		for range 3 {
			if err := gets(8)(ctx, c); err != nil {
				return err
			}
			if err := c.Journal.Sleep(ctx, time.Minute); err != nil {
				return err
			}
		}
		return nil
	}
	var err error
	for range 3 {
		err = r.play(p, guest)
		r.now = r.now.Add(time.Hour)
	}
	if !fault.Is(err, fault.Exhausted) || len(p.calls) > 17 {
		t.Errorf("%v after %d answers of 4 MiB", err, len(p.calls))
	}
}

func TestBounds_HoldForSleepsToo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.tick = 10 * time.Second // they are over at once
	slept := 0
	err := r.play(&phone{}, func(ctx context.Context, c plugin.Call) error {
		for range 20_000 {
			if err := c.Journal.Sleep(ctx, 5*time.Second); err != nil {
				return err
			}
			slept++
		}
		return nil
	})
	if !fault.Is(err, fault.Exhausted) {
		t.Errorf("%v after %d sleeps", err, slept)
	}
}

// TestServe_ARequestHasOneReading: what the sender takes for a write is one on record, however it is spelled.
func TestServe_ARequestHasOneReading(t *testing.T) {
	t.Parallel()
	for _, request := range []string{`{"method":"POST","METHOD":"GET","url":"/a"}`, `{"METHOD":"POST","method":"GET","url":"/a"}`, `{"method":"GET","method":"POST","url":"/a"}`} {
		r, p := newRig(t), &phone{}
		err := r.play(p, func(ctx context.Context, c plugin.Call) error {
			_, err := c.Journal.Serve(ctx, "http", "send", []byte(request), func(ctx context.Context) []byte {
				return c.Can.Serve(ctx, "http", "send", []byte(request))
			})
			return err
		})
		if err != nil || len(p.calls) != 1 {
			t.Fatal(err, p.calls)
		}
		wrote := p.calls[0] == "POST /a"
		if e := r.log().Last().Entries[0]; (e.Class == abi.ClassRemote) != wrote {
			t.Errorf("%s is sent as %s and on record as %s", request, p.calls[0], e.Class)
		}
	}
}
