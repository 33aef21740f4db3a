package friggtest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/friggtest"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/integration"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/module"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/rest"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/storage"
)

// The handlers of these tests do what the test under way says.
var (
	moduleDoes func(*module.Call) (any, error)
	does       func(*integration.Call) error
)

const run frigg.Method[frigg.None, any] = "run"

type settings struct {
	Repo string `json:"repo"`
	Days int    `json:"days"`
}

const (
	counted integration.Event[int] = "COUNTED"
	ticked  integration.Event[int] = "TICKED"
)

func init() {
	module.Method(run, func(c *module.Call, _ frigg.None) (any, error) { return moduleDoes(c) })
	module.EntityForm(func(_ *module.Call, in settings) (frigg.Form, error) {
		return frigg.Form{Title: fmt.Sprintf("%s %d", in.Repo, in.Days)}, nil
	})
	integration.On[frigg.None]("RUN", func(c *integration.Call, _ frigg.None) error { return does(c) })
	integration.OnTick(ticked, func(c *integration.Call, tick integration.Tick[int]) error {
		title := fmt.Sprint(tick.Schedule, " ", tick.Data, " ", tick.At.Format(time.RFC3339))
		all, err := c.Schedules()
		for _, s := range all {
			title += " " + s.Name
		}
		return errors.Join(err, c.Info(title, ""))
	})
	integration.On(counted, func(c *integration.Call, n int) error { return c.Info("counted", fmt.Sprint(n)) })
	integration.OnWebhook("crm", "contact.created", func(c *integration.Call, w integration.Webhook[struct {
		Name string `json:"name"`
	}],
	) error {
		return c.Info(w.Event, w.Body.Name)
	})
	integration.OnWebhook("crm", integration.AnyEvent, func(c *integration.Call, w integration.Webhook[string]) error {
		return c.Info("any", w.Body)
	})
	integration.OnWebhook("quiet", "only.this", func(*integration.Call, integration.Webhook[string]) error { return errors.New("not this") })
	integration.ConfigForm(func(_ *integration.Call, in settings) (frigg.Form, error) {
		return frigg.Form{Title: fmt.Sprintf("%s %d", in.Repo, in.Days)}, nil
	})
	integration.Receive("bot", func(c *integration.Call, w integration.Webhook[string], secret frigg.Handle) (integration.Receipt, error) {
		if w.Header["x-token"] != "ok" {
			return integration.Receipt{}, frigg.Errorf(frigg.KindUnauthorized, "wrong token for %s", secret)
		}
		return integration.Receipt{Reply: &integration.Reply{Text: w.Body}, Drop: true}, nil
	})
	integration.MoreActions(func(*integration.Call) ([]abi.Action, error) {
		return []abi.Action{{Name: "A", Kind: abi.ActionKindQuickAction}, {Name: "B"}}, nil
	})
}

