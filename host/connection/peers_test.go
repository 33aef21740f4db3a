package connection_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
)

func TestPeers_PKCEIsSentWhenTheServerRequiresIt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.vendor.pkce = true
	r.connect()
	if v := r.vendor.lastToken().form.Get("code_verifier"); len(v) < 43 {
		t.Errorf("the verifier %q is shorter than RFC 7636 allows", v)
	}
}

func TestPeers_CodeExchangeWithSecretInBody(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.vendor.method = "post"
	r.install(r.vendor.changed(func(m *abi.Manifest) { m.Auth.OAuth2.ClientAuth = abi.ClientAuthPost }))
	r.connect()
	if h := r.vendor.lastToken().header.Get("Authorization"); h != "" {
		t.Errorf("the client showed itself twice: %q", h)
	}
}

func TestPeers_CodeExchangeWithReservedCharactersInBasicSecret(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.vendor.secret = "s3cret+/ %&=:ü"
	r.install(r.vendor.manifest())
	r.connect()
}

func TestPeers_ClientCredentialsAreAForm(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.vendor.changed(clientCredentials))
	got, err := r.Authorize(t.Context(), r.mine, "crm", map[string]any{})
	check(t, err)
	_, err = r.get(got.EntityID, "/things")
	check(t, err)
	if scope := r.vendor.lastToken().form.Get("scope"); scope != "read write" {
		t.Errorf("asked for scope %q", scope)
	}
}

func clientCredentials(m *abi.Manifest) {
	m.Auth.OAuth2.Grant, m.Auth.OAuth2.AuthorizeURL = abi.OAuth2GrantClientCredentials, ""
}

func TestPeers_TokenExpiresAgainAndAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.vendor.lifetime = 2 * time.Second
	e := r.connect().EntityID
	for i := range 5 {
		_, err := r.get(e, "/things")
		check(t, err)
		r.clock.advance(3 * time.Second)
		if n := r.vendor.grants("refresh_token"); n != i {
			t.Errorf("%d refreshes after %d expiries", n, i)
		}
	}
}

func TestPeers_TenParallelCallsAfterExpiry(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.connect().EntityID
	r.clock.advance(2 * time.Hour)
	together(t, 10, func(int) error {
		_, err := r.get(e, "/things")
		return err
	})
	if n := r.vendor.grants("refresh_token"); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
}

func TestPeers_TenWorkersOfTheirOwnAfterExpiry(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.connect().EntityID
	r.clock.advance(2 * time.Hour)
	hosts := make([]*connection.Service, 10)
	for i := range hosts {
		hosts[i] = r.host(openDB(t, r.path))
		t.Cleanup(hosts[i].Close)
	}
	together(t, len(hosts), func(i int) error {
		_, err := hosts[i].Send(t.Context(), r.mine.Owner, e, abi.HTTPRequest{URL: "/things"}, connection.CallOptions{})
		return err
	})
	if n := r.vendor.grants("refresh_token"); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
}

// together runs f n times at once and fails for every error.
func together(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-begin
			if err := f(i); err != nil {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	close(begin)
	wg.Wait()
}

func TestPeers_RefreshAnswerWithoutRefreshTokenKeepsTheOldOne(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.vendor.keepQuiet = true
	e := r.connect().EntityID
	for range 3 {
		r.clock.advance(2 * time.Hour)
		_, err := r.get(e, "/things")
		check(t, err)
	}
	if n := r.vendor.grants("refresh_token"); n != 3 {
		t.Errorf("%d refreshes, want 3", n)
	}
}

func TestPeers_TokenEndpointIsDownTwice(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	got := r.connect()
	r.clock.advance(2 * time.Hour)
	r.vendor.failTokens(2, 503)
	_, err := r.get(got.EntityID, "/things")
	check(t, err)
	if c := r.credential(got.CredentialID); c.Status != connection.OK {
		t.Errorf("the credential is %s", c.Status)
	}
}

func TestPeers_RetryAfterIsTold(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.connect().EntityID
	r.vendor.handle("/api/busy", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "2")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	_, err := r.get(e, "/busy")
	wants(t, err, fault.RateLimited, fault.Remote)
	if wait := fault.RetryAfterOf(err); wait != 2*time.Second {
		t.Errorf("retry after %s, want 2s", wait)
	}
}

func TestPeers_AVendorThatNeverAnswersIsATimeout(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.connect().EntityID
	gone := make(chan struct{})
	defer close(gone)
	r.vendor.handle("/api/hang", func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-gone:
		case <-req.Context().Done():
		}
	})
	_, err := r.Send(t.Context(), r.mine.Owner, e, abi.HTTPRequest{URL: "/hang", TimeoutMS: 100}, connection.CallOptions{})
	wants(t, err, fault.Timeout, fault.Remote)
}
