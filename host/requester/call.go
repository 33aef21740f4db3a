package requester

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
)

// call is one Do under way. Used by one goroutine.
type call struct {
	r        *Requester
	policy   Policy
	auth     Authorizer
	timeout  time.Duration
	maxBody  int64
	follows  bool
	withhold []string

	first    hop
	host     string // where we are talking to, for messages
	secrets  scrubber
	attempts int
	moved    bool // this attempt has followed a redirect
	sent     Sent // Never or Maybe
}

func (c *call) do(ctx context.Context, req Request) (*Response, error) {
	first, err := c.r.cfg.firstHop(req)
	if err != nil {
		return nil, err
	}
	c.first, c.host = first, first.target.Host
	rule, ok := c.policy.Rule(first.target)
	if !ok {
		return nil, notGranted("asked for", first.target)
	}
	c.first.trusted = c.auth != nil && !rule.Anonymous
	return c.persist(ctx)
}

func notGranted(how string, t Target) *fault.Error {
	return &fault.Error{Kind: fault.Forbidden, Side: fault.Guest, Msg: "the plugin " + how + " " + t.Origin() + ", which is not granted to it"}
}

// persist makes the one repetition after a renewed credential and the one after a broken connection.
func (c *call) persist(ctx context.Context) (*Response, error) {
	renewed, resent := false, false
	for {
		c.attempts++
		res, err := c.chase(ctx)
		switch {
		case err != nil && !resent && !c.moved && repeatable(c.first.method, c.first.header) && isBroken(err) && ctx.Err() == nil:
			resent = true
		case err == nil && !renewed && res.Status == http.StatusUnauthorized && res.trusted && !res.Moved:
			renewed = true
			again, err := c.auth.Renew(ctx, res)
			if err != nil {
				return nil, fault.Wrap(err, fault.Internal, "requester.Do", "the credential cannot be renewed")
			}
			if !again {
				return res, nil
			}
		default:
			return res, err
		}
	}
}

// chase sends the first request and those to which its answers redirect.
func (c *call) chase(ctx context.Context) (*Response, error) {
	c.moved = false
	h := c.first
	for range maxRedirects + 1 {
		c.host = h.target.Host
		res, next, err := c.exchange(ctx, h)
		if next == nil {
			return res, err
		}
		// An answer that moves us on need not have done what was asked, but may have.
		h, c.moved, c.sent = *next, true, Maybe
	}
	return nil, badRedirect(fault.Unavailable, "%s redirects more than %d times", c.host, maxRedirects)
}

// exchange sends h and returns its answer or where that redirects to. The place is held only meanwhile: an Authorizer may
// itself need one to renew a credential.
func (c *call) exchange(ctx context.Context, h hop) (*Response, *hop, error) {
	out, err := c.authorized(ctx, h)
	if err != nil {
		return nil, nil, err
	}
	leave, err := c.r.budgets.enter(ctx, c.policy)
	if err != nil {
		return nil, nil, err
	}
	defer leave()
	res, err := c.send(ctx, out)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	answer, next, err := c.take(ctx, h, res)
	if err != nil {
		return nil, nil, &answeredError{res.StatusCode, err}
	}
	return answer, next, nil
}

// take returns the answer to h, or where it redirects to.
func (c *call) take(ctx context.Context, h hop, res *http.Response) (*Response, *hop, error) {
	next, err := c.redirected(h, res)
	if err != nil {
		return nil, nil, err
	}
	if next != nil {
		drain(res)
		return nil, next, context.Cause(ctx) // draining may have used up the time
	}
	answer, err := c.read(h, res)
	return answer, nil, err
}

func (c *call) send(ctx context.Context, out *Outgoing) (*http.Response, error) {
	var w wire
	ctx = httptrace.WithClientTrace(ctx, w.trace())
	req, err := http.NewRequestWithContext(ctx, out.Method, out.URL.String(), bytes.NewReader(out.Body))
	if err != nil {
		return nil, err
	}
	req.Header = out.Header
	res, err := c.r.trip.RoundTrip(req)
	if err != nil {
		c.sent = max(c.sent, w.sent())
	}
	return res, err
}

// authorized returns h as it goes out. The caller's part of it is copied: nothing of the credential stays in h.
func (c *call) authorized(ctx context.Context, h hop) (*Outgoing, error) {
	out := &Outgoing{Method: h.method, URL: h.target.URL(), Header: h.header.Clone(), Body: h.body}
	if h.trusted {
		secrets, err := c.auth.Authorize(ctx, out)
		c.secrets.add(secrets)
		if err != nil {
			return nil, fault.Wrap(err, fault.Internal, "requester.Do", "the credential cannot be attached")
		}
		if err := checkAuthorized(h, out); err != nil {
			return nil, err
		}
	}
	if len(out.Header.Values("User-Agent")) == 0 {
		out.Header.Set("User-Agent", c.r.cfg.UserAgent)
	}
	if h.method != http.MethodHead && out.Header.Get("Range") == "" { // a range counts encoded bytes
		out.Header.Set("Accept-Encoding", "gzip")
	}
	return out, nil
}

// checkAuthorized refuses what an Authorizer may not do: the policy was checked for h. It makes out canonical.
func checkAuthorized(h hop, out *Outgoing) error {
	bug := fault.New(fault.Internal, "requester.Do", "the authorizer changed where the request goes or how it is framed")
	target, err := parseTarget(out.URL.String())
	if err != nil || !target.sameOrigin(h.target) {
		return bug
	}
	for name, values := range out.Header {
		if framing[http.CanonicalHeaderKey(name)] {
			return bug
		}
		for _, v := range values {
			if !isToken(name) || !isFieldValue(v) {
				return fault.New(fault.Invalid, "requester.Do", "the credential has characters that cannot be sent in a header: enter it again")
			}
		}
	}
	out.Method, out.URL = h.method, target.URL()
	return nil
}

// wire learns how far a request came. Its hooks run on goroutines of the transport.
type wire struct{ dialing, writing atomic.Bool }

func (w *wire) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) { w.dialing.Store(true) },
		// The first header field: before it nothing that could be acted on has been written.
		WroteHeaderField: func(string, []string) { w.writing.Store(true) },
	}
}

// sent is Never only if a connection was looked for and nothing was written. A transport that tells us nothing gets Maybe.
func (w *wire) sent() Sent {
	if w.dialing.Load() && !w.writing.Load() {
		return Never
	}
	return Maybe
}
