package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/examples/tidepool/tidepoolapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/friggtest"
)

func TestManifest_SaysWhatTheProgramDoes(t *testing.T) { friggtest.CheckManifest(t, "manifest.yaml") }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFetch_ReadsItsSideAndSaysWhereToGoOn(t *testing.T) {
	t.Parallel()
	f := friggtest.NewIntegration(t, struct{}{})
	at := time.Date(2030, 1, 2, 3, 4, 5, 6000, time.UTC)
	var asked tidepoolapi.ListArgs
	friggtest.OnModule(f, "right", tidepoolapi.ListContacts, func(in tidepoolapi.ListArgs) (frigg.Page[tidepoolapi.Contact], error) {
		asked = in
		return frigg.Page[tidepoolapi.Contact]{Items: []tidepoolapi.Contact{{ID: "con_1", Name: "Ada", Email: "ada@example.org", UpdatedAt: at}}, Next: "more"}, nil
	})
	got, err := f.FetchPage(abi.FetchPageInput{Sync: contacts, Side: abi.SyncSideTarget, Mode: abi.SyncModeIncremental, Cursor: "c", Watermark: "w", Limit: 500})
	must(t, err)
	want := abi.FetchPageOutput{
		Records: []abi.SyncRecord{{ExternalID: "con_1", Data: json.RawMessage(`{"name":"Ada","email":"ada@example.org","company":"","phone":""}`)}},
		Cursor:  "more", Watermark: "2030-01-02T03:04:05.000006Z",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(tidepoolapi.ListArgs{Limit: 100, Cursor: "c", UpdatedSince: "w"}, asked); diff != "" {
		t.Error(diff)
	}
}

func TestWrite_OneBadContactDoesNotHoldOthersUp(t *testing.T) {
	t.Parallel()
	f := friggtest.NewIntegration(t, struct{}{})
	friggtest.OnModule(f, "right", tidepoolapi.CreateContact, func(in tidepoolapi.NewContact) (tidepoolapi.Contact, error) {
		if in.Name == "" {
			return tidepoolapi.Contact{}, frigg.Invalid("name: is required")
		}
		return tidepoolapi.Contact{ID: "made by " + in.Key, Name: in.Name}, nil
	})
	friggtest.OnModule(f, "right", tidepoolapi.UpdateContact, func(in tidepoolapi.ContactChange) (tidepoolapi.Contact, error) {
		return tidepoolapi.Contact{ID: in.ID, Name: in.Name}, nil
	})
	got, err := f.WriteBatch(abi.WriteBatchInput{Sync: contacts, Side: abi.SyncSideTarget, Records: []abi.RecordWrite{
		{ExternalID: "a", Op: abi.WriteOpCreate, Data: json.RawMessage(`{"name":""}`), Key: "k1"},
		{ExternalID: "b", Op: abi.WriteOpCreate, Data: json.RawMessage(`{"name":"Bob"}`), Key: "k2"},
		{ExternalID: "c", Op: abi.WriteOpUpdate, TargetID: "there", Data: json.RawMessage(`{"name":"Cy"}`), Key: "k3"},
		{ExternalID: "d", Op: abi.WriteOpDelete, TargetID: "gone", Key: "k4"},
	}})
	must(t, err)
	kept := func(name string) json.RawMessage {
		return json.RawMessage(`{"name":"` + name + `","email":"","company":"","phone":""}`)
	}
	want := abi.WriteBatchOutput{Results: []abi.RecordResult{
		{ExternalID: "a", Failure: "name: is required"},
		{ExternalID: "b", TargetID: "made by k2", Data: kept("Bob")},
		{ExternalID: "c", TargetID: "there", Data: kept("Cy")},
		{ExternalID: "d", Skipped: true},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWrite_ARateLimitPutsTheBatchOff(t *testing.T) {
	t.Parallel()
	f := friggtest.NewIntegration(t, struct{}{})
	friggtest.OnModule(f, "right", tidepoolapi.CreateContact, func(tidepoolapi.NewContact) (tidepoolapi.Contact, error) {
		return tidepoolapi.Contact{}, frigg.RetryAfter(time.Minute, nil)
	})
	_, err := f.WriteBatch(abi.WriteBatchInput{Sync: contacts, Side: abi.SyncSideTarget, Records: []abi.RecordWrite{{ExternalID: "a", Op: abi.WriteOpCreate, Data: json.RawMessage(`{}`)}}})
	if !frigg.Is(err, frigg.KindRateLimited) {
		t.Errorf("got %v", err)
	}
}

func TestSync_StartsWhenConnectedAndOnRequest(t *testing.T) {
	t.Parallel()
	f := friggtest.NewIntegration(t, struct{}{})
	must(t, f.Deliver("ON_CREATE", nil))
	got, err := friggtest.Act[started](f, "SYNC_NOW", nil)
	must(t, err)
	if diff := cmp.Diff([]string{contacts, contacts}, f.Syncs); diff != "" || got.Process != "prc_2" {
		t.Errorf("%+v %s", got, diff)
	}
}
