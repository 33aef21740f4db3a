package integration_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/event"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/plugin/plugintest"
)

// notifying is an enabled record whose plugin declares DEAL_WON.
func notifying(h *house) *integration.Integration {
	h.s.Plugins.(catalog)["sync"].Manifest.Notifications = []abi.EventClaim{{Name: "DEAL_WON"}}
	return h.enabled(`{"type":"sync"}`)
}

// facts are those of an owner with this name.
func (h *house) facts(o account.Owner, name event.Name) (found []*event.Fact) {
	h.t.Helper()
	facts, err := h.db.FactsAfter(h.t.Context(), o, 0, 200)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range facts {
		if f.Name == name {
			found = append(found, f)
		}
	}
	return found
}

func TestNotify_ToldOnceHoweverOftenItIsTried(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	in := notifying(h)
	tries := 0
	h.guests[abi.ExportHandleEvent] = func(ctx context.Context, c plugin.Call) (any, error) {
		for range 2 { // the same twice in one try is two
			if _, err := plugintest.Ask[abi.Empty](ctx, c, "notify.send", abi.Notify{Name: "DEAL_WON", Data: json.RawMessage(`{"deal":7}`)}); err != nil {
				return nil, err
			}
		}
		if tries++; tries == 1 {
			return nil, &fault.Error{Kind: fault.Unauthorized, Side: fault.Remote, Msg: "away"} // waits, and comes again
		}
		return abi.EventOutput{}, nil
	}
	if _, err := h.s.Receive(t.Context(), "sync", in.ID, "", h.signed(in, "1", `{}`)); err != nil {
		t.Fatal(err)
	}
	h.credential(false)
	h.work()
	h.credential(true)
	if err := h.s.Reauthorized(t.Context(), h.ada.Owner, h.entity); err != nil {
		t.Fatal(err)
	}
	h.work()
	facts := h.facts(h.ada.Owner, "notify.DEAL_WON")
	if tries != 2 || len(facts) != 2 || len(h.facts(h.bob.Owner, "notify.DEAL_WON")) != 0 {
		t.Fatalf("%d tries told %d facts", tries, len(facts))
	}
	want := `{"integration_id":"` + string(in.ID) + `","type":"sync","data":{"deal":7}}`
	if f := facts[0]; string(f.Data) != want || f.Subject != string(in.ID) || !f.At.Equal(h.now) {
		t.Errorf("told %s about %s at %s", f.Data, f.Subject, f.At)
	}
}

func TestNotify_IsBounded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	in := notifying(h)
	for name, row := range map[string]struct {
		q    abi.Notify
		kind fault.Kind
	}{
		"undeclared": {abi.Notify{Name: "DEAL_LOST"}, fault.Invalid},
		"the host's": {abi.Notify{Name: "integration.created"}, fault.Invalid},
		"too large":  {abi.Notify{Name: "DEAL_WON", Data: json.RawMessage(`"` + strings.Repeat("x", 16<<10) + `"`)}, fault.TooLarge},
		"no JSON":    {abi.Notify{Name: "DEAL_WON", Data: json.RawMessage(`{`)}, fault.Invalid},
		"no data":    {abi.Notify{Name: "DEAL_WON"}, ""},
	} {
		h.guests[abi.ExportRunAction] = func(ctx context.Context, c plugin.Call) (any, error) {
			if _, err := c.Can.Notify.Send(ctx, row.q); fault.KindOf(err) != row.kind {
				t.Errorf("%s: %v, want %q", name, err, row.kind)
			}
			return abi.ActionOutput{}, nil
		}
		if _, err := h.s.RunAction(t.Context(), h.ada, in.ID, "GO", nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(h.facts(h.ada.Owner, "notify.DEAL_WON")); n != 1 {
		t.Errorf("%d were told, want 1", n)
	}
}
