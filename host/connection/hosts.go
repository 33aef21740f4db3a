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
	// named are rules whose server was named by a person or vendor and not by the manifest or the operator.
	named map[requester.HostRule]bool
}

// hosts fills the manifest's claims. A claim whose value this connection does not have is no place to go to.
func (f *filler) hosts() hosts {
	h := hosts{named: map[requester.HostRule]bool{}}
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
		h.named[rule] = h.named[rule] || namedElsewhere(claim.Host)
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

// rule returns what governs requests to an address.
func (h hosts) rule(address string) (rule requester.HostRule, named, ok bool) {
	t, err := requester.ParseTarget(address)
	if err != nil {
		return rule, false, false
	}
	rule, ok = requester.Policy{Hosts: h.rules}.Rule(t)
	return rule, h.named[rule], ok
}
