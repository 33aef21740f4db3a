// Package requester is the only way out to the network.
//
// It sends one request where a Policy allows it and brings back a bounded, scrubbed answer or a typed fault. It knows hosts,
// addresses, sizes, time, retries, redirects and redaction. It does not know whose credential it carries: callers pass an
// Authorizer. It must not know plugins, owners, storage or queues, and it never waits for longer than its caller's deadline:
// what has to wait longer is told by fault.RetryAfterOf and belongs to a queue.
//
// Everything here is safe for concurrent use, except where a type says otherwise.
package requester

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
)

const (
	defaultMaxBody         = 10 << 20
	maxResponseHeaderBytes = 128 << 10
	maxRedirects           = 5
)

// How long a connection may idle before it is used again. A server may close one at the moment at which it is used, and then
// nobody knows what became of the request. One that may be sent twice is simply sent again. Any other, such as one that spends
// a refresh token, takes only connections that were in use a moment ago: common servers close after two seconds and more.
const (
	idleForRepeatable = time.Minute
	idleForOthers     = time.Second
)

// Config may be zero: the defaults are for the public internet.
type Config struct {
	// AllowPrivate opens addresses that are closed to everybody by default, such as those of an on-premises network or, in
	// development, of this machine. An IPv4 prefix also covers its IPv4-mapped form.
	AllowPrivate []netip.Prefix
	Resolver     *net.Resolver  // nil = the system's
	RootCAs      *x509.CertPool // nil = the system's
	UserAgent    string         // for requests without one; "" = "frigg-host"

	Timeout          time.Duration // of a call that names none; 0 = 30 s
	MaxTimeout       time.Duration // of any call; 0 = 5 min
	HeaderTimeout    time.Duration // from the request's last byte to the answer's headers; 0 = 60 s
	MaxResponseBytes int64         // of any call; 0 = 64 MiB
	MaxRequestBytes  int64         // of the caller's body; 0 = 32 MiB
	MaxInFlight      int           // calls at the same time per Policy.Key, more wait; 0 = 16

	// Wrap, if not nil, stands between the requester and the network, to record or replay. It is given the guarded transport
	// and sees requests with their credentials.
	Wrap func(guarded http.RoundTripper) http.RoundTripper
	// Log gets one line per call at debug level: method, host, status, duration. nil = none.
	Log *slog.Logger
	// Now is for the durations in the log. nil = time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	orDefault(&c.UserAgent, "frigg-host")
	orDefault(&c.Timeout, 30*time.Second)
	orDefault(&c.MaxTimeout, 5*time.Minute)
	orDefault(&c.HeaderTimeout, time.Minute)
	orDefault(&c.MaxResponseBytes, 64<<20)
	orDefault(&c.MaxRequestBytes, 32<<20)
	orDefault(&c.MaxInFlight, 16)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func orDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Requester sends requests. Make one with New and end it with Close.
type Requester struct {
	cfg       Config
	transport lanes
	trip      http.RoundTripper // transport, or what Config.Wrap made of it
	budgets   budgets

	closing context.Context // done when Close begins
	close   context.CancelFunc

	mu    sync.Mutex // orders calls.Add and calls.Wait
	calls sync.WaitGroup
}

// New makes a Requester. Connections are kept and shared by all calls: HTTP/1.1 has no state in them.
//
// # Notes
//
// When an answer is followed by bytes that belong to none, net/http prints them with the standard logger, and they may be an
// echo of a credential. No field of http.Transport turns that off, so a program silences the standard logger:
// log.SetOutput(io.Discard), after slog.SetDefault.
func New(cfg Config) *Requester {
	cfg = cfg.withDefaults()
	transport := lanes{repeatable: newTransport(cfg, idleForRepeatable), others: newTransport(cfg, idleForOthers)}
	r := &Requester{cfg: cfg, transport: transport, budgets: budgets{places: cfg.MaxInFlight, byKey: map[string]*budget{}}}
	r.trip = r.transport
	if cfg.Wrap != nil {
		r.trip = cfg.Wrap(r.transport)
	}
	r.closing, r.close = context.WithCancel(context.Background())
	return r
}

// lanes keep connections apart by what may go over them.
type lanes struct{ repeatable, others *http.Transport }

// RoundTrip implements http.RoundTripper.
func (l lanes) RoundTrip(req *http.Request) (*http.Response, error) {
	if repeatable(req.Method, req.Header) {
		return l.repeatable.RoundTrip(req)
	}
	return l.others.RoundTrip(req)
}

func (l lanes) closeIdle() {
	l.repeatable.CloseIdleConnections()
	l.others.CloseIdleConnections()
}

func newTransport(cfg Config, idle time.Duration) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, Resolver: cfg.Resolver, ControlContext: guard{cfg.AllowPrivate}.control}
	http1 := new(http.Protocols) // one request per connection at a time: cancelling one never touches another
	http1.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  nil, // a proxy would dial for us, past the guard
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: cfg.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		Protocols:              http1,
		DisableCompression:     true, // we decode, so that the size limit counts what comes out
		ResponseHeaderTimeout:  cfg.HeaderTimeout,
		MaxResponseHeaderBytes: maxResponseHeaderBytes,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        idle,
	}
}

