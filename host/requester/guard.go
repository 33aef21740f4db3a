package requester

import (
	"context"
	"fmt"
	"net/netip"
	"syscall"
)

// closed are the addresses that a public service cannot have. The list is explicit because netip.Addr.IsPrivate and its
// friends miss half of it. Sources: the IANA special-purpose address registries (RFC 6890 and the RFCs named).
var closed = []struct {
	prefix netip.Prefix
	name   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "this network (RFC 791)"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private (RFC 1918)"},
	{netip.MustParsePrefix("100.64.0.0/10"), "carrier-grade NAT (RFC 6598)"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback (RFC 1122)"},
	{netip.MustParsePrefix("168.63.129.16/32"), "the platform service inside Azure machines"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local, cloud metadata (RFC 3927)"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private (RFC 1918)"},
	{netip.MustParsePrefix("192.0.0.0/24"), "protocol assignments (RFC 6890)"},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation (RFC 5737)"},
	{netip.MustParsePrefix("192.88.99.0/24"), "6to4 relay (RFC 7526)"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private (RFC 1918)"},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmarking (RFC 2544)"},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation (RFC 5737)"},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation (RFC 5737)"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast (RFC 5771)"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved, broadcast (RFC 1112)"},

	{netip.MustParsePrefix("::1/128"), "loopback (RFC 4291)"},
	{netip.MustParsePrefix("::/96"), "unspecified, IPv4-compatible (RFC 4291)"},
	{netip.MustParsePrefix("::ffff:0:0/96"), "IPv4-mapped (RFC 4291)"},
	{netip.MustParsePrefix("::ffff:0:0:0/96"), "IPv4-translated (RFC 2765)"},
	{nat64, "NAT64 (RFC 6052)"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "local NAT64 (RFC 8215)"},
	{netip.MustParsePrefix("100::/64"), "discard-only (RFC 6666)"},
	{netip.MustParsePrefix("2001::/23"), "protocol assignments, Teredo, ORCHID (RFC 2928, RFC 4380, RFC 7343)"},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation (RFC 3849)"},
	{netip.MustParsePrefix("2002::/16"), "6to4 (RFC 3056)"},
	{netip.MustParsePrefix("3fff::/20"), "documentation (RFC 9637)"},
	{netip.MustParsePrefix("5f00::/16"), "segment routing (RFC 9602)"},
	{netip.MustParsePrefix("fc00::/7"), "unique local (RFC 4193)"},
	{netip.MustParsePrefix("fe80::/10"), "link-local (RFC 4291)"},
	{netip.MustParsePrefix("fec0::/10"), "site-local (RFC 3879)"},
	{netip.MustParsePrefix("ff00::/8"), "multicast (RFC 4291)"},
}

var (
	nat64   = netip.MustParsePrefix("64:ff9b::/96")
	unicast = netip.MustParsePrefix("2000::/3") // all that IANA has given out (RFC 4291 section 2.4)
)

// guard refuses addresses at dial time, after the name was resolved, so that a name cannot be rebound in between.
type guard struct{ open []netip.Prefix }

// blockedError says which address was refused. Its text is for operators: it tells what a name resolves to inside.
type blockedError struct {
	addr netip.Addr
	why  string
}

func (e *blockedError) Error() string {
	return fmt.Sprintf("address %s is closed: %s", e.addr, e.why)
}

// control is a net.Dialer.ControlContext: it sees every concrete address before a packet leaves.
func (g guard) control(_ context.Context, network, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || (network != "tcp4" && network != "tcp6") {
		return &blockedError{why: "not a TCP address"}
	}
	return g.check(ap.Addr())
}

// check returns a *blockedError, or nil if a may be dialled.
func (g guard) check(a netip.Addr) error {
	a = a.WithZone("").Unmap()
	if g.opens(a) {
		if nat64.Contains(a) { // opening NAT64 opens the road, not every house behind it
			b := a.As16()
			return g.check(netip.AddrFrom4([4]byte(b[12:])))
		}
		return nil
	}
	for _, c := range closed {
		if c.prefix.Contains(a) {
			return &blockedError{a, c.name}
		}
	}
	if a.Is6() && !unicast.Contains(a) {
		return &blockedError{a, "not global unicast (RFC 4291)"}
	}
	if !a.IsValid() {
		return &blockedError{a, "not an address"}
	}
	return nil
}

func (g guard) opens(a netip.Addr) bool {
	for _, p := range g.open {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