// in runs f as a handler of an integration.
func in(t *testing.T, config any, f func(*integration.Call) error) *friggtest.Integration {
	t.Helper()
	h := friggtest.NewIntegration(t, config)
	does = f
	if err := h.Deliver("RUN", nil); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestWebhook_GoesToTheHandlerOfItsEvent(t *testing.T) {
	h := friggtest.NewIntegration(t, nil)
	for _, err := range []error{
		h.Webhook("crm", "contact.created", "1", map[string]string{"name": "Ada"}),
		h.Webhook("crm", "contact.deleted", "2", `not even JSON`),
		h.Webhook("quiet", "another", "3", "done at once"),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	want := []abi.Message{{Level: "info", Title: "contact.created", Message: "Ada"}, {Level: "info", Title: "any", Message: "not even JSON"}}
	if diff := cmp.Diff(want, h.Messages); diff != "" {
		t.Error(diff)
	}
}

func TestWebhook_OfAnotherShapeIsNotTriedAgain(t *testing.T) {
	err := friggtest.NewIntegration(t, nil).Webhook("crm", "contact.created", "1", `{"name": 5}`)
	if f := frigg.FaultOf(err); !f.Halt || f.Kind != frigg.KindInvalid {
		t.Errorf("%+v", f)
	}
}

func TestEvents_WithoutHandler(t *testing.T) {
	h := friggtest.NewIntegration(t, nil)
	for event, kind := range map[string]frigg.Kind{abi.EventOnCreate: "", abi.EventOnUpdate: "", abi.EventOnDelete: "", "UNKNOWN": frigg.KindUnsupported} {
		if err := h.Deliver(event, nil); frigg.KindOf(err) != kind {
			t.Errorf("%s: %v", event, err)
		}
	}
	if err := h.Webhook("nobody", "x", "1", "{}"); !frigg.Is(err, frigg.KindUnsupported) {
		t.Errorf("webhook: %v", err)
	}
	if _, err := friggtest.Act[any](h, "NONE", nil); !frigg.Is(err, frigg.KindUnsupported) {
		t.Errorf("action: %v", err)
	}
	if out, err := h.Validate(); err != nil || out.Problems != nil {
		t.Errorf("validate: %+v, %v", out, err)
	}
}

func TestConfig_OfAnotherShapeIsNotTriedAgain(t *testing.T) {
	h := friggtest.NewIntegration(t, map[string]string{"days": "many"})
	does = func(c *integration.Call) error { _, err := integration.Config[settings](c); return err }
	if f := frigg.FaultOf(h.Deliver("RUN", nil)); !f.Halt || !strings.Contains(f.Message, "days must be number") {
		t.Errorf("%+v", f)
	}
}

func TestConfigForm_SeesTheConfigurationWithWhatWasTyped(t *testing.T) {
	h := friggtest.NewIntegration(t, settings{Repo: "a/b", Days: 3})
	for typed, want := range map[any]string{nil: "a/b 3", settings{Repo: "c/d", Days: 4}: "c/d 4", any(struct {
		Days string `json:"days"`
		Repo string `json:"repo"`
	}{"half typed", "c/d"}): "c/d 3"} {
		form, err := h.ConfigForm(typed)
		if err != nil || !strings.Contains(string(form.JSONSchema), `"title":"`+want+`"`) {
			t.Errorf("%v: %s, %v", typed, form.JSONSchema, err)
		}
	}
}

func TestMapping_AllWalksOverPages(t *testing.T) {
	in(t, nil, func(c *integration.Call) error {
		m := integration.Map[int](c, "numbers")
		var entries []integration.Entry[int]
		for i := range 250 {
			entries = append(entries, integration.Entry[int]{ID: fmt.Sprintf("%03d", i), Value: i})
		}
		if err := m.PutAll(entries...); err != nil {
			return err
		}
		got, err := frigg.Collect(m.All(), 1000)
		if diff := cmp.Diff(entries, got); diff != "" {
			t.Error(diff)
		}
		return err
	})
}

func TestMapping_ClaimSucceedsOnce(t *testing.T) {
	in(t, nil, func(c *integration.Call) error {
		m := integration.Map[string](c, "claims")
		for i, want := range []bool{true, false} {
			if got, err := m.Claim("id", fmt.Sprint(i)); got != want || err != nil {
				t.Errorf("claim %d: %v, %v", i, got, err)
			}
		}
		if v, _, _ := m.Get("id"); v != "0" {
			t.Errorf("the second claim changed the entry to %q", v)
		}
		if _, found, err := integration.Map[string](c, "others").Get("id"); found || err != nil {
			t.Errorf("sets are not apart: %v, %v", found, err)
		}
		return nil
	})
}

func TestLinks_AreWrittenInOneAct(t *testing.T) {
	h := in(t, nil, func(c *integration.Call) error {
		l := integration.LinksOf(c, "left", "right")
		if err := l.Join("a", "1"); err != nil {
			return err
		}
		if fresh, err := l.Claim("b", "1"); fresh || err != nil {
			t.Errorf("1 is linked, and was claimed: %v, %v", fresh, err)
		}
		if _, found, _ := l.Right("b"); found {
			t.Error("half a link was written")
		}
		left, _, err := l.Left("1")
		if left != "a" || err != nil {
			t.Errorf("1 leads to %q, %v", left, err)
		}
		if err := l.Part("a", "1"); err != nil {
			return err
		}
		fresh, err := l.Claim("b", "1")
		if !fresh {
			t.Error("a parted id stays linked")
		}
		return err
	})
	want := []string{"mapping.put", "mapping.put", "mapping.get", "mapping.get", "mapping.delete", "mapping.delete", "mapping.put"}
	if diff := cmp.Diff(want, h.Calls); diff != "" {
		t.Error(diff)
	}
}

func TestEnqueue_OnceForADeliveryHoweverOftenItIsTried(t *testing.T) {
	h := in(t, nil, func(c *integration.Call) error {
		return errors.Join(integration.Enqueue(c, counted, 1), integration.Enqueue(c, counted, 1),
			integration.Enqueue(c, counted, 2, integration.UniqueKey("two"), integration.Delay(time.Minute)))
	})
	if err := h.Retry(); err != nil {
		t.Fatal(err)
	}
	if len(h.Queue) != 3 || h.Queue[2].Delay != time.Minute {
		t.Errorf("queue: %+v", h.Queue)
	}
	if n, err := h.Work(); n != 3 || err != nil || len(h.Messages) != 3 {
		t.Errorf("%d done, %v, %+v", n, err, h.Messages)
	}
}

func TestSchedule_TicksBringTheirData(t *testing.T) {
	soon := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	h := in(t, nil, func(c *integration.Call) error {
		return errors.Join(
			integration.Schedule(c, "nightly", ticked, integration.Cron("0 3 * * *", "Europe/Berlin"), 1, integration.AllMissed, integration.QueueOverlap),
			integration.Schedule(c, "often", ticked, integration.Every(time.Minute), 2),
			integration.Schedule(c, "once", ticked, integration.At(soon), 3),
			integration.Schedule(c, "gone", ticked, integration.Every(time.Hour), 4), c.Unschedule("gone"), c.Unschedule("never was"),
		)
	})
	want := map[string]abi.SchedulePut{
		"nightly": {Name: "nightly", Event: "TICKED", Cron: "0 3 * * *", TimeZone: "Europe/Berlin", Data: json.RawMessage("1"), Overlap: abi.OverlapQueue, Missed: abi.MissedTicksAll},
		"often":   {Name: "often", Event: "TICKED", EveryS: 60, TimeZone: "UTC", Data: json.RawMessage("2"), Overlap: abi.OverlapSkip, Missed: abi.MissedTicksOne},
		"once":    {Name: "once", Event: "TICKED", AtMS: soon.UnixMilli(), TimeZone: "UTC", Data: json.RawMessage("3"), Overlap: abi.OverlapSkip, Missed: abi.MissedTicksOne},
	}
	if diff := cmp.Diff(want, h.Schedules); diff != "" {
		t.Error(diff)
	}
	for range 2 { // the second time it is gone
		err := h.Tick("once", soon)
		if len(h.Messages) != 1 || h.Messages[0].Title != "once 3 2026-05-06T07:08:09Z nightly often" {
			t.Errorf("%v, %+v", err, h.Messages)
		}
	}
	in(t, nil, func(c *integration.Call) error {
		if err := integration.Schedule(c, "n", ticked, integration.Every(time.Second), 0); !frigg.Is(err, frigg.KindInvalid) {
			t.Errorf("an interval that the host refuses: %v", err)
		}
		return nil
	})
}

func TestRecord_ChangesAreSeenAtOnce(t *testing.T) {
	h := in(t, map[string]any{"repo": "a/b", "days": 3}, func(c *integration.Call) error {
		err := errors.Join(c.SetStatus(integration.NeedsConfig), c.UpdateConfig(map[string]any{"repo": nil, "days": 4}), c.Warn("title", "text"))
		cfg, _ := integration.Config[settings](c)
		if diff := cmp.Diff(settings{Days: 4}, cfg); diff != "" || c.Integration.Status != integration.NeedsConfig {
			t.Errorf("%s %s", c.Integration.Status, diff)
		}
		return err
	})
	if h.Record.Status != abi.StatusNeedsConfig || h.Messages[0].Level != abi.MessageLevelWarning {
		t.Errorf("%+v %+v", h.Record, h.Messages)
	}
}

func TestStorage_KeepsValuesAndListsKeys(t *testing.T) {
	in(t, nil, func(c *integration.Call) error {
		s := c.Storage()
		for i := range 150 {
			if err := s.Put(fmt.Sprintf("n/%03d", i), i); err != nil {
				return err
			}
		}
		if err := errors.Join(s.Put("other", "x"), s.Delete("n/000"), s.Delete("never there")); err != nil {
			return err
		}
		keys, err := frigg.Collect(s.Keys("n/"), 1000)
		if len(keys) != 149 || keys[0] != "n/001" {
			t.Errorf("%d keys from %s", len(keys), keys[0])
		}
		if v, found, _ := storage.Get[int](s, "n/005"); v != 5 || !found {
			t.Errorf("%v %v", v, found)
		}
		if _, found, _ := storage.Get[int](s, "n/000"); found {
			t.Error("a deleted value is there")
		}
		return err
	})
}

func TestHTTP_OnTheConnectionOfARole(t *testing.T) {
	h := friggtest.NewIntegration(t, nil)
	h.Vendors["crm"] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("page") == "" {
			w.Header().Set("Link", `</list?page=2>; rel="next"`)
			_, _ = io.WriteString(w, `[1,2]`)
			return
		}
		_, _ = io.WriteString(w, `[3]`)
	})
	does = func(c *integration.Call) error {
		got, err := frigg.Collect(rest.Linked[int](c.HTTP("crm"), "/list"), 10)
		if diff := cmp.Diff([]int{1, 2, 3}, got); diff != "" {
			t.Error(diff)
		}
		if _, err := rest.Get[int](c.HTTP("nobody"), "/list"); !frigg.Is(err, frigg.KindUnsupported) {
			t.Errorf("%v", err)
		}
		return err
	}
	if err := h.Deliver("RUN", nil); err != nil {
		t.Error(err)
	}
}

