package schedule_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/schedule"
	"github.com/frigg-host/frigg-host/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// catalog has one integration, whose manifest a test may change.
type catalog struct {
	plugin.Catalog
	serving atomic.Pointer[plugin.Plugin]
}

func (c *catalog) Plugins() []*plugin.Plugin             { return []*plugin.Plugin{c.serving.Load()} }
func (c *catalog) Plugin(string) (*plugin.Plugin, error) { return c.serving.Load(), nil }
func (c *catalog) declare(schedules ...abi.Schedule)     { c.serving.Store(pluginWith(schedules...)) }

func pluginWith(schedules ...abi.Schedule) *plugin.Plugin {
	return &plugin.Plugin{Name: "sync", Kind: abi.PluginKindIntegration, State: plugin.Ready, Manifest: abi.Manifest{Schedules: schedules}}
}

// house is the room on a real store and, in a bubble of synctest, a fake clock that begins at midnight of 2000-01-01.
type house struct {
	t        *testing.T
	db       *store.DB
	catalog  *catalog
	s        *schedule.Service
	ada, bob account.Owner
}

// inHouse runs a test in a bubble.
func inHouse(t *testing.T, test func(t *testing.T, h *house)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db, err := store.Open(t.Context(), store.Config{DSN: filepath.Join(t.TempDir(), "frigg.db")})
		must(t, err)
		h := &house{t: t, db: db, catalog: &catalog{}}
		h.catalog.declare()
		h.s = h.service()
		h.ada, h.bob = h.owner(), h.owner()
		test(t, h)
		must(t, db.Close())
	})
}

