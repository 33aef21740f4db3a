package integration

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/pointer"
	"github.com/frigg-host/frigg-host/host/secret"
)

// keyParameter of a webhook URL carries its secret where the vendor signs nothing.
const keyParameter = "key"

// Inbound is a request as a vendor sent it.
type Inbound struct {
	Method string
	URL    string // as the vendor called it, absolute
	Header http.Header
	Query  url.Values
	Body   []byte // raw
}

// Receive takes a webhook in for one record: verify, recognise a redelivery by the vendor's id, then one act (event and job),
// and only then answer. name is empty when the plugin declares a single webhook. Errors: NotFound (record, webhook),
// Unauthorized (signature), Invalid.
func (s *Service) Receive(ctx context.Context, pluginName string, id ID, name string, in Inbound) (abi.HTTPReply, error) {
	record, err := s.Store.IntegrationForWebhook(ctx, id)
	if err != nil {
		return abi.HTTPReply{}, err
	}
	if record.Plugin != pluginName {
		return abi.HTTPReply{}, notFound()
	}
	p, err := s.integrationPlugin(record.Plugin)
	if err != nil {
		return abi.HTTPReply{}, err
	}
	w, err := declaredWebhook(p, name)
	if err != nil {
		return abi.HTTPReply{}, err
	}
	key, err := s.webhookSecret(ctx, record, p, w)
	if err != nil {
		return abi.HTTPReply{}, err
	}
	hook, err := s.vendorHook(p, w)
	if err != nil {
		return abi.HTTPReply{}, err
	}
	e := s.event(record, w, hook, in)
	reply := abi.HTTPReply{Status: http.StatusOK, Text: `{"received":true}`, Headers: map[string]string{"content-type": "application/json"}}
	switch {
	case w.Verify:
		answer, drop, err := s.askReceiver(ctx, p, record, key, e, in)
		if err != nil {
			return abi.HTTPReply{}, s.refused(ctx, record, w, err)
		}
		if answer != nil {
			reply = *answer
		}
		if drop {
			return reply, nil
		}
	case hook != nil && hook.Signature != nil:
		if err := verify(*hook.Signature, key, in, s.Now()); err != nil {
			return abi.HTTPReply{}, s.refused(ctx, record, w, err)
		}
	case subtle.ConstantTimeCompare([]byte(in.Query.Get(keyParameter)), []byte(key.Reveal())) != 1:
		return abi.HTTPReply{}, s.refused(ctx, record, w, badSignature("the address lacks its key; use the whole URL that the integration gave"))
	}
	event := w.Event
	if event == "" {
		event = abi.EventOnWebhook
	}
	if Decide(record.Status, event) == Discard {
		return reply, nil
	}
	s.recognise(record, w, hook, e)
	existed, err := s.Store.ReceiveEvent(ctx, e, s.eventJob(record, event, payload{Stored: e.ID}), maxReceived)
	if err != nil {
		return abi.HTTPReply{}, err
	}
	if !existed {
		s.wake()
	}
	return reply, nil
}

// refused tells the operator of a webhook that a record did not take: the answer, which only the vendor sees, says no more.
func (s *Service) refused(ctx context.Context, record *Integration, w abi.Webhook, err error) error {
	s.Log.WarnContext(ctx, "webhook refused", "op", "integration.Receive", "owner", string(record.Owner), "integration", string(record.ID),
		"plugin", record.Plugin, "webhook", w.Name, "err", err)
	return err
}

