package requester_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/requester"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	const none = -1
	for _, c := range []struct {
		name   string
		status int
		header http.Header
		want   time.Duration
	}{
		{"seconds", 429, http.Header{"Retry-After": {"30"}}, 30 * time.Second},
		{"on success too", 200, http.Header{"Retry-After": {"30"}}, 30 * time.Second},
		{"parts of a second", 429, http.Header{"Retry-After": {" 1.5 "}}, 1500 * time.Millisecond},
		{"zero", 429, http.Header{"Retry-After": {"0"}}, 0},
		{"negative", 429, http.Header{"Retry-After": {"-5"}}, 0},
		{"date", 503, http.Header{"Retry-After": {"Fri, 02 Jan 2026 12:00:10 GMT"}}, 10 * time.Second},
		{"old date form", 503, http.Header{"Retry-After": {"Friday, 02-Jan-26 12:00:10 GMT"}}, 10 * time.Second},
		{"date gone by", 503, http.Header{"Retry-After": {"Fri, 02 Jan 2026 11:00:00 GMT"}}, 0},
		{"capped", 429, http.Header{"Retry-After": {"99999999999999999999999"}}, requester.MaxRetryAfter},
		{"capped date", 429, http.Header{"Retry-After": {"Fri, 02 Jan 2099 12:00:00 GMT"}}, requester.MaxRetryAfter},
		{"infinite", 429, http.Header{"Retry-After": {"inf"}}, requester.MaxRetryAfter},
		{"not a number", 429, http.Header{"Retry-After": {"nan"}}, 0},
		{"nonsense", 429, http.Header{"Retry-After": {"soon"}}, none},
		{"nothing", 429, http.Header{}, none},
		{"milliseconds", 429, http.Header{"Retry-After-Ms": {"250"}, "Retry-After": {"1"}}, 250 * time.Millisecond},
		{"reset since 1970", 403, http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {"1767355260"}}, time.Minute},
		{"reset since 1970 in milliseconds", 429, http.Header{"X-Ratelimit-Reset": {"1767355260000"}}, time.Minute},
		{"reset from now", 429, http.Header{"X-Ratelimit-Reset": {"60"}}, time.Minute},
		{"reset as date", 429, http.Header{"X-Rate-Limit-Reset": {"2026-01-02T12:01:00Z"}}, time.Minute},
		{"reset gone by", 429, http.Header{"X-Ratelimit-Reset": {"1767355000"}}, 0},
		{"reset after", 429, http.Header{"X-Ratelimit-Reset-After": {"1.25"}}, 1250 * time.Millisecond},
		{"draft field", 429, http.Header{"Ratelimit-Reset": {"7"}}, 7 * time.Second},
		{"draft 7", 429, http.Header{"Ratelimit": {"limit=100, remaining=0, reset=50"}}, 50 * time.Second},
		{"draft 8", 200, http.Header{"Ratelimit": {`"default";r=0;t=30`}}, 30 * time.Second},
		{"draft 8, some left", 200, http.Header{"Ratelimit": {`"default";r=10;t=30`}}, none},
		{"some left", 200, http.Header{"X-Ratelimit-Remaining": {"10"}, "X-Ratelimit-Reset": {"60"}}, none},
		{"none left", 200, http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {"60"}}, time.Minute},
		{"forbidden for another reason", 403, http.Header{"X-Ratelimit-Remaining": {"10"}, "X-Ratelimit-Reset": {"60"}}, none},
	} {
		got, ok := requester.RetryAfter(&requester.Response{Status: c.status, Header: c.header}, noon)
		if !ok {
			got = none
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	wait := http.Header{"Retry-After": {"5"}}
	for _, c := range []struct {
		status int
		header http.Header
		want   fault.Kind
		wait   time.Duration
	}{
		{200, nil, "", 0},
		{204, nil, "", 0},
		{304, nil, "", 0},
		{308, nil, "", 0},
		{400, nil, fault.Invalid, 0},
		{401, nil, fault.Unauthorized, 0},
		{402, nil, fault.Invalid, 0},
		{403, nil, fault.Forbidden, 0},
		{404, nil, fault.NotFound, 0},
		{405, nil, fault.Invalid, 0},
		{408, nil, fault.Timeout, 0},
		{409, nil, fault.Conflict, 0},
		{410, nil, fault.NotFound, 0},
		{412, nil, fault.Conflict, 0},
		{413, nil, fault.TooLarge, 0},
		{418, nil, fault.Invalid, 0},
		{422, nil, fault.Invalid, 0},
		{423, nil, fault.Conflict, 0},
		{425, nil, fault.Unavailable, 0},
		{429, nil, fault.RateLimited, 0},
		{429, wait, fault.RateLimited, 5 * time.Second},
		{403, wait, fault.RateLimited, 5 * time.Second},
		{403, http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {"9"}}, fault.RateLimited, 9 * time.Second},
		{500, nil, fault.Unavailable, 0},
		{500, wait, fault.Unavailable, 5 * time.Second},
		{501, nil, fault.Unsupported, 0},
		{502, nil, fault.Unavailable, 0},
		{503, nil, fault.Unavailable, 0},
		{503, wait, fault.RateLimited, 5 * time.Second},
		{504, nil, fault.Unavailable, 0},
		{599, nil, fault.Unavailable, 0},
		{999, nil, fault.Unavailable, 0},
	} {
		err := requester.Classify(&requester.Response{Status: c.status, Header: c.header}, noon)
		if c.want == "" {
			if err != nil {
				t.Errorf("%d: %v", c.status, err)
			}
			continue
		}
		if fault.KindOf(err) != c.want || fault.SideOf(err) != fault.Remote || fault.RetryAfterOf(err) != c.wait {
			t.Errorf("%d %v: %s/%s %s, want %s %s", c.status, c.header, fault.KindOf(err), fault.SideOf(err), fault.RetryAfterOf(err), c.want, c.wait)
		}
	}
}

func FuzzRetryAfter_IsBounded(f *testing.F) {
	f.Add("30", "x")
	f.Add("Fri, 02 Jan 2026 12:00:10 GMT", `"default";r=0;t=30`)
	f.Fuzz(func(t *testing.T, after, limit string) {
		for _, h := range []http.Header{{"Retry-After": {after}}, {"Ratelimit": {limit}}, {"X-Ratelimit-Reset": {after}}, {"Retry-After-Ms": {after}}} {
			if d, ok := requester.RetryAfter(&requester.Response{Status: 429, Header: h}, noon); d < 0 || d > requester.MaxRetryAfter || (!ok && d != 0) {
				t.Errorf("%v: %s, %v", h, d, ok)
			}
		}
	})
}
