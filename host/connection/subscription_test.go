package connection_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/demo"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/secret"
)

const tide = `{
	"abi": 1, "kind": "module", "name": "tide", "version": "1.0.0", "display": {"name": "Tidepool"},
	"hosts": [{"host": "{{settings.base_url}}", "reason": "The API."}],
	"settings": [{"name": "base_url", "required": true}, {"name": "client_id", "required": true}, {"name": "client_secret", "required": true, "secret": true}],
	"auth": {
		"kind": "oauth2",
		"oauth2": {"authorize_url": "{{settings.base_url}}/oauth/authorize", "token_url": "{{settings.base_url}}/oauth/token", "scopes": ["webhooks:write"]},
		"identify": {"request": {"url": "/api/v1/me"}, "external_id": "/account/id", "name": "/account/name"}
	},
	"api": {"base_url": "{{settings.base_url}}"},
	"hooks": [{
		"name": "tide", "signature": {"scheme": "standard-webhooks"},
		"subscription": {
			"create": {"url": "/api/v1/webhooks", "json": {"url": "{{webhook.url}}", "secret": "{{webhook.secret}}", "events": "{{webhook.topics}}", "expires_in_s": 3600}},
			"renew": {"method": "PATCH", "url": "/api/v1/webhooks/{{webhook.id}}", "json": {"expires_in_s": 3600}},
			"delete": {"method": "DELETE", "url": "/api/v1/webhooks/{{webhook.id}}"},
			"expires_at": "/expires_at"
		}
	}]
}`

// newTide connects an account of the demo vendor.
func newTide(t *testing.T) (*rig, connection.EntityID, *demo.CRM) {
	t.Helper()
	r := newRig(t)
	server := httptest.NewUnstartedServer(nil)
	base := "http://" + server.Listener.Addr().String()
	crm, err := demo.New(demo.Config{BaseURL: base, Now: r.clock.Now, RateLimit: demo.RateLimit{PerSecond: -1}})
	check(t, err)
	server.Config.Handler = crm
	server.Start()
	t.Cleanup(func() { server.Close(); crm.Close() })
	m, err := abi.DecodeManifest([]byte(tide))
	check(t, err)
	r.install(m)
	r.catalog.settings["tide"]["base_url"] = secret.NewText(base)
	need, err := r.Requirements(t.Context(), r.mine, "tide")
	check(t, err)
	there, err := url.Parse(need.URL)
	check(t, err)
	check(t, crm.AddClient(r.vendor.id, r.vendor.secret, there.Query().Get("redirect_uri")))
	back, err := crm.Consent(need.URL)
	check(t, err)
	u, err := url.Parse(back)
	check(t, err)
	callback := map[string]any{}
	for name := range u.Query() {
		callback[name] = u.Query().Get(name)
	}
	got, err := r.Authorize(t.Context(), r.mine, "tide", callback)
	check(t, err)
	return r, got.EntityID, crm
}

func tideHook(id string) connection.Webhook {
	return connection.Webhook{
		Hook: "tide", URL: secret.NewText("http://127.0.0.1:9/hook?key=planted-key"), ID: id, Topics: []string{"contact.created", "deal.updated"},
		Secret: secret.NewText("whsec_" + strings.Repeat("QUJD", 8)),
	}
}

func TestSubscription_LivesAtTheDemoVendor(t *testing.T) {
	t.Parallel()
	r, e, _ := newTide(t)
	made, err := r.Subscribe(t.Context(), r.mine.Owner, e, tideHook(""), connection.CallOptions{})
	check(t, err)
	if want := r.clock.Now().Add(time.Hour); made.ID == "" || made.ExpiresAt.Sub(want).Abs() > time.Second || !made.Secret.IsZero() {
		t.Fatalf("%+v, want an end at %v", made, want)
	}
	stored := func() map[string]any {
		t.Helper()
		res, err := r.Send(t.Context(), r.mine.Owner, e, abi.HTTPRequest{URL: "/api/v1/webhooks/" + made.ID, RawStatus: true}, connection.CallOptions{})
		check(t, err)
		var out map[string]any
		check(t, json.Unmarshal([]byte(res.Text), &out))
		return out
	}
	if got := stored(); got["url"] != "http://127.0.0.1:9/hook?key=planted-key" || len(got["events"].([]any)) != 2 {
		t.Errorf("the vendor has %v", got)
	}
	r.clock.advance(50 * time.Minute)
	renewed, err := r.RenewSubscription(t.Context(), r.mine.Owner, e, tideHook(made.ID), connection.CallOptions{})
	check(t, err)
	if renewed.ID != made.ID || renewed.ExpiresAt.Sub(made.ExpiresAt).Round(time.Minute) != 50*time.Minute {
		t.Errorf("renewed %+v after %+v", renewed, made)
	}
	r.clock.advance(2 * time.Hour)
	if _, err := r.RenewSubscription(t.Context(), r.mine.Owner, e, tideHook(made.ID), connection.CallOptions{}); !connection.Gone(err) {
		t.Errorf("renewed after its end: %v", err)
	}
	again, err := r.Subscribe(t.Context(), r.mine.Owner, e, tideHook(""), connection.CallOptions{})
	check(t, err)
	for range 2 { // that it is gone is fine
		check(t, r.Unsubscribe(t.Context(), r.mine.Owner, e, tideHook(again.ID), connection.CallOptions{}))
	}
	if _, err := r.Subscribe(t.Context(), r.theirs.Owner, e, tideHook(""), connection.CallOptions{}); !fault.Is(err, fault.NotFound) {
		t.Errorf("on somebody else's account: %v", err)
	}
	if strings.Contains(r.log.String(), "planted-key") || strings.Contains(r.log.String(), "QUJDQUJD") {
		t.Error("a secret is in the log")
	}
}