func TestReceive_VerifiesBeforeAnythingIsStored(t *testing.T) {
	h := friggtest.NewIntegration(t, nil)
	out, err := h.Receive(abi.WebhookEvent{Webhook: "bot", Text: "ping", Headers: map[string]string{"x-token": "ok"}})
	if err != nil || out.Reply == nil || out.Reply.Text != "ping" || !out.Drop {
		t.Errorf("%+v, %v", out, err)
	}
	if _, err := h.Receive(abi.WebhookEvent{Webhook: "bot"}); !frigg.Is(err, frigg.KindUnauthorized) {
		t.Errorf("%v", err)
	}
}

func TestHTTP_FaultsTellKindStatusAndWhen(t *testing.T) {
	for status, want := range map[int]frigg.Kind{400: "invalid", 401: "unauthorized", 404: "not_found", 409: "conflict", 412: "conflict", 429: "rate_limited", 503: "unavailable"} {
		m := friggtest.NewModule(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
		}))
		moduleDoes = func(c *module.Call) (any, error) { return module.Get[any](c, "/x") }
		_, err := friggtest.Call(m, run, frigg.None{})
		if f := frigg.FaultOf(err); f.Kind != want || f.Status != status || f.RetryAfter != 7*time.Second || f.Side != frigg.SideRemote {
			t.Errorf("%d: %+v", status, f)
		}
		moduleDoes = func(c *module.Call) (any, error) {
			res, err := c.HTTP().Send(rest.Request{URL: "/x", AnyStatus: true})
			return res.Status, err
		}
		if got, err := friggtest.Call(m, run, frigg.None{}); got != float64(status) || err != nil {
			t.Errorf("%d: %v, %v", status, got, err)
		}
	}
}

