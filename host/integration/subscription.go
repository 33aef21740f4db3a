package integration

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/secret"
)

// JobSubscribe is the kind of the jobs that a Subscriber works off.
const JobSubscribe = "integration.subscribe"

// SubscriptionState says how far a subscription is.
type SubscriptionState string

const (
	Subscribing      SubscriptionState = "subscribing" // the vendor is being asked
	Subscribed       SubscriptionState = "active"
	SubscriptionLost SubscriptionState = "failed" // every try failed; it is tried again at DueAt
)

// HookSubscription is a record's subscription to a webhook at the vendor, which the host keeps alive.
type HookSubscription struct {
	Integration ID
	Owner       account.Owner
	Webhook     string
	State       SubscriptionState
	// VendorID is the vendor's id; empty while there is none.
	VendorID string
	// Token is in the address that the vendor was told, Pending in the one that it is being told, Previous in the one before.
	// What comes to any other address is of a subscription that a crash left behind, and is told to stop.
	Token, Pending, Previous string
	// ExpiresAt is when the vendor ends it, DueAt when something is to be done; zero is never.
	ExpiresAt, DueAt time.Time
	Problem          string // for people, of the last try; empty when it went well
	UpdatedAt        time.Time
}

// SettledSubscription is what a try to keep a subscription changes, in the act that settles the job.
type SettledSubscription struct {
	Subscription HookSubscription
	Secret       *HookSecret // that the vendor made; nil for none
}

type subscribePayload struct {
	Integration ID     `json:"integration"`
	Webhook     string `json:"webhook"`
}

// subscribeJob keeps one subscription alive for good: it sleeps until the subscription must be renewed. It has the record's
// lane, so that no event and above all not ON_DELETE runs beside it.
func (s *Service) subscribeJob(o account.Owner, id ID, webhook string) job.New {
	raw, _ := json.Marshal(subscribePayload{id, webhook}) // two texts
	return job.New{
		ID: job.NewID(), Owner: o, Lane: string(id), Kind: JobSubscribe, Payload: raw, CreatedAt: s.now(),
		UniqueKey: "subscribe|" + string(id) + "|" + webhook,
	}
}

// subscribeJobs are those of a record that begins to work.
func (s *Service) subscribeJobs(in *Integration) []job.New {
	p, err := s.integrationPlugin(in.Plugin)
	if err != nil {
		return nil // KeepSubscribed finds the record when the plugin is there again
	}
	var jobs []job.New
	for _, w := range p.Manifest.Webhooks {
		if _, plays := in.entity(w.Role); w.Subscribe && plays {
			jobs = append(jobs, s.subscribeJob(in.Owner, in.ID, w.Name))
		}
	}
	return jobs
}

// subscribePage bounds how many records of a webhook get a job in one round.
const subscribePage = 200

// KeepSubscribed gives a job to every record that works and lacks a subscription, or whose subscription is due. It is cheap
// when there is none, and is called again and again: whatever made a record work, and whatever was lost, it is found.
func (s *Service) KeepSubscribed(ctx context.Context) error {
	found := false
	for _, p := range s.Plugins.Plugins() {
		if p.Kind != abi.PluginKindIntegration || p.State != plugin.Ready {
			continue
		}
		for _, w := range p.Manifest.Webhooks {
			if !w.Subscribe {
				continue
			}
			records, err := s.Store.Unsubscribed(ctx, p.Name, w.Role, w.Name, s.now(), subscribePage)
			if err != nil {
				return err
			}
			for _, r := range records {
				if _, err := s.Store.EnqueueFor(ctx, r.Owner, r.Integration, []job.New{s.subscribeJob(r.Owner, r.Integration, w.Name)}, maxReceived); err != nil && !fault.Is(err, fault.NotFound) {
					return err
				}
				found = true
			}
		}
	}
	if found {
		s.wake()
	}
	return nil
}

// Subscriber is the job.Handler of JobSubscribe.
type Subscriber struct{ *Service }

// subscribeTimeout bounds one request to the vendor.
const subscribeTimeout = 30 * time.Second

// subscribeAgain is how long a subscription rests for which every try failed.
const subscribeAgain = time.Hour

// Work makes or renews a subscription, and sleeps until it is due again.
func (b Subscriber) Work(ctx context.Context, j *job.Job) job.Outcome {
	s := b.Service
	var p subscribePayload
	if err := json.Unmarshal(j.Payload, &p); err != nil {
		return job.Outcome{Err: fault.Wrap(err, fault.Internal, "integration.Subscribe", "the job's payload cannot be read"), Halt: true}
	}
	in, err := s.Store.IntegrationByID(ctx, j.Owner, p.Integration)
	if fault.Is(err, fault.NotFound) || err == nil && Decide(in.Status, abi.EventOnWebhook) != Run {
		return job.Outcome{} // KeepSubscribed sees when it works again
	}
	if err != nil {
		return job.Outcome{Err: err}
	}
	h, sub, err := s.subscribed(ctx, in, p.Webhook)
	if err != nil || !h.w.Subscribe {
		return job.Outcome{Err: err}
	}
	if sub.State == Subscribed && (sub.DueAt.IsZero() || sub.DueAt.After(s.now())) {
		return job.Outcome{Until: sub.DueAt}
	}
	out := SettledSubscription{}
	out.Secret, err = s.keep(ctx, h, sub)
	return s.subscription(h, sub, out, err)
}