func TestSubscription_ByCodeOfTheModule(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m := r.vendor.manifest()
	m.Hooks = []abi.VendorHook{{Name: "h"}}
	r.install(m, abi.ExportSubscribeWebhook)
	e := r.connect().EntityID
	var told abi.SubscribeInput
	r.guest.exports[abi.ExportSubscribeWebhook] = func(_ context.Context, c plugin.Call) (any, error) {
		return abi.WebhookSubscription{ID: "v-1", ExpiresAtMS: 1_900_000_000_000}, json.Unmarshal(c.Input, &told)
	}
	made, err := r.Subscribe(t.Context(), r.mine.Owner, e, tideHookOf("h"), connection.CallOptions{})
	check(t, err)
	if made.ID != "v-1" || made.ExpiresAt.UnixMilli() != 1_900_000_000_000 {
		t.Errorf("%+v", made)
	}
	if text := told.URL + told.Secret; strings.Contains(text, "planted-key") || strings.Contains(text, "QUJD") || told.Connection.EntityID != string(e) || told.Hook != "h" {
		t.Errorf("the guest was told %+v", told)
	}
	if _, err := r.RenewSubscription(t.Context(), r.mine.Owner, e, tideHookOf("h"), connection.CallOptions{}); !fault.Is(err, fault.Unsupported) {
		t.Errorf("renewed without an export: %v", err)
	}
}

func tideHookOf(hook string) connection.Webhook {
	w := tideHook("")
	w.Hook = hook
	return w
}

func TestSubscription_ReadsWhatVendorsAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m := r.vendor.manifest()
	m.Hooks = []abi.VendorHook{{Name: "h", Subscription: &abi.HookSubscription{
		Create: abi.SubscriptionRequest{URL: "/hooks", Form: map[string]string{"target": "{{webhook.url}}", "of": "{{webhook.topics}}", "end": "{{webhook.until}}"}},
		ID:     "/data/id", ExpiresAt: "/data/end", LifetimeS: 60, Secret: "/data/secret",
	}}}
	r.install(m)
	e := r.connect().EntityID
	var form url.Values
	answer, status := "", 200
	r.vendor.handle("/api/hooks", func(w http.ResponseWriter, q *http.Request) {
		form, _ = url.ParseQuery(read(q))
		writeJSON(w, status, json.RawMessage(answer))
	})
	soon := r.clock.Now().Add(time.Minute)
	for text, want := range map[string]time.Time{
		`"2030-01-02T03:04:05+01:00"`: time.Date(2030, 1, 2, 2, 4, 5, 0, time.UTC), `1893553445`: time.Unix(1893553445, 0), `"1893553445"`: time.Unix(1893553445, 0),
		`1893553445123`: time.UnixMilli(1893553445123), `null`: soon, `"tomorrow"`: soon, `-1`: soon, `{}`: soon,
	} {
		answer = `{"data":{"id":7,"end":` + text + `,"secret":"made-by-them"}}`
		got, err := r.Subscribe(t.Context(), r.mine.Owner, e, tideHookOf("h"), connection.CallOptions{})
		check(t, err)
		if got.ID != "7" || !got.ExpiresAt.Equal(want) || got.Secret.Reveal() != "made-by-them" {
			t.Errorf("%s: %+v, want %v", text, got, want)
		}
	}
	if form.Get("target") != "http://127.0.0.1:9/hook?key=planted-key" || form.Get("of") != "contact.created,deal.updated" || form.Get("end") != soon.Format(time.RFC3339) {
		t.Errorf("the vendor got %v", form)
	}
	for text, code := range map[string]int{`{}`: 200, `{"data":{"id":""}}`: 200, `{"data":{"id":"` + strings.Repeat("a", 600) + `"}}`: 200, `{"a":1}`: 500, `{"b":1}`: 403} {
		answer, status = text, code
		if got, err := r.Subscribe(t.Context(), r.mine.Owner, e, tideHookOf("h"), connection.CallOptions{}); err == nil || connection.Gone(err) {
			t.Errorf("%.40s with %d: %+v, %v", text, code, got, err)
		}
	}
}