// service is the room of one process. It looks at the database once a day, so that it must know what happens when.
func (h *house) service() *schedule.Service {
	return &schedule.Service{
		Store: h.db, Plugins: h.catalog, Integrations: &integration.Service{Now: time.Now}, Now: time.Now,
		Log: slog.New(slog.DiscardHandler), Poll: 24 * time.Hour,
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (h *house) owner() account.Owner {
	h.t.Helper()
	u := &account.User{ID: account.NewID(), Kind: account.Individual, CreatedAt: time.Now()}
	must(h.t, h.db.CreateUser(h.t.Context(), nil, u))
	return account.Owner(u.ID)
}

func actor(o account.Owner) account.Actor { return account.Actor{User: account.ID(o), Owner: o} }

// record is a record of ada.
func (h *house) record(status abi.Status) integration.ID {
	h.t.Helper()
	in := &integration.Integration{
		ID: integration.NewID(), Owner: h.ada, Plugin: "sync", Version: "1.0.0", Status: status, Config: json.RawMessage(`{}`),
		CreatedAt: time.Now(), UpdatedAt: time.Now(),
	}
	created := job.New{ID: job.NewID(), Owner: h.ada, Lane: "elsewhere", Kind: "test", CreatedAt: time.Now()}
	must(h.t, h.db.CreateIntegration(h.t.Context(), in, created))
	h.s.Wake()
	return in.ID
}

// become changes the status of a record, as a person or a guest does.
func (h *house) become(id integration.ID, status abi.Status) {
	h.t.Helper()
	in, err := h.db.IntegrationByID(h.t.Context(), h.ada, id)
	must(h.t, err)
	in.Status, in.UpdatedAt = status, time.Now()
	must(h.t, h.db.SaveIntegration(h.t.Context(), in, nil, nil))
	h.s.Wake()
}

func (h *house) put(id integration.ID, q abi.SchedulePut) {
	h.t.Helper()
	must(h.t, h.s.PutSchedule(h.t.Context(), h.ada, id, q))
}

// run lets schedules tick while f runs.
func (h *house) run(f func(), services ...*schedule.Service) {
	h.t.Helper()
	ctx, stop := context.WithCancel(h.t.Context())
	var running sync.WaitGroup
	for _, s := range append(services, h.s) {
		running.Go(func() { s.Run(ctx) })
	}
	synctest.Wait()
	f()
	synctest.Wait()
	stop()
	running.Wait()
}

// pass lets time pass.
func pass(d time.Duration) {
	time.Sleep(d) // of the fake clock
	synctest.Wait()
}

func (h *house) schedules(id integration.ID) map[string]*schedule.Schedule {
	h.t.Helper()
	found, err := h.db.RecordSchedules(h.t.Context(), h.ada, id)
	must(h.t, err)
	all := map[string]*schedule.Schedule{}
	for _, s := range found {
		all[s.Name] = s
	}
	return all
}

// tick is a job of a schedule as its guest would see it.
type tick struct {
	job   *job.Job
	Event string
	abi.ScheduleTick
}

// ticks are all that were ever enqueued for ada, oldest first.
func (h *house) ticks() (all []tick) {
	h.t.Helper()
	for before := job.ID(""); ; {
		page, err := h.db.Jobs(h.t.Context(), h.ada, []job.State{job.Queued, job.Running, job.Done, job.Halted, job.Dead}, before, 200)
		must(h.t, err)
		for _, j := range page {
			before = j.ID
			var p struct {
				Event string
				Data  abi.ScheduleTick
			}
			must(h.t, json.Unmarshal(j.Payload, &p))
			if strings.HasPrefix(j.UniqueKey, "tick|") {
				all = append([]tick{{j, p.Event, p.Data}}, all...)
			}
		}
		if len(page) < 200 {
			return all
		}
	}
}

// times are the times that ticks mean.
func times(ticks []tick) []string {
	out := []string{}
	for _, one := range ticks {
		out = append(out, time.UnixMilli(one.AtMS).UTC().Format("02 15:04:05"))
	}
	return out
}

// finish works everything off that waits.
func (h *house) finish() {
	h.t.Helper()
	for {
		claimed, err := h.db.ClaimJobs(h.t.Context(), "test", time.Now(), time.Now().Add(time.Hour), 100)
		must(h.t, err)
		if len(claimed) == 0 {
			return
		}
		for _, j := range claimed {
			must(h.t, h.db.SettleJob(h.t.Context(), j.ID, j.Epoch, time.Now(), job.Settlement{State: job.Done}))
		}
	}
}

func TestRun_TicksAtTheMomentAndSaysWhichItIs(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		id := h.record(abi.StatusEnabled)
		h.run(func() {
			pass(10 * time.Second)
			h.put(id, abi.SchedulePut{Name: "n", Event: "TICK", Data: json.RawMessage(`{"page":1}`), Cron: "* * * * *", Overlap: abi.OverlapQueue})
			pass(2 * time.Minute)
		})
		got := h.ticks()
		if diff := cmp.Diff([]string{"01 00:01:00", "01 00:02:00"}, times(got)); diff != "" {
			t.Fatal(diff)
		}
		for _, one := range got {
			late := one.job.CreatedAt.Sub(time.UnixMilli(one.AtMS))
			if one.Event != "TICK" || one.Schedule != "n" || string(one.Data) != `{"page":1}` || late != 0 || one.job.Lane != string(id) || one.job.Kind != integration.JobDeliver {
				t.Errorf("%+v, %v late", one, late)
			}
		}
		if s := h.schedules(id)["n"]; s.LastAt.Minute() != 2 || s.NextAt.Minute() != 3 {
			t.Errorf("%+v", s)
		}
	})
}

func TestRun_OverlapDecidesBesideUnfinishedTicks(t *testing.T) {
	for _, test := range []struct {
		overlap abi.Overlap
		n       int // of three ticks while none is worked off
		lanes   int
	}{{"", 1, 1}, {abi.OverlapSkip, 1, 1}, {abi.OverlapQueue, 3, 1}, {abi.OverlapAllow, 3, 3}} {
		t.Run(string(test.overlap), func(t *testing.T) {
			inHouse(t, func(t *testing.T, h *house) {
				id := h.record(abi.StatusEnabled)
				h.put(id, abi.SchedulePut{Name: "n", Event: "TICK", Cron: "* * * * *", Overlap: test.overlap})
				h.run(func() {
					pass(3 * time.Minute)
					lanes := map[string]bool{}
					for _, one := range h.ticks() {
						lanes[one.job.Lane] = true
					}
					if n := len(h.ticks()); n != test.n || len(lanes) != test.lanes {
						t.Errorf("%d ticks in %d lanes, want %d in %d", n, len(lanes), test.n, test.lanes)
					}
					h.finish()
					pass(time.Minute)
					if n := len(h.ticks()); n != test.n+1 {
						t.Errorf("%d ticks after all were done, want %d", n, test.n+1)
					}
				})
			})
		})
	}
}

