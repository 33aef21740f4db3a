//go:build !wasip1

package friggtest

import (
	"cmp"
	"slices"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
)

// Tick lets a schedule that the integration made tick, as at a moment. One that comes once is gone then.
func (f *Integration) Tick(name string, at time.Time) error {
	f.t.Helper()
	q, ok := f.Schedules[name]
	if !ok {
		return frigg.Errorf(frigg.KindNotFound, "friggtest: there is no schedule %s", name)
	}
	if q.AtMS != 0 {
		delete(f.Schedules, name)
	}
	return f.Deliver(q.Event, abi.ScheduleTick{Schedule: name, AtMS: at.UnixMilli(), Data: q.Data})
}

func (f *Integration) putSchedule(q abi.SchedulePut) (abi.Empty, error) {
	q, err := abi.CheckSchedule(q)
	if err != nil {
		return abi.Empty{}, frigg.Invalid("%v", err)
	}
	f.Schedules[q.Name] = q
	return abi.Empty{}, nil
}

func (f *Integration) deleteSchedule(q abi.ScheduleDelete) (abi.Empty, error) {
	delete(f.Schedules, q.Name)
	return abi.Empty{}, nil
}

func (f *Integration) listSchedules(abi.Empty) (abi.ScheduleEntries, error) {
	all := abi.ScheduleEntries{Schedules: []abi.ScheduleEntry{}}
	for _, q := range f.Schedules {
		all.Schedules = append(all.Schedules, abi.ScheduleEntry{
			Name: q.Name, Event: q.Event, Cron: q.Cron, EveryS: q.EveryS, AtMS: q.AtMS, TimeZone: q.TimeZone, Overlap: q.Overlap, Missed: q.Missed,
		})
	}
	slices.SortFunc(all.Schedules, func(a, b abi.ScheduleEntry) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}
