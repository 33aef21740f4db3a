// Package syncs keeps records in step between two accounts of an integration, and keeps the processes by which people follow
// long work.
//
// A plugin says how a page of records is read and how a record is written. This room does the rest: pages and batches are
// durable jobs, each settled in one act with what follows from it, so that a crash goes on where it was; it finds what is new,
// changed, deleted or its own echo; it knows which record here is which there; and it moves the watermark only over pages that
// are done. It knows no vendor's shape, no token, no SQL and no engine. Content and keys of records are compared by keyed
// hashes; whatever has to be kept of their content is sealed. A foreign id is not found. Everything here is safe for concurrent
// use.
package syncs

import (
	"encoding/json"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/google/uuid"
)

// ProcessID names a process: "prc_" and a version 7 UUID.
type ProcessID string

// NewProcessID returns an ID that sorts after earlier ones.
func NewProcessID() ProcessID { return ProcessID("prc_" + uuid.Must(uuid.NewV7()).String()) }

// State of a process. Plugins may use others of their own for work under way.
type State string

const (
	Initializing State = "INITIALIZING"
	Processing   State = "PROCESSING"
	Completed    State = "COMPLETED"
	Failed       State = "ERROR"
	Canceled     State = "CANCELED"
)

// Ended reports whether nothing changes any more, except that a failed sync may be resumed.
func (s State) Ended() bool { return s == Completed || s == Failed || s == Canceled }

// TypeSync is the type of the processes of sync runs.
const TypeSync = "SYNC"

// Process is a record of long work. Totals are only ever added to.
type Process struct {
	ID          ProcessID
	Owner       account.Owner
	Integration integration.ID
	Name        string // of a sync: its name
	Type        string
	State       State
	Context     json.RawMessage // an object
	Total       int64           // how many there are to do; 0 when not known
	Totals
	Message  string // why it failed, for people
	Parent   ProcessID
	Children []ProcessID // the newest hundred
	Errors   []Failure   // the newest hundred, oldest first; only of a single process
	// Sync says where a sync run is; nil for processes of plugins.
	Sync      *Progress
	CreatedAt time.Time
	UpdatedAt time.Time
	EndedAt   time.Time // zero while it goes on
}

// Totals count records.
type Totals struct{ Synced, Failed, Skipped int64 }

// Done is how many records were looked at.
func (t Totals) Done() int64 { return t.Synced + t.Failed + t.Skipped }

// Progress says where a sync run is.
type Progress struct {
	Phase   Phase
	Initial bool
	Pages   int // of the phase, fetched so far
	Open    int // batches that wait or run
}

// Duration is how long the process took, or has taken until now.
func (p *Process) Duration(now time.Time) time.Duration {
	if !p.EndedAt.IsZero() {
		now = p.EndedAt
	}
	return max(0, now.Sub(p.CreatedAt))
}

// Rate is records per second, 0 when there is nothing to tell yet.
func (p *Process) Rate(now time.Time) float64 {
	if d := p.Duration(now).Seconds(); d > 0 {
		return float64(p.Done()) / d
	}
	return 0
}

// Failure is a record that failed.
type Failure struct {
	ExternalID string
	Message    string // for people
	At         time.Time
}

// Bounds of what is kept.
const (
	// KeptErrors of each process are kept, the newest.
	KeptErrors = 100
	// MaxOpen processes of plugins may go on for one integration at once.
	MaxOpen = 100
	// MaxAdditions is how often a plugin may add to one process.
	MaxAdditions = 100_000

	maxContext = 64 << 10
	maxName    = 200
	maxMessage = 1000
)

func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
