package host_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/api"
	"github.com/frigg-host/frigg-host/host/testdata/guests"
)

// A guest makes a schedule for itself, an upgrade brings one for everybody, and both tick; a record that is disabled rests, and
// one that is removed takes its schedules along.
func TestSchedule_GuestsGetTheirTicks(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	r := newRig(t, plugins(t, ""), func(r *rig) { r.config.Now, r.config.Accounts.TokenTTL = now, 24*time.Hour })
	until := func(at time.Time) {
		ahead.Add(int64(max(0, at.Sub(now()))))
		r.host.Schedules.Wake()
	}
	c := r.user("ada", "correct horse")
	id := c.keyFlow(nil)
	told := func(want string) {
		t.Helper()
		r.await("the guest is told "+want, func() bool {
			_, answer := c.act(id, step{"do": "told"})
			return strings.Contains(answer, `"`+want+`"`)
		})
	}
	list := func() []api.Schedule {
		var l api.ScheduleList
		c.mustDo(http.StatusOK, http.MethodGet, "/api/v2/schedules", nil, &l)
		return l.Schedules
	}

	once := now().Add(time.Hour).Truncate(time.Second).UTC()
	if status, answer := c.act(id, step{"do": "schedule", "text": "own", "number": once.Unix(), "method": "hello"}, step{"do": "schedules"}); status != http.StatusOK || !strings.Contains(answer, `"name":"own"`) {
		t.Fatalf("%d %s", status, answer)
	}
	until(once)
	told("own " + once.Format(time.RFC3339) + " hello")
	if left := list(); len(left) != 0 {
		t.Errorf("it is still there: %+v", left)
	}

	if status, answer := c.act(id, step{"do": "later", "method": "schedule", "text": "passed"}); status != http.StatusOK { // from an event
		t.Fatalf("%d %s", status, answer)
	}
	told("passed 1970-01-01T00:00:01Z ")

	r.drop("flow.wasm", guests.Plugin(t, "flow", "scheduled.yaml", ""))
	r.await("the schedule of the new version", func() bool { return len(list()) == 1 })
	hourly := list()[0]
	if hourly.Name != "hourly" || !hourly.FromManifest || hourly.NextAt == nil || hourly.NextAt.Sub(now()) > time.Hour {
		t.Fatalf("%+v", hourly)
	}
	until(*hourly.NextAt)
	told("hourly " + hourly.NextAt.Format(time.RFC3339) + " ")

	c.mustDo(http.StatusOK, http.MethodPatch, "/api/integrations/"+string(id), map[string]any{"status": "DISABLED"}, nil)
	missed := hourly.NextAt.Add(3 * time.Hour)
	until(missed.Add(time.Minute))
	r.await("it rests", func() bool { return list()[0].NextAt == nil })
	c.mustDo(http.StatusOK, http.MethodPatch, "/api/integrations/"+string(id), map[string]any{"status": "ENABLED"}, nil)
	told("hourly " + missed.Format(time.RFC3339) + " ")

	c.mustDo(http.StatusCreated, http.MethodDelete, "/api/integrations/"+string(id), nil, nil)
	r.await("the schedule is gone with its record", func() bool { return len(list()) == 0 })
}
