package syncs

import (
	"context"
	"encoding/json"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/integration"
)

// Store is what this room keeps. Every method is one act, all or nothing. Ids that are unknown or somebody else's are
// fault.NotFound.
type Store interface {
	// CreateProcess saves p, or returns the one of the integration that has this key already. Returns fault.Exhausted when
	// MaxOpen processes of plugins of the integration go on.
	CreateProcess(ctx context.Context, p *Process, key string) (*Process, error)
	ProcessByID(ctx context.Context, o account.Owner, id ProcessID) (*Process, error)
	// Processes lists an owner's processes, newest first.
	Processes(ctx context.Context, o account.Owner, f Filter) ([]*Process, error)
	// UpdateProcess changes a process of a plugin that has not ended, else fault.Conflict.
	UpdateProcess(ctx context.Context, o account.Owner, id ProcessID, c Change, now time.Time) error
	// AddToProcess adds to the totals of a process of a plugin; the same key counts once, whatever it says. Returns
	// fault.Conflict if the process has ended.
	AddToProcess(ctx context.Context, o account.Owner, id ProcessID, key string, a Addition, now time.Time) error
	// CancelProcess ends a process; batches that nobody has begun to write are dropped. One that has ended stays as it is.
	CancelProcess(ctx context.Context, o account.Owner, id ProcessID, now time.Time) error
	// PruneProcesses removes up to limit processes that ended before, and returns how many.
	PruneProcesses(ctx context.Context, before time.Time, limit int) (int, error)

	// StartRun starts a run of a sync. If one goes on, it is returned, and existed is true. If the last one failed, it is
	// resumed where it was, unless fresh.
	StartRun(ctx context.Context, r Run, p *Process, fresh bool, now time.Time) (id ProcessID, existed bool, err error)
	RunByProcess(ctx context.Context, o account.Owner, id ProcessID) (*Run, error)
	BatchByID(ctx context.Context, o account.Owner, id BatchID) (*Batch, error)
	// Watermark is where a phase of a sync goes on; complete says that all records were read once.
	Watermark(ctx context.Context, o account.Owner, in integration.ID, sync string, p Phase) (watermark string, complete bool, err error)

	// RecordsByID finds records of a side, RecordsByKey those that match; at most ten of a key.
	RecordsByID(ctx context.Context, o account.Owner, in integration.ID, sync string, side abi.SyncSide, ids []string) (map[string]*Record, error)
	RecordsByKey(ctx context.Context, o account.Owner, in integration.ID, sync string, side abi.SyncSide, keys []string) (map[string][]*Record, error)
	// PutOff lists records of a side that were put off and in no batch.
	PutOff(ctx context.Context, o account.Owner, in integration.ID, sync string, side abi.SyncSide, limit int) ([]*Record, error)

	// Associate keeps a link. Returns fault.TooLarge if what the integration has mapped would exceed maxBytes.
	Associate(ctx context.Context, o account.Owner, in integration.ID, a Association, maxBytes int, now time.Time) error
	Dissociate(ctx context.Context, o account.Owner, in integration.ID, a Association) error
	// Associations lists links in order.
	Associations(ctx context.Context, o account.Owner, in integration.ID, q AssociationQuery, limit int) ([]Association, error)
}

// Filter says which processes a list has. Zero fields do not choose.
type Filter struct {
	Integration integration.ID
	Name        string
	Type        string
	State       State
	Parent      ProcessID
	Before      ProcessID
	Limit       int
}

// Change is what a plugin changes on a process; nil leaves a part as it is.
type Change struct {
	State   *State
	Context json.RawMessage // merged, RFC 7396
	Total   *int64
}

// Addition is added to totals.
type Addition struct {
	Totals
	Errors []Failure
}

// Batch are records on their way to a side.
type Batch struct {
	ID      BatchID
	Process ProcessID
	Side    abi.SyncSide // that is written to
	Data    string       // sealed list of items
}

// Association is a link between two records of a set.
type Association struct{ Set, From, To, Kind string }

// Settled is what a finished try changes, in the act that settles its job (job.Settlement.With). What follows from it is
// enqueued in the same act, as Run.Next says.
type Settled struct {
	Owner   account.Owner
	Process ProcessID
	Page    *PageDone
	Batch   *BatchDone
	// Failed ends the run, with this reason.
	Failed string
	// Paused ends the run because somebody paused its integration.
	Paused bool
	// Record is what the integration gets; may be nil.
	Record *integration.Settled
}

// PageDone is a page that was read and compared. It counts only while its run goes on.
type PageDone struct {
	Sweep     bool // records that were put off, no page of the vendor's
	Cursor    string
	Watermark string
	Total     int64
	Seen      []Seen
	Planned   []Planned
	Batches   []Batch
	Addition
}

// Seen is a record that needs nothing.
type Seen struct {
	Record
	Key string // to match by
	// Link joins it with Counterpart; both then have Hash.
	Link bool
	// Gone forgets it, since it was deleted and is linked with nothing.
	Gone bool
}

// Planned is a record that is to be written, or is put off.
type Planned struct {
	Record        // Hash stays what it was
	Key    string // to match by
	Batch  BatchID
	// Link joins it with Counterpart already, so that nobody else is matched with that.
	Link bool
	// Again puts it off until its batch is done; Failed until the next run. Data is its content then.
	Again, Failed bool
}

// BatchDone are records that were written.
type BatchDone struct {
	ID      BatchID
	Results []Result
	Addition
}

// Result is what became of a record of a batch. Sides are as seen from Batch.Side.
type Result struct {
	ExternalID string // on the side that was read
	TargetID   string // on the side that was written to
	Hash       string // of the content that was read
	Written    string // hash of the content as it is where it was written
	Deleted    bool
	Skipped    bool
	Failed     string // sealed content of a record that failed
}

// AssociationQuery asks for links of a set from From, or to To if that is empty, of one kind if it is given, behind After.
type AssociationQuery struct {
	Association
	After Association
}
