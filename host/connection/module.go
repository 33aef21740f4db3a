package connection

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// module is an API module with what the operator has set for it. Its manifest has all defaults filled in.
type module struct {
	*plugin.Plugin
	name     string // for people
	auth     *abi.Auth
	api      *abi.API // nil if the module has none
	settings map[string]value
}

// module returns the version of an API module that serves new work.
func (s *Service) module(ctx context.Context, name string) (*module, error) {
	p, err := s.catalog.Plugin(name)
	if err != nil {
		return nil, err
	}
	if p.Kind != abi.PluginKindModule || p.Manifest.Auth == nil {
		return nil, fault.New(fault.NotFound, "connection.Module", "%q is not an API module", name)
	}
	set, err := s.settings.Settings(ctx, p)
	if err != nil {
		return nil, err
	}
	d := s.manifests.of(p)
	m := &module{Plugin: p, name: d.Display.Name, auth: d.Auth, api: d.API, settings: map[string]value{}}
	for _, want := range d.Settings {
		text, ok := set[want.Name]
		switch {
		case ok && !text.IsZero():
			m.settings[want.Name] = value{text, want.Secret}
		case want.Default != "":
			m.settings[want.Name] = public(want.Default)
		case want.Required:
			return nil, fault.New(fault.Unavailable, "connection.Module", "the operator has not set %q of module %s yet", want.Name, p.Name).With(errUnset)
		}
	}
	return m, nil
}

// errUnset is the cause when a required setting has no value.
var errUnset = errors.New("a required setting has no value")

// moduleToAuthorize is module for callers who chose the name: an unknown one is answered with those that there are, and one
// that is not set up with whose turn it is.
func (s *Service) moduleToAuthorize(ctx context.Context, name string) (*module, error) {
	m, err := s.module(ctx, name)
	if errors.Is(err, errUnset) {
		return nil, fault.New(fault.Forbidden, "connection.Authorize", "%s", fault.PublicMessage(err)).With(err)
	}
	if fault.Is(err, fault.NotFound) {
		return nil, fault.New(fault.Invalid, "connection.Authorize", "there is no module %q; options: %s", clip(name, 64), strings.Join(s.moduleNames(), ", "))
	}
	return m, err
}

// moduleInUse is module for what is connected already: there, a missing module is the operator's business.
func (s *Service) moduleInUse(ctx context.Context, name string) (*module, error) {
	m, err := s.module(ctx, name)
	if fault.Is(err, fault.NotFound) {
		return nil, fault.New(fault.Unavailable, "connection.Module", "the module %s of this account is not installed", name)
	}
	return m, err
}

func (s *Service) moduleNames() []string {
	var names []string
	for _, p := range s.catalog.Plugins() {
		if p.Kind == abi.PluginKindModule && p.State == plugin.Ready {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return names
}

// redirects reports that authorising leads through the vendor's pages.
func (m *module) redirects() bool {
	return m.auth.Kind == abi.AuthKindOAuth2 && m.auth.OAuth2.Grant == abi.OAuth2GrantAuthorizationCode
}

// supported refuses what the contract only reserves.
func (m *module) supported() error {
	switch {
	case m.auth.Kind == abi.AuthKindOAuth2 && m.auth.OAuth2.Grant == abi.OAuth2GrantImplicit:
		return fault.New(fault.Unsupported, "connection.Authorize", "module %s asks for the implicit grant, which this host does not offer; use authorization_code", m.Name)
	case len(m.auth.FormSteps) > 0:
		return fault.New(fault.Unsupported, "connection.Authorize", "module %s asks in several steps, which this host does not offer", m.Name)
	}
	return nil
}

// renewable reports that new tokens can be had without the person.
func (m *module) renewable(v values) bool {
	switch m.auth.Kind {
	case abi.AuthKindCustom:
		return true
	case abi.AuthKindOAuth2:
		if m.auth.OAuth2.Refresh.Never {
			return false
		}
		return m.auth.OAuth2.Grant != abi.OAuth2GrantAuthorizationCode || !v.token(refreshToken).IsZero()
	}
	return false
}

// claims reports whether the manifest asks for a capability.
func (m *module) claims(capability string) bool {
	return slices.ContainsFunc(m.Manifest.Capabilities, func(c abi.CapabilityClaim) bool { return c.Name == capability })
}

// manifests keeps the manifests of plugins in use with all defaults filled in. Plugins are immutable.
type manifests struct {
	mu       sync.Mutex
	byPlugin map[*plugin.Plugin]*abi.Manifest
}

// maxManifests bounds what is kept of plugins that were replaced.
const maxManifests = 256

func (c *manifests) of(p *plugin.Plugin) *abi.Manifest {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.byPlugin[p]; m != nil {
		return m
	}
	if c.byPlugin == nil || len(c.byPlugin) >= maxManifests {
		c.byPlugin = map[*plugin.Plugin]*abi.Manifest{}
	}
	m := abi.ManifestDefaults(&p.Manifest)
	c.byPlugin[p] = m
	return m
}
