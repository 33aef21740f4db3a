package connection_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
)

func TestRenew_TwentyCallsSpendTheRefreshTokenOnce(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*rig){
		"expired": func(r *rig) { r.clock.advance(2 * time.Hour) },
		"refused": func(r *rig) { r.vendor.dropTokens() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			e := r.connect().EntityID
			spoil(r)
			together(t, 20, func(int) error {
				_, err := r.get(e, "/things")
				return err
			})
			if n := r.vendor.grants("refresh_token"); n != 1 {
				t.Errorf("%d token requests, want 1", n)
			}
		})
	}
}

func TestRenew_TwoHostsSpendTheRefreshTokenOnce(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]func(t *testing.T, n int, f func(int) error){
		"at once": together,
		"in turn": func(t *testing.T, n int, f func(int) error) {
			for i := range n {
				check(t, f(i))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			e := r.connect().EntityID
			other := r.host(openDB(t, r.path))
			t.Cleanup(other.Close)
			hosts := []*connection.Service{r.Service, other}
			for i := range 4 {
				r.clock.advance(2 * time.Hour)
				run(t, 20, func(i int) error {
					_, err := hosts[i%2].Send(t.Context(), r.mine.Owner, e, abi.HTTPRequest{URL: "/things"}, connection.CallOptions{})
					return err
				})
				if n := r.vendor.grants("refresh_token"); n != i+1 {
					t.Fatalf("%d token requests after %d expiries", n, i+1)
				}
			}
		})
	}
}

func TestRenew_GoesOnWhenItsCallerLeaves(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.connect().EntityID
	r.clock.advance(2 * time.Hour)
	arrived, answer := make(chan struct{}), make(chan struct{})
	r.vendor.set(func(v *vendor) {
		v.before = func(string) { close(arrived); <-answer }
	})
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := r.Send(ctx, r.mine.Owner, e, abi.HTTPRequest{URL: "/things"}, connection.CallOptions{})
		done <- err
	}()
	<-arrived
	leave()
	if err := <-done; !fault.Is(err, fault.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
	r.vendor.set(func(v *vendor) { v.before = nil })
	close(answer)
	_, err := r.get(e, "/things")
	check(t, err)
	if n := r.vendor.grants("refresh_token"); n != 1 {
		t.Errorf("%d token requests, want 1: the tokens were lost", n)
	}
}

func TestRenew_AnotherHostThatDiedBeforeAskingHoldsTheLeaseForAMinute(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	got := r.connect()
	r.clock.advance(2 * time.Hour)
	c := r.credential(got.CredentialID)
	leased, err := r.db.LeaseCredential(t.Context(), c, connection.Lease{Holder: "dead", Until: r.clock.Now().Add(time.Minute)}, r.clock.Now())
	if err != nil || leased == nil {
		t.Fatal("no lease", err)
	}
	_, err = r.get(got.EntityID, "/things")
	wants(t, err, fault.Unavailable, fault.Remote)
	if fault.RetryAfterOf(err) == 0 || r.vendor.grants("refresh_token") != 0 {
		t.Errorf("got %v after %d token requests", err, r.vendor.grants("refresh_token"))
	}
	r.clock.advance(time.Minute)
	_, err = r.get(got.EntityID, "/things")
	check(t, err)
}

func TestRenew_AVendorInTroubleDoesNotCostTheConnection(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]struct {
		fail func(*rig)
		kind fault.Kind
	}{
		"500":                 {func(r *rig) { r.vendor.failTokens(1, 500) }, fault.Unavailable},
		"503 for long":        {func(r *rig) { r.vendor.failTokens(4, 503) }, fault.Unavailable},
		"429":                 {func(r *rig) { r.vendor.failTokens(1, 429, "Retry-After", "120") }, fault.RateLimited},
		"not JSON":            {func(r *rig) { r.vendor.failTokens(1, 200) }, fault.Unavailable},
		"application refused": {func(r *rig) { r.vendor.set(func(v *vendor) { v.secret = "rotated" }) }, fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			got := r.connect()
			r.clock.advance(2 * time.Hour)
			good := r.vendor.secret
			trouble.fail(r)
			_, err := r.get(got.EntityID, "/things")
			if !fault.Is(err, trouble.kind) {
				t.Errorf("got %v, want %s", err, trouble.kind)
			}
			if c := r.credential(got.CredentialID); c.Status != connection.OK || c.Version != 1 {
				t.Errorf("the credential is %s in version %d", c.Status, c.Version)
			}
			asked := r.vendor.grants("refresh_token")
			_, err = r.get(got.EntityID, "/things")
			if fault.RetryAfterOf(err) == 0 || r.vendor.grants("refresh_token") != asked {
				t.Errorf("asked again at once: %v", err)
			}
			r.vendor.set(func(v *vendor) { v.secret, v.tokenFails = good, nil })
			r.clock.advance(2 * time.Minute)
			_, err = r.get(got.EntityID, "/things")
			check(t, err)
		})
	}
}

