package requester_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/requester"
)

// Every form is tried with the worst of policies: one that grants exactly this target. What ParseTarget does not refuse, the
// guard must. All names resolve to this machine.
func TestGuard_ClosedAddressesInEveryForm(t *testing.T) {
	t.Parallel()
	const refused, blocked = "refused", "blocked"
	r := requester.New(requester.Config{Resolver: names(func(string) []string { return []string{"127.0.0.1", "::1"} })})
	t.Cleanup(r.Close)
	for _, c := range []struct{ url, want string }{
		// loopback, plain and disguised
		{"http://127.0.0.1/", blocked},
		{"http://127.0.0.1:6379/", blocked},
		{"http://127.255.255.254/", blocked},
		{"http://127.0.0.1./", blocked},
		{"http://localhost/", blocked},
		{"http://LOCALHOST./", blocked},
		{"http://localhost.localdomain/", blocked},
		{"http://anything.example/", blocked},
		{"http://127.1/", refused},
		{"http://127.0.1/", refused},
		{"http://2130706433/", refused},
		{"http://017700000001/", refused},
		{"http://0x7f000001/", refused},
		{"http://0x7f.1/", refused},
		{"http://0x7f.0x0.0x0.0x1/", refused},
		{"http://0177.0.0.1/", refused},
		{"http://0177.0x0.0.1/", refused},
		{"http://127.0.0.01/", refused},
		{"http://00000177.0.0.1/", refused},
		{"http://127.0.0.1.1/", refused},
		{"http://127.0.0.256/", refused},
		{"http://4294967297/", refused},
		{"http://0x/", refused},
		{"http://①②⑦.⓪.⓪.①/", refused},
		{"http://１２７.０.０.１/", refused},
		{"http://127。0。0。1/", refused},
		{"http://127.0.0.%31/", refused},
		{"http://%31%32%37.0.0.1/", refused},
		{"http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", blocked},
		{"http://localhost%00.example/", refused},
		{"http://loc\u00adalhost/", blocked},
		{"http://[::1]/", blocked},
		{"http://[0:0:0:0:0:0:0:1]/", blocked},
		{"http://[0000::1]:80/", blocked},
		{"http://[::]/", blocked},
		{"http://[::ffff:127.0.0.1]/", blocked},
		{"http://[::ffff:7f00:1]/", blocked},
		{"http://[::127.0.0.1]/", blocked},
		{"http://[::ffff:0:127.0.0.1]/", blocked},
		{"http://[::1%25lo]/", refused},
		{"http://[::1%lo]/", refused},
		{"http://0/", refused},
		{"http://0.0.0.0/", blocked},
		{"http://0.1.2.3/", blocked},
		// the same inside IPv6 transition addresses
		{"http://[64:ff9b::127.0.0.1]/", blocked},
		{"http://[64:ff9b::a9fe:a9fe]/", blocked},
		{"http://[64:ff9b:1::7f00:1]/", blocked},
		{"http://[2002:7f00:1::]/", blocked},
		{"http://[2001:0:7f00:1::]/", blocked},
		{"http://[2001::1]/", blocked},
		// cloud metadata
		{"http://169.254.169.254/latest/meta-data/", blocked},
		{"http://169.254.170.2/v2/credentials", blocked},
		{"http://0251.00376.000251.0000376/", refused},
		{"http://0xa9fea9fe/", refused},
		{"http://2852039166/", refused},
		{"http://425.510.425.510/", refused},
		{"http://[::ffff:a9fe:a9fe]/", blocked},
		{"http://[fd00:ec2::254]/", blocked},
		{"http://100.100.100.200/", blocked},
		{"http://192.0.0.192/opc/v1/", blocked},
		{"http://168.63.129.16/machine", blocked},
		{"http://metadata.google.internal/", blocked},
		{"http://[fe80::a9fe:a9fe]/", blocked},
		// private and special networks
		{"http://10.0.0.1/", blocked},
		{"http://172.16.0.1/", blocked},
		{"http://172.31.255.255/", blocked},
		{"http://192.168.0.1/", blocked},
		{"http://100.64.0.1/", blocked},
		{"http://100.127.255.255/", blocked},
		{"http://198.18.0.1/", blocked},
		{"http://198.19.255.255/", blocked},
		{"http://192.0.2.1/", blocked},
		{"http://198.51.100.1/", blocked},
		{"http://203.0.113.1/", blocked},
		{"http://192.88.99.1/", blocked},
		{"http://224.0.0.1/", blocked},
		{"http://239.255.255.255/", blocked},
		{"http://240.0.0.1/", blocked},
		{"http://255.255.255.255/", blocked},
		{"http://[fc00::1]/", blocked},
		{"http://[fd12:3456::1]/", blocked},
		{"http://[fec0::1]/", blocked},
		{"http://[ff02::1]/", blocked},
		{"http://[2001:db8::1]/", blocked},
		{"http://[3fff::1]/", blocked},
		{"http://[5f00::1]/", blocked},
		{"http://[100::1]/", blocked},
		{"http://[4000::1]/", blocked},
		{"http://[::5]/", blocked},
		// two hosts in one URL
		{"http://127.0.0.1@example.com/", refused},
		{"http://example.com@127.0.0.1/", refused},
		{`http://127.1.1.1:80\@127.2.2.2:80/`, refused},
		{`http://127.1.1.1:80:\@@127.2.2.2:80/`, refused},
		{`http://127.1.1.1:80#\@127.2.2.2:80/`, refused},
		{"http://1.1.1.1 &@2.2.2.2# @3.3.3.3/", refused},
		{"http://127.1.1.1:80\r\nHost: x/", refused},
		{"http:127.0.0.1/", refused},
		{"http:/127.0.0.1/", refused},
		{"http://[127.0.0.1]/", refused},
		{"http://0x7f.1.example:x/", refused},
		{"dict://127.0.0.1:11211/", refused},
		{"ldap://127.0.0.1/", refused},
		{"file://127.0.0.1/etc/passwd", refused},
	} {
		t.Run(c.url, func(t *testing.T) {
			t.Parallel()
			target, err := requester.ParseTarget(c.url)
			if (err != nil) != (c.want == refused) {
				t.Fatalf("parsed as %s, %v; want %s", target.Origin(), err, c.want)
			}
			if err != nil {
				return
			}
			p := requester.Policy{Hosts: []requester.HostRule{{Scheme: target.Scheme, Host: target.Host, Port: target.Port}}}
			_, err = r.Do(t.Context(), p, requester.Request{URL: c.url}, nil)
			if f := wantFault(t, err, fault.Forbidden, fault.Host); f.Sent != requester.Never || f.Attempts != 1 {
				t.Errorf("%+v", f)
			}
			wantMessage(t, err, "allow_private")
		})
	}
}

