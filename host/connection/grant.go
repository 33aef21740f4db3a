package connection

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/pointer"
	"github.com/frigg-host/frigg-host/host/requester"
	"github.com/frigg-host/frigg-host/host/secret"
)

// maxLifetime bounds what a vendor may say of a token's life.
const maxLifetime = 10 * 365 * 24 * time.Hour

// grant is what a vendor gave: tokens and what else the manifest wants kept.
type grant struct {
	values    map[string]value
	expiresAt time.Time // zero: not said
	renewAt   time.Time
	answer    any // the whole answer, for finding out whose account it is
}

// refusedError is the cause inside the fault of a token endpoint that has said no.
type refusedError struct {
	code string // error of RFC 6749 5.2 or the vendor's own, "" if it named none
	// application says that it is the operator's application which is refused, and not the account.
	application bool
}

func (e *refusedError) Error() string { return "the token endpoint answers " + strconv.Quote(e.code) }

// isRefusal reports that a token endpoint has said no, and not merely failed.
func isRefusal(err error) bool {
	var r *refusedError
	return errors.As(err, &r) && !r.application
}

// isDead reports that the grant itself is gone: RFC 6749 5.2, and what GitHub and Slack say instead. An application that the
// person brought ends with its grant: only they can bring another.
func isDead(err error) bool {
	var r *refusedError
	if !errors.As(err, &r) {
		return false
	}
	switch r.code {
	case "invalid_grant", "bad_refresh_token", "invalid_refresh_token", "token_revoked", "token_expired":
		return true
	case "invalid_client", "unauthorized_client", "incorrect_client_credentials":
		return !r.application
	}
	return false
}

// misconfigured are refusals of the application and not of the account.
func misconfigured(code string) bool {
	switch code {
	case "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope", "invalid_request", "incorrect_client_credentials":
		return true
	}
	return false
}

// exchangeCode turns the code of a callback into tokens, RFC 6749 4.1.3.
func (c *conn) exchangeCode(ctx context.Context, code string, r redirect) (*grant, error) {
	fields := map[string]string{"grant_type": "authorization_code", "code": code, "redirect_uri": r.RedirectURI}
	if r.Verifier != "" {
		fields["code_verifier"] = r.Verifier
	}
	return c.askForTokens(ctx, fields, "code", "code_verifier")
}

// firstGrant gets tokens without a redirect: by the application, by the person's password, or by logging in.
func (c *conn) firstGrant(ctx context.Context) (*grant, error) {
	switch {
	case c.m.auth.Kind == abi.AuthKindCustom:
		return c.login(ctx)
	case c.m.auth.Kind != abi.AuthKindOAuth2:
		return &grant{}, nil
	case c.m.auth.OAuth2.Grant == abi.OAuth2GrantPassword:
		username, password := c.values.form["username"], c.values.form["password"]
		return c.askForTokens(ctx, c.scoped(map[string]string{
			"grant_type": "password",
			"username":   username.text.Reveal(), "password": password.text.Reveal(),
		}), "password")
	}
	return c.askForTokens(ctx, c.scoped(map[string]string{"grant_type": "client_credentials"}))
}

// renewGrant gets new tokens for a connection that has some. Without a refresh token the first way is gone again.
func (c *conn) renewGrant(ctx context.Context) (*grant, error) {
	token := c.values.token(refreshToken)
	if c.m.auth.Kind != abi.AuthKindOAuth2 || token.IsZero() {
		return c.firstGrant(ctx)
	}
	return c.askForTokens(ctx, map[string]string{"grant_type": "refresh_token", "refresh_token": token.Reveal()}, "refresh_token")
}

func (c *conn) scoped(fields map[string]string) map[string]string {
	if o := c.m.auth.OAuth2; len(o.Scopes) > 0 {
		fields["scope"] = strings.Join(o.Scopes, o.ScopeSeparator)
	}
	return fields
}

// askForTokens sends a token request. Fields named in secrets are kept out of everything but the wire.
func (c *conn) askForTokens(ctx context.Context, fields map[string]string, secrets ...string) (*grant, error) {
	out, err := c.tokenRequest(fields, secrets)
	if err != nil {
		return nil, err
	}
	res, err := c.tokenAnswer(ctx, out)
	if err != nil {
		return nil, err
	}
	return c.readGrant(res)
}