func TestHTTP_SendsBodiesOfEveryKind(t *testing.T) {
	for name, c := range map[string]struct {
		body              any
		contentType, want string
	}{
		"json":  {map[string]int{"a": 1}, "application/json", `{"a":1}`},
		"form":  {rest.Form{Value: map[string]any{"a": map[string]int{"b": 1}}}, "application/x-www-form-urlencoded", "a%5Bb%5D=1"},
		"text":  {rest.Text{ContentType: "text/calendar", Text: "BEGIN"}, "text/calendar", "BEGIN"},
		"bytes": {rest.Bytes{ContentType: "image/png", Bytes: []byte{0xff, 0}}, "image/png", "\xff\x00"},
		"parts": {rest.Multipart{{Name: "f", FileName: "x.txt", ContentType: "text/plain", Content: []byte("hello")}}, "multipart/form-data", "hello"},
		"none":  {nil, "", ""},
	} {
		m := friggtest.NewModule(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if ct := r.Header.Get("Content-Type"); !strings.HasPrefix(ct, c.contentType) || !strings.Contains(string(body), c.want) {
				t.Errorf("%s: %s %q", name, ct, body)
			}
			_, _ = w.Write([]byte{0xfe, 0xff})
		}))
		moduleDoes = func(call *module.Call) (any, error) { return module.Post[[]byte](call, "/x", c.body) }
		if got, err := friggtest.Call(m, run, frigg.None{}); got != "/v8=" || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestEntityForm_TakesWhatFits(t *testing.T) {
	form, err := friggtest.NewModule(t, nil).EntityForm(map[string]any{"repo": "a/b", "days": "?"})
	if err != nil || !strings.Contains(string(form.JSONSchema), `"a/b 0"`) {
		t.Errorf("%s, %v", form.JSONSchema, err)
	}
}

