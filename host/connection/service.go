package connection

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/requester"
	"github.com/frigg-host/frigg-host/host/secret"
)

// Vault seals and opens for one owner; *secret.Vault is one.
type Vault interface {
	Seal(ctx context.Context, owner string, place secret.Place, plain secret.Text) (string, error)
	Open(ctx context.Context, owner string, place secret.Place, sealed string) (secret.Text, error)
}

// Sender sends requests; *requester.Requester is one.
type Sender interface {
	Do(ctx context.Context, p requester.Policy, r requester.Request, auth requester.Authorizer) (*requester.Response, error)
}

// Settings says what the operator has set for a plugin, defaults included.
type Settings interface {
	Settings(ctx context.Context, p *plugin.Plugin) (map[string]secret.Text, error)
}

// Config joins the room to the others. All fields are required but those that say otherwise.
type Config struct {
	Store    Store
	Vault    Vault
	Sender   Sender
	Catalog  plugin.Catalog
	Caller   plugin.Caller
	Settings Settings
	// RedirectURL is where the vendor sends people back to after they agreed, one address for each module: RFC 9700 2.1 wants
	// it exact, and a distinct one tells vendors apart.
	RedirectURL func(module string) string
	// Connected is called after an entity got a new credential; nil if nobody wants to know.
	Connected func(ctx context.Context, o account.Owner, id EntityID) error
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Wait pauses until d has passed or ctx ends; nil is a timer.
	Wait func(ctx context.Context, d time.Duration) error
	// Log is for operators; nil discards.
	Log *slog.Logger
}

// Service holds the use cases of this room. Make one with New and end it with Close.
type Service struct {
	store       Store
	vault       Vault
	sender      Sender
	catalog     plugin.Catalog
	caller      plugin.Caller
	settings    Settings
	redirectURL func(module string) string
	connected   func(ctx context.Context, o account.Owner, id EntityID) error
	clock       func() time.Time
	wait        func(ctx context.Context, d time.Duration) error
	log         *slog.Logger
	manifests   manifests

	mu      sync.Mutex
	closed  bool
	flights map[CredentialID]*flight
	flying  sync.WaitGroup
	gates   gates
}

// New makes a Service.
func New(c Config) *Service {
	s := &Service{
		store: c.Store, vault: c.Vault, sender: c.Sender, catalog: c.Catalog, caller: c.Caller, settings: c.Settings,
		redirectURL: c.RedirectURL, connected: c.Connected, clock: c.Now, wait: c.Wait, log: c.Log, flights: map[CredentialID]*flight{},
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	if s.wait == nil {
		s.wait = pause
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// Close waits for renewals under way: a spent refresh token whose answer is not stored is lost. Close the room before the
// requester and the store.
func (s *Service) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.flying.Wait()
}

func (s *Service) now() time.Time { return s.clock().UTC().Truncate(time.Microsecond) }

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
