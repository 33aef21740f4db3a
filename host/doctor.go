package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/guest"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/frigg-host/frigg-host/store"
)

// Finding is one thing that Examine looked at.
type Finding struct {
	Area  string `json:"area"` // for example "database"
	State Health `json:"state"`
	Text  string `json:"text"`         // what was found
	Do    string `json:"do,omitempty"` // what to do about it; empty when there is nothing to do
}

// Health is how something is.
type Health string

const (
	Fine        Health = "ok"
	Noteworthy  Health = "note"   // works, and could be better or ought to be known
	NeedsAction Health = "action" // does not work, or will not for long
)

// examination gathers findings.
type examination struct {
	cfg  Config
	list []Finding
}

func (e *examination) fine(area, format string, args ...any) {
	e.list = append(e.list, Finding{Area: area, State: Fine, Text: fmt.Sprintf(format, args...)})
}

func (e *examination) note(area, do, format string, args ...any) {
	e.list = append(e.list, Finding{area, Noteworthy, fmt.Sprintf(format, args...), do})
}

func (e *examination) action(area, do, format string, args ...any) {
	e.list = append(e.list, Finding{area, NeedsAction, fmt.Sprintf(format, args...), do})
}

// Examine looks at an installation and at the machine, without changing anything, also beside a running host. The error
// says that cfg makes no sense; what is wrong with the installation is among the findings.
func Examine(ctx context.Context, cfg Config) ([]Finding, error) {
	cfg.Log = slog.New(slog.DiscardHandler)
	cfg, err := cfg.orDefault()
	if err != nil {
		return nil, err
	}
	e := &examination{cfg: cfg}
	e.machine()
	e.engine(ctx)
	if e.folder("data folder", cfg.DataDir) {
		e.space()
		e.database(ctx)
	}
	return e.list, nil
}

// folder reports whether a folder can be used.
func (e *examination) folder(area, path string) bool {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.action(area, "check --data and --plugins, or start `frigg-host serve`, which makes it", "%s does not exist", path)
		return false
	case err != nil:
		e.action(area, "let the user of the host read it", "%s cannot be read: %v", path, errors.Unwrap(err))
		return false
	case !info.IsDir():
		e.action(area, "name a folder", "%s is not a folder", path)
		return false
	}
	switch mode := info.Mode().Perm(); {
	case mode&0o022 != 0:
		e.action(area, "chmod go-w "+path, "other users may write to %s (mode %04o)", path, mode)
	case mode&0o055 != 0 && area == "data folder":
		e.action(area, "chmod 700 "+path, "other users may look into %s (mode %04o)", path, mode)
	case !writable(path):
		e.action(area, "run as the user of the host, or give the folder to it", "%s cannot be written to", path)
	default:
		e.fine(area, "%s", path)
	}
	return true
}

// database looks at everything that is in it, and at what that is about.
func (e *examination) database(ctx context.Context) {
	const area = "database"
	path := filepath.Join(e.cfg.DataDir, "frigg.db")
	db, err := store.OpenReadOnly(ctx, path)
	if err != nil {
		do := "restore a backup"
		if fault.Is(err, fault.NotFound) {
			do = "check --data, or start `frigg-host serve`, which makes it"
		}
		e.action(area, do, "%s", fault.PublicMessage(err))
		return
	}
	defer db.Close()
	switch x, err := db.Examine(ctx); {
	case err != nil:
		e.action(area, "restore a backup; "+path+" is damaged or no database of this program", "it cannot be read: %v", err)
		return
	case len(x.Damage) > 0:
		e.action(area, "stop the host, keep a copy of the data folder, and restore a backup", "it is damaged: %s", strings.Join(x.Damage, "; "))
		return
	case x.Version > x.Known:
		e.action(area, "start a newer frigg-host, or restore a backup", "it has version %d, and this program knows versions up to %d", x.Version, x.Known)
		return
	case x.Version < x.Known:
		e.note(area, "start the host, which brings it up to date; make a backup first", "it is whole and has version %d of %d", x.Version, x.Known)
	default:
		e.fine(area, "it is whole and has version %d", x.Version)
	}
	key := e.key(ctx, db)
	if e.folder("plugins folder", e.cfg.PluginsDir) && key != nil {
		e.plugins(ctx, db, secret.NewVault(key, db, e.cfg.Now))
	}
	e.clock(ctx, db)
}

