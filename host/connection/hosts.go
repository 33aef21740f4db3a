package connection

import (
	"regexp"
	"strings"

	"golang.org/x/time/rate"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/requester"
)

// hosts says where the requests of one connection may go.
type hosts struct {
	rules []requester.HostRule
	// fixed are those whose server the manifest or the operator names, and not a person or vendor.
	fixed []requester.HostRule
}

// hosts fills the manifest's claims. A claim whose value this connection does not have is no place to go to.
func (f *filler) hosts() hosts {
	var h hosts
	for _, claim := range f.m.Manifest.Hosts {
		text, err := f.host(claim.Host)
		if err != nil {
			continue
		}
		rule, err := requester.ParseHostRule(text)
		if err != nil {
			continue
		}
		rule.Anonymous = claim.WithoutCredential
		h.rules = append(h.rules, rule)
		if !namedElsewhere(claim.Host) {
			h.fixed = append(h.fixed, rule)
		}
	}
	return h
}

// host fills one claim. A value at the start is an address, of which scheme, host and port count; it cannot be a wildcard.
func (f *filler) host(template string) (string, error) {
	return f.fill(template, func(before string, v value) (string, error) {
		if v.secret {
			return "", f.misplaced()
		}
		text := v.text.Reveal()
		if before == "" && strings.Contains(text, "://") {
			t, err := requester.ParseTarget(text)
			if err != nil {
				return "", err
			}
			return t.Origin(), nil
		}
		if !hostPart.MatchString(text) {
			return "", badAddress(text, "is not a part of a host name")
		}
		return text, nil
	})
}

// ownDomain is what follows a value in a claim that stays inside one domain: two labels at least.
var ownDomain = regexp.MustCompile(`^[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]*[A-Za-z]`)

// namedElsewhere reports that neither the manifest nor the operator says which server a claim means. `{{form.shop}}.example.com`
// stays with its vendor; `{{form.base_url}}` is anybody's.
func namedElsewhere(claim string) bool {
	rest := claim
	for _, scope := range []string{abi.ScopeForm, abi.ScopeCredential, abi.ScopeCallback} {
		if i := strings.LastIndex(rest, "{{"+scope+"."); i >= 0 {
			_, rest, _ = strings.Cut(rest[i:], "}}")
		}
	}
	return len(rest) != len(claim) && !ownDomain.MatchString(rest)
}

// policy is what the requester enforces for one connection. The key names its budget.
func (h hosts) policy(m *module, key string) requester.Policy {
	p := requester.Policy{Hosts: h.rules, Key: key}
	if m.api != nil && m.api.RateLimit != nil && m.api.RateLimit.PerMS > 0 {
		l := m.api.RateLimit
		p.Rate, p.Burst = rate.Limit(float64(l.Requests)*1000/float64(l.PerMS)), int(min(l.Burst, 1<<20))
	}
	return p
}

// anonymous returns the host of an address to which no credential may go.
func (h hosts) anonymous(address string) (host string, yes bool) {
	t, err := requester.ParseTarget(address)
	if err != nil {
		return "", false
	}
	rule, _ := requester.Policy{Hosts: h.rules}.Rule(t)
	return rule.Host, rule.Anonymous
}

// trusts reports whether a secret of the operator's may go to an address.
func (h hosts) trusts(address string) bool {
	t, err := requester.ParseTarget(address)
	if err != nil {
		return false
	}
	_, ok := requester.Policy{Hosts: h.fixed}.Rule(t)
	return ok
}
