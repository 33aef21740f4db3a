package api_test

import (
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/host/api"
)

func TestRedirect_LeadsToTheApplicationOnly(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for path, want := range map[string]string{
		"/redirect/hub?code=a%2Fb+c&state=x&more": "https://app.example.com/redirect/hub?code=a%2Fb+c&state=x&more",
		"/redirect/hub":                       "https://app.example.com/redirect/hub",
		"/redirect/a%2Fb?x=1":                 "https://app.example.com/redirect/a%2Fb?x=1",
		"/redirect/%2F%2Fevil.example.com":    "https://app.example.com/redirect/%2F%2Fevil.example.com",
		"/redirect/@evil.example.com":         "https://app.example.com/redirect/@evil.example.com",
		"/redirect/a%0D%0ASet-Cookie:b":       "https://app.example.com/redirect/a%0D%0ASet-Cookie:b",
		"/redirect/hub?next=https://evil.com": "https://app.example.com/redirect/hub?next=https://evil.com",
	} {
		res := get(t, h, path, nil)
		if got := res.Header().Get("Location"); res.Code != 302 || got != want {
			t.Errorf("%s leads to %d %s, want %s", path, res.Code, got, want)
		}
		if res.Header().Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: the next page learns the code", path)
		}
	}
	for _, path := range []string{"/redirect/..", "/redirect/%2e%2e", "/redirect/.", "/redirect/", "/redirect"} {
		if res := get(t, h, path+"?code=x", nil); res.Code != 404 {
			t.Errorf("%s leads to %d %s", path, res.Code, res.Header().Get("Location"))
		}
	}
}

func TestRedirect_SaysWhatToDoWithoutAnApplication(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *api.Config) { c.FrontendURL = "" })
	res := get(t, h, "/redirect/hub?code=pl4nted&state=pl4nted", nil)
	if res.Code != 200 || !strings.HasPrefix(res.Header().Get("Content-Type"), "text/html") || !strings.Contains(res.Body.String(), "--frontend-url") ||
		!strings.Contains(res.Body.String(), "/api/authorize") {
		t.Errorf("answered %d %s", res.Code, res.Body)
	}
	if strings.Contains(res.Body.String()+h.log.String(), "pl4nted") {
		t.Error("the page or the log has the code")
	}
}
