// Package deals tests the plugin of this folder, which is written in TypeScript.
package deals

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/guest/javascript/javascripttest"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/plugin/bundle"
)

// world is a Tidepool account and what the host keeps for the integration.
type world struct {
	t       *testing.T
	guest   *javascripttest.Guest
	config  string
	storage map[string]json.RawMessage
	deals   map[string]json.RawMessage
	notes   map[string]string // by key
	hooks   []string          // addresses
	asked   []string
	fail    map[string]string // method to answer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	program, err := bundle.Build("app.ts")
	if err != nil {
		t.Fatal(err)
	}
	return &world{
		t: t, guest: javascripttest.Boot(t, *program), config: "{}",
		storage: map[string]json.RawMessage{}, deals: map[string]json.RawMessage{}, notes: map[string]string{}, fail: map[string]string{},
	}
}

// answer is the host, as far as the plugin needs it.
func (w *world) answer(function, request string) string {
	w.asked = append(w.asked, function)
	var in struct {
		Key, Method, Webhook string
		SourceID             string `json:"source_id"`
		Value                json.RawMessage
		Entries              []abi.MappingEntry
		Args                 struct {
			ID, URL, Body, Key string
		}
	}
	if err := json.Unmarshal([]byte(request), &in); err != nil {
		w.t.Error(err)
	}
	switch function {
	case "storage.get":
		return found(w.storage, in.Key)
	case "storage.put":
		w.storage[in.Key] = in.Value
	case "mapping.get":
		return found(w.deals, in.SourceID)
	case "mapping.put":
		for _, e := range in.Entries {
			w.deals[e.SourceID] = e.Value
		}
		return `{"value":{"stored":true}}`
	case "mapping.list":
		return w.page(request)
	case "webhook.endpoint":
		return `{"value":{"url":"https://frigg.example/` + in.Webhook + `","secret":"handle"}}`
	case "module.call":
		return w.tidepool(in.Method, in.Args.ID, in.Args.URL, in.Args.Body, in.Args.Key)
	}
	return `{"value":{}}`
}

func found(in map[string]json.RawMessage, key string) string {
	if v, ok := in[key]; ok {
		return `{"value":{"found":true,"value":` + string(v) + `}}`
	}
	return `{"value":{"found":false}}`
}

// page answers two entries at a time.
func (w *world) page(request string) string {
	var in abi.MappingList
	_ = json.Unmarshal([]byte(request), &in)
	out := abi.MappingEntries{Entries: []abi.MappingEntry{}}
	for id, v := range w.deals {
		if id > in.After {
			out.Entries = append(out.Entries, abi.MappingEntry{SourceID: id, Value: v})
		}
	}
	slices.SortFunc(out.Entries, func(a, b abi.MappingEntry) int { return strings.Compare(a.SourceID, b.SourceID) })
	if len(out.Entries) > 2 {
		out.Entries, out.More = out.Entries[:2], true
	}
	text, err := json.Marshal(out)
	if err != nil {
		w.t.Error(err)
	}
	return `{"value":` + string(text) + `}`
}

func (w *world) tidepool(method, id, url, body, key string) string {
	if answer, ok := w.fail[method]; ok {
		return answer
	}
	switch method {
	case "create_webhook":
		w.hooks = append(w.hooks, url)
		return `{"value":{"value":{"id":"wh_1"}}}`
	case "delete_webhook":
		w.hooks = nil
	case "create_note":
		if before, ok := w.notes[key]; ok && before != body {
			return `{"fault":{"kind":"conflict","message":"another body"}}`
		}
		w.notes[key] = body
	case "get_contact":
		return `{"value":{"value":{"name":"Contact ` + id + `"}}}`
	}
	return `{"value":{}}`
}

// deliver hands out an event and returns the answer.
func (w *world) deliver(event, data string) string {
	w.t.Helper()
	input := fmt.Sprintf(`{"event":%q,"data":%s,"integration":{"id":"int_1","status":"ENABLED","config":%s,"entities":[]},"delivery":{"id":"d","attempt":1}}`, event, data, w.config)
	return w.run(abi.ExportHandleEvent, input)
}

func (w *world) run(export, input string) string {
	w.t.Helper()
	c, err := w.guest.Call(export, input, w.answer)
	if err != nil {
		w.t.Fatal(err)
	}
	return c.Out
}

