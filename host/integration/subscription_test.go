package integration_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// subscriptions is a vendor's side: subscriptions that live for some time.
type subscriptions struct {
	h      *house
	life   time.Duration
	alive  map[string]connection.Webhook
	calls  []string
	made   int
	fails  error
	cannot bool // renew
	during func()
}

func (v *subscriptions) said(id string) connection.Subscription {
	s := connection.Subscription{ID: id}
	if v.life > 0 {
		s.ExpiresAt = v.h.now.Add(v.life)
	}
	return s
}

func (c *connections) Subscribe(_ context.Context, _ account.Owner, _ connection.EntityID, w connection.Webhook, _ connection.CallOptions) (connection.Subscription, error) {
	v := c.vendor
	v.calls = append(v.calls, "create")
	if v.fails != nil {
		return connection.Subscription{}, v.fails
	}
	v.made++
	id := fmt.Sprint("sub", v.made)
	v.alive[id] = w
	if v.during != nil {
		v.during()
	}
	return v.said(id), nil
}

func (c *connections) RenewSubscription(_ context.Context, _ account.Owner, _ connection.EntityID, w connection.Webhook, _ connection.CallOptions) (connection.Subscription, error) {
	v := c.vendor
	v.calls = append(v.calls, "renew")
	switch _, known := v.alive[w.ID]; {
	case v.cannot:
		return connection.Subscription{}, fault.New(fault.Unsupported, "test", "cannot").On(fault.Guest)
	case v.fails != nil:
		return connection.Subscription{}, v.fails
	case !known:
		return connection.Subscription{}, (&fault.Error{Kind: fault.Invalid, Side: fault.Remote, Op: "test"}).With(&plugin.Status{Code: http.StatusGone})
	}
	return v.said(w.ID), nil
}

func (c *connections) Unsubscribe(_ context.Context, _ account.Owner, _ connection.EntityID, w connection.Webhook, _ connection.CallOptions) error {
	v := c.vendor
	v.calls = append(v.calls, "delete "+w.ID)
	if v.fails != nil {
		return v.fails
	}
	delete(v.alive, w.ID)
	return nil
}

func newSubscribingHouse(t *testing.T) (*house, *subscriptions) {
	t.Helper()
	h := newHouse(t)
	v := &subscriptions{h: h, life: time.Hour, alive: map[string]connection.Webhook{}}
	h.accounts.vendor = v
	h.s.Plugins.(catalog)["sync"].Manifest.Webhooks = []abi.Webhook{{Name: "crm", Role: "crm", Subscribe: true, Topics: []string{"a", "b"}}}
	return h, v
}

// subscribe works the subscription's job off as the workers do, and says when it is due again.
func (h *house) subscribe() job.Outcome {
	h.t.Helper()
	jobs, err := h.db.ClaimJobs(h.t.Context(), "w", h.now, h.now.Add(time.Minute), 1)
	if err != nil || len(jobs) != 1 || jobs[0].Kind != integration.JobSubscribe {
		h.t.Fatalf("claimed %v, %v", jobs, err)
	}
	o := integration.Subscriber{Service: h.s}.Work(h.t.Context(), jobs[0])
	s := job.Settlement{State: job.Done}
	switch {
	case !o.Until.IsZero():
		s = job.Settlement{State: job.Queued, RunAt: o.Until, Free: true, Asleep: true}
	case o.Err != nil:
		s = job.Settlement{State: job.Dead, Error: fault.PublicMessage(o.Err)}
	}
	if o.With != nil {
		s.With = o.With(s)
	}
	if err := h.db.SettleJob(h.t.Context(), jobs[0].ID, jobs[0].Epoch, h.now, s); err != nil {
		h.t.Fatal(err)
	}
	return o
}

func (h *house) subscription(in *integration.Integration) *integration.HookSubscription {
	h.t.Helper()
	hooks, err := h.s.Hooks(h.t.Context(), h.ada, in.ID)
	if err != nil || len(hooks) != 1 || hooks[0].Subscription == nil {
		h.t.Fatalf("%+v, %v", hooks, err)
	}
	return hooks[0].Subscription
}