// subscribed reads the subscription of a webhook, a new one if there is none.
func (s *Service) subscribed(ctx context.Context, in *Integration, webhook string) (hooked, *HookSubscription, error) {
	p, err := s.integrationPlugin(in.Plugin)
	if err != nil {
		return hooked{}, nil, fault.New(fault.Unavailable, "integration.Subscribe", "the plugin %s cannot run: %s", in.Plugin, fault.PublicMessage(err)).With(err)
	}
	i := slices.IndexFunc(p.Manifest.Webhooks, func(w abi.Webhook) bool { return w.Name == webhook })
	if i < 0 {
		return hooked{}, nil, nil // this version does not have it
	}
	h, err := s.hook(p, in, p.Manifest.Webhooks[i])
	if err != nil {
		return h, nil, err
	}
	sub, err := s.Store.SubscriptionOf(ctx, in.Owner, in.ID, webhook)
	if fault.Is(err, fault.NotFound) {
		return h, &HookSubscription{Integration: in.ID, Owner: in.Owner, Webhook: webhook, State: Subscribing, UpdatedAt: s.now()}, nil
	}
	return h, sub, err
}

// subscription says what a try means for the job and for the subscription.
func (s *Service) subscription(h hooked, sub *HookSubscription, out SettledSubscription, err error) job.Outcome {
	o := job.Outcome{Err: err}
	if err == nil {
		sub.Problem, o.Until = "", sub.DueAt
	} else {
		sub.Problem = clip(fault.PublicMessage(err), 1000)
	}
	o.With = func(st job.Settlement) any {
		if err != nil && st.State.Ended() {
			sub.State, sub.DueAt = SubscriptionLost, s.now().Add(subscribeAgain)
		}
		sub.UpdatedAt = s.now()
		out.Subscription = *sub
		return &out
	}
	return o
}

// keep makes or renews a subscription. It changes sub to what is to be stored, and returns a secret that the vendor made.
func (s *Service) keep(ctx context.Context, h hooked, sub *HookSubscription) (*HookSecret, error) {
	entity, ok := h.record.entity(h.w.Role)
	if !ok {
		return nil, fault.New(fault.Unavailable, "integration.Subscribe", "no account plays the role %q", h.w.Role)
	}
	keys, err := s.ownKeys(ctx, h)
	if err != nil {
		return nil, err
	}
	if sub.VendorID != "" {
		renewed, err := s.Connections.RenewSubscription(ctx, sub.Owner, entity, s.told(h, keys, sub.VendorID, sub.Token), s.asks())
		if err == nil {
			return nil, s.alive(h, sub, renewed)
		}
		if !connection.Gone(err) && !fault.Is(err, fault.Unsupported) {
			return nil, err
		}
		if connection.Gone(err) {
			sub.VendorID = ""
		}
	}
	return s.subscribe(ctx, h, entity, keys, sub)
}

// subscribe makes a new subscription under an address of its own, which is on disk before the vendor is asked, and ends the one
// before it.
func (s *Service) subscribe(ctx context.Context, h hooked, entity connection.EntityID, keys hookKeys, sub *HookSubscription) (*HookSecret, error) {
	sub.Pending = rand.Text()
	if err := s.Store.PutSubscription(ctx, sub); err != nil {
		return nil, err
	}
	made, err := s.Connections.Subscribe(ctx, sub.Owner, entity, s.told(h, keys, "", sub.Pending), s.asks())
	if err != nil {
		return nil, err
	}
	old := s.told(h, keys, sub.VendorID, sub.Token)
	sub.VendorID, sub.Previous, sub.Token, sub.Pending = made.ID, sub.Token, sub.Pending, ""
	if old.ID != "" && old.ID != made.ID {
		if err := s.Connections.Unsubscribe(ctx, sub.Owner, entity, old, s.asks()); err != nil {
			s.Log.WarnContext(ctx, "an old subscription was not ended at the vendor", "op", "integration.Subscribe", "owner", string(sub.Owner),
				"integration", string(sub.Integration), "plugin", h.plugin.Name, "err", err)
		}
	}
	if err := s.alive(h, sub, made); err != nil || made.Secret.IsZero() {
		return nil, err
	}
	one, err := s.sealHookSecret(ctx, h, FromVendor, made.Secret)
	return &one, err
}

