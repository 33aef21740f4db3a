package schedule

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// Integrations is what this room needs of the integration room.
type Integrations interface {
	// TickJob is the job that delivers a tick to its record.
	TickJob(o account.Owner, t integration.Tick) job.New
}

// Service is what people, guests and time may do with schedules.
type Service struct {
	Store        Store
	Plugins      plugin.Catalog
	Integrations Integrations
	Now          func() time.Time
	Log          *slog.Logger
	// Enqueued is told that jobs are due; nil tells nobody.
	Enqueued func()
	// Poll is the longest time between two looks at the database, which other processes change too; zero is 1 s.
	Poll time.Duration

	once         sync.Once
	look, replan chan struct{} // wake the loops of Run
}

var _ integration.Schedules = (*Service)(nil)

func (s *Service) init() {
	s.once.Do(func() {
		s.look, s.replan = make(chan struct{}, 1), make(chan struct{}, 1)
		s.Poll = cmp.Or(s.Poll, time.Second)
	})
}

func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Microsecond) }

// Wake has everything looked at at once: a record, a plugin or a schedule has changed. It never blocks and may be called before
// Run.
func (s *Service) Wake() {
	s.init()
	nudge(s.look)
	nudge(s.replan)
}

// nudge wakes a loop, or leaves it to look once more if it is at work.
func nudge(loop chan<- struct{}) {
	select {
	case loop <- struct{}{}:
	default:
	}
}

// PutSchedule saves a guest's schedule of its record. Errors: Invalid, Exhausted, NotFound.
func (s *Service) PutSchedule(ctx context.Context, o account.Owner, id integration.ID, q abi.SchedulePut) error {
	q, err := abi.CheckSchedule(q)
	if err != nil {
		return fault.New(fault.Invalid, "schedule.put", "%v", err).On(fault.Guest)
	}
	made, err := s.make(Record{id, o}, q)
	if err != nil {
		return err
	}
	defer s.Wake()
	return s.Store.PutSchedule(ctx, made, abi.LimitSchedules)
}

// make makes a schedule as it is put now.
func (s *Service) make(r Record, q abi.SchedulePut) (*Schedule, error) {
	now := s.now()
	made := &Schedule{
		ID: NewID(), Owner: r.Owner, Integration: r.ID, Name: q.Name, Event: q.Event, Rule: ruleOf(q), Data: q.Data,
		CreatedAt: now, UpdatedAt: now,
	}
	if q.AtMS != 0 {
		made.NextAt = time.UnixMilli(q.AtMS).UTC() // what has passed comes at once
		return made, nil
	}
	times, err := made.Rule.timetable(r.ID, q.Name)
	if err != nil {
		return nil, err
	}
	if made.NextAt = times(now); made.NextAt.IsZero() {
		return nil, fault.New(fault.Invalid, "schedule.put", "the schedule %s never comes", q.Name).On(fault.Guest)
	}
	return made, nil
}

// DeleteSchedule removes a guest's schedule of its record; removing nothing is fine.
func (s *Service) DeleteSchedule(ctx context.Context, o account.Owner, id integration.ID, name string) error {
	defer s.Wake()
	return s.Store.DeleteSchedule(ctx, o, id, name)
}

// RecordSchedules describes the schedules of a record to its guest.
func (s *Service) RecordSchedules(ctx context.Context, o account.Owner, id integration.ID) ([]abi.ScheduleEntry, error) {
	found, err := s.Store.RecordSchedules(ctx, o, id)
	entries := make([]abi.ScheduleEntry, 0, len(found))
	for _, one := range found {
		entries = append(entries, one.entry())
	}
	return entries, err
}

// Schedules lists the actor's schedules, in the order of their ids, from after an id (empty: the first). limit is 1 to 200.
func (s *Service) Schedules(ctx context.Context, a account.Actor, after ID, limit int) ([]*Schedule, error) {
	if err := a.Valid(); err != nil {
		return nil, err
	}
	if limit < 1 || limit > 200 {
		return nil, fault.New(fault.Invalid, "schedule.Schedules", "limit must be between 1 and 200")
	}
	return s.Store.Schedules(ctx, a.Owner, after, limit)
}

// Pause lets a schedule of the actor rest until Resume.
func (s *Service) Pause(ctx context.Context, a account.Actor, id ID) (*Schedule, error) {
	return s.pause(ctx, a, id, true)
}

// Resume lets a schedule go on. What it missed meanwhile comes or not as its rule says.
func (s *Service) Resume(ctx context.Context, a account.Actor, id ID) (*Schedule, error) {
	return s.pause(ctx, a, id, false)
}

func (s *Service) pause(ctx context.Context, a account.Actor, id ID, paused bool) (*Schedule, error) {
	if err := a.Valid(); err != nil {
		return nil, err
	}
	defer s.Wake()
	return s.Store.PauseSchedule(ctx, a.Owner, id, paused, s.now())
}
