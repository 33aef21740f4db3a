package integration

import (
	"encoding/json"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/internal/wire"
)

// Tick is one moment of a schedule.
type Tick[T any] struct {
	Schedule string    // its name
	At       time.Time // that the schedule means; the event may come later
	Data     T         // as given to Schedule; zero for schedules of the manifest
}

// OnTick registers what works the event of a schedule off, of the manifest's and of those that Schedule made.
func OnTick[T any](event Event[T], f func(*Call, Tick[T]) error) {
	wire.Prepare[T]()
	On(Event[abi.ScheduleTick](event), func(c *Call, t abi.ScheduleTick) error {
		tick := Tick[T]{Schedule: t.Schedule, At: time.UnixMilli(t.AtMS).UTC()}
		if err := wire.Decode(t.Data, &tick.Data, "the data of "+t.Schedule); err != nil {
			return frigg.Halt(err)
		}
		return f(c, tick)
	})
}

// When says when a schedule ticks: Cron, Every or At.
type When func(*abi.SchedulePut)

// Cron ticks by five fields (minute, hour, day of month, month, day of week) or a macro such as @daily, in a time zone by its
// IANA name; "" is UTC.
func Cron(expression, zone string) When {
	return func(q *abi.SchedulePut) { q.Cron, q.TimeZone = expression, zone }
}

// Every ticks at an interval of whole seconds, at least ten. When exactly differs from record to record.
func Every(d time.Duration) When {
	return func(q *abi.SchedulePut) { q.EveryS = int64(d / time.Second) }
}

// At ticks once.
func At(t time.Time) When { return func(q *abi.SchedulePut) { q.AtMS = t.UnixMilli() } }

// ScheduleOption changes how a schedule ticks.
type ScheduleOption func(*abi.SchedulePut)

// What becomes of a tick while an earlier one is not finished; SkipOverlap is the default.
var (
	SkipOverlap  ScheduleOption = overlap(abi.OverlapSkip)
	QueueOverlap ScheduleOption = overlap(abi.OverlapQueue)
	AllowOverlap ScheduleOption = overlap(abi.OverlapAllow)
)

// What becomes of ticks that nobody could work off in time; OneMissed is the default.
var (
	OneMissed  ScheduleOption = missed(abi.MissedTicksOne)
	SkipMissed ScheduleOption = missed(abi.MissedTicksSkip)
	AllMissed  ScheduleOption = missed(abi.MissedTicksAll)
)

func overlap(o abi.Overlap) ScheduleOption    { return func(q *abi.SchedulePut) { q.Overlap = o } }
func missed(m abi.MissedTicks) ScheduleOption { return func(q *abi.SchedulePut) { q.Missed = m } }

// Schedule gives this record a schedule, over one of the same name. What is there already goes on as it was, so a handler that
// runs again changes nothing.
//
//	err := integration.Schedule(c, "report", report, integration.Cron("0 8 * * mon", zone), Filter{Open: true})
func Schedule[T any](c *Call, name string, event Event[T], when When, data T, options ...ScheduleOption) error {
	b, err := json.Marshal(data)
	if err != nil {
		return err
	}
	q := abi.SchedulePut{Name: name, Event: string(event), Data: b}
	when(&q)
	for _, o := range options {
		o(&q)
	}
	_, err = wire.SchedulePut(c.host, q)
	return err
}

// Unschedule removes a schedule that Schedule made; the manifest's of that name is back then. Removing nothing is fine.
func (c *Call) Unschedule(name string) error {
	_, err := wire.ScheduleDelete(c.host, abi.ScheduleDelete{Name: name})
	return err
}

// ScheduleEntry is a schedule of this record.
type ScheduleEntry = abi.ScheduleEntry

// Schedules lists the schedules of this record by name, those of the manifest too.
func (c *Call) Schedules() ([]ScheduleEntry, error) {
	a, err := wire.ScheduleList(c.host, abi.Empty{})
	return a.Schedules, err
}
