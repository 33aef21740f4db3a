package integration

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/frigg-host/frigg-host/host/webhook"
)

// Query parameters of webhook URLs that are the host's.
const (
	keyParameter          = "key"          // the webhook's own secret, where the vendor's signature does not do
	subscriptionParameter = "subscription" // tells one subscription from those before it
)

// Inbound is a request as a vendor sent it.
type Inbound = webhook.Request

// hooked is a webhook of one record: what the manifests say of it.
type hooked struct {
	plugin *plugin.Plugin
	record *Integration
	w      abi.Webhook
	hook   *abi.VendorHook // nil when the webhook names no role
	module *plugin.Plugin  // that declares hook
}

// Receive takes a webhook in for one record: verify, recognise a redelivery, then one act (event and job), and only then answer.
// Nothing is written before the request has proved where it comes from. name is empty when the plugin declares a single webhook.
// Errors: NotFound (record, webhook), Unauthorized (signature), Invalid, RateLimited (too much waits).
func (s *Service) Receive(ctx context.Context, pluginName string, id ID, name string, in Inbound) (abi.HTTPReply, error) {
	h, err := s.hookOf(ctx, pluginName, id, name)
	if err != nil {
		return abi.HTTPReply{}, err
	}
	if current, err := s.current(ctx, h, &in); err != nil || !current {
		return stopped, err
	}
	keys, err := s.hookKeys(ctx, h)
	if err != nil {
		return abi.HTTPReply{}, err
	}
	e := newEvent(h, &in, s.now())
	reply, stored, err := s.admitEvent(ctx, h, keys, e, &in)
	if err != nil {
		return abi.HTTPReply{}, s.refused(ctx, h, err)
	}
	if !stored {
		return reply, nil
	}
	event := cmp.Or(h.w.Event, abi.EventOnWebhook)
	if Decide(h.record.Status, event) == Discard {
		return reply, nil
	}
	s.recognise(h, e, &in)
	existed, err := s.Store.ReceiveEvent(ctx, e, s.eventJob(h.record, event, payload{Stored: e.ID}), maxReceived)
	if err != nil {
		return abi.HTTPReply{}, err
	}
	if !existed {
		s.wake()
	}
	return reply, nil
}

// hookOf finds the webhook behind an address.
func (s *Service) hookOf(ctx context.Context, pluginName string, id ID, name string) (hooked, error) {
	record, err := s.Store.IntegrationForWebhook(ctx, id)
	if err != nil {
		return hooked{}, err
	}
	if record.Plugin != pluginName {
		return hooked{}, notFound()
	}
	p, err := s.integrationPlugin(record.Plugin)
	if err != nil {
		return hooked{}, err
	}
	w, err := declaredWebhook(p, name, false)
	if err != nil {
		return hooked{}, err
	}
	return s.hook(p, record, w)
}

func (s *Service) hook(p *plugin.Plugin, record *Integration, w abi.Webhook) (hooked, error) {
	h := hooked{plugin: p, record: record, w: w}
	if w.Role == "" {
		return h, nil
	}
	i := slices.IndexFunc(p.Manifest.Roles, func(r abi.Role) bool { return r.Name == w.Role })
	if i < 0 {
		return h, nil
	}
	m, err := s.Plugins.Plugin(p.Manifest.Roles[i].Module)
	if err != nil {
		return h, err
	}
	h.module, h.hook = m, abi.HookOf(&m.Manifest, w)
	return h, nil
}

var received = abi.HTTPReply{Status: http.StatusOK, Text: `{"received":true}`, Headers: map[string]string{"content-type": "application/json"}}

