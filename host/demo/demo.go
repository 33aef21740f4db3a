// Package demo is a make-believe vendor named "Tidepool CRM": somebody else's service, small enough to live in the binary,
// so that a stranger sees a connected account, live rows and an event turned into work without an account anywhere.
//
// It has what real vendors have: an OAuth2 server with PKCE and rotating refresh tokens, a paged and rate-limited REST API,
// signed webhooks with retries, and a web page. It is also the vendor of our own tests, which is why it can be told to fail.
//
// Nothing in the host may rely on it, and it must not know the host: it imports the standard library only, and everything
// between the two goes over HTTP. It has one user with a published password and a page without a login: serve it on loopback.
//
// Everything exported here is safe for concurrent use.
package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// User and Password log in at the consent page.
const (
	User     = "demo"
	Password = "demo"
)

// Config says where a CRM lives and how fast its clocks run. Only BaseURL is required.
type Config struct {
	// BaseURL is the address under which people and clients reach it, such as "http://127.0.0.1:9000": scheme and host only.
	// It is also the OAuth issuer.
	BaseURL string
	// DataFile keeps everything that must survive a restart; one process at a time. Empty keeps it in memory.
	DataFile string
	// TokenTTL is the life of an access token; one hour when zero.
	TokenTTL time.Duration
	// RateLimit applies to each access token on its own.
	RateLimit RateLimit
	// RetryDelays are the waits before the second and each further attempt to deliver a webhook. One attempt more than there
	// are delays is made. Nil means 1 s to 5 min in seven steps; empty means a single attempt.
	RetryDelays []time.Duration
	// Now is the clock; time.Now when nil. Waits between webhook attempts are real time.
	Now func() time.Time
	// Rand feeds ids, codes and tokens and must never fail; crypto/rand when nil.
	Rand io.Reader
	// Log is silent when nil.
	Log *slog.Logger
}

// CRM is the running vendor. Close it.
type CRM struct {
	base     *url.URL
	tokenTTL time.Duration
	now      func() time.Time
	log      *slog.Logger
	ids      *ids
	store    *store
	clients  clients
	tickets  tickets
	limiter  limiter
	faults   faults
	courier  *courier
	handler  http.Handler
	done     context.Context
	stop     context.CancelFunc

	tokenRequests, apiRequests atomic.Int64
}

// New opens the data file, or seeds a new account with contacts and deals, and takes up undelivered webhooks at once.
func New(cfg Config) (*CRM, error) {
	base, err := parseBase(cfg.BaseURL)
	if err != nil {
		return nil, err
	}
	c := &CRM{base: base, tokenTTL: cfg.TokenTTL, now: cfg.Now, log: cfg.Log}
	if c.tokenTTL <= 0 {
		c.tokenTTL = time.Hour
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.RetryDelays == nil {
		cfg.RetryDelays = defaultRetryDelays
	}
	c.ids = &ids{rand: cfg.Rand}
	c.limiter.limit = cfg.RateLimit.withDefaults()
	if c.store, err = openStore(cfg.DataFile, func(s *state) { seed(s, c.ids, c.now().UTC()) }); err != nil {
		return nil, err
	}
	c.done, c.stop = context.WithCancel(context.Background())
	c.courier = newCourier(c, cfg.RetryDelays)
	c.handler = c.guardHost(c.routes())
	c.wakeAll()
	return c, nil
}

// Close stops deliveries and waits for those under way; what was not delivered goes out after the next New.
// Changes that arrive later are refused.
func (c *CRM) Close() {
	c.stop()
	c.courier.close()
	c.store.close()
}

func (c *CRM) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

func (c *CRM) routes() http.Handler {
	forms := http.NewCrossOriginProtection()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", c.showPage)
	mux.HandleFunc("GET /live", c.showLive)
	mux.HandleFunc("GET /style.css", showStyle)
	mux.Handle("POST /contacts", forms.Handler(http.HandlerFunc(c.submitContact)))
	mux.Handle("POST /deals/{id}/win", forms.Handler(http.HandlerFunc(c.submitWin)))
	mux.Handle("POST /apps/{id}/revoke", forms.Handler(http.HandlerFunc(c.submitRevoke)))
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", c.metadata)
	mux.HandleFunc("GET /oauth/authorize", c.authorize)
	mux.Handle("POST /oauth/authorize", forms.Handler(http.HandlerFunc(c.decide)))
	mux.Handle("POST /oauth/token", c.countToken(c.slow(http.HandlerFunc(c.token))))
	mux.HandleFunc("POST /oauth/revoke", c.revoke)
	mux.Handle("/api/", c.countAPI(c.slow(c.cut(c.api()))))
	return mux
}

// guardHost refuses names that are not ours, so that a web site cannot reach this one by pointing its own name at loopback.
func (c *CRM) guardHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != c.base.Host && !isLoopback((&url.URL{Host: r.Host}).Hostname()) {
			http.Error(w, "This server does not answer for "+r.Host+".", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// change is one act: all of fn is on disk when it returns nil, nothing of it otherwise. Webhooks go out after the commit.
func (c *CRM) change(actor string, fn func(*act) error) error {
	a := &act{ids: c.ids, now: c.now().UTC(), actor: actor}
	err := c.store.change(func(s *state) error {
		a.state = s
		return fn(a)
	})
	if err != nil {
		return err
	}
	for _, id := range a.woken {
		c.courier.wake(id)
	}
	return nil
}

func parseBase(raw string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(raw, "/"))
	switch {
	case err != nil:
		return nil, fmt.Errorf("demo: base URL: %w", err)
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, errors.New("demo: the base URL must look like http://127.0.0.1:9000")
	case u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, errors.New("demo: the base URL must be scheme and host only")
	}
	return u, nil
}

// isLoopback knows loopback addresses and the one name that always means them; it asks no resolver.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
