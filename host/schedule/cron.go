package schedule

import (
	"math/bits"
	"time"

	"github.com/frigg-host/frigg-host/abi"
)

const (
	everyHour = 1<<24 - 1
	// maxYears bounds the search for a day: the rarest is a certain weekday on a 29th of February.
	maxYears = 41
)

// next returns the first time after a moment at which c is due in a place, zero if it never comes again.
//
// It walks the clock on the wall, which counts the minutes one after the other but for the moments at which it is changed.
// When it is put forward, a time of day that it skips comes at that moment; when it is put back, what it shows again does
// not come again. A schedule of every hour follows elapsed time instead: nobody wants it to rest for an hour in autumn.
func next(c abi.Cron, in *time.Location, after time.Time) time.Time {
	elapsed := c.Hours == everyHour
	shown := wall(after, in)
	if !elapsed {
		shown = latest(shown, peak(after, in))
	}
	for at := after.In(in); ; {
		due := onWall(c, shown)
		if due.IsZero() {
			return time.Time{}
		}
		_, offset := at.Zone()
		moment := due.Add(-time.Duration(offset) * time.Second)
		_, change := at.ZoneBounds()
		if change.IsZero() || moment.Before(change) {
			return moment.UTC()
		}
		last := change.UTC().Add(time.Duration(offset)*time.Second - time.Minute) // shown before the change
		now := wall(change, in)
		switch {
		case elapsed:
			shown = now.Add(-time.Minute)
		case !due.After(now):
			return change.UTC() // skipped, or shown at this moment
		default:
			shown = latest(last, now)
		}
		at = change
	}
}

// wall is what the clock on the wall shows, as if it were UTC.
func wall(t time.Time, in *time.Location) time.Time {
	t = t.In(in)
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// peak is the last minute that the clock had shown before it was changed last.
func peak(t time.Time, in *time.Location) time.Time {
	change, _ := t.In(in).ZoneBounds()
	if change.IsZero() {
		return time.Time{}
	}
	return wall(change.Add(-time.Minute), in)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// onWall returns the first minute after one that c takes, on a clock that is never changed; zero if there is none.
func onWall(c abi.Cron, after time.Time) time.Time {
	t := after.Truncate(time.Minute).Add(time.Minute)
	for end := t.Year() + maxYears; t.Year() < end; {
		year, month, day := t.Date()
		switch {
		case c.Months>>month&1 == 0:
			t = time.Date(year, month+1, 1, 0, 0, 0, 0, time.UTC)
		case !takesDay(c, t):
			t = time.Date(year, month, day+1, 0, 0, 0, 0, time.UTC)
		default:
			hour, minute, ok := timeOfDay(c, t.Hour(), t.Minute())
			if ok {
				return time.Date(year, month, day, hour, minute, 0, 0, time.UTC)
			}
			t = time.Date(year, month, day+1, 0, 0, 0, 0, time.UTC)
		}
	}
	return time.Time{}
}

func takesDay(c abi.Cron, t time.Time) bool {
	day, weekday := c.Days>>t.Day()&1 == 1, c.Weekdays>>t.Weekday()&1 == 1
	if c.EitherDay {
		return day || weekday
	}
	return day && weekday
}

// timeOfDay returns the first time of a day that c takes, from a time on.
func timeOfDay(c abi.Cron, hour, minute int) (int, int, bool) {
	if c.Hours>>hour&1 == 1 {
		if m, ok := from(c.Minutes, minute); ok {
			return hour, m, true
		}
	}
	h, ok := from(c.Hours, hour+1)
	return h, bits.TrailingZeros64(c.Minutes), ok
}

// from returns the first value of a set that is at least low.
func from(set uint64, low int) (int, bool) {
	rest := set >> low << low
	return bits.TrailingZeros64(rest), rest != 0
}
