package connection

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/requester"
	"github.com/frigg-host/frigg-host/host/secret"
)

// CallOptions says in whose run a request or call happens. The zero value is fine.
type CallOptions struct {
	// Handles are those that the guest may use; nil for none.
	Handles *secret.Handles
	// Log receives the lines of a nested guest; nil is the log of the host.
	Log func(level, message string)
	// Timeout of the whole; 0 is the manifest's for a request and the contract's for a call.
	Timeout time.Duration
}

// Send sends a request on the connection of an entity and returns the vendor's answer, free of secrets. The credential is put
// on at the wire, renewed if it has expired, and tried once more after the vendor refused it.
//
// A status of 400 and more is a fault on side Remote with a *plugin.Status inside, unless r.RawStatus. Other faults: NotFound;
// Invalid, TooLarge and Forbidden on side Guest for the request itself; Unauthorized on side Remote when the person must
// authorise again; RateLimited with RetryAfter; Timeout; Unavailable.
func (s *Service) Send(ctx context.Context, o account.Owner, id EntityID, r abi.HTTPRequest, opt CallOptions) (abi.HTTPResponse, error) {
	c, err := s.connect(ctx, o, id)
	if err != nil {
		return abi.HTTPResponse{}, err
	}
	return c.send(ctx, r, opt)
}

func (c *conn) send(ctx context.Context, r abi.HTTPRequest, opt CallOptions) (abi.HTTPResponse, error) {
	c.handles = opt.Handles
	effect := effectOf(ctx)
	out, err := c.outgoing(c.withKey(r, effect.Key), opt)
	if err != nil {
		return abi.HTTPResponse{}, err
	}
	if !effect.Unsure.IsZero() && !c.repeatable(out, effect, r) {
		if res, happened, err := c.reconcile(ctx, r, effect); happened || err != nil {
			return res, err
		}
		effect.Resolved() // it did not happen
	}
	ctx, cancel := context.WithTimeout(ctx, out.timeout)
	defer cancel()
	leave, err := c.s.gates.enter(ctx, c)
	if err != nil {
		return abi.HTTPResponse{}, err
	}
	defer leave()
	if err := effect.MaySend(ctx); err != nil { // who waits long may have lost the run to another worker
		effect.Unresolved(err)
		return abi.HTTPResponse{}, err
	}
	res, verdict, err := c.exchange(ctx, out)
	if err != nil {
		return c.lost(ctx, r, out, effect, err)
	}
	if verdict != nil && verdict.Kind == fault.Unauthorized && !out.plain && sameOrigin(out.url, res.URL) {
		verdict = c.refused(ctx, verdict)
	}
	if verdict != nil && !r.RawStatus && unclear(res) {
		return c.lost(ctx, r, out, effect, verdict.With(&requester.Failure{Sent: requester.Maybe, Status: res.Status, Attempts: res.Attempts, Err: verdict.Err}))
	}
	effect.Resolved()
	if verdict != nil && !r.RawStatus {
		return abi.HTTPResponse{}, verdict
	}
	return answer(res), nil
}

// outgoing checks what a guest asks for and brings it into the form that goes out.
func (c *conn) outgoing(r abi.HTTPRequest, opt CallOptions) (*outgoing, error) {
	if r.Stream != 0 || r.StreamResponse {
		return nil, guestFault(fault.Unsupported, "streams are not offered by this host")
	}
	f := c.fill()
	out := &outgoing{
		method: strings.ToUpper(r.Method), header: http.Header{}, handles: f.handles, filler: f,
		plain: r.WithoutCredential, maxBytes: c.m.responseBytes(), timeout: c.m.timeout(),
	}
	for _, limit := range []time.Duration{time.Duration(r.TimeoutMS) * time.Millisecond, opt.Timeout} {
		if limit > 0 {
			out.timeout = min(out.timeout, limit)
		}
	}
	if out.method == "" {
		out.method = http.MethodGet
	}
	var err error
	if out.url, err = f.address(r.URL); err != nil {
		return nil, err
	}
	out.url = addQuery(out.url, encodeQuery(r.Query))
	if err := c.checkHeaders(r.Headers, out); err != nil {
		return nil, err
	}
	content, err := requestBody(r)
	if err != nil {
		return nil, err
	}
	if r.Parts != nil {
		out.header.Del("Content-Type") // only ours names the boundary
	}
	out.setBody(content)
	if r.Text != "" {
		out.body.escape = escapeFor(out.header.Get("Content-Type"))
	}
	return out, f.standardHeaders(out)
}

// address is the absolute URL of a guest's request: a path below the base URL, or absolute as it is. A path that could walk
// upwards is refused.
func (f *filler) address(raw string) (string, error) {
	if scheme, _, absolute := strings.Cut(raw, "://"); absolute && !strings.ContainsAny(scheme, "/?#") {
		return raw, nil
	}
	path, query, hasQuery := strings.Cut(raw, "?")
	path, _, _ = strings.Cut(path, "#")
	switch {
	case strings.HasPrefix(path, "//"), strings.Contains(path, "\\"):
		return "", guestFault(fault.Invalid, "the URL must be absolute with https://, or a path below the base URL")
	case hasDotSegment(path):
		return "", guestFault(fault.Invalid, "the path of the URL must not have . or .. in it, and must be well escaped")
	}
	base, err := f.base()
	if err != nil {
		return "", err
	}
	if path != "" {
		base += "/" + strings.TrimPrefix(path, "/")
	}
	if hasQuery {
		query, _, _ = strings.Cut(query, "#")
		base = addQuery(base, query)
	}
	return base, nil
}

