package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/examples/gitea/giteaapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/friggtest"
)

func TestManifest_SaysWhatTheProgramDoes(t *testing.T) { friggtest.CheckManifest(t, "manifest.yaml") }

// The person names the server, and the host sends no secret of the operator's there: the application must be the person's too.
func TestManifest_HasNoSecretOfTheOperators(t *testing.T) {
	m := friggtest.CheckManifest(t, "manifest.yaml")
	if m.Auth.OAuth2.ClientID != "{{form.client_id}}" || m.Auth.OAuth2.ClientSecret != "{{form.client_secret}}" || len(m.Settings) > 0 {
		t.Errorf("client %q, settings %+v", m.Auth.OAuth2.ClientID, m.Settings)
	}
}

// server is a Gitea of one repository.
type server struct {
	mux    *http.ServeMux
	labels []giteaapi.Label
	hooks  map[int64]string // id to URL
	posted []map[string]any // bodies
	nextID int64
}

func newServer() *server {
	s := &server{mux: http.NewServeMux(), hooks: map[int64]string{}, nextID: 1}
	s.mux.HandleFunc("GET /api/v1/user", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{"id": 7, "login": "ada"})
	})
	s.mux.HandleFunc("GET /api/v1/repos/lab/crm/labels", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Total-Count", strconv.Itoa(len(s.labels)))
		reply(w, s.labels)
	})
	s.mux.HandleFunc("POST /api/v1/repos/lab/crm/labels", func(w http.ResponseWriter, r *http.Request) {
		body := s.body(r)
		l := giteaapi.Label{ID: s.id(), Name: body["name"].(string)}
		s.labels = append(s.labels, l)
		reply(w, l)
	})
	s.mux.HandleFunc("POST /api/v1/repos/lab/crm/issues", func(w http.ResponseWriter, r *http.Request) {
		reply(w, giteaapi.Issue{Number: 1, Title: s.body(r)["title"].(string), State: "open"})
	})
	s.mux.HandleFunc("PATCH /api/v1/repos/lab/crm/issues/1", func(w http.ResponseWriter, r *http.Request) {
		reply(w, giteaapi.Issue{Number: 1, State: s.body(r)["state"].(string)})
	})
	s.mux.HandleFunc("GET /api/v1/repos/lab/crm/hooks", func(w http.ResponseWriter, _ *http.Request) {
		list := []giteaapi.Webhook{}
		for id, url := range s.hooks {
			list = append(list, giteaapi.Webhook{ID: id, Config: giteaapi.WebhookConfig{URL: url}})
		}
		w.Header().Set("X-Total-Count", strconv.Itoa(len(list)))
		reply(w, list)
	})
	s.mux.HandleFunc("POST /api/v1/repos/lab/crm/hooks", func(w http.ResponseWriter, r *http.Request) {
		url := s.body(r)["config"].(map[string]any)["url"].(string)
		id := s.id()
		s.hooks[id] = url
		reply(w, giteaapi.Webhook{ID: id, Config: giteaapi.WebhookConfig{URL: url}})
	})
	s.mux.HandleFunc("DELETE /api/v1/repos/lab/crm/hooks/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, _ := strconv.ParseInt(r.PathValue("id"), 10, 64)
		if _, ok := s.hooks[id]; !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		delete(s.hooks, id)
		w.WriteHeader(http.StatusNoContent)
	})
	return s
}

func (s *server) id() int64 { s.nextID++; return s.nextID }

