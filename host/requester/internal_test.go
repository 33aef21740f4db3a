package requester

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
)

func TestGuard_Check(t *testing.T) {
	t.Parallel()
	prefixes := func(ps ...string) (out []netip.Prefix) {
		for _, p := range ps {
			out = append(out, netip.MustParsePrefix(p))
		}
		return out
	}
	for _, c := range []struct {
		addr string
		open []netip.Prefix
		want bool
	}{
		{"1.1.1.1", nil, true},
		{"9.255.255.255", nil, true},
		{"11.0.0.0", nil, true},
		{"100.63.255.255", nil, true},
		{"100.128.0.0", nil, true},
		{"126.255.255.255", nil, true},
		{"128.0.0.0", nil, true},
		{"169.253.255.255", nil, true},
		{"172.15.255.255", nil, true},
		{"172.32.0.0", nil, true},
		{"192.167.255.255", nil, true},
		{"198.17.255.255", nil, true},
		{"198.20.0.0", nil, true},
		{"223.255.255.255", nil, true},
		{"224.0.0.0", nil, false},
		{"::ffff:1.1.1.1", nil, true},
		{"::ffff:10.0.0.1", nil, false},
		{"2606:4700::1111", nil, true},
		{"2a00:1450::1", nil, true},
		{"2001:200::1", nil, true},
		{"2001:1ff::1", nil, false},
		{"2003::1", nil, true},
		{"1fff::1", nil, false},
		{"fe80::1%eth0", nil, false},
		{"10.0.0.1", prefixes("10.0.0.0/8"), true},
		{"::ffff:10.0.0.1", prefixes("10.0.0.0/8"), true},
		{"11.0.0.1", prefixes("10.0.0.0/8"), true},
		{"127.0.0.1", prefixes("10.0.0.0/8"), false},
		{"10.0.0.1", prefixes("10.0.0.1/32"), true},
		{"10.0.0.2", prefixes("10.0.0.1/32"), false},
		{"fe80::1%eth0", prefixes("fe80::/10"), true},
		{"fd00::1", prefixes("0.0.0.0/0"), false},
		{"64:ff9b::808:808", nil, false},
		{"64:ff9b::808:808", prefixes("64:ff9b::/96"), true},
		{"64:ff9b::7f00:1", prefixes("64:ff9b::/96"), false},
		{"64:ff9b::a9fe:a9fe", prefixes("64:ff9b::/96"), false},
	} {
		if err := (guard{c.open}).check(netip.MustParseAddr(c.addr)); (err == nil) != c.want {
			t.Errorf("%s with %v: %v", c.addr, c.open, err)
		}
	}
	if (guard{}).check(netip.Addr{}) == nil {
		t.Error("no address is an address")
	}
	for _, c := range [][2]string{{"udp4", "1.1.1.1:53"}, {"unix", "/run/x.sock"}, {"tcp4", "example.com:80"}, {"tcp", "1.1.1.1:80"}} {
		if (guard{}).control(context.Background(), c[0], c[1], nil) == nil {
			t.Errorf("%v may be dialled", c)
		}
	}
}