func encodeQuery(q map[string][]string) string {
	return url.Values(q).Encode() // sorted by name, so that equal requests look alike
}

// checkHeaders copies a guest's headers. Those that carry credentials belong to the host.
func (c *conn) checkHeaders(headers map[string]string, out *outgoing) error {
	for name, v := range headers {
		if guardedHeader(name) || c.m.placesIn(name) {
			return guestFault(fault.Invalid, "the host sets the header %s; leave it out", http.CanonicalHeaderKey(clip(name, 64)))
		}
		out.header.Set(name, v)
	}
	return nil
}

// placesIn reports that the credential goes into this header.
func (m *module) placesIn(name string) bool {
	return slices.ContainsFunc(m.auth.Apply, func(p abi.Placement) bool { return p.In == abi.PlaceHeader && strings.EqualFold(p.Name, name) })
}

// standardHeaders adds the headers of every request that the request does not set itself.
func (f *filler) standardHeaders(out *outgoing) error {
	if f.m.api == nil {
		return nil
	}
	for name, template := range f.m.api.Headers {
		if out.header.Values(name) != nil || guardedHeader(name) {
			continue
		}
		text, err := f.plain(template)
		if err != nil {
			return err
		}
		out.header.Set(name, text)
	}
	return nil
}

// requestBody takes the one body that a request has.
func requestBody(r abi.HTTPRequest) (body, error) {
	var b body
	n := 0
	if len(r.JSON) > 0 {
		n++
		b = body{content: r.JSON, contentType: "application/json", escape: inJSON}
	}
	if r.Form != nil {
		n++
		b = formBody(r.Form)
	}
	if r.Parts != nil {
		n++
		var err error
		if b, err = multipartBody(r.Parts); err != nil {
			return b, err
		}
	}
	if r.Text != "" {
		n++
		b = body{content: []byte(r.Text), contentType: "text/plain; charset=utf-8", escape: asIs}
	}
	if len(r.Bytes) > 0 {
		n++
		b = body{content: r.Bytes, contentType: "application/octet-stream"}
	}
	if n > 1 {
		return b, guestFault(fault.Invalid, "a request has one body: json, form, parts, text or bytes")
	}
	return b, nil
}

func (m *module) timeout() time.Duration {
	if m.api == nil {
		return abi.LimitTimeoutMS * time.Millisecond
	}
	return time.Duration(m.api.TimeoutMS) * time.Millisecond
}

func (m *module) responseBytes() int64 {
	if m.api == nil {
		return 10 << 20
	}
	return m.api.ResponseBytes
}

// refused says what it means that the vendor does not accept a credential which could not be renewed, or was renewed and is
// refused all the same. Before the connection is given up, the vendor is asked by the module's own test: it may have refused
// this one request only.
func (c *conn) refused(ctx context.Context, verdict *fault.Error) *fault.Error {
	if c.cred == nil {
		return verdict
	}
	if c.m.auth.Test != nil || c.m.auth.Identify != nil && c.m.auth.Identify.Request != nil {
		out, err := c.probeByDeclaration(ctx)
		if err != nil || out.Outcome != abi.AuthOutcomeInvalid {
			return verdict
		}
	}
	if err := c.invalidate(ctx); err != nil {
		return verdict
	}
	return c.m.authoriseAgain().With(verdict.Err)
}

// probeByDeclaration asks without a guest, which may be the one that is running.
func (c *conn) probeByDeclaration(ctx context.Context) (abi.TestAuthOutput, error) {
	if t := c.m.auth.Test; t != nil {
		return c.probeByData(ctx, &t.Request, t.InvalidWhen)
	}
	return c.probeByData(ctx, c.m.auth.Identify.Request, nil)
}

// invalidate marks the credential as refused, unless it has changed since.
func (c *conn) invalidate(ctx context.Context) error {
	changed, err := c.s.store.InvalidateCredential(ctx, c.cred, "", c.s.now())
	if err != nil {
		return err
	}
	if !changed {
		return fault.New(fault.Conflict, "connection.Invalidate", "the credential was changed meanwhile")
	}
	c.s.log.WarnContext(ctx, "credential invalid: the vendor refuses it", "op", "connection.Send", "owner", string(c.owner),
		"plugin", c.m.Name, "credential", string(c.cred.ID))
	return nil
}

// answer is what a guest gets of a response.
func answer(res *requester.Response) abi.HTTPResponse {
	out := abi.HTTPResponse{Status: int64(res.Status), Headers: map[string][]string{}, URL: res.URL}
	for name, values := range res.Header {
		out.Headers[strings.ToLower(name)] = values
	}
	if utf8.Valid(res.Body) {
		out.Text = string(res.Body)
	} else {
		out.Bytes = res.Body
	}
	return out
}

// CallMethod runs a method of the module behind an entity, with `http`, `storage` and `crypto` bound to it. A fault of the
// module or vendor comes back as it is. Errors: NotFound for the entity; Invalid on side Guest for a method that the module
// does not declare.
func (s *Service) CallMethod(ctx context.Context, o account.Owner, id EntityID, method string, args json.RawMessage, opt CallOptions) (json.RawMessage, error) {
	c, err := s.connect(ctx, o, id)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(c.m.Manifest.Methods, func(m abi.Method) bool { return m.Name == method }) {
		return nil, guestFault(fault.Invalid, "module %s declares no method %q", c.m.Name, clip(method, 64))
	}
	out, err := guestCall[abi.MethodOutput](ctx, c, abi.ExportCallMethod, abi.MethodInput{Method: method, Args: args, Connection: c.describe()}, opt)
	return out.Value, err
}