func (s *server) body(r *http.Request) map[string]any {
	text, _ := io.ReadAll(r.Body)
	body := map[string]any{}
	_ = json.Unmarshal(text, &body)
	s.posted = append(s.posted, body)
	return body
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func TestIdentify_TellsEqualIDsOfTwoServersApart(t *testing.T) {
	ids := map[string]bool{}
	for _, base := range []string{"https://one.example", "https://two.example"} {
		m := friggtest.NewModule(t, newServer().mux)
		m.Connection.Values = map[string]string{"base_url": base}
		accounts, err := m.Identify(nil)
		if err != nil || len(accounts) != 1 {
			t.Fatalf("%v, %v", accounts, err)
		}
		ids[accounts[0].ExternalID] = true
	}
	if len(ids) != 2 {
		t.Errorf("external ids: %v", ids)
	}
}

func TestCreateIssue_TurnsLabelNamesIntoIDsAndCreatesNewOnes(t *testing.T) {
	s := newServer()
	s.labels = []giteaapi.Label{{ID: 1, Name: "Bug"}}
	m := friggtest.NewModule(t, s.mux)
	issue, err := friggtest.Call(m, giteaapi.CreateIssue, giteaapi.NewIssue{Repository: "lab/crm", Title: "hello", Labels: []string{"bug", "onboarding"}})
	if err != nil || issue.Number != 1 || issue.Title != "hello" {
		t.Fatalf("%+v, %v", issue, err)
	}
	sent := s.posted[len(s.posted)-1]
	if diff := cmp.Diff([]any{1.0, 2.0}, sent["labels"]); diff != "" {
		t.Error(diff)
	}
}

func TestListIssues_WalksPagesByLinkHeader(t *testing.T) {
	var asked []string
	m := friggtest.NewModule(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery)
		page := r.URL.Query().Get("page")
		if page == "1" {
			w.Header().Set("Link", `<https://elsewhere.example/api?page=2>; rel="next",<https://elsewhere.example/api?page=2>; rel="last"`)
		} else {
			w.Header().Set("Link", `<https://elsewhere.example/api?page=1>; rel="first"`)
		}
		reply(w, []map[string]any{{"number": 10, "state": "open"}})
	}))
	since := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	args := giteaapi.ListIssuesArgs{Repository: "lab/crm", State: giteaapi.All, Since: &since}
	first, err := friggtest.Call(m, giteaapi.ListIssues, args)
	if err != nil || first.Next != "2" {
		t.Fatalf("first page: %+v, %v", first, err)
	}
	args.Cursor = first.Next
	second, err := friggtest.Call(m, giteaapi.ListIssues, args)
	if err != nil || second.Next != "" {
		t.Fatalf("second page: %+v, %v", second, err)
	}
	want := []string{"limit=50&page=1&since=2030-01-02T03%3A04%3A05Z&state=all&type=issues", "limit=50&page=2&since=2030-01-02T03%3A04%3A05Z&state=all&type=issues"}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Error(diff)
	}
}

func TestListRepos_WalksPagesByTotalWhereThereIsNoLink(t *testing.T) {
	const total = 60
	m := friggtest.NewModule(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		rows := []map[string]any{}
		for i := (page - 1) * 30; i < min(page*30, total); i++ { // the server caps pages at 30
			rows = append(rows, map[string]any{"full_name": fmt.Sprintf("lab/r%d", i)})
		}
		w.Header().Set("X-Total-Count", strconv.Itoa(total))
		reply(w, rows)
	}))
	repos, err := frigg.Collect(frigg.Each(func(cursor string) (frigg.Page[giteaapi.Repository], error) {
		return friggtest.Call(m, giteaapi.ListRepos, giteaapi.ListReposArgs{Cursor: cursor})
	}), 1000)
	if err != nil || len(repos) != total {
		t.Fatalf("%d repositories, %v", len(repos), err)
	}
}

func TestCreateWebhook_LeavesOneHookForAnAddress(t *testing.T) {
	s := newServer()
	m := friggtest.NewModule(t, s.mux)
	in := giteaapi.NewWebhook{Repository: "lab/crm", URL: "https://host.example/hook", Secret: "handle", Events: []string{"issues"}}
	for range 2 { // the second is a try after a lost answer
		if _, err := friggtest.Call(m, giteaapi.CreateWebhook, in); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.hooks) != 1 {
		t.Errorf("hooks: %v", s.hooks)
	}
	config := s.posted[len(s.posted)-1]["config"].(map[string]any)
	if config["secret"] != "handle" {
		t.Errorf("secret: %v", config)
	}
}

