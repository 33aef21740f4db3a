package integration_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/plugin"
)

func TestSchedules_AreOfTheRecordThatTheGuestWorksFor(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	in, other := h.enabled(`{"type":"sync"}`), h.enabled(`{"type":"sync"}`)
	var seen []abi.ScheduleEntries
	h.guests[abi.ExportRunAction] = func(ctx context.Context, c plugin.Call) (any, error) {
		for _, name := range []string{"a", "b"} {
			if _, err := c.Can.Schedule.Put(ctx, abi.SchedulePut{Name: name, Event: "PAGE", EveryS: 60}); err != nil {
				return nil, err
			}
		}
		if _, err := c.Can.Schedule.Delete(ctx, abi.ScheduleDelete{Name: "a"}); err != nil {
			return nil, err
		}
		all, err := c.Can.Schedule.List(ctx, abi.Empty{})
		seen = append(seen, all)
		return abi.ActionOutput{}, err
	}
	for _, id := range []integration.ID{in.ID, other.ID} {
		if _, err := h.s.RunAction(t.Context(), h.ada, id, "GO", nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 2 || len(seen[0].Schedules) != 1 || len(seen[1].Schedules) != 1 {
		t.Fatalf("%+v", seen)
	}
	a, b := seen[0].Schedules[0], seen[1].Schedules[0]
	if a.Name != "b" || a.NextMS == 0 || a.NextMS == b.NextMS || a.NextMS-h.now.UnixMilli() > 60_000 {
		t.Errorf("%+v, %+v", a, b)
	}
}

func TestTickJob_BringsScheduleTimeAndData(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	in := h.enabled(`{"type":"sync"}`)
	var got []abi.EventInput
	h.guests[abi.ExportHandleEvent] = func(_ context.Context, c plugin.Call) (any, error) {
		var e abi.EventInput
		err := json.Unmarshal(c.Input, &e)
		got = append(got, e)
		return abi.EventOutput{}, err
	}
	at := time.Date(2026, 5, 6, 7, 0, 0, 0, time.UTC)
	tick := integration.Tick{Integration: in.ID, Schedule: "n", Event: "PAGE", Data: json.RawMessage(`[1]`), At: at, Key: "tick|1"}
	for i := range 2 {
		_, existed, err := h.db.Enqueue(t.Context(), h.s.TickJob(in.Owner, tick))
		if err != nil || existed != (i == 1) {
			t.Fatalf("%v, %v", existed, err)
		}
		if !existed {
			h.work()
		}
	}
	if len(got) != 1 || got[0].Event != "PAGE" {
		t.Fatalf("%+v", got)
	}
	var data abi.ScheduleTick
	if err := json.Unmarshal(got[0].Data, &data); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(abi.ScheduleTick{Schedule: "n", AtMS: at.UnixMilli(), Data: json.RawMessage(`[1]`)}, data); diff != "" {
		t.Error(diff)
	}
	tick.Beside = true
	if n := h.s.TickJob(in.Owner, tick); n.Lane == string(in.ID) || n.Owner != in.Owner || n.Kind != integration.JobDeliver {
		t.Errorf("%+v", n)
	}
}
