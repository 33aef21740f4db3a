package requester_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/requester"
	"github.com/frigg-host/frigg-host/host/secret"
)

const fine = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfine"

func TestResend_BrokenConnection(t *testing.T) {
	t.Parallel()
	key := http.Header{"Idempotency-Key": {"k-1"}}
	for _, c := range []struct {
		name, method string
		header       http.Header
		broken       int32
		connections  int32
		ok           bool
	}{
		{"GET once", "GET", nil, 1, 2, true},
		{"GET always", "GET", nil, 99, 2, false},
		{"HEAD", "HEAD", nil, 1, 2, true},
		{"PUT", "PUT", nil, 1, 2, true},
		{"DELETE", "DELETE", nil, 1, 2, true},
		{"POST", "POST", nil, 1, 1, false},
		{"PATCH", "PATCH", nil, 1, 1, false},
		{"POST with key", "POST", key, 1, 2, true},
		{"POST with key, always", "POST", key, 99, 2, false},
		{"PATCH with another key", "PATCH", http.Header{"X-Idempotency-Key": {"k-1"}}, 1, 2, true},
		{"POST with empty key", "POST", http.Header{"Idempotency-Key": {""}}, 1, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int32
			base, connections := wireVendor(t, func(conn net.Conn) {
				if n.Add(1) > c.broken {
					reply(fine)(conn)
				}
			})
			res, err := open(t).Do(t.Context(), allow(t, base), requester.Request{Method: c.method, URL: base, Header: c.header}, nil)
			if connections.Load() != c.connections {
				t.Errorf("%d connections, want %d", connections.Load(), c.connections)
			}
			if c.ok {
				if err != nil || res.Attempts != int(c.connections) {
					t.Errorf("%+v, %v", res, err)
				}
				return
			}
			f := wantFault(t, err, fault.Unavailable, fault.Remote)
			if f.Sent != requester.Maybe || f.Attempts != int(c.connections) || requester.SentOf(err) != requester.Maybe {
				t.Errorf("%+v", f)
			}
		})
	}
}

// A PUT that was answered by a redirect was acted on; what fails after that must not repeat it.
func TestResend_NotAfterARedirect(t *testing.T) {
	t.Parallel()
	var puts atomic.Int32
	base, _ := wireVendorMethods(t, func(method string, conn net.Conn) {
		if method == "PUT" {
			puts.Add(1)
			reply("HTTP/1.1 303 See Other\r\nLocation: /done\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")(conn)
		}
	})
	_, err := open(t).Do(t.Context(), allow(t, base), requester.Request{Method: "PUT", URL: base}, nil)
	if f := wantFault(t, err, fault.Unavailable, fault.Remote); f.Sent != requester.Maybe || puts.Load() != 1 {
		t.Errorf("%d PUTs, %+v", puts.Load(), f)
	}
}

