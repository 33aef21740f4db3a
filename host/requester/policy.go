package requester

import (
	"strings"

	"golang.org/x/time/rate"

	"github.com/frigg-host/frigg-host/host/fault"
)

// Policy says where a request may go and whose budget it uses. The zero value allows nothing.
type Policy struct {
	// Hosts is searched in order; the first rule that matches decides, also about the credential.
	Hosts []HostRule

	// Key names the budget: calls with one key share Config.MaxInFlight places and one rate. Typically one connection.
	// Calls without a key share one budget.
	Key string
	// Rate is how many requests a second may go out under Key, retries and redirects included; 0 means no limit.
	Rate rate.Limit
	// Burst is how many may go at once before Rate counts; 0 means 1.
	Burst int
}

// HostRule allows one scheme, host and port. Make one with ParseHostRule; the zero value matches nothing.
type HostRule struct {
	Scheme string // "https" or "http": the one never includes the other
	// Host is a name or an address in the form of Target.Host, or "*." and a name of two labels or more.
	// "*.example.com" is every name below example.com at any depth, and not example.com itself.
	Host string
	Port uint16

	// Anonymous means that requests here carry no credential: the Authorizer is not called (pre-signed URLs, public files).
	Anonymous bool
}

// ParseHostRule reads "api.example.com", "*.example.com", "http://127.0.0.1:8080" or "https://[2001:db8::1]:8443". Without a
// scheme it is https; without a port it is the scheme's own. The fault is Invalid on side Caller.
func ParseHostRule(s string) (HostRule, error) {
	refuse := func(why string) (HostRule, error) {
		return HostRule{}, fault.New(fault.Invalid, "requester.ParseHostRule", "host rule %.200q: %s", s, why)
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		scheme, rest = "https", s
	}
	rest, wild := strings.CutPrefix(rest, "*.")
	t, err := parseTarget(scheme + "://" + rest)
	switch {
	case err != nil:
		return refuse(err.Error())
	case strings.ContainsAny(rest, "/?#"):
		return refuse("it has a path; a rule is a scheme, a host and a port")
	case wild && (endsInNumber(t.Host) || strings.Contains(t.Host, ":")):
		return refuse("it has a wildcard before an address")
	case wild && !strings.Contains(t.Host, "."):
		return refuse("its wildcard needs two labels after it, such as *.example.com")
	case wild:
		t.Host = "*." + t.Host
	}
	return HostRule{Scheme: t.Scheme, Host: t.Host, Port: t.Port}, nil
}

// String is the form that ParseHostRule reads.
func (r HostRule) String() string {
	return Target{Scheme: r.Scheme, Host: r.Host, Port: r.Port}.Origin()
}

// Matches reports whether t is under the rule.
func (r HostRule) Matches(t Target) bool {
	if r.Scheme != t.Scheme || r.Port != t.Port || t.Host == "" {
		return false
	}
	if suffix, wild := strings.CutPrefix(r.Host, "*"); wild {
		return strings.HasPrefix(suffix, ".") && strings.HasSuffix(t.Host, suffix)
	}
	return r.Host == t.Host
}

// Rule returns the first rule that matches t.
func (p Policy) Rule(t Target) (HostRule, bool) {
	for _, r := range p.Hosts {
		if r.Matches(t) {
			return r, true
		}
	}
	return HostRule{}, false
}
