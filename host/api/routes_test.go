package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/api"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
)

const routesOf = "/api/box-to-hub-integration"

func TestRoute_TheGuestAnswersWhatItIsAsked(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	res := send(t, h, "POST", routesOf+"/echo?b=2&a=1&a=%20", "\x00ü", map[string]string{
		"Content-Type": "application/x-odd", "X-Signature": "abc", "Cookie": "a=b", "Authorization": "Bearer x", "X-Api-Key": healthKey,
	})
	want := abi.RouteInput{
		Event: "POST /echo", Method: "POST", Path: "/echo", Query: map[string][]string{"b": {"2"}, "a": {"1", " "}},
		Headers: map[string]string{"content-type": "application/x-odd", "x-signature": "abc"}, Text: "\x00ü",
	}
	var got abi.RouteInput
	if err := json.Unmarshal(res.Body.Bytes(), &got); err != nil || res.Code != 200 || res.Header().Get("Content-Type") != "application/json" || cmp.Diff(want, got) != "" {
		t.Errorf("%d %v %v", res.Code, res.Header(), cmp.Diff(want, got))
	}
	get := send(t, h, "GET", routesOf+"/hello/a%20b", "", nil)
	head := send(t, h, "HEAD", routesOf+"/hello/a%20b", "", nil)
	if head.Code != 200 || head.Body.Len() != 0 || head.Header().Get("Content-Length") != get.Header().Get("Content-Length") || !strings.Contains(get.Body.String(), `"name":"a b"`) {
		t.Errorf("HEAD: %d %v %q, GET: %s", head.Code, head.Header(), head.Body, get.Body)
	}
	if strings.Contains(h.log.String(), "a%20b") || !strings.Contains(h.log.String(), "route="+routesOf+"/hello/:name") {
		t.Errorf("the log names parameters or no route:\n%s", h.log)
	}
}

func TestRoute_WhatIsNotDeclaredIsRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, c := range []struct {
		method, path string
		code         int
		allow, text  string
	}{
		{"GET", "/nothing", 404, "", "has no route at this path"},
		{"GET", "/echo/", 404, "", "has no route"},
		{"GET", "", 404, "", "has no route"},
		{"GET", "/", 404, "", "has no route"},
		{"GET", "/echo", 405, "OPTIONS, POST", "Method Not Allowed"},
		{"BREW", "/hello/x", 405, "GET, HEAD, OPTIONS", "Method Not Allowed"},
		{"OPTIONS", "/hello/x", 204, "GET, HEAD, OPTIONS", ""},
		{"OPTIONS", "/nothing", 404, "", "has no route"},
		{"GET", "/me", 401, "", "send the token"},
		{"POST", "/records/x", 401, "", "send the token"},
		{"GET", "/fail/x", 404, "", "no such thing"},
		{"POST", "/webhooks", 404, "", "has no webhook"},
		{"POST", "/webhooks/x", 404, "", "has no webhook"},
	} {
		res := send(t, h, c.method, routesOf+c.path, "", nil)
		if res.Code != c.code || res.Header().Get("Allow") != c.allow || !strings.Contains(res.Body.String(), c.text) || c.text != "" && !strings.HasPrefix(res.Body.String(), `{"error":`) {
			t.Errorf("%s %s: %d, Allow %q, %s", c.method, c.path, res.Code, res.Header().Get("Allow"), res.Body)
		}
		if res.Header().Get("X-Request-Id") == "" || res.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %s lacks the headers of every answer: %v", c.method, c.path, res.Header())
		}
	}
	for _, path := range []string{"/api/box-integration/x", "/api/none-integration/x", "/api/-integration/x", "/api/box-to-hub-integration%2Fecho", "/api/BOX-TO-HUB-integration/echo"} {
		if res := send(t, h, "POST", path, "", nil); res.Code != 404 {
			t.Errorf("%s: %d %s", path, res.Code, res.Body)
		}
	}
	if res := send(t, h, "PUT", "/api/integrations", "", nil); res.Code != 405 {
		t.Errorf("a path of the management API: %d %s", res.Code, res.Body)
	}
}

func TestRoute_BodiesAreBounded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	calls := h.guests.calls.Load()
	for size, code := range map[int]int{0: 200, 1: 200, 64 << 10: 200, 64<<10 + 1: 200, 1 << 20: 200, 1<<20 + 1: 413} {
		for _, chunked := range []bool{false, true} {
			r := httptest.NewRequestWithContext(t.Context(), "POST", routesOf+"/echo", strings.NewReader(strings.Repeat("a", size)))
			if chunked {
				r.ContentLength = -1
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != code || code == 200 && strings.Count(w.Body.String(), "a") < size {
				t.Errorf("%d bytes, chunked %v: %d with %d bytes", size, chunked, w.Code, w.Body.Len())
			}
		}
	}
	if n := h.guests.calls.Load() - calls; n != 10 {
		t.Errorf("%d guests ran", n)
	}
	if res := send(t, h, "POST", routesOf+"/records/int_0198c0de-0000-7000-8000-000000000000", strings.Repeat("a", 2<<20), nil); res.Code != 401 {
		t.Errorf("a large body of nobody: %d", res.Code)
	}
}

