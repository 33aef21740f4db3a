package host_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/frigg-host/frigg-host/host"
	"github.com/frigg-host/frigg-host/host/api"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/frigg-host/frigg-host/host/testdata/guests"
)

// deliver sends an event as the vendor does, and returns the status of the answer.
func (r *rig) deliver(path, key, id, body string) int {
	r.t.Helper()
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(body))
	q, err := http.NewRequest(http.MethodPost, r.url+path, bytes.NewReader([]byte(body)))
	must(r.t, err)
	q.Header.Set("x-signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	q.Header.Set("x-delivery", id)
	res, err := http.DefaultClient.Do(q)
	must(r.t, err)
	must(r.t, res.Body.Close())
	return res.StatusCode
}

func TestWebhooks_TheHostSubscribesTakesEventsOfBothAddressesAndEndsIt(t *testing.T) {
	t.Parallel()
	r := newRig(t, map[string][]byte{
		"probe-key.wasm": guests.Plugin(t, "probe", "subscribed.yaml", ""), "flow.wasm": guests.Plugin(t, "flow", "subscribed.yaml", ""),
	}, nil)
	must(t, r.host.Plugins.SetSetting(context.Background(), "probe-key", "signing", secret.NewText("app-key")))
	ada := r.user("ada", "correct horse battery staple")
	id := ada.keyFlow(nil)
	at := "/api/v2/integrations/" + string(id) + "/webhooks"
	var hooks api.WebhookList
	r.await("the subscription is active", func() bool {
		ada.mustDo(http.StatusOK, http.MethodGet, at, nil, &hooks)
		return len(hooks.Webhooks) == 2 && hooks.Webhooks[0].Subscription != nil && hooks.Webhooks[0].Subscription.State == "active"
	})
	if got := hooks.Webhooks[0].Subscription.VendorID; got != "sub-1" {
		t.Errorf("subscribed as %q", got)
	}
	asked := r.vendor.log("/hooks")
	if len(asked) != 1 {
		t.Fatalf("the vendor was asked %d times", len(asked))
	}
	var told struct {
		URL, Secret string
		Topics      []string
	}
	must(t, json.Unmarshal([]byte(asked[0].Body), &told))
	u, err := url.Parse(told.URL)
	must(t, err)
	if len(told.Topics) != 2 || u.Query().Get("subscription") == "" {
		t.Errorf("the vendor was told %+v", told)
	}
	app := "/api/flow-integration/webhooks"
	for _, d := range []struct {
		path, key, id, body string
		want                int
	}{
		{u.RequestURI(), told.Secret, "d1", `{}`, 200},
		{u.RequestURI(), told.Secret, "d1", `{}`, 200},
		{u.RequestURI(), "other", "d2", `{}`, 401},
		{u.Path + "?subscription=left-behind", told.Secret, "d3", `{}`, 410},
		{app, "app-key", "d4", `{"account":"acc-1"}`, 200},
		{app, "app-key", "d5", `{"account":"acc-2"}`, 200},
		{app, told.Secret, "d6", `{"account":"acc-1"}`, 401},
	} {
		if got := r.deliver(d.path, d.key, d.id, d.body); got != d.want {
			t.Errorf("%s at %s: %d, want %d", d.id, d.path, got, d.want)
		}
	}
	var inbox api.WebhookEventList
	ada.mustDo(http.StatusOK, http.MethodGet, "/api/v2/webhook-events", nil, &inbox)
	var got []string
	for _, e := range inbox.Events {
		got = append(got, e.DeliveryID)
	}
	if len(got) != 2 || got[0] != "d4" || got[1] != "d1" || !inbox.Events[0].Application {
		t.Errorf("the inbox has %v", got)
	}
	r.rerouteBeside()
	ada.mustDo(http.StatusCreated, http.MethodDelete, "/api/integrations/"+string(id), nil, nil)
	r.await("the subscription is ended", func() bool { return len(r.vendor.log("/hooks/sub-1")) == 1 })
}

// rerouteBeside routes what went to nobody with a second host on the same data, as the command does.
func (r *rig) rerouteBeside() {
	r.t.Helper()
	beside := r.config
	beside.Offline = true
	h, err := host.New(context.Background(), beside)
	must(r.t, err)
	defer func() { must(r.t, h.Close()) }()
	lost, err := h.Integrations.AppEvents(context.Background(), []integration.AppEventState{integration.Unrouted}, "", 10)
	must(r.t, err)
	if len(lost) != 1 || lost[0].Account != "acc-2" {
		r.t.Fatalf("%d events went to nobody", len(lost))
	}
	if state, err := h.Integrations.Reroute(context.Background(), lost[0].ID); err != nil || state != integration.Unrouted {
		r.t.Errorf("rerouted to %s, %v", state, err)
	}
}
