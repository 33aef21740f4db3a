package outbound_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/frigg-host/frigg-host/host/event"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/outbound"
)

func TestDelivery_IsSignedAndSaysWhatHappened(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.run()
		e, key := r.endpoint(ada, "https://app.example.com/hooks?from=frigg", "connection.*")
		r.happens(ada)
		pass(time.Second)
		all := r.world.arrived()
		if len(all) != 1 || all[0].url != "https://app.example.com/hooks?from=frigg" {
			t.Fatalf("%d messages: %+v", len(all), all)
		}
		if err := verify(key.Reveal(), all[0].header, all[0].body, time.Now()); err != nil {
			t.Error(err)
		}
		var m map[string]any
		if err := json.Unmarshal(all[0].body, &m); err != nil {
			t.Fatal(err)
		}
		data, _ := m["data"].(map[string]any)
		if m["type"] != "connection.created" || m["owner"] != "usr_ada" || m["app_user_id"] != "app-usr_ada" || data["module"] != "crm" || m["timestamp"] == nil {
			t.Errorf("the message is %s", all[0].body)
		}
		d := r.deliveries(ada, e.ID)
		if len(d) != 1 || d[0].Progress != outbound.Done || d[0].Status != 204 || d[0].Attempt != 1 || string(d[0].Fact.ID) != all[0].id() {
			t.Errorf("the delivery is %+v", d)
		}
	})
}

func TestDelivery_IsTriedByTheScheduleAndThenGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 30*time.Second)
		r.run()
		e, key := r.endpoint(ada, "https://app.example.com/")
		r.world.answers(func(g got) (*http.Response, error) {
			if err := verify(key.Reveal(), g.header, g.body, time.Now()); err != nil {
				t.Error(err)
			}
			return says(500), nil
		})
		r.happens(ada)
		want := []time.Duration{
			5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
		}
		pass(86 * time.Hour)
		all := r.world.arrived()
		if len(all) != len(want)+1 {
			t.Fatalf("%d tries, want %d", len(all), len(want)+1)
		}
		for i, w := range want {
			gap := all[i+1].at.Sub(all[i].at)
			if gap < w*9/10 || gap > w*11/10+31*time.Second {
				t.Errorf("try %d came after %s, want about %s", i+2, gap, w)
			}
			if all[i].id() != all[i+1].id() || string(all[i].body) != string(all[i+1].body) {
				t.Errorf("try %d is another message", i+2)
			}
		}
		d := r.deliveries(ada, e.ID)
		if len(d) != 1 || d[0].Progress != outbound.Failed || d[0].Attempt != 10 || d[0].Error != "it answered 500 Internal Server Error" {
			t.Errorf("the delivery is %+v", d[0])
		}
		if got := r.read(ada, e.ID); got.State != outbound.Enabled || got.FailingSince.IsZero() {
			t.Errorf("the endpoint is %s, failing since %s", got.State, got.FailingSince)
		}
		r.world.answers(nil)
		if err := r.s.Redeliver(t.Context(), ada, e.ID, d[0].ID); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if d := r.deliveries(ada, e.ID); d[0].Progress != outbound.Done || !r.read(ada, e.ID).FailingSince.IsZero() {
			t.Errorf("after it was sent again the delivery is %+v", d[0])
		}
	})
}

func TestDelivery_WaitsAsLongAsItIsAskedTo(t *testing.T) {
	t.Parallel()
	for _, status := range []int{429, 503} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 10*time.Second)
			r.run()
			e, _ := r.endpoint(ada, "https://app.example.com/")
			r.world.answers(always(status, "Retry-After", "7200"))
			r.happens(ada)
			pass(time.Minute)
			r.happens(ada) // is for the same endpoint, which wants to be left alone
			pass(time.Hour)
			if n := len(r.world.arrived()); n != 1 {
				t.Errorf("%d tries within the time, want 1", n)
			}
			r.world.answers(nil)
			pass(90 * time.Minute)
			if d := r.deliveries(ada, e.ID, outbound.Done); len(d) != 2 {
				t.Errorf("%d are done after it, want 2", len(d))
			}
		})
	}
}

func TestEndpoint_ThatSays410GetsNothingMore(t *testing.T) {
	t.Parallel()
	if raceDetector {
		t.Skip("days take too long")
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 5*time.Minute)
		r.run()
		gone, _ := r.endpoint(ada, "https://gone.example.com/")
		r.endpoint(ada, "https://there.example.com/", event.Pattern(event.EndpointDisabled))
		r.world.answers(func(g got) (*http.Response, error) {
			if strings.Contains(g.url, "gone") {
				return says(410), nil
			}
			return says(200), nil
		})
		r.happens(ada)
		pass(10 * time.Second)
		r.happens(ada)
		pass(4 * 24 * time.Hour)
		all := r.world.arrived()
		if len(all) != 2 || all[1].name(t) != event.EndpointDisabled || !strings.Contains(string(all[1].body), string(gone.ID)) {
			t.Errorf("%d messages", len(all))
		}
		if e := r.read(ada, gone.ID); e.State != outbound.Gone || !strings.Contains(e.Reason, "410") {
			t.Errorf("the endpoint is %s: %s", e.State, e.Reason)
		}
		// Enabled again it gets what happens from then on.
		yes := true
		if _, err := r.s.UpdateEndpoint(t.Context(), ada, gone.ID, outbound.Settings{Enabled: &yes}); err != nil {
			t.Fatal(err)
		}
		r.world.answers(nil)
		r.happens(ada)
		pass(10 * time.Second)
		if n := len(r.world.arrived()); n != 3 {
			t.Errorf("%d messages after it was enabled, want 3", n)
		}
	})
}

