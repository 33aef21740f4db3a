package connection

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/pointer"
	"github.com/frigg-host/frigg-host/host/requester"
	"github.com/frigg-host/frigg-host/host/secret"
)

// Webhook is what a vendor is told of a webhook that is subscribed to.
type Webhook struct {
	Hook   string // as the module declares it
	URL    secret.Text
	Secret secret.Text // with which the vendor shall sign
	Topics []string
	// ID is the vendor's id of the subscription; empty while there is none.
	ID string
}

// Subscription is what a vendor said of a subscription.
type Subscription struct {
	ID        string
	ExpiresAt time.Time   // zero: never
	Secret    secret.Text // that the vendor made; zero: it signs with the one it was told
}

// Gone reports that the vendor does not know a subscription any more.
func Gone(err error) bool {
	var status *plugin.Status
	if errors.As(err, &status) && (status.Code == http.StatusNotFound || status.Code == http.StatusGone) {
		return true
	}
	return fault.Is(err, fault.NotFound) && fault.SideOf(err) == fault.Remote
}

// Subscribe makes a subscription at the vendor, on the connection of an entity: as the module's manifest says, or by its export
// frigg_subscribe_webhook. Errors: those of Send; Unsupported when the module says neither.
func (s *Service) Subscribe(ctx context.Context, o account.Owner, id EntityID, w Webhook, opt CallOptions) (Subscription, error) {
	return s.subscription(ctx, o, id, w, opt, abi.ExportSubscribeWebhook, func(h *abi.HookSubscription) *abi.SubscriptionRequest { return &h.Create })
}

// RenewSubscription prolongs one. Errors: as Subscribe; Unsupported when it can only be made anew.
func (s *Service) RenewSubscription(ctx context.Context, o account.Owner, id EntityID, w Webhook, opt CallOptions) (Subscription, error) {
	return s.subscription(ctx, o, id, w, opt, abi.ExportRenewWebhook, func(h *abi.HookSubscription) *abi.SubscriptionRequest { return h.Renew })
}

// Unsubscribe ends one; that it is gone already is fine. Errors: as Subscribe; Unsupported when it can only be forgotten.
func (s *Service) Unsubscribe(ctx context.Context, o account.Owner, id EntityID, w Webhook, opt CallOptions) error {
	_, err := s.subscription(ctx, o, id, w, opt, abi.ExportUnsubscribeWebhook, func(h *abi.HookSubscription) *abi.SubscriptionRequest { return h.Delete })
	if Gone(err) {
		return nil
	}
	return err
}

func (s *Service) subscription(ctx context.Context, o account.Owner, id EntityID, w Webhook, opt CallOptions, export string,
	step func(*abi.HookSubscription) *abi.SubscriptionRequest,
) (Subscription, error) {
	c, err := s.connect(ctx, o, id)
	if err != nil {
		return Subscription{}, err
	}
	hook := abi.HookOf(s.manifests.of(c.m.Plugin), abi.Webhook{Hook: w.Hook})
	if hook == nil {
		return Subscription{}, c.cannot("declares no webhook " + w.Hook)
	}
	if h := hook.Subscription; h != nil {
		if r := step(h); r != nil {
			return c.subscribeByData(ctx, h, r, w, opt)
		}
		return Subscription{}, c.cannot("does not say how")
	}
	if !c.m.Has(export) {
		return Subscription{}, c.cannot("does not export " + export)
	}
	return c.subscribeByGuest(ctx, export, hook.Name, w, opt)
}

func (c *conn) cannot(why string) error {
	return fault.New(fault.Unsupported, "connection.Subscribe", "module %s cannot do that to a webhook at %s: it %s", c.m.Name, c.m.name, why).On(fault.Guest)
}

func (c *conn) subscribeByGuest(ctx context.Context, export, hook string, w Webhook, opt CallOptions) (Subscription, error) {
	if opt.Handles == nil {
		opt.Handles = secret.NewHandles()
	}
	out, err := guestCall[abi.WebhookSubscription](ctx, c, export, abi.SubscribeInput{
		Hook: hook, URL: opt.Handles.Issue(w.URL), Secret: opt.Handles.Issue(w.Secret), Topics: w.Topics, ID: w.ID, Connection: c.describe(),
	}, opt)
	if err != nil {
		return Subscription{}, err
	}
	found := Subscription{ID: out.ID}
	if out.ExpiresAtMS > 0 {
		found.ExpiresAt = time.UnixMilli(out.ExpiresAtMS).UTC()
	}
	return found, c.checkSubscription(found)
}

// maxSubscriptionID bounds what a vendor calls a subscription, in bytes.
const maxSubscriptionID = 500

func (c *conn) checkSubscription(found Subscription) error {
	if len(found.ID) > maxSubscriptionID || strings.ContainsRune(found.ID, 0) {
		return fault.New(fault.Internal, "connection.Subscribe", "module %s names a subscription that cannot be kept", c.m.Name).On(fault.Guest)
	}
	return nil
}

