package integration_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/secret"
)

// settings are what the operator has set for the module crm.
type settings map[string]string

func (s settings) Settings(_ context.Context, p *plugin.Plugin) (map[string]secret.Text, error) {
	out := map[string]secret.Text{}
	if p.Name == "crm" {
		for name, value := range s {
			out[name] = secret.NewText(value)
		}
	}
	return out, nil
}

// newAppHouse has a vendor with one URL for the application, which signs with app-key.
func newAppHouse(t *testing.T) *house {
	t.Helper()
	h := newHouse(t)
	h.s.Settings = settings{"signing": "old-key\napp-key\n"}
	h.vendorHook(abi.VendorHook{
		Signature: &abi.Signature{Header: "X-Signature"}, EventID: "/id", Event: "/type", Account: "/team", AppSecret: "signing",
		Handshake: &abi.Handshake{Scheme: abi.HandshakeSchemeSlack},
	})
	h.s.Plugins.(catalog)["sync"].Manifest.Webhooks = []abi.Webhook{{Name: "crm", Role: "crm", App: true}}
	h.guests[abi.ExportHandleEvent] = func(context.Context, plugin.Call) (any, error) { return abi.EventOutput{}, nil }
	return h
}

// user is somebody with a connection to the vendor's account, and n enabled records that use it.
func (h *house) user(team string, n int) (account.Actor, []*integration.Integration) {
	h.t.Helper()
	a, _ := h.person()
	c := &connection.Credential{ID: connection.NewCredentialID(), Owner: a.Owner, Module: "crm", Status: connection.OK, Sealed: "v1.x.y", CreatedAt: h.now, UpdatedAt: h.now}
	e := &connection.Entity{ID: connection.NewEntityID(), Owner: a.Owner, Module: "crm", Credential: c.ID, ExternalID: team, Name: team, CreatedAt: h.now, UpdatedAt: h.now}
	if _, err := h.db.CompleteAuthorization(h.t.Context(), c, []*connection.Entity{e}, h.now); err != nil {
		h.t.Fatal(err)
	}
	var records []*integration.Integration
	for range n {
		in, err := h.s.Create(h.t.Context(), a, []connection.EntityID{e.ID}, json.RawMessage(`{"type":"sync"}`))
		if err != nil {
			h.t.Fatal(err)
		}
		h.work()
		records = append(records, in)
	}
	return a, records
}

// app sends an event of the application, signed with key.
func (h *house) app(key, body string) (abi.HTTPReply, error) {
	return h.s.ReceiveApp(h.t.Context(), "sync", "", integration.Inbound{
		Method: http.MethodPost, Header: http.Header{"X-Signature": {inHex(key, body)}}, Body: []byte(body),
	})
}

// inbox is how many events a person has, and with what bodies.
func (h *house) inbox(a account.Actor) (bodies []string) {
	h.t.Helper()
	found, err := h.s.Receipts(h.t.Context(), a, integration.ReceiptFilter{}, 100)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, r := range found {
		_, data, err := h.s.Receipt(h.t.Context(), a, r.ID)
		if err != nil {
			h.t.Fatal(err)
		}
		bodies = append(bodies, data.Text)
	}
	slices.Sort(bodies)
	return bodies
}

// kept are the events of the application in a state.
func (h *house) kept(s integration.AppEventState) []*integration.AppEvent {
	h.t.Helper()
	found, err := h.s.AppEvents(h.t.Context(), []integration.AppEventState{s}, "", 2000)
	if err != nil {
		h.t.Fatal(err)
	}
	return found
}

