// Package job keeps work that must be done: enqueue, claim, lease, retry, defer, park, cancel, dead letter, replay.
//
// A job belongs to an owner and runs in a lane of that owner. A lane runs one job at a time (or as many as it says), first
// those of higher priority, then the oldest; while a job waits for its next try the others of its lane go on. Owners take
// turns, and so do the lanes of an owner. Limits, which a job may name, count it across lanes and owners.
//
// The package does not know what a job does: handlers say that. Everything here is safe for concurrent use, also between
// several hosts on one database.
package job

import (
	"encoding/json"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/google/uuid"
)

// ID names a job: "job_" and a version 7 UUID, so ids sort by age.
type ID string

// NewID returns an ID that sorts after earlier ones.
func NewID() ID { return ID("job_" + uuid.Must(uuid.NewV7()).String()) }

// State of a job.
type State string

const (
	Queued  State = "queued"  // waits for RunAt and for its lane
	Running State = "running" // a worker holds its lease
	Done    State = "done"
	Halted  State = "halted" // failed in a way that another try cannot mend
	Dead    State = "dead"   // every try failed; kept until someone replays or deletes it

	Parked   State = "parked"   // needs a person's decision, and then goes on
	Canceled State = "canceled" // a person wanted no more of it
)

// States are all of them.
var States = []State{Queued, Running, Parked, Done, Halted, Dead, Canceled}

// Ended reports whether a job in this state is over, unless somebody replays it.
func (s State) Ended() bool { return s == Done || s == Halted || s == Dead || s == Canceled }

// New is a job to enqueue.
type New struct {
	ID      ID // made by NewID; the caller may have used it already in what it writes with the job
	Owner   account.Owner
	Lane    string // of the owner
	Kind    string // names the handler, for example "integration.deliver"
	Payload json.RawMessage
	// Priority is from -MaxPriority to MaxPriority. Within a lane higher ones go first.
	Priority int
	// LaneCap is how many jobs of the lane run at once from now on; zero leaves what it is, at first 1.
	LaneCap int
	// Limits are keys of limits that count the job while it runs. Their caps hold over all lanes and owners.
	Limits    []string
	RunAt     time.Time // zero: now
	UniqueKey string    // while a job with this key has not ended no second one is enqueued; empty: no such rule
	// Once extends that to jobs that have ended, as long as they are kept.
	Once bool
	// MaxAttempts bounds the tries; zero is DefaultAttempts.
	MaxAttempts int
	// Deadline ends tries that do not count; after it the next one that is put aside becomes dead. Zero is DefaultPatience
	// after CreatedAt.
	Deadline  time.Time
	CreatedAt time.Time
}

// MaxPriority bounds priorities in both directions.
const MaxPriority = 100

// DefaultPatience is how long a job may be put aside by rate limits, refused credentials and the like.
const DefaultPatience = 7 * 24 * time.Hour

// DefaultAttempts is how often a job is tried: with the back-off of Backoff about nine hours.
const DefaultAttempts = 12

// Enqueued says what became of a New. Existed means that nothing was saved: ID is of the job that has its UniqueKey.
type Enqueued struct {
	ID      ID
	Existed bool
}

// Job is an enqueued job.
type Job struct {
	ID          ID
	Owner       account.Owner
	Lane        string
	Kind        string
	Payload     json.RawMessage
	State       State
	Priority    int
	Limits      []string
	Attempt     int // tries so far, the running one included
	MaxAttempts int
	RunAt       time.Time
	UniqueKey   string
	Deadline    time.Time
	LastError   string // for people, of the last try that failed
	// Replays counts how often a person replayed the job. Replay is how, the last time.
	Replays    int
	Replay     ReplayOptions
	CreatedAt  time.Time
	FinishedAt time.Time
	// Epoch counts claims. Whoever finishes a job names the epoch of its claim, so that a worker that lost its lease
	// cannot overwrite what its successor did.
	Epoch      int64
	LeaseUntil time.Time
}

// Last reports whether no further try will follow this one.
func (j *Job) Last() bool { return j.Attempt >= j.MaxAttempts }

// ReplayOptions say how a job is replayed.
type ReplayOptions struct {
	From ReplayFrom
	// Input is JSON that takes the place of the job's own input, at most MaxInput bytes. Empty leaves what it is.
	Input json.RawMessage
}

// MaxInput bounds ReplayOptions.Input, in bytes.
const MaxInput = 1 << 20

// ReplayFrom says where a replay begins.
type ReplayFrom string

const (
	Start      ReplayFrom = "start"       // as if the job had not been tried, or not since its last checkpoint
	FailedStep ReplayFrom = "failed_step" // what went well is not done again
)