func TestRenew_ATokenThatIsStillGoodIsUsedWhileTheVendorIsDown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.connect().EntityID
	r.clock.advance(time.Hour - 30*time.Second) // due, and good for half a minute
	r.vendor.failTokens(1, 500)
	for range 3 {
		_, err := r.get(e, "/things")
		check(t, err)
	}
	if n := r.vendor.grants("refresh_token"); n != 1 {
		t.Errorf("%d token requests, want 1 and then a pause", n)
	}
}

func TestRenew_ADeadGrantMakesTheCredentialInvalid(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	got := r.connect()
	r.clock.advance(2 * time.Hour)
	r.vendor.set(func(v *vendor) { v.refresh = map[string]*family{} })
	for range 3 {
		_, err := r.get(got.EntityID, "/things")
		wants(t, err, fault.Unauthorized, fault.Remote)
		says(t, err, "authorise the account again")
	}
	if n := r.vendor.grants("refresh_token"); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
	e, err := r.Entity(t.Context(), r.mine, got.EntityID)
	check(t, err)
	if e.Status != connection.Invalid {
		t.Errorf("the entity is %s", e.Status)
	}
	again := r.connect()
	if again.EntityID != got.EntityID {
		t.Error("authorising again made another entity")
	}
	_, err = r.get(got.EntityID, "/things")
	check(t, err)
}

func TestRenew_AfterA401TheCallIsMadeOnceMore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.connect().EntityID
	r.vendor.dropTokens()
	before := r.vendor.callCount()
	_, err := r.get(e, "/things")
	check(t, err)
	if n := r.vendor.callCount() - before; n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
}

func TestRenew_TakesTheTokenThatAnotherWorkerHasStored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.connect().EntityID
	other := r.host(openDB(t, r.path))
	t.Cleanup(other.Close)
	var once atomic.Bool
	r.vendor.handle("/api/slow", func(w http.ResponseWriter, req *http.Request) {
		if once.CompareAndSwap(false, true) { // meanwhile the other host renews
			r.vendor.dropTokens()
			if _, err := other.Send(t.Context(), r.mine.Owner, e, abi.HTTPRequest{URL: "/things"}, connection.CallOptions{}); err != nil {
				t.Error(err)
			}
			w.WriteHeader(401)
			return
		}
		w.WriteHeader(204)
	})
	res, err := r.get(e, "/slow")
	check(t, err)
	if n := r.vendor.grants("refresh_token"); n != 1 || res.Status != 204 {
		t.Errorf("%d token requests, status %d", n, res.Status)
	}
}

func TestRenew_ARefusalOfOneRequestDoesNotCostTheConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	got := r.connect()
	r.vendor.handle("/api/forbidden-to-us", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) })
	for range 5 {
		_, err := r.get(got.EntityID, "/forbidden-to-us")
		wants(t, err, fault.Unauthorized, fault.Remote)
	}
	if n := r.vendor.grants("refresh_token"); n != 1 {
		t.Errorf("%d token requests: refusals must not spend tokens again and again", n)
	}
	if c := r.credential(got.CredentialID); c.Status != connection.OK {
		t.Errorf("the credential is %s though the vendor's test accepts it", c.Status)
	}
}