func TestGuard_MessageDoesNotTellGuestsWhatANameResolvesTo(t *testing.T) {
	t.Parallel()
	r := requester.New(requester.Config{Resolver: names(func(string) []string { return []string{"10.11.12.13"} })})
	t.Cleanup(r.Close)
	_, err := get(t, r, "http://db.corp.example/")
	wantFault(t, err, fault.Forbidden, fault.Host)
	if strings.Contains(fault.PublicMessage(err), "10.11") {
		t.Error(fault.PublicMessage(err))
	}
	if !strings.Contains(err.Error(), "10.11.12.13") || !strings.Contains(err.Error(), "RFC 1918") {
		t.Errorf("the operator does not see which address and why: %v", err)
	}
}

func TestGuard_EveryAddressOfANameIsChecked(t *testing.T) {
	t.Parallel()
	base, requests := vendor(t, echo)
	_, port, _ := strings.Cut(strings.TrimPrefix(base, "http://"), ":")
	r := requester.New(requester.Config{
		AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")},
		Resolver:     names(func(string) []string { return []string{"127.0.0.1", "127.0.0.3", "::1"} }),
	})
	t.Cleanup(r.Close)
	_, err := get(t, r, "http://many.example:"+port+"/")
	wantFault(t, err, fault.Forbidden, fault.Host)
	if requests.Load() != 0 {
		t.Error("a closed address was reached")
	}
}

func TestGuard_ReboundNameIsRefusedAtTheNextDial(t *testing.T) {
	t.Parallel()
	served := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close") // the next request dials again
	}))
	served.Start()
	t.Cleanup(served.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(served.URL, "http://"), ":")
	var rebound atomic.Bool
	r := requester.New(requester.Config{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Resolver: names(func(string) []string {
		if rebound.Load() {
			return []string{"127.0.0.2"}
		}
		return []string{"127.0.0.1"}
	})})
	t.Cleanup(r.Close)
	url := "http://api.example:" + port + "/"
	if _, err := get(t, r, url); err != nil {
		t.Fatal(err)
	}
	rebound.Store(true)
	_, err := get(t, r, url)
	wantFault(t, err, fault.Forbidden, fault.Host)
}

func TestGuard_IgnoresTheProxyOfTheEnvironment(t *testing.T) {
	base, requests := vendor(t, echo)
	t.Setenv("HTTP_PROXY", base)
	t.Setenv("http_proxy", base)
	r := requester.New(requester.Config{Resolver: names(func(string) []string { return []string{"10.0.0.1"} })})
	t.Cleanup(r.Close)
	_, err := get(t, r, "http://api.example/")
	wantFault(t, err, fault.Forbidden, fault.Host)
	if requests.Load() != 0 {
		t.Error("the proxy was asked")
	}
}

func TestGuard_StandsUnderWrap(t *testing.T) {
	t.Parallel()
	base, requests := vendor(t, echo)
	var recorded atomic.Int32
	r := requester.New(requester.Config{Wrap: func(guarded http.RoundTripper) http.RoundTripper {
		return roundTrip(func(req *http.Request) (*http.Response, error) {
			recorded.Add(1)
			return guarded.RoundTrip(req)
		})
	}})
	t.Cleanup(r.Close)
	_, err := get(t, r, base)
	wantFault(t, err, fault.Forbidden, fault.Host)
	if recorded.Load() != 1 || requests.Load() != 0 {
		t.Errorf("recorded %d, arrived %d", recorded.Load(), requests.Load())
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