// alive notes that a subscription lives, and when it is due.
func (s *Service) alive(h hooked, sub *HookSubscription, said connection.Subscription) error {
	now := s.now()
	sub.State, sub.ExpiresAt, sub.DueAt = Subscribed, said.ExpiresAt, time.Time{}
	if said.ExpiresAt.IsZero() {
		return nil
	}
	life := said.ExpiresAt.Sub(now)
	if life <= 0 {
		return fault.New(fault.Unavailable, "integration.Subscribe", "the vendor gave a subscription that has expired already, at %s; check the clock of this machine", said.ExpiresAt.Format(time.RFC3339))
	}
	before := time.Duration(h.hook.RenewBeforeS) * time.Second
	if before <= 0 || before >= life {
		before = life / 10
	}
	sub.DueAt = said.ExpiresAt.Add(-before).Truncate(time.Microsecond)
	return nil
}

// told is what the vendor is told of the webhook.
func (s *Service) told(h hooked, keys hookKeys, vendorID, token string) connection.Webhook {
	address := s.hookAddress(h) + "?" + subscriptionParameter + "=" + token
	if h.keyed() {
		address += "&" + keyParameter + "=" + keys.addressKey(h).Reveal()
	}
	given := keys.own[0]
	if len(keys.live) > 0 {
		given = keys.live[0]
	}
	return connection.Webhook{Hook: h.hook.Name, URL: secret.NewText(address), Secret: given, Topics: h.w.Topics, ID: vendorID}
}

func (s *Service) asks() connection.CallOptions {
	return connection.CallOptions{Handles: secret.NewHandles(), Timeout: subscribeTimeout}
}

// unsubscribeAll ends the subscriptions of a record that is being removed. What cannot be ended although another try cannot
// help either is forgotten: events that still come find no record.
func (s *Service) unsubscribeAll(ctx context.Context, in *Integration, last bool) error {
	subs, err := s.Store.SubscriptionsOf(ctx, in.Owner, in.ID)
	if err != nil {
		return err
	}
	for _, sub := range subs {
		err := s.unsubscribe(ctx, in, sub)
		if err != nil && fault.Retryable(err) && !last {
			return err
		}
		if err != nil {
			s.Log.WarnContext(ctx, "a subscription was not ended at the vendor", "op", "integration.Unsubscribe", "owner", string(in.Owner),
				"integration", string(in.ID), "plugin", in.Plugin, "err", err)
		}
		if err := s.Store.DropSubscription(ctx, in.Owner, in.ID, sub.Webhook); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) unsubscribe(ctx context.Context, in *Integration, sub *HookSubscription) error {
	if sub.VendorID == "" {
		return nil
	}
	h, _, err := s.subscribed(ctx, in, sub.Webhook)
	if err != nil || h.hook == nil {
		return err
	}
	entity, ok := in.entity(h.w.Role)
	if !ok {
		return nil
	}
	keys, err := s.ownKeys(ctx, h)
	if err != nil {
		return err
	}
	return s.Connections.Unsubscribe(ctx, in.Owner, entity, s.told(h, keys, sub.VendorID, sub.Token), s.asks())
}

// stopped answers what comes from a subscription that is not the record's: 410 makes vendors end it.
var stopped = abi.HTTPReply{Status: http.StatusGone, Text: `{"error":"this subscription has ended"}`, Headers: map[string]string{"content-type": "application/json"}}

// current reports whether a request comes to the address of a subscription that counts. Addresses without a token do.
func (s *Service) current(ctx context.Context, h hooked, in *Inbound) (bool, error) {
	token := in.Query.Get(subscriptionParameter)
	if !h.w.Subscribe || token == "" {
		return true, nil
	}
	sub, err := s.Store.SubscriptionOf(ctx, h.record.Owner, h.record.ID, h.w.Name)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	return err == nil && slices.Contains([]string{sub.Token, sub.Pending, sub.Previous}, token), err
}

// HookState is a webhook of a record as its owner sees it.
type HookState struct {
	Webhook abi.Webhook
	// URL is where the vendor sends to, without keys.
	URL string
	// Subscription is nil where the host does not subscribe, or has not yet.
	Subscription *HookSubscription
}

// Hooks lists the webhooks of one of the actor's records.
func (s *Service) Hooks(ctx context.Context, a account.Actor, id ID) ([]HookState, error) {
	in, err := s.Integration(ctx, a, id)
	if err != nil {
		return nil, err
	}
	p, err := s.integrationPlugin(in.Plugin)
	if err != nil {
		return nil, err
	}
	subs, err := s.Store.SubscriptionsOf(ctx, in.Owner, in.ID)
	if err != nil {
		return nil, err
	}
	var out []HookState
	for _, w := range p.Manifest.Webhooks {
		state := HookState{Webhook: w, URL: s.hookAddress(hooked{plugin: p, record: in, w: w})}
		if i := slices.IndexFunc(subs, func(x *HookSubscription) bool { return x.Webhook == w.Name }); i >= 0 {
			state.Subscription = subs[i]
		}
		out = append(out, state)
	}
	return out, nil
}
