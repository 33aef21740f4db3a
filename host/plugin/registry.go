package plugin

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
)

// Loader makes a version ready to run before it serves, off the road of requests.
type Loader interface {
	// Load compiles a module. Loading what is loaded is fine.
	Load(ctx context.Context, p *Plugin, module []byte) error
	// Unload frees what Load made; running calls finish first. Calls of this version may still come.
	Unload(ctx context.Context, d Digest)
}

// RegistryConfig says where plugins are.
type RegistryConfig struct {
	Dir     string // the plugins folder; it must exist
	DataDir string // the bytes of every version are kept in its folder "modules"
	Store   Store
	Loader  Loader // nil loads nothing
	// Interval between two looks at the folder by Run; default 2 s.
	Interval time.Duration
	// Settle is how long a file must have been unchanged to be read at its first look; default 1 s.
	Settle time.Duration
	// Dev grants every plugin what it asks for, as long as this process lives, and says so.
	Dev bool
	// Offline looks and decides, but writes nothing, loads nothing and waits for no file: for a command beside a host.
	Offline bool
	Now     func() time.Time // default time.Now
	Log     *slog.Logger     // default silent
}

// Registry is the Catalog of a folder. It looks at the folder when told to, decides which version of each plugin serves,
// and keeps the bytes of all versions. A bad file never stops the others.
type Registry struct {
	cfg     RegistryConfig
	modules modules
	view    atomic.Pointer[view]

	scan   sync.Mutex // one Rescan at a time; it guards what follows
	looks  map[string]*look
	loaded map[Digest]error
	dev    map[Digest]*Grant
	told   map[string]string
	idle   map[Digest]bool // kept modules that nobody needed at the last Prune

	mu       sync.Mutex
	versions map[Digest]*Plugin
}

var _ Catalog = (*Registry)(nil)

// view is what the last Rescan decided. It is immutable.
type view struct {
	entries []Entry // by name, then the one that serves, then by file
	serving map[string]*Plugin
	grants  map[Digest]*Grant
}

// Entry is one version that is installed.
type Entry struct {
	Plugin  *Plugin
	Serving bool // answers new calls
	// Missing is what it asks for beyond what the version that served from the same file was granted, when it needs approval.
	Missing Missing
	// Rivals are further files that say that they are this plugin. Whoever approves it should know.
	Rivals []string
}

// NewRegistry opens a registry that knows nothing yet; Rescan looks at the folder.
func NewRegistry(cfg RegistryConfig) (*Registry, error) {
	if cfg.Interval <= 0 {
		cfg.Interval = 2 * time.Second
	}
	if cfg.Settle <= 0 {
		cfg.Settle = time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	r := &Registry{
		cfg: cfg, modules: modules{filepath.Join(cfg.DataDir, "modules")}, loaded: map[Digest]error{},
		dev: map[Digest]*Grant{}, told: map[string]string{}, versions: map[Digest]*Plugin{},
	}
	r.view.Store(&view{})
	if !cfg.Offline {
		if err := r.modules.open(); err != nil {
			return nil, fault.Wrap(err, fault.Internal, "plugin.NewRegistry", "the folder of modules cannot be used")
		}
	}
	return r, nil
}

// Start looks at the folder for the first time. If a file changed a moment ago it waits once and looks again.
func (r *Registry) Start(ctx context.Context) error {
	if err := r.Rescan(ctx); err != nil || r.atRest() {
		return err
	}
	settled := time.NewTimer(r.cfg.Settle)
	defer settled.Stop()
	select {
	case <-ctx.Done():
		return fault.Wrap(ctx.Err(), fault.Canceled, "plugin.Start", "the caller left")
	case <-settled.C:
	}
	return r.Rescan(ctx)
}

// Run looks at the folder again and again until ctx ends.
func (r *Registry) Run(ctx context.Context) {
	tick := time.NewTicker(r.cfg.Interval)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := r.Rescan(ctx)
		switch {
		case err == nil:
			said = ""
		case err.Error() != said && ctx.Err() == nil:
			said = err.Error()
			r.cfg.Log.ErrorContext(ctx, "the plugins folder cannot be looked at", "err", err)
		}
	}
}

