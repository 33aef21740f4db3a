// Package job keeps work that must be done: enqueue, claim, lease, retry, defer, halt, dead letter.
//
// A job belongs to an owner and runs in a lane; a lane runs one job at a time, oldest first, and while a job waits for its
// next try the others of its lane go on. It does not know what a job does: handlers say that. Everything here is safe for
// concurrent use, also between several hosts on one database.
package job

import (
	"context"
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
	ID        ID // made by NewID; the caller may have used it already in what it writes with the job
	Owner     account.Owner
	Lane      string // jobs of one lane run one after another
	Kind      string // names the handler, for example "integration.deliver"
	Payload   json.RawMessage
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

// DefaultPatience is how long a job may be put aside by rate limits, refused credentials and the like.
const DefaultPatience = 7 * 24 * time.Hour

// DefaultAttempts is how often a job is tried: with the back-off of Backoff about nine hours.
const DefaultAttempts = 12

// Job is an enqueued job.
type Job struct {
	ID          ID
	Owner       account.Owner
	Lane        string
	Kind        string
	Payload     json.RawMessage
	State       State
	Attempt     int // tries so far, the running one included
	MaxAttempts int
	RunAt       time.Time
	UniqueKey   string
	Deadline    time.Time
	LastError   string // for people, of the last try that failed
	CreatedAt   time.Time
	FinishedAt  time.Time
	// Epoch counts claims. Whoever finishes a job names the epoch of its claim, so that a worker that lost its lease
	// cannot overwrite what its successor did.
	Epoch      int64
	LeaseUntil time.Time
}

// Last reports whether no further try will follow this one.
func (j *Job) Last() bool { return j.Attempt >= j.MaxAttempts }

// Settlement is what becomes of a claimed job.
type Settlement struct {
	State State     // what it is from now on; Queued for another try
	RunAt time.Time // of the next try, for Queued
	// Free means that this try does not count (a rate limit, a shutdown).
	Free bool
	// Asleep means that nothing but RunAt makes the job due, also not a change of what it works for.
	Asleep bool
	Error  string // for people
	// With is what the room that worked the job wants committed in the same act; the store knows its type. May be nil.
	With any
}

// Store is what this room keeps.
type Store interface {
	// Enqueue saves a job. If another with its UniqueKey has not ended nothing is saved and that job's id is returned.
	Enqueue(ctx context.Context, n New) (id ID, existed bool, err error)
	// ClaimJobs gives up to n due jobs, at most one for each lane that runs none, to worker until the lease ends.
	ClaimJobs(ctx context.Context, worker string, now, leaseUntil time.Time, n int) ([]*Job, error)
	// ExtendLease returns fault.Conflict if the claim of this epoch is over.
	ExtendLease(ctx context.Context, id ID, epoch int64, until time.Time) error
	// SettleJob ends a claim, together with s.With. It returns fault.Conflict, and changes nothing, if the claim of this
	// epoch is over.
	SettleJob(ctx context.Context, id ID, epoch int64, now time.Time, s Settlement) error
	// RecoverJobs queues running jobs whose lease ended before now, or every running job if all, and returns how many.
	RecoverJobs(ctx context.Context, now time.Time, all bool) (int, error)
	// NextDue returns when the next queued job is due, zero if there is none.
	NextDue(ctx context.Context) (time.Time, error)

	JobByID(ctx context.Context, o account.Owner, id ID) (*Job, error)
	// Jobs lists an owner's jobs in these states, newest first, from before an id (empty: the newest).
	Jobs(ctx context.Context, o account.Owner, states []State, before ID, limit int) ([]*Job, error)
	// ReplayJob queues a dead or halted job again with fresh attempts. Returns fault.Conflict for other states.
	ReplayJob(ctx context.Context, o account.Owner, id ID, now time.Time) error
	// Unpark queues a parked job, due at now. Returns fault.Conflict for other states.
	Unpark(ctx context.Context, o account.Owner, id ID, now time.Time) error
	// PruneJobs removes up to limit jobs that were done before done, or ended otherwise before failed, and returns how many.
	PruneJobs(ctx context.Context, done, failed time.Time, limit int) (int, error)
	// CountJobs counts all jobs by state, for health.
	CountJobs(ctx context.Context) (map[State]int, error)
}
