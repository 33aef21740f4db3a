package api_test

import (
	"database/sql"
	"fmt"
	"maps"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/api"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/google/go-cmp/cmp"
)

// visit is a request to one route that succeeds for ada, whose records it names.
type visit struct {
	path, body string
	// own is the status for ada.
	own int
	// foreign is the status for bob; 0 is 404.
	foreign int
	// why says what makes foreign right if it is not 404.
	why string
}

// open are the routes that need no actor, and why.
var open = map[string]string{
	"POST /user/create":                       "makes the actor",
	"POST /user/login":                        "makes the actor",
	"GET /redirect/:appId":                    "a browser comes from the vendor; keeps and shows nothing",
	"GET /openapi.json":                       "the same for everybody",
	"GET /openapi.yaml":                       "the same for everybody",
	"GET /health":                             "says that the host answers",
	"GET /health/live":                        "needs the health key",
	"GET /health/ready":                       "needs the health key",
	"GET /health/detailed":                    "needs the health key",
	"POST /api/:plugin/webhooks":              "the vendor signs",
	"PUT /api/:plugin/webhooks":               "the vendor signs",
	"GET /api/:plugin/webhooks":               "the vendor signs",
	"HEAD /api/:plugin/webhooks":              "the vendor signs",
	"POST /api/:plugin/webhooks/:id":          "the vendor signs",
	"PUT /api/:plugin/webhooks/:id":           "the vendor signs",
	"GET /api/:plugin/webhooks/:id":           "the vendor signs",
	"HEAD /api/:plugin/webhooks/:id":          "the vendor signs",
	"POST /api/:plugin/webhooks/:id/:webhook": "the vendor signs",
	"PUT /api/:plugin/webhooks/:id/:webhook":  "the vendor signs",
	"GET /api/:plugin/webhooks/:id/:webhook":  "the vendor signs",
	"HEAD /api/:plugin/webhooks/:id/:webhook": "the vendor signs",
}

