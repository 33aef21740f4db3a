package plugin

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
)

// Loader makes a version ready to run before it serves, off the road of requests. It is called concurrently.
type Loader interface {
	// Load compiles a module. Loading what is loaded is fine. It returns soon after ctx has ended.
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
	// Interval between two looks at the folder by Run; default 250 ms. The store is asked at every eighth.
	Interval time.Duration
	// Settle is how long a file must have been unchanged to be read; default 250 ms.
	Settle time.Duration
	// Linger is how long a version stays loaded after it served, for calls that are about to begin; default 30 s.
	Linger time.Duration
	// Granted are versions that the configuration grants what they ask for. That is put on record when they serve.
	Granted []Digest
	// Dev grants every plugin what it asks for, as long as this process lives, and says so.
	Dev bool
	// Offline looks and decides, but writes nothing, loads nothing and waits for no file: for a command beside a host.
	Offline bool
	Now     func() time.Time // default time.Now
	Log     *slog.Logger     // default silent
}

// Registry is the Catalog of a folder. It looks at the folder when told to, decides which version of each plugin serves,
// has it loaded in the background, and keeps the bytes of all versions. A bad or slow file never stops the others. Close it.
type Registry struct {
	cfg     RegistryConfig
	modules modules
	view    atomic.Pointer[view]
	loader  *loader

	scan  sync.Mutex // one look and decision at a time; it guards what follows
	round *round     // the last one
	looks map[string]*look
	loads map[Digest]*load
	past  map[string][]retired // what served under a name and is not loaded any more, oldest first
	dev   map[Digest]*Grant
	told  map[string]string
	idle  map[Digest]bool // kept modules that nobody needed at the last Prune

	mu       sync.Mutex
	versions map[Digest]*Plugin
}

var _ Catalog = (*Registry)(nil)

// view is what was decided last. It is immutable.
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
		cfg.Interval = 250 * time.Millisecond
	}
	if cfg.Settle <= 0 {
		cfg.Settle = 250 * time.Millisecond
	}
	if cfg.Linger <= 0 {
		cfg.Linger = 30 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	r := &Registry{
		cfg: cfg, modules: modules{filepath.Join(cfg.DataDir, "modules")}, loads: map[Digest]*load{}, past: map[string][]retired{},
		dev: map[Digest]*Grant{}, told: map[string]string{}, versions: map[Digest]*Plugin{},
	}
	r.loader = newLoader(cfg.Loader, r.modules, cfg.Log)
	r.view.Store(&view{})
	if !cfg.Offline {
		if err := r.modules.open(); err != nil {
			return nil, fault.Wrap(err, fault.Internal, "plugin.NewRegistry", "the folder of modules cannot be used")
		}
	}
	return r, nil
}

// startPatience is how long Start waits for what has never served.
const startPatience = time.Minute

// Start looks at the folder for the first time. What served when the last process ended serves at once, and is loaded
// meanwhile: its first calls wait for that. What never served is waited for, at most a minute; then it is loaded in the
// background. If a file changed a moment ago Start looks again when it has come to rest.
func (r *Registry) Start(ctx context.Context) error {
	if err := r.review(ctx, true); err != nil {
		return err
	}
	patient, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if !r.atRest() {
		settled := time.NewTimer(r.cfg.Settle)
		defer settled.Stop()
		select {
		case <-ctx.Done():
			return fault.Wrap(ctx.Err(), fault.Canceled, "plugin.Start", "the caller left")
		case <-settled.C:
		}
		if err := r.review(ctx, true); err != nil {
			return err
		}
	}
	err := r.await(patient, func(l *load) bool { return l.fresh })
	if patient.Err() != nil && ctx.Err() == nil {
		r.cfg.Log.WarnContext(ctx, "the host starts before all plugins are compiled; the others serve as soon as they are")
		return nil
	}
	return err
}

const (
	storeEvery = 8  // looks at the folder for one at the store
	atEase     = 20 // a look that takes long is followed by a rest that is so many times longer
)

// Run looks at the folder again and again until ctx ends.
func (r *Registry) Run(ctx context.Context) {
	rest := time.NewTimer(r.cfg.Interval)
	defer rest.Stop()
	said := ""
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-rest.C:
		}
		began := time.Now()
		err := r.review(ctx, n%storeEvery == 0)
		switch {
		case err == nil:
			said = ""
		case err.Error() != said && ctx.Err() == nil:
			said = err.Error()
			r.cfg.Log.ErrorContext(ctx, "the plugins folder cannot be looked at", "err", err)
		}
		rest.Reset(max(r.cfg.Interval, atEase*time.Since(began)))
	}
}

// Close ends what is being loaded and waits for it. Nothing is decided afterwards; reads go on.
func (r *Registry) Close() { r.loader.close() }

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
		if e.Plugin.State == Loading {
			loading := fault.New(fault.Unavailable, op, "plugin %s %s; try again in a moment", name, e.Plugin.Problem)
			loading.RetryAfter = time.Second
			return nil, loading
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

// inspect reads a version from its kept bytes, or from its file while no host has kept them.
func (r *Registry) inspect(p *Plugin) (*Inspection, error) {
	module, err := r.modules.get(p.Digest)
	if fault.Is(err, fault.NotFound) && r.cfg.Offline {
		for _, e := range r.Entries() {
			if e.Plugin.Digest != p.Digest || e.Plugin.File == "" {
				continue
			}
			if found, failed := readAll(filepath.Join(r.cfg.Dir, e.Plugin.File), abi.LimitModuleBytes); failed == nil && DigestOf(found) == p.Digest {
				module, err = found, nil
			}
		}
	}
	if err != nil {
		return nil, err
	}
	return Inspect(module)
}

// Prune removes the bytes of versions that nobody needs, and returns how many. Kept is what serves, lies in the folder, was
// the last to be granted under its name, or what work that has not ended began with. A version goes when two calls in a row found it so: let time pass
// between them in which the work that began on it can end. Before the first Rescan nothing is removed.
func (r *Registry) Prune(ctx context.Context) (int, error) {
	r.scan.Lock()
	defer r.scan.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, fault.Wrap(err, fault.Canceled, "plugin.Prune", "the caller left")
	}
	v := r.view.Load()
	if v.grants == nil {
		return 0, nil
	}
	needed, err := r.neededNow(ctx, v)
	if err != nil {
		return 0, err
	}
	idle := map[Digest]bool{}
	n, err := r.modules.prune(func(d Digest) bool {
		if needed[d] {
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

// neededNow are the versions that an operator would miss, and those that work under way would.
func (r *Registry) neededNow(ctx context.Context, v *view) (map[Digest]bool, error) {
	inUse, err := r.cfg.Store.PluginsInUse(ctx)
	needed := v.needed()
	for _, d := range inUse {
		needed[d] = true
	}
	return needed, err
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
