package integration_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// discard is a log that nobody reads.
var discard = slog.New(slog.DiscardHandler)

// routed is a house whose plugin sync has routes.
func routed(t *testing.T, routes ...abi.Route) *house {
	t.Helper()
	h := newHouse(t)
	h.install(routes...)
	return h
}

// install makes another version of sync serve.
func (h *house) install(routes ...abi.Route) {
	old := h.s.Plugins.(catalog)["sync"]
	p := *old
	p.Manifest.Routes = routes
	p.Exports = append(slices.Clone(old.Exports), abi.ExportHandleRoute)
	h.s.Plugins.(catalog)["sync"] = &p
}

func open(method, path string) abi.Route {
	return abi.Route{Method: method, Path: path, Auth: abi.RouteAuthNone}
}

func ofUser(method, path string) abi.Route {
	return abi.Route{Method: method, Path: path, Auth: abi.RouteAuthUser}
}

func TestFindRoute_TakesWordsBeforeParameters(t *testing.T) {
	t.Parallel()
	h := routed(
		t, open("GET", "/"), open("GET", "/orders"), open("POST", "/orders"), open("GET", "/orders/:id"), open("GET", "/orders/new"),
		open("DELETE", "/orders/:order"), open("GET", "/orders/:id/lines/:line"), open("GET", "/:any/sum"), open("GET", "/a/:b/c"), open("GET", "/:a/b/d"),
	)
	for path, want := range map[string]struct {
		route  string
		params map[string]string
	}{
		"GET /":                            {"GET /", nil},
		"HEAD /orders":                     {"GET /orders", nil},
		"POST /orders":                     {"POST /orders", nil},
		"GET /orders/new":                  {"GET /orders/new", nil},
		"DELETE /orders/new":               {"DELETE /orders/:order", map[string]string{"order": "new"}},
		"GET /orders/7":                    {"GET /orders/:id", map[string]string{"id": "7"}},
		"GET /orders/a%2Fb%20%C3%BC":       {"GET /orders/:id", map[string]string{"id": "a/b ü"}},
		"GET /%6Frders/7":                  {"GET /orders/:id", map[string]string{"id": "7"}},
		"GET /orders/7/lines/8":            {"GET /orders/:id/lines/:line", map[string]string{"id": "7", "line": "8"}},
		"GET /orders/sum":                  {"GET /orders/:id", map[string]string{"id": "sum"}},
		"GET /x/sum":                       {"GET /:any/sum", map[string]string{"any": "x"}},
		"GET /a/b/c":                       {"GET /a/:b/c", map[string]string{"b": "b"}},
		"GET /a/b/d":                       {"GET /:a/b/d", map[string]string{"a": "a"}},
		"PUT /orders/7":                    {"DELETE GET HEAD OPTIONS", nil},
		"PUT /orders/new":                  {"DELETE GET HEAD OPTIONS", nil},
		"OPTIONS /":                        {"GET HEAD OPTIONS", nil},
		"BREW /orders":                     {"GET HEAD OPTIONS POST", nil},
		"GET /orders/":                     {},
		"GET //":                           {},
		"GET //orders":                     {},
		"GET /orders/7/lines":              {},
		"GET /orders/7/lines/8/9":          {},
		"GET /orders/%":                    {},
		"GET /orders/%FF":                  {},
		"GET /orders/%zz":                  {},
		"GET /nothing":                     {},
		"GET " + strings.Repeat("/a", 9e3): {},
	} {
		method, path, _ := strings.Cut(path, " ")
		m, err := h.s.FindRoute("sync", method, path)
		got := strings.Join(m.Allow, " ")
		if m.Route != nil {
			got = m.Route.Name()
		}
		if got != want.route || cmp.Diff(want.params, m.Params) != "" || (want.route == "") != fault.Is(err, fault.NotFound) {
			t.Errorf("%s %.60s: %q with %v, %v", method, path, got, m.Params, err)
		}
	}
	for name, kind := range map[string]fault.Kind{"crm": fault.NotFound, "none": fault.NotFound, "": fault.NotFound} {
		if _, err := h.s.FindRoute(name, "GET", "/"); !fault.Is(err, kind) || !strings.Contains(fault.PublicMessage(err), "no such integration") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// waiting is a catalog whose plugins wait for approval.
type waiting struct{ catalog }

func (waiting) Plugin(string) (*plugin.Plugin, error) {
	return nil, fault.New(fault.Forbidden, "test", "waits for approval: it asks for http").On(fault.Host)
}

func TestFindRoute_SaysNothingOfPluginsThatWait(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.s.Plugins = waiting{}
	_, err := h.s.FindRoute("sync", "GET", "/")
	if !fault.Is(err, fault.Unavailable) || strings.Contains(fault.PublicMessage(err), "http") || !strings.Contains(err.Error(), "http") {
		t.Errorf("%v", err)
	}
}

func TestFindRoute_FollowsTheVersionThatServes(t *testing.T) {
	t.Parallel()
	h := routed(t, open("GET", "/old"))
	if _, err := h.s.FindRoute("sync", "GET", "/old"); err != nil {
		t.Fatal(err)
	}
	h.install(open("GET", "/new"))
	if _, err := h.s.FindRoute("sync", "GET", "/old"); !fault.Is(err, fault.NotFound) {
		t.Errorf("the old version still answers: %v", err)
	}
	if _, err := h.s.FindRoute("sync", "GET", "/new"); err != nil {
		t.Errorf("the new version does not answer: %v", err)
	}
}

// answer finds a route and has it answered.
func (h *house) answer(a account.Actor, q integration.RouteRequest) (abi.HTTPReply, error) {
	h.t.Helper()
	m, err := h.s.FindRoute("sync", q.Method, q.Path)
	if err != nil || m.Route == nil {
		h.t.Fatalf("%s %s: %v", q.Method, q.Path, err)
	}
	return h.s.AnswerRoute(h.t.Context(), a, m, q)
}

// told lets the guest answer all routes and returns what it was told last.
func (h *house) told(reply abi.HTTPReply) *abi.RouteInput {
	last := &abi.RouteInput{}
	h.guests[abi.ExportHandleRoute] = func(_ context.Context, c plugin.Call) (any, error) {
		*last = abi.RouteInput{}
		return reply, json.Unmarshal(c.Input, last)
	}
	return last
}

func TestAnswerRoute_TellsTheGuestTheRequestWithoutCredentials(t *testing.T) {
	t.Parallel()
	h := routed(t, abi.Route{Method: "POST", Path: "/x/:id", Event: "ORDER", Auth: abi.RouteAuthNone}, open("GET", "/x/:id"))
	told := h.told(abi.HTTPReply{Status: 201, Text: "done"})
	header := http.Header{"X-Signature": {"abc"}, "Accept": {"a", "b"}, "X-Gitlab-Token": {"theirs"}}
	for _, name := range []string{
		"Authorization", "Cookie", "Proxy-Authorization", "X-Api-Key", "X-Frigg-Api-Key", "X-Frigg-Appuserid", "X-Frigg-Apporgid", "Connection", "Upgrade",
		"Te", "Transfer-Encoding", "Forwarded", "X-Forwarded-For", "X-Real-Ip", "X-Request-Id", "Keep-Alive", "Trailer", "Proxy-Connection",
	} {
		header.Set(name, planted)
	}
	reply, err := h.answer(account.Actor{}, integration.RouteRequest{
		Method: "POST", Path: "/x/a%20b", Header: header, Query: map[string][]string{"q": {"1", "2"}}, Body: []byte(`{"a": "<&>"}`),
	})
	if err != nil || reply.Status != 201 || reply.Text != "done" {
		t.Fatalf("%+v, %v", reply, err)
	}
	want := abi.RouteInput{
		Event: "ORDER", Method: "POST", Path: "/x/a%20b", Params: map[string]string{"id": "a b"}, Query: map[string][]string{"q": {"1", "2"}},
		Headers: map[string]string{"x-signature": "abc", "accept": "a, b", "x-gitlab-token": "theirs"}, Text: `{"a": "<&>"}`,
	}
	if diff := cmp.Diff(want, *told); diff != "" {
		t.Error(diff)
	}
	if _, err := h.answer(account.Actor{}, integration.RouteRequest{Method: "HEAD", Path: "/x/1", Body: []byte{0, 255}}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(abi.RouteInput{Event: "GET /x/:id", Method: "GET", Path: "/x/1", Params: map[string]string{"id": "1"}, Bytes: []byte{0, 255}}, *told); diff != "" {
		t.Error(diff)
	}
}

func TestAnswerRoute_WithoutARecordReachesNothing(t *testing.T) {
	t.Parallel()
	h := routed(t, open("GET", "/open"), ofUser("GET", "/user"))
	h.enabled(`{"type":"sync"}`)
	calls := 0
	h.guests[abi.ExportHandleRoute] = func(_ context.Context, c plugin.Call) (any, error) {
		calls++
		var in abi.RouteInput
		if err := json.Unmarshal(c.Input, &in); err != nil || in.Integration != nil || c.Can != (plugin.Capabilities{}) {
			t.Errorf("the guest is told %s and can %+v", c.Input, c.Can)
		}
		c.Log("INFO", "hello")
		return abi.HTTPReply{}, nil
	}
	for _, c := range []struct {
		actor account.Actor
		path  string
		kind  fault.Kind
	}{{account.Actor{}, "/open", ""}, {h.ada, "/user", ""}, {account.Actor{}, "/user", fault.Unauthorized}} {
		if _, err := h.answer(c.actor, integration.RouteRequest{Method: "GET", Path: c.path}); fault.KindOf(err) != c.kind {
			t.Errorf("%s for %q: %v", c.path, c.actor.User, err)
		}
	}
	if calls != 2 || strings.Count(h.log.String(), `msg="guest: hello" plugin=sync`) != 2 {
		t.Errorf("%d calls\n%s", calls, h.log)
	}
}

func TestAnswerRoute_OfARecordReachesWhatIsTheCallers(t *testing.T) {
	t.Parallel()
	h := routed(t, ofUser("PUT", "/:integrationId/x"))
	in := h.enabled(`{"type":"sync","key":"` + planted + `"}`)
	var told abi.RouteInput
	h.guests[abi.ExportHandleRoute] = func(ctx context.Context, c plugin.Call) (any, error) {
		if strings.Contains(string(c.Input), planted) {
			t.Error("the guest sees a secret")
		}
		if err := json.Unmarshal(c.Input, &told); err != nil {
			return nil, err
		}
		_, err := c.Can.Storage.Put(ctx, abi.StoragePut{Key: "seen", Value: json.RawMessage(`true`)})
		return abi.HTTPReply{Text: "ok"}, err
	}
	q := integration.RouteRequest{Method: "PUT", Path: "/" + string(in.ID) + "/x"}
	if _, err := h.answer(h.ada, q); err != nil {
		t.Fatal(err)
	}
	if told.Integration == nil || told.Integration.ID != string(in.ID) || len(told.Integration.Entities) != 1 {
		t.Errorf("the guest is told %+v", told.Integration)
	}
	if v, err := h.db.StoredValue(t.Context(), h.ada.Owner, in.ID, "seen"); err != nil || string(v) != "true" {
		t.Errorf("stored %s, %v", v, err)
	}
	h.guests[abi.ExportHandleRoute] = func(context.Context, plugin.Call) (any, error) {
		t.Error("the guest ran")
		return nil, nil
	}
	if _, err := h.answer(h.bob, q); !fault.Is(err, fault.NotFound) {
		t.Errorf("another user: %v", err)
	}
	if _, err := h.answer(account.Actor{}, q); !fault.Is(err, fault.Unauthorized) {
		t.Errorf("nobody: %v", err)
	}
	if _, err := h.answer(h.ada, integration.RouteRequest{Method: "PUT", Path: "/" + string(integration.NewID()) + "/x"}); !fault.Is(err, fault.NotFound) {
		t.Errorf("no record: %v", err)
	}
	other := *h.s.Plugins.(catalog)["sync"]
	other.Name = "other"
	h.s.Plugins.(catalog)["other"] = &other
	m, err := h.s.FindRoute("other", "PUT", q.Path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.s.AnswerRoute(t.Context(), h.ada, m, q); !fault.Is(err, fault.NotFound) {
		t.Errorf("a record of another integration: %v", err)
	}
}

func TestAnswerRoute_OfAPausedRecordIsAConflict(t *testing.T) {
	t.Parallel()
	h := routed(t, ofUser("GET", "/:integrationId"))
	h.told(abi.HTTPReply{})
	in := h.enabled(`{"type":"sync"}`)
	q := integration.RouteRequest{Method: "GET", Path: "/" + string(in.ID)}
	for status, kind := range map[abi.Status]fault.Kind{
		abi.StatusEnabled: "", abi.StatusProcessing: "", abi.StatusNeedsConfig: "", abi.StatusError: "",
		abi.StatusDisabled: fault.Conflict, abi.StatusInCreation: fault.Conflict, abi.StatusInDeletion: fault.NotFound,
	} {
		record, err := h.db.IntegrationByID(t.Context(), h.ada.Owner, in.ID)
		if err != nil {
			t.Fatal(err)
		}
		record.Status = status
		if err := h.db.SaveIntegration(t.Context(), record, nil, nil); err != nil {
			t.Fatal(err)
		}
		_, err = h.answer(h.ada, q)
		if fault.KindOf(err) != kind || kind == fault.Conflict && !strings.Contains(fault.PublicMessage(err), string(status)) {
			t.Errorf("%s: %v", status, err)
		}
	}
}

func TestAnswerRoute_RefusesAnswersThatAreTooLarge(t *testing.T) {
	t.Parallel()
	h := routed(t, open("GET", "/"))
	many := map[string]string{}
	for range 101 {
		many["x-"+string(integration.NewID())] = "a"
	}
	for name, c := range map[string]struct {
		reply abi.HTTPReply
		kind  fault.Kind
	}{
		"largest text":  {abi.HTTPReply{Text: strings.Repeat("a", abi.LimitRouteReplyBytes)}, ""},
		"text":          {abi.HTTPReply{Text: strings.Repeat("a", abi.LimitRouteReplyBytes+1)}, fault.TooLarge},
		"bytes":         {abi.HTTPReply{Bytes: make([]byte, abi.LimitRouteReplyBytes+1)}, fault.TooLarge},
		"headers":       {abi.HTTPReply{Headers: many}, fault.TooLarge},
		"a long header": {abi.HTTPReply{Headers: map[string]string{"x-a": strings.Repeat("a", 33<<10)}}, fault.TooLarge},
	} {
		h.told(c.reply)
		_, err := h.answer(account.Actor{}, integration.RouteRequest{Method: "GET", Path: "/"})
		if fault.KindOf(err) != c.kind || err != nil && (fault.SideOf(err) != fault.Guest || !strings.Contains(err.Error(), "guest sync: GET / answers")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnswerRoute_RefusesWhatIsNoAnswer(t *testing.T) {
	t.Parallel()
	h := routed(t, open("GET", "/"))
	for text, kind := range map[string]fault.Kind{
		`{}`: "", `null`: "", `{"Status":201,"later":[{}]}`: "", `[]`: fault.Internal, `{"status":"200"}`: fault.Internal, `{"headers":{"a":["b"]}}`: fault.Internal, `{"bytes":"!"}`: fault.Internal,
		`{"headers":{` + strings.Repeat(`"a":"",`, 1<<19) + `"a":""}}`: fault.TooLarge,
	} {
		h.guests[abi.ExportHandleRoute] = func(context.Context, plugin.Call) (any, error) { return json.RawMessage(text), nil }
		_, err := h.answer(account.Actor{}, integration.RouteRequest{Method: "GET", Path: "/"})
		if fault.KindOf(err) != kind || err != nil && fault.SideOf(err) != fault.Guest {
			t.Errorf("%.40s: %v", text, err)
		}
	}
}

func TestAnswerRoute_GivesUpBeforeWhoeverWaitsDoes(t *testing.T) {
	t.Parallel()
	h := routed(t, open("GET", "/"), ofUser("GET", "/:integrationId"))
	in := h.enabled(`{"type":"sync"}`)
	for _, path := range []string{"/", "/" + string(in.ID)} {
		h.guests[abi.ExportHandleRoute] = func(_ context.Context, c plugin.Call) (any, error) {
			if c.Timeout.Milliseconds() != abi.LimitSyncTimeoutMS {
				t.Errorf("%s has %v", path, c.Timeout)
			}
			return abi.HTTPReply{}, nil
		}
		if _, err := h.answer(h.ada, integration.RouteRequest{Method: "GET", Path: path}); err != nil {
			t.Error(err)
		}
	}
}

func FuzzFindRoute(f *testing.F) {
	h := &integration.Service{Plugins: plugins(), Log: discard}
	p := *h.Plugins.(catalog)["sync"]
	p.Manifest.Routes = []abi.Route{open("GET", "/"), open("GET", "/a/:b"), open("POST", "/:c/b"), open("GET", "/a/b/:c/d")}
	h.Plugins.(catalog)["sync"] = &p
	for _, path := range []string{"/", "/a/b", "/a/%2e", "//", "/a/b/c/d", "/%", "/a/%C3%28", ""} {
		f.Add("GET", path)
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		if path == "" || path[0] != '/' {
			return
		}
		m, err := h.FindRoute("sync", method, path)
		if (err == nil) != (m.Route != nil || len(m.Allow) > 0) {
			t.Errorf("%+v, %v", m, err)
		}
		if _, err := json.Marshal(m.Params); err != nil {
			t.Error(err)
		}
	})
}