func (c *conn) tokenRequest(fields map[string]string, secrets []string) (*outgoing, error) {
	o, f := c.m.auth.OAuth2, c.fill()
	template, extra := o.TokenURL, o.TokenParams
	if fields["grant_type"] == "refresh_token" {
		extra = o.RefreshParams
		if o.RefreshURL != "" {
			template = o.RefreshURL
		}
	}
	for _, name := range secrets {
		fields[name] = f.handles.Issue(secret.NewText(fields[name]))
	}
	client, err := f.client(fields)
	if err != nil {
		return nil, err
	}
	more, err := f.texts(extra)
	if err != nil {
		return nil, err
	}
	maps.Copy(fields, more)
	content, query, err := writeFields(o.TokenBody, fields)
	if err != nil {
		return nil, err
	}
	address, err := f.url(template)
	if err != nil {
		return nil, err
	}
	headers, err := f.texts(o.TokenHeaders)
	if err != nil {
		return nil, err
	}
	out := f.tokenOutgoing(o.TokenMethod, addQuery(address, query.Encode()), headers)
	out.client = client
	out.setBody(content)
	return out, nil
}

// tokenOutgoing is a request whose answer brings secrets.
func (f *filler) tokenOutgoing(method, address string, headers map[string]string) *outgoing {
	out := &outgoing{
		method: method, url: address, header: http.Header{}, guarded: http.Header{}, handles: f.handles, filler: f,
		plain: true, tokens: true, timeout: tokenTimeout, maxBytes: maxTokenAnswer,
	}
	out.header.Set("Accept", "application/json")
	for name, text := range headers {
		if guardedHeader(name) {
			out.guarded.Set(name, text)
		} else {
			out.header.Set(name, text)
		}
	}
	return out
}

const (
	tokenTimeout   = 20 * time.Second
	maxTokenAnswer = 1 << 20
)

// client shows the application's secret as the vendor wants it. It adds fields or returns what goes into the header.
func (f *filler) client(fields map[string]string) (*clientPassword, error) {
	o := f.m.auth.OAuth2
	id, err := f.reveal(o.ClientID)
	if err != nil {
		return nil, err
	}
	if o.ClientAuth == abi.ClientAuthNone {
		fields["client_id"] = id
		return nil, nil
	}
	key, err := f.reveal(o.ClientSecret)
	if err != nil {
		return nil, err
	}
	if o.ClientAuth == abi.ClientAuthPost {
		fields["client_id"], fields["client_secret"] = id, f.handles.Issue(secret.NewText(key))
		return nil, nil
	}
	return &clientPassword{id: secret.NewText(id), secret: secret.NewText(key)}, nil
}

// tokenAnswer sends a token request. A server that is busy for a moment is asked again: it has not acted. All else is not
// repeated, since a refresh token may be spent.
func (c *conn) tokenAnswer(ctx context.Context, out *outgoing) (*requester.Response, error) {
	const tries = 4
	pause := 200 * time.Millisecond
	for i := 1; ; i++ {
		res, _, err := c.exchange(ctx, out)
		wait := pause
		switch {
		case err != nil && (requester.SentOf(err) != requester.Never || fault.KindOf(err) != fault.Unavailable):
			return nil, err
		case err == nil && !busy(res.Status):
			return res, nil
		case err == nil:
			if told, ok := requester.RetryAfter(res, c.s.now()); ok {
				wait = told
			}
		}
		if i == tries || wait > 2*time.Second {
			return res, err
		}
		if failed := c.s.wait(ctx, wait); failed != nil {
			return nil, fault.Wrap(failed, fault.Canceled, "connection.Token", "the caller left")
		}
		pause *= 3
	}
}

func busy(status int) bool {
	return status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests
}

// readGrant reads the answer of a token endpoint.
func (c *conn) readGrant(res *requester.Response) (*grant, error) {
	o := c.m.auth.OAuth2
	doc := tokenDocument(res.Body)
	if err := c.tokenFault(res, doc); err != nil {
		return nil, err
	}
	where := o.TokenResponse
	access, ok := stringAt(doc, where.AccessToken)
	if !ok {
		return nil, c.m.badAnswer("has no access token at " + where.AccessToken)
	}
	g := &grant{values: map[string]value{accessToken: hidden(access)}, answer: doc}
	for name, path := range map[string]string{refreshToken: where.RefreshToken, idToken: where.IDToken} {
		if text, ok := stringAt(doc, path); ok {
			g.values[name] = hidden(text)
		}
	}
	if scope, ok := pointer.Text(doc, where.Scope); ok {
		g.values[grantedScope] = value{secret.NewText(scope), g.holds(scope)}
	}
	now := c.s.now()
	g.live(expiry(doc, where, now), o.Refresh, now)
	return g, c.keepFrom(g, c.m.auth.Keep, doc)
}