func (c *conn) subscribeByData(ctx context.Context, h *abi.HookSubscription, r *abi.SubscriptionRequest, w Webhook, opt CallOptions) (Subscription, error) {
	res, err := c.askSubscription(ctx, h, r, w, opt)
	if err != nil {
		return Subscription{}, err
	}
	doc := lazyJSON(res.Body)
	found := Subscription{ID: w.ID, ExpiresAt: endOf(doc, h.ExpiresAt)}
	if found.ID == "" {
		if found.ID = textOf(doc, h.ID); found.ID == "" {
			return found, &fault.Error{
				Kind: fault.Unavailable, Side: fault.Remote, Op: "connection.Subscribe", Msg: "the answer of " + c.m.name + " to a subscription has no id at " + h.ID,
			}
		}
	}
	if found.ExpiresAt.IsZero() && h.LifetimeS > 0 {
		found.ExpiresAt = c.s.now().Add(time.Duration(h.LifetimeS) * time.Second)
	}
	if text := textOf(doc, h.Secret); text != "" && text != scrubbed { // the one that it was told comes back scrubbed
		found.Secret = secret.NewText(text)
	}
	return found, c.checkSubscription(found)
}

func (c *conn) askSubscription(ctx context.Context, h *abi.HookSubscription, r *abi.SubscriptionRequest, w Webhook, opt CallOptions) (*requester.Response, error) {
	out, err := c.subscriptionRequest(h, r, w)
	if err != nil {
		return nil, err
	}
	if opt.Timeout > 0 {
		out.timeout = min(out.timeout, opt.Timeout)
	}
	leave, err := c.s.gates.enter(ctx, c)
	if err != nil {
		return nil, err
	}
	defer leave()
	res, verdict, err := c.exchange(ctx, out)
	if err != nil {
		return nil, err
	}
	if verdict != nil && verdict.Kind == fault.Unauthorized {
		verdict = c.refused(ctx, verdict)
	}
	if verdict != nil {
		return nil, verdict
	}
	return res, nil
}

// subscriptionRequest fills the templates of a request.
func (c *conn) subscriptionRequest(h *abi.HookSubscription, r *abi.SubscriptionRequest, w Webhook) (*outgoing, error) {
	until := c.s.now().Add(time.Duration(h.LifetimeS) * time.Second).Truncate(time.Second)
	f := c.fill()
	f.webhook = map[string]value{
		"url": {w.URL, true}, "secret": {w.Secret, true}, "topics": public(strings.Join(w.Topics, ",")), "id": public(w.ID),
		"until": public(until.Format(time.RFC3339)), "until_ms": public(strconv.FormatInt(until.UnixMilli(), 10)),
	}
	out, err := f.request(&abi.RequestTemplate{Method: r.Method, URL: r.URL, Headers: r.Headers, Query: r.Query, Fields: r.Form, Body: abi.BodyKindForm})
	if err != nil {
		return nil, err
	}
	out.timeout, out.maxBytes = c.m.timeout(), c.m.responseBytes()
	switch {
	case len(r.JSON) > 0:
		doc, _ := pointer.Decode(r.JSON)
		filled, err := f.json(doc, w.Topics)
		if err != nil {
			return nil, err
		}
		text, err := marshal(filled)
		if err != nil {
			return nil, err
		}
		out.header.Del("Content-Type")
		out.setBody(body{content: text, contentType: "application/json", escape: inJSON})
	case len(r.Form) == 0:
		out.header.Del("Content-Type")
		out.setBody(body{})
	}
	return out, f.standardHeaders(out)
}

const topicsTemplate = "{{" + abi.ScopeWebhook + ".topics}}"

// json fills the texts of a JSON value.
func (f *filler) json(v any, topics []string) (any, error) {
	switch v := v.(type) {
	case string:
		if v == topicsTemplate {
			return append([]string{}, topics...), nil
		}
		return f.text(v)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			filled, err := f.json(e, topics)
			if err != nil {
				return nil, err
			}
			out[i] = filled
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, e := range v {
			filled, err := f.json(e, topics)
			if err != nil {
				return nil, err
			}
			out[name] = filled
		}
		return out, nil
	}
	return v, nil
}

// endOf reads a time as vendors write it: RFC 3339, or seconds or milliseconds since 1970. Zero for everything else.
func endOf(doc func() any, where string) time.Time {
	if where == "" {
		return time.Time{}
	}
	v, _ := pointer.At(doc(), where)
	text, ok := pointer.Scalar(v)
	if !ok {
		return time.Time{}
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at.UTC().Truncate(time.Microsecond)
	}
	n, err := json.Number(text).Int64()
	switch {
	case err != nil || n <= 0:
		return time.Time{}
	case n > maxSeconds:
		return time.UnixMilli(n).UTC()
	}
	return time.Unix(n, 0).UTC()
}

// maxSeconds tells seconds from milliseconds: as seconds it is the year 5138, as milliseconds 1973.
const maxSeconds = 100_000_000_000