// Close stops the calls under way, waits for them and closes all connections. Calls after it are refused.
func (r *Requester) Close() {
	r.mu.Lock()
	r.close()
	r.mu.Unlock()
	r.calls.Wait()
	r.transport.closeIdle()
}

// begin counts a call in, unless Close has begun.
func (r *Requester) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closing.Err() != nil {
		return false
	}
	r.calls.Add(1)
	return true
}

// Do sends req where p allows and returns the answer, whatever its status; see Classify. auth may be nil.
//
// Redirects are followed up to five times, each checked against p; what leaves the origin leaves the credential and most
// headers behind. A 401 is tried once more if auth renews its credential: the request was refused, so any method may be
// repeated, unless the 401 came only after a redirect to a GET. A connection that breaks before an answer is tried once more if the method is idempotent or the request has an
// Idempotency-Key.
//
// Every error is a *fault.Error with a *Failure inside:
//   - Invalid, TooLarge on side Guest: the request itself
//   - Forbidden on side Guest: p does not allow the host, or that of a redirect
//   - Forbidden on side Host: the address is closed; see Config.AllowPrivate
//   - Forbidden on side Remote: a redirect from https to http, or one that carries the credential elsewhere
//   - Unavailable, Timeout, TooLarge, Unsupported on side Remote: no answer, or not one to be taken
//   - RateLimited on side Host: the rate of p is used up beyond the deadline; RetryAfter is set
//   - Timeout on side Host: no place for this Policy.Key became free in time
//   - Canceled on side Caller: ctx was cancelled
//   - what auth returned
func (r *Requester) Do(ctx context.Context, p Policy, req Request, auth Authorizer) (*Response, error) {
	c := &call{
		r: r, policy: p, auth: auth, follows: !req.NoRedirects, withhold: req.Withhold,
		timeout: min(positive(req.Timeout, r.cfg.Timeout), r.cfg.MaxTimeout),
		maxBody: min(positive(req.MaxResponseBytes, defaultMaxBody), r.cfg.MaxResponseBytes),
	}
	if !r.begin() {
		return nil, c.fail(ctx, &fault.Error{Kind: fault.Unavailable, Side: fault.Host, Msg: errClosing.Error()})
	}
	defer r.calls.Done()
	began := r.cfg.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, errTooSlow)
	defer cancel()
	ctx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	defer context.AfterFunc(r.closing, func() { abort(errClosing) })()

	res, err := c.do(ctx, req)
	attrs := []slog.Attr{slog.String("method", c.first.method), slog.String("host", c.host), slog.Duration("took", r.cfg.Now().Sub(began))}
	if err != nil {
		failed := c.fail(ctx, err)
		r.cfg.Log.LogAttrs(ctx, slog.LevelDebug, "request to a vendor failed", append(attrs, slog.String("kind", string(failed.Kind)))...)
		return nil, failed
	}
	r.cfg.Log.LogAttrs(ctx, slog.LevelDebug, "request to a vendor", append(attrs, slog.Int("status", res.Status))...)
	return res, nil
}

func positive[T int64 | time.Duration](v, def T) T {
	if v > 0 {
		return v
	}
	return def
}
