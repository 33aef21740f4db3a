package requester_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/requester"
	"github.com/frigg-host/frigg-host/host/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// open makes a Requester that may dial this machine.
func open(t *testing.T, change ...func(*requester.Config)) *requester.Requester {
	t.Helper()
	cfg := requester.Config{AllowPrivate: loopback}
	for _, c := range change {
		c(&cfg)
	}
	r := requester.New(cfg)
	t.Cleanup(r.Close)
	return r
}

// vendor starts a server that counts what reaches it.
func vendor(t *testing.T, h http.HandlerFunc) (baseURL string, requests *atomic.Int32) {
	t.Helper()
	requests = new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		h(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, requests
}

// wireVendor starts a server below HTTP: each connection is one call of handle, after the request's head was read.
func wireVendor(t *testing.T, handle func(net.Conn)) (baseURL string, connections *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connections = new(atomic.Int32)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			go func() {
				defer conn.Close()
				head, buf := "", make([]byte, 4096)
				for !strings.Contains(head, "\r\n\r\n") {
					n, err := conn.Read(buf)
					if err != nil {
						return
					}
					head += string(buf[:n])
				}
				handle(conn)
			}()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "http://" + l.Addr().String(), connections
}

// untilGone blocks until the other side has closed the connection.
func untilGone(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// names makes a resolver that knows only what lookup tells it.
func names(lookup func(name string) []string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			answerDNS(server, lookup)
		}()
		return client, nil
	}}
}

func answerDNS(conn net.Conn, lookup func(string) []string) {
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return
	}
	query := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, query); err != nil {
		return
	}
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return
	}
	q := m.Questions[0]
	m.Response, m.RecursionAvailable, m.Additionals, m.RCode = true, true, nil, dnsmessage.RCodeNameError
	for _, text := range lookup(strings.TrimSuffix(q.Name.String(), ".")) {
		addr := netip.MustParseAddr(text)
		head := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET}
		m.RCode = dnsmessage.RCodeSuccess
		switch {
		case addr.Is4() && q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AResource{A: addr.As4()}})
		case addr.Is6() && q.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
		}
	}
	answer, err := m.Pack()
	if err != nil {
		return
	}
	_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
}

// allow is a policy for the origins of these URLs.
func allow(t testing.TB, urls ...string) requester.Policy {
	t.Helper()
	var p requester.Policy
	for _, raw := range urls {
		origin := raw
		if u, err := url.Parse(raw); err == nil && u.Host != "" {
			origin = u.Scheme + "://" + u.Host
		}
		rule, err := requester.ParseHostRule(origin)
		if err != nil {
			t.Fatal(err)
		}
		p.Hosts = append(p.Hosts, rule)
	}
	return p
}

// get asks for url and nothing else.
func get(t *testing.T, r *requester.Requester, url string) (*requester.Response, error) {
	t.Helper()
	return r.Do(t.Context(), allow(t, url), requester.Request{URL: url}, nil)
}

// wantFault checks kind, side and that every error of Do carries a Failure; it returns that.
func wantFault(t *testing.T, err error, kind fault.Kind, side fault.Side) *requester.Failure {
	t.Helper()
	var f *requester.Failure
	switch {
	case err == nil:
		t.Fatalf("no error, want %s/%s", kind, side)
	case fault.KindOf(err) != kind || fault.SideOf(err) != side:
		t.Fatalf("got %s/%s (%v), want %s/%s", fault.KindOf(err), fault.SideOf(err), err, kind, side)
	case !errors.As(err, &f):
		t.Fatalf("no Failure inside %v", err)
	case fault.PublicMessage(err) == "":
		t.Fatalf("no message in %v", err)
	}
	return f
}

func wantMessage(t *testing.T, err error, part string) {
	t.Helper()
	if got := fault.PublicMessage(err); !strings.Contains(got, part) {
		t.Errorf("message %q does not say %q", got, part)
	}
}

// bearer is an Authorizer with one token, and another after each renewal.
type bearer struct {
	tokens []string

	calls, renewals int
	renewError      error
}

func (b *bearer) token() string { return b.tokens[min(b.renewals, len(b.tokens)-1)] }

func (b *bearer) Authorize(_ context.Context, out *requester.Outgoing) ([]secret.Text, error) {
	b.calls++
	out.Header.Set("Authorization", "Bearer "+b.token())
	return []secret.Text{secret.NewText(b.token())}, nil
}

func (b *bearer) Renew(context.Context, *requester.Response) (bool, error) {
	b.renewals++
	return b.renewals < len(b.tokens), b.renewError
}

// authorize is an Authorizer made of one function.
type authorize func(*requester.Outgoing) []secret.Text

func (f authorize) Authorize(_ context.Context, out *requester.Outgoing) ([]secret.Text, error) {
	return f(out), nil
}
func (authorize) Renew(context.Context, *requester.Response) (bool, error) { return false, nil }

// watching remembers what Renew was shown.
type watching struct {
	bearer
	saw string
}

func (w *watching) Renew(_ context.Context, rejected *requester.Response) (bool, error) {
	w.saw = rejected.Header.Get("X-Echo")
	return false, nil
}
