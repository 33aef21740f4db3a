package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/frigg-host/frigg-host/host"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/secret"
)

// dataFlags say where a host keeps its things.
type dataFlags struct {
	Data    string          `help:"Folder of the database and everything else that must survive." default:"frigg-data" env:"FRIGG_DATA" type:"path"`
	Plugins string          `help:"Folder with the .wasm files; default: plugins inside the data folder." env:"FRIGG_PLUGINS" type:"path"`
	Grant   []plugin.Digest `help:"Digests (sha256:...) of plugins that are granted what they ask for, parted by commas." env:"FRIGG_GRANT"`
	KeyFile string          `help:"File with the root key; default: beside the data folder, with .key at its end." env:"FRIGG_KEY_FILE" type:"path"`
}

func (d dataFlags) config() host.Config {
	c := host.Config{DataDir: d.Data, PluginsDir: d.Plugins, KeyFile: d.KeyFile, Key: secret.NewText(os.Getenv("FRIGG_KEY")), Grants: d.Grant}
	if c.PluginsDir == "" {
		c.PluginsDir = filepath.Join(d.Data, "plugins")
	}
	return c
}

// logFlags say how the log looks.
type logFlags struct {
	LogLevel  slog.Level `help:"Least level that is logged: debug, info, warn, error." default:"info" env:"FRIGG_LOG_LEVEL"`
	LogFormat string     `help:"Log as ${enum}." enum:"text,json" default:"text" env:"FRIGG_LOG_FORMAT"`
}

func (l logFlags) logger(w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: l.LogLevel}
	if l.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

type serveCmd struct {
	dataFlags `embed:""`
	logFlags  `embed:""`

	Listen         string         `help:"Address to listen on." default:"127.0.0.1:8080" env:"FRIGG_LISTEN"`
	Dev            bool           `help:"Grant plugins what they ask for, and let requests reach this machine." env:"FRIGG_DEV"`
	PublicURL      string         `help:"Address under which browsers and vendors reach this host; default: http:// and the listen address." env:"FRIGG_PUBLIC_URL"`
	FrontendURL    string         `help:"Application that gets people back after they authorised at a vendor." env:"FRIGG_FRONTEND_URL"`
	AllowPrivate   []netip.Prefix `help:"Private networks that requests of plugins may reach, for example 10.0.0.0/8." env:"FRIGG_ALLOW_PRIVATE"`
	AllowOrigin    []string       `help:"Origins whose pages may call the API." env:"FRIGG_ALLOW_ORIGIN"`
	TrustedProxy   []netip.Prefix `help:"Proxies that may say where a request came from." env:"FRIGG_TRUSTED_PROXY"`
	BackendKey     string         `help:"Shared key with which your backend acts for its users (x-frigg-api-key)." env:"FRIGG_BACKEND_KEY"`
	CreateAppUsers bool           `help:"Create users that your backend names and that do not exist." env:"FRIGG_CREATE_APP_USERS"`
	ClosedSignUp   bool           `help:"Refuse POST /user/create; users come from 'user create' and from your backend." env:"FRIGG_CLOSED_SIGN_UP"`
	HealthKey      string         `help:"Key of the detailed health pages (x-api-key)." env:"FRIGG_HEALTH_KEY"`
	Engine         string         `help:"Engine that runs plugins: ${enum}." enum:"native,extism" default:"native" env:"FRIGG_ENGINE"`
	Isolate        string         `help:"Run plugins in the host (none) or each in a process of its own (process)." enum:"none,process" default:"none" env:"FRIGG_ISOLATE"`
	GuestMemory    uint64         `help:"Bytes that guests may take together; default: a quarter of the machine." env:"FRIGG_GUEST_MEMORY"`
	Workers        int            `help:"Jobs that run at once." default:"8" env:"FRIGG_WORKERS"`
}

// Help has the examples of `serve --help`.
func (serveCmd) Help() string {
	return `Every flag can be set by the environment variable in its help.

Examples:
  frigg-host serve --dev --plugins ./plugins
  frigg-host serve --data /var/lib/frigg --listen 127.0.0.1:8080 --public-url https://hooks.example.com`
}

func (c *serveCmd) Run(ctx context.Context, s streams) error {
	cfg := c.config()
	cfg.Dev, cfg.PublicURL, cfg.FrontendURL = c.Dev, c.PublicURL, c.FrontendURL
	cfg.AllowPrivate, cfg.AllowedOrigins, cfg.TrustedProxies = c.AllowPrivate, c.AllowOrigin, c.TrustedProxy
	cfg.BackendKey, cfg.HealthKey = secret.NewText(c.BackendKey), secret.NewText(c.HealthKey)
	cfg.Accounts.CreateAppUsers, cfg.ClosedSignUp = c.CreateAppUsers, c.ClosedSignUp
	cfg.Engine, cfg.Isolate, cfg.GuestMemory, cfg.Workers, cfg.Log = c.Engine, c.Isolate, c.GuestMemory, c.Workers, c.logger(s.err)
	listener, err := listen(ctx, c.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	if cfg.PublicURL == "" {
		cfg.PublicURL = "http://" + listener.Addr().String()
	}
	h, err := host.New(ctx, cfg)
	if ctx.Err() != nil && fault.Is(err, fault.Canceled) {
		return nil // to stop a host while it starts is no failure
	}
	if err != nil {
		return err
	}
	tellKey(s, h.KeyCreated)
	fmt.Fprintf(s.err, "frigg-host serves http://%s (plugins: %s)\n", listener.Addr(), cfg.PluginsDir)
	return finish(h, h.Run(ctx, listener))
}

// listen opens the address first, so that a port in use is said before anything else happens.
func listen(ctx context.Context, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, &exitError{exitFailed, fmt.Sprintf("cannot listen on %s: %v; choose another address with --listen", address, err)}
	}
	return l, nil
}

// finish closes the host and keeps the first error.
func finish(h *host.Host, err error) error {
	if closed := h.Close(); err == nil {
		err = closed
	}
	return err
}

// tellKey says where a key file was made, once.
func tellKey(s streams, path string) {
	if path == "" {
		return
	}
	fmt.Fprintf(s.err, `A root key was made: %s
Everything secret is sealed under it. Keep a copy in a safe place, apart from backups of the data folder: without it the
secrets are lost, and with it a stolen backup can be read.
`, path)
}

// opened runs a command on the rooms, also beside a running host.
func (d dataFlags) opened(ctx context.Context, s streams, do func(h *host.Host) error) error {
	cfg := d.config()
	cfg.Offline, cfg.Log = true, logFlags{LogLevel: slog.LevelWarn}.logger(s.err)
	h, err := host.New(ctx, cfg)
	if err != nil {
		return err
	}
	tellKey(s, h.KeyCreated)
	return finish(h, do(h))
}

// clock is how demo lines show the time.
func clock(t time.Time) string { return t.Local().Format("15:04:05") }
