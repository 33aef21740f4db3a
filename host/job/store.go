package job

import (
	"context"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
)

// Store is what this room keeps. Every method is one act, all or nothing. Ids that are unknown or somebody else's are
// fault.NotFound.
type Store interface {
	// Enqueue saves a job. If another with its UniqueKey has not ended nothing is saved and that job's id is returned.
	Enqueue(ctx context.Context, n New) (id ID, existed bool, err error)
	// EnqueueBatch saves jobs, all or none. The answers are in the order of jobs.
	EnqueueBatch(ctx context.Context, jobs []New) ([]Enqueued, error)
	// ClaimJobs gives up to n due jobs to worker until the lease ends: in turns over owners, then over the lanes of an owner,
	// then by priority and age. No cap is exceeded.
	ClaimJobs(ctx context.Context, worker string, now, leaseUntil time.Time, n int) ([]*Job, error)
	// Claims lists what worker holds.
	Claims(ctx context.Context, worker string) ([]Claim, error)
	// ExtendLeases lets the leases that worker holds end at until.
	ExtendLeases(ctx context.Context, worker string, until time.Time) error
	// SettleJob ends a claim, together with s.With and s.Pauses. It returns fault.Conflict, and changes nothing, if the
	// claim of this epoch is over. A job that somebody canceled meanwhile becomes Canceled instead of waiting for anything.
	SettleJob(ctx context.Context, id ID, epoch int64, now time.Time, s Settlement) error
	// RecoverJobs queues running jobs whose lease ended before now, or every running job if all, and returns how many.
	// One that was lost many times in a row, before its worker got any further, becomes Dead.
	RecoverJobs(ctx context.Context, now time.Time, all bool) (int, error)

	JobByID(ctx context.Context, o account.Owner, id ID) (*Job, error)
	// FindJobs lists an owner's jobs, newest first.
	FindJobs(ctx context.Context, o account.Owner, f Filter) ([]*Job, error)
	// ReplayJob queues a job that ended otherwise than well again, with fresh attempts. Returns fault.Conflict for other
	// states, and if another with its UniqueKey has not ended.
	ReplayJob(ctx context.Context, o account.Owner, id ID, now time.Time, how ReplayOptions) error
	// CancelJob ends a job that waits. One that runs is marked, and its worker ends it; then running is true. Returns
	// fault.Conflict for jobs that have ended.
	CancelJob(ctx context.Context, o account.Owner, id ID, now time.Time) (running bool, err error)
	// Unpark queues a parked job, due at now. Returns fault.Conflict for other states.
	Unpark(ctx context.Context, o account.Owner, id ID, now time.Time) error
	// PruneJobs removes up to limit jobs that were done or canceled before done, or failed before failed, and returns how
	// many. Lanes and limits in which nothing happens are forgotten with them.
	PruneJobs(ctx context.Context, done, failed time.Time, limit int) (int, error)
	// CountJobs counts all jobs by state, for health.
	CountJobs(ctx context.Context) (map[State]int, error)
}

// Filter says which jobs are listed. Empty fields do not filter.
type Filter struct {
	States []State
	Lane   string
	Kind   string
	Before ID  // only jobs that are older than this one
	Limit  int // at most so many, 1 to MaxListed
}

// MaxListed bounds Filter.Limit.
const MaxListed = 200

// Claim is a job that a worker holds.
type Claim struct {
	ID    ID
	Epoch int64
	// Canceling means that a person wants the job stopped.
	Canceling bool
}

// Settlement is what becomes of a claimed job.
type Settlement struct {
	State State     // what it is from now on; Queued for another try
	RunAt time.Time // of the next try, for Queued
	// Free means that this try does not count (a rate limit, a shutdown).
	Free bool
	// Asleep means that nothing but RunAt makes the job due, also not a change of what it works for.
	Asleep bool
	Error  string // for people
	// Pauses take effect in the same act.
	Pauses []Pause
	// With is what the room that worked the job wants committed in the same act; the store knows its type. May be nil.
	With any
}

// Pause lets no job start before a time.
type Pause struct {
	Key   string // of a limit: no job that names it; empty: no job of the lane
	Until time.Time
}