func TestRoute_OfUsersKnowsWhoCalls(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ada, bob := h.user("ada"), h.user("bob")
	in := h.integrate(ada, h.connect(ada).EntityID)
	record := routesOf + "/records/" + string(in.ID)
	if res := send(t, h, "GET", routesOf+"/me", "", bearer(bob)); res.Code != 200 || strings.Contains(res.Body.String(), `"integration"`) {
		t.Errorf("a route without a record: %d %s", res.Code, res.Body)
	}
	res := send(t, h, "POST", record, "{}", bearer(ada))
	if res.Code != 200 || !strings.Contains(res.Body.String(), string(in.ID)) || strings.Contains(res.Body.String(), "hook-key") || strings.Contains(res.Body.String(), ada) {
		t.Errorf("her own record: %d %s", res.Code, res.Body)
	}
	if got := res.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("an answer for one user may be kept: %q", got)
	}
	calls := h.guests.calls.Load()
	for path, token := range map[string]string{
		record: bob, routesOf + "/records/x": ada, routesOf + "/records/int_" + strings.Repeat("0", 36): ada, routesOf + "/records/%00": ada,
		routesOf + "/records/" + string(integration.NewID()): ada,
	} {
		if res := send(t, h, "POST", path, "{}", bearer(token)); res.Code != 404 {
			t.Errorf("%s: %d %s", path, res.Code, res.Body)
		}
	}
	must[made](h, 200, "PATCH", "/api/integrations/"+string(in.ID), `{"status":"DISABLED"}`, ada)
	if res := send(t, h, "POST", record, "{}", bearer(ada)); res.Code != 409 || !strings.Contains(res.Body.String(), "DISABLED") {
		t.Errorf("a paused record: %d %s", res.Code, res.Body)
	}
	if h.guests.calls.Load() != calls {
		t.Error("a guest ran for what was refused")
	}
	if res := send(t, h, "GET", routesOf+"/hello/x", "", bearer("wrong")); res.Code != 200 || res.Header().Get("Cache-Control") != "max-age=60" {
		t.Errorf("an open route with a wrong token: %d %v", res.Code, res.Header())
	}
}

func TestRoute_OpenOnesReadNoStore(t *testing.T) {
	t.Parallel()
	served := &integration.Service{Plugins: newCatalog(t, "https://vendor.example"), Guests: &guests{}, Log: slog.New(slog.DiscardHandler)}
	h := api.New(api.Config{Integrations: served}) // with no store and no accounts, asking one would panic
	for target, code := range map[string]int{"/hello/x": 200, "/nothing": 404, "/echo": 405, "/me": 401} {
		if res := send(t, h, "GET", routesOf+target, "", nil); res.Code != code {
			t.Errorf("%s: %d %s", target, res.Code, res.Body)
		}
	}
}

// replier is an integration room with one route, whose guest answers what the test says.
type replier struct {
	*integration.Service
	auth  abi.RouteAuth
	reply abi.HTTPReply
	err   error
}

func (r *replier) FindRoute(string, string, string) (integration.RouteMatch, error) {
	return integration.RouteMatch{Route: &integration.Route{Route: abi.Route{Method: "GET", Path: "/x", Auth: r.auth}, Label: "/api/a-integration/x"}}, nil
}

func (r *replier) AnswerRoute(context.Context, account.Actor, integration.RouteMatch, integration.RouteRequest) (abi.HTTPReply, error) {
	return r.reply, r.err
}

