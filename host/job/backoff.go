package job

import (
	"math/rand/v2"
	"time"
)

const (
	firstDelay = 2 * time.Second
	maxDelay   = time.Hour
)

// Backoff is the wait before the try after attempt (1 for the first): doubling from two seconds up to an hour, of which a
// random half is taken away, so that many failures of one cause do not come back together.
func Backoff(attempt int) time.Duration {
	d := maxDelay
	if attempt < 12 {
		d = min(maxDelay, firstDelay<<max(0, attempt-1))
	}
	return d/2 + rand.N(d/2)
}