func TestRun_UnfinishedTicksAreBounded(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		id := h.record(abi.StatusEnabled)
		h.put(id, abi.SchedulePut{Name: "n", Event: "TICK", Cron: "* * * * *", Overlap: abi.OverlapAllow})
		h.run(func() { pass(110 * time.Minute) })
		if n := len(h.ticks()); n != 100 {
			t.Errorf("%d ticks wait, want 100", n)
		}
	})
}

// The same three ways of missing ticks: the host is down, the record is disabled, the schedule is paused.
func TestRun_MissedTicksComeAsTheRuleSays(t *testing.T) {
	last := func(n int) (all []string) {
		for at := time.Date(2000, 1, 1, 3, 0, 0, 0, time.UTC); n > 0; n-- {
			all = append(all, at.Add(time.Duration(1-n)*time.Minute).Format("02 15:04:05"))
		}
		return all
	}
	for _, test := range []struct {
		name    string
		missed  abi.MissedTicks
		overlap abi.Overlap
		late    time.Duration // after 03:00, the last tick that was missed
		want    []string
	}{
		{"one by default", "", "", 30 * time.Second, last(1)},
		{"one", abi.MissedTicksOne, abi.OverlapQueue, 30 * time.Second, last(1)},
		{"skip", abi.MissedTicksSkip, "", 0, last(1)},
		{"all", abi.MissedTicksAll, abi.OverlapQueue, 30 * time.Second, last(100)},
		{"all but what overlaps", abi.MissedTicksAll, abi.OverlapSkip, 30 * time.Second, last(1)},
	} {
		for way, miss := range map[string]func(h *house, id integration.ID, away func()){
			"down": func(_ *house, _ integration.ID, away func()) { away() },
			"disabled": func(h *house, id integration.ID, away func()) {
				h.become(id, abi.StatusDisabled)
				h.run(away)
				h.become(id, abi.StatusEnabled)
			},
			"paused": func(h *house, id integration.ID, away func()) {
				s := h.schedules(id)["n"]
				paused, err := h.s.Pause(h.t.Context(), actor(h.ada), s.ID)
				if err != nil || !paused.Paused || !paused.NextAt.IsZero() {
					h.t.Errorf("%+v, %v", paused, err)
				}
				h.run(away)
				resumed, err := h.s.Resume(h.t.Context(), actor(h.ada), s.ID)
				if err != nil || resumed.Paused || resumed.NextAt.IsZero() {
					h.t.Errorf("%+v, %v", resumed, err)
				}
			},
		} {
			t.Run(test.name+", "+way, func(t *testing.T) {
				inHouse(t, func(t *testing.T, h *house) {
					id := h.record(abi.StatusEnabled)
					h.put(id, abi.SchedulePut{Name: "n", Event: "TICK", Cron: "* * * * *", Missed: test.missed, Overlap: test.overlap})
					miss(h, id, func() { pass(3*time.Hour + test.late) })
					if n := len(h.ticks()); n != 0 {
						t.Fatalf("%d ticks meanwhile", n)
					}
					h.run(func() {})
					if diff := cmp.Diff(test.want, times(h.ticks())); diff != "" {
						t.Error(diff)
					}
				})
			})
		}
	}
}

