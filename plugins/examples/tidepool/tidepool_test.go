package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/plugins/examples/tidepool/tidepoolapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/friggtest"
)

func TestManifest_SaysWhatTheProgramDoes(t *testing.T) { friggtest.CheckManifest(t, "manifest.yaml") }

func TestListContacts_WalksByCursor(t *testing.T) {
	pages := map[string]string{"": `{"data":[{"id":"con_1"},{"id":"con_2"}],"next_cursor":"abc"}`, "abc": `{"data":[{"id":"con_3"}],"next_cursor":""}`}
	m := friggtest.NewModule(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, pages[r.URL.Query().Get("cursor")])
	}))
	all, err := frigg.Collect(frigg.Each(func(cursor string) (frigg.Page[tidepoolapi.Contact], error) {
		return friggtest.Call(m, tidepoolapi.ListContacts, tidepoolapi.ListArgs{Cursor: cursor})
	}), 10)
	if err != nil || len(all) != 3 || all[2].ID != "con_3" {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestCreateTask_SendsItsKeyAsHeader(t *testing.T) {
	var body map[string]any
	var key string
	m := friggtest.NewModule(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key = r.Header.Get("Idempotency-Key")
		_ = json.NewDecoder(r.Body).Decode(&body)
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"id":"task_1"}`)
	}))
	task, err := friggtest.Call(m, tidepoolapi.CreateTask, tidepoolapi.NewTask{Title: "Hello", ContactID: "con_1", Key: "k1"})
	if err != nil || task.ID != "task_1" || key != "k1" {
		t.Fatalf("%+v, %v, key %q", task, err, key)
	}
	if diff := cmp.Diff(map[string]any{"title": "Hello", "contact_id": "con_1"}, body); diff != "" {
		t.Error(diff)
	}
}

func TestCreateWebhook_LeavesOneHookForAnAddress(t *testing.T) {
	hooks := map[string]string{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/webhooks", func(w http.ResponseWriter, _ *http.Request) {
		data := []tidepoolapi.Webhook{}
		for id, url := range hooks {
			data = append(data, tidepoolapi.Webhook{ID: id, URL: url})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": data, "next_cursor": ""})
	})
	mux.HandleFunc("POST /api/v1/webhooks", func(w http.ResponseWriter, r *http.Request) {
		var in tidepoolapi.NewWebhook
		_ = json.NewDecoder(r.Body).Decode(&in)
		id := strings.Repeat("x", len(hooks)+1)
		hooks[id] = in.URL
		_ = json.NewEncoder(w).Encode(tidepoolapi.Webhook{ID: id})
	})
	mux.HandleFunc("DELETE /api/v1/webhooks/{id}", func(w http.ResponseWriter, r *http.Request) {
		delete(hooks, r.PathValue("id"))
		w.WriteHeader(http.StatusNoContent)
	})
	m := friggtest.NewModule(t, mux)
	for range 2 {
		in := tidepoolapi.NewWebhook{URL: "https://host.example/hook", Events: []string{"deal.won"}, Secret: "handle"}
		if _, err := friggtest.Call(m, tidepoolapi.CreateWebhook, in); err != nil {
			t.Fatal(err)
		}
	}
	if len(hooks) != 1 {
		t.Errorf("hooks: %v", hooks)
	}
}

func TestDeleteWebhook_IsFineWhenItIsGone(t *testing.T) {
	m := friggtest.NewModule(t, http.NotFoundHandler())
	if _, err := friggtest.Call(m, tidepoolapi.DeleteWebhook, tidepoolapi.WebhookArgs{ID: "wh_1"}); err != nil {
		t.Error(err)
	}
}
