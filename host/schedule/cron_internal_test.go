package schedule

import (
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/google/go-cmp/cmp"
)

func place(t testing.TB, name string) *time.Location {
	t.Helper()
	in, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func cron(t testing.TB, text string) abi.Cron {
	t.Helper()
	c, err := abi.ParseCron(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Times are RFC 3339 with the offset of the place at that moment.
func TestNext_TicksAsTheClockOnTheWall(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, cron, in, after string
		want                  []string
	}{
		{
			"every minute, and never the moment itself", "* * * * *", "UTC", "2026-05-06T07:08:09Z",
			[]string{"2026-05-06T07:09:00Z", "2026-05-06T07:10:00Z"},
		},
		{
			"working hours", "0,30 9-17/4 * * mon-fri", "Europe/Berlin", "2026-05-08T16:00:00+02:00",
			[]string{"2026-05-08T17:00:00+02:00", "2026-05-08T17:30:00+02:00", "2026-05-11T09:00:00+02:00"},
		},
		{"end of a year", "59 23 31 12 *", "UTC", "2026-12-31T23:59:00Z", []string{"2027-12-31T23:59:00Z"}},
		{"months without a 31st are left out", "0 0 31 * *", "UTC", "2026-03-31T00:00:00Z", []string{"2026-05-31T00:00:00Z", "2026-07-31T00:00:00Z"}},
		{"leap years", "0 0 29 2 *", "UTC", "2096-02-29T00:00:00Z", []string{"2104-02-29T00:00:00Z"}},
		{"either day, when both are given", "0 0 13 * fri", "UTC", "2026-11-12T00:00:00Z", []string{"2026-11-13T00:00:00Z", "2026-11-20T00:00:00Z"}},
		{"both, when one begins with a star", "0 0 */7 * sun", "UTC", "2026-11-01T00:00:00Z", []string{"2026-11-08T00:00:00Z", "2026-11-15T00:00:00Z", "2026-11-22T00:00:00Z", "2026-11-29T00:00:00Z"}},
		{"Sunday is 0 and 7", "0 0 * * 6-7", "UTC", "2026-11-20T00:00:00Z", []string{"2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z", "2026-11-28T00:00:00Z"}},

		{
			"a time that is skipped comes when the gap ends", "30 2 * * *", "Europe/Berlin", "2026-03-28T02:30:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"},
		},
		{
			"several skipped times come once", "*/10 2 * * *", "Europe/Berlin", "2026-03-28T02:50:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"},
		},
		{
			"a skipped time and the end of the gap are one tick", "0 2,3 * * *", "Europe/Berlin", "2026-03-29T01:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"},
		},
		{
			"midnight that does not exist", "0 0 * * *", "America/Santiago", "2026-09-05T12:00:00-04:00",
			[]string{"2026-09-06T01:00:00-03:00", "2026-09-07T00:00:00-03:00"},
		},
		{
			"a day that does not exist", "0 12 30 * *", "Pacific/Apia", "2011-12-29T12:00:00-10:00",
			[]string{"2011-12-31T00:00:00+14:00", "2012-01-30T12:00:00+14:00"},
		},
		{
			"a time that is shown twice comes once", "30 2 * * *", "Europe/Berlin", "2026-10-24T02:30:00+02:00",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"},
		},
		{
			"from between the two", "15,45 2 * * *", "Europe/Berlin", "2026-10-25T02:00:00+01:00",
			[]string{"2026-10-26T02:15:00+01:00"},
		},
		{
			"half an hour on Lord Howe Island", "45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00:00+11:00",
			[]string{"2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"},
		},
		{
			"every hour follows elapsed time in spring", "30 * * * *", "Europe/Berlin", "2026-03-29T01:00:00+01:00",
			[]string{"2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00"},
		},
		{
			"and in autumn", "30 * * * *", "Europe/Berlin", "2026-10-25T01:30:00+02:00",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:30:00+01:00"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in := place(t, test.in)
			at, err := time.Parse(time.RFC3339, test.after)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for range test.want {
				at = next(cron(t, test.cron), in, at)
				got = append(got, at.In(in).Format(time.RFC3339))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// walk is next by looking at every minute of elapsed time: one counts when the clock on the wall first shows it or passes
// over it.
func walk(c abi.Cron, in *time.Location, after time.Time, limit int) time.Time {
	at := after.Truncate(time.Minute).Add(-27 * time.Hour)
	for top := wall(at, in); limit > 0; limit-- {
		at = at.Add(time.Minute)
		now := wall(at, in)
		hit := false
		if c.Hours == everyHour {
			hit = matches(c, now)
		} else {
			for m := top.Add(time.Minute); !m.After(now); m = m.Add(time.Minute) {
				hit = hit || matches(c, m)
			}
		}
		if now.After(top) {
			top = now
		}
		if hit && at.After(after) {
			return at.UTC()
		}
	}
	return time.Time{}
}

func matches(c abi.Cron, t time.Time) bool {
	return c.Months>>t.Month()&1 == 1 && takesDay(c, t) && c.Hours>>t.Hour()&1 == 1 && c.Minutes>>t.Minute()&1 == 1
}

func FuzzNext_AgreesWithAWalkThroughTheMinutes(f *testing.F) {
	for _, text := range []string{"* * * * *", "30 2 * * *", "*/15 1-3 * * *", "0 0 * * sun", "59 23 31 12 *", "5/20 2 28-31 3,10 7", "@hourly"} {
		for _, zone := range []string{"Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "UTC"} {
			for _, after := range []int64{1774741800, 1792890000, 1788580800, 1775314800, 1774746000} { // around changes
				f.Add(text, zone, after)
			}
		}
	}
	f.Fuzz(func(t *testing.T, text, zone string, unix int64) {
		c, err := abi.ParseCron(text)
		in, unknown := time.LoadLocation(zone)
		if err != nil || unknown != nil || zone == "Local" || unix < 0 || unix > 4e9 {
			t.Skip()
		}
		after := time.Unix(unix, 0)
		if wall(after, in).Second() != after.UTC().Second() {
			t.Skip() // local mean time, whose offset has seconds
		}
		const limit = 5 * 24 * 60
		got, want := next(c, in, after), walk(c, in, after, limit)
		if want.IsZero() && (got.IsZero() || got.After(after.Add((limit-28*60)*time.Minute))) {
			return // further away than was walked
		}
		if !got.Equal(want) {
			t.Errorf("%s in %s after %v: %v, want %v", text, zone, after.In(in), got.In(in), want.In(in))
		}
	})
}

func TestBetween_FindsTheLastTicksWithoutWalkingAll(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	count := 0
	minutely := timetable(func(after time.Time) time.Time {
		count++
		return after.Truncate(time.Minute).Add(time.Minute)
	})
	first := now.AddDate(-10, 0, 0).Truncate(time.Minute)
	got := minutely.between(first, now, 3)
	want := []time.Time{time.Date(2026, 5, 6, 7, 6, 0, 0, time.UTC), time.Date(2026, 5, 6, 7, 7, 0, 0, time.UTC), time.Date(2026, 5, 6, 7, 8, 0, 0, time.UTC)}
	if diff := cmp.Diff(want, got); diff != "" || count > 20 {
		t.Errorf("%d steps, %s", count, diff)
	}
	if got := minutely.between(want[0], now, 100); cmp.Diff(want, got) != "" {
		t.Errorf("all: %v", got)
	}
	if got := minutely.between(now.Add(time.Minute), now, 1); len(got) != 0 {
		t.Errorf("before the first: %v", got)
	}
}

func TestEvery_SpreadsRecordsEvenlyAndForGood(t *testing.T) {
	t.Parallel()
	const records, seconds = 6000, 60
	now := time.Date(2026, 5, 6, 7, 8, 9, 10, time.UTC)
	perSecond := map[int64]int{}
	for range records {
		id := integration.NewID()
		r := Rule{EveryS: seconds}
		a, err := r.timetable(id, "tick")
		if err != nil {
			t.Fatal(err)
		}
		b, _ := r.timetable(id, "tick")
		first, again := a(now), b(now)
		if !first.Equal(again) || !first.After(now) || first.Sub(now) > seconds*time.Second || !a(first).Equal(first.Add(seconds*time.Second)) {
			t.Fatalf("first %v, %v, then %v", first, again, a(first))
		}
		perSecond[first.Unix()%seconds]++
	}
	for s := range int64(seconds) {
		if n := perSecond[s]; n < records/seconds/2 || n > records/seconds*2 {
			t.Errorf("second %d has %d ticks of %d", s, n, records)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	for _, text := range []string{"*/5 * * * *", "30 2 * * *", "0 0 29 2 *"} {
		b.Run(text, func(b *testing.B) {
			c, in, after := cron(b, text), place(b, "Europe/Berlin"), time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
			for b.Loop() {
				next(c, in, after)
			}
		})
	}
}