// Plugin returns the version that serves new work.
func (r *Registry) Plugin(name string) (*Plugin, error) {
	const op = "plugin.Plugin"
	v := r.view.Load()
	if p := v.serving[name]; p != nil {
		return p, nil
	}
	for _, e := range v.entries {
		if e.Plugin.Name != name {
			continue
		}
		if e.Plugin.State == NeedsApproval {
			return nil, fault.New(fault.Forbidden, op, "plugin %s %s", name, e.Plugin.Problem).On(fault.Host)
		}
		return nil, fault.New(fault.Unavailable, op, "plugin %s (%s) cannot be used: %s", name, e.Plugin.File, e.Plugin.Problem)
	}
	return nil, fault.New(fault.NotFound, op, "no plugin %q is installed; put its .wasm file into the plugins folder", name)
}

// Plugins lists one version of each name: the one that serves, else the first that would.
func (r *Registry) Plugins() []*Plugin {
	var list []*Plugin
	for _, e := range r.view.Load().entries {
		if n := len(list); n == 0 || list[n-1].Name != e.Plugin.Name {
			list = append(list, e.Plugin)
		}
	}
	return list
}

// Entries lists every version that serves or lies in the folder.
func (r *Registry) Entries() []Entry { return slices.Clone(r.view.Load().entries) }

// ByDigest finds any version whose bytes are kept, also after its file was removed.
func (r *Registry) ByDigest(d Digest) (*Plugin, error) {
	v := r.view.Load()
	for _, e := range v.entries {
		if e.Plugin.Digest == d {
			return e.Plugin, nil
		}
	}
	p, err := r.version(d)
	if err == nil && v.grants[d] == nil {
		p = alter(p, func(p *Plugin) { p.State, p.Problem = NeedsApproval, "was never approved" })
	}
	return p, err
}

// version describes a kept module.
func (r *Registry) version(d Digest) (*Plugin, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.versions[d]; p != nil {
		return p, nil
	}
	module, err := r.modules.get(d)
	if err != nil {
		return nil, err
	}
	in, err := Inspect(module)
	if err != nil {
		return nil, err
	}
	p := &Plugin{State: Ready}
	describe(p, in)
	r.versions[d] = p
	return p, nil
}

// Module returns the bytes of a version.
func (r *Registry) Module(d Digest) ([]byte, error) { return r.modules.get(d) }

// Prune removes the bytes of versions that nobody needs, and returns how many. Kept is what serves, lies in the folder, was
// the last to be granted under its name, or is in use. A version goes when two calls in a row found it so: let time pass
// between them in which the work that began on it can end. Before the first Rescan nothing is removed.
func (r *Registry) Prune(ctx context.Context, inUse func(Digest) bool) (int, error) {
	r.scan.Lock()
	defer r.scan.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, fault.Wrap(err, fault.Canceled, "plugin.Prune", "the caller left")
	}
	v := r.view.Load()
	if v.grants == nil {
		return 0, nil
	}
	needed, idle := v.needed(), map[Digest]bool{}
	n, err := r.modules.prune(func(d Digest) bool {
		if needed[d] || inUse(d) {
			return true
		}
		if r.idle[d] {
			return false
		}
		idle[d] = true
		return true
	})
	r.idle = idle
	r.mu.Lock()
	clear(r.versions)
	r.mu.Unlock()
	return n, fault.Wrap(err, fault.Internal, "plugin.Prune", "an old module cannot be removed")
}

// needed are the versions that an operator would miss.
func (v *view) needed() map[Digest]bool {
	needed, latest := map[Digest]bool{}, map[string]*Grant{}
	for _, e := range v.entries {
		needed[e.Plugin.Digest] = true
	}
	for _, g := range v.grants {
		if last := latest[g.Name]; last == nil || g.At.After(last.At) {
			latest[g.Name] = g
		}
	}
	for _, g := range latest {
		needed[g.Digest] = true
	}
	return needed
}
