package plugin

import (
	"context"
	"os"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
)

// Owner is the owner of secrets that belong to the operator and to no user.
const Owner = "host"

// Sealer seals the operator's secrets; *secret.Vault does.
type Sealer interface {
	Seal(ctx context.Context, owner string, place secret.Place, plain secret.Text) (string, error)
	Open(ctx context.Context, owner string, place secret.Place, sealed string) (secret.Text, error)
}

// Config of a Service. Store, Registry and Sealer are required.
type Config struct {
	Store    Store
	Registry *Registry
	Sealer   Sealer
	Now      func() time.Time                 // default time.Now
	Env      func(name string) (string, bool) // default os.LookupEnv
}

// Service is what an operator does with plugins.
type Service struct {
	store    Store
	registry *Registry
	sealer   Sealer
	now      func() time.Time
	env      func(string) (string, bool)
}

// New returns a Service.
func New(c Config) *Service {
	s := &Service{store: c.Store, registry: c.Registry, sealer: c.Sealer, now: c.Now, env: c.Env}
	if s.now == nil {
		s.now = time.Now
	}
	if s.env == nil {
		s.env = os.LookupEnv
	}
	return s
}

// List returns every version that serves or lies in the plugins folder: by name, then the one that serves, then those
// that wait for approval.
func (s *Service) List(context.Context) ([]Entry, error) { return s.registry.Entries(), nil }

// Loaded waits until nothing is being compiled. The error is that of ctx, or of the store that could not put a version on
// record.
func (s *Service) Loaded(ctx context.Context) error {
	return s.registry.await(ctx, func(*load) bool { return true })
}

// Approve grants a version what it asks for, and lets it serve. An empty digest means the version in the plugins folder.
// by says who consents. It returns the version as it is then: Broken when it was approved but cannot be loaded.
// Errors: NotFound when there is no such version; Invalid when it cannot be used anyway. Approving again is fine.
func (s *Service) Approve(ctx context.Context, name string, d Digest, by string) (*Plugin, error) {
	const op = "plugin.Approve"
	if by == "" {
		return nil, fault.New(fault.Invalid, op, "say who approves")
	}
	e, err := s.Waiting(ctx, name, d)
	if err != nil || e.Serving {
		return e.Plugin, err
	}
	p := e.Plugin
	g := &Grant{Name: p.Name, Digest: p.Digest, Ask: AskOf(&p.Manifest), By: by, At: s.now().UTC().Truncate(time.Microsecond)}
	if err := s.store.PluginApproved(ctx, g); err != nil {
		return nil, err
	}
	if err := s.registry.rescanFor(context.WithoutCancel(ctx), name); err != nil {
		return nil, err
	}
	return s.registry.ByDigest(p.Digest)
}

// Revoke takes back what all versions of a plugin were granted: none serves until it is approved again. Calls under way
// finish. The error is NotFound when nothing was granted. What development mode grants ends with it and not before.
func (s *Service) Revoke(ctx context.Context, name string) error {
	switch n, err := s.store.PluginRevoked(ctx, name); {
	case err != nil:
		return err
	case n == 0:
		return fault.New(fault.NotFound, "plugin.Revoke", "plugin %q was granted nothing", name)
	}
	return s.registry.rescanFor(context.WithoutCancel(ctx), name)
}

// Waiting returns the version that Approve would grant, as it lies in the folder now; the one that serves when none waits.
// Errors: those of Approve.
func (s *Service) Waiting(ctx context.Context, name string, d Digest) (Entry, error) {
	const op = "plugin.Approve"
	if err := s.registry.review(ctx, true); err != nil {
		return Entry{}, err
	}
	var serving Entry
	var unusable *Plugin
	for _, e := range s.registry.Entries() {
		p := e.Plugin
		switch {
		case p.Name != name || d != "" && p.Digest != d:
		case p.State == NeedsApproval:
			return e, nil
		case e.Serving:
			serving = e
		case unusable == nil:
			unusable = p
		}
	}
	switch {
	case serving.Plugin != nil:
		return serving, nil
	case unusable != nil:
		return Entry{}, fault.New(fault.Invalid, op, "plugin %s (%s) cannot be approved: %s", name, unusable.File, unusable.Problem)
	case d != "":
		return Entry{}, fault.New(fault.NotFound, op, "no plugin %q with digest %s is in the plugins folder", name, d)
	}
	return Entry{}, fault.New(fault.NotFound, op, "no plugin %q is in the plugins folder", name)
}

// Look reads an installed version as far as that is possible without running it: by digest, or by name the one that serves.
// Errors: NotFound; Invalid when it is no usable plugin.
func (s *Service) Look(ctx context.Context, nameOrDigest string) (*Inspection, error) {
	const op = "plugin.Look"
	if err := s.registry.review(ctx, true); err != nil {
		return nil, err
	}
	if d := Digest(nameOrDigest); d.Valid() {
		return s.registry.inspect(&Plugin{Digest: d})
	}
	for _, e := range s.registry.Entries() {
		if e.Plugin.Name == nameOrDigest && e.Serving {
			return s.registry.inspect(e.Plugin)
		}
	}
	return nil, fault.New(fault.NotFound, op, "no plugin %q serves; give a .wasm file, the name of a plugin that serves, or a digest (sha256:...)", nameOrDigest)
}

// Upgrade compares the version that serves under a name with one that waits in the plugins folder. An empty digest means
// any. Errors: those of Look; NotFound when nothing waits.
func (s *Service) Upgrade(ctx context.Context, name string, d Digest) (*Difference, error) {
	before, err := s.Look(ctx, name)
	if err != nil {
		return nil, err
	}
	for _, e := range s.registry.Entries() {
		if p := e.Plugin; p.Name == name && !e.Serving && p.State != Broken && (d == "" || p.Digest == d) {
			after, err := s.registry.inspect(p)
			if err != nil {
				return nil, err
			}
			return Compare(before, after)
		}
	}
	return nil, fault.New(fault.NotFound, "plugin.Upgrade", "no other version of plugin %q waits; name two versions to compare them", name)
}
