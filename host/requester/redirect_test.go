package requester_test

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/requester"
	"github.com/frigg-host/frigg-host/host/secret"
)

// arrivals keeps what a vendor was sent.
type arrivals struct {
	mu  sync.Mutex
	all []*http.Request
}

func (a *arrivals) add(r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, r)
}

func redirector(t *testing.T, seen *arrivals, to func(r *http.Request) (status int, location string)) string {
	t.Helper()
	base, _ := vendor(t, func(w http.ResponseWriter, r *http.Request) {
		seen.add(r)
		status, location := to(r)
		if location != "" {
			w.Header().Set("Location", location)
		}
		w.WriteHeader(status)
	})
	return base
}

func TestRedirect_SameOriginKeepsCredentialAndHeaders(t *testing.T) {
	t.Parallel()
	var seen arrivals
	base := redirector(t, &seen, func(r *http.Request) (int, string) {
		if r.URL.Path == "/v1/a" {
			return 302, "../v2/b?x=1#part"
		}
		return 200, ""
	})
	auth := &bearer{tokens: []string{"token-one"}}
	res, err := open(t).Do(t.Context(), allow(t, base), requester.Request{URL: base + "/v1/a", Header: http.Header{"X-Tenant": {"7"}}}, auth)
	if err != nil {
		t.Fatal(err)
	}
	if res.URL != base+"/v2/b?x=1" || auth.calls != 2 || len(seen.all) != 2 {
		t.Fatalf("ended at %s with %d authorizations and %d requests", res.URL, auth.calls, len(seen.all))
	}
	if h := seen.all[1].Header; h.Get("Authorization") != "Bearer token-one" || h.Get("X-Tenant") != "7" || h.Get("Referer") != "" {
		t.Errorf("second request: %v", h)
	}
}

// Another port is another origin: the rule must not be about names alone.
func TestRedirect_AnotherOriginGetsNoCredentialNorUnknownHeader(t *testing.T) {
	t.Parallel()
	var first, second arrivals
	other := redirector(t, &second, func(*http.Request) (int, string) { return 200, "" })
	base := redirector(t, &first, func(*http.Request) (int, string) { return 302, other + "/file" })
	auth := authorize(func(out *requester.Outgoing) []secret.Text {
		out.Header.Set("Authorization", "Bearer token-one")
		out.Header.Set("Cookie", "session=token-one")
		out.Header.Set("X-Api-Key", "token-one")
		return []secret.Text{secret.NewText("token-one")}
	})
	res, err := open(t).Do(t.Context(), allow(t, base, other), requester.Request{URL: base, Header: http.Header{"X-Tenant": {"7"}, "Accept": {"a/b"}, "Range": {"bytes=0-1"}, "User-Agent": {"me"}}}, auth)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(http.Header{"Accept": {"a/b"}, "Range": {"bytes=0-1"}, "User-Agent": {"me"}}, second.all[0].Header); diff != "" {
		t.Error(diff)
	}
	if res.Status != 200 || res.URL != other+"/file" {
		t.Errorf("got %+v", res)
	}
}

func TestRedirect_CredentialDoesNotComeBack(t *testing.T) {
	t.Parallel()
	var first, second arrivals
	var base string
	other := redirector(t, &second, func(r *http.Request) (int, string) {
		if r.URL.Path == "/" {
			return 302, "/again" // its own origin is not ours
		}
		return 302, base + "/delete-all"
	})
	base = redirector(t, &first, func(r *http.Request) (int, string) {
		if r.URL.Path == "/delete-all" {
			return 200, ""
		}
		return 302, other
	})
	auth := &bearer{tokens: []string{"token-one"}}
	if _, err := open(t).Do(t.Context(), allow(t, base, other), requester.Request{URL: base}, auth); err != nil {
		t.Fatal(err)
	}
	for _, r := range append(second.all, first.all[1]) {
		if got := r.Header.Get("Authorization"); got != "" {
			t.Errorf("%s %s got %q", r.Host, r.URL, got)
		}
	}
	if len(second.all) != 2 || auth.calls != 1 {
		t.Errorf("%d requests elsewhere, %d authorizations", len(second.all), auth.calls)
	}
}

// Another origin that answers 401 says nothing of the credential.
func TestRedirect_A401OfAnotherOriginRenewsNothing(t *testing.T) {
	t.Parallel()
	var first, second arrivals
	other := redirector(t, &second, func(*http.Request) (int, string) { return 401, "" })
	base := redirector(t, &first, func(*http.Request) (int, string) { return 302, other })
	auth := &bearer{tokens: []string{"token-one", "token-two"}}
	res, err := open(t).Do(t.Context(), allow(t, base, other), requester.Request{URL: base}, auth)
	if err != nil || res.Status != 401 || auth.renewals != 0 {
		t.Errorf("%+v, %v, %d renewals", res, err, auth.renewals)
	}
}

