package connection

import (
	"context"
	"net/http"
	"slices"
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

// conn is one connection in use: a module, whose account it is, and its values in clear. It serves one call and is not for
// concurrent use.
type conn struct {
	s      *Service
	m      *module
	owner  account.Owner
	entity *Entity     // nil while authorising
	cred   *Credential // nil while authorising: nothing is stored yet
	values values
	hosts  hosts
	// handles that the guest of this call may use.
	handles *secret.Handles
	// sent are the secrets of the last token request, whose answer comes unscrubbed.
	sent []secret.Text
}

// newConn is a connection that is not stored yet.
func (s *Service) newConn(m *module, o account.Owner, v values) *conn {
	c := &conn{s: s, m: m, owner: o}
	c.take(v)
	return c
}

// take replaces the values, and with them the hosts that they name.
func (c *conn) take(v values) {
	c.values = v
	c.hosts = c.fill().hosts()
}

// fill starts to fill templates.
func (c *conn) fill() *filler {
	return &filler{m: c.m, values: c.values, handles: c.handles.Child()}
}

// connect opens the connection of an entity, with a credential that is worth sending.
func (s *Service) connect(ctx context.Context, o account.Owner, id EntityID) (*conn, error) {
	if err := o.Valid(); err != nil {
		return nil, err
	}
	e, cred, err := s.store.Connection(ctx, o, id)
	if err != nil {
		return nil, err
	}
	c, err := s.open(ctx, cred)
	if err != nil {
		return nil, err
	}
	c.entity = e
	return c, c.ready(ctx)
}

// open opens a stored credential as it is.
func (s *Service) open(ctx context.Context, cred *Credential) (*conn, error) {
	m, err := s.moduleInUse(ctx, cred.Module)
	if err != nil {
		return nil, err
	}
	v, err := s.unseal(ctx, cred)
	if err != nil {
		return nil, err
	}
	c := s.newConn(m, cred.Owner, v)
	c.cred = cred
	return c, nil
}

func (s *Service) unseal(ctx context.Context, cred *Credential) (values, error) {
	text, err := s.vault.Open(ctx, string(cred.Owner), cred.place(), cred.Sealed)
	if err != nil {
		return values{}, err
	}
	return decodeValues(text)
}

func (s *Service) seal(ctx context.Context, cred *Credential, v values) (string, error) {
	text, err := v.encode()
	if err != nil {
		return "", err
	}
	return s.vault.Seal(ctx, string(cred.Owner), cred.place(), text)
}

// describe is what a guest is told of the connection.
func (c *conn) describe() abi.Connection {
	out := abi.Connection{Values: c.values.visible()}
	if c.entity != nil {
		out.EntityID, out.ExternalID, out.Name, out.Details = string(c.entity.ID), c.entity.ExternalID, c.entity.Name, c.entity.Details
	}
	return out
}

// secrets lists everything that nobody outside of this room may read.
func (c *conn) secrets() []secret.Text {
	out := c.values.secrets()
	for _, v := range c.m.settings {
		if v.secret {
			out = append(out, v.text)
		}
	}
	return out
}

// budget names what the requests of this connection share.
func (c *conn) budget() string {
	if c.cred != nil {
		return string(c.cred.ID)
	}
	return string(c.owner) + " " + c.m.Name
}

// exchange sends out and returns the answer with what it means: nil for a good one. A credential that the vendor refuses is
// renewed once and the request repeated.
func (c *conn) exchange(ctx context.Context, out *outgoing) (*requester.Response, *fault.Error, error) {
	if host, yes := c.hosts.anonymous(out.url); yes && out.secretive() {
		return nil, nil, guestFault(fault.Forbidden, "a secret may go only to hosts that get the credential, and %s is not one", host)
	}
	auth := &authorizer{c: c, out: out}
	policy := c.hosts.policy(c.m, c.budget())
	if out.tokens {
		policy = requester.Policy{Hosts: c.hosts.rules, Key: c.budget() + " tokens"}
	}
	ctx, cancel := context.WithTimeout(ctx, out.timeout)
	defer cancel()
	for {
		res, err := c.s.sender.Do(ctx, policy, requester.Request{
			Method: out.method, URL: out.url, Header: out.header, Body: out.body.content,
			Timeout: out.timeout, MaxResponseBytes: out.maxBytes, NoRedirects: out.tokens, Withhold: c.m.tokenHeaders(),
		}, auth)
		if err != nil {
			return nil, nil, err
		}
		if out.tokens {
			return res, nil, nil
		}
		if err := c.keepHeaders(ctx, out, res); err != nil {
			f := &requester.Failure{Sent: requester.Answered, Status: res.Status, Attempts: res.Attempts, Err: err}
			return nil, nil, &fault.Error{Kind: fault.KindOf(err), Side: fault.SideOf(err), Op: "connection.Keep", Msg: fault.PublicMessage(err), Err: f}
		}
		verdict := c.m.judge(res, c.s.now())
		if verdict == nil || verdict.Kind != fault.Unauthorized || res.Status == http.StatusUnauthorized || res.Moved || !sameOrigin(out.url, res.URL) {
			return res, verdict, nil
		}
		again, err := auth.Renew(ctx, res)
		if err != nil || !again {
			return res, verdict, err
		}
	}
}

// sameOrigin reports whether an answer came from where the credential went.
func sameOrigin(asked, answered string) bool {
	a, err := requester.ParseTarget(asked)
	if err != nil {
		return false
	}
	b, err := requester.ParseTarget(answered)
	return err == nil && a.Origin() == b.Origin()
}

// keepHeaders stores what the manifest wants kept of every answer: tokens that rotate in headers.
func (c *conn) keepHeaders(ctx context.Context, out *outgoing, res *requester.Response) error {
	fresh := map[string]value{}
	for _, k := range c.m.auth.Keep {
		name, ok := strings.CutPrefix(k.From, "header:")
		if !ok || out.plain || !sameOrigin(out.url, res.URL) {
			continue
		}
		v := value{secret: secretHeader(k.Secret, name), text: headerText(res, name)}
		if !v.text.IsZero() && !v.text.Equal(c.values.token(k.Name)) {
			fresh[k.Name] = v
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	c.take(c.values.with(fresh))
	if c.cred == nil {
		return nil
	}
	return c.s.keep(ctx, c, fresh)
}

// tokenHeaders are the headers of answers that bring secrets.
func (m *module) tokenHeaders() []string {
	keep := slices.Clone(m.auth.Keep)
	for _, l := range m.auth.Login {
		keep = append(keep, l.Keep...)
	}
	var names []string
	for _, k := range keep {
		if name, ok := strings.CutPrefix(k.From, "header:"); ok && secretHeader(k.Secret, name) {
			names = append(names, name)
		}
	}
	return names
}

func secretHeader(said bool, name string) bool { return said || soundsSecret(name) }

func headerText(res *requester.Response, name string) secret.Text {
	if v := res.Header.Get(name); v != "" {
		return secret.NewText(v)
	}
	if v := res.Withheld[http.CanonicalHeaderKey(name)]; len(v) > 0 {
		return v[0]
	}
	return secret.Text{}
}

// keep stores more values of a credential, on top of what others store at the same time.
func (s *Service) keep(ctx context.Context, c *conn, fresh map[string]value) error {
	const tries = 5
	for range tries {
		sealed, err := s.seal(ctx, c.cred, c.values)
		if err != nil {
			return err
		}
		now := s.now()
		stored, err := s.store.KeepValues(ctx, c.cred, sealed, now)
		if err != nil {
			return err
		}
		if stored {
			c.cred.Sealed, c.cred.UpdatedAt = sealed, now
			c.cred.Version++
			return nil
		}
		if err := s.wait(ctx, pollFirst); err != nil {
			return fault.Wrap(err, fault.Canceled, "connection.Keep", "the caller left")
		}
		current, err := s.store.CredentialByID(ctx, c.owner, c.cred.ID)
		if err != nil {
			return err
		}
		v, err := s.unseal(ctx, current)
		if err != nil {
			return err
		}
		c.cred = current
		c.take(v.with(fresh))
	}
	s.log.WarnContext(ctx, "a value that the vendor gave was not kept: others changed the credential all the time",
		"op", "connection.Keep", "owner", string(c.owner), "plugin", c.m.Name)
	return nil
}

// judge says what an answer means, nil for a good one: the manifest's rules first, then the status.
func (m *module) judge(res *requester.Response, now time.Time) *fault.Error {
	doc := lazyJSON(res.Body)
	if m.api != nil {
		for _, rule := range m.api.Faults {
			if matches(&rule.When, res, doc) {
				return m.refusal(res, fault.Kind(rule.Kind), textOf(doc, rule.Message), now)
			}
		}
	}
	err := requester.Classify(res, now)
	if err == nil {
		return nil
	}
	return m.refusal(res, fault.KindOf(err), "", now)
}

// refusal is the fault of an answer. The vendor's own text is shortened; its secrets are scrubbed already.
func (m *module) refusal(res *requester.Response, kind fault.Kind, text string, now time.Time) *fault.Error {
	msg := m.name + " answers " + statusText(res.Status)
	if text = clip(text, 300); text != "" {
		msg += ": " + text
	}
	e := &fault.Error{Kind: kind, Side: fault.Remote, Op: "connection.Send", Msg: msg, Err: &plugin.Status{Code: res.Status}}
	if wait, ok := requester.RetryAfter(res, now); ok {
		e.RetryAfter = wait
	}
	return e
}

func lazyJSON(body []byte) func() any {
	var doc any
	done := false
	return func() any {
		if !done {
			doc, _ = pointer.Decode(body)
			done = true
		}
		return doc
	}
}

func textOf(doc func() any, path string) string {
	if path == "" {
		return ""
	}
	text, _ := pointer.Text(doc(), path)
	return text
}

// matches reports whether all that a predicate says holds of an answer.
func matches(p *abi.Predicate, res *requester.Response, doc func() any) bool {
	if p.Status != 0 && int(p.Status) != res.Status {
		return false
	}
	if p.Header != "" && len(res.Header.Values(p.Header)) == 0 {
		return false
	}
	if p.Pointer == "" {
		return true
	}
	v, ok := pointer.At(doc(), p.Pointer)
	if !ok || p.Equals == "" {
		return ok
	}
	text, ok := pointer.Scalar(v)
	return ok && text == p.Equals
}