func TestRun_SkipsWhatIsAMinuteLate(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		id := h.record(abi.StatusEnabled)
		h.put(id, abi.SchedulePut{Name: "n", Event: "TICK", Cron: "@hourly", Missed: abi.MissedTicksSkip})
		pass(time.Hour + time.Minute)
		h.run(func() {
			if got := h.ticks(); len(got) != 0 {
				t.Errorf("%v", times(got))
			}
			pass(time.Hour)
		})
		if diff := cmp.Diff([]string{"01 02:00:00"}, times(h.ticks())); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRun_OnlyRecordsThatWorkTick(t *testing.T) {
	for status, want := range map[abi.Status]int{
		abi.StatusEnabled: 1, abi.StatusProcessing: 1, abi.StatusDisabled: 0, abi.StatusError: 0, abi.StatusNeedsConfig: 0,
		abi.StatusInCreation: 0, abi.StatusInDeletion: 0,
	} {
		t.Run(string(status), func(t *testing.T) {
			inHouse(t, func(t *testing.T, h *house) {
				id := h.record(status)
				h.put(id, abi.SchedulePut{Name: "n", Event: "TICK", Cron: "* * * * *"})
				h.run(func() { pass(5 * time.Minute) })
				if n := len(h.ticks()); n != want {
					t.Errorf("%d ticks, want %d", n, want)
				}
			})
		})
	}
}

func TestRun_OneShotComesOnceAndIsGone(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		id := h.record(abi.StatusEnabled)
		at := time.Now().Add(90 * time.Second)
		h.put(id, abi.SchedulePut{Name: "later", Event: "TICK", AtMS: at.UnixMilli()})
		h.put(id, abi.SchedulePut{Name: "passed", Event: "TICK", AtMS: 1})
		h.put(id, abi.SchedulePut{Name: "skipped", Event: "TICK", AtMS: 1, Missed: abi.MissedTicksSkip})
		h.run(func() {
			if got := h.ticks(); len(got) != 1 || got[0].Schedule != "passed" || got[0].AtMS != 1 {
				t.Errorf("at once: %+v", got)
			}
			pass(10 * time.Minute)
		})
		got := h.ticks()
		if len(got) != 2 || got[1].Schedule != "later" || !got[1].job.CreatedAt.Equal(at) || len(h.schedules(id)) != 0 {
			t.Errorf("%+v, left %v", got, h.schedules(id))
		}
	})
}

// Two hosts on one database, without a leader.
func TestRun_ATickHappensOnceHoweverManyHostsThereAre(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		const records, minutes = 20, 5
		for range records {
			h.put(h.record(abi.StatusEnabled), abi.SchedulePut{Name: "n", Event: "TICK", Cron: "* * * * *", Overlap: abi.OverlapQueue})
		}
		h.run(func() { pass(minutes * time.Minute) }, h.service(), h.service())
		seen := map[string]int{}
		for _, one := range h.ticks() {
			seen[one.job.Lane+time.UnixMilli(one.AtMS).String()]++
		}
		if len(seen) != records*minutes || len(h.ticks()) != records*minutes {
			t.Errorf("%d ticks, %d of them different, want %d", len(h.ticks()), len(seen), records*minutes)
		}
	})
}

func TestAdvance_OfWhatHasMovedChangesNothing(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		id := h.record(abi.StatusEnabled)
		h.put(id, abi.SchedulePut{Name: "n", Event: "TICK", Cron: "* * * * *"})
		seen := h.schedules(id)["n"]
		h.put(id, abi.SchedulePut{Name: "n", Event: "OTHER", Cron: "@daily"})
		changed := h.schedules(id)["n"]
		stale := schedule.Advance{
			Schedule: seen, NextAt: time.Now().Add(time.Minute), Most: 100, Overlap: abi.OverlapQueue,
			Ticks: []job.New{{ID: job.NewID(), Owner: h.ada, Lane: "l", Kind: "test", UniqueKey: schedule.TickKeys(seen.ID) + "x", CreatedAt: time.Now()}},
		}
		must(t, h.db.Advance(t.Context(), stale))
		must(t, h.db.HoldSchedule(t.Context(), schedule.Due{Schedule: seen, Status: abi.StatusEnabled}))
		if diff := cmp.Diff(changed, h.schedules(id)["n"]); diff != "" || len(h.ticks()) != 0 {
			t.Errorf("%d ticks, %s", len(h.ticks()), diff)
		}
		must(t, h.db.HoldSchedule(t.Context(), schedule.Due{Schedule: changed, Status: abi.StatusDisabled}))
		if diff := cmp.Diff(changed, h.schedules(id)["n"]); diff != "" {
			t.Errorf("held for a status that the record no longer has: %s", diff)
		}
	})
}

// broken fails to move schedules.
type broken struct {
	schedule.Store
	tries atomic.Int64
}

func (b *broken) Advance(context.Context, schedule.Advance) error {
	b.tries.Add(1)
	return fault.New(fault.Unavailable, "test", "no")
}