func TestRoute_GuestsAnswerWithinBounds(t *testing.T) {
	t.Parallel()
	r := &replier{auth: abi.RouteAuthNone}
	h := newHouse(t, func(c *api.Config) { c.Integrations, c.AllowedOrigins = r, []string{"https://app.example.com"} })
	r.reply = abi.HTTPReply{Status: 202, Text: "<b>&</b>", Headers: map[string]string{
		"content-type": "text/html", "x-mine": "abc", "Retry-After": "7", "X-Bad": "a\r\nSet-Cookie: b=1", "etag": `"1"`, "vary": "Accept", "content-disposition": "attachment",
		"content-language": "de", "last-modified": "Thu, 01 Jan 1970 00:00:00 GMT", "link": "</x>; rel=next", "cache-control": "max-age=60", "expires": "0",
		"Set-Cookie": "a=1", "Access-Control-Allow-Origin": "*", "Location": "https://evil.example.com", "Content-Security-Policy": "default-src *",
		"X-Content-Type-Options": "sniff", "X-Frame-Options": "ALLOW", "X-Request-Id": "mine", "Transfer-Encoding": "chunked", "Content-Length": "1",
		"Strict-Transport-Security": "max-age=0", "Connection": "close", "Clear-Site-Data": "*", "Refresh": "0", "Www-Authenticate": "Basic", "Upgrade": "h2c", "Trailer": "X",
		"X-Accel-Redirect": "/etc/passwd", "X-Sendfile": "/etc/passwd", "X-Lighttpd-Send-File": "/etc/passwd", "X-Reproxy-Url": "http://127.0.0.1", "Alt-Svc": "clear", "Server": "x",
		"Service-Worker-Allowed": "/", "Content-Encoding": "gzip", "Allow": "BREW", "Date": "x",
	}}
	want := map[string]string{
		"Content-Type": "text/html", "X-Mine": "abc", "Retry-After": "7", "Etag": `"1"`, "Content-Disposition": "attachment", "Content-Language": "de",
		"Last-Modified": "Thu, 01 Jan 1970 00:00:00 GMT", "Link": "</x>; rel=next", "Cache-Control": "max-age=60", "Expires": "0", "Content-Length": "8",
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
		"Referrer-Policy": "no-referrer", "Strict-Transport-Security": "max-age=31536000",
	}
	res := send(t, h, "GET", "/api/a-integration/x", "", nil)
	if res.Code != 202 || res.Body.String() != "<b>&</b>" || strings.Join(res.Header().Values("Vary"), ", ") != "Origin, Accept" {
		t.Errorf("answered %d %q %v", res.Code, res.Body, res.Header())
	}
	got := map[string]string{}
	for name := range res.Header() {
		got[name] = res.Header().Get(name)
	}
	for _, name := range []string{"Vary", "X-Request-Id", "X-Bad"} { // net/http takes the line break out of the last one
		delete(got, name)
	}
	if diff := cmp.Diff(want, got); diff != "" || res.Header().Get("X-Request-Id") == "mine" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	for _, status := range []int64{204, 304} {
		r.reply = abi.HTTPReply{Status: status, Text: "not there"}
		if res := send(t, h, "GET", "/api/a-integration/x", "", nil); res.Code != int(status) || res.Body.Len() != 0 || res.Header().Get("Content-Length") != "" {
			t.Errorf("%d: %d %q %v", status, res.Code, res.Body, res.Header())
		}
	}
	for _, status := range []int64{100, 101, 199, 300, 302, 399, 600, 999, -1, 1 << 40} {
		r.reply = abi.HTTPReply{Status: status, Headers: map[string]string{"Location": "https://evil.example.com"}}
		if res := send(t, h, "GET", "/api/a-integration/x", "", nil); res.Code != http.StatusBadGateway || res.Header().Get("Location") != "" {
			t.Errorf("status %d of a guest is answered %d", status, res.Code)
		}
	}
}

func TestRoute_FaultsOfTheGuestSayWhoseTheyAre(t *testing.T) {
	t.Parallel()
	r := &replier{auth: abi.RouteAuthNone}
	h := newHouse(t, func(c *api.Config) { c.Integrations = r })
	for kind, code := range map[fault.Kind]int{
		fault.Invalid: 400, fault.NotFound: 404, fault.Conflict: 409, fault.RateLimited: 429, fault.Timeout: 504, fault.Exhausted: 502, fault.Internal: 502,
		fault.TooLarge: 502, fault.Unsupported: 422, fault.Unauthorized: 400, fault.Forbidden: 403,
	} {
		r.err = &fault.Error{Kind: kind, Side: fault.Guest, Op: "test", Msg: "guest a: because"}
		res := send(t, h, "GET", "/api/a-integration/x", "", nil)
		if res.Code != code || strings.Contains(res.Body.String(), "because") != (code < 500) {
			t.Errorf("%s: %d %s", kind, res.Code, res.Body)
		}
	}
}

func TestRoute_CORSIsTheHosts(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *api.Config) { c.AllowedOrigins = []string{"https://app.example.com"} })
	res := send(t, h, "OPTIONS", routesOf+"/echo", "", map[string]string{"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"})
	if res.Code != 204 || res.Header().Get("Access-Control-Allow-Origin") != "https://app.example.com" {
		t.Errorf("preflight: %d %v", res.Code, res.Header())
	}
	res = send(t, h, "POST", routesOf+"/echo", "{}", map[string]string{"Origin": "https://evil.example.com"})
	if res.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("another origin: %v", res.Header())
	}
}

func FuzzRoute(f *testing.F) {
	served := &integration.Service{Plugins: newCatalog(f, "https://vendor.example"), Guests: &guests{}, Log: slog.New(slog.DiscardHandler)}
	h := api.New(api.Config{Integrations: served})
	for _, target := range []string{"/hello/x", "/hello/%00", "/hello/%2F..%2F", "/me", "/records/x", "//", "/%", "?a=%zz&b", "/webhooks", "/webhooksx", "/echo?%FF=\xff", "/fail/\u2028"} {
		f.Add("GET", target, []byte("x"))
		f.Add("POST", target, []byte("\xff"))
	}
	f.Fuzz(func(t *testing.T, method, target string, body []byte) {
		u, err := url.ParseRequestURI(routesOf + target)
		if err != nil || strings.HasPrefix(target, "/webhooks") {
			return
		}
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", bytes.NewReader(body))
		r.Method, r.URL = method, u
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 || w.Header().Get("X-Content-Type-Options") == "" {
			t.Errorf("%s %s: %d %v", method, target, w.Code, w.Header())
		}
	})
}