func TestEndpoint_ThatFailsForDaysIsDisabledAndLosesNothing(t *testing.T) {
	t.Parallel()
	if raceDetector {
		t.Skip("days take too long")
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 10*time.Minute)
		r.run()
		e, _ := r.endpoint(ada, "https://app.example.com/", "connection.*")
		notice, _ := r.endpoint(ada, "https://notice.example.com/", "endpoint.*")
		r.world.answers(func(g got) (*http.Response, error) {
			if strings.Contains(g.url, "notice") {
				return says(200), nil
			}
			return nil, context.DeadlineExceeded
		})
		for range 7 {
			r.happens(ada)
			pass(24 * time.Hour)
		}
		if got := r.read(ada, e.ID); got.State != outbound.Failing || got.Reason == "" {
			t.Fatalf("after a week the endpoint is %s", got.State)
		}
		if d := r.deliveries(ada, notice.ID, outbound.Done); len(d) != 1 {
			t.Errorf("%d notices, want 1", len(d))
		}
		tries := len(r.world.arrived())
		pass(3 * 24 * time.Hour)
		if n := len(r.world.arrived()); n != tries {
			t.Errorf("%d tries while it was disabled", n-tries)
		}
		failed, held := r.deliveries(ada, e.ID, outbound.Failed), r.deliveries(ada, e.ID, outbound.Held)
		if len(failed)+len(held) != 7 || len(held) == 0 {
			t.Fatalf("%d failed and %d are held, want 7 in all", len(failed), len(held))
		}
		r.again() // what is held is held on disk
		r.run()
		r.world.answers(nil)
		yes := true
		if _, err := r.s.UpdateEndpoint(t.Context(), ada, e.ID, outbound.Settings{Enabled: &yes}); err != nil {
			t.Fatal(err)
		}
		pass(time.Hour)
		if d := r.deliveries(ada, e.ID, outbound.Done); len(d) != len(held) {
			t.Errorf("%d of %d that were held arrived", len(d), len(held))
		}
	})
}

func TestEndpoint_PausedByAPersonIsNotToldOfThatTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.run()
		e, _ := r.endpoint(ada, "https://app.example.com/")
		for _, on := range []bool{false, true} {
			if _, err := r.s.UpdateEndpoint(t.Context(), ada, e.ID, outbound.Settings{Enabled: &on}); err != nil {
				t.Fatal(err)
			}
			pass(time.Minute)
			r.happens(ada)
			if !on {
				pass(time.Minute)
			}
		}
		pass(time.Minute)
		r.again() // and not after a restart either
		r.run()
		pass(time.Minute)
		if n := len(r.world.arrived()); n != 1 {
			t.Errorf("%d messages, want the one after the pause", n)
		}
	})
}

func TestRotation_SignsWithBothForADay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 30*time.Second)
		r.run()
		e, first := r.endpoint(ada, "https://app.example.com/")
		_, second, err := r.s.RotateSecret(t.Context(), ada, e.ID)
		if err != nil {
			t.Fatal(err)
		}
		for i, wait := range []time.Duration{time.Hour, 24 * time.Hour} {
			pass(wait)
			r.happens(ada)
			pass(time.Minute)
			all := r.world.arrived()
			g := all[len(all)-1]
			if len(all) != i+1 || verify(second.Reveal(), g.header, g.body, time.Now()) != nil {
				t.Error("the new secret does not verify")
			}
			if old := verify(first.Reveal(), g.header, g.body, time.Now()) == nil; old != (i == 0) {
				t.Errorf("after %s the old secret verifies: %t", wait, old)
			}
		}
		if err := r.s.Prune(t.Context()); err != nil || r.read(ada, e.ID).OldSecret != "" {
			t.Errorf("the old secret is still there: %v", err)
		}
	})
}

func TestSlowEndpoints_LeaveWorkersToOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		worked := make(chan time.Time, 1)
		r.handlers["other"] = handler(func() { worked <- time.Now() })
		r.run() // 4 workers, of which deliveries take 2
		for range 6 {
			r.endpoint(ada, "https://slow.example.com/")
		}
		r.world.answers(func(g got) (*http.Response, error) {
			<-g.ctx.Done()
			return nil, g.ctx.Err()
		})
		r.happens(ada)
		pass(2 * time.Second)
		if n := len(r.world.arrived()); n != 2 {
			t.Fatalf("%d are under way, want 2", n)
		}
		began := time.Now()
		if _, _, err := r.db.Enqueue(t.Context(), job.New{ID: job.NewID(), Owner: bob, Lane: "x", Kind: "other", CreatedAt: began}); err != nil {
			t.Fatal(err)
		}
		if took := (<-worked).Sub(began); took > 2*time.Second {
			t.Errorf("somebody else's job waited for %s", took)
		}
		pass(time.Minute)
		all := r.world.arrived()
		if all[2].at.Sub(all[0].at) > 17*time.Second {
			t.Errorf("a slow endpoint had %s", all[2].at.Sub(all[0].at))
		}
	})
}

type handler func()

func (h handler) Work(context.Context, *job.Job) job.Outcome { h(); return job.Outcome{} }

func TestDeadEndpoint_DoesNotGetItsWholeBacklogAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 30*time.Second)
		r.run()
		r.endpoint(ada, "https://down.example.com/")
		r.world.answers(always(502))
		for range 60 {
			r.happens(ada)
		}
		pass(time.Hour)
		if n := len(r.world.arrived()); n > 40 {
			t.Errorf("%d tries within an hour", n)
		}
		r.world.answers(nil)
		pass(6 * time.Hour)
		ids := map[string]bool{}
		for _, g := range r.world.arrived() {
			ids[g.id()] = true
		}
		if len(ids) != 60 {
			t.Errorf("%d of 60 were told", len(ids))
		}
	})
}
