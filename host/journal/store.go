package journal

import (
	"context"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// Run is what is known of a run without its log. Its id is that of its job.
type Run struct {
	ID          job.ID
	Owner       account.Owner
	Integration string // id of the record that it works for
	Event       string
	Plugin      string
	Version     string
	Digest      plugin.Digest
	Generation  int             // checkpoints so far
	Entries     int             // host calls on record
	Bytes       int             // of the log, packed
	Modules     []plugin.Digest // that answered host calls
	Doubt       Path
	StartedAt   time.Time
	UpdatedAt   time.Time
	// Of the job.
	State     job.State
	Attempt   int
	LastError string
	RunAt     time.Time
	CreatedAt time.Time
	EndedAt   time.Time
}

// Filter of a list of runs; zero fields let all pass.
type Filter struct {
	Integration string
	Plugin      string
	States      []job.State
	Before      job.ID // older than this run
}

// Store is what this room keeps. Ids that are unknown or somebody else's are fault.NotFound.
type Store interface {
	// AppendJournal adds to the log of a run, if the claim of this epoch still holds, else it returns fault.Conflict. r says
	// what the run is; with restart, what was on record before is forgotten in the same act.
	AppendJournal(ctx context.Context, r *Run, epoch int64, c *Chunk, restart bool) error
	// HoldsClaim returns fault.Conflict unless the claim of this epoch still holds.
	HoldsClaim(ctx context.Context, o account.Owner, id job.ID, epoch int64) error
	// AnnotateJournal adds to the log of a run that no worker has.
	AnnotateJournal(ctx context.Context, o account.Owner, id job.ID, c *Chunk, now time.Time) error
	// JournalOf returns the chunks of a run in order, none if it has no log, and a way to its blobs.
	JournalOf(ctx context.Context, o account.Owner, id job.ID) (chunks [][]byte, blobs map[string][]byte, err error)
	// Together makes one act of several.
	Together(ctx context.Context, f func(ctx context.Context) error) error

	RunByID(ctx context.Context, o account.Owner, id job.ID) (*Run, error)
	// Runs lists runs, newest first.
	Runs(ctx context.Context, o account.Owner, f Filter, limit int) ([]*Run, error)
	// AnyRun and AllRuns are for an operator, who looks at everybody's.
	AnyRun(ctx context.Context, id job.ID) (*Run, error)
	AllRuns(ctx context.Context, f Filter, limit int) ([]*Run, error)
	// ImportRun puts a run that was made elsewhere beside those of this host, with a job that is over. Returns
	// fault.Conflict if it is there.
	ImportRun(ctx context.Context, r *Run, c *Chunk) error
}
