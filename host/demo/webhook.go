package demo

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	secretPrefix     = "whsec_"
	maxSubscriptions = 50
	// maxSubscriptionLife is a year, in seconds.
	maxSubscriptionLife = 365 * 24 * 60 * 60
)

type subscriptionInput struct {
	URL    string   `json:"url"`
	Events []string `json:"events"`
	Active *bool    `json:"active"` // nil means true
	Secret string   `json:"secret"` // "whsec_" and base64 of 24 to 64 bytes; generated when empty
	// ExpiresInS ends the subscription so many seconds from now; nil changes nothing, and without one it never ends.
	ExpiresInS *int64 `json:"expires_in_s"`
}

// subscription belongs to the client that made it; others do not see it.
type subscription struct {
	ID        subscriptionID `json:"id"`
	Client    string         `json:"client"`
	URL       string         `json:"url"`
	Events    []string       `json:"events"`
	Active    bool           `json:"active"`
	Secret    string         `json:"secret"`
	ExpiresAt *time.Time     `json:"expires_at,omitempty"`
	CreatedAt time.Time      `json:"created_at"`
	UpdatedAt time.Time      `json:"updated_at"`
}

// subscriptionView is what the API shows; the secret only in the answer that creates it.
type subscriptionView struct {
	ID        subscriptionID `json:"id"`
	URL       string         `json:"url"`
	Events    []string       `json:"events"`
	Active    bool           `json:"active"`
	Secret    string         `json:"secret,omitempty"`
	ExpiresAt *time.Time     `json:"expires_at,omitempty"`
	CreatedAt time.Time      `json:"created_at"`
	UpdatedAt time.Time      `json:"updated_at"`
}

func (s subscription) view() subscriptionView {
	return subscriptionView{ID: s.ID, URL: s.URL, Events: s.Events, Active: s.Active, ExpiresAt: s.ExpiresAt, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt}
}

func (s subscriptionView) stamp() stamp { return stamp{s.UpdatedAt, string(s.ID)} }

func (s subscription) input() subscriptionInput {
	return subscriptionInput{URL: s.URL, Events: s.Events, Active: &s.Active, Secret: s.Secret}
}

func (in subscriptionInput) check() error {
	f := fields{}
	f.require("url", isLoopbackURL(in.URL), "must be an http or https address on this machine (127.0.0.1, [::1] or localhost)")
	f.require("events", len(in.Events) > 0 && len(in.Events) <= len(eventTypes), "must name at least one event, each once")
	for _, e := range in.Events {
		f.require("events", slices.Contains(eventTypes, e), "can be "+strings.Join(eventTypes, ", "))
	}
	f.require("expires_in_s", in.ExpiresInS == nil || *in.ExpiresInS > 0 && *in.ExpiresInS <= maxSubscriptionLife, "must be 1 to 31536000 seconds")
	key, err := secretKey(in.Secret)
	f.require("secret", err == nil && len(key) >= 24 && len(key) <= 64, "must be whsec_ and the base64 of 24 to 64 bytes")
	return f.err()
}

// until is when a subscription ends after a change at now.
func (in subscriptionInput) until(now time.Time, was *time.Time) *time.Time {
	if in.ExpiresInS == nil {
		return was
	}
	end := now.Add(time.Duration(*in.ExpiresInS) * time.Second)
	return &end
}

// expired subscriptions are as good as deleted.
func (s subscription) expired(now time.Time) bool {
	return s.ExpiresAt != nil && !now.Before(*s.ExpiresAt)
}

// isLoopbackURL keeps the demo from sending anything to other machines; the dialer checks again.
func isLoopbackURL(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && isLoopback(u.Hostname()) && u.User == nil &&
		len(raw) <= 2000
}

func secretKey(secret string) ([]byte, error) {
	encoded, found := strings.CutPrefix(secret, secretPrefix)
	if !found {
		return nil, base64.CorruptInputError(0)
	}
	return base64.StdEncoding.DecodeString(encoded)
}

func (c *CRM) listSubscriptions(r *request) (reply, error) {
	var rows []subscriptionView
	c.store.view(func(s *state) {
		for _, sub := range s.Subscriptions {
			if sub.Client == r.token.Client && !sub.expired(c.now()) {
				rows = append(rows, sub.view())
			}
		}
	})
	return page(r, rows)
}

func (c *CRM) subscription(r *request) (reply, error) {
	var sub subscription
	var err error
	c.store.view(func(s *state) { sub, err = s.subscriptionOf(r, c.now()) })
	return reply{body: sub.view()}, err
}

// subscriptionOf finds the subscription named in the path if the client owns it and it has not ended.
func (s *state) subscriptionOf(r *request, now time.Time) (subscription, error) {
	sub, ok := s.Subscriptions[subscriptionID(r.PathValue("id"))]
	if !ok || sub.Client != r.token.Client || sub.expired(now) {
		return subscription{}, notFound("webhook")
	}
	return sub, nil
}

func (c *CRM) createSubscription(r *request) (reply, error) {
	return c.create(r, func(a *act) (any, error) {
		if len(a.Subscriptions) >= maxSubscriptions {
			return nil, &problem{status: 422, Code: "quota_exceeded", Message: "There are 50 webhooks already; delete one first."}
		}
		in, err := merge(subscriptionInput{}, r.body)
		if err != nil {
			return nil, err
		}
		if in.Secret == "" {
			in.Secret = secretPrefix + base64.StdEncoding.EncodeToString(a.bytes(24))
		}
		if err := in.check(); err != nil {
			return nil, err
		}
		now := a.tick()
		sub := subscription{
			ID: subscriptionID(a.id("wh_")), Client: a.actor, URL: in.URL, Events: in.Events,
			Active: in.Active == nil || *in.Active, Secret: in.Secret, ExpiresAt: in.until(now, nil), CreatedAt: now, UpdatedAt: now,
		}
		a.Subscriptions[sub.ID] = sub
		shown := sub.view()
		shown.Secret = sub.Secret
		return shown, nil
	})
}

// patchSubscription changes url, events, active or secret. What waits goes to the new address with the new secret.
func (c *CRM) patchSubscription(r *request) (reply, error) {
	var sub subscription
	err := c.change(r.token.Client, func(a *act) (err error) {
		if sub, err = a.subscriptionOf(r, a.now); err != nil {
			return err
		}
		in, err := merge(sub.input(), r.body)
		if err != nil {
			return err
		}
		if err := in.check(); err != nil {
			return err
		}
		sub.URL, sub.Events, sub.Active, sub.Secret = in.URL, in.Events, in.Active == nil || *in.Active, in.Secret
		sub.UpdatedAt = a.tick()
		sub.ExpiresAt = in.until(sub.UpdatedAt, sub.ExpiresAt)
		a.Subscriptions[sub.ID] = sub
		a.woken = append(a.woken, sub.ID)
		return nil
	})
	return reply{body: sub.view()}, err
}

// deleteSubscription drops what was still to be delivered, too.
func (c *CRM) deleteSubscription(r *request) (reply, error) {
	err := c.change(r.token.Client, func(a *act) error {
		sub, err := a.subscriptionOf(r, a.now)
		if err != nil {
			return err
		}
		delete(a.Subscriptions, sub.ID)
		a.Deliveries = slices.DeleteFunc(a.Deliveries, func(d delivery) bool { return d.SubscriptionID == sub.ID })
		return nil
	})
	return reply{status: 204}, err
}