func wireVendorMethods(t *testing.T, handle func(method string, c net.Conn)) (string, *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := new(atomic.Int32)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			all.Go(func() {
				defer c.Close()
				buf := make([]byte, 4096)
				size, _ := c.Read(buf)
				method, _, _ := strings.Cut(string(buf[:size]), " ")
				handle(method, c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return "http://" + l.Addr().String(), n
}

func TestResend_NotAfterTimeoutOrAnswer(t *testing.T) {
	t.Parallel()
	for name, handle := range map[string]func(net.Conn){
		"timeout": untilGone, "cut answer": reply("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"), "no HTTP": reply("hello\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, connections := wireVendor(t, handle)
			_, err := open(t).Do(t.Context(), allow(t, base), requester.Request{URL: base, Timeout: 500 * time.Millisecond}, nil)
			if err == nil || connections.Load() != 1 {
				t.Errorf("%d connections, %v", connections.Load(), err)
			}
		})
	}
}

func TestSent_AfterRefusalIsNever(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + l.Addr().String()
	l.Close()
	_, err = open(t).Do(t.Context(), allow(t, base), requester.Request{URL: base}, nil)
	if f := wantFault(t, err, fault.Unavailable, fault.Remote); f.Sent != requester.Never || f.Attempts != 2 {
		t.Errorf("%+v", f)
	}
	if requester.SentOf(io.EOF) != requester.Maybe {
		t.Error("an unknown error must be taken for Maybe")
	}
}

func TestSent_AnUnknownTransportIsMaybe(t *testing.T) {
	t.Parallel()
	r := open(t, func(c *requester.Config) {
		c.Wrap = func(http.RoundTripper) http.RoundTripper {
			return roundTrip(func(*http.Request) (*http.Response, error) { return nil, io.ErrClosedPipe })
		}
	})
	_, err := get(t, r, "https://api.example")
	if f := wantFault(t, err, fault.Unavailable, fault.Remote); f.Sent != requester.Maybe {
		t.Errorf("%+v", f)
	}
}

// expired answers 401 to all but this token.
func expired(good string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+good {
			w.WriteHeader(401)
			return
		}
		echo(w, r)
	}
}

func TestRenew_OnceAfterA401AndForEveryMethod(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"GET", "POST", "PATCH", "DELETE"} {
		base, requests := vendor(t, expired("token-two"))
		auth := &bearer{tokens: []string{"token-one", "token-two"}}
		res, err := open(t).Do(t.Context(), allow(t, base), requester.Request{Method: method, URL: base, Body: []byte("the body")}, auth)
		if err != nil {
			t.Fatal(err)
		}
		if res.Status != 200 || res.Attempts != 2 || auth.renewals != 1 || requests.Load() != 2 || echoed(t, res).Body != "the body" {
			t.Errorf("%s: %+v, %d renewals, %d requests", method, res, auth.renewals, requests.Load())
		}
		if strings.Contains(string(res.Body), "token-") {
			t.Errorf("the answer holds a token: %s", res.Body)
		}
	}
}

func TestRenew_IsNotRepeated(t *testing.T) {
	t.Parallel()
	base, requests := vendor(t, expired("never"))
	auth := &bearer{tokens: []string{"token-one", "token-two", "token-three"}}
	res, err := open(t).Do(t.Context(), allow(t, base), requester.Request{URL: base}, auth)
	if err != nil || res.Status != 401 || auth.renewals != 1 || requests.Load() != 2 {
		t.Errorf("%+v, %v, %d renewals, %d requests", res, err, auth.renewals, requests.Load())
	}
}

func TestRenew_FalseReturnsThe401(t *testing.T) {
	t.Parallel()
	base, requests := vendor(t, expired("never"))
	auth := &bearer{tokens: []string{"token-one"}}
	res, err := open(t).Do(t.Context(), allow(t, base), requester.Request{URL: base}, auth)
	if err != nil || res.Status != 401 || requests.Load() != 1 {
		t.Errorf("%+v, %v, %d requests", res, err, requests.Load())
	}
}

func TestRenew_ErrorKeepsItsKind(t *testing.T) {
	t.Parallel()
	base, _ := vendor(t, expired("never"))
	cause := &fault.Error{Kind: fault.Unauthorized, Side: fault.Remote, Op: "connection.Renew", Msg: "the account must be connected again"}
	_, err := open(t).Do(t.Context(), allow(t, base), requester.Request{Method: "POST", URL: base}, &bearer{tokens: []string{"token-one"}, renewError: cause})
	f := wantFault(t, err, fault.Unauthorized, fault.Remote)
	wantMessage(t, err, "must be connected again")
	if f.Err != cause || f.Sent != requester.Never {
		t.Errorf("a refused request did nothing, and the cause stays: %+v", f)
	}
}

type failing struct{ err error }

func (f failing) Authorize(context.Context, *requester.Outgoing) ([]secret.Text, error) {
	return nil, f.err
}
func (f failing) Renew(context.Context, *requester.Response) (bool, error) { return false, nil }

