package api

import (
	"fmt"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
)

// clock is set by hand.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newClock() *clock { return &clock{time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)} }

func TestAttempts_HoldBackWhoGuessesOnePassword(t *testing.T) {
	t.Parallel()
	c := newClock()
	a := newAttempts(c.now)
	for i := range perPair.burst {
		if err := a.count("192.0.2.1", "ada"); err != nil {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	err := a.count("192.0.2.1", "ada")
	if !fault.Is(err, fault.RateLimited) || fault.RetryAfterOf(err) != perPair.every {
		t.Fatalf("got %v, retry after %s", err, fault.RetryAfterOf(err))
	}
	if err := a.count("192.0.2.1", "grace"); err != nil {
		t.Errorf("another user from there: %v", err)
	}
	if err := a.count("192.0.2.2", "ada"); err != nil {
		t.Errorf("the user from elsewhere: %v", err)
	}
	c.at = c.at.Add(perPair.every)
	if err := a.count("192.0.2.1", "ada"); err != nil {
		t.Errorf("later: %v", err)
	}
}

func TestAttempts_HoldBackOneAddressWithManyNames(t *testing.T) {
	t.Parallel()
	a := newAttempts(newClock().now)
	taken := 0
	for i := range 10 * perAddress.burst {
		// an IPv6 client has 64 bits of addresses to itself
		if a.count(fmt.Sprintf("2001:db8::%x", i), fmt.Sprint("user", i)) == nil {
			taken++
		}
	}
	if taken != perAddress.burst {
		t.Errorf("%d attempts were let through, want %d", taken, perAddress.burst)
	}
	if err := a.count("2001:db8:0:1::1", "user"); err != nil {
		t.Errorf("another network: %v", err)
	}
}

func TestAttempts_HoldBackManyAddressesWithOneName(t *testing.T) {
	t.Parallel()
	a := newAttempts(newClock().now)
	taken := 0
	for i := range 1000 {
		if a.count(fmt.Sprintf("10.0.%d.%d", i/256, i%256), "ada") == nil {
			taken++
		}
	}
	if taken != perUser.burst {
		t.Errorf("%d attempts were let through, want %d", taken, perUser.burst)
	}
}

func TestAttempts_OneAddressCannotLockAUserOut(t *testing.T) {
	t.Parallel()
	c := newClock()
	a := newAttempts(c.now)
	for range 24 * 60 * 60 {
		c.at = c.at.Add(time.Second)
		_ = a.count("192.0.2.1", "ada") // most are refused
	}
	if err := a.count("192.0.2.2", "ada"); err != nil {
		t.Errorf("after a day of guesses from elsewhere: %v", err)
	}
}

func TestAttempts_AreBounded(t *testing.T) {
	t.Parallel()
	c := newClock()
	a := newAttempts(c.now)
	for i := range 2 * maxCounters {
		_ = a.count(fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255), fmt.Sprint("user", i))
	}
	if len(a.counters) > maxCounters {
		t.Errorf("%d counters are kept, want at most %d", len(a.counters), maxCounters)
	}
	c.at = c.at.Add(24 * time.Hour)
	_ = a.count("192.0.2.1", "ada")
	a.makeRoom()
	if len(a.counters) != 3 {
		t.Errorf("%d counters are kept, want the three that are not full again", len(a.counters))
	}
}
