package requester_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/requester"
	"github.com/frigg-host/frigg-host/host/secret"
)

// seen is what echo says it got.
type seen struct {
	Method, URI, Host, Body string
	Header                  http.Header
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(seen{r.Method, r.RequestURI, r.Host, string(body), r.Header})
}

func echoed(t *testing.T, res *requester.Response) seen {
	t.Helper()
	var s seen
	if err := json.Unmarshal(res.Body, &s); err != nil {
		t.Fatalf("%v in %s", err, res.Body)
	}
	return s
}

func TestDo_SendsWhatWasAsked(t *testing.T) {
	t.Parallel()
	base, _ := vendor(t, echo)
	res, err := open(t).Do(t.Context(), allow(t, base), requester.Request{
		Method: "patch", URL: base + "/a%2Fb?x[]=1&x[]=2", Body: []byte(`{"a":1}`),
		Header: http.Header{"content-type": {"application/merge-patch+json"}, "X-Many": {"a", "b"}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := seen{"PATCH", "/a%2Fb?x[]=1&x[]=2", strings.TrimPrefix(base, "http://"), `{"a":1}`, http.Header{
		"Content-Type": {"application/merge-patch+json"}, "X-Many": {"a", "b"}, "Content-Length": {"7"}, "User-Agent": {"frigg-host"}, "Accept-Encoding": {"gzip"},
	}}
	if diff := cmp.Diff(want, echoed(t, res)); diff != "" {
		t.Error(diff)
	}
	if res.Status != 200 || res.Attempts != 1 || res.URL != base+"/a%2Fb?x[]=1&x[]=2" || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("got %+v", res)
	}
}

func TestDo_RefusesHeadersThatTheHostSets(t *testing.T) {
	t.Parallel()
	base, requests := vendor(t, echo)
	r := open(t)
	for _, name := range []string{
		"Authorization", "authorization", "AUTHORIZATION", "Cookie", "Cookie2", "Proxy-Authorization", "Proxy-Connection", "proxy-anything", "Host", "Connection", "Keep-Alive",
		"TE", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length", "Expect", "Accept-Encoding", "HTTP2-Settings",
	} {
		_, err := r.Do(t.Context(), allow(t, base), requester.Request{URL: base, Header: http.Header{name: {"x"}}}, nil)
		wantFault(t, err, fault.Invalid, fault.Guest)
		wantMessage(t, err, http.CanonicalHeaderKey(name))
	}
	for _, h := range []http.Header{{"Authorization ": {"x"}}, {"X\r\nAuthorization": {"x"}}, {"X": {"a\r\nAuthorization: b"}}, {"X": {"a\x00"}}, {"": {"x"}}, {"X:": {"x"}}, {"Ä": {"x"}}} {
		_, err := r.Do(t.Context(), allow(t, base), requester.Request{URL: base, Header: h}, nil)
		wantFault(t, err, fault.Invalid, fault.Guest)
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

func TestDo_RefusesBeforeSending(t *testing.T) {
	t.Parallel()
	base, requests := vendor(t, echo)
	r := open(t, func(c *requester.Config) { c.MaxRequestBytes = 100 })
	for _, c := range []struct {
		name string
		req  requester.Request
		kind fault.Kind
	}{
		{"CONNECT", requester.Request{Method: "CONNECT", URL: base}, fault.Invalid},
		{"TRACE", requester.Request{Method: "trace", URL: base}, fault.Invalid},
		{"method with space", requester.Request{Method: "GET /x HTTP/1.1\r\nX:", URL: base}, fault.Invalid},
		{"bad URL", requester.Request{URL: "nonsense"}, fault.Invalid},
		{"large body", requester.Request{Method: "POST", URL: base, Body: make([]byte, 101)}, fault.TooLarge},
		{"large headers", requester.Request{URL: base, Header: http.Header{"X": {strings.Repeat("x", 70<<10)}}}, fault.TooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := r.Do(t.Context(), allow(t, base), c.req, nil)
			if f := wantFault(t, err, c.kind, fault.Guest); f.Sent != requester.Never {
				t.Errorf("sent: %v", f.Sent)
			}
		})
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

func TestDo_StatusesAreNotErrors(t *testing.T) {
	t.Parallel()
	base, _ := vendor(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(map[string]int{"/a": 204, "/b": 401, "/c": 500, "/d": 308, "/e": 304}[r.URL.Path])
	})
	r := open(t)
	for path, want := range map[string]int{"/a": 204, "/b": 401, "/c": 500, "/d": 308, "/e": 304} {
		res, err := get(t, r, base+path)
		if err != nil || res.Status != want || res.Body == nil {
			t.Errorf("%s: %+v, %v", path, res, err)
		}
	}
}

func TestAuthorizer_MayChangePathQueryHeadersAndBody(t *testing.T) {
	t.Parallel()
	base, _ := vendor(t, echo)
	res, err := open(t).Do(t.Context(), allow(t, base), requester.Request{Method: "POST", URL: base + "/bot/me?a=1", Body: []byte("x")}, authorize(func(out *requester.Outgoing) []secret.Text {
		out.URL.Path = "/botKEY/me"
		q := out.URL.Query()
		q.Set("sig", "abc")
		out.URL.RawQuery = q.Encode()
		out.Header.Set("Cookie", "s=1")
		out.Header.Set("X-Sign", out.Method+string(out.Body))
		out.Body = []byte("other")
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	got := echoed(t, res)
	if got.URI != "/botKEY/me?a=1&sig=abc" || got.Header.Get("Cookie") != "s=1" || got.Header.Get("X-Sign") != "POSTx" || got.Body != "other" {
		t.Errorf("got %+v", got)
	}
	if res.URL != base+"/bot/me?a=1" {
		t.Errorf("the URL of the answer is %s", res.URL)
	}
}

func TestAuthorizer_MayNotChangeWhereItGoes(t *testing.T) {
	t.Parallel()
	base, requests := vendor(t, echo)
	other, others := vendor(t, echo)
	for name, change := range map[string]authorize{
		"host": func(out *requester.Outgoing) []secret.Text {
			out.URL.Host = strings.TrimPrefix(other, "http://")
			return nil
		},
		"scheme":      func(out *requester.Outgoing) []secret.Text { out.URL.Scheme = "https"; return nil },
		"user":        func(out *requester.Outgoing) []secret.Text { out.URL.Opaque = "//u@h/"; return nil },
		"host header": func(out *requester.Outgoing) []secret.Text { out.Header["host"] = []string{"x"}; return nil },
		"framing": func(out *requester.Outgoing) []secret.Text {
			out.Header.Set("Transfer-Encoding", "chunked")
			return nil
		},
		"content size": func(out *requester.Outgoing) []secret.Text { out.Header.Set("Content-Length", "3"); return nil },
	} {
		_, err := open(t).Do(t.Context(), allow(t, base, other), requester.Request{URL: base}, change)
		if err == nil {
			t.Errorf("%s: sent", name)
			continue
		}
		wantFault(t, err, fault.Internal, fault.Host)
	}
	if requests.Load()+others.Load() != 0 {
		t.Error("a request arrived")
	}
}

func TestAuthorizer_CredentialWithControlCharactersIsTheUsersMistake(t *testing.T) {
	t.Parallel()
	base, _ := vendor(t, echo)
	_, err := open(t).Do(t.Context(), allow(t, base), requester.Request{URL: base}, authorize(func(out *requester.Outgoing) []secret.Text {
		out.Header.Set("X-Api-Key", "pasted-key\n")
		return []secret.Text{secret.NewText("pasted-key\n")}
	}))
	wantFault(t, err, fault.Invalid, fault.Caller)
	if strings.Contains(err.Error(), "pasted-key") {
		t.Errorf("the key is in %v", err)
	}
}

func TestLog_HasNeitherPathNorQueryNorBody(t *testing.T) {
	t.Parallel()
	base, _ := vendor(t, echo)
	var log bytes.Buffer
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := open(t, func(c *requester.Config) {
		c.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c.Now = func() time.Time { now = now.Add(time.Second); return now }
	})
	req := requester.Request{Method: "POST", URL: base + "/hidden-path?q=hidden-query", Body: []byte("hidden-body"), Header: http.Header{"X-H": {"hidden-header"}}}
	if _, err := r.Do(t.Context(), allow(t, base), req, &bearer{tokens: []string{"hidden-token"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Do(t.Context(), requester.Policy{}, req, nil); err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 2 || strings.Contains(log.String(), "hidden") {
		t.Fatalf("log: %s", &log)
	}
	for i, want := range []string{`"method":"POST","host":"127.0.0.1","took":1000000000,"status":200}`, `"method":"POST","host":"127.0.0.1","took":1000000000,"kind":"forbidden"}`} {
		if !strings.HasSuffix(lines[i], want) {
			t.Errorf("line %s does not end in %s", lines[i], want)
		}
	}
}