// tokenDocument reads JSON, whatever its content type, or a form, whose fields become those of an object.
func tokenDocument(body []byte) any {
	if doc, ok := pointer.Decode(body); ok {
		return doc
	}
	form, err := url.ParseQuery(strings.TrimSpace(string(body)))
	if err != nil {
		return nil
	}
	doc := map[string]any{}
	for name, values := range form {
		doc[name] = values[0]
	}
	return doc
}

// stringAt is a text that is not empty.
func stringAt(doc any, path string) (string, bool) {
	v, _ := pointer.At(doc, path)
	s, ok := v.(string)
	return s, ok && s != ""
}

// tokenFault says what went wrong at a token endpoint, nil if nothing did. Only a code and a short text of the vendor's are
// repeated, never the answer.
func (c *conn) tokenFault(res *requester.Response, doc any) error {
	where := c.m.auth.OAuth2.TokenResponse
	code, failed := errorCode(doc, where.Error)
	verdict := requester.Classify(res, c.s.now())
	switch {
	case verdict == nil && !failed && res.Status < 300:
		return nil
	case verdict == nil && !failed:
		return c.m.badAnswer("is a redirect (" + statusText(res.Status) + ")")
	case res.Status >= 500, fault.Is(verdict, fault.RateLimited), fault.Is(verdict, fault.Timeout), fault.Is(verdict, fault.Unavailable):
		e := &fault.Error{
			Kind: fault.Unavailable, Side: fault.Remote, Op: "connection.Token", RetryAfter: fault.RetryAfterOf(verdict),
			Msg: c.m.name + " does not give tokens at the moment (" + statusText(res.Status) + "); try again later",
		}
		if fault.Is(verdict, fault.RateLimited) {
			e.Kind = fault.RateLimited
		}
		return e
	}
	code = clip(requester.Scrub(code, c.sent), 64)
	refused := &refusedError{code, misconfigured(code) && !c.m.personalApplication()}
	if refused.application {
		return (&fault.Error{
			Kind: fault.Unavailable, Side: fault.Host, Op: "connection.Token",
			Msg: c.m.name + " refuses this application (" + code + "); the operator must check the client id, secret, scopes and redirect address of module " + c.m.Name,
		}).With(refused)
	}
	msg := c.m.name + " refuses to give tokens"
	if code != "" {
		msg += " (" + code + ")"
	} else {
		msg += " (" + statusText(res.Status) + ")"
	}
	if text, ok := stringAt(doc, where.ErrorDescription); ok {
		msg += ": " + clip(requester.Scrub(text, c.sent), 200)
	}
	if misconfigured(code) {
		msg += "; check the client id and secret that were filled in, and begin again"
	}
	return (&fault.Error{Kind: fault.Invalid, Side: fault.Remote, Op: "connection.Token", Msg: msg}).With(refused)
}

// personalApplication reports that whoever connects an account brings the application too.
func (m *module) personalApplication() bool {
	for _, text := range []string{m.auth.OAuth2.ClientID, m.auth.OAuth2.ClientSecret} {
		t, err := abi.ParseTemplate(text)
		if err == nil && slices.ContainsFunc(t.Refs(), func(r abi.Ref) bool { return r.Scope == abi.ScopeForm }) {
			return true
		}
	}
	return false
}

// errorCode finds the error of an answer: a text, or anything else that is there and not null, false or empty.
func errorCode(doc any, path string) (string, bool) {
	v, ok := pointer.At(doc, path)
	if !ok || v == nil || v == false || v == "" {
		return "", false
	}
	if s, ok := v.(string); ok {
		return s, true
	}
	return "", true
}

func (m *module) badAnswer(what string) *fault.Error {
	return &fault.Error{
		Kind: fault.Unavailable, Side: fault.Remote, Op: "connection.Token",
		Msg: "the token answer of " + m.name + " " + what + "; check the manifest of module " + m.Name,
	}
}

// expiry reads when a token ends, zero if the vendor does not say.
func expiry(doc any, where *abi.TokenResponse, now time.Time) time.Time {
	if text, ok := pointer.Text(doc, where.ExpiresAt); ok && where.ExpiresAt != "" {
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			if n > 1e11 { // milliseconds
				n /= 1000
			}
			return after(now, n-float64(now.Unix()))
		}
		if t, err := time.Parse(time.RFC3339, text); err == nil {
			return after(now, t.Sub(now).Seconds())
		}
		return time.Time{}
	}
	if text, ok := pointer.Text(doc, where.ExpiresIn); ok && where.ExpiresIn != "" {
		if n, err := strconv.ParseFloat(strings.TrimSpace(text), 64); err == nil {
			return after(now, n)
		}
	}
	return time.Time{}
}