// Whatever the URL is, the dialer is asked only for what a rule allows.
func FuzzDo_DialsOnlyWhatARuleAllows(f *testing.F) {
	for _, seed := range []string{
		"https://api.example.com/x?y#z", "https://API.example.com.:443/", "https://a.b.wild.example.org:8443/", "https://wild.example.org:8443/", "http://192.0.2.7/", "http://[::ffff:192.0.2.7]/",
		"https://api.example.com@evil.example/", `https://api.example.com\@evil.example/`, "https://api.example.com:443@evil.example/", "https://api。example。com/", "https://ａpi.example.com/",
		"https://evil.example#.wild.example.org:8443", "https://evil.example?.wild.example.org:8443", "https://evil.example/.wild.example.org:8443", "https://evil.example%2f.wild.example.org:8443/",
		"https:api.example.com/", "https:/\t/api.example.com/", "HTTPS://api.example.com", "http://0xc0.0.2.7/", "http://[64:ff9b::192.0.2.7]/", "https://xn--pi-7ba.example.com/",
	} {
		f.Add(seed)
	}
	allowed := map[string]bool{"api.example.com:443": true, "192.0.2.7:80": true}
	policy := Policy{}
	for _, s := range []string{"api.example.com", "https://*.wild.example.org:8443", "http://192.0.2.7"} {
		rule, err := ParseHostRule(s)
		if err != nil {
			f.Fatal(err)
		}
		policy.Hosts = append(policy.Hosts, rule)
	}
	refuse := errors.New("no network here")
	f.Fuzz(func(t *testing.T, raw string) {
		var dialled []string
		r := New(Config{})
		defer r.Close()
		r.dialBy(func(_ context.Context, _, addr string) (net.Conn, error) {
			dialled = append(dialled, addr)
			return nil, refuse
		})
		_, err := r.Do(context.Background(), policy, Request{URL: raw}, nil)
		if err == nil {
			t.Fatal("answered without a network")
		}
		target, perr := ParseTarget(raw)
		for _, addr := range dialled {
			host, port, _ := net.SplitHostPort(addr)
			wild := len(host) > len(".wild.example.org") && host[len(host)-len(".wild.example.org"):] == ".wild.example.org" && port == "8443"
			if !allowed[addr] && !wild {
				t.Fatalf("%q dials %s", raw, addr)
			}
			if perr != nil || addr != net.JoinHostPort(target.Host, fmt.Sprint(target.Port)) {
				t.Fatalf("%q dials %s, but was parsed as %s, %v", raw, addr, target.Origin(), perr)
			}
		}
		if perr == nil {
			again, err := ParseTarget(target.String())
			if err != nil || again.String() != target.String() {
				t.Fatalf("%q is %q and then %q, %v", raw, target, again, err)
			}
		}
	})
}

func TestBudgets_RateSpacesRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bs := &budgets{places: 4, byKey: map[string]*budget{}}
		began := time.Now()
		for range 5 {
			leave, err := bs.enter(t.Context(), Policy{Key: "k", Rate: 10, Burst: 2})
			if err != nil {
				t.Fatal(err)
			}
			leave()
		}
		if took := time.Since(began); took.Round(time.Millisecond) != 300*time.Millisecond {
			t.Errorf("5 requests at 10 a second with 2 at once took %s", took)
		}
	})
}

func TestBudgets_RateBeyondTheDeadlineIsToldAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bs := &budgets{places: 4, byKey: map[string]*budget{}}
		p := Policy{Key: "k", Rate: 0.1}
		leave, err := bs.enter(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		leave()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		for range 3 { // a refused turn is given back
			_, err = bs.enter(ctx, p)
			if !fault.Is(err, fault.RateLimited) || fault.RetryAfterOf(err).Round(time.Second) != 10*time.Second || time.Since(began) != 0 {
				t.Errorf("got %v, retry after %s, waited %s", err, fault.RetryAfterOf(err), time.Since(began))
			}
		}
	})
}

func TestBudgets_RateFollowsThePolicy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bs := &budgets{places: 4, byKey: map[string]*budget{}}
		enter := func(p Policy) time.Duration {
			began := time.Now()
			leave, err := bs.enter(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			leave()
			return time.Since(began).Round(time.Millisecond)
		}
		enter(Policy{Rate: 1})
		for i, c := range []struct {
			p    Policy
			want time.Duration
		}{{Policy{Rate: 1}, time.Second}, {Policy{Rate: 2}, 500 * time.Millisecond}, {Policy{Rate: 2, Burst: 3}, 500 * time.Millisecond}, {Policy{}, 0}, {Policy{}, 0}} {
			if took := enter(c.p); took != c.want {
				t.Errorf("%d: waited %s, want %s", i, took, c.want)
			}
		}
		if len(bs.byKey) != 0 {
			t.Errorf("%d entries stay", len(bs.byKey))
		}
	})
}