// admitEvent decides whether a request is the vendor's and what it is answered. event is false for what is no event.
func (s *Service) admitEvent(ctx context.Context, h hooked, keys hookKeys, e *Event, in *Inbound) (reply abi.HTTPReply, event bool, err error) {
	if h.w.Verify {
		return s.askReceiver(ctx, h, keys, e, in)
	}
	shake := h.handshake()
	greets := webhook.Greets(shake, in)
	switch {
	case greets && shake.KeepSecret:
		err = addressed(keys.own, in)
	case greets && shake.Unsigned:
	default:
		err = h.proved(keys, in, s.Now())
	}
	if err != nil || !greets {
		return received, err == nil, err
	}
	reply, kept, err := webhook.Answer(shake, keys.live, in)
	if err == nil && !kept.IsZero() {
		err = s.keepVendorSecret(ctx, h, kept)
	}
	return reply, false, err
}

// proved checks that a request comes from the vendor: it is signed or, where the vendor signs nothing, addressed with the key.
func (h hooked) proved(keys hookKeys, in *Inbound, now time.Time) error {
	if h.hook != nil && h.hook.Signature != nil {
		return webhook.Verify(*h.hook.Signature, keys.live, in, now)
	}
	return addressed(keys.live, in)
}

// addressed checks the key in the address.
func addressed(keys []secret.Text, in *Inbound) error {
	given := []byte(in.Query.Get(keyParameter))
	for _, k := range keys {
		if len(given) > 0 && subtle.ConstantTimeCompare(given, []byte(k.Reveal())) == 1 {
			return nil
		}
	}
	return webhook.Refused("the address lacks its key; use the whole URL that the integration gave")
}

func (h hooked) handshake() *abi.Handshake {
	if h.hook == nil {
		return nil
	}
	return h.hook.Handshake
}

// keyed reports that the address of the webhook carries its key.
func (h hooked) keyed() bool {
	signed := h.hook != nil && h.hook.Signature != nil
	return !signed && !h.w.Verify || h.handshake() != nil && h.handshake().KeepSecret
}

// refused tells the operator of a webhook that a record did not take: the answer, which only the vendor sees, says no more.
func (s *Service) refused(ctx context.Context, h hooked, err error) error {
	s.Log.WarnContext(ctx, "webhook refused", "op", "integration.Receive", "owner", string(h.record.Owner), "integration", string(h.record.ID),
		"plugin", h.record.Plugin, "webhook", h.w.Name, "err", err)
	return err
}

// newEvent is what is stored of a request for a record.
func newEvent(h hooked, in *Inbound, now time.Time) *Event {
	return &Event{ID: newEventID(), Integration: h.record.ID, Owner: h.record.Owner, Webhook: h.w.Name, ReceivedAt: now, Data: eventData(h, in, now)}
}

func eventData(h hooked, in *Inbound, now time.Time) abi.WebhookEvent {
	d := abi.WebhookEvent{Webhook: h.w.Name, Headers: storedHeaders(in.Header, h.hook), Query: storedQuery(in.Query), ReceivedAtMS: now.UnixMilli()}
	if utf8.Valid(in.Body) {
		d.Text = string(in.Body)
	} else {
		d.Bytes = in.Body
	}
	if h.hook != nil {
		d.Event = clip(in.Text(h.hook.Event), maxEventText)
		d.ID = deliveryID(in.Text(h.hook.EventID))
	}
	return d
}

// maxEventText bounds what a vendor calls its events and deliveries.
const maxEventText = 200

