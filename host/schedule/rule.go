package schedule

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
)

// Rule says when a schedule ticks: one of Cron, EveryS and AtMS, as in the contract, whose field names it is stored with.
type Rule struct {
	Cron     string          `json:"cron,omitempty"`
	EveryS   int64           `json:"every_s,omitempty"`
	AtMS     int64           `json:"at_ms,omitempty"`
	TimeZone string          `json:"time_zone,omitempty"`
	Overlap  abi.Overlap     `json:"overlap"`
	Missed   abi.MissedTicks `json:"missed"`
}

func ruleOf(q abi.SchedulePut) Rule {
	return Rule{Cron: q.Cron, EveryS: q.EveryS, AtMS: q.AtMS, TimeZone: q.TimeZone, Overlap: q.Overlap, Missed: q.Missed}
}

// timetable returns the first tick after a moment, zero if there is none.
type timetable func(after time.Time) time.Time

// timetable of a rule for the schedule with this name of a record. It returns fault.Invalid for a rule that cannot be read.
func (r Rule) timetable(record integration.ID, name string) (timetable, error) {
	switch {
	case r.AtMS != 0:
		at := time.UnixMilli(r.AtMS).UTC()
		return func(after time.Time) time.Time {
			if at.After(after) {
				return at
			}
			return time.Time{}
		}, nil
	case r.EveryS > 0:
		period := time.Duration(r.EveryS) * time.Second
		return every(period, phase(record, name, period)), nil
	}
	cron, err := abi.ParseCron(r.Cron)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "schedule.timetable", "the cron expression cannot be read")
	}
	in, err := time.LoadLocation(r.TimeZone)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "schedule.timetable", "the time zone "+r.TimeZone+" is not known here")
	}
	return func(after time.Time) time.Time { return next(cron, in, after) }, nil
}

// phase spreads the records evenly over a period, each at a place of its own that never changes.
func phase(record integration.ID, name string, period time.Duration) time.Duration {
	sum := sha256.Sum256([]byte(string(record) + "\x00" + name))
	n := binary.BigEndian.Uint64(sum[:8]) % uint64(period.Microseconds())
	return time.Duration(n) * time.Microsecond
}

// every ticks at all multiples of period since 1970, phase later.
func every(period, phase time.Duration) timetable {
	p, first := period.Microseconds(), phase.Microseconds()
	return func(after time.Time) time.Time {
		at := first
		if since := after.UnixMicro() - first; since >= 0 {
			at += (since/p + 1) * p
		}
		return time.UnixMicro(at).UTC()
	}
}

// between returns the last n ticks of those from first to now, oldest first. It looks back in steps that grow, so that it costs no
// more after a year than after an hour.
func (t timetable) between(first, now time.Time, n int) []time.Time {
	for window := time.Minute; ; window *= 2 {
		after := now.Add(-window)
		whole := !after.After(first)
		if whole {
			after = first.Add(-time.Microsecond)
		}
		var found []time.Time
		for at := t(after); !at.IsZero() && !at.After(now); at = t(at) {
			found = append(found, at)
		}
		if whole || len(found) >= n {
			return found[max(0, len(found)-n):]
		}
	}
}