func TestCrypto_SignsWithWhatOnlyTheHostKnows(t *testing.T) {
	message := []byte("message")
	in(t, nil, func(c *integration.Call) error {
		signature, err := c.Sign("handle", message)
		for key, want := range map[frigg.Handle]bool{"handle": true, "other": false} {
			if ok, err := c.Verify(key, message, signature); ok != want || err != nil {
				t.Errorf("%s: %v, %v", key, ok, err)
			}
		}
		return err
	})
	moduleDoes = func(c *module.Call) (any, error) {
		return c.Verify("handle", message, friggtest.Sign("handle", message))
	}
	if ok, err := friggtest.Call(friggtest.NewModule(t, nil), run, frigg.None{}); ok != true || err != nil {
		t.Errorf("module: %v, %v", ok, err)
	}
}

func TestLog_ReachesTheHostAsText(t *testing.T) {
	h := in(t, nil, func(c *integration.Call) error {
		log := c.Log().With("customer", "cus_1")
		log.Info("opened", "issue", 5)
		log.WithGroup("g").Error("failed", "err", errors.New("no disk"))
		log.Warn("alone", "level", "mine")
		return nil
	})
	want := []string{`INFO opened customer=cus_1 issue=5`, `ERROR failed customer=cus_1 g.err="no disk"`, "WARN alone customer=cus_1 level=mine"}
	if diff := cmp.Diff(want, h.Logs); diff != "" {
		t.Error(diff)
	}
}

func TestKill_EndsTheGuestWhereAskedFor(t *testing.T) {
	h := friggtest.NewIntegration(t, nil)
	does = func(c *integration.Call) error {
		defer func() {
			if p := recover(); p != nil {
				t.Errorf("a killed guest recovered from %v", p)
			}
		}()
		return errors.Join(c.Storage().Put("a", 1), c.Storage().Put("b", 2))
	}
	h.Pass("storage.put")
	h.KillBefore("storage.put")
	if err := h.Deliver("RUN", nil); !errors.Is(err, friggtest.ErrKilled) || len(h.Storage) != 1 {
		t.Errorf("before: %v, %v", err, h.Storage)
	}
	h.Pass("storage.put")
	h.KillAfter("storage.put")
	if err := h.Retry(); !errors.Is(err, friggtest.ErrKilled) || len(h.Storage) != 2 {
		t.Errorf("after: %v, %v", err, h.Storage)
	}
	if err := h.Retry(); err != nil {
		t.Error(err)
	}
}

type order struct {
	Item  string `json:"item"`
	Count int    `json:"count"`
}

