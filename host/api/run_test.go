package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/api"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/journal"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// TestRuns_ShowWhatIsOnRecordToTheOwnerAlone: every route of a run finds a foreign one nowhere.
func TestRuns_ShowWhatIsOnRecordToTheOwnerAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ada, eve := h.user("ada"), h.user("eve")
	in := h.integrate(ada, h.connect(ada).EntityID)
	list := must[api.RunList](h, 200, "GET", "/api/v2/runs?state=done&plugin=box-to-hub&integration="+string(in.ID), "", ada)
	if len(list.Runs) != 1 || list.Runs[0].Event != "ON_CREATE" || list.Runs[0].Plugin != "box-to-hub" {
		t.Fatalf("%+v", list)
	}
	run := "/api/v2/runs/" + string(list.Runs[0].ID)
	shown := must[api.RunDetail](h, 200, "GET", run, "", ada)
	if len(shown.Tries) != 1 || shown.Tries[0].End == nil || shown.Tries[0].Input.(map[string]any)["event"] != "ON_CREATE" {
		t.Errorf("%+v", shown)
	}
	res := get(t, h, run+"/export?mask=status", bearer(ada))
	f, err := journal.Read(bytes.NewReader(res.Body.Bytes()))
	if err != nil || res.Header().Get("Content-Type") != "application/gzip" || len(f.Log.Last().Start.Masked) != 1 || strings.Contains(string(f.Log.Last().Start.Input), "IN_CREATION") {
		t.Errorf("%d %v %v", res.Code, err, res.Header())
	}
	for _, c := range []struct {
		method, path, body string
		own                int
	}{
		{"GET", "", "", 200},
		{"GET", "?limit=1001", "", 400},
		{"GET", "/export?with_plugin=true", "", 404}, // its bytes are nowhere
		{"GET", "/export?mask=,", "", 400},
		{"POST", "/decision", `{"choice":"resend"}`, 409},
		{"POST", "/decision", `{}`, 400},
		{"POST", "/replay", `{"from":"failed_step"}`, 409},
		{"POST", "/replay", `{"from":"nowhere"}`, 400},
	} {
		if res := send(t, h, c.method, run+c.path, c.body, bearer(ada)); res.Code != c.own {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.path, res.Code, res.Body, c.own)
		}
		if res := send(t, h, c.method, run+c.path, c.body, bearer(eve)); res.Code != 404 && c.own != 400 {
			t.Errorf("somebody else's %s %s: %d %s", c.method, c.path, res.Code, res.Body)
		}
		if res := send(t, h, c.method, run+c.path, c.body, nil); res.Code != 401 {
			t.Errorf("nobody's %s %s: %d", c.method, c.path, res.Code)
		}
	}
	if list := must[api.RunList](h, 200, "GET", "/api/v2/runs", "", eve); len(list.Runs) != 0 {
		t.Errorf("eve sees %+v", list)
	}
	must[api.Error](h, 400, "GET", "/api/v2/runs?limit=201", "", ada)
	must[api.Error](h, 400, "GET", "/api/v2/runs?state=sung", "", ada)
}

// runVisits are the routes of runs, on one that is done.
func runVisits(h *house, token string) map[string]visit {
	h.t.Helper()
	list := must[api.RunList](h, 200, "GET", "/api/v2/runs", "", token)
	run := "/api/v2/runs/" + string(list.Runs[0].ID)
	return map[string]visit{
		"GET /api/v2/runs":               {path: "/api/v2/runs", own: 200, foreign: 200, why: "lists what is the caller's"},
		"GET /api/v2/runs/:id":           {path: run, own: 200},
		"GET /api/v2/runs/:id/export":    {path: run + "/export", own: 200},
		"POST /api/v2/runs/:id/decision": {path: run + "/decision", body: `{"choice":"resend"}`, own: 409},
		"POST /api/v2/runs/:id/replay":   {path: run + "/replay", body: `{}`, own: 409},
	}
}

// parked makes a run of the token's user that waits for a decision at its first step.
func (h *house) parked(token string) job.ID {
	h.t.Helper()
	ctx, id := h.t.Context(), h.queuedJob(token)
	claimed, err := h.db.ClaimJobs(ctx, "test", h.now, h.now.Add(time.Minute), 1)
	if err != nil || len(claimed) != 1 {
		h.t.Fatalf("claimed %d jobs: %v", len(claimed), err)
	}
	rec, err := h.runs.Open(ctx, claimed[0], "int_1", "E")
	if err == nil {
		_, err = rec.Begin(journal.Start{Plugin: "p", Version: "1.0.0", Digest: plugin.DigestOf(nil), Export: abi.ExportHandleEvent, Input: json.RawMessage(`{}`)})
	}
	if err != nil {
		h.t.Fatal(err)
	}
	_, err = rec.Journal().Serve(ctx, "http", "send", []byte(`{"method":"POST","url":"/x"}`), func(ctx context.Context) []byte {
		plugin.HostCallOf(ctx).Undecided(errors.New("no answer"))
		return nil
	})
	closing, cerr := rec.Close(rec.Finish(err))
	if err = cerr; err == nil && closing != nil {
		err = h.db.AppendJournal(ctx, closing.Run, claimed[0].Epoch, closing.Chunk, closing.Restart)
	}
	if err == nil {
		err = h.db.SettleJob(ctx, id, claimed[0].Epoch, h.now, job.Settlement{State: job.Parked, Error: "undecided"})
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return id
}

// TestRuns_ADecisionLetsAParkedRunGoOn: once, with the answer that the plugin gets.
func TestRuns_ADecisionLetsAParkedRunGoOn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ada := h.user("ada")
	id := h.parked(ada)
	list := must[api.RunList](h, 200, "GET", "/api/v2/runs?state=parked", "", ada)
	if len(list.Runs) != 1 || list.Runs[0].ID != id || list.Runs[0].Decide != "1" {
		t.Fatalf("%+v", list)
	}
	run := "/api/v2/runs/" + string(id)
	must[api.Error](h, 400, "POST", run+"/decision", `{"choice":"happened","answer":{"status":99}}`, ada)
	must[api.Error](h, 400, "POST", run+"/decision", `{"choice":"perhaps"}`, ada)
	must[api.Nothing](h, 202, "POST", run+"/decision", `{"choice":"happened","answer":{"status":201,"text":"{}"}}`, ada)
	must[api.Error](h, 409, "POST", run+"/decision", `{"choice":"resend"}`, ada)
	shown := must[api.RunDetail](h, 200, "GET", run, "", ada)
	step := shown.Tries[0].Steps[0]
	if shown.State != job.Queued || step.Decision == nil || step.Decision.Choice != journal.Happened || step.Decision.By != string(h.actor(ada).User) || step.AnsweredAt != nil {
		t.Errorf("%+v %+v", shown.Run, step)
	}
}