func TestRun_DoesNotSpinOnWhatFails(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		h.put(h.record(abi.StatusEnabled), abi.SchedulePut{Name: "n", Event: "TICK", AtMS: 1})
		b := &broken{Store: h.db}
		h.s.Store, h.s.Poll = b, time.Second
		h.run(func() { pass(time.Minute) })
		if n := b.tries.Load(); n < 2 || n > 70 {
			t.Errorf("%d tries in a minute", n)
		}
	})
}

func TestRun_HoldsWhatCannotBeRead(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		id := h.record(abi.StatusEnabled)
		h.put(id, abi.SchedulePut{Name: "good", Event: "TICK", Cron: "* * * * *", Overlap: abi.OverlapQueue})
		must(t, h.db.PutSchedule(t.Context(), &schedule.Schedule{
			ID: schedule.NewID(), Owner: h.ada, Integration: id, Name: "bad", Event: "TICK", Rule: schedule.Rule{Cron: "of a later version"},
			NextAt: time.Now(), CreatedAt: time.Now(), UpdatedAt: time.Now(),
		}, 100))
		h.run(func() { pass(2 * time.Minute) })
		if s := h.schedules(id)["bad"]; !s.NextAt.IsZero() || s.HeldAt.IsZero() || len(h.ticks()) != 2 {
			t.Errorf("%+v, %v", s, times(h.ticks()))
		}
	})
}

func TestRun_GivesRecordsTheSchedulesOfTheManifest(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		nightly := abi.Schedule{Name: "nightly", Event: "NIGHTLY", Cron: "0 3 * * *"}
		often := abi.Schedule{Name: "often", Event: "OFTEN", EveryS: 60}
		hourly := abi.Schedule{Name: "hourly", Event: "HOURLY", Cron: "@hourly"}
		h.catalog.declare(nightly, often)
		works, waits := h.record(abi.StatusEnabled), h.record(abi.StatusInCreation)
		disabled := h.record(abi.StatusEnabled)
		names := func(id integration.ID) (all []string) {
			for _, e := range must2(h.s.RecordSchedules(t.Context(), h.ada, id)) {
				all = append(all, e.Name+" "+e.Event)
			}
			return all
		}
		h.run(func() {
			for id, want := range map[integration.ID][]string{works: {"nightly NIGHTLY", "often OFTEN"}, waits: nil} {
				if diff := cmp.Diff(want, names(id)); diff != "" {
					t.Error(diff)
				}
			}
			h.become(waits, abi.StatusEnabled)
			h.become(disabled, abi.StatusDisabled)
			synctest.Wait()
			if diff := cmp.Diff([]string{"nightly NIGHTLY", "often OFTEN"}, names(waits)); diff != "" {
				t.Errorf("enabled: %s", diff)
			}
			before := h.schedules(works)
			nightly.Event = "NIGHT"
			h.catalog.declare(nightly, hourly)
			h.s.Wake()
			synctest.Wait()
			for _, id := range []integration.ID{works, waits, disabled} {
				if diff := cmp.Diff([]string{"hourly HOURLY", "nightly NIGHT"}, names(id)); diff != "" {
					t.Errorf("upgraded: %s", diff)
				}
			}
			if before["nightly"].ID != h.schedules(works)["nightly"].ID {
				t.Error("a schedule that has changed is another one")
			}
			h.catalog.declare()
			h.s.Wake()
			synctest.Wait()
			if left := names(works); left != nil {
				t.Errorf("after the last was dropped: %v", left)
			}
		})
	})
}

func must2[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestPut_ReplacesTheManifestsUntilItIsDeleted(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		h.catalog.declare(abi.Schedule{Name: "n", Event: "NIGHTLY", Cron: "0 3 * * *"})
		id, other := h.record(abi.StatusEnabled), h.record(abi.StatusEnabled)
		show := func(id integration.ID) string {
			synctest.Wait()
			s := h.schedules(id)["n"]
			if s == nil {
				return "none"
			}
			text, _ := json.Marshal(s.Rule)
			return strings.Join([]string{s.Event, string(text)}, " ")
		}
		const manifests = `NIGHTLY {"cron":"0 3 * * *","time_zone":"UTC","overlap":"skip","missed":"one"}`
		h.run(func() {
			h.put(id, abi.SchedulePut{Name: "n", Event: "OWN", EveryS: 600})
			if got := show(id); got != `OWN {"every_s":600,"time_zone":"UTC","overlap":"skip","missed":"one"}` {
				t.Error(got)
			}
			if got := show(other); got != manifests {
				t.Errorf("of another record: %s", got)
			}
			h.catalog.declare(abi.Schedule{Name: "n", Event: "NIGHTLY", Cron: "0 4 * * *"})
			h.s.Wake()
			if got := show(id); !strings.HasPrefix(got, "OWN") {
				t.Errorf("after an upgrade: %s", got)
			}
			h.catalog.declare(abi.Schedule{Name: "n", Event: "NIGHTLY", Cron: "0 3 * * *"})
			h.s.Wake()
			if got := show(other); got != manifests {
				t.Errorf("of another record, after an upgrade: %s", got)
			}
			for range 2 { // deleting again is fine, and does not take the manifest's
				must(t, h.s.DeleteSchedule(t.Context(), h.ada, id, "n"))
				if got := show(id); got != manifests {
					t.Errorf("after it was deleted: %s", got)
				}
			}
		})
	})
}