func TestBudgets_CancelledTurnIsGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bs := &budgets{places: 4, byKey: map[string]*budget{}}
		p := Policy{Rate: 1}
		leave, err := bs.enter(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		leave()
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(100*time.Millisecond, func() { cancel(errClosing) })
		if _, err := bs.enter(ctx, p); err != errClosing {
			t.Errorf("got %v", err)
		}
		began := time.Now()
		leave, err = bs.enter(t.Context(), p)
		if took := time.Since(began); err != nil || took.Round(time.Millisecond) != 900*time.Millisecond {
			t.Errorf("waited %s, %v", took, err)
		}
		leave()
	})
}

func TestBudgets_PlacesArePerKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bs := &budgets{places: 2, byKey: map[string]*budget{}}
		var leaves []func()
		for range 2 {
			leave, err := bs.enter(t.Context(), Policy{Key: "greedy"})
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, leave)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := bs.enter(ctx, Policy{Key: "greedy"}); !fault.Is(err, fault.Timeout) || fault.SideOf(err) != fault.Host {
			t.Errorf("a third place: %v", err)
		}
		leave, err := bs.enter(t.Context(), Policy{Key: "other"})
		if err != nil {
			t.Fatal(err)
		}
		for _, leave := range append(leaves, leave) {
			leave()
		}
		if len(bs.byKey) != 0 {
			t.Errorf("%d entries stay", len(bs.byKey))
		}
	})
}

func TestBudgets_DoNotGrowWithTheNumberOfKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bs := &budgets{places: 1, byKey: map[string]*budget{}}
		for i := range 20_000 {
			leave, err := bs.enter(t.Context(), Policy{Key: fmt.Sprint(i), Rate: 1})
			if err != nil {
				t.Fatal(err)
			}
			leave()
			time.Sleep(time.Millisecond) // a limiter is full again after a second
		}
		if n := len(bs.byKey); n > 4096 {
			t.Errorf("%d entries after 20,000 keys", n)
		}
	})
}

// Any order of joins, waits and cancellations ends with an empty map and full places.
func TestBudgets_Hammer(t *testing.T) {
	t.Parallel()
	bs := &budgets{places: 2, byKey: map[string]*budget{}}
	done := make(chan struct{})
	for i := range 16 {
		go func() {
			defer func() { done <- struct{}{} }()
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for range 300 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(200))*time.Microsecond)
				if leave, err := bs.enter(ctx, Policy{Key: fmt.Sprint(random.IntN(3))}); err == nil {
					leave()
				}
				cancel()
			}
		}()
	}
	for range 16 {
		<-done
	}
	if len(bs.byKey) != 0 {
		t.Errorf("%d entries stay", len(bs.byKey))
	}
}

func TestScrub_OverlappingOccurrences(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"%2fab%2fab%2f": redacted + "ab%2f", "/ab/ab/": redacted + "ab/", "%2Fab%2F%2fab/": redacted + redacted, "ab%2f": "ab%2f", "%2fab": "%2fab", "%2fab%2": "%2fab%2",
	} {
		var s scrubber
		s.add([]secret.Text{secret.NewText("/ab/")})
		if got := s.text(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestScrub_SecretThatIsNotUTF8(t *testing.T) {
	t.Parallel()
	const bytes = "\xff\x00/\xfe\x80"
	var s scrubber
	s.add([]secret.Text{secret.NewText(bytes)})
	for _, in := range []string{bytes, "%FF%00%2F%FE%80", "%ff%00/%fe%80"} {
		if got := s.text("a" + in + "z"); got != "a"+redacted+"z" {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func BenchmarkScrub_10MiB(b *testing.B) {
	ordinary := `{"id":"0123456789","name":"a / b + c"},`
	for _, c := range []struct{ name, secret, text string }{
		{"plain", "sk_live_51NzQabcdefghij", ordinary},
		{"with signs", "/a29.a0AfB/yC+x=y==", ordinary},
		{"only signs", "+/=!$%&/()=?", ordinary},
		{"hostile: anchors everywhere", "/abc/def/", "abc"},
		{"hostile: starts everywhere", "++++++++++", "+++++++++?"},
	} {
		b.Run(c.name, func(b *testing.B) {
			body := bytes.Repeat([]byte(c.text), 10<<20/len(c.text))
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				var s scrubber
				s.add([]secret.Text{secret.NewText(c.secret)})
				s.bytes(body)
			}
		})
	}
}
