package integration_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/plugin/plugintest"
)

func TestQueue_ABatchIsAllOrNothingAndOnceOverTries(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	in := h.enabled(`{"type":"sync"}`)
	batch := abi.QueueEnqueueBatch{Events: []abi.QueueEnqueue{
		{Event: "PAGE", Data: json.RawMessage(`1`), DelayMS: 3600_000}, {Event: "PAGE", Data: json.RawMessage(`1`), DelayMS: 7200_000, Priority: 7},
	}}
	tries := 0
	h.guests[abi.ExportHandleEvent] = func(ctx context.Context, c plugin.Call) (any, error) {
		bad := abi.QueueEnqueueBatch{Events: append([]abi.QueueEnqueue{{Event: "PAGE"}}, abi.QueueEnqueue{Event: "UNKNOWN"})}
		if _, err := plugintest.Ask[abi.QueueJobs](ctx, c, "queue.enqueue_batch", bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("a batch with an undeclared event: %v, want invalid", err)
		}
		jobs, err := plugintest.Ask[abi.QueueJobs](ctx, c, "queue.enqueue_batch", batch)
		if err != nil || len(jobs.Jobs) != 2 || jobs.Jobs[0].ID == jobs.Jobs[1].ID {
			t.Errorf("jobs %+v, %v", jobs, err)
		}
		if tries++; tries == 1 {
			return nil, &fault.Error{Kind: fault.Unauthorized, Side: fault.Remote, Msg: "away"} // waits, and comes again
		}
		return abi.EventOutput{}, nil
	}
	if _, err := h.s.Receive(t.Context(), "sync", in.ID, "", h.signed(in, "1", `{}`)); err != nil {
		t.Fatal(err)
	}
	h.credential(false)
	h.work()
	h.credential(true)
	if err := h.s.Reauthorized(t.Context(), h.ada.Owner, h.entity); err != nil {
		t.Fatal(err)
	}
	h.work()
	queued, err := h.db.Jobs(t.Context(), h.ada.Owner, []job.State{job.Queued}, "", 100)
	if err != nil || len(queued) != 2 || tries != 2 {
		t.Fatalf("%d jobs after %d tries that enqueue two, %v", len(queued), tries, err)
	}
	if late := queued[0]; late.Priority != 7 || !late.RunAt.Equal(h.now.Add(2*time.Hour)) {
		t.Errorf("the second: priority %d at %s", late.Priority, late.RunAt)
	}
}

func TestWork_ARateLimitLetsAllJobsOfTheAccountWait(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	first, second := h.enabled(`{"type":"sync"}`), h.enabled(`{"type":"sync"}`)
	h.accounts.send = func(context.Context) (abi.HTTPResponse, error) {
		return abi.HTTPResponse{}, &fault.Error{Kind: fault.RateLimited, Side: fault.Remote, Msg: "slow down", RetryAfter: 10 * time.Minute}
	}
	h.guests[abi.ExportHandleEvent] = func(ctx context.Context, c plugin.Call) (any, error) {
		_, err := plugintest.Ask[abi.HTTPResponse](ctx, c, "http.send", abi.HTTPRequest{Role: "crm", URL: "/x"})
		return abi.EventOutput{}, err
	}
	for _, in := range []*integration.Integration{first, second} {
		if _, err := h.s.Receive(t.Context(), "sync", in.ID, "", h.signed(in, "1", `{}`)); err != nil {
			t.Fatal(err)
		}
	}
	h.work()
	claim := func(after time.Duration) int {
		jobs, err := h.db.ClaimJobs(t.Context(), "w", h.now.Add(after), h.now.Add(time.Hour), 1)
		if err != nil {
			t.Fatal(err)
		}
		return len(jobs)
	}
	if n := claim(10*time.Minute - time.Second); n != 0 {
		t.Error("another job of the account was started although its vendor asked for a pause")
	}
	if n := claim(10 * time.Minute); n != 1 {
		t.Error("no job of the account was started after the pause")
	}
}

func TestReplay_EditedInputTakesThePlaceOfTheEventsData(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	in := h.enabled(`{"type":"sync"}`)
	var data []string
	h.guests[abi.ExportHandleEvent] = func(_ context.Context, c plugin.Call) (any, error) {
		var e abi.EventInput
		if err := json.Unmarshal(c.Input, &e); err != nil {
			t.Error(err)
		}
		data = append(data, string(e.Data))
		return nil, plugin.ErrorOf("test", "sync", abi.Fault{Kind: abi.FaultKindInvalid, Message: "no such repository"})
	}
	if _, err := h.s.Receive(t.Context(), "sync", in.ID, "", h.signed(in, "1", `{}`)); err != nil {
		t.Fatal(err)
	}
	j, _ := h.work()
	if err := h.db.ReplayJob(t.Context(), h.ada.Owner, j.ID, h.now, job.ReplayOptions{From: job.Start, Input: json.RawMessage(`{"edited":true}`)}); err != nil {
		t.Fatal(err)
	}
	h.work()
	if len(data) != 2 || data[1] != `{"edited":true}` || data[0] == data[1] {
		t.Errorf("the guest got %q", data)
	}
}