func TestPut_TheSameAgainChangesNothing(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		id := h.record(abi.StatusEnabled)
		q := abi.SchedulePut{Name: "n", Event: "TICK", EveryS: 60, Data: json.RawMessage(`1`)}
		h.put(id, q)
		before := h.schedules(id)["n"]
		pass(time.Hour) // while it is due
		h.put(id, q)
		if diff := cmp.Diff(before, h.schedules(id)["n"]); diff != "" {
			t.Error(diff)
		}
		_, err := h.s.Pause(t.Context(), actor(h.ada), before.ID)
		must(t, err)
		q.EveryS = 120
		h.put(id, q)
		if s := h.schedules(id)["n"]; !s.Paused || !s.NextAt.IsZero() || s.HeldAt.IsZero() || s.Rule.EveryS != 120 {
			t.Errorf("a paused one that was put anew: %+v", s)
		}
	})
}

func TestPut_RefusesWhatMakesNoSense(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		id := h.record(abi.StatusEnabled)
		for name, test := range map[string]struct {
			q    abi.SchedulePut
			says string
		}{
			"no name":         {abi.SchedulePut{Event: "TICK", EveryS: 60}, "name"},
			"no event":        {abi.SchedulePut{Name: "n", EveryS: 60}, "event"},
			"event of hosts":  {abi.SchedulePut{Name: "n", Event: abi.EventOnDelete, EveryS: 60}, "event of the host"},
			"no time":         {abi.SchedulePut{Name: "n", Event: "TICK"}, "one of them"},
			"two times":       {abi.SchedulePut{Name: "n", Event: "TICK", EveryS: 60, AtMS: 1}, "one of them"},
			"broken cron":     {abi.SchedulePut{Name: "n", Event: "TICK", Cron: "61 * * * *"}, "minute"},
			"long cron":       {abi.SchedulePut{Name: "n", Event: "TICK", Cron: strings.Repeat("*,", 200) + "* * * * *"}, "bytes"},
			"never":           {abi.SchedulePut{Name: "n", Event: "TICK", Cron: "0 0 31 4,6,9,11 *"}, "never comes"},
			"too often":       {abi.SchedulePut{Name: "n", Event: "TICK", EveryS: 1}, "from 10 to"},
			"before 1970":     {abi.SchedulePut{Name: "n", Event: "TICK", AtMS: -1}, "since 1970"},
			"too far":         {abi.SchedulePut{Name: "n", Event: "TICK", AtMS: 1 << 60}, "year 10000"},
			"unknown zone":    {abi.SchedulePut{Name: "n", Event: "TICK", Cron: "@daily", TimeZone: "../../etc/passwd"}, "IANA"},
			"unknown overlap": {abi.SchedulePut{Name: "n", Event: "TICK", EveryS: 60, Overlap: "x"}, "none of skip"},
			"unknown missed":  {abi.SchedulePut{Name: "n", Event: "TICK", EveryS: 60, Missed: "x"}, "none of one"},
			"too much data":   {abi.SchedulePut{Name: "n", Event: "TICK", EveryS: 60, Data: make(json.RawMessage, 64<<10+1)}, "data"},
		} {
			err := h.s.PutSchedule(t.Context(), h.ada, id, test.q)
			if !fault.Is(err, fault.Invalid) || fault.SideOf(err) != fault.Guest || !strings.Contains(fault.PublicMessage(err), test.says) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if all := h.schedules(id); len(all) != 0 {
			t.Errorf("%v", all)
		}
	})
}

