package outbound

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/event"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/requester"
	"github.com/frigg-host/frigg-host/host/secret"
)

const (
	maxEndpoints   = 20 // of an owner
	maxPatterns    = 50
	maxDescription = 500
	maxPage        = 200
	// overlap is how long a replaced secret goes on signing.
	overlap = 24 * time.Hour
)

// Sender is the way out to the network.
type Sender interface {
	Do(ctx context.Context, p requester.Policy, q requester.Request, auth requester.Authorizer) (*requester.Response, error)
}

// Vault seals secrets for an owner.
type Vault interface {
	Seal(ctx context.Context, owner string, place secret.Place, plain secret.Text) (string, error)
	Open(ctx context.Context, owner string, place secret.Place, sealed string) (secret.Text, error)
}

// Service is what owners may do with their endpoints, and what sends.
type Service struct {
	Store  Store
	Vault  Vault
	Sender Sender
	Now    func() time.Time
	Log    *slog.Logger
	// Wake tells the workers that a job is due; nil tells nobody.
	Wake func()
	// PlainHTTP lets endpoints have http addresses, for networks that the operator has opened.
	PlainHTTP bool
	// Slots is how many deliveries are under way at once, so that slow endpoints leave workers to others; zero is 4.
	Slots int
	// Poll is how often facts are looked for that another process has written; zero is 5 s.
	Poll time.Duration

	once  sync.Once
	slots chan struct{}
}

func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Microsecond) }

func (s *Service) wake() {
	if s.Wake != nil {
		s.Wake()
	}
}

// Settings of an endpoint; nil leaves a part as it is.
type Settings struct {
	URL         *string
	Description *string
	Events      []event.Pattern
	// Enabled true lets what is held go on; false is a pause.
	Enabled *bool
}

func (c Settings) check(plainHTTP bool) error {
	const op = "outbound.Endpoint"
	if c.URL != nil {
		t, err := requester.ParseTarget(*c.URL)
		if err != nil {
			return fault.New(fault.Invalid, op, "%s", fault.PublicMessage(err))
		}
		if t.Scheme != "https" && !plainHTTP {
			return fault.New(fault.Invalid, op, "the url must begin with https://")
		}
	}
	if c.Description != nil && (len(*c.Description) > maxDescription || !utf8.ValidString(*c.Description) || strings.Contains(*c.Description, "\x00")) {
		return fault.New(fault.Invalid, op, "the description has at most %d bytes of text", maxDescription)
	}
	if len(c.Events) > maxPatterns {
		return fault.New(fault.Invalid, op, "at most %d names of events can be chosen", maxPatterns)
	}
	for _, p := range c.Events {
		if !p.Valid() {
			return fault.New(fault.Invalid, op, "%.100q chooses no event; use *, a name such as %s, a group such as integration.*, or notify.NAME", string(p), event.JobDead)
		}
	}
	return nil
}

// apply changes e; newest is the Seq of the newest fact.
func (c Settings) apply(e *Endpoint, newest int64) {
	if c.URL != nil {
		e.URL = *c.URL
	}
	if c.Description != nil {
		e.Description = *c.Description
	}
	if c.Events != nil {
		e.Events = slices.Compact(slices.Sorted(slices.Values(c.Events)))
	}
	switch {
	case c.Enabled == nil:
	case !*c.Enabled:
		e.State, e.Reason = Disabled, "paused by a person"
	case e.State != Enabled:
		if e.State != Failing {
			e.From = newest // what happened during the pause is not told
		}
		e.State, e.Reason = Enabled, ""
		e.FailingSince, e.Failures = time.Time{}, 0
	}
}

// CreateEndpoint makes an endpoint of o and returns it with its secret, which is shown this once. Without Events it gets all.
// Errors: Invalid; Conflict when o has 20 already.
func (s *Service) CreateEndpoint(ctx context.Context, o account.Owner, c Settings) (*Endpoint, secret.Text, error) {
	if err := o.Valid(); err != nil {
		return nil, secret.Text{}, err
	}
	if c.URL == nil {
		return nil, secret.Text{}, fault.New(fault.Invalid, "outbound.CreateEndpoint", "Missing Parameter: url is required.")
	}
	if err := c.check(s.PlainHTTP); err != nil {
		return nil, secret.Text{}, err
	}
	now := s.now()
	e := &Endpoint{ID: newEndpointID(), Owner: o, Events: []event.Pattern{"*"}, SecretNo: 1, State: Enabled, CreatedAt: now, UpdatedAt: now}
	c.apply(e, 0)
	if len(e.Events) == 0 {
		e.Events = []event.Pattern{"*"}
	}
	key := newSecret()
	sealed, err := s.Vault.Seal(ctx, string(o), placeOf(e.ID, e.SecretNo), key)
	if err != nil {
		return nil, secret.Text{}, err
	}
	e.Secret = sealed
	return e, key, s.Store.CreateEndpoint(ctx, e, maxEndpoints)
}

