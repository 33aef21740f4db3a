package demo_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/demo"
	"github.com/google/go-cmp/cmp"
)

func TestContacts_PagesGiveEveryRowOnce(t *testing.T) {
	t.Parallel()
	c := start(t, demo.Config{}).connect("contacts:read")
	seen := map[string]int{}
	pages := 0
	for path := "/contacts?limit=5"; path != ""; pages++ {
		rows, next := c.list(path)
		for _, row := range rows {
			seen[row["id"].(string)]++
			if !strings.HasSuffix(row["email"].(string), "@example.com") {
				t.Errorf("seeded e-mail %q", row["email"])
			}
		}
		link := c.call("GET", path, "").header.Get("Link")
		if path = ""; next != "" {
			path = "/contacts?limit=5&cursor=" + next
		}
		if want := fmt.Sprintf("<%s/api/v1/contacts?cursor=%s&limit=5>; rel=%q", c.base, next, "next"); next != "" && link != want {
			t.Errorf("Link %q, want %q", link, want)
		}
		if next == "" && link != "" {
			t.Errorf("Link on the last page: %q", link)
		}
	}
	if len(seen) != 12 || pages != 3 || slices.Max(slices.Collect(maps.Values(seen))) != 1 {
		t.Errorf("%d pages with %v", pages, seen)
	}
}

func TestContacts_ARowThatChangesWhilePagingIsSeenAgain(t *testing.T) {
	t.Parallel()
	c := start(t, demo.Config{Now: newClock().now}).connect(everything)
	first, next := c.list("/contacts?limit=5")
	id := first[0]["id"].(string)
	c.call("PATCH", "/contacts/"+id, `{"company":"Moved"}`).want(200)
	rest, _ := c.list("/contacts?limit=100&cursor=" + next)
	if last := rest[len(rest)-1]; len(rest) != 8 || last["id"] != id || last["company"] != "Moved" {
		t.Errorf("after the change the rest is %v", rest)
	}
}

func TestContacts_UpdatedSinceIsInclusive(t *testing.T) {
	t.Parallel()
	clock := newClock()
	c := start(t, demo.Config{Now: clock.now}).connect(everything)
	created := c.call("POST", "/contacts", `{"name":"Late"}`).want(201)
	for _, row := range []struct {
		since time.Duration
		want  int
	}{{0, 1}, {time.Second, 0}, {-1000 * time.Hour, 13}} {
		rows, _ := c.list("/contacts?updated_since=" + clock.now().Add(row.since).Format(time.RFC3339))
		if len(rows) != row.want {
			t.Errorf("since %v (row at %s): %d rows, want %d", row.since, created.str("updated_at"), len(rows), row.want)
		}
	}
}

func TestLists_RefuseBadQueries(t *testing.T) {
	t.Parallel()
	c := start(t, unlimited()).connect(everything)
	for _, query := range []string{"limit=0", "limit=101", "limit=x", "cursor=%21", "cursor=YQ", "updated_since=yesterday"} {
		if got := c.call("GET", "/contacts?"+query, ""); got.status != 400 || got.str("error", "code") != "invalid_query" {
			t.Errorf("%s: %d %s", query, got.status, got.body)
		}
	}
}

func TestContacts_FilterByEmail(t *testing.T) {
	t.Parallel()
	c := start(t, demo.Config{}).connect(everything)
	rows, _ := c.list("/contacts?email=priya.raman@example.com")
	if len(rows) != 1 || rows[0]["name"] != "Priya Raman" {
		t.Errorf("found %v", rows)
	}
}

func TestContact_LivesAndDies(t *testing.T) {
	t.Parallel()
	c := start(t, demo.Config{}).connect(everything)
	id := c.call("POST", "/contacts", `{"name":"Ada","email":"ada@example.com","phone":"1"}`).want(201).str("id")
	deal := c.call("POST", "/deals", `{"title":"D","contact_id":"`+id+`"}`).want(201).str("id")
	task := c.call("POST", "/tasks", `{"title":"T","contact_id":"`+id+`"}`).want(201).str("id")
	c.call("POST", "/contacts/"+id+"/notes", `{"body":"hello\nthere"}`).want(201)

	patched := c.call("PATCH", "/contacts/"+id, `{"phone":null,"company":"Engines"}`, "Content-Type", "application/merge-patch+json").want(200)
	if patched.str("phone") != "" || patched.str("company") != "Engines" || patched.str("name") != "Ada" {
		t.Errorf("merge patch gave %s", patched.body)
	}
	same := c.call("PATCH", "/contacts/"+id, `{"company":"Engines"}`).want(200)
	if same.str("updated_at") != patched.str("updated_at") {
		t.Error("a patch that changes nothing changed the time")
	}
	c.call("DELETE", "/contacts/"+id, "").want(204)
	for _, path := range []string{"/contacts/" + id, "/contacts/" + id + "/notes"} {
		c.call("GET", path, "").want(404)
	}
	c.call("DELETE", "/contacts/"+id, "").want(404)
	c.call("PATCH", "/contacts/"+id, `{}`).want(404)
	if got := c.call("GET", "/deals/"+deal, "").want(200).str("contact_id"); got != "" {
		t.Errorf("the deal still points to %q", got)
	}
	if got := c.call("POST", "/tasks/"+task+"/complete", "").want(200).str("contact_id"); got != "" {
		t.Errorf("the task still points to %q", got)
	}
}

