package schedule

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/integration"
)

const (
	batch = 64 // schedules that are worked off at the same time; their acts share commits
	// most is how many ticks of one schedule may wait or run, and how many missed ones may come.
	most = 100
	// inTime is how late a tick may be that is not missed.
	inTime = time.Minute
)

// Run lets schedules tick until ctx ends.
func (s *Service) Run(ctx context.Context) {
	s.init()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
		s.plan(ctx)
		timer.Reset(s.workOff(ctx))
	}
}

// workOff works everything off that is due, and returns for how long there is nothing to do.
func (s *Service) workOff(ctx context.Context) time.Duration {
	for ctx.Err() == nil {
		due, err := s.Store.DueSchedules(ctx, s.now(), batch)
		if err != nil {
			s.failed(ctx, "schedules cannot be read", err)
			return s.Poll
		}
		if len(due) > 0 && !s.tickAll(ctx, due) {
			return s.Poll // something does not move: try again later
		}
		if len(due) < batch {
			break
		}
	}
	next, err := s.Store.NextTick(ctx)
	if err != nil {
		s.failed(ctx, "schedules cannot be read", err)
	}
	if err != nil || next.IsZero() {
		return s.Poll
	}
	return min(s.Poll, max(0, next.Sub(s.now())))
}

func (s *Service) failed(ctx context.Context, msg string, err error) {
	if ctx.Err() == nil {
		s.Log.Error(msg, "op", "schedule.Run", "err", err)
	}
}

// tickAll lets schedules tick and reports whether all could.
func (s *Service) tickAll(ctx context.Context, due []Due) bool {
	var failures atomic.Int64
	var all sync.WaitGroup
	for _, d := range due {
		all.Go(func() {
			if err := s.tick(ctx, d); err != nil {
				failures.Add(1)
				s.failed(ctx, "the schedule "+string(d.ID)+" did not tick", err)
			}
		})
	}
	all.Wait()
	if s.Enqueued != nil {
		s.Enqueued()
	}
	return failures.Load() == 0
}

// tick works one due schedule off, or holds it while its record does not work.
func (s *Service) tick(ctx context.Context, d Due) error {
	if integration.Decide(d.Status, d.Event) != integration.Run {
		return s.Store.HoldSchedule(ctx, d)
	}
	times, err := d.Rule.timetable(d.Integration, d.Name)
	if err != nil {
		return err
	}
	now := s.now()
	a := Advance{Schedule: d.Schedule, NextAt: times(now), LastAt: d.LastAt, Overlap: d.Rule.Overlap, Most: most}
	for _, at := range d.ticks(times, now) {
		a.LastAt = at
		a.Ticks = append(a.Ticks, s.Integrations.TickJob(d.Owner, integration.Tick{
			Integration: d.Integration, Schedule: d.Name, Event: d.Event, Data: d.Data, At: at,
			Key: TickKeys(d.ID) + at.Format(time.RFC3339Nano), Beside: d.Rule.Overlap == abi.OverlapAllow,
		}))
	}
	return s.Store.Advance(ctx, a)
}

// ticks returns which of the ticks until now come.
func (d Due) ticks(times timetable, now time.Time) []time.Time {
	n := 1
	if d.Rule.Missed == abi.MissedTicksAll && d.Rule.Overlap != abi.OverlapSkip {
		n = most
	}
	found := times.between(d.NextAt, now, n)
	if len(found) > 0 && d.Rule.Missed == abi.MissedTicksSkip && now.Sub(found[0]) >= inTime {
		return nil
	}
	return found
}
