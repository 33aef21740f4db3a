package outbound

import (
	"math/rand/v2"
	"time"
)

// waits are between tries: about three days in all, dense at first, as the Standard Webhooks specification recommends
// (https://github.com/standard-webhooks/standard-webhooks, "Deliverability and reliability").
var waits = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

// MaxAttempts is how often a delivery is tried.
var MaxAttempts = len(waits) + 1

// patience is how long an endpoint may fail without one success until it is disabled.
const patience = 5 * 24 * time.Hour

// deadline ends a job that neither succeeds nor fails; it is far behind the last try.
const deadline = 60 * 24 * time.Hour

// wait is the time between the try after which attempt tries were made and the next one; false if there is none. A tenth more
// or less keeps failures of one cause apart.
func wait(attempt int) (time.Duration, bool) {
	if attempt < 1 || attempt > len(waits) {
		return 0, false
	}
	return jitter(waits[attempt-1]), true
}

func jitter(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5) }

// pause is how long an endpoint gets nothing after so many failures in a row: one that is down must not have its whole
// backlog tried at once.
func pause(failures int) time.Duration {
	if failures < 3 {
		return 0
	}
	return min(5*time.Minute, 5*time.Second<<min(failures-3, 10))
}
