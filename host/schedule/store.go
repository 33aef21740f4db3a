package schedule

import (
	"context"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
)

// Store is what this room keeps. Every method is one act, all or nothing. Ids that are unknown or somebody else's are
// fault.NotFound.
type Store interface {
	// DueSchedules lists schedules of all owners whose next tick is not after now, those that are due longest first.
	DueSchedules(ctx context.Context, now time.Time, limit int) ([]Due, error)
	// NextTick returns when the next schedule is due, zero if there is none.
	NextTick(ctx context.Context) (time.Time, error)
	// Advance moves a schedule on and enqueues its ticks, if it is still at the revision that was seen; otherwise it does
	// nothing, since somebody else has moved it.
	Advance(ctx context.Context, a Advance) error
	// HoldSchedule takes a due schedule out of what is due until its record works or a person goes on with it, if schedule
	// and record are still as they were seen.
	HoldSchedule(ctx context.Context, d Due) error

	// PutSchedule saves a guest's schedule over one of the same name of its record. One that is the same already stays as it
	// is, and what a person paused stays paused. Returns fault.Exhausted if guests of the record then had more than limit.
	PutSchedule(ctx context.Context, s *Schedule, limit int) error
	// DeleteSchedule removes a guest's schedule and has the record planned again, for one of the manifest that it replaced.
	DeleteSchedule(ctx context.Context, o account.Owner, id integration.ID, name string) error
	// RecordSchedules lists the schedules of a record by name.
	RecordSchedules(ctx context.Context, o account.Owner, id integration.ID) ([]*Schedule, error)
	// Schedules lists an owner's schedules, in the order of their ids, from after an id.
	Schedules(ctx context.Context, o account.Owner, after ID, limit int) ([]*Schedule, error)
	// PauseSchedule pauses a schedule, or lets it go on, and returns it.
	PauseSchedule(ctx context.Context, o account.Owner, id ID, paused bool, now time.Time) (*Schedule, error)

	// UnplannedRecords lists records of a plugin whose schedules follow another plan. A record that has never worked is not among
	// them.
	UnplannedRecords(ctx context.Context, plugin, plan string, limit int) ([]Record, error)
	// PlanSchedules gives a record the schedules of its manifest: what is new is added, what has changed is replaced, what is
	// gone is removed. A guest's of the same name stays.
	PlanSchedules(ctx context.Context, r Record, plan string, schedules []*Schedule) error
}

// Record is whose schedules are planned.
type Record struct {
	ID    integration.ID
	Owner account.Owner
}

// Advance is a step of a schedule.
type Advance struct {
	Schedule *Schedule // as it was seen
	NextAt   time.Time // zero removes it
	LastAt   time.Time
	// Ticks are enqueued, oldest first, as far as Overlap allows it: with skip only when no earlier tick waits or runs, otherwise
	// as long as fewer than Most do.
	Ticks   []job.New
	Overlap abi.Overlap
	Most    int
}
