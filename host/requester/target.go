package requester

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/frigg-host/frigg-host/host/fault"
)

const maxURLBytes = 16 << 10

// Target is an absolute http or https URL in canonical form: what a rule is compared with is what the dialer connects to.
// Make one with ParseTarget; the zero value is nowhere. Immutable.
type Target struct {
	Scheme string // "http" or "https"
	Host   string // a lower-case ASCII name without a trailing dot, or an IP address in its shortest text, without brackets
	Port   uint16 // never 0

	rest url.URL // path and query only
}

// ParseTarget reads an absolute URL strictly. It refuses every form in which two parsers could see two hosts: user info,
// backslashes, spaces, control characters, escapes and zones in the host, and IPv4 addresses that are not four plain decimal
// numbers. Names in other scripts become ASCII (UTS #46); the fragment is dropped. The fault is Invalid on side Guest.
func ParseTarget(raw string) (Target, error) {
	t, err := parseTarget(raw)
	if err != nil {
		return Target{}, fault.New(fault.Invalid, "requester.ParseTarget", "the URL cannot be used: %s", err).On(fault.Guest)
	}
	return t, nil
}

// parseTarget returns errors whose texts never contain the URL: its query may carry a secret.
func parseTarget(raw string) (Target, error) {
	if err := plainText(raw); err != nil {
		return Target{}, err
	}
	u, err := url.Parse(raw)
	if err != nil {
		return Target{}, fmt.Errorf("it is not a URL (RFC 3986)")
	}
	scheme := strings.ToLower(u.Scheme)
	switch {
	case scheme != "http" && scheme != "https":
		return Target{}, fmt.Errorf("it must begin with https:// (or http://)")
	case u.Opaque != "" || u.Host == "":
		return Target{}, fmt.Errorf("it names no host")
	case u.User != nil:
		return Target{}, fmt.Errorf("it carries a user name; credentials are attached by the host")
	}
	host, err := canonicalHost(u.Host, u.Hostname())
	if err != nil {
		return Target{}, err
	}
	port, err := canonicalPort(scheme, u.Port())
	if err != nil {
		return Target{}, err
	}
	return Target{Scheme: scheme, Host: host, Port: port, rest: url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: asciiQuery(u.RawQuery)}}, nil
}

func plainText(raw string) error {
	if len(raw) > maxURLBytes {
		return fmt.Errorf("it is longer than %d bytes", maxURLBytes)
	}
	if !utf8.ValidString(raw) {
		return fmt.Errorf("it is not UTF-8")
	}
	for i := range len(raw) {
		switch c := raw[i]; {
		case c == '\\':
			return fmt.Errorf("it has a backslash; write %%5C")
		case c <= ' ' || c == 0x7f:
			return fmt.Errorf("it has a space or control character; percent-encode it")
		}
	}
	return nil
}

// canonicalHost takes the authority too, because only there a bracket is seen.
func canonicalHost(authority, host string) (string, error) {
	if strings.HasPrefix(authority, "[") {
		addr, err := netip.ParseAddr(host)
		if err != nil || addr.Is4() || addr.Zone() != "" {
			return "", fmt.Errorf("what stands in brackets is not an IPv6 address without zone")
		}
		return addr.Unmap().String(), nil
	}
	if !isASCII(host) {
		name, err := idna.Lookup.ToASCII(host)
		if err != nil || endsInNumber(strings.TrimSuffix(name, ".")) {
			return "", fmt.Errorf("its host is not a valid international name")
		}
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if endsInNumber(host) {
		addr, err := netip.ParseAddr(host)
		if err != nil {
			return "", fmt.Errorf("its host looks like an IPv4 address and is not four plain decimal numbers")
		}
		return addr.String(), nil
	}
	return host, checkName(host)
}

// endsInNumber is the test of the WHATWG URL standard for "this is meant as IPv4": such a host is an address or nothing.
func endsInNumber(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// checkName allows letters, digits, hyphens (RFC 1123) and underscores, which are in use.
func checkName(host string) error {
	if len(host) > 253 {
		return fmt.Errorf("its host is longer than 253 characters")
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return fmt.Errorf("its host is not a valid name")
		}
	}
	return nil
}

func canonicalPort(scheme, port string) (uint16, error) {
	if port == "" {
		return defaultPort(scheme), nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || len(port) > 5 {
		return 0, fmt.Errorf("its port is not between 1 and 65535")
	}
	return uint16(n), nil
}

func defaultPort(scheme string) uint16 {
	if scheme == "http" {
		return 80
	}
	return 443
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// asciiQuery escapes only what may not stand on the request line: a query that its author has escaped stays as it is.
func asciiQuery(q string) string {
	if isASCII(q) {
		return q
	}
	var b strings.Builder
	for i := range len(q) {
		if q[i] < utf8.RuneSelf {
			b.WriteByte(q[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", q[i])
		}
	}
	return b.String()
}

// URL returns a copy that the caller owns.
func (t Target) URL() *url.URL {
	u := t.rest
	u.Scheme, u.Host = t.Scheme, t.hostPort()
	return &u
}

// String is the URL, query included: not for logs.
func (t Target) String() string { return t.URL().String() }

// Origin is scheme, host and, if it is not the scheme's own, port.
func (t Target) Origin() string { return t.Scheme + "://" + t.hostPort() }

func (t Target) hostPort() string {
	if t.Port != defaultPort(t.Scheme) {
		return net.JoinHostPort(t.Host, strconv.Itoa(int(t.Port)))
	}
	if strings.Contains(t.Host, ":") {
		return "[" + t.Host + "]"
	}
	return t.Host
}

func (t Target) sameOrigin(o Target) bool {
	return t.Scheme == o.Scheme && t.Host == o.Host && t.Port == o.Port
}
