package requester_test

import (
	"testing"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/requester"
)

func TestHostRule_Matches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule, url string
		want      bool
	}{
		{"api.example.com", "https://api.example.com/x", true},
		{"api.example.com", "https://API.EXAMPLE.com.:443/x", true},
		{"API.example.com.", "https://api.example.com/x", true},
		{"api.example.com", "http://api.example.com/x", false},
		{"api.example.com", "https://api.example.com:8443/x", false},
		{"api.example.com", "https://www.api.example.com/x", false},
		{"api.example.com", "https://api.example.com.evil.example/x", false},
		{"api.example.com", "https://xapi.example.com/x", false},
		{"https://api.example.com:8443", "https://api.example.com:8443/", true},
		{"https://api.example.com:8443", "https://api.example.com/", false},
		{"http://api.example.com", "http://api.example.com/", true},
		{"http://api.example.com", "https://api.example.com/", false},
		{"http://api.example.com:443", "https://api.example.com/", false},
		{"*.example.com", "https://a.example.com/", true},
		{"*.example.com", "https://a.b.c.example.com/", true},
		{"*.example.com", "https://example.com/", false},
		{"*.example.com", "https://evilexample.com/", false},
		{"*.example.com", "https://a.example.com.evil.example/", false},
		{"*.example.com", "http://a.example.com/", false},
		{"http://*.example.com:8080", "http://a.example.com:8080/", true},
		{"*.Bücher.example", "https://a.xn--bcher-kva.example/", true},
		{"http://127.0.0.1:8080", "http://127.0.0.1:8080/", true},
		{"http://[::ffff:127.0.0.1]", "http://127.0.0.1/", true},
		{"https://[2001:db8::1]", "https://[2001:DB8:0::1]/", true},
	} {
		rule, err := requester.ParseHostRule(c.rule)
		if err != nil {
			t.Fatal(err)
		}
		target, err := requester.ParseTarget(c.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := rule.Matches(target); got != c.want {
			t.Errorf("%s on %s: %v", c.rule, c.url, got)
		}
		if again, err := requester.ParseHostRule(rule.String()); err != nil || again != rule {
			t.Errorf("%s is written %s and read back as %v, %v", c.rule, rule, again, err)
		}
	}
}

func TestParseHostRule_Refuses(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"", "*", "*.", "*.com", "**.example.com", "*example.com", "a.*.example.com", "*.*.example.com", "https://*", "ftp://example.com", "://example.com",
		"example.com/v1", "example.com?x", "example.com#x", "user@example.com", "example.com:0", "example.com:99999", "exa mple.com", `example.com\x`,
		"*.127.0.0.1", "*.[::1]", "127.1", "0x7f000001", "2130706433", "*.0x7f.1",
	} {
		if rule, err := requester.ParseHostRule(in); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: got %v, %v", in, rule, err)
		}
	}
}

func TestPolicy_ZeroAllowsNothing(t *testing.T) {
	t.Parallel()
	base, requests := vendor(t, nil)
	_, err := open(t).Do(t.Context(), requester.Policy{Hosts: []requester.HostRule{{}, {Scheme: "http", Host: "*"}, {Scheme: "http", Host: ""}}}, requester.Request{URL: base}, nil)
	f := wantFault(t, err, fault.Forbidden, fault.Guest)
	wantMessage(t, err, base)
	if f.Sent != requester.Never || requests.Load() != 0 {
		t.Errorf("sent %v, %d requests", f.Sent, requests.Load())
	}
}

func TestPolicy_FirstRuleDecidesAboutTheCredential(t *testing.T) {
	t.Parallel()
	base, _ := vendor(t, echo)
	for _, c := range []struct {
		name      string
		anonymous []bool
		want      int
	}{{"credential first", []bool{false, true}, 1}, {"anonymous first", []bool{true, false}, 0}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := allow(t, base, base)
			for i, a := range c.anonymous {
				p.Hosts[i].Anonymous = a
			}
			auth := &bearer{tokens: []string{"token-one"}}
			if _, err := open(t).Do(t.Context(), p, requester.Request{URL: base}, auth); err != nil {
				t.Fatal(err)
			}
			if auth.calls != c.want {
				t.Errorf("the Authorizer was called %d times, want %d", auth.calls, c.want)
			}
		})
	}
}