func TestPut_IsBoundedForEachRecord(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		id := h.record(abi.StatusEnabled)
		name := func(i int) string { return "n" + strings.Repeat("x", i) }
		q := abi.SchedulePut{Event: "TICK", EveryS: 60}
		for i := range abi.LimitSchedules {
			q.Name = name(i % 60)
			if i >= 60 {
				q.Name = "m" + name(i-60)
			}
			h.put(id, q)
		}
		h.put(id, abi.SchedulePut{Name: q.Name, Event: "OTHER", EveryS: 60}) // replaces
		q.Name = "one-more"
		if err := h.s.PutSchedule(t.Context(), h.ada, id, q); !fault.Is(err, fault.Exhausted) {
			t.Errorf("%v", err)
		}
		if n := len(h.schedules(id)); n != abi.LimitSchedules {
			t.Errorf("%d schedules", n)
		}
		h.put(h.record(abi.StatusEnabled), q)
	})
}

func TestSchedules_OfSomebodyElseAreNotFound(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		id := h.record(abi.StatusEnabled)
		h.put(id, abi.SchedulePut{Name: "n", Event: "TICK", EveryS: 60})
		mine := h.schedules(id)["n"]
		ctx := t.Context()
		for name, use := range map[string]func() error{
			"put": func() error {
				return h.s.PutSchedule(ctx, h.bob, id, abi.SchedulePut{Name: "n", Event: "BOBS", EveryS: 60})
			},
			"delete": func() error { return h.s.DeleteSchedule(ctx, h.bob, id, "n") },
			"list":   func() error { _, err := h.s.RecordSchedules(ctx, h.bob, id); return err },
			"pause":  func() error { _, err := h.s.Pause(ctx, actor(h.bob), mine.ID); return err },
			"resume": func() error { _, err := h.s.Resume(ctx, actor(h.bob), mine.ID); return err },
			"plan": func() error {
				return h.db.PlanSchedules(ctx, schedule.Record{ID: id, Owner: h.bob}, "x", nil)
			},
		} {
			if err := use(); !fault.Is(err, fault.NotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if all, err := h.s.Schedules(ctx, actor(h.bob), "", 200); err != nil || len(all) != 0 {
			t.Errorf("%v, %v", all, err)
		}
		foreign := *mine
		foreign.Owner = h.bob
		must(t, h.db.Advance(ctx, schedule.Advance{Schedule: &foreign, Most: 100}))
		must(t, h.db.HoldSchedule(ctx, schedule.Due{Schedule: &foreign, Status: abi.StatusEnabled}))
		if diff := cmp.Diff(mine, h.schedules(id)["n"]); diff != "" {
			t.Error(diff)
		}
		if all, err := h.s.Schedules(ctx, actor(h.ada), "", 200); err != nil || len(all) != 1 {
			t.Errorf("%v, %v", all, err)
		}
		if _, err := h.s.Schedules(ctx, account.Actor{}, "", 200); err == nil {
			t.Error("nobody lists schedules")
		}
	})
}

func TestSchedules_GoWithTheirRecord(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		id := h.record(abi.StatusInDeletion)
		h.put(id, abi.SchedulePut{Name: "n", Event: "TICK", EveryS: 60})
		j := job.New{ID: job.NewID(), Owner: h.ada, Lane: string(id), Kind: "test", CreatedAt: time.Now()}
		_, _, err := h.db.Enqueue(t.Context(), j)
		must(t, err)
		claimed, err := h.db.ClaimJobs(t.Context(), "test", time.Now(), time.Now().Add(time.Hour), 100)
		must(t, err)
		for _, c := range claimed {
			if c.ID == j.ID {
				must(t, h.db.SettleJob(t.Context(), c.ID, c.Epoch, time.Now(), job.Settlement{
					State: job.Done, With: &integration.Settled{Owner: h.ada, Integration: id, Remove: true},
				}))
			}
		}
		if all, err := h.s.Schedules(t.Context(), actor(h.ada), "", 200); err != nil || len(all) != 0 {
			t.Errorf("%v, %v", all, err)
		}
	})
}
