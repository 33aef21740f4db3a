package api_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/api"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/google/go-cmp/cmp"
)

// receiver is an integration room that keeps what it receives.
type receiver struct {
	*integration.Service
	plugin, webhook string
	id              integration.ID
	in              integration.Inbound
	reply           abi.HTTPReply
}

func (r *receiver) Receive(_ context.Context, plugin string, id integration.ID, webhook string, in integration.Inbound) (abi.HTTPReply, error) {
	r.plugin, r.id, r.webhook, r.in = plugin, id, webhook, in
	return r.reply, nil
}

const someHook = "/api/box-to-hub-integration/webhooks/int_0198c0de-0000-7000-8000-000000000000"

func TestWebhook_ReachesTheIntegrationAsItCame(t *testing.T) {
	t.Parallel()
	r := &receiver{}
	h := newHouse(t, func(c *api.Config) { c.Integrations = r })
	body := "\x00\xff{\"a\": 1 }\r\n"
	for _, method := range []string{"POST", "PUT", "GET", "HEAD"} {
		for path, webhook := range map[string]string{someHook: "", someHook + "/inbox": "inbox"} {
			res := send(t, h, method, path+"?b=2&a=1&a=%20", body, map[string]string{"Content-Type": "application/x-odd", "X-Signature": "abc"})
			if res.Code != 200 {
				t.Fatalf("%s %s: %d %s", method, path, res.Code, res.Body)
			}
			if r.plugin != "box-to-hub" || r.id != "int_0198c0de-0000-7000-8000-000000000000" || r.webhook != webhook || r.in.Method != method ||
				r.in.URL != "https://frigg.example.com"+path+"?b=2&a=1&a=%20" || string(r.in.Body) != body || r.in.Header.Get("X-Signature") != "abc" ||
				cmp.Diff(map[string][]string{"a": {"1", " "}, "b": {"2"}}, map[string][]string(r.in.Query)) != "" {
				t.Errorf("%s %s arrived as %+v", method, path, r)
			}
		}
	}
}

func TestWebhook_IsBoundedAndOfIntegrationsOnly(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *api.Config) { c.Integrations = &receiver{} })
	if res := send(t, h, "POST", someHook, strings.Repeat("a", 1<<20), nil); res.Code != 200 {
		t.Errorf("1 MiB: %d", res.Code)
	}
	if res := send(t, h, "POST", someHook, strings.Repeat("a", 1<<20+1), nil); res.Code != 413 {
		t.Errorf("more than 1 MiB: %d", res.Code)
	}
	h = newHouse(t)
	for _, path := range []string{
		"/api/integrations/webhooks/int_0198c0de-0000-7000-8000-000000000000", "/api/box/webhooks/int_0198c0de-0000-7000-8000-000000000000",
		"/api/box-to-hub-integration/webhooks/ent_0198c0de-0000-7000-8000-000000000000", "/api/box-to-hub-integration/webhooks",
	} {
		if res := send(t, h, "POST", path, "{}", nil); res.Code != 404 && res.Code != 405 {
			t.Errorf("%s: %d", path, res.Code)
		}
	}
}