func (w *world) won(id, contact string, cents int) string {
	w.t.Helper()
	body := fmt.Sprintf(`{"id":"evt","type":"deal.won","data":{"id":%q,"title":"Deal %s","contact_id":%q,"amount_cents":%d,"currency":"EUR"}}`, id, id, contact, cents)
	data, err := json.Marshal(abi.WebhookEvent{Webhook: "tidepool", Event: "deal.won", Text: body})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.deliver("ON_WEBHOOK", string(data))
}

const done = `{"value":{}}`

func TestPlugin_CanBePacked(t *testing.T) {
	t.Parallel()
	program, err := bundle.Build("app.ts")
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := os.ReadFile("manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	packed, err := plugin.PackProgram(*program, manifest)
	if err != nil {
		t.Fatal(err)
	}
	in, err := plugin.Inspect(packed)
	if err != nil || !in.JavaScript || in.Manifest.Name != "tidepool-deals" || len(in.Warnings) > 0 {
		t.Errorf("%+v, %v", in, err)
	}
}

func TestDeal_IsNotedWithWhatTheContactHasBrought(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, d := range []struct {
		id, contact string
		cents       int
	}{{"d1", "con_1", 10050}, {"d2", "con_2", 700}, {"d3", "con_1", 200}, {"d4", "con_1", 1}, {"d3", "con_1", 200}} {
		if got := w.won(d.id, d.contact, d.cents); got != done {
			t.Fatal(got)
		}
	}
	want := map[string]string{
		"deal-d1": "Won: Deal d1, 100.50 EUR. 1 so far, 100.50 EUR in all.",
		"deal-d2": "Won: Deal d2, 7.00 EUR. 1 so far, 7.00 EUR in all.",
		"deal-d3": "Won: Deal d3, 2.00 EUR. 2 so far, 102.50 EUR in all.",
		"deal-d4": "Won: Deal d4, 0.01 EUR. 3 so far, 102.51 EUR in all.",
	}
	if diff := cmp.Diff(want, w.notes); diff != "" {
		t.Error(diff)
	}
	rows := w.run(abi.ExportRunAction, `{"action":"GET_SAMPLE_DATA","integration":{}}`)
	if want := `{"value":{"value":[{"contact":"Contact con_1","deals":3,"total":"102.51 EUR"},{"contact":"Contact con_2","deals":1,"total":"7.00 EUR"}]}}`; rows != want {
		t.Error(rows)
	}
}

func TestDeal_ThatIsSmallIsLeftOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config = `{"min_cents":1000}`
	if got := w.won("d1", "con_1", 999); got != done || len(w.notes) != 0 || len(w.asked) != 0 {
		t.Error(got, w.notes, w.asked)
	}
}

func TestDeal_FaultsOfTheVendorGoToTheHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fail["create_note"] = `{"fault":{"kind":"unavailable","side":"remote","message":"down","status":503}}`
	if got, want := w.won("d1", "con_1", 1), `{"fault":{"side":"remote","status":503,"kind":"unavailable","message":"down"}}`; got != want {
		t.Error(got)
	}
	w.fail["create_note"] = `{"fault":{"kind":"not_found","message":"no such contact"}}`
	if got := w.won("d1", "con_1", 1); got != done {
		t.Error(got)
	}
}

func TestHook_IsMadeAndRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if got := w.deliver("ON_CREATE", "null"); got != done || len(w.hooks) != 1 || w.hooks[0] != "https://frigg.example/tidepool" {
		t.Fatal(got, w.hooks)
	}
	if got := w.deliver("ON_UPDATE", "null"); got != done {
		t.Error(got)
	}
	w.fail["delete_webhook"] = `{"fault":{"kind":"unauthorized","message":"refused"}}`
	if got := w.deliver("ON_DELETE", "null"); got != done {
		t.Error(got)
	}
	delete(w.fail, "delete_webhook")
	if got := w.deliver("ON_DELETE", "null"); got != done || len(w.hooks) != 0 {
		t.Error(got, w.hooks)
	}
}

func TestAction_ThatDoesNotExistIsUnsupported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if got := w.run(abi.ExportRunAction, `{"action":"toString","integration":{}}`); !strings.Contains(got, `"kind":"unsupported"`) {
		t.Error(got)
	}
}
