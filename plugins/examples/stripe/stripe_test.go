package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/plugins/examples/stripe/stripeapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/friggtest"
)

func TestManifest_SaysWhatTheProgramDoes(t *testing.T) { friggtest.CheckManifest(t, "manifest.yaml") }

func reply(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }

func TestUpdateCustomer_WritesNestedMetadataAsForm(t *testing.T) {
	var form url.Values
	var path string
	m := friggtest.NewModule(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		form, _ = url.ParseQuery(string(body))
		path = r.URL.Path
		reply(w, stripeapi.Customer{ID: "cus_1"})
	}))
	name := "Ada & Söhne"
	_, err := friggtest.Call(m, stripeapi.UpdateCustomer, stripeapi.CustomerChange{
		ID: "cus_1", Name: &name,
		Metadata: map[string]string{"onboarding": "done", "onboarding_closed_at": ""},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := url.Values{"name": {name}, "metadata[onboarding]": {"done"}, "metadata[onboarding_closed_at]": {""}}
	if diff := cmp.Diff(want, form); diff != "" || path != "/v1/customers/cus_1" {
		t.Errorf("%s %s", path, diff)
	}
}

func TestListCustomers_WalksByTheLastID(t *testing.T) {
	ids := []string{"cus_5", "cus_4", "cus_3", "cus_2", "cus_1"}
	m := friggtest.NewModule(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rest := ids
		for i, id := range ids {
			if id == r.URL.Query().Get("starting_after") {
				rest = ids[i+1:]
			}
		}
		page := rest[:min(2, len(rest))]
		data := []stripeapi.Customer{}
		for _, id := range page {
			data = append(data, stripeapi.Customer{ID: id})
		}
		reply(w, map[string]any{"data": data, "has_more": len(rest) > len(page)})
	}))
	all, err := frigg.Collect(frigg.Each(func(cursor string) (frigg.Page[stripeapi.Customer], error) {
		return friggtest.Call(m, stripeapi.ListCustomers, stripeapi.ListCustomersArgs{Cursor: cursor, Limit: 2})
	}), 100)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, c := range all {
		got = append(got, c.ID)
	}
	if diff := cmp.Diff(ids, got); diff != "" {
		t.Error(diff)
	}
}

func TestGetCustomer_DoesNotFindDeletedOnes(t *testing.T) {
	m := friggtest.NewModule(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{"id": "cus_1", "deleted": true})
	}))
	if _, err := friggtest.Call(m, stripeapi.GetCustomer, stripeapi.CustomerArgs{ID: "cus_1"}); !frigg.Is(err, frigg.KindNotFound) {
		t.Errorf("%v", err)
	}
}

func TestCustomerMethods_RefuseAMissingID(t *testing.T) {
	m := friggtest.NewModule(t, nil)
	if _, err := friggtest.Call(m, stripeapi.GetCustomer, stripeapi.CustomerArgs{}); !frigg.Is(err, frigg.KindInvalid) {
		t.Errorf("get: %v", err)
	}
	if _, err := friggtest.Call(m, stripeapi.UpdateCustomer, stripeapi.CustomerChange{}); !frigg.Is(err, frigg.KindInvalid) {
		t.Errorf("update: %v", err)
	}
}

func TestCreateCustomer_LeavesEmptyFieldsOut(t *testing.T) {
	var body string
	m := friggtest.NewModule(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		body = string(b)
		reply(w, stripeapi.Customer{ID: "cus_1"})
	}))
	if _, err := friggtest.Call(m, stripeapi.CreateCustomer, stripeapi.NewCustomer{Email: "a@b.c"}); err != nil {
		t.Fatal(err)
	}
	if body != "email=a%40b.c" {
		t.Errorf("sent %q", body)
	}
}
