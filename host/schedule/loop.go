package schedule

import (
	"context"
	"sync"
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

// Run lets schedules tick until ctx ends. Planning the records of an upgraded plugin takes its time and goes on beside.
func (s *Service) Run(ctx context.Context) {
	s.init()
	var planning sync.WaitGroup
	planning.Go(func() { repeat(ctx, s.replan, s.plan) })
	repeat(ctx, s.look, s.workOff)
	planning.Wait()
}

// repeat calls do at once, whenever it is woken, and after the time that do has asked for.
func repeat(ctx context.Context, wake <-chan struct{}, do func(context.Context) time.Duration) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-timer.C:
		}
		timer.Reset(do(ctx))
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
		if err := atOnce(due, func(d Due) error { return s.tick(ctx, d) }); err != nil {
			s.failed(ctx, "schedules do not tick", err)
			return s.Poll
		}
		if len(due) > 0 && s.Enqueued != nil {
			s.Enqueued()
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

// atOnce does something for all of a batch, so that their acts share commits. It returns the first failure.
func atOnce[T any](all []T, do func(T) error) error {
	failed := make(chan error, len(all))
	var running sync.WaitGroup
	for _, one := range all {
		running.Go(func() {
			if err := do(one); err != nil {
				failed <- err
			}
		})
	}
	running.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// tick works one due schedule off, or holds it while its record does not work.
func (s *Service) tick(ctx context.Context, d Due) error {
	if integration.Decide(d.Status, d.Event) != integration.Run {
		return s.Store.HoldSchedule(ctx, d)
	}
	times, err := d.Rule.timetable(d.Integration, d.Name)
	if err != nil {
		s.failed(ctx, "the schedule "+string(d.ID)+" cannot be read and is held", err)
		return s.Store.HoldSchedule(ctx, d)
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