// event is what is stored of a request.
func (s *Service) event(record *Integration, w abi.Webhook, hook *abi.VendorHook, in Inbound) *Event {
	e := &Event{ID: newEventID(), Integration: record.ID, Owner: record.Owner, Webhook: w.Name, ReceivedAt: s.now()}
	e.Data = abi.WebhookEvent{Webhook: w.Name, Headers: storedHeaders(in.Header, hook), Query: storedQuery(in.Query), ReceivedAtMS: e.ReceivedAt.UnixMilli()}
	if utf8.Valid(in.Body) {
		e.Data.Text = string(in.Body)
	} else {
		e.Data.Bytes = in.Body
	}
	if hook != nil {
		doc := sync.OnceValue(func() any { v, _ := pointer.Decode(in.Body); return v })
		e.Data.Event = clip(read(hook.Event, in.Header, doc), maxEventText)
		e.Data.ID = deliveryID(read(hook.EventID, in.Header, doc))
	}
	return e
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

// recognise says by what a redelivery is known. Only the vendor's id tells one from a second event with the same body, so
// an event without an id is its own.
func (s *Service) recognise(record *Integration, w abi.Webhook, hook *abi.VendorHook, e *Event) {
	if e.Dedupe = e.Data.ID; e.Dedupe != "" {
		return
	}
	e.Dedupe = string(e.ID)
	if hook != nil && hook.EventID != "" {
		s.Log.Warn("a webhook carries no delivery id at "+hook.EventID+": a redelivery will be worked again",
			"owner", string(record.Owner), "integration", string(record.ID), "plugin", record.Plugin, "op", "integration.Receive "+w.Name)
	}
}

// storedHeaders keeps what a guest may need: no credentials, no signatures.
func storedHeaders(h http.Header, hook *abi.VendorHook) map[string]string {
	out := map[string]string{}
	for name, values := range h {
		switch low := strings.ToLower(name); {
		case low == "authorization", low == "cookie", low == "proxy-authorization", strings.Contains(low, "signature"), strings.Contains(low, "token"), strings.Contains(low, "secret"):
		case hook != nil && hook.Signature != nil && strings.EqualFold(name, hook.Signature.Header):
		case len(out) < 50:
			out[low] = clip(strings.Join(values, ", "), 2000)
		}
	}
	return out
}

func storedQuery(q url.Values) map[string]string {
	out := map[string]string{}
	for k, v := range q {
		if k != keyParameter && len(out) < 50 {
			out[k] = clip(strings.Join(v, ","), 2000)
		}
	}
	return out
}

// read finds the text at `header:NAME` or at a JSON pointer of the body, numbers as they are written; empty when it is not
// there.
func read(where string, h http.Header, doc func() any) string {
	if where == "" {
		return ""
	}
	if name, ok := headerName(where); ok {
		return h.Get(name)
	}
	text, _ := pointer.Text(doc(), where)
	return text
}

// declaredWebhook finds a webhook of the manifest by name; without a name the only one.
func declaredWebhook(p *plugin.Plugin, name string) (abi.Webhook, error) {
	all := p.Manifest.Webhooks
	if name == "" && len(all) == 1 {
		return all[0], nil
	}
	for _, w := range all {
		if w.Name == name && name != "" {
			return w, nil
		}
	}
	if name == "" && len(all) > 1 {
		return abi.Webhook{}, fault.New(fault.NotFound, "integration.webhook", "%s has several webhooks; add the name of one to the path", p.Name)
	}
	return abi.Webhook{}, fault.New(fault.NotFound, "integration.webhook", "%s has no webhook %q", p.Name, name)
}

// vendorHook is how the vendor signs, as its module declares; nil when the webhook names no role.
func (s *Service) vendorHook(p *plugin.Plugin, w abi.Webhook) (*abi.VendorHook, error) {
	if w.Role == "" {
		return nil, nil
	}
	for _, r := range p.Manifest.Roles {
		if r.Name != w.Role {
			continue
		}
		m, err := s.Plugins.Plugin(r.Module)
		if err != nil {
			return nil, err
		}
		for i, h := range m.Manifest.Hooks {
			if w.Hook == "" || h.Name == w.Hook {
				return &m.Manifest.Hooks[i], nil
			}
		}
	}
	return nil, nil
}

func (s *Service) signatureOf(p *plugin.Plugin, w abi.Webhook) (*abi.Signature, error) {
	h, err := s.vendorHook(p, w)
	if err != nil || h == nil {
		return nil, err
	}
	return h.Signature, nil
}

func webhookPlace(id ID, webhook string) secret.Place {
	return secret.Place{Table: "integration_webhooks", Column: "secret", Row: string(id) + "/" + webhook}
}

// webhookSecret is what the vendor signs with: the webhook's secret field if a person filled it in, otherwise one that is
// made on first use.
func (s *Service) webhookSecret(ctx context.Context, in *Integration, p *plugin.Plugin, w abi.Webhook) (secret.Text, error) {
	typed, err := s.openSecrets(ctx, in)
	if err != nil {
		return secret.Text{}, err
	}
	field := w.SecretField
	if field == "" {
		field = w.Name + "_webhook_secret"
	}
	if t, ok := typed[pointer.Of(field)]; ok {
		return t, nil
	}
	sealed, err := s.Store.WebhookSecret(ctx, in.Owner, in.ID, w.Name)
	if fault.Is(err, fault.NotFound) {
		sealed, err = s.makeWebhookSecret(ctx, in, p, w)
	}
	if err != nil {
		return secret.Text{}, err
	}
	return s.Vault.Open(ctx, string(in.Owner), webhookPlace(in.ID, w.Name), sealed)
}

func (s *Service) makeWebhookSecret(ctx context.Context, in *Integration, p *plugin.Plugin, w abi.Webhook) (string, error) {
	sig, err := s.signatureOf(p, w)
	if err != nil {
		return "", err
	}
	sealed, err := s.Vault.Seal(ctx, string(in.Owner), webhookPlace(in.ID, w.Name), newWebhookSecret(sig))
	if err != nil {
		return "", err
	}
	return s.Store.KeepWebhookSecret(ctx, in.Owner, in.ID, w.Name, sealed, s.now())
}

// askReceiver lets the guest verify and answer before anything is stored.
func (s *Service) askReceiver(ctx context.Context, p *plugin.Plugin, record *Integration, key secret.Text, e *Event, in Inbound) (*abi.HTTPReply, bool, error) {
	r, described, err := s.newRun(ctx, p, record, "", syncTimeout)
	if err != nil {
		return nil, false, err
	}
	seen := e.Data
	seen.Headers = map[string]string{}
	for name, values := range in.Header {
		if low := strings.ToLower(name); low != "authorization" && low != "cookie" {
			seen.Headers[low] = strings.Join(values, ", ")
		}
	}
	out, err := plugin.Invoke[abi.WebhookOutput](ctx, s.Guests, r.call(abi.ExportReceiveWebhook),
		abi.WebhookInput{Webhook: seen, Secret: r.handles.Issue(key), Integration: described})
	if err != nil {
		return nil, false, err
	}
	if out.Event != "" {
		e.Data.Event = clip(out.Event, maxEventText)
	}
	if out.ID != "" {
		e.Data.ID = deliveryID(out.ID)
	}
	return out.Reply, out.Drop, nil
}
