package outbound_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/event"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/outbound"
	"github.com/frigg-host/frigg-host/host/requester"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/frigg-host/frigg-host/store"
)

// service is the room on real sockets and the real clock.
func service(t *testing.T, open ...netip.Prefix) *outbound.Service {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{DSN: filepath.Join(t.TempDir(), "frigg.db")})
	if err != nil {
		t.Fatal(err)
	}
	sender := requester.New(requester.Config{AllowPrivate: open})
	t.Cleanup(func() {
		sender.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	key, _ := secret.GenerateRootKey()
	return &outbound.Service{
		Store: db, Vault: secret.NewVault(key, db, time.Now), Sender: sender, Now: time.Now, Log: slog.New(slog.DiscardHandler), PlainHTTP: len(open) > 0,
	}
}

var loopback = netip.MustParsePrefix("127.0.0.0/8")

func TestTest_OfHostileEndpointsIsBounded(t *testing.T) {
	t.Parallel()
	var inside atomic.Int32
	private := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside.Add(1) }))
	t.Cleanup(private.Close)
	for name, c := range map[string]struct {
		serve  http.HandlerFunc
		status int
		err    string
	}{
		"takes it": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }, 202, ""},
		"redirects": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, private.URL, http.StatusTemporaryRedirect)
		}, 307, "it answered 307"},
		"takes it without end":  {endless(http.StatusOK), 200, ""},
		"refuses without end":   {endless(http.StatusInternalServerError), 500, "it answered 500"},
		"breaks the connection": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, "broke the connection"},
		"floods with headers": {func(w http.ResponseWriter, _ *http.Request) {
			for range 300 {
				w.Header().Add("X-Much", strings.Repeat("x", 1000))
			}
		}, 0, "headers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(c.serve)
			defer server.Close()
			s := service(t, loopback)
			e, _, err := s.CreateEndpoint(t.Context(), ada, outbound.Settings{URL: &server.URL})
			if err != nil {
				t.Fatal(err)
			}
			a, err := s.TestEndpoint(t.Context(), ada, e.ID)
			if err != nil || a.Status != c.status || (a.Error == "") != (c.err == "") || !strings.Contains(a.Error, c.err) {
				t.Errorf("got %+v, %v; want %d %q", a, err, c.status, c.err)
			}
		})
	}
	t.Cleanup(func() {
		if inside.Load() != 0 {
			t.Error("a redirect was followed")
		}
	})
}

func endless(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, strings.Repeat("more ", 1000)); err != nil {
				return
			}
		}
	}
}

func TestTest_ReachesNoPrivateAddress(t *testing.T) {
	t.Parallel()
	s := service(t)
	for _, url := range []string{"https://127.0.0.1/", "https://10.1.2.3/", "https://169.254.169.254/latest", "https://[::1]/", "https://localhost/"} {
		e, _, err := s.CreateEndpoint(t.Context(), ada, outbound.Settings{URL: &url})
		if err != nil {
			t.Fatal(err)
		}
		if a, err := s.TestEndpoint(t.Context(), ada, e.ID); err != nil || a.Status != 0 || !strings.Contains(a.Error, "not at a public address") {
			t.Errorf("%s: got %+v, %v", url, a, err)
		}
	}
}

func TestCreate_RefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	s := service(t)
	good, long := "https://app.example.com/hooks", strings.Repeat("x", 501)
	for name, c := range map[string]outbound.Settings{
		"no url":           {},
		"plain http":       {URL: ptr("http://app.example.com/")},
		"no address":       {URL: ptr("app.example.com")},
		"user in it":       {URL: ptr("https://ada:pw@app.example.com/")},
		"another scheme":   {URL: ptr("file:///etc/passwd")},
		"long description": {URL: &good, Description: &long},
		"unknown event":    {URL: &good, Events: []event.Pattern{"integration.enabeld"}},
		"star inside":      {URL: &good, Events: []event.Pattern{"integration.*d"}},
		"half a group":     {URL: &good, Events: []event.Pattern{"integ*"}},
		"too many events":  {URL: &good, Events: make([]event.Pattern, 51)},
	} {
		if _, _, err := s.CreateEndpoint(t.Context(), ada, c); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for i := range 21 {
		_, _, err := s.CreateEndpoint(t.Context(), ada, outbound.Settings{URL: &good})
		if fault.Is(err, fault.Conflict) != (i == 20) {
			t.Errorf("endpoint %d: %v", i+1, err)
		}
	}
	if _, _, err := s.CreateEndpoint(t.Context(), bob, outbound.Settings{URL: &good}); err != nil {
		t.Errorf("somebody else is in the way: %v", err)
	}
}

func ptr[T any](v T) *T { return &v }
