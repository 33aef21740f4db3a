package api

import (
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"golang.org/x/time/rate"
)

// budget is how many attempts are free at once, and how long one takes to come back.
type budget struct {
	burst int
	every time.Duration
}

// Whoever guesses passwords from one address spends the pair's budget first. The user's own budget holds back guesses from
// many addresses; one address alone cannot spend it and so lock the user out.
var (
	perAddress = budget{60, time.Second}
	perPair    = budget{10, 10 * time.Second}
	perUser    = budget{100, time.Second}
)

// maxCounters bounds the memory of attempts.
const maxCounters = 20_000

// attempts counts tries to log in. Safe for concurrent use.
type attempts struct {
	now func() time.Time

	mu       sync.Mutex
	counters map[counterKey]*rate.Limiter
}

// counterKey is a hash, so that long usernames take no more room than short ones.
type counterKey [sha256.Size]byte

func newAttempts(now func() time.Time) *attempts {
	return &attempts{now: now, counters: map[counterKey]*rate.Limiter{}}
}

// count takes one attempt out of all budgets that it concerns, or none and returns fault.RateLimited. Without a username only
// the address counts.
func (a *attempts) count(address, username string) error {
	address = network(address)
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	counters := []*rate.Limiter{a.counter("address", address, "", perAddress)}
	if username != "" {
		counters = append(counters, a.counter("pair", address, username, perPair), a.counter("user", "", username, perUser))
	}
	var taken []*rate.Reservation
	for _, c := range counters {
		r := c.ReserveN(now, 1)
		taken = append(taken, r)
		if wait := r.DelayFrom(now); wait > 0 {
			for _, t := range taken {
				t.CancelAt(now)
			}
			refused := fault.New(fault.RateLimited, "api.attempts", "too many attempts; wait a little").On(fault.Caller)
			refused.RetryAfter = wait
			return refused
		}
	}
	return nil
}

func (a *attempts) counter(kind, address, username string, b budget) *rate.Limiter {
	key := counterKey(sha256.Sum256([]byte(kind + "\x00" + address + "\x00" + username)))
	if c, ok := a.counters[key]; ok {
		return c
	}
	if len(a.counters) >= maxCounters {
		a.makeRoom()
	}
	c := rate.NewLimiter(rate.Every(b.every), b.burst)
	a.counters[key] = c
	return c
}

// makeRoom drops the counters that are full again, which are as good as none, and others until a quarter is free: looking at all
// of them must be rare.
func (a *attempts) makeRoom() {
	now := a.now()
	for key, c := range a.counters {
		if c.TokensAt(now) >= float64(c.Burst()) {
			delete(a.counters, key)
		}
	}
	for key := range a.counters {
		if len(a.counters) <= maxCounters*3/4 {
			return
		}
		delete(a.counters, key)
	}
}

// network is what one client can move within: an IPv4 address, or the first 64 bits of an IPv6 address.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Unmap().Is4() {
		return ip.Unmap().String()
	}
	return netip.PrefixFrom(ip.WithZone(""), 64).Masked().String()
}