// visits has a row for every other route. Those that remove something come last.
func visits(h *house, token string) (order []string, rows map[string]visit) {
	box := h.connect(token)
	many := must[api.Authorization](h, 200, "POST", "/api/authorize", `{"entityType":"many","data":{"username":"ada","password":"`+vendorKey+`"}}`, token)
	in := h.integrate(token, box.EntityID)
	need := must[api.Requirements](h, 200, "GET", "/api/authorize?entityType=hub", "", token)
	there, err := url.Parse(need.URL)
	if err != nil {
		h.t.Fatal(err)
	}
	scheduled := "/api/v2/schedules/" + string(h.schedule(token, in.ID, abi.SchedulePut{Name: "n", Event: "TICK", EveryS: 60}))
	event := "/api/v2/webhook-events/" + string(h.received(in.ID, token))
	entity, record := "/api/entities/"+string(box.EntityID), "/api/integrations/"+string(in.ID)
	started := must[api.Process](h, 202, "POST", "/api/v2/integrations/"+string(in.ID)+"/syncs/files", "", token)
	rows = map[string]visit{
		"GET /api/authorize": {path: "/api/authorize?entityType=box", own: 200, foreign: 200, why: "names no record"},
		"POST /api/authorize": {
			path: "/api/authorize", own: 200, foreign: 400, why: "a state of somebody else is as good as none",
			body: fmt.Sprintf(`{"entityType":"hub","data":{"code":"vendor-code","state":%q}}`, there.Query().Get("state")),
		},
		"POST /api/entity":                                         {path: "/api/entity", body: fmt.Sprintf(`{"entityType":"many","data":{"credential_id":%q,"external_id":"t1"}}`, many.CredentialID), own: 200},
		"GET /api/entity/options/:id":                              {path: "/api/entity/options/" + string(many.CredentialID) + "?entityType=many", own: 200},
		"GET /api/entities/:id":                                    {path: entity, own: 200},
		"GET /api/entities/:id/test-auth":                          {path: entity + "/test-auth", own: 200},
		"POST /api/entities/:id/options":                           {path: entity + "/options", own: 200},
		"POST /api/entities/:id/options/refresh":                   {path: entity + "/options/refresh", body: `{}`, own: 200},
		"GET /api/integrations":                                    {path: "/api/integrations", own: 200, foreign: 200, why: "lists what is the caller's"},
		"GET /api/integrations/options":                            {path: "/api/integrations/options", own: 200, foreign: 200, why: "the same for everybody"},
		"POST /api/integrations":                                   {path: "/api/integrations", body: fmt.Sprintf(`{"entities":[%q],"config":{"type":"box-to-hub"}}`, box.EntityID), own: 201},
		"GET /api/integrations/:id":                                {path: record, own: 200},
		"PATCH /api/integrations/:id":                              {path: record, body: `{"config":{"folder":"out"}}`, own: 200},
		"GET /api/integrations/:id/config/options":                 {path: record + "/config/options", own: 200},
		"POST /api/integrations/:id/config/options/refresh":        {path: record + "/config/options/refresh", body: `{}`, own: 200},
		"GET /api/integrations/:id/test-auth":                      {path: record + "/test-auth", own: 200},
		"POST /api/integrations/:id/actions/:name":                 {path: record + "/actions/SYNC_NOW", body: `{}`, own: 200},
		"POST /api/integrations/:id/actions/:name/options/refresh": {path: record + "/actions/SYNC_NOW/options/refresh", body: `{}`, own: 200},
		"GET /api/demo/sample/:id":                                 {path: "/api/demo/sample/" + string(in.ID), own: 200},
		"GET /api/jobs":                                            {path: "/api/jobs", own: 200, foreign: 200, why: "lists what is the caller's"},
		"POST /api/jobs/:id/replay":                                {path: "/api/jobs/" + string(h.deadJob(token)) + "/replay", own: 202},
		"GET /api/v2/schedules":                                    {path: "/api/v2/schedules", own: 200, foreign: 200, why: "lists what is the caller's"},
		"POST /api/v2/schedules/:id/pause":                         {path: scheduled + "/pause", own: 200},
		"POST /api/v2/schedules/:id/resume":                        {path: scheduled + "/resume", own: 200},
		"GET /api/v2/integrations/:id/webhooks":                    {path: "/api/v2/integrations/" + string(in.ID) + "/webhooks", own: 200},
		"GET /api/v2/webhook-events":                               {path: "/api/v2/webhook-events", own: 200, foreign: 200, why: "lists what is the caller's"},
		"GET /api/v2/webhook-events/:id":                           {path: event, own: 200},
		"POST /api/v2/webhook-events/:id/replay":                   {path: event + "/replay", own: 202},
		"POST /api/jobs/:id/cancel":                                {path: "/api/jobs/" + string(h.queuedJob(token)) + "/cancel", own: 202},
		"GET /api/v2/processes":                                    {path: "/api/v2/processes", own: 200, foreign: 200, why: "lists what is the caller's"},
		"GET /api/v2/processes/:id":                                {path: "/api/v2/processes/" + string(started.ID), own: 200},
		"POST /api/v2/processes/:id/cancel":                        {path: "/api/v2/processes/" + string(started.ID) + "/cancel", own: 200},
		"GET /api/v2/syncs":                                        {path: "/api/v2/syncs", own: 200, foreign: 200, why: "lists what is the caller's"},
		"POST /api/v2/integrations/:id/syncs/:name":                {path: "/api/v2/integrations/" + string(in.ID) + "/syncs/files", own: 202},
		"DELETE /api/integrations/:id":                             {path: record, own: 201},
		"DELETE /api/entities/:id":                                 {path: entity, own: 409},
		"DELETE /api/credentials/:id":                              {path: "/api/credentials/" + string(many.CredentialID), own: 201},
	}
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		rows[method+" /api/integrations/:id/actions"] = visit{path: record + "/actions", own: 200}
		rows[method+" /api/integrations/:id/actions/:name/options"] = visit{path: record + "/actions/SYNC_NOW/options", own: 200}
	}
	maps.Copy(rows, endpointVisits(h, token))
	maps.Copy(rows, runVisits(h, token))
	var last []string
	for _, r := range h.Routes() {
		route := r.Method + " " + r.Path
		switch {
		case open[route] != "":
		case strings.HasPrefix(route, "DELETE") && !strings.Contains(route, "actions"):
			last = append(last, route)
		default:
			order = append(order, route)
		}
	}
	return append(order, last...), rows
}

