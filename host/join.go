package host

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/api"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/event"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/guest"
	"github.com/frigg-host/frigg-host/host/guest/process"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/journal"
	"github.com/frigg-host/frigg-host/host/outbound"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/requester"
	"github.com/frigg-host/frigg-host/host/schedule"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/frigg-host/frigg-host/host/syncs"
	"github.com/frigg-host/frigg-host/store"
)

// New opens the database, proves the root key, compiles the plugins and joins the rooms. Nothing runs before Run. After an
// error everything that was opened is closed again.
func New(ctx context.Context, cfg Config) (_ *Host, err error) {
	cfg, err = cfg.orDefault()
	if err != nil {
		return nil, err
	}
	h := &Host{cfg: cfg}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Close())
		}
	}()
	for _, join := range []func(context.Context) error{h.folders, h.database, h.secrets, h.accounts, h.plugins, h.work} {
		if err := join(ctx); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// later is undone by Close, last first.
func (h *Host) later(undo func() error) { h.undo = append(h.undo, undo) }

func (h *Host) folders(context.Context) error {
	for _, dir := range []string{h.cfg.DataDir, h.cfg.PluginsDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fault.New(fault.Unavailable, "host.New", "the folder %s cannot be made: %v", dir, errors.Unwrap(err)).On(fault.Host)
		}
	}
	return nil
}

// database opens the store. It is shared, so that commands work beside a running host; a lock of its own keeps a second
// host out.
func (h *Host) database(ctx context.Context) error {
	if !h.cfg.Offline {
		lock, err := store.LockFile(filepath.Join(h.cfg.DataDir, "host.lock"))
		if err != nil {
			return err
		}
		h.later(lock.Close)
	}
	db, err := store.Open(ctx, store.Config{
		DSN: filepath.Join(h.cfg.DataDir, "frigg.db"), Log: h.cfg.Log, Shared: true,
		Caps: store.Caps{Tenant: h.cfg.TenantJobs, Limit: h.cfg.ConnectionJobs},
	})
	if err != nil {
		return err
	}
	h.db = db
	h.later(db.Close)
	return nil
}

func (h *Host) secrets(ctx context.Context) error {
	root, err := secret.OpenRoot(ctx, h.db, secret.Source{Variable: h.cfg.Key, File: h.cfg.KeyFile}, h.cfg.Now)
	if err != nil {
		return err
	}
	h.KeyCreated = root.Created
	h.vault = secret.NewVault(root.Key, h.db, h.cfg.Now)
	return nil
}

func (h *Host) accounts(context.Context) (err error) {
	h.Accounts, err = account.New(h.db, h.cfg.Now, h.cfg.Accounts)
	return err
}

// plugins opens the engine and looks at the plugins folder.
func (h *Host) plugins(ctx context.Context) error {
	engine, err := h.openEngine(ctx)
	if err != nil {
		return err
	}
	h.engine = engine
	h.later(func() error { return engine.Close(context.WithoutCancel(ctx)) })
	runtime := guest.NewRuntime(engine, guest.RuntimeConfig{
		MemoryBudget: h.cfg.GuestMemory,
		Log:          h.cfg.Log,
		Source:       func(d plugin.Digest) ([]byte, error) { return h.registry.Module(d) },
	})
	registry := plugin.RegistryConfig{
		Dir: h.cfg.PluginsDir, DataDir: h.cfg.DataDir, Store: h.db, Loader: runtime, Granted: h.cfg.Grants, Dev: h.cfg.Dev,
		Offline: h.cfg.Offline, Now: h.cfg.Now, Log: h.cfg.Log,
	}
	if h.cfg.Offline {
		registry.Loader = nil
	}
	if h.registry, err = plugin.NewRegistry(registry); err != nil {
		return err
	}
	h.later(func() error { h.registry.Close(); return nil })
	h.Plugins = plugin.New(plugin.Config{Store: h.db, Registry: h.registry, Sealer: h.vault, Now: h.cfg.Now})
	h.requester = requester.New(requester.Config{AllowPrivate: h.cfg.AllowPrivate, Log: h.cfg.Log, Now: h.cfg.Now})
	h.later(func() error { h.requester.Close(); return nil })
	h.Connections = connection.New(connection.Config{
		Store: h.db, Vault: h.vault, Sender: h.requester, Catalog: h.registry, Caller: runtime,
		Settings: h.Plugins, RedirectURL: h.redirectURL, Connected: h.goOn, Now: h.cfg.Now, Log: h.cfg.Log,
	})
	h.later(func() error { h.Connections.Close(); return nil })
	h.Runs = &journal.Service{Store: h.db, Now: h.cfg.Now, Warnings: h.cfg.Log, Committed: h.wake, Unpark: h.db.Unpark, GiveUp: h.cancelJob, Module: h.registry.Module}
	h.Integrations = &integration.Service{
		Runs:  h.Runs,
		Store: h.db, Plugins: h.registry, Guests: runtime, Connections: h.Connections, Settings: h.Plugins, Vault: h.vault,
		Now: h.cfg.Now, Log: h.cfg.Log, PublicURL: h.cfg.PublicURL, Wake: h.wake,
	}
	h.Schedules = &schedule.Service{
		Store: h.db, Plugins: h.registry, Integrations: h.Integrations, Now: h.cfg.Now, Log: h.cfg.Log, Enqueued: h.wake,
	}
	h.Integrations.Schedules = h.Schedules
	h.Syncs = &syncs.Service{Store: h.db, Integrations: h.Integrations, Vault: h.vault, Now: h.cfg.Now, Log: h.cfg.Log, Wake: h.wake}
	h.Integrations.Syncs = h.Syncs.Capabilities
	return h.registry.Start(ctx)
}

