// Package schedule lets time start work: cron, intervals and one-shots of integration records. A tick of a schedule is a job
// that delivers the schedule's event to its record.
//
// Schedules come from the manifest, for every record of the integration, and from guests, for their own record. There is no
// leader: every host on a database works off what is due, and a tick happens once, because the row of the schedule moves on
// in the act that enqueues the job, and the job's key says which tick it is.
//
// It does not know how jobs are worked off, how a guest runs, SQL or HTTP. Everything here is safe for concurrent use.
package schedule

import (
	"encoding/json"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/google/uuid"
)

// ID names a schedule: "sch_" and a version 7 UUID.
type ID string

// NewID returns an ID that sorts after earlier ones.
func NewID() ID { return ID("sch_" + uuid.Must(uuid.NewV7()).String()) }

// Schedule is a recurring or single event of one record.
type Schedule struct {
	ID          ID
	Owner       account.Owner
	Integration integration.ID
	Name        string // unique within the record
	// FromManifest says that the manifest declares it; otherwise a guest has put it.
	FromManifest bool
	Event        string
	Rule         Rule
	// Data goes along with every tick; may be nil.
	Data json.RawMessage
	// Paused by a person.
	Paused bool
	// NextAt is the next tick; zero while the schedule is held.
	NextAt time.Time
	// HeldAt is the first tick that did not come since the schedule is held: it is paused, or its record does not work.
	HeldAt time.Time
	// LastAt is the time that the last tick meant; zero before the first.
	LastAt    time.Time
	CreatedAt time.Time
	UpdatedAt time.Time
	// Revision counts changes; whoever moves the schedule on names the one it saw.
	Revision int64
}

// Due is a schedule whose time has come, and how its record is.
type Due struct {
	*Schedule
	Status abi.Status
}

// entry describes s to guests.
func (s *Schedule) entry() abi.ScheduleEntry {
	e := abi.ScheduleEntry{
		Name: s.Name, Event: s.Event, FromManifest: s.FromManifest, Cron: s.Rule.Cron, EveryS: s.Rule.EveryS, AtMS: s.Rule.AtMS,
		TimeZone: s.Rule.TimeZone, Overlap: s.Rule.Overlap, Missed: s.Rule.Missed, Paused: s.Paused,
	}
	if !s.NextAt.IsZero() {
		e.NextMS = s.NextAt.UnixMilli()
	}
	return e
}

// TickKeys is how the unique keys of the jobs of a schedule's ticks begin; the time of the tick follows.
func TickKeys(id ID) string { return "tick|" + string(id) + "|" }
