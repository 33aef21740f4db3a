package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/store"
)

func runIntegration(t *testing.T, open func(t *testing.T) *store.DB) {
	for name, test := range map[string]func(*testing.T, *store.DB){
		"WhatIsSavedIsRead":              integrationRoundTrip,
		"ForeignIsNotFound":              integrationForeign,
		"CreateIsAllOrNothing":           integrationCreateAllOrNothing,
		"AStaleChangeIsRefused":          integrationStale,
		"ARedeliveryIsOneEvent":          integrationRedelivery,
		"MappingsAreAllOrNothing":        integrationMappings,
		"KeysAreListedInOrder":           integrationKeys,
		"SettleChangesRecordAndJob":      integrationSettle,
		"SettleOfALostClaimIsNothing":    integrationSettleLost,
		"RemoveTakesEverythingAlong":     integrationRemove,
		"MessagesAreBounded":             integrationMessages,
		"ChangesMakeWaitingJobsDue":      integrationDue,
		"WebhookSecretsAreKept":          integrationWebhookSecrets,
		"SubscriptionsAreKept":           integrationSubscription,
		"AnEqualBodyIsNewAfterItsWindow": integrationWindow,
		"AnEntityInUseCannotBeDestroyed": integrationEntityInUse,
		"StorageAndQueueAreBounded":      integrationBounds,
		"BornByTheCompletenessOfTheRow":  integrationBorn,
		"ErrorOnlyWhileRefused":          integrationRefused,
		"OldEventsGoWhenTheirWorkIsDone": integrationPrune,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, open(t)) })
	}
}

const (
	ownerA = account.Owner("usr_ada")
	ownerB = account.Owner("usr_bob")
)

