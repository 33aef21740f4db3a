package demo

import (
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// RateLimit is a token bucket.
type RateLimit struct {
	PerSecond float64 // 20 when zero; no limit when negative
	Burst     int     // two seconds' worth when zero
}

func (l RateLimit) withDefaults() RateLimit {
	if l.PerSecond == 0 {
		l.PerSecond = 20
	}
	if l.Burst < 1 {
		l.Burst = max(1, int(2*l.PerSecond))
	}
	return l
}

// limiter has one bucket per access token. A full bucket is the same as none, so only busy ones are kept.
type limiter struct {
	limit RateLimit

	mu      sync.Mutex
	buckets map[string]bucket
}

type bucket struct {
	level float64
	at    time.Time
}

const sweepAt = 256

// take spends one request of key's bucket. left is what remains; wait is how long until there is one more, when there is none.
func (l *limiter) take(key string, now time.Time) (left int, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buckets == nil {
		l.buckets = map[string]bucket{}
	}
	if len(l.buckets) >= sweepAt {
		l.sweep(now)
	}
	level := l.level(key, now)
	if level < 1 {
		return 0, time.Duration((1 - level) / l.limit.PerSecond * float64(time.Second))
	}
	l.buckets[key] = bucket{level - 1, now}
	return int(level - 1), 0
}

func (l *limiter) level(key string, now time.Time) float64 {
	b, ok := l.buckets[key]
	if !ok {
		return float64(l.limit.Burst)
	}
	gained := max(0, now.Sub(b.at).Seconds()) * l.limit.PerSecond
	return min(float64(l.limit.Burst), b.level+gained)
}

func (l *limiter) sweep(now time.Time) {
	for key := range l.buckets {
		if l.level(key, now) >= float64(l.limit.Burst) {
			delete(l.buckets, key)
		}
	}
}

// admit answers nil and tells the client what it has left, or is the refusal (RFC 6585, section 4).
func (l *limiter) admit(h http.Header, key string, now time.Time) error {
	if l.limit.PerSecond < 0 {
		return nil
	}
	left, wait := l.take(key, now)
	reset := math.Ceil(float64(l.limit.Burst-left) / l.limit.PerSecond)
	h.Set("RateLimit-Limit", strconv.Itoa(l.limit.Burst))
	h.Set("RateLimit-Remaining", strconv.Itoa(left))
	h.Set("RateLimit-Reset", strconv.Itoa(int(reset)))
	if wait == 0 {
		return nil
	}
	seconds := int(math.Ceil(wait.Seconds()))
	h.Set("Retry-After", strconv.Itoa(seconds))
	return &problem{status: http.StatusTooManyRequests, Code: "rate_limited", Message: "Too many requests with this token; see Retry-After."}
}