// queuedJob makes a job of the token's user that waits.
func (h *house) queuedJob(token string) job.ID {
	h.t.Helper()
	n := job.New{ID: job.NewID(), Owner: h.actor(token).Owner, Lane: "test", Kind: "test", Payload: []byte(`{}`), CreatedAt: h.now}
	if _, _, err := h.db.Enqueue(h.t.Context(), n); err != nil {
		h.t.Fatal(err)
	}
	return n.ID
}

// deadJob makes a job of the token's user whose tries have all failed.
func (h *house) deadJob(token string) job.ID {
	h.t.Helper()
	id := h.queuedJob(token)
	claimed, err := h.db.ClaimJobs(h.t.Context(), "test", h.now, h.now.Add(1), 10)
	if err != nil || len(claimed) != 1 {
		h.t.Fatalf("claimed %d jobs: %v", len(claimed), err)
	}
	if err := h.db.SettleJob(h.t.Context(), id, claimed[0].Epoch, h.now, job.Settlement{State: job.Dead, Error: "on purpose"}); err != nil {
		h.t.Fatal(err)
	}
	return id
}

// received is a webhook of a record that was worked off.
func (h *house) received(id integration.ID, token string) integration.EventID {
	h.t.Helper()
	if res := send(h.t, h, "POST", "/api/box-to-hub-integration/webhooks/"+string(id)+"?key=hook-key", `{"b":1}`, nil); res.Code != 200 {
		h.t.Fatalf("webhook: %d %s", res.Code, res.Body)
	}
	h.work()
	list := must[api.WebhookEventList](h, 200, "GET", "/api/v2/webhook-events", "", token)
	if len(list.Events) == 0 {
		h.t.Fatal("the inbox is empty")
	}
	return list.Events[0].ID
}

// dump is everything that the database holds.
func (h *house) dump() map[string][]string {
	h.t.Helper()
	db, err := sql.Open("sqlite", "file:"+h.path+"?mode=ro")
	if err != nil {
		h.t.Fatal(err)
	}
	defer db.Close()
	out := map[string][]string{}
	for _, table := range query(h.t, db, `SELECT name FROM sqlite_master WHERE type = 'table'`) {
		out[table] = query(h.t, db, `SELECT * FROM "`+strings.Trim(table, "[]")+`"`)
	}
	if len(out["[users]"]) < 2 {
		h.t.Fatalf("the dump has no users: %v", out)
	}
	return out
}