func init() {
	integration.Route("POST /orders/:id", func(_ *integration.Call, r integration.Request[order]) (integration.Reply, error) {
		return integration.ReplyJSON(201, map[string]any{"id": r.Param["id"], "twice": 2 * r.Body.Count, "path": r.Path, "q": r.QueryValue("q") + r.QueryValue("none")})
	})
	integration.Route("TEXT", func(_ *integration.Call, r integration.Request[string]) (integration.Reply, error) {
		return integration.ReplyText(200, r.Header["x-greeting"]+r.Body)
	})
	integration.Route("PUT /raw", func(_ *integration.Call, r integration.Request[[]byte]) (integration.Reply, error) {
		return integration.ReplyBytes(200, "application/x-odd", append(r.Body, 0xff))
	})
	integration.RouteJSON("POST /sum", func(_ *integration.Call, r integration.Request[map[string]any]) (order, error) {
		if r.Body["item"] == nil {
			return order{}, frigg.Invalid("no item")
		}
		return order{Item: r.Body["item"].(string), Count: len(r.Body["of"].([]any))}, nil
	})
	integration.Route("DELETE /:integrationId", func(c *integration.Call, _ integration.Request[frigg.None]) (integration.Reply, error) {
		return integration.Reply{}, c.Storage().Put("seen", c.Integration.ID)
	})
	integration.Route("GET /nothing", func(c *integration.Call, _ integration.Request[frigg.None]) (integration.Reply, error) {
		c.Log().Info("asked")
		return integration.Reply{}, c.Storage().Put("seen", c.Integration.ID)
	})
}

func TestRoute_TakesAndAnswersBodiesOfEveryKind(t *testing.T) {
	f := friggtest.NewIntegration(t, nil)
	for _, c := range []struct {
		route string
		q     abi.RouteInput
		want  abi.HTTPReply
		kind  frigg.Kind
	}{
		{
			route: "POST /orders/:id", q: abi.RouteInput{Params: map[string]string{"id": "a b"}, Query: map[string][]string{"q": {"1", "2"}}, Text: `{"item":"box","count":2}`},
			want: abi.HTTPReply{Status: 201, Headers: map[string]string{"content-type": "application/json"}, Text: `{"id":"a b","path":"/orders/a%20b","q":"1","twice":4}`},
		},
		{route: "POST /orders/:id", q: abi.RouteInput{Text: `{"count":"two"}`}, kind: frigg.KindInvalid},
		{route: "POST /orders/:id", q: abi.RouteInput{Bytes: []byte{0xff}}, kind: frigg.KindInvalid},
		{route: "TEXT", q: abi.RouteInput{Headers: map[string]string{"x-greeting": "hello "}, Text: "ä"}, want: abi.HTTPReply{Status: 200, Text: "hello ä"}},
		{route: "PUT /raw", q: abi.RouteInput{Text: "a"}, want: abi.HTTPReply{Status: 200, Headers: map[string]string{"content-type": "application/x-odd"}, Bytes: []byte{'a', 0xff}}},
		{
			route: "POST /sum", q: abi.RouteInput{Text: `{"item":"b\u00f6x","of":[1,{"a":null},"x"]}`},
			want: abi.HTTPReply{Status: 200, Headers: map[string]string{"content-type": "application/json"}, Text: `{"item":"böx","count":3}`},
		},
		{route: "POST /sum", q: abi.RouteInput{Text: `{"of":[]}`}, kind: frigg.KindInvalid},
		{route: "POST /sum", q: abi.RouteInput{Text: `[1]`}, kind: frigg.KindInvalid},
		{route: "POST /sum", q: abi.RouteInput{Text: `null`}, kind: frigg.KindInvalid},
		{route: "GET /unknown", kind: frigg.KindUnsupported},
	} {
		got, err := f.Route(c.route, c.q)
		if diff := cmp.Diff(c.want, got); diff != "" || frigg.KindOf(err) != c.kind {
			t.Errorf("%s: %v\n%s", c.route, err, diff)
		}
	}
}

func TestRoute_WithoutARecordReachesNothing(t *testing.T) {
	f := friggtest.NewIntegration(t, nil)
	if _, err := f.Route("GET /nothing", abi.RouteInput{}); !frigg.Is(err, frigg.KindForbidden) || len(f.Storage) > 0 || len(f.Logs) != 1 {
		t.Errorf("%v, %v, %v", err, f.Storage, f.Logs)
	}
	if _, err := f.Route("DELETE /:integrationId", abi.RouteInput{}); err != nil || f.Storage["seen"] != `"int_test"` {
		t.Errorf("%v, %v", err, f.Storage)
	}
	if err := f.Deliver(abi.EventOnCreate, nil); err != nil {
		t.Error(err)
	}
}