// connected saves an account of the owner.
func connected(t *testing.T, db *store.DB, o account.Owner) connection.EntityID {
	t.Helper()
	u := &account.User{ID: account.ID(o), Kind: account.Individual, CreatedAt: noon}
	if err := db.CreateUser(t.Context(), nil, u); err != nil && !fault.Is(err, fault.Conflict) {
		t.Fatal(err)
	}
	c := &connection.Credential{ID: connection.NewCredentialID(), Owner: o, Module: "crm", Status: connection.OK, Sealed: "v1.x.y", CreatedAt: noon, UpdatedAt: noon}
	e := &connection.Entity{ID: connection.NewEntityID(), Owner: o, Module: "crm", Credential: c.ID, ExternalID: fmt.Sprint(c.ID), Name: "A", CreatedAt: noon, UpdatedAt: noon}
	saved, err := db.CompleteAuthorization(t.Context(), c, []*connection.Entity{e}, noon.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return saved[0].ID
}

func newIntegration(t *testing.T, db *store.DB, o account.Owner) *integration.Integration {
	t.Helper()
	return &integration.Integration{
		ID: integration.NewID(), Owner: o, Plugin: "sync", Version: "1.0.0", Status: abi.StatusEnabled,
		Config: json.RawMessage(`{"a":1}`), Complete: true, Members: []integration.Member{{Role: "crm", Entity: connected(t, db, o)}},
		CreatedAt: noon, UpdatedAt: noon,
	}
}

func jobFor(in *integration.Integration) job.New {
	return job.New{ID: job.NewID(), Owner: in.Owner, Lane: string(in.ID), Kind: "test", CreatedAt: noon}
}

func created(t *testing.T, db *store.DB, o account.Owner) *integration.Integration {
	t.Helper()
	in := newIntegration(t, db, o)
	if err := db.CreateIntegration(t.Context(), in, jobFor(in)); err != nil {
		t.Fatal(err)
	}
	return in
}

func integrationRoundTrip(t *testing.T, db *store.DB) {
	in := created(t, db, ownerA)
	got, err := db.IntegrationByID(t.Context(), ownerA, in.ID)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprintf("%+v", *got) != fmt.Sprintf("%+v", *in) {
		t.Errorf("read  %+v\nsaved %+v", *got, *in)
	}
	if jobs, err := db.Jobs(t.Context(), ownerA, []job.State{job.Queued}, "", 10); err != nil || len(jobs) != 1 {
		t.Errorf("%d jobs, %v", len(jobs), err)
	}
}

// integrationForeign walks every method with an owner.
func integrationForeign(t *testing.T, db *store.DB) {
	ctx := t.Context()
	in := created(t, db, ownerA)
	e := &integration.Event{ID: "evt_1", Integration: in.ID, Owner: ownerA, Webhook: "w", Dedupe: "d", ReceivedAt: noon}
	if _, err := db.ReceiveEvent(ctx, e, jobFor(in), 100); err != nil {
		t.Fatal(err)
	}
	m := []integration.Mapping{{Set: "s", SourceID: "1", Value: json.RawMessage(`1`)}}
	if _, err := db.PutMappings(ctx, ownerA, in.ID, m, false, 1<<20, noon); err != nil {
		t.Fatal(err)
	}
	if err := db.PutValue(ctx, ownerA, in.ID, "k", json.RawMessage(`1`), 1<<20, noon); err != nil {
		t.Fatal(err)
	}
	own := integration.HookSecret{ID: "whs_1", Webhook: "w", Origin: integration.FromHost, Sealed: "sealed", CreatedAt: noon}
	if err := db.KeepWebhookSecret(ctx, ownerA, in.ID, own, 0); err != nil {
		t.Fatal(err)
	}
	sub := &integration.HookSubscription{Integration: in.ID, Owner: ownerA, Webhook: "w", State: integration.Subscribed, VendorID: "v", Token: "t", UpdatedAt: noon}
	if err := db.PutSubscription(ctx, sub); err != nil {
		t.Fatal(err)
	}
	foreign := func(o account.Owner) map[string]error {
		errs := map[string]error{}
		_, errs["SubscriptionOf"] = db.SubscriptionOf(ctx, o, in.ID, "w")
		theirs := *sub
		theirs.Owner = o
		errs["PutSubscription"] = db.PutSubscription(ctx, &theirs)
		errs["DropSubscription"] = db.DropSubscription(ctx, o, in.ID, "none")
		_, errs["IntegrationByID"] = db.IntegrationByID(ctx, o, in.ID)
		other := *in
		other.Owner, other.Status = o, abi.StatusDisabled
		errs["SaveIntegration"] = db.SaveIntegration(ctx, &other, nil, nil)
		_, errs["EventByID"] = db.EventByID(ctx, o, e.ID)
		_, errs["ReceiptByID"] = db.ReceiptByID(ctx, o, e.ID)
		errs["ReplayEvent"] = db.ReplayEvent(ctx, o, e.ID, job.New{ID: job.NewID(), Owner: ownerA, Lane: "l", Kind: "k", CreatedAt: noon})
		event := *e
		event.ID, event.Dedupe, event.Owner = "evt_2", "d2", o
		_, errs["ReceiveEvent"] = db.ReceiveEvent(ctx, &event, job.New{ID: job.NewID(), Owner: ownerA, Lane: "l", Kind: "k", CreatedAt: noon}, 100)
		_, errs["MappingBySource"] = db.MappingBySource(ctx, o, in.ID, "s", "1")
		_, errs["PutMappings"] = db.PutMappings(ctx, o, in.ID, m, false, 1<<20, noon)
		errs["DeleteMapping"] = db.DeleteMapping(ctx, o, in.ID, "s", "1")
		_, errs["StoredValue"] = db.StoredValue(ctx, o, in.ID, "k")
		errs["PutValue"] = db.PutValue(ctx, o, in.ID, "k", json.RawMessage(`2`), 1<<20, noon)
		errs["DeleteValue"] = db.DeleteValue(ctx, o, in.ID, "k")
		errs["AppendMessages"] = db.AppendMessages(ctx, o, in.ID, []integration.Message{{Level: abi.MessageLevelInfo, Title: "t", At: noon}})
		errs["KeepWebhookSecret"] = db.KeepWebhookSecret(ctx, o, in.ID, own, 0)
		_, errs["EnqueueFor"] = db.EnqueueFor(ctx, o, in.ID, []job.New{jobFor(in)}, 10)
		return errs
	}
	for _, o := range []account.Owner{ownerB, ""} {
		for name, err := range foreign(o) {
			if !fault.Is(err, fault.NotFound) {
				t.Errorf("%s of %q: %v, want not found", name, o, err)
			}
		}
		if all, err := db.Integrations(ctx, o); err != nil || len(all) != 0 {
			t.Errorf("Integrations of %q: %d, %v", o, len(all), err)
		}
		if n, err := db.CountIntegrations(ctx, o, "sync"); err != nil || n != 0 {
			t.Errorf("CountIntegrations of %q: %d, %v", o, n, err)
		}
		if all, err := db.IntegrationsWith(ctx, o, in.Members[0].Entity); err != nil || len(all) != 0 {
			t.Errorf("IntegrationsWith of %q: %d, %v", o, len(all), err)
		}
		if all, err := db.MessagesOf(ctx, o, in.ID); err != nil || len(all) != 0 {
			t.Errorf("MessagesOf of %q: %d, %v", o, len(all), err)
		}
		if all, err := db.Receipts(ctx, o, integration.ReceiptFilter{Integration: in.ID}, 10); err != nil || len(all) != 0 {
			t.Errorf("Receipts of %q: %d, %v", o, len(all), err)
		}
		if all, err := db.SubscriptionsOf(ctx, o, in.ID); err != nil || len(all) != 0 {
			t.Errorf("SubscriptionsOf of %q: %d, %v", o, len(all), err)
		}
		if all, err := db.WebhookSecrets(ctx, o, in.ID, "w"); err != nil || len(all) != 0 {
			t.Errorf("WebhookSecrets of %q: %d, %v", o, len(all), err)
		}
		if all, err := db.Mappings(ctx, o, in.ID, "s", "", 10); err != nil || len(all) != 0 {
			t.Errorf("Mappings of %q: %d, %v", o, len(all), err)
		}
		if all, err := db.ValueKeys(ctx, o, in.ID, "", "", 10); err != nil || len(all) != 0 {
			t.Errorf("ValueKeys of %q: %d, %v", o, len(all), err)
		}
	}
	for name, err := range foreign(ownerA) {
		if err != nil && name != "SaveIntegration" && name != "ReplayEvent" { // it was changed meanwhile; its job waits
			t.Errorf("%s of the owner: %v", name, err)
		}
	}
}

func integrationCreateAllOrNothing(t *testing.T, db *store.DB) {
	in := newIntegration(t, db, ownerA)
	in.Members[0].Entity = connected(t, db, ownerB)
	if err := db.CreateIntegration(t.Context(), in, jobFor(in)); !fault.Is(err, fault.NotFound) {
		t.Fatalf("with somebody else's entity: %v, want not found", err)
	}
	if _, err := db.IntegrationByID(t.Context(), ownerA, in.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("half a record is left: %v", err)
	}
	if jobs, _ := db.Jobs(t.Context(), ownerA, []job.State{job.Queued}, "", 10); len(jobs) != 0 {
		t.Errorf("%d jobs are left", len(jobs))
	}
}

func integrationStale(t *testing.T, db *store.DB) {
	in := created(t, db, ownerA)
	stale := *in
	in.Status = abi.StatusDisabled
	if err := db.SaveIntegration(t.Context(), in, nil, nil); err != nil {
		t.Fatal(err)
	}
	then := jobFor(in)
	stale.Config = json.RawMessage(`{}`)
	if err := db.SaveIntegration(t.Context(), &stale, nil, &then); !fault.Is(err, fault.Conflict) {
		t.Errorf("a stale change: %v, want conflict", err)
	}
	got, err := db.IntegrationByID(t.Context(), ownerA, in.ID)
	if err != nil || got.Status != abi.StatusDisabled || string(got.Config) != `{"a":1}` || got.Revision != 1 {
		t.Errorf("read %+v, %v", got, err)
	}
}

func integrationRedelivery(t *testing.T, db *store.DB) {
	in := created(t, db, ownerA)
	for i, want := range []bool{false, true, true} {
		e := &integration.Event{
			ID: integration.EventID(fmt.Sprint("evt_", i)), Integration: in.ID, Owner: ownerA, Webhook: "w", Dedupe: "same",
			Data: abi.WebhookEvent{Webhook: "w", Text: "body"}, ReceivedAt: noon,
		}
		existed, err := db.ReceiveEvent(t.Context(), e, jobFor(in), 100)
		if err != nil || existed != want {
			t.Errorf("delivery %d: existed %v, %v", i, existed, err)
		}
	}
	if jobs, _ := db.Jobs(t.Context(), ownerA, []job.State{job.Queued}, "", 10); len(jobs) != 2 { // ON_CREATE and one event
		t.Errorf("%d jobs", len(jobs))
	}
	e, err := db.EventByID(t.Context(), ownerA, "evt_0")
	if err != nil || e.Data.Text != "body" || !e.ReceivedAt.Equal(noon) {
		t.Errorf("event %+v, %v", e, err)
	}
}

func integrationMappings(t *testing.T, db *store.DB) {
	in := created(t, db, ownerA)
	put := func(ifAbsent bool, entries ...integration.Mapping) bool {
		t.Helper()
		stored, err := db.PutMappings(t.Context(), ownerA, in.ID, entries, ifAbsent, 1<<20, noon)
		if err != nil {
			t.Fatal(err)
		}
		return stored
	}
	one, two := integration.Mapping{Set: "s", SourceID: "1", Value: json.RawMessage(`"a"`)}, integration.Mapping{Set: "s", SourceID: "2", Value: json.RawMessage(`"b"`)}
	if !put(true, one) {
		t.Error("the first claim failed")
	}
	if put(true, two, one) {
		t.Error("a claim of something taken succeeded")
	}
	if _, err := db.MappingBySource(t.Context(), ownerA, in.ID, "s", "2"); !fault.Is(err, fault.NotFound) {
		t.Errorf("half a claim is left: %v", err)
	}
	one.Value = json.RawMessage(`"c"`)
	if !put(false, one, two) {
		t.Error("overwriting failed")
	}
	all, err := db.Mappings(t.Context(), ownerA, in.ID, "s", "", 10)
	if err != nil || len(all) != 2 || string(all[0].Value) != `"c"` || all[1].SourceID != "2" {
		t.Errorf("%v, %v", all, err)
	}
	if err := db.DeleteMapping(t.Context(), ownerA, in.ID, "s", "1"); err != nil {
		t.Error(err)
	}
	if all, _ := db.Mappings(t.Context(), ownerA, in.ID, "s", "", 10); len(all) != 1 {
		t.Errorf("%d left", len(all))
	}
}

func integrationKeys(t *testing.T, db *store.DB) {
	in := created(t, db, ownerA)
	for _, k := range []string{"b/2", "a/1", "b/1", "b%", "B/1"} {
		if err := db.PutValue(t.Context(), ownerA, in.ID, k, json.RawMessage(`1`), 1<<20, noon); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		prefix, after string
		limit         int
		want          string
	}{
		{"", "", 10, "[B/1 a/1 b% b/1 b/2]"}, {"b/", "", 10, "[b/1 b/2]"}, {"b/", "b/1", 10, "[b/2]"}, {"", "", 2, "[B/1 a/1]"}, {"b%", "", 10, "[b%]"},
	} {
		keys, err := db.ValueKeys(t.Context(), ownerA, in.ID, row.prefix, row.after, row.limit)
		if err != nil || fmt.Sprint(keys) != row.want {
			t.Errorf("prefix %q after %q: %v, %v, want %s", row.prefix, row.after, keys, err, row.want)
		}
	}
}

func integrationSettle(t *testing.T, db *store.DB) {
	in := created(t, db, ownerA)
	j := claim(t, db, 1)[0]
	settle(t, db, j, job.Settlement{State: job.Halted, Error: "no", With: &integration.Settled{
		Owner: ownerA, Integration: in.ID, Status: abi.StatusError,
		From: []abi.Status{abi.StatusEnabled}, Messages: []integration.Message{{Level: abi.MessageLevelError, Title: "no", At: noon}},
	}})
	got, err := db.IntegrationByID(t.Context(), ownerA, in.ID)
	if err != nil || got.Status != abi.StatusError {
		t.Errorf("record %+v, %v", got, err)
	}
	if messages, _ := db.MessagesOf(t.Context(), ownerA, in.ID); len(messages) != 1 || messages[0].Title != "no" {
		t.Errorf("messages %v", messages)
	}
}

func integrationBorn(t *testing.T, db *store.DB) {
	in := newIntegration(t, db, ownerA)
	in.Status, in.Complete = abi.StatusInCreation, false
	if err := db.CreateIntegration(t.Context(), in, jobFor(in)); err != nil {
		t.Fatal(err)
	}
	j := claim(t, db, 1)[0]
	in.Complete = true // a person configures it while ON_CREATE runs
	if err := db.SaveIntegration(t.Context(), in, nil, nil); err != nil {
		t.Fatal(err)
	}
	settle(t, db, j, job.Settlement{State: job.Done, With: &integration.Settled{
		Owner: ownerA, Integration: in.ID, Born: true,
		From: []abi.Status{abi.StatusInCreation},
	}})
	if got, err := db.IntegrationByID(t.Context(), ownerA, in.ID); err != nil || got.Status != abi.StatusEnabled {
		t.Errorf("born %+v, %v", got, err)
	}
}

func integrationRefused(t *testing.T, db *store.DB) {
	in := created(t, db, ownerA)
	with := &integration.Settled{Owner: ownerA, Integration: in.ID, Status: abi.StatusError, From: []abi.Status{abi.StatusEnabled}, IfRefused: true}
	settle(t, db, claim(t, db, 1)[0], job.Settlement{State: job.Queued, RunAt: noon, Free: true, With: with})
	if got, _ := db.IntegrationByID(t.Context(), ownerA, in.ID); got.Status != abi.StatusEnabled {
		t.Errorf("%s although the credential is good", got.Status)
	}
	e, c, err := db.Connection(t.Context(), ownerA, in.Members[0].Entity)
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := db.InvalidateCredential(t.Context(), c, "", noon); err != nil || !changed {
		t.Fatalf("credential of %s: changed %v, %v", e.ID, changed, err)
	}
	settle(t, db, claim(t, db, 1)[0], job.Settlement{State: job.Queued, RunAt: noon, Free: true, With: with})
	if got, _ := db.IntegrationByID(t.Context(), ownerA, in.ID); got.Status != abi.StatusError {
		t.Errorf("%s although the credential is refused", got.Status)
	}
}

func integrationSettleLost(t *testing.T, db *store.DB) {
	in := created(t, db, ownerA)
	j := claim(t, db, 1)[0]
	with := &integration.Settled{Owner: ownerA, Integration: in.ID, Remove: true}
	if err := db.SettleJob(t.Context(), j.ID, j.Epoch+1, noon, job.Settlement{State: job.Done, With: with}); !fault.Is(err, fault.Conflict) {
		t.Errorf("a lost claim: %v, want conflict", err)
	}
	if _, err := db.IntegrationByID(t.Context(), ownerA, in.ID); err != nil {
		t.Errorf("the record was changed by a lost claim: %v", err)
	}
}

func integrationRemove(t *testing.T, db *store.DB) {
	in, other := created(t, db, ownerA), created(t, db, ownerA)
	if err := db.PutValue(t.Context(), ownerA, in.ID, "k", json.RawMessage(`1`), 1<<20, noon); err != nil {
		t.Fatal(err)
	}
	j := claim(t, db, 1)[0]
	if _, err := db.EnqueueFor(t.Context(), ownerA, in.ID, []job.New{jobFor(in)}, 10); err != nil {
		t.Fatal(err)
	}
	settle(t, db, j, job.Settlement{State: job.Done, With: &integration.Settled{Owner: ownerA, Integration: in.ID, Remove: true}})
	all, err := db.Integrations(t.Context(), ownerA)
	if err != nil || len(all) != 1 || all[0].ID != other.ID {
		t.Errorf("left %v, %v", all, err)
	}
	if jobs, _ := db.Jobs(t.Context(), ownerA, []job.State{job.Queued}, "", 10); len(jobs) != 1 || jobs[0].Lane != string(other.ID) {
		t.Errorf("left jobs %v", ids(jobs))
	}
}

func integrationMessages(t *testing.T, db *store.DB) {
	in := created(t, db, ownerA)
	for i := range 130 {
		note := []integration.Message{{Level: abi.MessageLevelInfo, Title: fmt.Sprint(i), At: noon}}
		if i == 0 {
			note = append(note, integration.Message{Level: abi.MessageLevelError, Title: "kept", At: noon})
		}
		if err := db.SaveIntegration(t.Context(), in, note, nil); err != nil {
			t.Fatal(err)
		}
	}
	messages, err := db.MessagesOf(t.Context(), ownerA, in.ID)
	if err != nil || len(messages) != 101 || messages[0].Title != "kept" || messages[1].Title != "30" || messages[100].Title != "129" {
		t.Errorf("%d messages, first %+v, %v", len(messages), messages[:2], err)
	}
}

func integrationDue(t *testing.T, db *store.DB) {
	in := created(t, db, ownerA)
	j := claim(t, db, 1)[0]
	settle(t, db, j, job.Settlement{State: job.Queued, RunAt: noon.Add(time.Hour), Free: true})
	if jobs := claim(t, db, 1); len(jobs) != 0 {
		t.Fatalf("due before its time: %v", ids(jobs))
	}
	save := func(s abi.Status) {
		t.Helper()
		in.Status = s
		if err := db.SaveIntegration(t.Context(), in, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	save(abi.StatusEnabled)
	save(abi.StatusError)
	if jobs := claim(t, db, 1); len(jobs) != 0 {
		t.Errorf("due although the record does not work any better: %v", ids(jobs))
	}
	save(abi.StatusEnabled)
	again := claim(t, db, 1)
	if len(again) != 1 {
		t.Fatal("a job that was put aside is not due when the record works again")
	}
	settle(t, db, again[0], job.Settlement{State: job.Queued, RunAt: noon.Add(time.Hour), Free: true, Asleep: true})
	save(abi.StatusError)
	save(abi.StatusEnabled)
	if jobs := claim(t, db, 1); len(jobs) != 0 {
		t.Error("a change of the record woke a job that sleeps until a time")
	}
}

func integrationWebhookSecrets(t *testing.T, db *store.DB) {
	in := created(t, db, ownerA)
	keep := func(id integration.HookSecretID, origin integration.SecretOrigin, n int) {
		t.Helper()
		one := integration.HookSecret{ID: id, Webhook: "w", Origin: origin, Sealed: "sealed " + string(id), CreatedAt: noon}
		if err := db.KeepWebhookSecret(t.Context(), ownerA, in.ID, one, n); err != nil {
			t.Fatal(err)
		}
	}
	keep("whs_1", integration.FromHost, 0)
	keep("whs_2", integration.FromHost, 0) // there is one
	for _, id := range []integration.HookSecretID{"whs_3", "whs_4", "whs_5"} {
		keep(id, integration.FromVendor, 2)
	}
	var got []string
	all, err := db.WebhookSecrets(t.Context(), ownerA, in.ID, "w")
	for _, one := range all {
		got = append(got, fmt.Sprint(one.Origin, " ", one.Sealed))
	}
	if want := "[vendor sealed whs_5 vendor sealed whs_4 host sealed whs_1]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("kept %v, %v, want %s", got, err, want)
	}
	if all, err := db.WebhookSecrets(t.Context(), ownerA, in.ID, "other"); err != nil || len(all) != 0 {
		t.Errorf("another webhook has %v, %v", all, err)
	}
}

func integrationSubscription(t *testing.T, db *store.DB) {
	in := created(t, db, ownerA)
	unsubscribed := func(want int, now time.Time) {
		t.Helper()
		found, err := db.Unsubscribed(t.Context(), "sync", "crm", "w", now, 10)
		if err != nil || len(found) != want {
			t.Errorf("%d records lack a subscription, %v, want %d", len(found), err, want)
		}
	}
	unsubscribed(1, noon)
	want := &integration.HookSubscription{
		Integration: in.ID, Owner: ownerA, Webhook: "w", State: integration.Subscribed, VendorID: "v", Token: "t", Pending: "p", Previous: "q",
		ExpiresAt: noon.Add(time.Hour), DueAt: noon.Add(time.Minute), Problem: "none", UpdatedAt: noon,
	}
	for range 2 {
		if err := db.PutSubscription(t.Context(), want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := db.SubscriptionOf(t.Context(), ownerA, in.ID, "w")
	if err != nil || *got != *want {
		t.Errorf("read  %+v, %v\nsaved %+v", got, err, want)
	}
	unsubscribed(0, noon)
	unsubscribed(1, noon.Add(time.Minute))
	n := jobFor(in)
	n.UniqueKey = "subscribe|" + string(in.ID) + "|w"
	if _, err := db.ReceiveEvent(t.Context(), &integration.Event{ID: "evt_1", Integration: in.ID, Owner: ownerA, Webhook: "w", Dedupe: "d", ReceivedAt: noon}, n, 100); err != nil {
		t.Fatal(err)
	}
	unsubscribed(0, noon.Add(time.Minute)) // it has a job
	settle(t, db, claim(t, db, 1)[0], job.Settlement{State: job.Done, With: &integration.Settled{Owner: ownerA, Integration: in.ID, Remove: true}})
	late := &integration.SettledSubscription{Subscription: *want}
	created(t, db, ownerA)
	settle(t, db, claim(t, db, 1)[0], job.Settlement{State: job.Done, With: late}) // of a record that is gone
}

// integrationWindow takes an equal body again once its window is over.
func integrationWindow(t *testing.T, db *store.DB) {
	in := created(t, db, ownerA)
	for i, row := range []struct {
		minutes int
		existed bool
	}{{0, false}, {30, true}, {61, false}, {62, true}} {
		now := noon.Add(time.Duration(row.minutes) * time.Minute)
		e := &integration.Event{
			ID: integration.EventID(fmt.Sprint("evt_", i)), Integration: in.ID, Owner: ownerA, Webhook: "w",
			Dedupe: "body:ab", DedupeSince: now.Add(-time.Hour), ReceivedAt: now,
		}
		if existed, err := db.ReceiveEvent(t.Context(), e, jobFor(in), 100); err != nil || existed != row.existed {
			t.Errorf("after %d minutes: existed %v, %v", row.minutes, existed, err)
		}
	}
}

func integrationEntityInUse(t *testing.T, db *store.DB) {
	in := created(t, db, ownerA)
	if _, err := db.RemoveEntity(t.Context(), ownerA, in.Members[0].Entity, noon); !fault.Is(err, fault.Conflict) {
		t.Errorf("removing an entity in use: %v, want conflict", err)
	}
	if _, err := db.EntityByID(t.Context(), ownerA, in.Members[0].Entity); err != nil {
		t.Errorf("the entity is gone: %v", err)
	}
}

func integrationBounds(t *testing.T, db *store.DB) {
	in := created(t, db, ownerA)
	long := json.RawMessage(`"` + strings.Repeat("x", 50) + `"`)
	if err := db.PutValue(t.Context(), ownerA, in.ID, "a", long, 160, noon); err != nil {
		t.Fatal(err)
	}
	if err := db.PutValue(t.Context(), ownerA, in.ID, "b", long, 160, noon); !fault.Is(err, fault.TooLarge) {
		t.Errorf("over the bound: %v, want too large", err)
	}
	if _, err := db.StoredValue(t.Context(), ownerA, in.ID, "b"); !fault.Is(err, fault.NotFound) {
		t.Errorf("the refused value is there: %v", err)
	}
	if err := errors.Join(db.PutValue(t.Context(), ownerA, in.ID, "a", long, 160, noon), db.DeleteValue(t.Context(), ownerA, in.ID, "a"),
		db.PutValue(t.Context(), ownerA, in.ID, "b", long, 160, noon)); err != nil {
		t.Errorf("what was replaced and deleted still counts: %v", err)
	}
	m := integration.Mapping{SourceID: "1", Value: long}
	put := func(m integration.Mapping) error {
		_, err := db.PutMappings(t.Context(), ownerA, in.ID, []integration.Mapping{m}, false, 160, noon)
		return err
	}
	other := m
	other.SourceID = "2"
	if err := errors.Join(put(m), put(m), db.DeleteMapping(t.Context(), ownerA, in.ID, "", "1"), put(other)); err != nil {
		t.Errorf("what was replaced and deleted still counts: %v", err)
	}
	if err := put(m); !fault.Is(err, fault.TooLarge) {
		t.Errorf("mappings over the bound: %v, want too large", err)
	}
	enqueue := func(key string) (bool, error) {
		n := jobFor(in)
		n.UniqueKey = key
		done, err := db.EnqueueFor(t.Context(), ownerA, in.ID, []job.New{n}, 2)
		return err == nil && done[0].Existed, err
	}
	for _, key := range []string{"1", "2"} {
		if _, err := enqueue(key); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := enqueue("3"); !fault.Is(err, fault.Exhausted) {
		t.Errorf("over the bound: %v, want exhausted", err)
	}
	if existed, err := enqueue("2"); err != nil || !existed {
		t.Errorf("what waits already: existed %v, %v", existed, err)
	}
	e := &integration.Event{ID: "evt_1", Integration: in.ID, Owner: ownerA, Webhook: "w", Dedupe: "d", ReceivedAt: noon}
	if _, err := db.ReceiveEvent(t.Context(), e, jobFor(in), 3); !fault.Is(err, fault.RateLimited) || fault.RetryAfterOf(err) == 0 {
		t.Errorf("a vendor over the bound: %v, want rate limited", err)
	}
	if _, err := db.EventByID(t.Context(), ownerA, e.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("the refused event is there: %v", err)
	}
}

func integrationPrune(t *testing.T, db *store.DB) {
	in := created(t, db, ownerA)
	e := &integration.Event{ID: "evt_1", Integration: in.ID, Owner: ownerA, Webhook: "w", Dedupe: "d", ReceivedAt: noon}
	if _, err := db.ReceiveEvent(t.Context(), e, jobFor(in), 100); err != nil {
		t.Fatal(err)
	}
	prune := func(before time.Time, want int) {
		t.Helper()
		if n, err := db.PruneEvents(t.Context(), before, 10); err != nil || n != want {
			t.Errorf("pruned %d, want %d, %v", n, want, err)
		}
	}
	prune(noon.Add(time.Hour), 0) // its work waits
	for range 2 {
		settle(t, db, claim(t, db, 1)[0], job.Settlement{State: job.Done})
	}
	prune(noon, 0) // not old enough
	prune(noon.Add(time.Hour), 1)
}