func TestRenew_AKeyThatTheVendorRefusesIsInvalid(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.vendor.changed(apiKey))
	r.vendor.set(func(v *vendor) { v.access["key-1"] = &accessGrant{&family{}, v.clock.Now().Add(time.Hour)} })
	got, err := r.Authorize(t.Context(), r.mine, "crm", map[string]any{"api_key": "key-1"})
	check(t, err)
	_, err = r.get(got.EntityID, "/things")
	check(t, err)
	r.vendor.dropTokens()
	_, err = r.get(got.EntityID, "/things")
	wants(t, err, fault.Unauthorized, fault.Remote)
	says(t, err, "authorise the account again")
	if c := r.credential(got.CredentialID); c.Status != connection.Invalid {
		t.Errorf("the credential is %s", c.Status)
	}
	out, err := r.TestEntity(t.Context(), r.mine, got.EntityID)
	check(t, err)
	if out.Outcome != abi.AuthOutcomeInvalid {
		t.Errorf("the test says %s", out.Outcome)
	}
	r.vendor.set(func(v *vendor) { v.access["key-1"] = &accessGrant{&family{}, v.clock.Now().Add(time.Hour)} })
	told := 0
	r.told = func(connection.EntityID) { told++ }
	for range 2 { // the second finds nothing new
		out, err = r.TestEntity(t.Context(), r.mine, got.EntityID)
		check(t, err)
	}
	if c := r.credential(got.CredentialID); out.Outcome != abi.AuthOutcomeOk || c.Status != connection.OK {
		t.Errorf("the test says %s and the credential is %s", out.Outcome, c.Status)
	}
	if told != 1 {
		t.Errorf("that the account works again was told %d times", told)
	}
}

// brokenStore fails to store renewals.
type brokenStore struct {
	connection.Store
	fails atomic.Int32
}

func (b *brokenStore) RenewCredential(ctx context.Context, c *connection.Credential, holder string, r connection.Renewal) (bool, error) {
	if b.fails.Add(-1) >= 0 {
		return false, fault.New(fault.Unavailable, "store.RenewCredential", "the disk of the database is full").With(errors.New("planned"))
	}
	return b.Store.RenewCredential(ctx, c, holder, r)
}

func TestRenew_ADatabaseThatIsFullForAMomentLosesNoTokens(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.connect().EntityID
	broken := &brokenStore{Store: r.db}
	broken.fails.Store(3)
	host := r.hostOver(broken)
	t.Cleanup(host.Close)
	r.clock.advance(2 * time.Hour)
	for range 2 {
		_, err := host.Send(t.Context(), r.mine.Owner, e, abi.HTTPRequest{URL: "/things"}, connection.CallOptions{})
		check(t, err)
	}
	if n := r.vendor.grants("refresh_token"); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
}

func TestRenew_TokensOfAConnectionRemovedMeanwhileAreTakenBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.connect().EntityID
	r.clock.advance(2 * time.Hour)
	r.vendor.set(func(v *vendor) {
		v.before = func(grant string) {
			if grant == "refresh_token" {
				if _, err := r.db.RemoveEntity(context.Background(), r.mine.Owner, e, time.Now()); err != nil {
					t.Error(err)
				}
			}
		}
	})
	if _, err := r.get(e, "/things"); err == nil {
		t.Error("a removed connection was used")
	}
	if n := len(r.vendor.revokedTokens()); n != 1 {
		t.Errorf("%d tokens revoked, want the new one", n)
	}
}

func TestClose_WaitsForARenewalAndRefusesOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	slow := r.connect()
	r.vendor.set(func(v *vendor) { v.account = map[string]any{"id": 8} })
	other := r.connect()
	r.clock.advance(2 * time.Hour)
	arrived, answer := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	r.vendor.set(func(v *vendor) {
		v.before = func(string) {
			if first.CompareAndSwap(false, true) {
				close(arrived)
				<-answer
			}
		}
	})
	go r.get(slow.EntityID, "/things") //nolint:errcheck // its caller is of no interest
	<-arrived
	closed := make(chan struct{})
	go func() { r.Close(); close(closed) }()
	for { // until Close has begun
		if _, err := r.get(other.EntityID, "/things"); err != nil {
			wants(t, err, fault.Unavailable, fault.Host)
			break
		}
		r.clock.advance(2 * time.Hour)
	}
	select {
	case <-closed:
		t.Error("Close did not wait")
	default:
	}
	close(answer)
	<-closed
	if c := r.credential(slow.CredentialID); c.Version != 2 {
		t.Errorf("the credential is in version %d: the tokens were lost", c.Version)
	}
}