func TestWebhook_GuestsAnswerWithinBounds(t *testing.T) {
	t.Parallel()
	r := &receiver{}
	h := newHouse(t, func(c *api.Config) { c.Integrations = r })
	r.reply = abi.HTTPReply{Status: 202, Text: "chall&nge", Headers: map[string]string{
		"content-type": "text/html", "x-hook-secret": "abc", "Retry-After": "7", "X-Bad": "a\r\nSet-Cookie: b=1",
		"Set-Cookie": "a=1", "Access-Control-Allow-Origin": "*", "Location": "https://evil.example.com", "Content-Security-Policy": "default-src *",
		"X-Content-Type-Options": "sniff", "X-Frame-Options": "ALLOW", "X-Request-Id": "mine", "Transfer-Encoding": "chunked", "Content-Length": "1",
		"Strict-Transport-Security": "max-age=0", "Connection": "close", "Clear-Site-Data": "*", "Refresh": "0",
	}}
	res := send(t, h, "POST", someHook, "{}", nil)
	want := map[string]string{
		"Content-Type": "text/html", "X-Hook-Secret": "abc", "Retry-After": "7", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox", "Set-Cookie": "", "Access-Control-Allow-Origin": "", "Location": "",
		"Transfer-Encoding": "", "Content-Length": "", "Connection": "", "Clear-Site-Data": "", "Refresh": "",
	}
	for name, value := range want {
		if got := res.Header().Get(name); got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	if res.Code != 202 || res.Body.String() != "chall&nge" || res.Header().Get("X-Request-Id") == "mine" {
		t.Errorf("answered %d %q %v", res.Code, res.Body, res.Header())
	}
	r.reply = abi.HTTPReply{Bytes: []byte{0, 255}}
	if res := send(t, h, "POST", someHook, "{}", nil); res.Code != 200 || res.Body.String() != "\x00\xff" {
		t.Errorf("answered %d %q", res.Code, res.Body)
	}
	for _, status := range []int64{100, 101, 199, 300, 302, 304, 399, 600, 999, -1, 1 << 40} {
		r.reply = abi.HTTPReply{Status: status, Headers: map[string]string{"Location": "https://evil.example.com"}}
		if res := send(t, h, "POST", someHook, "{}", nil); res.Code != http.StatusBadGateway || res.Header().Get("Location") != "" {
			t.Errorf("status %d of a guest is answered %d", status, res.Code)
		}
	}
}

func (r *receiver) ReceiveApp(_ context.Context, plugin, webhook string, in integration.Inbound) (abi.HTTPReply, error) {
	r.plugin, r.id, r.webhook, r.in = plugin, "", webhook, in
	return r.reply, nil
}

func TestWebhook_OfAnApplicationHasOneAddress(t *testing.T) {
	t.Parallel()
	r := &receiver{}
	h := newHouse(t, func(c *api.Config) { c.Integrations = r })
	for path, webhook := range map[string]string{"": "", "/inbox": "inbox"} {
		res := send(t, h, "POST", "/api/box-to-hub-integration/webhooks"+path+"?a=1", "{}", nil)
		if res.Code != 200 || r.plugin != "box-to-hub" || r.id != "" || r.webhook != webhook || r.in.URL != "https://frigg.example.com/api/box-to-hub-integration/webhooks"+path+"?a=1" {
			t.Errorf("%s: %d, arrived as %+v", path, res.Code, r)
		}
	}
}

func TestInbox_ShowsWhatCameAndNoSecret(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ada := h.user("ada")
	in := h.integrate(ada, h.connect(ada).EntityID)
	for _, body := range []string{"\u2028 {\"a\": 1}\r\n\x00", "\xff\x00\xfe"} {
		res := send(t, h, "POST", "/api/box-to-hub-integration/webhooks/"+string(in.ID)+"?key=hook-key&b=2", body, map[string]string{
			"X-Thing": "kept", "Authorization": "Bearer planted", "X-Vendor-Token": "planted", "Cookie": "planted",
		})
		if res.Code != 200 {
			t.Fatalf("%d %s", res.Code, res.Body)
		}
		list := must[api.WebhookEventList](h, 200, "GET", "/api/v2/webhook-events?state=queued&integrationId="+string(in.ID), "", ada)
		if len(list.Events) != 1 || list.Events[0].JobID == "" || list.Events[0].DeliveryID != "" {
			t.Fatalf("the inbox lists %+v", list)
		}
		path := "/api/v2/webhook-events/" + string(list.Events[0].ID)
		came := must[api.WebhookEventDetail](h, 200, "GET", path, "", ada)
		raw, err := base64.StdEncoding.DecodeString(came.Base64)
		if err != nil || came.Text+string(raw) != body {
			t.Errorf("the body %q came as %q and %q", body, came.Text, raw)
		}
		if came.Headers["x-thing"] != "kept" || came.Query["b"] != "2" {
			t.Errorf("headers %v, query %v", came.Headers, came.Query)
		}
		shown := send(t, h, "GET", path, "", bearer(ada)).Body.String()
		if strings.Contains(shown, "planted") || strings.Contains(shown, "hook-key") {
			t.Errorf("a secret is shown: %s", shown)
		}
		if res := send(t, h, "POST", path+"/replay", "", bearer(ada)); res.Code != 409 {
			t.Errorf("replayed while it waits: %d", res.Code)
		}
		h.work()
	}
	if list := must[api.WebhookEventList](h, 200, "GET", "/api/v2/webhook-events?limit=1", "", ada); len(list.Events) != 1 || list.Events[0].State != "done" {
		t.Errorf("the inbox lists %+v", list)
	}
	for _, limit := range []string{"-1", "201", "x"} {
		if res := send(t, h, "GET", "/api/v2/webhook-events?limit="+limit, "", bearer(ada)); res.Code != 400 {
			t.Errorf("limit %s: %d", limit, res.Code)
		}
	}
}