// deliveryID is the vendor's id of a delivery as it is stored. A cut one could be taken for another, so a hash stands for
// those that are too long or not text.
func deliveryID(id string) string {
	if len(id) <= maxEventText && utf8.ValidString(id) && !strings.Contains(id, "\x00") {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// bodyDedupe begins what redeliveries are known by that have no id.
const bodyDedupe = "body:"

// recognise says by what a redelivery is known. Unless the manifest says that equal bodies are one event, only the vendor's id
// tells a redelivery from a second event with the same body, so an event without an id is its own.
func (s *Service) recognise(h hooked, e *Event, in *Inbound) {
	if e.Dedupe = e.Data.ID; e.Dedupe != "" {
		return
	}
	if h.hook != nil && h.hook.Dedupe == abi.DedupeBody {
		sum := sha256.Sum256(in.Body)
		e.Dedupe = bodyDedupe + hex.EncodeToString(sum[:])
		e.DedupeSince = e.ReceivedAt.Add(-time.Duration(h.hook.DedupeWindowS) * time.Second)
		return
	}
	e.Dedupe = string(e.ID)
	if h.hook != nil && h.hook.EventID != "" {
		s.Log.Warn("a webhook carries no delivery id at "+h.hook.EventID+": a redelivery will be worked again",
			"owner", string(e.Owner), "integration", string(e.Integration), "plugin", h.plugin.Name, "op", "integration.Receive "+h.w.Name)
	}
}

const (
	maxStoredFields = 50   // headers or query parameters of an event that are stored
	maxStoredText   = 2000 // characters of each
)

// storedHeaders keeps what a guest may need: no credentials, no signatures.
func storedHeaders(h http.Header, hook *abi.VendorHook) map[string]string {
	out := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		switch low := strings.ToLower(name); {
		case low == "authorization", low == "cookie", low == "proxy-authorization", soundsSecret(low):
		case hook != nil && hook.Signature != nil && strings.EqualFold(name, hook.Signature.Header):
		case len(out) < maxStoredFields:
			out[low] = clip(strings.Join(h[name], ", "), maxStoredText)
		}
	}
	return out
}

// soundsSecret goes by the name of a header or query parameter: vendors also show there who they are.
func soundsSecret(name string) bool {
	name = strings.ToLower(name)
	return strings.Contains(name, "signature") || strings.Contains(name, "token") || strings.Contains(name, "secret")
}

func storedQuery(q url.Values) map[string]string {
	return query(q, func(name string) bool { return !soundsSecret(name) })
}

// query are parameters that are not the host's.
func query(q url.Values, wanted func(name string) bool) map[string]string {
	out := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(q)) {
		if name != keyParameter && name != subscriptionParameter && wanted(name) && len(out) < maxStoredFields {
			out[clip(name, maxStoredText)] = clip(strings.Join(q[name], ","), maxStoredText)
		}
	}
	return out
}

// declaredWebhook finds a webhook of the manifest by name; without a name the only one. app says which kind of address asks.
func declaredWebhook(p *plugin.Plugin, name string, app bool) (abi.Webhook, error) {
	var all []abi.Webhook
	for _, w := range p.Manifest.Webhooks {
		if w.App == app && (name == "" || w.Name == name) {
			all = append(all, w)
		}
	}
	switch {
	case len(all) == 1:
		return all[0], nil
	case len(all) > 1:
		return abi.Webhook{}, fault.New(fault.NotFound, "integration.webhook", "%s has several webhooks; add the name of one to the path", p.Name)
	}
	return abi.Webhook{}, fault.New(fault.NotFound, "integration.webhook", "%s has no webhook %q here", p.Name, name)
}

// askReceiver lets the guest verify and answer before anything is stored.
func (s *Service) askReceiver(ctx context.Context, h hooked, keys hookKeys, e *Event, in *Inbound) (abi.HTTPReply, bool, error) {
	r, described, err := s.newRun(ctx, h.plugin, h.record, syncTimeout)
	if err != nil {
		return received, false, err
	}
	seen := e.Data
	seen.Query, seen.Headers = query(in.Query, func(string) bool { return true }), map[string]string{}
	for name, values := range in.Header {
		if low := strings.ToLower(name); low != "authorization" && low != "cookie" {
			seen.Headers[low] = strings.Join(values, ", ")
		}
	}
	asked := abi.WebhookInput{Webhook: seen, Integration: described}
	if len(keys.live) > 0 {
		asked.Secret = r.handles.Issue(keys.live[0])
	}
	out, err := plugin.Invoke[abi.WebhookOutput](ctx, s.Guests, r.call(abi.ExportReceiveWebhook), asked)
	if err != nil {
		return received, false, err
	}
	if out.Event != "" {
		e.Data.Event = clip(out.Event, maxEventText)
	}
	if out.ID != "" {
		e.Data.ID = deliveryID(out.ID)
	}
	if out.Reply != nil {
		return *out.Reply, !out.Drop, nil
	}
	return received, !out.Drop, nil
}
