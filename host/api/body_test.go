package api_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestBody_MalformedIsRefusedOnEveryRoute sends each kind of malformed body to every route that reads one.
func TestBody_MalformedIsRefusedOnEveryRoute(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ada := h.user("ada")
	h.user("bob")
	order, rows := visits(h, ada)
	reading := map[string]visit{"POST /user/create": {path: "/user/create"}, "POST /user/login": {path: "/user/login"}}
	for _, route := range order {
		if rows[route].body != "" || strings.HasSuffix(route, "/actions") {
			reading[route] = rows[route]
		}
	}
	if len(reading) < 14 {
		t.Fatalf("only %d routes read a body", len(reading))
	}
	before, calls, asked := h.dump(), h.guests.calls.Load(), h.asked.Load()
	for name, body := range map[string]string{
		"broken":        `{"entityType":"box","data":{`,
		"trailing":      `{"entityType":"box","data":{}} x`,
		"two objects":   `{}{}`,
		"a list":        `[{"entityType":"box"}]`,
		"a text":        `"box"`,
		"null":          `null`,
		"not JSON":      `entityType=box&username=ada&password=x`,
		"not UTF-8":     "{\"entityType\":\"b\xffx\"}",
		"a field twice": `{"entityType":"box","config":{},"config":{"type":"box-to-hub"}}`,
		"too deep":      strings.Repeat(`{"data":`, 200) + "1" + strings.Repeat("}", 200),
	} {
		for route, v := range reading {
			v.body = body
			res := h.visit(route, v, bearer(ada))
			if res.Code != 400 || !strings.HasPrefix(res.Body.String(), `{"error":"the body `) {
				t.Errorf("%s with a body that is %s: %d %s", route, name, res.Code, res.Body)
			}
		}
	}
	for route, v := range reading {
		v.body = `{"more":"` + strings.Repeat("a", 11<<20) + `"}`
		if res := h.visit(route, v, bearer(ada)); res.Code != 413 || !strings.HasPrefix(res.Body.String(), `{"error":"the body is larger than`) {
			t.Errorf("%s with 11 MB: %d %.200s", route, res.Code, res.Body)
		}
	}
	for name, row := range map[string]visit{
		"entityType":  {path: "/api/authorize", body: `{"entityType":17,"data":{}}`},
		"data":        {path: "/api/authorize", body: `{"entityType":"box","data":[]}`},
		"entities":    {path: "/api/integrations", body: `{"entities":"all","config":{}}`},
		"config":      {path: "/api/integrations", body: `{"entities":[],"config":["type"]}`},
		"config.type": {path: "/api/integrations", body: `{"entities":[],"config":{"type":5}}`},
		"username":    {path: "/user/login", body: `{"username":{"$ne":null},"password":"x"}`},
		"actionType":  {path: rows["GET /api/integrations/:id/actions"].path, body: `{"actionType":{}}`},
	} {
		if res := send(t, h, "POST", row.path, row.body, bearer(ada)); res.Code != 400 || !strings.Contains(strings.ToLower(res.Body.String()), strings.ToLower(name)) {
			t.Errorf("%s of the wrong type: %d %s", name, res.Code, res.Body)
		}
	}
	if diff := cmp.Diff(before, h.dump()); diff != "" {
		t.Errorf("malformed bodies changed the database:\n%s", diff)
	}
	if h.guests.calls.Load() != calls || h.asked.Load() != asked {
		t.Error("malformed bodies reached guests or the vendor")
	}
}

// TestBody_TooLargeIsAnsweredOnARealConnection checks that a client that still sends gets to read why it was refused.
func TestBody_TooLargeIsAnsweredOnARealConnection(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := httptest.NewServer(h)
	defer s.Close()
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+"/api/authorize", strings.NewReader(`{"more":"`+strings.Repeat("a", 11<<20)+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+h.user("ada"))
	res, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 413 {
		t.Errorf("answered %s", res.Status)
	}
}

// TestBody_TenMegabytesAreTaken checks that the limit is not lower than Frigg's.
func TestBody_TenMegabytesAreTaken(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	body := `{"entityType":"nothing","data":{"more":"` + strings.Repeat("a", 10_000_000) + `"}}`
	if res := send(t, h, "POST", "/api/authorize", body, bearer(h.user("ada"))); res.Code != 400 || !strings.Contains(res.Body.String(), "no module") {
		t.Errorf("answered %d %s", res.Code, res.Body)
	}
}

func TestMissing_NamesEveryRequiredParameter(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ada := h.user("ada")
	for _, c := range []struct{ method, path, body, want string }{
		{"POST", "/user/login", ``, "Missing Parameters: username, password are required."},
		{"POST", "/user/login", `{"username":"ada","password":null}`, "Missing Parameter: password is required."},
		{"POST", "/user/login", `{"username":"","password":"x"}`, "Missing Parameter: username is required."},
		{"GET", "/api/authorize?entityType=", ``, "Missing Parameter: entityType is required."},
		{"POST", "/api/authorize", `{"data":{}}`, "Missing Parameter: entityType is required."},
		{"POST", "/api/integrations", `{"entities":null,"config":null}`, "Missing Parameters: entities, config are required."},
	} {
		if res := send(t, h, c.method, c.path, c.body, bearer(ada)); res.Code != 400 || !strings.HasPrefix(res.Body.String(), fmt.Sprintf(`{"error":%q`, c.want)) {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, res.Code, res.Body)
		}
	}
}