func TestReceiveApp_GoesToEveryRecordThatUsesTheAccountAndToNoOther(t *testing.T) {
	t.Parallel()
	h := newAppHouse(t)
	ada, adas := h.user("T1", 2)
	bob, _ := h.user("T1", 1)
	eve, _ := h.user("T2", 1)
	paused, off := h.user("T1", 1)
	disabled := abi.StatusDisabled
	if _, err := h.s.Update(t.Context(), paused, off[0].ID, integration.Change{Status: &disabled}); err != nil {
		t.Fatal(err)
	}
	const body = `{"id":"e1","team":"T1","type":"message"}`
	for range 3 {
		if reply, err := h.app("app-key", body); err != nil || reply.Status != http.StatusOK {
			t.Fatalf("reply %+v, %v", reply, err)
		}
	}
	for name, row := range map[string]struct {
		a    account.Actor
		want int
	}{"both records of ada": {ada, 2}, "bob, who has connected it too": {bob, 1}, "eve, who has another account": {eve, 0}, "who has paused": {paused, 0}} {
		if got := h.inbox(row.a); len(got) != row.want || len(got) > 0 && got[0] != body {
			t.Errorf("%s: %v, want %d", name, got, row.want)
		}
	}
	seen := map[string]int{}
	h.guests[abi.ExportHandleEvent] = func(_ context.Context, c plugin.Call) (any, error) {
		var in abi.EventInput
		var e abi.WebhookEvent
		err := json.Unmarshal(c.Input, &in)
		if err == nil {
			err = json.Unmarshal(in.Data, &e)
		}
		seen[in.Integration.ID+e.ID+e.Event+e.Text]++
		return abi.EventOutput{}, err
	}
	for range 3 {
		h.work()
	}
	if len(seen) != 3 || seen[string(adas[0].ID)+"e1message"+body] != 1 {
		t.Errorf("worked off %v", seen)
	}
	if _, err := h.db.ClaimJobs(t.Context(), "w", h.now, h.now.Add(time.Minute), 1); err != nil {
		t.Error(err)
	}
	found, err := h.s.Receipts(t.Context(), ada, integration.ReceiptFilter{State: job.Done}, 10)
	if err != nil || len(found) != 2 || found[0].Delivery != "e1" || !found[0].Application || found[0].Event != "message" {
		t.Errorf("receipts %+v, %v", found, err)
	}
}

