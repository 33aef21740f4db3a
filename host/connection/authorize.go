package connection

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/form"
	"github.com/frigg-host/frigg-host/host/secret"
)

// abandonedAfter is how long a credential without an entity waits for the person to choose one.
const abandonedAfter = time.Hour

// Requirements is what authorising an account needs from the person.
type Requirements struct {
	Type abi.AuthKind
	// URL is where to send the person, if nothing has to be filled in before. It is good for 10 minutes and one callback.
	URL string
	// Form is what to fill in and hand to Authorize.
	Form *abi.Form
}

// Authorization is one step of authorising an account: either where to send the person next, or the result.
type Authorization struct {
	Type abi.AuthKind
	// URL is set when a form came before the redirect: nothing is stored yet.
	URL          string
	CredentialID CredentialID
	// EntityID is the first of Entities; empty if the person must choose one (CredentialForm, CreateEntity).
	EntityID EntityID
	Entities []*Entity
}

// Requirements says how to authorise an account of module. Errors: Invalid with the list of modules for an unknown one;
// Forbidden and Unavailable for one that does not serve; Unsupported.
func (s *Service) Requirements(ctx context.Context, a account.Actor, module string) (Requirements, error) {
	m, err := s.beginning(ctx, a, module)
	if err != nil {
		return Requirements{}, err
	}
	need := Requirements{Type: m.auth.Kind, Form: m.auth.Form}
	switch {
	case need.Form != nil:
		return need, nil
	case m.redirects():
		need.URL, err = s.sendAway(ctx, a, m, nil)
		return need, err
	}
	need.Form = &abi.Form{JSONSchema: form.Empty().JSONSchema}
	return need, nil
}

func (s *Service) beginning(ctx context.Context, a account.Actor, module string) (*module, error) {
	if err := a.Valid(); err != nil {
		return nil, err
	}
	m, err := s.moduleToAuthorize(ctx, module)
	if err != nil {
		return nil, err
	}
	return m, m.supported()
}

// Authorize takes what Requirements asked for: the values of the form, or the whole query with which the vendor sent the
// person back. Until the account is connected nothing is stored; a callback uses its state up, whatever becomes of it.
//
// Errors: as Requirements; Invalid for a form that does not fit, for a state that is unknown, used, too old, or somebody
// else's, and on side Remote for a code or credential that the vendor refuses; Forbidden on side Remote when the person did
// not agree; Unavailable and RateLimited when the vendor does not answer.
func (s *Service) Authorize(ctx context.Context, a account.Actor, module string, data map[string]any) (Authorization, error) {
	m, err := s.beginning(ctx, a, module)
	if err != nil {
		return Authorization{}, err
	}
	if m.redirects() && isCallback(m, data) {
		return s.comeBack(ctx, a, m, data)
	}
	filled, err := m.readForm(data)
	if err != nil {
		return Authorization{}, err
	}
	if m.redirects() {
		address, err := s.sendAway(ctx, a, m, filled)
		return Authorization{Type: m.auth.Kind, URL: address}, err
	}
	c := s.newConn(m, a.Owner, values{form: filled})
	g, err := c.firstGrant(ctx)
	if err != nil {
		return Authorization{}, err
	}
	return s.settle(ctx, c, g, nil)
}

func (m *module) readForm(data map[string]any) (map[string]value, error) {
	if m.auth.Form == nil {
		return nil, nil
	}
	return readForm(m.auth.Form, data)
}

// isCallback tells the query of a redirect from a form that comes before one.
func isCallback(m *module, data map[string]any) bool {
	_, hasState := data["state"]
	_, hasCode := data["code"]
	_, hasError := data["error"]
	return m.auth.Form == nil || hasState && (hasCode || hasError)
}

// sendAway remembers a redirect and returns the address that begins it.
func (s *Service) sendAway(ctx context.Context, a account.Actor, m *module, form map[string]value) (string, error) {
	state := randomText()
	c := s.newConn(m, a.Owner, values{form: form})
	address, r, err := c.redirectTo(state)
	if err != nil {
		return "", err
	}
	r.Form = bare(form)
	return address, s.beginState(ctx, a, m.Name, state, r)
}