func TestNotes_CarryTheirAuthor(t *testing.T) {
	t.Parallel()
	c := start(t, demo.Config{}).connect(everything)
	contacts, _ := c.list("/contacts?limit=2")
	id := contacts[0]["id"].(string)
	c.call("POST", "/contacts/"+id+"/notes", `{"body":"called"}`).want(201)
	notes, _ := c.list("/contacts/" + id + "/notes")
	if len(notes) != 1 || notes[0]["author"] != clientID || notes[0]["contact_id"] != id {
		t.Errorf("notes: %v", notes)
	}
	if others, _ := c.list("/contacts/" + contacts[1]["id"].(string) + "/notes"); len(others) != 0 {
		t.Errorf("another contact has them too: %v", others)
	}
	c.call("POST", "/contacts/con_none/notes", `{"body":"x"}`).want(404)
}

func TestDeals_ListFilterAndMove(t *testing.T) {
	t.Parallel()
	c := start(t, demo.Config{}).connect(everything)
	all, _ := c.list("/deals")
	leads, _ := c.list("/deals?stage=lead")
	if len(all) != 8 || len(leads) != 3 {
		t.Fatalf("%d deals, %d leads", len(all), len(leads))
	}
	id := leads[0]["id"].(string)
	if got := c.call("PATCH", "/deals/"+id, `{"stage":"won"}`).want(200); got.str("stage") != "won" {
		t.Errorf("patched: %s", got.body)
	}
	if got := c.call("POST", "/deals", `{"title":"New","amount_cents":5}`).want(201); got.str("currency") != "EUR" || got.str("stage") != "lead" {
		t.Errorf("defaults: %s", got.body)
	}
	c.call("GET", "/deals/deal_none", "").want(404)
	c.call("PATCH", "/deals/deal_none", `{}`).want(404)
}

func TestTasks_AreCompletedOnce(t *testing.T) {
	t.Parallel()
	clock := newClock()
	c := start(t, demo.Config{Now: clock.now}).connect(everything)
	id := c.call("POST", "/tasks", `{"title":"Ring","due_on":"2031-06-01"}`).want(201).str("id")
	first := c.call("POST", "/tasks/"+id+"/complete", "").want(200)
	clock.move(time.Minute)
	if again := c.call("POST", "/tasks/"+id+"/complete", "").want(200); again.body != first.body {
		t.Errorf("completing again gave %s, first %s", again.body, first.body)
	}
	if open, _ := c.list("/tasks?done=false"); len(open) != 0 {
		t.Errorf("open tasks: %v", open)
	}
	c.call("POST", "/tasks/task_none/complete", "").want(404)
}

