package demo

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"
)

func TestDialer_RefusesOtherMachines(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"127.0.0.1:80": true, "127.8.9.10:80": true, "[::1]:80": true,
		"10.0.0.1:80": false, "169.254.169.254:80": false, "[fe80::1%eth0]:80": false, "0.0.0.0:80": false, "": false,
	} {
		if err := refuseOtherMachines("tcp", address, nil); (err == nil) != want {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func newAct() *act {
	s := &state{}
	s.makeMaps()
	return &act{state: s, ids: &ids{rand: rand.Reader}, now: time.Unix(1e9, 0).UTC()}
}

func TestTrimDeliveries_KeepsAllThatWaitUpToABound(t *testing.T) {
	t.Parallel()
	a := newAct()
	for i := range maxPending + keepFinished + 500 {
		d := delivery{ID: deliveryID(fmt.Sprint(i)), State: pending}
		if i%2 == 0 && i < 2*(keepFinished+100) {
			d.State = delivered
		}
		a.Deliveries = append(a.Deliveries, d)
	}
	a.trimDeliveries()
	count := map[string]int{}
	for _, d := range a.Deliveries {
		count[d.State]++
	}
	if count[pending] != maxPending || len(a.Deliveries) != maxPending+keepFinished {
		t.Errorf("left: %v", count)
	}
	if last := a.Deliveries[len(a.Deliveries)-1]; last.State != pending || last.ID != deliveryID(fmt.Sprint(maxPending+keepFinished+499)) {
		t.Errorf("the youngest is gone; last is %+v", last)
	}
}

func TestLimiter_ForgetsFullBuckets(t *testing.T) {
	t.Parallel()
	l := limiter{limit: RateLimit{PerSecond: 1, Burst: 2}}
	now := time.Unix(1e9, 0)
	for i := range sweepAt {
		l.take(fmt.Sprint(i), now)
	}
	l.take("busy", now.Add(time.Second/2))
	l.take("late", now.Add(time.Second))
	if len(l.buckets) != 2 {
		t.Errorf("%d buckets, want the two that are not full", len(l.buckets))
	}
}

func TestGrantsAndAnswers_AreBounded(t *testing.T) {
	t.Parallel()
	a := newAct()
	for range maxGrants + 50 {
		a.now = a.now.Add(time.Second)
		id := named(a.allow(authorization{client: "c"}), codePrefix)
		a.issue(id, a.Grants[id], nil, time.Hour)
	}
	if len(a.Grants) != maxGrants || len(a.Tokens) > maxGrants {
		t.Errorf("%d grants, %d tokens", len(a.Grants), len(a.Tokens))
	}
	for i := range maxAnswers + 50 {
		a.now = a.now.Add(time.Millisecond)
		a.forgetAnswers()
		a.Answers[fmt.Sprint(i)] = pastAnswer{At: a.now}
	}
	if _, oldest := a.Answers["0"]; oldest || len(a.Answers) != maxAnswers {
		t.Errorf("%d answers, the oldest among them: %v", len(a.Answers), oldest)
	}
}

func TestTickets_AreBounded(t *testing.T) {
	t.Parallel()
	var k tickets
	now := time.Unix(1e9, 0)
	for i := range maxTickets + 50 {
		k.add(fmt.Sprint(i), authorization{expiresAt: now.Add(time.Duration(i) * time.Second)})
	}
	if _, ok := k.take("0", now); ok || len(k.open) != maxTickets {
		t.Errorf("%d tickets", len(k.open))
	}
}

func TestTick_OnlyGoesForward(t *testing.T) {
	t.Parallel()
	a := newAct()
	last := a.tick()
	for _, step := range []time.Duration{0, -time.Hour, time.Nanosecond, time.Hour} {
		a.now = a.now.Add(step)
		if at := a.tick(); !at.After(last) || at != at.Truncate(time.Microsecond) {
			t.Errorf("after a step of %v: %v is not after %v", step, at, last)
		} else {
			last = at
		}
	}
}

func TestPageWords(t *testing.T) {
	t.Parallel()
	for cents, want := range map[int64]string{0: "0.00 EUR", 7: "0.07 EUR", 99999: "999.99 EUR", 100000: "1,000.00 EUR", 123456789012: "1,234,567,890.12 EUR"} {
		if got := money(cents, "EUR"); got != want {
			t.Errorf("money(%d) = %q, want %q", cents, got, want)
		}
	}
	now := time.Date(2031, 5, 4, 12, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		0: "just now", 40 * time.Second: "40 s ago", 90 * time.Minute: "1 h ago",
		5 * time.Minute: "5 min ago", 48 * time.Hour: "2 May 2031",
	} {
		if got := ago(now, now.Add(-d)); got != want {
			t.Errorf("ago(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestLane_WokenWhileItEndsGoesOn(t *testing.T) {
	t.Parallel()
	c := &courier{lanes: map[subscriptionID]bool{"wh_1": false}} // running
	c.wake("wh_1")
	if c.rest("wh_1") {
		t.Error("the lane ended although it was woken")
	}
	if !c.rest("wh_1") || len(c.lanes) != 0 {
		t.Error("the lane goes on with nothing to do")
	}
}
