package integration

import (
	"sync"
	"time"

	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
)

// maxPause bounds how long jobs of an account wait because its vendor once said so; then one of them asks again.
const maxPause = time.Hour

// limitOf is the key of the limit that counts the jobs which use an account.
func limitOf(id connection.EntityID) string { return "connection:" + string(id) }

// limitsOf are the limits of every job of a record.
func limitsOf(in *Integration) []string {
	var keys []string
	for _, m := range in.Members {
		keys = append(keys, limitOf(m.Entity))
	}
	return keys
}

// limited collects which vendors asked for a pause during a run. All jobs that use such an account wait, not only the one
// that was told.
type limited struct {
	mu    sync.Mutex
	found map[connection.EntityID]time.Time
}

// note keeps the pause that the answer of an account's vendor asks for.
func (l *limited) note(id connection.EntityID, err error, now time.Time) {
	wait := min(fault.RetryAfterOf(err), maxPause)
	if l == nil || wait <= 0 || !fault.Is(err, fault.RateLimited) || fault.SideOf(err) != fault.Remote {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.found == nil {
		l.found = map[connection.EntityID]time.Time{}
	}
	l.found[id] = now.Add(wait)
}

func (l *limited) pauses() []job.Pause {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []job.Pause
	for id, until := range l.found {
		out = append(out, job.Pause{Key: limitOf(id), Until: until})
	}
	return out
}