func TestBodies_AreStrict(t *testing.T) {
	t.Parallel()
	c := start(t, unlimited()).connect(everything)
	for _, row := range []struct {
		name, path, body string
		status           int
		field            string
	}{
		{"empty", "/contacts", "", 400, ""},
		{"not JSON", "/contacts", "{", 400, ""},
		{"null", "/contacts", "null", 400, ""},
		{"a list", "/contacts", "[]", 400, ""},
		{"two values", "/contacts", `{"name":"a"}{}`, 400, ""},
		{"unknown field", "/contacts", `{"name":"a","admin":true}`, 422, "admin"},
		{"other case", "/contacts", `{"NAME":"a"}`, 422, "NAME"},
		{"server's field", "/contacts", `{"name":"a","id":"con_1"}`, 422, "id"},
		{"wrong type", "/contacts", `{"name":1}`, 422, "name"},
		{"no name", "/contacts", `{"email":"a@example.com"}`, 422, "name"},
		{"blank name", "/contacts", `{"name":" "}`, 422, "name"},
		{"long name", "/contacts", `{"name":"` + strings.Repeat("é", 201) + `"}`, 422, "name"},
		{"two lines", "/contacts", `{"name":"a\nb"}`, 422, "name"},
		{"NUL", "/contacts", `{"name":"a\u0000"}`, 422, "name"},
		{"bad e-mail", "/contacts", `{"name":"a","email":"nobody"}`, 422, "email"},
		{"e-mail with name", "/contacts", `{"name":"a","email":"A <a@example.com>"}`, 422, "email"},
		{"fraction", "/deals", `{"title":"a","amount_cents":1.5}`, 422, "amount_cents"},
		{"negative", "/deals", `{"title":"a","amount_cents":-1}`, 422, "amount_cents"},
		{"huge", "/deals", `{"title":"a","amount_cents":1e99}`, 422, "amount_cents"},
		{"stage", "/deals", `{"title":"a","stage":"maybe"}`, 422, "stage"},
		{"currency", "/deals", `{"title":"a","currency":"eur"}`, 422, "currency"},
		{"foreign contact", "/deals", `{"title":"a","contact_id":"con_none"}`, 422, "contact_id"},
		{"foreign deal", "/tasks", `{"title":"a","deal_id":"deal_none"}`, 422, "deal_id"},
		{"no day", "/tasks", `{"title":"a","due_on":"2031-02-30"}`, 422, "due_on"},
	} {
		got := c.call("POST", row.path, row.body, "Content-Type", "application/json")
		fields, _ := got.json()["error"].(map[string]any)["fields"].(map[string]any)
		if _, named := fields[row.field]; got.status != row.status || named != (row.field != "") {
			t.Errorf("%s: %d %s", row.name, got.status, got.body)
		}
	}
	c.call("POST", "/contacts", `{"name":"`+strings.Repeat("x", 1<<20)+`"}`).want(413)
	c.call("POST", "/contacts", `{"name":"x"}`, "Content-Type", "text/plain").want(415)
	if rows, _ := c.list("/contacts?limit=100"); len(rows) != 12 {
		t.Errorf("refused requests left %d contacts", len(rows))
	}
}

func TestCreate_IsIdempotentByKey(t *testing.T) {
	t.Parallel()
	clock := newClock()
	cfg := unlimited()
	cfg.Now, cfg.TokenTTL = clock.now, 1000*time.Hour
	v := start(t, cfg)
	if err := v.crm.AddClient("other", "secret", callback); err != nil {
		t.Fatal(err)
	}
	c := v.connect(everything)
	const key, body = "Idempotency-Key", `{"title":"once"}`
	first := c.call("POST", "/tasks", body, key, "k").want(201)
	again := c.call("POST", "/tasks", body, key, "k").want(201)
	if diff := cmp.Diff(first.json(), again.json()); diff != "" || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("second answer: %v %s", again.header, diff)
	}
	c.call("POST", "/tasks", `{"title":"twice"}`, key, "k").want(422)
	c.call("POST", "/tasks", `{}`, key, "refused").want(422)
	c.call("POST", "/tasks", body, key, "refused").want(201) // a refusal is not remembered
	c.call("POST", "/deals", body, key, "k").want(201)       // another route
	c.call("POST", "/tasks", body, key, strings.Repeat("k", 256)).want(400)
	clock.move(24 * time.Hour)
	c.call("POST", "/tasks", `{"title":"twice"}`, key, "k").want(201)
	if rows, _ := c.list("/tasks"); len(rows) != 3 {
		t.Errorf("%d tasks, want 3", len(rows))
	}
}

func TestCreate_ConcurrentRequestsWithOneKeyMakeOneRow(t *testing.T) {
	t.Parallel()
	c := start(t, unlimited()).connect(everything)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() { c.call("POST", "/contacts", `{"name":"One"}`, "Idempotency-Key", "k").want(201) })
	}
	wg.Wait()
	if rows, _ := c.list("/contacts?limit=100"); len(rows) != 13 {
		t.Errorf("%d contacts, want 13", len(rows))
	}
}

