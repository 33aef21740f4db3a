package integration_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// delivered is how often events were worked off after deliveries were received and acknowledged, and with what ids.
func delivered(t *testing.T, eventID string, deliveries ...[2]string) (ids []string, log string) {
	t.Helper()
	h := newHouse(t)
	h.s.Plugins.(catalog)["crm"].Manifest.Hooks[0].EventID = eventID
	h.guests[abi.ExportHandleEvent] = func(_ context.Context, c plugin.Call) (any, error) {
		var in abi.EventInput
		err := json.Unmarshal(c.Input, &in)
		if in.Event == abi.EventOnWebhook {
			var e abi.WebhookEvent
			err = json.Unmarshal(in.Data, &e)
			ids = append(ids, e.ID)
		}
		return abi.EventOutput{}, err
	}
	in := h.enabled(`{"type":"sync"}`)
	for _, d := range deliveries {
		reply, err := h.s.Receive(t.Context(), "sync", in.ID, "", h.signed(in, d[0], d[1]))
		if err != nil || reply.Status != http.StatusOK {
			t.Fatalf("reply %+v, %v", reply, err)
		}
	}
	for range h.due() {
		h.work()
	}
	return ids, h.log.String()
}

func TestReceive_EventsAreOneOnlyWhereTheVendorGivesOneID(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	for name, row := range map[string]struct {
		eventID    string
		deliveries [][2]string // header and body
		want       int
		logged     bool
	}{
		"no id is declared, equal bodies": {"", [][2]string{{"", `{"a":1}`}, {"", `{"a":1}`}}, 2, false},
		"the declared header is absent":   {"header:X-Id", [][2]string{{"", `{}`}, {"", `{}`}}, 2, true},
		"the declared field is absent":    {"/id", [][2]string{{"", `{}`}, {"", `{}`}}, 2, true},
		"the body is no JSON":             {"/id", [][2]string{{"", `ping`}, {"", `ping`}}, 2, true},
		"an id is null":                   {"/id", [][2]string{{"", `{"id":null}`}, {"", `{"id":null}`}}, 2, true},
		"numbers are ids":                 {"/id", [][2]string{{"", `{"id":42,"try":1}`}, {"", `{"id":42,"try":2}`}, {"", `{"id":43}`}}, 2, false},
		"large numbers keep their digits": {"/id", [][2]string{{"", `{"id":9007199254740993}`}, {"", `{"id":9007199254740992}`}}, 2, false},
		"ids in lists":                    {"/events/0/id", [][2]string{{"", `{"events":[{"id":"a"}],"try":1}`}, {"", `{"events":[{"id":"a"}],"try":2}`}}, 1, false},
		"the same header":                 {"header:X-Id", [][2]string{{"d", `{"try":1}`}, {"d", `{"try":2}`}}, 1, false},
		"long ids that differ at the end": {"header:X-Id", [][2]string{{long + "1", `{}`}, {long + "2", `{}`}, {long + "2", `{}`}}, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ids, log := delivered(t, row.eventID, row.deliveries...)
			if len(ids) != row.want {
				t.Errorf("%d of %d deliveries were worked off, want %d", len(ids), len(row.deliveries), row.want)
			}
			if got := strings.Contains(log, "no delivery id"); got != row.logged {
				t.Errorf("logged %v: %s", got, log)
			}
			for _, id := range ids {
				if len(id) > 200 {
					t.Errorf("an id of %d bytes is stored", len(id))
				}
			}
		})
	}
}
