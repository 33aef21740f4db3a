package integration_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/plugin/plugintest"
)

// counted are accounts that count what is sent to them.
type counted struct {
	*connections
	sent []string
}

func (c *counted) Send(_ context.Context, _ account.Owner, _ connection.EntityID, q abi.HTTPRequest, _ connection.CallOptions) (abi.HTTPResponse, error) {
	c.sent = append(c.sent, q.URL)
	return abi.HTTPResponse{Status: 201, Headers: map[string][]string{}}, nil
}

// TestWork_ANewTryBeginsAtTheCheckpoint: what was done before it is not on record any more and must not be done again.
func TestWork_ANewTryBeginsAtTheCheckpoint(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	in := h.enabled(`{"type":"sync"}`)
	vendor := &counted{connections: h.accounts}
	h.s.Connections = vendor
	var states []string
	h.guests[abi.ExportHandleEvent] = func(ctx context.Context, c plugin.Call) (any, error) {
		var q abi.EventInput
		if err := json.Unmarshal(c.Input, &q); err != nil {
			return nil, err
		}
		states = append(states, string(q.Checkpoint))
		page := "/first"
		if q.Checkpoint != nil {
			page = "/second"
		}
		if _, err := plugintest.Ask[abi.HTTPResponse](ctx, c, "http.send", abi.HTTPRequest{Role: "crm", Method: "POST", URL: page}); err != nil {
			return nil, err
		}
		switch len(states) {
		case 1:
			_, err := plugintest.Ask[abi.Empty](ctx, c, "run.checkpoint", abi.RunCheckpoint{State: json.RawMessage(`{"page":2}`)})
			return nil, err
		case 2:
			return nil, &fault.Error{Kind: fault.Unavailable, Side: fault.Guest, Msg: "a bug that comes and goes"}
		}
		return abi.EventOutput{}, nil
	}
	if _, err := h.s.Receive(t.Context(), "sync", in.ID, "", h.signed(in, "1", `{"a": "<b>"}`)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		jobs, err := h.db.ClaimJobs(t.Context(), "w", h.now, h.now, 1)
		if err != nil || len(jobs) != 1 {
			t.Fatalf("claimed %d jobs, %v", len(jobs), err)
		}
		o := h.s.Work(t.Context(), jobs[0])
		s := job.Settlement{State: job.Queued, RunAt: h.now}
		if o.Err == nil && o.Until.IsZero() {
			s.State = job.Done
		}
		s.With = o.With(s)
		if err := h.db.SettleJob(t.Context(), jobs[0].ID, jobs[0].Epoch, h.now, s); err != nil {
			t.Fatal(errors.Join(err, o.Err))
		}
	}
	if diff := cmp.Diff([]string{"", `{"page":2}`, `{"page":2}`}, states); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"/first", "/second"}, vendor.sent); diff != "" {
		t.Error(diff)
	}
}

// TestReceive_KeepsNoSecretOfTheAddress: what is stored of a webhook is on record of its run, and leaves with that.
func TestReceive_KeepsNoSecretOfTheAddress(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	in := h.enabled(`{"type":"sync"}`)
	var got abi.WebhookEvent
	h.guests[abi.ExportHandleEvent] = func(_ context.Context, c plugin.Call) (any, error) {
		var q abi.EventInput
		return abi.EventOutput{}, errors.Join(json.Unmarshal(c.Input, &q), json.Unmarshal(q.Data, &got))
	}
	r := h.signed(in, "1", `{}`)
	r.Query = url.Values{"verifyToken": {"s3cret"}, "client_secret": {"s3cret"}, "page": {"2"}}
	if _, err := h.s.Receive(t.Context(), "sync", in.ID, "", r); err != nil {
		t.Fatal(err)
	}
	h.work()
	if diff := cmp.Diff(map[string]string{"page": "2"}, got.Query); diff != "" {
		t.Error(diff)
	}
}