// after is now plus a lifetime; one that makes no sense is not said.
func after(now time.Time, seconds float64) time.Time {
	if !(seconds > 0) {
		return time.Time{}
	}
	life := time.Duration(min(seconds, maxLifetime.Seconds()) * float64(time.Second))
	return now.Add(life).Truncate(time.Microsecond)
}

// live sets when the tokens end and when they are renewed: the margin before, but at most a fifth of their life.
func (g *grant) live(expiresAt time.Time, p *abi.RefreshPolicy, now time.Time) {
	if expiresAt.IsZero() && p.AssumeExpiresS > 0 {
		expiresAt = after(now, float64(p.AssumeExpiresS))
	}
	if expiresAt.IsZero() {
		return
	}
	margin := min(time.Duration(min(p.MarginS, int64(maxLifetime/time.Second)))*time.Second, expiresAt.Sub(now)/5)
	g.expiresAt, g.renewAt = expiresAt, expiresAt.Add(-margin).Truncate(time.Microsecond)
}

// keepFrom adds what the manifest wants kept of an answer. What is or sounds like a secret is kept as one.
func (c *conn) keepFrom(g *grant, keep []abi.Keep, doc any) error {
	for _, k := range keep {
		if strings.HasPrefix(k.From, "callback:") || strings.HasPrefix(k.From, "header:") {
			continue
		}
		text, ok := pointer.Text(doc, k.From)
		_, had := c.values.credential[k.Name]
		switch {
		case !ok && (k.Optional || had):
		case !ok:
			return c.m.badAnswer("has no " + k.Name + " at " + k.From)
		default:
			g.values[k.Name] = value{secret.NewText(text), k.Secret || soundsSecret(k.From) || g.holds(text)}
		}
	}
	return nil
}

// keepHeadersFrom adds what the manifest wants kept of the headers of a login.
func (c *conn) keepHeadersFrom(g *grant, keep []abi.Keep, res *requester.Response) error {
	for _, k := range keep {
		name, ok := strings.CutPrefix(k.From, "header:")
		if !ok {
			continue
		}
		text := headerText(res, name)
		_, had := c.values.credential[k.Name]
		switch {
		case !text.IsZero():
			g.values[k.Name] = value{text, true}
		case !k.Optional && !had:
			return c.m.badAnswer("has no header " + name)
		}
	}
	return nil
}

// holds reports that a text contains one of the tokens.
func (g *grant) holds(text string) bool {
	for _, v := range g.values {
		if v.secret && len(v.text.Reveal()) > 3 && strings.Contains(text, v.text.Reveal()) {
			return true
		}
	}
	return false
}

// login runs the requests of a custom exchange; each sees what the ones before have kept.
func (c *conn) login(ctx context.Context) (*grant, error) {
	g := &grant{values: map[string]value{}}
	step := *c
	for _, l := range c.m.auth.Login {
		step.take(c.values.with(g.values))
		f := step.fill()
		out, err := f.request(&l.Request)
		if err != nil {
			return nil, err
		}
		out.plain, out.tokens, out.timeout, out.maxBytes = true, true, tokenTimeout, maxTokenAnswer
		res, err := step.tokenAnswer(ctx, out)
		if err != nil {
			return nil, err
		}
		if verdict := c.m.judge(res, c.s.now()); verdict != nil {
			return nil, c.loginFault(verdict)
		}
		doc := tokenDocument(res.Body)
		g.answer = doc
		if err := step.keepFrom(g, l.Keep, doc); err != nil {
			return nil, err
		}
		if err := step.keepHeadersFrom(g, l.Keep, res); err != nil {
			return nil, err
		}
		if l.ExpiresIn != "" {
			now := c.s.now()
			g.live(expiry(doc, &abi.TokenResponse{ExpiresIn: l.ExpiresIn}, now), &abi.RefreshPolicy{MarginS: 60}, now)
		}
	}
	return g, nil
}

// loginFault is the fault of a login that was refused: the answer was not scrubbed, so only its status is repeated.
func (c *conn) loginFault(verdict *fault.Error) error {
	e := verdict.With(verdict.Err)
	e.Op, e.Msg = "connection.Login", c.m.name+" refuses the login"
	switch verdict.Kind {
	case fault.Unauthorized, fault.Forbidden, fault.Invalid, fault.NotFound:
		e.Kind = fault.Invalid
		return e.With(&refusedError{code: "invalid_grant"})
	case fault.RateLimited, fault.Timeout:
	default:
		e.Kind = fault.Unavailable
	}
	e.Msg = c.m.name + " does not take logins at the moment; try again later"
	return e
}