// query returns rows as texts.
func query(t *testing.T, db *sql.DB, text string) (out []string) {
	t.Helper()
	rows, err := db.Query(text)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values := make([]any, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprint(values))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func (h *house) visit(route string, v visit, header map[string]string) *httptest.ResponseRecorder {
	h.t.Helper()
	method, _, _ := strings.Cut(route, " ")
	return send(h.t, h, method, v.path, v.body, header)
}

// TestForeign_EveryRouteIs404 walks every route that the router has with another user's token: nothing is found and nothing
// happens. Then it shows that the same requests do something for their owner.
func TestForeign_EveryRouteIs404(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ada, bob := h.user("ada"), h.user("bob")
	order, rows := visits(h, ada)
	before, calls, asked := h.dump(), h.guests.calls.Load(), h.asked.Load()
	seen := 0
	for _, route := range order {
		v, ok := rows[route]
		if !ok {
			t.Errorf("%s has no row: add one, or say in open why it needs no actor", route)
			continue
		}
		seen++
		want := 404
		if v.foreign != 0 {
			want = v.foreign
		}
		res := h.visit(route, v, bearer(bob))
		if res.Code != want {
			t.Errorf("%s: another user gets %d %s, want %d", route, res.Code, res.Body, want)
		}
		for _, id := range []string{"int_", "ent_", "cred_", "job_", "prc_", "whe_", "whd_", "fact_", "whsec_", vendorKey, vendorToken} {
			if strings.Contains(res.Body.String(), id) {
				t.Errorf("%s: another user sees %s…: %s", route, id, res.Body)
			}
		}
		if diff := cmp.Diff(before, h.dump()); diff != "" {
			t.Fatalf("%s: another user changed the database:\n%s", route, diff)
		}
	}
	if seen != len(rows) || seen < 30 {
		t.Errorf("%d of %d rows were visited", seen, len(rows))
	}
	if h.guests.calls.Load() != calls || h.asked.Load() != asked {
		t.Errorf("another user made %d guest calls and %d requests to the vendor", h.guests.calls.Load()-calls, h.asked.Load()-asked)
	}
	for _, route := range order {
		if res := h.visit(route, rows[route], bearer(ada)); res.Code != rows[route].own {
			t.Errorf("%s: the owner gets %d %s, want %d", route, res.Code, res.Body, rows[route].own)
		}
	}
}

// TestNoToken_EveryRouteIs401 walks every route without a good token.
func TestNoToken_EveryRouteIs401(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ada := h.user("ada")
	h.user("bob")
	order, rows := visits(h, ada)
	before := h.dump()
	headers := map[string]map[string]string{
		"none":             nil,
		"empty":            {"Authorization": ""},
		"no scheme":        {"Authorization": ada},
		"another scheme":   {"Authorization": "Basic " + ada},
		"no token":         {"Authorization": "Bearer "},
		"a wrong token":    {"Authorization": "Bearer fht_" + strings.Repeat("A", 43)},
		"a damaged token":  {"Authorization": "Bearer " + ada[:len(ada)-1]},
		"two spaces":       {"Authorization": "Bearer  " + ada},
		"a wrong key":      {"X-Frigg-Api-Key": "wrong", "X-Frigg-AppUserId": "ada"},
		"a key and no one": {"X-Frigg-Api-Key": "wrong", "Authorization": "Bearer " + ada},
	}
	for name, header := range headers {
		for _, route := range order {
			res := h.visit(route, rows[route], header)
			if res.Code != 401 || res.Header().Get("WWW-Authenticate") != "Bearer" || !strings.HasPrefix(res.Body.String(), `{"error":`) {
				t.Errorf("%s with %s: %d %s", route, name, res.Code, res.Body)
			}
		}
	}
	if diff := cmp.Diff(before, h.dump()); diff != "" {
		t.Errorf("somebody without a token changed the database:\n%s", diff)
	}
	for route := range open {
		method, path, _ := strings.Cut(route, " ")
		found := false
		for _, r := range h.Routes() {
			found = found || r.Method == method && r.Path == path
		}
		if !found {
			t.Errorf("%s is in open and not served", route)
		}
	}
}

func TestPath_IDsOfAnotherShapeAreNotFound(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ada := h.user("ada")
	const uuid = "0198c0de-0000-7000-8000-000000000000"
	for _, path := range []string{"/api/integrations/", "/api/entities/", "/api/demo/sample/", "/api/box-to-hub-integration/webhooks/"} {
		for _, id := range []string{
			"x", "int_", "int_" + uuid + "0", "int_{" + uuid + "}", "INT_" + uuid, uuid, "job_" + uuid, "cred_" + uuid,
			"int_" + strings.ReplaceAll(uuid, "-", "_"), "%00", "int_%00", "..", "%2e%2e", "%2F", "'%20OR%201=1--", strings.Repeat("a", 10_000), "%FF", "int_" + uuid, "ent_" + uuid,
		} {
			res := send(t, h, "GET", path+id, "", bearer(ada))
			if res.Code != 404 {
				t.Errorf("%s%.40s: %d %s", path, id, res.Code, res.Body)
			}
		}
	}
	if strings.Contains(h.log.String(), "level=ERROR") {
		t.Errorf("an id of another shape is an error for operators:\n%s", h.log)
	}
}

func TestBody_CannotOverrideThePath(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ada := h.user("ada")
	first := h.integrate(ada, h.connect(ada).EntityID)
	second := h.integrate(ada, h.connect(ada).EntityID)
	got := must[made](h, 200, "PATCH", "/api/integrations/"+string(first.ID)+"?id="+string(second.ID),
		fmt.Sprintf(`{"id":%q,"ID":%q,"status":"DISABLED"}`, second.ID, second.ID), ada)
	if got.ID != first.ID || got.Status != "DISABLED" {
		t.Errorf("got %+v", got)
	}
	if other := must[made](h, 200, "GET", "/api/integrations/"+string(second.ID), "", ada); other.Status != "ENABLED" {
		t.Errorf("the other one is %s", other.Status)
	}
}
