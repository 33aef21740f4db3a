package api_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/host/api"
)

func TestCORS_OnlyAllowedOriginsMayCall(t *testing.T) {
	t.Parallel()
	const good = "https://app.example.com"
	preflight := func(origin string) map[string]string {
		return map[string]string{"Origin": origin, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization,content-type"}
	}
	a := newHouse(t, func(c *api.Config) { c.AllowedOrigins = []string{good} })
	res := send(t, a, "OPTIONS", "/api/integrations/x", "", preflight(good))
	if h := res.Header(); res.Code != 204 || h.Get("Access-Control-Allow-Origin") != good || h.Get("Access-Control-Allow-Credentials") != "true" ||
		!strings.Contains(h.Get("Access-Control-Allow-Methods"), "PATCH") || !strings.Contains(h.Get("Access-Control-Allow-Headers"), "Authorization") ||
		!strings.Contains(strings.Join(h.Values("Vary"), ","), "Origin") {
		t.Errorf("preflight: %d %v", res.Code, res.Header())
	}
	if res := get(t, a, "/health", map[string]string{"Origin": good}); res.Code != 200 || res.Header().Get("Access-Control-Allow-Origin") != good {
		t.Errorf("a call: %d %v", res.Code, res.Header())
	}
	for _, bad := range []string{"https://evil.example.com", "http://app.example.com", "https://app.example.com.evil.com", "https://app.example.com:444", "null", good + "/"} {
		for _, res := range []*httptest.ResponseRecorder{send(t, a, "OPTIONS", "/api/integrations", "", preflight(bad)), get(t, a, "/health", map[string]string{"Origin": bad})} {
			if got := res.Header().Get("Access-Control-Allow-Origin"); got != "" {
				t.Errorf("%s may call as %s", bad, got)
			}
		}
	}
	closed := newHouse(t)
	if res := send(t, closed, "OPTIONS", "/api/integrations", "", preflight(good)); res.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("without configuration %s may call", good)
	}
	anyone := newHouse(t, func(c *api.Config) { c.AllowedOrigins = []string{"*"} })
	if res := send(t, anyone, "OPTIONS", "/api/integrations", "", preflight(good)); res.Header().Get("Access-Control-Allow-Origin") == "" || res.Header().Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("any origin: %v", res.Header())
	}
}

func TestAnswers_AreSafeInBrowsers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, path := range []string{"/health", "/nowhere", "/redirect/hub?code=x", "/api/integrations", "/openapi.json"} {
		got := get(t, h, path, nil).Header()
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox", "Strict-Transport-Security": "max-age=31536000",
		} {
			if got.Get(name) != want {
				t.Errorf("%s: %s is %q", path, name, got.Get(name))
			}
		}
	}
	plain := newHouse(t, func(c *api.Config) { c.PublicURL = "http://localhost:8080" })
	if got := get(t, plain, "/health", nil).Header().Get("Strict-Transport-Security"); got != "" {
		t.Errorf("a host without TLS asks for TLS: %s", got)
	}
}

func TestLog_HasOneLineForARequestAndNoSecret(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	send(t, h, "POST", "/api/authorize?planted=1", `{"entityType":"planted"}`, map[string]string{"Authorization": "Bearer planted", "X-Frigg-Api-Key": "planted", "Cookie": "planted"})
	line := regexp.MustCompile(`^time=\S+ level=INFO msg=request request=[0-9a-f-]{36} method=POST route=/api/authorize status=401 duration=\S+\n$`)
	if !line.MatchString(h.log.String()) || strings.Contains(h.log.String(), "planted") {
		t.Errorf("the log is %s", h.log)
	}
}

// from sends a request as if it came over the network from an address.
func from(t *testing.T, h http.Handler, address, method, path, body string, header map[string]string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.RemoteAddr = address
	r.Header.Set("Content-Type", "application/json")
	for name, value := range header {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestRequestID_IsTakenFromTrustedProxiesOnly(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *api.Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
	for _, c := range []struct {
		name, address, given string
		kept                 bool
	}{
		{"proxy", "10.1.2.3:999", "abc-1", true},
		{"proxy over a mapped address", "[::ffff:10.1.2.3]:999", "abc-1", true},
		{"stranger", "192.0.2.1:999", "abc-1", false},
		{"proxy that passes on rubbish", "10.1.2.3:999", "a b", false},
		{"proxy that passes on too much", "10.1.2.3:999", strings.Repeat("a", 65), false},
		{"proxy without one", "10.1.2.3:999", "", false},
	} {
		got := from(t, h, c.address, "GET", "/health", "", map[string]string{"X-Request-ID": c.given}).Header().Get("X-Request-ID")
		if (got == c.given) != c.kept || got == "" {
			t.Errorf("%s: the id is %q", c.name, got)
		}
	}
}

func TestLogin_IsLimitedByWhoReallyConnects(t *testing.T) {
	t.Parallel()
	login := func(h http.Handler, address, forwarded string) int {
		return from(t, h, address, "POST", "/user/login", `{"username":"ada","password":"wrong"}`, map[string]string{"X-Forwarded-For": forwarded, "X-Real-IP": forwarded}).Code
	}
	spend := func(h http.Handler, address, forwarded string) {
		for range 10 {
			login(h, address, forwarded)
		}
	}
	direct := newHouse(t)
	spend(direct, "192.0.2.1:1", "198.51.100.1")
	if got := login(direct, "192.0.2.1:2", "198.51.100.2"); got != 429 {
		t.Errorf("a client got past the limit by a header: %d", got)
	}
	if got := login(direct, "192.0.2.2:2", ""); got != 401 {
		t.Errorf("another client is limited: %d", got)
	}
	behind := newHouse(t, func(c *api.Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
	spend(behind, "192.0.2.1:1", "198.51.100.1")
	if got := login(behind, "192.0.2.1:1", "198.51.100.2"); got != 401 {
		t.Errorf("another client behind the proxy is limited: %d", got)
	}
	if got := login(behind, "192.0.2.1:1", "203.0.113.9, 198.51.100.1"); got != 429 {
		t.Errorf("a client got past the limit by writing the header before the proxy: %d", got)
	}
	res := from(t, behind, "192.0.2.1:1", "POST", "/user/login", `{"username":"ada","password":"wrong"}`, map[string]string{"X-Forwarded-For": "198.51.100.1"})
	if res.Header().Get("Retry-After") != "10" || !strings.HasPrefix(res.Body.String(), `{"error":"too many attempts`) {
		t.Errorf("answered %v %s", res.Header(), res.Body)
	}
}