// Endpoint returns an endpoint of o, else fault.NotFound.
func (s *Service) Endpoint(ctx context.Context, o account.Owner, id EndpointID) (*Endpoint, error) {
	if err := o.Valid(); err != nil {
		return nil, err
	}
	return s.Store.EndpointByID(ctx, o, id)
}

// Endpoints lists the endpoints of o by age.
func (s *Service) Endpoints(ctx context.Context, o account.Owner) ([]*Endpoint, error) {
	if err := o.Valid(); err != nil {
		return nil, err
	}
	return s.Store.Endpoints(ctx, o)
}

// UpdateEndpoint changes an endpoint of o.
func (s *Service) UpdateEndpoint(ctx context.Context, o account.Owner, id EndpointID, c Settings) (*Endpoint, error) {
	if err := o.Valid(); err != nil {
		return nil, err
	}
	if err := c.check(s.PlainHTTP); err != nil {
		return nil, err
	}
	return s.Store.ChangeEndpoint(ctx, o, id, func(e *Endpoint, newest int64) error {
		c.apply(e, newest)
		e.UpdatedAt = s.now()
		return nil
	})
}

// RemoveEndpoint deletes an endpoint of o with what waits for it.
func (s *Service) RemoveEndpoint(ctx context.Context, o account.Owner, id EndpointID) error {
	if err := o.Valid(); err != nil {
		return err
	}
	return s.Store.RemoveEndpoint(ctx, o, id)
}

// RotateSecret gives an endpoint a new secret, which is shown this once. For a day messages are signed with both.
func (s *Service) RotateSecret(ctx context.Context, o account.Owner, id EndpointID) (*Endpoint, secret.Text, error) {
	was, err := s.Endpoint(ctx, o, id)
	if err != nil {
		return nil, secret.Text{}, err
	}
	key := newSecret()
	sealed, err := s.Vault.Seal(ctx, string(o), placeOf(id, was.SecretNo+1), key)
	if err != nil {
		return nil, secret.Text{}, err
	}
	e, err := s.Store.ChangeEndpoint(ctx, o, id, func(e *Endpoint, _ int64) error {
		if e.SecretNo != was.SecretNo {
			return fault.New(fault.Conflict, "outbound.RotateSecret", "somebody else has just changed the secret of this endpoint")
		}
		now := s.now()
		e.OldSecret, e.OldUntil = e.Secret, now.Add(overlap)
		e.Secret, e.SecretNo, e.UpdatedAt = sealed, e.SecretNo+1, now
		return nil
	})
	return e, key, err
}

// Deliveries lists the deliveries of an endpoint of o, newest first; no states are all.
func (s *Service) Deliveries(ctx context.Context, o account.Owner, id EndpointID, states []Progress, before DeliveryID, limit int) ([]*Delivery, error) {
	if _, err := s.Endpoint(ctx, o, id); err != nil {
		return nil, err
	}
	if limit < 1 || limit > maxPage {
		return nil, fault.New(fault.Invalid, "outbound.Deliveries", "limit must be between 1 and %d", maxPage)
	}
	if len(states) == 0 {
		states = []Progress{Waiting, Held, Done, Failed}
	}
	return s.Store.Deliveries(ctx, o, id, states, before, limit)
}

// Redeliver sends a delivery of an endpoint of o again from the start. Errors: NotFound; Conflict while it waits.
func (s *Service) Redeliver(ctx context.Context, o account.Owner, id EndpointID, d DeliveryID) error {
	e, err := s.Endpoint(ctx, o, id)
	if err != nil {
		return err
	}
	if err := s.Store.ReleaseDelivery(ctx, o, d, s.job(e.Owner, e.ID, d)); err != nil {
		return err
	}
	s.wake()
	return nil
}

// Prune forgets replaced secrets.
func (s *Service) Prune(ctx context.Context) error { return s.Store.ForgetOldSecrets(ctx, s.now()) }