func TestAuthorizer_ErrorStopsTheRequest(t *testing.T) {
	t.Parallel()
	base, requests := vendor(t, echo)
	for _, c := range []struct {
		err  error
		kind fault.Kind
		side fault.Side
	}{
		{fault.New(fault.NotFound, "connection.Authorize", "no such credential"), fault.NotFound, fault.Caller},
		{io.ErrUnexpectedEOF, fault.Internal, fault.Host}, // not taken for a broken connection
		{context.DeadlineExceeded, fault.Timeout, fault.Host},
	} {
		_, err := open(t).Do(t.Context(), allow(t, base), requester.Request{URL: base}, failing{c.err})
		if f := wantFault(t, err, c.kind, c.side); f.Attempts != 1 || f.Sent != requester.Never || f.Err != c.err {
			t.Errorf("%+v", f)
		}
	}
	if requests.Load() != 0 {
		t.Error("a request arrived")
	}
}

// nested renews by a call of its own, as an OAuth client does.
type nested struct {
	bearer
	renew func() error
}

func (n *nested) Renew(ctx context.Context, res *requester.Response) (bool, error) {
	if err := n.renew(); err != nil {
		return false, err
	}
	return n.bearer.Renew(ctx, res)
}

func TestRenew_MayItselfUseTheSameBudget(t *testing.T) {
	t.Parallel()
	base, _ := vendor(t, expired("token-two"))
	token, tokens := vendor(t, echo)
	r := open(t, func(c *requester.Config) { c.MaxInFlight = 1 })
	p := allow(t, base, token)
	p.Key = "connection-1"
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			auth := &nested{bearer: bearer{tokens: []string{"token-one", "token-two"}}, renew: func() error {
				_, err := r.Do(t.Context(), p, requester.Request{Method: "POST", URL: token}, nil)
				return err
			}}
			if res, err := r.Do(t.Context(), p, requester.Request{URL: base}, auth); err != nil || res.Status != 200 {
				t.Errorf("%+v, %v", res, err)
			}
		})
	}
	all.Wait()
	if tokens.Load() != 8 {
		t.Errorf("%d token requests", tokens.Load())
	}
}

func TestInFlight_IsBoundedPerKey(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int32
	release := make(chan struct{})
	var inside sync.WaitGroup
	inside.Add(3)
	base, _ := vendor(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/other" {
			return
		}
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if n <= 3 {
			select {
			case <-release:
			default:
				inside.Done()
				<-release
			}
		}
	})
	r := open(t, func(c *requester.Config) { c.MaxInFlight = 3 })
	p := allow(t, base)
	p.Key = "greedy"
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			if _, err := r.Do(t.Context(), p, requester.Request{URL: base}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	inside.Wait()
	other := p
	other.Key = "modest"
	if _, err := r.Do(t.Context(), other, requester.Request{URL: base + "/other"}, nil); err != nil {
		t.Errorf("another key has to wait: %v", err)
	}
	close(release)
	all.Wait()
	if most.Load() != 3 {
		t.Errorf("%d at once, want 3", most.Load())
	}
}

// TestRenew_NotAfterARedirectToAGET: the write before it was acted on, and its credential was good.
func TestRenew_NotAfterARedirectToAGET(t *testing.T) {
	t.Parallel()
	var posts atomic.Int32
	base, _ := vendor(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			posts.Add(1)
			http.Redirect(w, r, "/made", http.StatusSeeOther)
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
	})
	auth := &bearer{tokens: []string{"token-one", "token-two"}}
	res, err := open(t).Do(t.Context(), allow(t, base), requester.Request{Method: "POST", URL: base}, auth)
	if err != nil || res.Status != 401 || !res.Moved || posts.Load() != 1 || auth.renewals != 0 {
		t.Errorf("%+v, %v, %d POSTs, %d renewals", res, err, posts.Load(), auth.renewals)
	}
}