func TestDeleteWebhook_IsFineWhenItIsGone(t *testing.T) {
	m := friggtest.NewModule(t, newServer().mux)
	if _, err := friggtest.Call(m, giteaapi.DeleteWebhook, giteaapi.WebhookArgs{Repository: "lab/crm", ID: 99}); err != nil {
		t.Error(err)
	}
}

func TestMethods_RefuseWhatIsNoRepository(t *testing.T) {
	m := friggtest.NewModule(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked for %s", r.URL) }))
	for _, name := range []string{"", "crm", "/crm", "lab/", "lab/crm/issues"} {
		if _, err := friggtest.Call(m, giteaapi.GetRepo, giteaapi.RepoArgs{Repository: name}); !frigg.Is(err, frigg.KindInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestGetRepo_CannotLeaveItsPath(t *testing.T) {
	var path string
	m := friggtest.NewModule(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { path = r.URL.EscapedPath(); reply(w, struct{}{}) }))
	if _, err := friggtest.Call(m, giteaapi.GetRepo, giteaapi.RepoArgs{Repository: "../x?y"}); err != nil {
		t.Fatal(err)
	}
	if path != "/api/v1/repos/%2E%2E/x%3Fy" {
		t.Errorf("asked for %s", path)
	}
}

func TestUpdateIssue_RefusesStatesThatDoNotExist(t *testing.T) {
	m := friggtest.NewModule(t, newServer().mux)
	for state, ok := range map[string]bool{giteaapi.Closed: true, "done": false} {
		_, err := friggtest.Call(m, giteaapi.UpdateIssue, giteaapi.IssueChange{Repository: "lab/crm", Number: 1, State: &state})
		if (err == nil) != ok {
			t.Errorf("%s: %v", state, err)
		}
	}
}

func TestReconcile_FindsWhatWasMadeAndNothingElse(t *testing.T) {
	sent := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	issue := func(title string, at time.Time) giteaapi.Issue {
		return giteaapi.Issue{Number: 7, Title: title, Body: "b", CreatedAt: at}
	}
	for name, c := range map[string]struct {
		there []giteaapi.Issue
		want  bool
	}{
		"it was made":            {[]giteaapi.Issue{issue("other", sent), issue("hello", sent)}, true},
		"there is none":          {nil, false},
		"another one":            {[]giteaapi.Issue{issue("other", sent)}, false},
		"an equal one of before": {[]giteaapi.Issue{issue("hello", sent.Add(-time.Hour))}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer()
			s.mux.HandleFunc("GET /api/v1/repos/lab/crm/issues", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Total-Count", strconv.Itoa(len(c.there)))
				reply(w, c.there)
			})
			m := friggtest.NewModule(t, s.mux)
			q := abi.HTTPRequest{Method: "POST", URL: "/api/v1/repos/lab/crm/issues", JSON: json.RawMessage(`{"title":"hello","body":"b","labels":[3]}`)}
			out, err := m.Reconcile(q, sent)
			if err != nil || out.Happened != c.want || len(s.posted) != 0 {
				t.Fatalf("%+v, %v", out, err)
			}
			var got giteaapi.Issue
			if c.want && (json.Unmarshal([]byte(out.Response.Text), &got) != nil || got.Number != 7) {
				t.Errorf("answer %s", out.Response.Text)
			}
		})
	}
	if _, err := friggtest.NewModule(t, newServer().mux).Reconcile(abi.HTTPRequest{Method: "POST", URL: "/api/v1/elsewhere"}, sent); !frigg.Is(err, frigg.KindUnsupported) {
		t.Errorf("what cannot be seen: %v", err)
	}
}
