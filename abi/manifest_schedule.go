package abi

import (
	"fmt"
	"slices"
	"time"
)

const (
	maxEveryS       = 366 * 24 * 60 * 60
	maxAtMS         = 253_402_300_800_000 // the year 10000
	maxScheduleData = 64 << 10
)

// Put is the schedule as a guest would put it for its record.
func (s Schedule) Put() SchedulePut {
	return SchedulePut{Name: s.Name, Event: s.Event, Cron: s.Cron, EveryS: s.EveryS, TimeZone: s.TimeZone, Overlap: s.Overlap, Missed: s.Missed}
}

// CheckSchedule judges what a guest puts and fills what it leaves out. The error says the first thing that is wrong. Whether
// the event is declared is not judged.
func CheckSchedule(q SchedulePut) (SchedulePut, error) {
	c := &checker{m: &Manifest{}}
	c.schedule("", q)
	if len(q.Data) > maxScheduleData {
		c.add("data", "has %d bytes, at most %d are allowed", len(q.Data), maxScheduleData)
	}
	or(&q.TimeZone, "UTC")
	or(&q.Overlap, OverlapSkip)
	or(&q.Missed, MissedTicksOne)
	if len(c.list) > 0 {
		return q, fmt.Errorf("the schedule %q: %s", clip(q.Name), c.list[0])
	}
	return q, nil
}

func (c *checker) schedules() {
	if n := len(c.m.Schedules); n > LimitSchedules {
		c.add("schedules", "has %d elements, at most %d are allowed", n, LimitSchedules)
		return
	}
	seen := map[string]bool{}
	for i, s := range c.m.Schedules {
		path := nth("schedules", i)
		c.once(at(path, "name"), s.Name, seen)
		c.schedule(path, s.Put())
	}
}

func (c *checker) schedule(path string, q SchedulePut) {
	c.match(at(path, "name"), q.Name, plainName, plainNameRule)
	c.event(at(path, "event"), q.Event)
	c.when(path, q)
	if q.TimeZone != "" {
		c.timeZone(at(path, "time_zone"), q.TimeZone)
	}
	if q.Overlap != "" && !q.Overlap.Valid() {
		c.add(at(path, "overlap"), "%q is none of skip, queue, allow", clip(string(q.Overlap)))
	}
	if q.Missed != "" && !q.Missed.Valid() {
		c.add(at(path, "missed"), "%q is none of one, skip, all", clip(string(q.Missed)))
	}
}

func (c *checker) when(path string, q SchedulePut) {
	given := 0
	for _, is := range []bool{q.Cron != "", q.EveryS != 0, q.AtMS != 0} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		c.add(path, "say when: `cron` or `every_s`, or `at_ms` for a schedule of one record, one of them")
	case q.Cron != "":
		if _, err := ParseCron(q.Cron); err != nil {
			c.add(at(path, "cron"), "%v", err)
		}
	case q.EveryS != 0 && (q.EveryS < LimitScheduleEveryS || q.EveryS > maxEveryS):
		c.add(at(path, "every_s"), "must be from %d to %d seconds", LimitScheduleEveryS, maxEveryS)
	case q.AtMS < 0 || q.AtMS >= maxAtMS:
		c.add(at(path, "at_ms"), "must be milliseconds since 1970, before the year 10000")
	}
}

func (c *checker) timeZone(path, name string) {
	if _, err := time.LoadLocation(name); err != nil || name == "Local" {
		c.add(path, "%q is not an IANA time zone such as Europe/Berlin", clip(name))
	}
}

// EventDeclared reports whether guests of an integration may enqueue or schedule an event.
func (m *Manifest) EventDeclared(name string) bool {
	return slices.ContainsFunc(m.Events, func(e EventClaim) bool { return e.Name == name }) ||
		slices.ContainsFunc(m.Schedules, func(s Schedule) bool { return s.Event == name })
}
