package plugin

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/abi"
)

// Ask is what a plugin asks the operator for. It is comparable piece by piece with what was granted before.
type Ask struct {
	Capabilities []string `json:"capabilities,omitempty"`
	Hosts        []Host   `json:"hosts,omitempty"`
	Limits       Limits   `json:"limits"`
	// Secrets are the values that the manifest itself keeps from the plugin, such as "settings.client_secret". A later
	// version may not quietly turn one into a value that it can read.
	Secrets []string `json:"secrets,omitempty"`
	// OpenRoutes answer anybody who can reach the host, such as "POST /preview".
	OpenRoutes []string `json:"open_routes,omitempty"`
}

// Host is one place that requests may go to.
type Host struct {
	Pattern           string `json:"host"` // as in the manifest
	WithoutCredential bool   `json:"without_credential,omitempty"`
	// Default is what the pattern means while the operator has set nothing, if the defaults of settings say so.
	Default string `json:"default,omitempty"`
}

func (h Host) String() string {
	s := h.Pattern
	if h.Default != "" {
		s += " (" + h.Default + " unless set otherwise)"
	}
	if h.WithoutCredential {
		s += " without credential"
	}
	return s
}

// covers reports whether a grant of h allows o.
func (h Host) covers(o Host) bool {
	return h.Pattern == o.Pattern && h.Default == o.Default && (!h.WithoutCredential || o.WithoutCredential)
}

// Limits of one call.
type Limits struct {
	TimeoutMS   int64 `json:"timeout_ms"`
	MemoryBytes int64 `json:"memory_bytes"`
	OutputBytes int64 `json:"output_bytes"`
}

// defaultLimits are granted to everybody.
var defaultLimits = Limits{TimeoutMS: abi.LimitTimeoutMS, MemoryBytes: abi.LimitMemoryBytes, OutputBytes: abi.LimitOutputBytes}

// Grant is an operator's consent to what one version of a plugin, known by its digest, asks for.
type Grant struct {
	Name   string
	Digest Digest
	Ask
	By string // who consented
	At time.Time
}

// Missing is what a plugin asks for beyond a grant.
type Missing struct {
	Capabilities []string `json:"capabilities,omitempty"`
	Hosts        []Host   `json:"hosts,omitempty"`
	Limits       []string `json:"limits,omitempty"` // as texts for people
	// Exposed are values that were secret and are not any more.
	Exposed []string `json:"exposed,omitempty"`
	// OpenRoutes answer anybody.
	OpenRoutes []string `json:"open_routes,omitempty"`
}

// None reports whether nothing is missing.
func (m Missing) None() bool {
	return len(m.Capabilities)+len(m.Hosts)+len(m.Limits)+len(m.Exposed)+len(m.OpenRoutes) == 0
}

// String lists it for people.
func (m Missing) String() string {
	var parts []string
	for _, c := range m.Capabilities {
		parts = append(parts, "capability "+c)
	}
	for _, h := range m.Hosts {
		parts = append(parts, "host "+h.String())
	}
	parts = append(parts, m.Limits...)
	for _, e := range m.Exposed {
		parts = append(parts, "to read "+e+", which was secret")
	}
	for _, r := range m.OpenRoutes {
		parts = append(parts, "to answer anybody at "+r)
	}
	return strings.Join(parts, ", ")
}

// AskOf is what a manifest asks for.
func AskOf(manifest *abi.Manifest) Ask {
	m := abi.ManifestDefaults(manifest)
	a := Ask{Limits: Limits{TimeoutMS: m.Limits.TimeoutMS, MemoryBytes: m.Limits.MemoryBytes, OutputBytes: m.Limits.OutputBytes}}
	for _, c := range m.Capabilities {
		a.Capabilities = append(a.Capabilities, c.Name)
	}
	for _, h := range m.Hosts {
		a.Hosts = append(a.Hosts, Host{Pattern: h.Host, WithoutCredential: h.WithoutCredential, Default: byDefault(h.Host, m.Settings)})
	}
	values := abi.Values(m)
	for ref := range maps.Keys(values) {
		if values[ref] {
			a.Secrets = append(a.Secrets, ref.Scope+"."+ref.Name)
		}
	}
	slices.Sort(a.Secrets)
	for _, r := range m.Routes {
		if r.Auth == abi.RouteAuthNone {
			a.OpenRoutes = append(a.OpenRoutes, r.Method+" "+r.Path)
		}
	}
	return a
}

// byDefault fills a host pattern with the defaults of settings; "" when that is not possible or changes nothing.
func byDefault(pattern string, settings []abi.Setting) string {
	t, err := abi.ParseTemplate(pattern)
	if err != nil || len(t.Refs()) == 0 {
		return ""
	}
	filled, err := t.Fill(func(scope, name string) (string, bool) {
		i := slices.IndexFunc(settings, func(s abi.Setting) bool { return scope == abi.ScopeSettings && s.Name == name && s.Default != "" })
		if i < 0 {
			return "", false
		}
		return settings[i].Default, true
	}, nil)
	if err != nil {
		return ""
	}
	return filled
}

// MissingFrom is what a manifest asks for beyond a grant; nil grants nothing but the default limits.
func MissingFrom(manifest *abi.Manifest, g *Grant) Missing {
	asked, granted := AskOf(manifest), Ask{Limits: defaultLimits}
	if g != nil {
		granted = g.Ask
	}
	var m Missing
	for _, c := range asked.Capabilities {
		if !slices.Contains(granted.Capabilities, c) {
			m.Capabilities = append(m.Capabilities, c)
		}
	}
	for _, h := range asked.Hosts {
		if !slices.ContainsFunc(granted.Hosts, func(g Host) bool { return g.covers(h) }) {
			m.Hosts = append(m.Hosts, h)
		}
	}
	for _, l := range over(asked.Limits, granted.Limits) {
		m.Limits = append(m.Limits, fmt.Sprintf(l.text, l.asked))
	}
	m.Exposed = exposed(manifest, granted.Secrets)
	for _, r := range asked.OpenRoutes {
		if !slices.Contains(granted.OpenRoutes, r) {
			m.OpenRoutes = append(m.OpenRoutes, r)
		}
	}
	return m
}

// limit is one of Limits, by its field in the manifest.
type limit struct {
	field, text    string
	asked, granted int64
}

// over finds the limits of which more is asked than granted.
func over(asked, granted Limits) []limit {
	all := []limit{
		{"timeout_ms", "%d ms for a call", asked.TimeoutMS, granted.TimeoutMS},
		{"memory_bytes", "%d bytes of memory", asked.MemoryBytes, granted.MemoryBytes},
		{"output_bytes", "%d bytes of output", asked.OutputBytes, granted.OutputBytes},
	}
	return slices.DeleteFunc(all, func(l limit) bool { return l.asked <= l.granted })
}

// exposed finds what was secret and is now declared without being secret.
func exposed(manifest *abi.Manifest, secrets []string) []string {
	var names []string
	for ref, secret := range abi.Values(manifest) {
		if name := ref.Scope + "." + ref.Name; !secret && slices.Contains(secrets, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