// openEngine opens the engine, here or in child processes. An offline host compiles nothing, so it needs no children.
func (h *Host) openEngine(ctx context.Context) (guest.Engine, error) {
	c := guest.Config{Imports: guest.Imports(), CacheDir: filepath.Join(h.cfg.DataDir, "compiled"), AfterCall: h.cfg.AfterCall, Log: h.cfg.Log}
	if h.cfg.Isolate != IsolateProcess || h.cfg.Offline {
		return guest.Open(ctx, h.cfg.Engine, c)
	}
	return process.Open(ctx, process.Config{
		Config: c, Engine: h.cfg.Engine,
		Source: func(sum [sha256.Size]byte) ([]byte, error) {
			return h.registry.Module(plugin.Digest(fmt.Sprintf("sha256:%x", sum)))
		},
	})
}

// redirectURL is where vendors send people back to: a distinct address for each module (RFC 9700, mix-up).
func (h *Host) redirectURL(module string) string {
	if h.cfg.FrontendURL != "" {
		return h.cfg.FrontendURL + "/redirect/" + module
	}
	return h.cfg.PublicURL + "/redirect/" + module
}

// goOn lets what waited for an account go on once it was authorised again.
func (h *Host) goOn(ctx context.Context, o account.Owner, e connection.EntityID) error {
	return h.Integrations.Reauthorized(ctx, o, e)
}

func (h *Host) cancelJob(ctx context.Context, a account.Actor, id job.ID) error {
	return h.Jobs.Cancel(ctx, a, id)
}

func (h *Host) wake() {
	if h.workers != nil {
		h.workers.Wake()
	}
}

// work joins the queue and the API.
func (h *Host) work(context.Context) error {
	h.Facts = &event.Service{Store: h.db, Now: h.cfg.Now}
	h.Outbound = &outbound.Service{
		Store: h.db, Vault: h.vault, Sender: h.requester, Now: h.cfg.Now, Log: h.cfg.Log, Wake: h.wake,
		PlainHTTP: len(h.cfg.AllowPrivate) > 0, Slots: (h.cfg.Workers + 1) / 2,
	}
	h.workers = &job.Workers{
		Store: h.db, Handlers: map[string]job.Handler{
			integration.JobDeliver: h.Integrations, outbound.JobDeliver: h.Outbound,
			integration.JobSubscribe: integration.Subscriber{Service: h.Integrations},
			syncs.JobFetch:           h.Syncs, syncs.JobWrite: h.Syncs, syncs.JobStart: h.Syncs,
		},
		Now: h.cfg.Now, Log: h.cfg.Log,
		Slots: h.cfg.Workers, Alone: true,
	}
	h.Jobs = &job.Service{
		Store: h.db, Now: h.cfg.Now, Wake: h.wake, Stop: h.workers.Cancel,
		TakesInput: func(kind string) bool { return kind == integration.JobDeliver },
	}
	h.handler = api.New(api.Config{
		Accounts: h.Accounts, Connections: h.Connections, Integrations: h.Integrations,
		Jobs: h.Jobs, Runs: h.Runs, Schedules: h.Schedules, Syncs: h.Syncs, Facts: h.Facts, Outbound: h.Outbound, Plugins: h.registry, Health: health{h.db, h.vault}, PublicURL: h.cfg.PublicURL, FrontendURL: h.cfg.FrontendURL,
		BackendKey: h.cfg.BackendKey, ClosedSignUp: h.cfg.ClosedSignUp, HealthKey: h.cfg.HealthKey, AllowedOrigins: h.cfg.AllowedOrigins, TrustedProxies: h.cfg.TrustedProxies,
		Now: h.cfg.Now, Log: h.cfg.Log,
	})
	return nil
}

// Handler is the management API.
func (h *Host) Handler() http.Handler { return h.handler }

// health answers the API's health checks.
type health struct {
	db    *store.DB
	vault *secret.Vault
}

func (h health) Database(ctx context.Context) error {
	_, err := h.db.CountJobs(ctx)
	return err
}

// Encryption really seals and opens a probe.
func (h health) Encryption(ctx context.Context) (string, error) {
	const mode = "aes-256-gcm"
	place, probe := secret.Place{Table: "health", Column: "probe", Row: "1"}, secret.NewText("probe")
	sealed, err := h.vault.Seal(ctx, plugin.Owner, place, probe)
	if err != nil {
		return mode, err
	}
	opened, err := h.vault.Open(ctx, plugin.Owner, place, sealed)
	if err == nil && !opened.Equal(probe) {
		err = fault.New(fault.Internal, "host.Encryption", "a sealed probe came back changed")
	}
	return mode, err
}