func TestRateLimit_CountsEachTokenAlone(t *testing.T) {
	t.Parallel()
	clock := newClock()
	v := start(t, demo.Config{Now: clock.now})
	c, other := v.connect(everything), v.connect(everything)
	for i := range 40 {
		if got := c.call("GET", "/me", "").want(200); got.header.Get("RateLimit-Remaining") != fmt.Sprint(39-i) {
			t.Fatalf("call %d: RateLimit-Remaining %s", i, got.header.Get("RateLimit-Remaining"))
		}
	}
	over := c.call("GET", "/me", "").want(429)
	want := map[string]string{"Retry-After": "1", "RateLimit-Limit": "40", "RateLimit-Remaining": "0", "RateLimit-Reset": "2"}
	for name, value := range want {
		if got := over.header.Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	other.call("GET", "/me", "").want(200)
	clock.move(50 * time.Millisecond)
	c.call("GET", "/me", "").want(200)
	c.call("GET", "/me", "").want(429)
}

func TestScopes_GuardEveryRoute(t *testing.T) {
	t.Parallel()
	v := start(t, unlimited())
	tokens := map[string]caller{}
	for _, scope := range strings.Fields(everything) {
		others := slices.DeleteFunc(strings.Fields(everything), func(s string) bool { return s == scope })
		tokens[scope] = v.connect(strings.Join(others, " "))
	}
	for _, row := range []struct{ method, path, scope string }{
		{"GET", "/contacts", "contacts:read"},
		{"POST", "/contacts", "contacts:write"},
		{"GET", "/contacts/x", "contacts:read"},
		{"PATCH", "/contacts/x", "contacts:write"},
		{"DELETE", "/contacts/x", "contacts:write"},
		{"GET", "/contacts/x/notes", "contacts:read"},
		{"POST", "/contacts/x/notes", "contacts:write"},
		{"GET", "/deals", "deals:read"},
		{"POST", "/deals", "deals:write"},
		{"GET", "/deals/x", "deals:read"},
		{"PATCH", "/deals/x", "deals:write"},
		{"GET", "/tasks", "tasks:read"},
		{"POST", "/tasks", "tasks:write"},
		{"POST", "/tasks/x/complete", "tasks:write"},
		{"GET", "/webhooks", "webhooks:write"},
		{"POST", "/webhooks", "webhooks:write"},
		{"GET", "/webhooks/x", "webhooks:write"},
		{"PATCH", "/webhooks/x", "webhooks:write"},
		{"DELETE", "/webhooks/x", "webhooks:write"},
		{"GET", "/webhooks/x/deliveries", "webhooks:write"},
		{"POST", "/webhooks/x/deliveries/y/redeliver", "webhooks:write"},
	} {
		c := tokens[row.scope]
		got := c.call(row.method, row.path, "")
		challenge := got.header.Get("WWW-Authenticate")
		if got.status != 403 || !strings.Contains(challenge, `scope="`+row.scope+`"`) {
			t.Errorf("%s %s without %s: %d %q", row.method, row.path, row.scope, got.status, challenge)
		}
		c.token = "invented"
		if got := c.call(row.method, row.path, ""); got.status != 401 {
			t.Errorf("%s %s with an invented token: %d", row.method, row.path, got.status)
		}
	}
}

func TestAPI_ErrorsAreJSON(t *testing.T) {
	t.Parallel()
	v := start(t, demo.Config{})
	c := v.connect(everything)
	for _, row := range []struct {
		name   string
		got    answer
		status int
		code   string
	}{
		{"no token", v.send("GET", "/api/v1/me", nil, ""), 401, "unauthorized"},
		{"basic", v.send("GET", "/api/v1/me", basic("a", "b"), ""), 401, "unauthorized"},
		{"unknown address", c.call("GET", "/nothing", ""), 404, "not_found"},
		{"wrong method", c.call("PUT", "/contacts", ""), 405, "method_not_allowed"},
		{"unknown id", c.call("GET", "/contacts/con_none", ""), 404, "not_found"},
	} {
		if row.got.status != row.status || row.got.str("error", "code") != row.code || row.got.str("error", "message") == "" {
			t.Errorf("%s: %d %s", row.name, row.got.status, row.got.body)
		}
		if ct := row.got.header.Get("Content-Type"); ct != "application/json" {
			t.Errorf("%s: Content-Type %q", row.name, ct)
		}
	}
	if allow := c.call("PUT", "/contacts", "").header.Get("Allow"); allow != "GET, HEAD, POST" {
		t.Errorf("Allow: %q", allow)
	}
}

func TestHost_OnlyOurNames(t *testing.T) {
	t.Parallel()
	v := start(t, demo.Config{})
	for host, want := range map[string]int{"evil.example": 421, "evil.example:80": 421, "localhost:1": 200, "[::1]:9": 200} {
		if got := v.send("GET", "/", http.Header{"Host": {host}}, ""); got.status != want {
			t.Errorf("Host %s: %d, want %d", host, got.status, want)
		}
	}
}

func TestNew_RefusesABadBaseURL(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "127.0.0.1:9000", "ftp://127.0.0.1", "http://127.0.0.1/path", "http://u@127.0.0.1", "http://127.0.0.1?x", "http://["} {
		if crm, err := demo.New(demo.Config{BaseURL: base}); err == nil {
			crm.Close()
			t.Errorf("%q was accepted", base)
		}
	}
}