func (h *house) look() {
	h.t.Helper()
	if err := h.s.KeepSubscribed(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

func TestSubscription_IsMadeWhenTheRecordIsEnabledAndRenewedBeforeItExpires(t *testing.T) {
	t.Parallel()
	h, v := newSubscribingHouse(t)
	in := h.enabled(`{"type":"sync"}`)
	o := h.subscribe()
	if sub := h.subscription(in); sub.State != integration.Subscribed || sub.VendorID != "sub1" || !sub.ExpiresAt.Equal(h.now.Add(time.Hour)) || o.Err != nil {
		t.Fatalf("%+v, %v", sub, o.Err)
	}
	if want := h.now.Add(54 * time.Minute); !o.Until.Equal(want) {
		t.Errorf("due at %v, want %v", o.Until, want)
	}
	told := v.alive["sub1"]
	if !slices.Equal(told.Topics, []string{"a", "b"}) || told.Secret.Reveal() != h.ownSecret(in) || told.Hook != "crm" {
		t.Errorf("the vendor was told %+v", told)
	}
	h.look()
	if h.due() != 0 {
		t.Error("a subscription that lives has a second job")
	}
	for range 3 {
		h.now = o.Until
		if o = h.subscribe(); o.Err != nil {
			t.Fatal(o.Err)
		}
	}
	if got := strings.Join(v.calls, " "); got != "create renew renew renew" {
		t.Errorf("asked the vendor to %s", got)
	}
}

func TestSubscription_OfNoEndIsMadeOnce(t *testing.T) {
	t.Parallel()
	h, v := newSubscribingHouse(t)
	v.life = 0
	h.enabled(`{"type":"sync"}`)
	if o := h.subscribe(); o.Err != nil || !o.Until.IsZero() {
		t.Fatalf("%+v", o)
	}
	h.now = h.now.Add(1000 * time.Hour)
	h.look()
	if h.due() != 0 || len(v.calls) != 1 {
		t.Errorf("%d jobs, asked the vendor to %v", h.due(), v.calls)
	}
}

func TestSubscription_IsMadeAnewWhenTheVendorSaysThatItIsGone(t *testing.T) {
	t.Parallel()
	h, v := newSubscribingHouse(t)
	in := h.enabled(`{"type":"sync"}`)
	first := h.subscribe()
	delete(v.alive, "sub1")
	h.now = first.Until
	if o := h.subscribe(); o.Err != nil || h.subscription(in).VendorID != "sub2" {
		t.Errorf("%v, %+v", o.Err, h.subscription(in))
	}
	if got := strings.Join(v.calls, " "); got != "create renew create" {
		t.Errorf("asked the vendor to %s", got)
	}
}

func TestSubscription_ThatCannotBeRenewedIsReplaced(t *testing.T) {
	t.Parallel()
	h, v := newSubscribingHouse(t)
	v.cannot = true
	h.enabled(`{"type":"sync"}`)
	h.now = h.subscribe().Until
	if o := h.subscribe(); o.Err != nil {
		t.Error(o.Err)
	}
	if got := strings.Join(v.calls, " "); got != "create renew create delete sub1" || len(v.alive) != 1 {
		t.Errorf("asked the vendor to %s; %d are alive", got, len(v.alive))
	}
}

func TestSubscription_ThatFailsSaysWhyAndIsTriedAgain(t *testing.T) {
	t.Parallel()
	h, v := newSubscribingHouse(t)
	in := h.enabled(`{"type":"sync"}`)
	v.fails = fault.New(fault.Unavailable, "test", "the vendor is away").On(fault.Remote)
	h.subscribe()
	if sub := h.subscription(in); sub.State != integration.SubscriptionLost || sub.Problem != "the vendor is away" {
		t.Errorf("%+v", sub)
	}
	h.look()
	if h.due() != 0 {
		t.Error("tried again at once")
	}
	v.fails = nil
	h.now = h.now.Add(time.Hour)
	h.look()
	h.look() // two looks make one job
	if o := h.subscribe(); o.Err != nil || h.subscription(in).State != integration.Subscribed || h.subscription(in).Problem != "" || h.due() != 0 {
		t.Errorf("%v, %+v", o.Err, h.subscription(in))
	}
}

func TestSubscription_IsEndedWhenTheRecordIsRemoved(t *testing.T) {
	t.Parallel()
	h, v := newSubscribingHouse(t)
	in := h.enabled(`{"type":"sync"}`)
	h.subscribe()
	if err := h.s.Delete(t.Context(), h.ada, in.ID); err != nil {
		t.Fatal(err)
	}
	h.work()
	if len(v.alive) != 0 {
		t.Errorf("alive at the vendor: %v", v.alive)
	}
	h.now = h.now.Add(2 * time.Hour)
	h.look()
	if _, err := h.db.IntegrationByID(t.Context(), h.ada.Owner, in.ID); !fault.Is(err, fault.NotFound) || h.due() != 0 {
		t.Errorf("left: %v, %d jobs", err, h.due())
	}
}

func TestSubscription_AVendorThatDoesNotLetGoHoldsNoRecordBack(t *testing.T) {
	t.Parallel()
	h, v := newSubscribingHouse(t)
	in := h.enabled(`{"type":"sync"}`)
	h.subscribe()
	v.fails = (&fault.Error{Kind: fault.Forbidden, Side: fault.Remote, Op: "test", Msg: "no"})
	if err := h.s.Delete(t.Context(), h.ada, in.ID); err != nil {
		t.Fatal(err)
	}
	h.work()
	if _, err := h.db.IntegrationByID(t.Context(), h.ada.Owner, in.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("still there: %v", err)
	}
}

func TestSubscription_RestsWhileTheRecordIsPaused(t *testing.T) {
	t.Parallel()
	h, v := newSubscribingHouse(t)
	in := h.enabled(`{"type":"sync"}`)
	due := h.subscribe().Until
	set := func(s abi.Status) {
		t.Helper()
		if _, err := h.s.Update(t.Context(), h.ada, in.ID, integration.Change{Status: &s}); err != nil {
			t.Fatal(err)
		}
	}
	set(abi.StatusDisabled)
	h.now = due
	h.subscribe()
	h.look()
	if len(v.calls) != 1 || h.due() != 0 {
		t.Errorf("a paused record asked the vendor to %v, %d jobs", v.calls, h.due())
	}
	set(abi.StatusEnabled)
	h.look()
	h.subscribe()
	if got := strings.Join(v.calls, " "); got != "create renew" {
		t.Errorf("asked the vendor to %s", got)
	}
}

func TestSubscription_EventsOfOneThatACrashLeftBehindAreToldToStop(t *testing.T) {
	t.Parallel()
	h, v := newSubscribingHouse(t)
	in := h.enabled(`{"type":"sync"}`)
	v.during = func() { panic("the host dies after the vendor has subscribed") }
	func() {
		defer func() { _ = recover() }()
		h.subscribe()
	}()
	v.during = nil
	if n, err := h.db.RecoverJobs(t.Context(), h.now.Add(time.Hour), true); err != nil || n != 1 {
		t.Fatalf("%d jobs, %v", n, err)
	}
	h.subscribe()
	if len(v.alive) != 2 {
		t.Fatalf("%d subscriptions", len(v.alive))
	}
	post := func(id, event string) (abi.HTTPReply, error) {
		u, err := url.Parse(v.alive[id].URL.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		return h.post(in, u.Query(), `{}`, "X-Signature", inHex(v.alive[id].Secret.Reveal(), `{}`), "X-Id", event)
	}
	if reply, err := post("sub1", "e1"); err != nil || reply.Status != http.StatusGone || h.due() != 0 {
		t.Errorf("what the crash left behind is answered %+v, %v", reply, err)
	}
	if reply, err := post("sub2", "e2"); err != nil || reply.Status != http.StatusOK || h.due() != 1 {
		t.Errorf("the one that counts is answered %+v, %v", reply, err)
	}
	if _, err := h.post(in, nil, `{}`, "X-Signature", "00"); !fault.Is(err, fault.Unauthorized) {
		t.Errorf("unsigned: %v", err)
	}
}