func TestReceiveApp_RefusedLeavesNothing(t *testing.T) {
	t.Parallel()
	h := newAppHouse(t)
	h.user("T1", 1)
	for _, key := range []string{"", "other", "old-key\napp-key"} {
		if reply, err := h.app(key, `{"id":"e1","team":"T1"}`); !fault.Is(err, fault.Unauthorized) {
			t.Errorf("signed with %q: %+v, %v", key, reply, err)
		}
	}
	h.s.Settings = settings{}
	if _, err := h.app("", `{"id":"e1","team":"T1"}`); !fault.Is(err, fault.Unavailable) {
		t.Errorf("without the operator's setting: %v", err)
	}
	for state := range maps.Keys(map[integration.AppEventState]bool{integration.Routed: true, integration.Unrouted: true, integration.Routing: true}) {
		if n := len(h.kept(state)); n != 0 {
			t.Errorf("%d events are %s", n, state)
		}
	}
	for name, call := range map[string]func() error{
		"a record's webhook": func() error {
			_, err := h.s.ReceiveApp(t.Context(), "strict", "", integration.Inbound{})
			return err
		},
		"no plugin": func() error { _, err := h.s.ReceiveApp(t.Context(), "none", "", integration.Inbound{}); return err },
		"no name":   func() error { _, err := h.s.ReceiveApp(t.Context(), "sync", "x", integration.Inbound{}); return err },
	} {
		if err := call(); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReceiveApp_AnswersHandshakes(t *testing.T) {
	t.Parallel()
	h := newAppHouse(t)
	if reply, err := h.app("app-key", `{"type":"url_verification","challenge":"c"}`); err != nil || reply.Text != "c" {
		t.Errorf("%+v, %v", reply, err)
	}
	if n := len(h.kept(integration.Unrouted)); n != 0 {
		t.Errorf("%d events are kept", n)
	}
}

func TestReceiveApp_WhatNobodyUsesIsAcknowledgedAndKept(t *testing.T) {
	t.Parallel()
	h := newAppHouse(t)
	for i, body := range []string{`{"id":"e1","team":"T9"}`, `{"id":"e2"}`, `{"id":"e3","team":{}}`, `{"id":"e1","team":"T9"}`} {
		if _, err := h.app("old-key", body); err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	kept := h.kept(integration.Unrouted)
	if len(kept) != 3 || kept[2].Account != "T9" {
		t.Fatalf("kept %+v", kept)
	}
	if state, err := h.s.Reroute(t.Context(), kept[2].ID); err != nil || state != integration.Unrouted {
		t.Errorf("rerouted to %s, %v", state, err)
	}
	late, _ := h.user("T9", 1)
	if state, err := h.s.Reroute(t.Context(), kept[2].ID); err != nil || state != integration.Routed {
		t.Errorf("rerouted to %s, %v", state, err)
	}
	if got := h.inbox(late); len(got) != 1 {
		t.Errorf("who connected later got %v", got)
	}
	if _, err := h.s.Reroute(t.Context(), kept[2].ID); !fault.Is(err, fault.Conflict) {
		t.Errorf("rerouted twice: %v", err)
	}
}

func TestReceiveApp_UnroutedEventsAreBounded(t *testing.T) {
	t.Parallel()
	h := newAppHouse(t)
	for i := range 1010 {
		if _, err := h.app("app-key", fmt.Sprintf(`{"id":"e%d","team":"T9"}`, i)); err != nil {
			t.Fatal(err)
		}
	}
	kept := h.kept(integration.Unrouted)
	if len(kept) != 1000 || kept[0].Dedupe != "e1009" {
		t.Errorf("%d are kept, the newest %s", len(kept), kept[0].Dedupe)
	}
}

func TestReceiveApp_AnAmbiguousAccountIsNeverGuessed(t *testing.T) {
	t.Parallel()
	h := newAppHouse(t)
	h.s.Plugins.(catalog)["crm"].Manifest.Hooks[0].OneAccount = true
	ada, _ := h.user("T1", 2) // two records of one connection are no ambiguity
	if _, err := h.app("app-key", `{"id":"e1","team":"T1"}`); err != nil || len(h.inbox(ada)) != 2 {
		t.Fatalf("%v, %v", h.inbox(ada), err)
	}
	bob, bobs := h.user("T1", 1)
	if _, err := h.app("app-key", `{"id":"e2","team":"T1"}`); err != nil {
		t.Errorf("not acknowledged: %v", err)
	}
	if len(h.inbox(ada)) != 2 || len(h.inbox(bob)) != 0 {
		t.Error("an ambiguous event was given to somebody")
	}
	kept := h.kept(integration.Ambiguous)
	if len(kept) != 1 || !strings.Contains(h.log.String(), "ambiguous") {
		t.Fatalf("kept %+v, log %s", kept, h.log)
	}
	if err := h.s.Delete(t.Context(), bob, bobs[0].ID); err != nil {
		t.Fatal(err)
	}
	for range h.jobsOf(bob) {
		h.workLane(bob)
	}
	if state, err := h.s.Reroute(t.Context(), kept[0].ID); err != nil || state != integration.Routed || len(h.inbox(ada)) != 4 {
		t.Errorf("after one of them has gone: %s, %v, %d", state, err, len(h.inbox(ada)))
	}
}

// jobsOf are the jobs of a person that wait.
func (h *house) jobsOf(a account.Actor) []*job.Job {
	h.t.Helper()
	jobs, err := h.db.Jobs(h.t.Context(), a.Owner, []job.State{job.Queued}, "", 100)
	if err != nil {
		h.t.Fatal(err)
	}
	return jobs
}

// workLane works jobs off until none of the person waits.
func (h *house) workLane(a account.Actor) {
	h.t.Helper()
	for len(h.jobsOf(a)) > 0 {
		h.work()
	}
}

func TestReceiveApp_FansOutOverManyPages(t *testing.T) {
	t.Parallel()
	h := newAppHouse(t)
	ada, first := h.user("T1", 1)
	const more = 1001
	for range more { // as Create makes them, without a guest
		in := *first[0]
		in.ID, in.Status = integration.NewID(), abi.StatusEnabled
		if err := h.db.CreateIntegration(t.Context(), &in, job.New{ID: job.NewID(), Owner: in.Owner, Lane: "x", Kind: "test", CreatedAt: h.now}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if _, err := h.app("app-key", `{"id":"e1","team":"T1"}`); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[integration.ID]int{}
	before := integration.EventID("")
	for {
		page, err := h.s.Receipts(t.Context(), ada, integration.ReceiptFilter{Before: before}, 200)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, r := range page {
			seen[r.Integration]++
		}
		before = page[len(page)-1].ID
	}
	if len(seen) != more+1 || seen[first[0].ID] != 1 {
		t.Errorf("%d records got it", len(seen))
	}
	if n := len(h.kept(integration.Routed)); n != 1 {
		t.Errorf("%d events are routed", n)
	}
}

func TestReceiveApp_AFloodedRecordHoldsNobodyBack(t *testing.T) {
	t.Parallel()
	h := newAppHouse(t)
	ada, adas := h.user("T1", 1)
	bob, _ := h.user("T1", 1)
	e := &integration.AppEvent{ID: "evt_1", Plugin: "sync", Webhook: "crm", Account: "T1", Dedupe: "d", State: integration.Routed, ReceivedAt: h.now}
	users, err := h.db.AccountUsers(t.Context(), "crm", "T1", "sync", "crm", "", 10)
	if err != nil || len(users) != 2 {
		t.Fatalf("%+v, %v", users, err)
	}
	if _, _, err := h.db.Enqueue(t.Context(), job.New{ID: job.NewID(), Owner: ada.Owner, Lane: string(adas[0].ID), Kind: "test", CreatedAt: h.now}); err != nil {
		t.Fatal(err)
	}
	var copies []integration.Copy
	for i, u := range users {
		copies = append(copies, integration.Copy{
			Event: integration.EventID(fmt.Sprint("evt_c", i)), Integration: u.Integration, Owner: u.Owner,
			Then: job.New{ID: job.NewID(), Owner: u.Owner, Lane: string(u.Integration), Kind: "test", CreatedAt: h.now},
		})
	}
	if _, err := h.db.ReceiveAppEvent(t.Context(), e, copies, 1, 10); err != nil {
		t.Fatal(err)
	}
	state := func(a account.Actor) []job.State {
		var out []job.State
		found, err := h.s.Receipts(t.Context(), a, integration.ReceiptFilter{}, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range found {
			out = append(out, r.State)
		}
		return out
	}
	if diff := cmp.Diff([][]job.State{{integration.Held}, {job.Queued}}, [][]job.State{state(ada), state(bob)}); diff != "" {
		t.Fatal(diff)
	}
	found, _ := h.s.Receipts(t.Context(), ada, integration.ReceiptFilter{State: integration.Held}, 10)
	if _, err := h.s.ReplayReceipt(t.Context(), ada, found[0].ID); err != nil || state(ada)[0] != job.Queued {
		t.Errorf("replayed: %v, %v", state(ada), err)
	}
}

func TestReplayReceipt_IsANewDeliveryOfTheSameEvent(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var deliveries, bodies []string
	h.guests[abi.ExportHandleEvent] = func(_ context.Context, c plugin.Call) (any, error) {
		var in abi.EventInput
		var e abi.WebhookEvent
		err := json.Unmarshal(c.Input, &in)
		if in.Event == abi.EventOnWebhook {
			err = json.Unmarshal(in.Data, &e)
			deliveries, bodies = append(deliveries, in.Delivery.ID), append(bodies, e.Text)
		}
		return abi.EventOutput{}, err
	}
	in := h.enabled(`{"type":"sync"}`)
	if _, err := h.s.Receive(t.Context(), "sync", in.ID, "", h.signed(in, "d1", `{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	found, err := h.s.Receipts(t.Context(), h.ada, integration.ReceiptFilter{}, 10)
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	id := found[0].ID
	if _, err := h.s.ReplayReceipt(t.Context(), h.ada, id); !fault.Is(err, fault.Conflict) {
		t.Errorf("replayed while it waits: %v", err)
	}
	h.work()
	if _, err := h.s.ReplayReceipt(t.Context(), h.bob, id); !fault.Is(err, fault.NotFound) {
		t.Errorf("replayed by somebody else: %v", err)
	}
	jid, err := h.s.ReplayReceipt(t.Context(), h.ada, id)
	if err != nil {
		t.Fatal(err)
	}
	h.work()
	if len(bodies) != 2 || bodies[0] != bodies[1] || deliveries[0] == deliveries[1] || deliveries[1] != string(jid) {
		t.Errorf("worked off %v as %v", bodies, deliveries)
	}
}