// redirectTo builds the authorize URL, RFC 6749 4.1.1 and RFC 7636 4.3.
func (c *conn) redirectTo(state string) (string, redirect, error) {
	o, f := c.m.auth.OAuth2, c.fill()
	var r redirect
	address, err := f.url(o.AuthorizeURL)
	if err != nil {
		return "", r, err
	}
	id, err := f.reveal(o.ClientID) // public by nature, RFC 6749 2.2
	if err != nil {
		return "", r, err
	}
	omitted := func(name string) bool { return slices.Contains(o.OmitAuthorizeParams, name) }
	if r.RedirectURI, err = c.redirectURI(f, state, omitted("state")); err != nil {
		return "", r, err
	}
	q := url.Values{"response_type": {"code"}, "client_id": {id}, "redirect_uri": {r.RedirectURI}, "state": {state}}
	if len(o.Scopes) > 0 {
		q.Set("scope", strings.Join(o.Scopes, o.ScopeSeparator))
	}
	if o.PKCE != abi.PKCEMethodNone {
		r.Verifier = randomText()
		sum := sha256.Sum256([]byte(r.Verifier))
		q.Set("code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]))
		q.Set("code_challenge_method", "S256")
	}
	for name, template := range o.AuthorizeParams {
		text, err := f.plain(template)
		if err != nil {
			return "", r, err
		}
		q.Set(name, text)
	}
	maps.DeleteFunc(q, func(name string, _ []string) bool { return omitted(name) })
	return withQuery(address, q.Encode()), r, nil
}

// redirectURI is where the vendor sends the person back to. A vendor that knows no state carries it inside.
func (c *conn) redirectURI(f *filler, state string, carry bool) (string, error) {
	q := url.Values{}
	for name, template := range c.m.auth.OAuth2.RedirectParams {
		text, err := f.plain(template)
		if err != nil {
			return "", err
		}
		q.Set(name, text)
	}
	if carry {
		q.Set("state", state)
	}
	return addQuery(c.s.redirectURL(c.m.Name), q.Encode()), nil
}

// withQuery adds a query, inside the fragment where an application has its routes there.
func withQuery(address, query string) string {
	before, fragment, has := strings.Cut(address, "#")
	if !has {
		return addQuery(address, query)
	}
	return before + "#" + addQuery(fragment, query)
}

// comeBack finishes a redirect.
func (s *Service) comeBack(ctx context.Context, a account.Actor, m *module, data map[string]any) (Authorization, error) {
	query, err := readCallback(data)
	if err != nil {
		return Authorization{}, err
	}
	r, err := s.takeState(ctx, a, m.Name, query["state"])
	if err != nil {
		return Authorization{}, err
	}
	c := s.newConn(m, a.Owner, values{form: covered(r.Form), callback: fromCallback(query)})
	if err := c.checkCallback(query); err != nil {
		return Authorization{}, err
	}
	g, err := c.exchangeCode(ctx, query["code"], r)
	if err != nil {
		return Authorization{}, err
	}
	if err := c.keepCallback(g, query); err != nil {
		return Authorization{}, err
	}
	return s.settle(ctx, c, g, query)
}

// Bounds of a callback.
const (
	maxCallbackParams = 64
	maxCallbackBytes  = 16 << 10
)

// readCallback reads the query of a redirect. What is not a text is left out.
func readCallback(data map[string]any) (map[string]string, error) {
	out, size := map[string]string{}, 0
	for name, v := range data {
		if text, ok := v.(string); ok {
			out[name] = text
			size += len(name) + len(text)
		}
	}
	switch {
	case len(out) > maxCallbackParams || size > maxCallbackBytes:
		return nil, fault.New(fault.TooLarge, "connection.Authorize", "the callback has more than %d parameters or %d bytes", maxCallbackParams, maxCallbackBytes)
	case out["state"] == "":
		return nil, fault.New(fault.Invalid, "connection.Authorize", "the callback has no state; send all of its query, or begin again")
	case out["code"] == "" && out["error"] == "":
		return nil, fault.New(fault.Invalid, "connection.Authorize", "the callback has neither a code nor an error; send all of its query, or begin again")
	}
	return out, nil
}

// fromCallback is what templates may refer to. What carries tokens is secret.
func fromCallback(query map[string]string) map[string]value {
	out := map[string]value{}
	for name, text := range query {
		if name != "code" && name != "state" {
			out[name] = value{secret.NewText(text), soundsSecret(name)}
		}
	}
	return out
}

// checkCallback compares the issuer (RFC 9207) and reports the vendor's error (RFC 6749 4.1.2.1).
func (c *conn) checkCallback(query map[string]string) error {
	if came, ok := query["iss"]; ok && c.m.auth.OAuth2.Issuer != "" {
		want, err := c.fill().plain(c.m.auth.OAuth2.Issuer)
		if err != nil {
			return err
		}
		if came != want {
			return fault.New(fault.Invalid, "connection.Authorize", "the callback comes from another server (%s) than %s; begin again", clip(came, 100), want).On(fault.Remote)
		}
	}
	code := clip(query["error"], 64)
	if code == "" {
		return nil
	}
	e := &fault.Error{Kind: fault.Invalid, Side: fault.Remote, Op: "connection.Authorize"}
	switch code {
	case "access_denied":
		e.Kind, e.Msg = fault.Forbidden, c.m.name+" was not allowed to connect the account (access_denied); begin again and agree"
	case "server_error", "temporarily_unavailable":
		e.Kind, e.Msg = fault.Unavailable, c.m.name+" could not authorise the account ("+code+"); begin again later"
	default:
		e.Msg = c.m.name + " did not authorise the account (" + code + ")"
	}
	if text := clip(query["error_description"], 200); text != "" {
		e.Msg += ": " + text
	}
	return e
}

// keepCallback adds what the manifest wants kept of the redirect.
func (c *conn) keepCallback(g *grant, query map[string]string) error {
	for _, k := range c.m.auth.Keep {
		name, ok := strings.CutPrefix(k.From, "callback:")
		if !ok {
			continue
		}
		text := query[name]
		if text == "" && !k.Optional {
			return fault.New(fault.Invalid, "connection.Authorize", "the callback of %s has no %q; begin again", c.m.name, name).On(fault.Remote)
		}
		if text != "" {
			g.values[k.Name] = value{secret.NewText(text), k.Secret || soundsSecret(name) || g.holds(text)}
		}
	}
	return nil
}

// settle finds out whose account the grant opens and stores both. If that fails the vendor is told to take the tokens back.
func (s *Service) settle(ctx context.Context, c *conn, g *grant, query map[string]string) (Authorization, error) {
	c.take(c.values.with(g.values))
	out, err := s.settleNew(ctx, c, g, query)
	if err != nil {
		s.discard(ctx, c, g)
	}
	return out, err
}

func (s *Service) settleNew(ctx context.Context, c *conn, g *grant, query map[string]string) (Authorization, error) {
	var found []abi.Account
	var err error
	if !c.m.auth.ChooseEntity {
		if !c.m.identifies() {
			return Authorization{}, fault.New(fault.Internal, "connection.Authorize", "module %s does not say whose account it is", c.m.Name).On(fault.Guest)
		}
		if found, err = c.accounts(ctx, g.answer, forGuest(query)); err != nil {
			return Authorization{}, c.notAccepted(err)
		}
	}
	if err := c.checkTyped(ctx); err != nil {
		return Authorization{}, err
	}
	return s.complete(ctx, c, g, found)
}

// notAccepted turns the vendor's refusal of a fresh credential into one of what was filled in: who calls us is known.
func (c *conn) notAccepted(err error) error {
	if fault.SideOf(err) != fault.Remote || !fault.Is(err, fault.Unauthorized) {
		return err
	}
	return (&fault.Error{
		Kind: fault.Invalid, Side: fault.Remote, Op: "connection.Authorize",
		Msg: c.m.name + " does not accept this credential; check what was filled in",
	}).With(err)
}

// forGuest is the query of a redirect without what opens anything.
func forGuest(query map[string]string) map[string]string {
	out := map[string]string{}
	for name, text := range query {
		if name != "code" && name != "state" && !soundsSecret(name) {
			out[name] = text
		}
	}
	return out
}

// checkTyped tests a credential that a person has typed and that no request has used so far.
func (c *conn) checkTyped(ctx context.Context) error {
	typed := c.m.auth.Kind == abi.AuthKindAPIKey || c.m.auth.Kind == abi.AuthKindBasic
	asked := !c.m.auth.ChooseEntity && (c.m.auth.Identify == nil || c.m.auth.Identify.Request != nil)
	if !typed || asked || c.m.auth.Test == nil {
		return nil
	}
	out, err := c.probe(ctx)
	switch {
	case err != nil:
		return err
	case out.Outcome == abi.AuthOutcomeInvalid:
		return &fault.Error{Kind: fault.Invalid, Side: fault.Remote, Op: "connection.Authorize", Msg: out.Message + "; check what was filled in"}
	case out.Outcome == abi.AuthOutcomeUnavailable:
		return &fault.Error{Kind: fault.Unavailable, Side: fault.Remote, Op: "connection.Authorize", Msg: out.Message + "; try again later"}
	}
	return nil
}

// complete stores a credential and its entities in one act.
func (s *Service) complete(ctx context.Context, c *conn, g *grant, found []abi.Account) (Authorization, error) {
	now := s.now()
	cred := &Credential{
		ID: NewCredentialID(), Owner: c.owner, Module: c.m.Name, Status: OK, Version: 1,
		ExpiresAt: g.expiresAt, RenewAt: g.renewAt, CreatedAt: now, UpdatedAt: now,
	}
	var err error
	if cred.Sealed, err = s.seal(ctx, cred, c.values); err != nil {
		return Authorization{}, err
	}
	entities := make([]*Entity, 0, len(found))
	seen := map[[2]string]bool{}
	for _, a := range found {
		if account := [2]string{a.ExternalID, a.SubType}; !seen[account] {
			seen[account] = true
			entities = append(entities, newEntity(c.owner, c.m.Name, cred.ID, a, now))
		}
	}
	saved, err := s.store.CompleteAuthorization(ctx, cred, entities, now.Add(-abandonedAfter))
	if err != nil {
		return Authorization{}, err
	}
	out := Authorization{Type: c.m.auth.Kind, CredentialID: cred.ID, Entities: saved}
	if len(saved) > 0 {
		out.EntityID = saved[0].ID
	}
	s.tell(ctx, saved)
	return out, nil
}

// tell says which entities were connected. What follows from it cannot undo that.
func (s *Service) tell(ctx context.Context, connected []*Entity) {
	if s.connected == nil {
		return
	}
	for _, e := range connected {
		if err := s.connected(ctx, e.Owner, e.ID); err != nil {
			s.log.WarnContext(ctx, "what follows from an authorised account failed", "op", "connection.Authorize", "owner", string(e.Owner), "err", err)
		}
	}
}
