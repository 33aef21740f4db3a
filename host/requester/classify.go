package requester

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
)

// MaxRetryAfter caps what RetryAfter believes: nobody may park our work for a year.
const MaxRetryAfter = 24 * time.Hour

// Classify turns the status of res into a fault on side Remote, nil below 400. RetryAfter is set when the other side names a time.
// Services that answer 200 with an error inside are for the caller to see through.
func Classify(res *Response, now time.Time) error {
	if res.Status < 400 {
		return nil
	}
	wait, told := RetryAfter(res, now)
	kind := kindOf(res.Status)
	if told && (res.Status == http.StatusServiceUnavailable || res.Status == http.StatusForbidden) { // GitHub says 403
		kind = fault.RateLimited
	}
	return &fault.Error{
		Kind: kind, Side: fault.Remote, Op: "requester.Classify", RetryAfter: wait,
		Msg: strings.TrimSpace(fmt.Sprintf("the other system answers %d %s", res.Status, http.StatusText(res.Status))),
	}
}

func kindOf(status int) fault.Kind {
	switch status {
	case http.StatusUnauthorized:
		return fault.Unauthorized
	case http.StatusForbidden:
		return fault.Forbidden
	case http.StatusNotFound, http.StatusGone:
		return fault.NotFound
	case http.StatusRequestTimeout:
		return fault.Timeout
	case http.StatusConflict, http.StatusPreconditionFailed, http.StatusLocked:
		return fault.Conflict
	case http.StatusRequestEntityTooLarge:
		return fault.TooLarge
	case http.StatusTooEarly:
		return fault.Unavailable
	case http.StatusTooManyRequests:
		return fault.RateLimited
	case http.StatusNotImplemented:
		return fault.Unsupported
	}
	if status >= 500 {
		return fault.Unavailable
	}
	return fault.Invalid
}

// RetryAfter reads how long the other side wants us to wait, counted from now and between 0 and MaxRetryAfter; false if it does
// not say. It understands Retry-After in seconds or as a date (RFC 9110 section 10.2.3), its cousins in milliseconds, and, when
// no request is left or the status is 429, the reset of RateLimit (IETF httpapi drafts) and X-RateLimit-* headers in their
// usual shapes: seconds from now, seconds or milliseconds since 1970, or a date.
func RetryAfter(res *Response, now time.Time) (time.Duration, bool) {
	h := res.Header
	for _, name := range []string{"Retry-After-Ms", "X-Ms-Retry-After-Ms"} {
		if ms, err := strconv.ParseFloat(h.Get(name), 64); err == nil {
			return bounded(ms / 1000), true
		}
	}
	if wait, ok := moment(h.Get("Retry-After"), now); ok {
		return wait, true
	}
	if res.Status != http.StatusTooManyRequests && !usedUp(h) {
		return 0, false
	}
	if m := limitReset.FindStringSubmatch(h.Get("Ratelimit")); m != nil {
		return moment(m[1], now)
	}
	for _, name := range []string{"Ratelimit-Reset", "X-Ratelimit-Reset-After", "X-Ratelimit-Reset", "X-Rate-Limit-Reset"} {
		if wait, ok := moment(h.Get(name), now); ok {
			return wait, true
		}
	}
	return 0, false
}

var (
	limitReset = regexp.MustCompile(`(?:^|[;,\s])(?:t|reset)\s*=\s*(\d+)`)
	limitLeft  = regexp.MustCompile(`(?:^|[;,\s])(?:r|remaining)\s*=\s*0(?:[;,\s]|$)`)
)

// usedUp reports that the answer says that no request is left.
func usedUp(h http.Header) bool {
	for _, name := range []string{"Ratelimit-Remaining", "X-Ratelimit-Remaining", "X-Rate-Limit-Remaining"} {
		if h.Get(name) == "0" {
			return true
		}
	}
	return limitLeft.MatchString(h.Get("Ratelimit"))
}

// moment reads a point in time or the seconds until one. A number of a size that only a clock has counts from 1970.
func moment(v string, now time.Time) (time.Duration, bool) {
	v = strings.TrimSpace(v)
	if n, err := strconv.ParseFloat(v, 64); err == nil {
		switch {
		case n > 1e11:
			n -= float64(now.UnixMilli())
			n /= 1000
		case n > 1e9:
			n -= float64(now.Unix())
		}
		return bounded(n), true
	}
	if t, err := http.ParseTime(v); err == nil {
		return bounded(t.Sub(now).Seconds()), true
	}
	if t, err := time.Parse(time.RFC3339, v); err == nil {
		return bounded(t.Sub(now).Seconds()), true
	}
	return 0, false
}

func bounded(seconds float64) time.Duration {
	if !(seconds > 0) { // also not a number
		return 0
	}
	return time.Duration(min(seconds, MaxRetryAfter.Seconds()) * float64(time.Second))
}