func TestRedirect_BodyOfAGETStaysToo(t *testing.T) {
	t.Parallel()
	var first arrivals
	other, requests := vendor(t, echo)
	base := redirector(t, &first, func(*http.Request) (int, string) { return 307, other })
	res, err := open(t).Do(t.Context(), allow(t, base, other), requester.Request{URL: base, Body: []byte("query")}, nil)
	if err != nil || res.Status != 307 || requests.Load() != 0 {
		t.Errorf("%+v, %v, %d requests elsewhere", res, err, requests.Load())
	}
}

func TestRedirect_FinalURLIsScrubbed(t *testing.T) {
	t.Parallel()
	var seen arrivals
	base := redirector(t, &seen, func(r *http.Request) (int, string) {
		if r.URL.Path == "/end" {
			return 200, ""
		}
		return 302, "/end?key=token-one"
	})
	res, err := open(t).Do(t.Context(), allow(t, base), requester.Request{URL: base}, &bearer{tokens: []string{"token-one"}})
	if err != nil || strings.Contains(res.URL, "token-one") {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestRedirect_OutsideThePolicyIsForbidden(t *testing.T) {
	t.Parallel()
	other, requests := vendor(t, echo)
	for _, location := range []string{other, other + "/x", "//" + strings.TrimPrefix(other, "http://"), "http://169.254.169.254/", "http://localhost/", "https://evil.example/"} {
		var seen arrivals
		base := redirector(t, &seen, func(*http.Request) (int, string) { return 302, location })
		_, err := open(t).Do(t.Context(), allow(t, base), requester.Request{URL: base}, nil)
		f := wantFault(t, err, fault.Forbidden, fault.Guest)
		wantMessage(t, err, "not granted")
		if f.Sent != requester.Answered || f.Status != 302 {
			t.Errorf("%+v", f)
		}
	}
	if requests.Load() != 0 {
		t.Error("the other host was asked")
	}
}

func TestRedirect_ToAClosedAddressIsStoppedAtDial(t *testing.T) {
	t.Parallel()
	var seen arrivals
	base := redirector(t, &seen, func(*http.Request) (int, string) { return 302, "http://169.254.169.254/latest/" })
	_, err := open(t).Do(t.Context(), allow(t, base, "http://169.254.169.254"), requester.Request{URL: base}, nil)
	wantFault(t, err, fault.Forbidden, fault.Host)
}

func TestRedirect_UnusableLocationIsTheRemotesFault(t *testing.T) {
	t.Parallel()
	for _, location := range []string{`\\evil.example`, `/\evil.example`, `https:\\evil.example`, "http://user@127.0.0.1/", "http://%zz/", "ftp://127.0.0.1/", "javascript:alert(1)", "http:", "http://0x7f.1/", "/a b", "/a\tb", "http://[::1%25lo]/", "/\xff"} {
		base, connections := wireVendor(t, reply("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: "+location+"\r\n\r\n"))
		_, err := open(t).Do(t.Context(), allow(t, base), requester.Request{URL: base}, nil)
		if err == nil {
			t.Errorf("%q was followed", location)
			continue
		}
		wantFault(t, err, fault.Unavailable, fault.Remote)
		if connections.Load() != 1 {
			t.Errorf("%q: %d connections", location, connections.Load())
		}
	}
}

func TestRedirect_FromHTTPSToHTTPIsRefused(t *testing.T) {
	t.Parallel()
	plain, requests := vendor(t, echo)
	secure := httptest.NewTLSServer(http.RedirectHandler(plain, http.StatusFound))
	t.Cleanup(secure.Close)
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	r := open(t, func(c *requester.Config) { c.RootCAs = roots })
	_, err := r.Do(t.Context(), allow(t, plain, secure.URL), requester.Request{URL: secure.URL}, nil)
	wantFault(t, err, fault.Forbidden, fault.Remote)
	if requests.Load() != 0 {
		t.Error("it was followed")
	}
}

func TestRedirect_CredentialInALocationDoesNotLeaveTheOrigin(t *testing.T) {
	t.Parallel()
	other, requests := vendor(t, echo)
	for _, escaped := range []string{"k%2Fey-123%2B4", "k%2fey-123+4", "k/ey-123+4"} {
		var seen arrivals
		base := redirector(t, &seen, func(*http.Request) (int, string) { return 302, other + "/?key=" + escaped })
		_, err := open(t).Do(t.Context(), allow(t, base, other), requester.Request{URL: base}, authorize(func(out *requester.Outgoing) []secret.Text {
			out.URL.RawQuery = "key=k%2Fey-123%2B4"
			return []secret.Text{secret.NewText("k/ey-123+4")}
		}))
		wantFault(t, err, fault.Forbidden, fault.Remote)
		if strings.Contains(err.Error(), "ey-123") {
			t.Error(err)
		}
	}
	if requests.Load() != 0 {
		t.Error("the other host was asked")
	}
}

func TestRedirect_StopsAfterFive(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ redirects, requests int }{{5, 6}, {6, 6}, {1000, 6}} {
		var seen arrivals
		base := redirector(t, &seen, func(r *http.Request) (int, string) {
			n, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
			if n == c.redirects {
				return 200, ""
			}
			return 302, fmt.Sprintf("/%d", n+1)
		})
		_, err := get(t, open(t), base+"/0")
		if c.redirects == 5 && err != nil {
			t.Error(err)
		}
		if c.redirects > 5 {
			wantFault(t, err, fault.Unavailable, fault.Remote)
			wantMessage(t, err, "redirects more than 5 times")
		}
		if len(seen.all) != c.requests {
			t.Errorf("%d redirects made %d requests", c.redirects, len(seen.all))
		}
	}
}

// What is sent where, by RFC 9110 section 15.4. "" means: not followed, the answer is returned.
func TestRedirect_MethodAndBody(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method             string
		status             int
		same, anotherHosts string
	}{
		{"GET", 301, "GET", "GET"},
		{"GET", 302, "GET", "GET"},
		{"GET", 303, "GET", "GET"},
		{"GET", 307, "GET", "GET"},
		{"GET", 308, "GET", "GET"},
		{"HEAD", 302, "HEAD", "HEAD"},
		{"HEAD", 303, "HEAD", "HEAD"},
		{"HEAD", 307, "HEAD", "HEAD"},
		{"POST", 301, "GET", "GET"},
		{"POST", 302, "GET", "GET"},
		{"POST", 303, "GET", "GET"},
		{"POST", 307, "POST+body", ""},
		{"POST", 308, "POST+body", ""},
		{"PUT", 301, "PUT+body", ""},
		{"PUT", 302, "PUT+body", ""},
		{"PUT", 303, "GET", "GET"},
		{"PUT", 307, "PUT+body", ""},
		{"DELETE", 302, "DELETE+body", ""},
		{"DELETE", 303, "GET", "GET"},
		{"PATCH", 308, "PATCH+body", ""},
		{"GET", 300, "", ""},
		{"GET", 304, "", ""},
		{"GET", 201, "", ""},
	} {
		for _, same := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s %d same=%v", c.method, c.status, same), func(t *testing.T) {
				t.Parallel()
				got := ""
				end := func(w http.ResponseWriter, r *http.Request) {
					got = r.Method
					if r.ContentLength > 0 {
						got += "+body"
					}
					if (r.Header.Get("Content-Type") != "") != (r.ContentLength > 0) {
						t.Errorf("content headers without content: %v", r.Header)
					}
				}
				other, _ := vendor(t, end)
				var base string
				base, _ = vendor(t, func(w http.ResponseWriter, r *http.Request) {
					switch {
					case r.URL.Path == "/end":
						end(w, r)
					case same:
						w.Header().Set("Location", "/end")
						w.WriteHeader(c.status)
					default:
						w.Header().Set("Location", other)
						w.WriteHeader(c.status)
					}
				})
				req := requester.Request{Method: c.method, URL: base}
				if c.method != "GET" && c.method != "HEAD" {
					req.Body, req.Header = []byte("body"), http.Header{"Content-Type": {"text/plain"}}
				}
				res, err := open(t).Do(t.Context(), allow(t, base, other), req, nil)
				if err != nil {
					t.Fatal(err)
				}
				want := c.anotherHosts
				if same {
					want = c.same
				}
				if got != want {
					t.Errorf("got %q, want %q", got, want)
				}
				if want == "" && (res.Status != c.status || res.Header.Get("Location") == "") {
					t.Errorf("the redirect is not returned: %+v", res)
				}
			})
		}
	}
}

func TestRedirect_WithoutLocationOrUnwantedIsReturned(t *testing.T) {
	t.Parallel()
	var seen arrivals
	base := redirector(t, &seen, func(r *http.Request) (int, string) { return 308, r.URL.Query().Get("to") })
	res, err := open(t).Do(t.Context(), allow(t, base), requester.Request{Method: "PUT", URL: base, Body: []byte("chunk")}, nil)
	if err != nil || res.Status != 308 {
		t.Errorf("resumable upload: %+v, %v", res, err)
	}
	res, err = open(t).Do(t.Context(), allow(t, base), requester.Request{URL: base + "?to=https://elsewhere.example/", NoRedirects: true}, nil)
	if err != nil || res.Status != 308 || res.Header.Get("Location") != "https://elsewhere.example/" {
		t.Errorf("NoRedirects: %+v, %v", res, err)
	}
}