// key returns the root key if it opens the database.
func (e *examination) key(ctx context.Context, db *store.DB) *secret.RootKey {
	const area = "root key"
	key, err := secret.CheckRoot(ctx, db, secret.Source{Variable: e.cfg.Key, File: e.cfg.KeyFile})
	switch {
	case err == nil:
		e.fine(area, "key %s opens the database; keep a copy apart from backups", key.ID())
	case fault.Is(err, fault.NotFound):
		e.note(area, "start `frigg-host serve`, which makes one, and keep a copy of it", "%s", fault.PublicMessage(err))
	default:
		e.action(area, "put the right key into its place, readable by the user of the host only; see --key-file", "%s", fault.PublicMessage(err))
	}
	return key
}

// plugins judges what lies in the folder as an offline host does.
func (e *examination) plugins(ctx context.Context, db *store.DB, vault *secret.Vault) {
	const area = "plugins"
	registry, err := plugin.NewRegistry(plugin.RegistryConfig{Dir: e.cfg.PluginsDir, DataDir: e.cfg.DataDir, Store: db, Granted: e.cfg.Grants, Offline: true, Now: e.cfg.Now})
	if err == nil {
		err = registry.Rescan(ctx)
	}
	if err != nil {
		e.action(area, "start the host and read its log", "they cannot be judged: %s", fault.PublicMessage(err))
		return
	}
	service := plugin.New(plugin.Config{Store: db, Registry: registry, Sealer: vault, Now: e.cfg.Now})
	entries := registry.Entries()
	if len(entries) == 0 {
		e.note(area, "put .wasm files into the plugins folder", "there are none")
	}
	for _, entry := range entries {
		e.plugin(ctx, service, entry)
	}
}

func (e *examination) plugin(ctx context.Context, service *plugin.Service, entry plugin.Entry) {
	p := entry.Plugin
	area := "plugin " + p.Name
	switch p.State {
	case plugin.NeedsApproval:
		e.action(area, "frigg-host plugin approve "+p.Name, "%s in %s %s", p.Version, p.File, p.Problem)
		return
	case plugin.Broken:
		e.action(area, "replace or remove "+p.File, "%s cannot be used: %s", p.File, p.Problem)
		return
	}
	missing, err := service.MissingSettings(ctx, p)
	switch {
	case len(missing) > 0:
		e.action(area, fmt.Sprintf("frigg-host plugin set %s %s=...", p.Name, missing[0]), "%s needs settings: %s", p.Version, strings.Join(missing, ", "))
	case err != nil:
		e.action(area, "set its values again with frigg-host plugin set", "the settings of %s cannot be read: %s", p.Version, fault.PublicMessage(err))
	default:
		e.fine(area, "%s serves from %s", p.Version, p.File)
	}
}

// clock compares it with what was written before.
func (e *examination) clock(ctx context.Context, db *store.DB) {
	now, latest := e.cfg.Now(), time.Time{}
	installs, _ := db.PluginInstalls(ctx)
	for _, in := range installs {
		if in.At.After(latest) {
			latest = in.At
		}
	}
	switch {
	case latest.After(now.Add(time.Minute)):
		e.action("clock", "set the clock; tokens, retries and schedules depend on it",
			"it says %s, and a plugin was installed at %s", now.UTC().Format(time.RFC3339), latest.UTC().Format(time.RFC3339))
	case now.Year() < 2025:
		e.action("clock", "set the clock; tokens, retries and schedules depend on it", "it says %s", now.UTC().Format(time.RFC3339))
	default:
		e.fine("clock", "%s", now.UTC().Format(time.RFC3339))
	}
}

// engine tests the engine on this machine, as a host does when it starts.
func (e *examination) engine(ctx context.Context) {
	const area = "engine"
	engine, err := guest.Open(ctx, e.cfg.Engine, guest.Config{Imports: guest.Imports()})
	if err != nil {
		e.action(area, "report this with the name of the machine's operating system and processor", "it does not start: %s", fault.PublicMessage(err))
		return
	}
	defer engine.Close(context.WithoutCancel(ctx))
	report := engine.Report()
	e.fine(area, "%s on wazero %s; calls are kept apart by %s", engine.Name(), dependency("github.com/tetratelabs/wazero"), report.Isolation)
	for _, r := range report.Rejected {
		e.note(area, "nothing has to be done; a newer Linux may be faster", "%s does not work here: %s", r.Isolation, r.Why)
	}
}

// dependency is the version of a module that is built in.
func dependency(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == path {
				return d.Version
			}
		}
	}
	return "of unknown version"
}
