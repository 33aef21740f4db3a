//go:build linux || darwin

package lab

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Issue is an issue of a repository.
type Issue struct {
	Number int64  `json:"number"`
	Title  string `json:"title"`
	Body   string `json:"body"`
	State  string `json:"state"` // "open" or "closed"
}

// api calls Gitea's API as the administrator.
func (g *Gitea) api(t testing.TB, method, path string, in, out any) {
	t.Helper()
	call(t, method, g.URL+"/api/v1"+path, func(r *http.Request) { r.Header.Set("Authorization", "token "+g.PAT) }, in, out)
}

// createPAT needs the password: a token cannot make tokens.
func (g *Gitea) createPAT(t testing.TB) string {
	t.Helper()
	var token struct {
		Value string `json:"sha1"`
	}
	call(t, http.MethodPost, g.URL+"/api/v1/users/"+g.User+"/tokens", func(r *http.Request) { r.SetBasicAuth(g.User, g.Password) },
		map[string]any{"name": "lab", "scopes": []string{"all"}}, &token)
	return token.Value
}

// CreateOAuthApp registers a confidential OAuth2 client.
func (g *Gitea) CreateOAuthApp(t testing.TB, redirectURI string) (id, secret string) {
	t.Helper()
	var app struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	g.api(t, http.MethodPost, "/user/applications/oauth2", map[string]any{
		"name": "frigg-host", "redirect_uris": []string{redirectURI}, "confidential_client": true,
	}, &app)
	return app.ID, app.Secret
}

// CreateRepo makes a public repository of the administrator with a first commit.
func (g *Gitea) CreateRepo(t testing.TB, name string) {
	t.Helper()
	g.api(t, http.MethodPost, "/user/repos", map[string]any{"name": name, "auto_init": true}, nil)
}

// CreateHook makes Gitea post issue events of a repository to address, signed with HMAC-SHA256 in hex in X-Gitea-Signature.
func (g *Gitea) CreateHook(t testing.TB, repo, address, secret string) {
	t.Helper()
	g.api(t, http.MethodPost, g.repo(repo)+"/hooks", map[string]any{
		"type": "gitea", "active": true, "events": []string{"issues"},
		"config": map[string]string{"url": address, "content_type": "json", "secret": secret},
	}, nil)
}

// Redeliver presses the button that sends the newest webhook of a repository once more, under a new delivery id.
func (g *Gitea) Redeliver(t testing.TB, repo string) {
	t.Helper()
	var hooks []struct{ ID int64 }
	g.api(t, http.MethodGet, g.repo(repo)+"/hooks", nil, &hooks)
	if len(hooks) != 1 {
		t.Fatalf("%s has %d webhooks, want one", repo, len(hooks))
	}
	page := fmt.Sprintf("%s/%s/%s/settings/hooks/%d", g.URL, g.User, url.PathEscape(repo), hooks[0].ID)
	if err := g.Browser(t).press(page, "/replay/"); err != nil {
		t.Fatalf("redeliver: %v", err)
	}
}

// CreateIssue opens an issue and returns its number.
func (g *Gitea) CreateIssue(t testing.TB, repo, title, body string) int64 {
	t.Helper()
	var issue Issue
	g.api(t, http.MethodPost, g.repo(repo)+"/issues", map[string]any{"title": title, "body": body}, &issue)
	return issue.Number
}

// CloseIssue closes an issue.
func (g *Gitea) CloseIssue(t testing.TB, repo string, number int64) {
	t.Helper()
	g.api(t, http.MethodPatch, fmt.Sprintf("%s/issues/%d", g.repo(repo), number), map[string]any{"state": "closed"}, nil)
}

// Issues returns the issues of a repository, open and closed, newest first.
func (g *Gitea) Issues(t testing.TB, repo string) []Issue {
	t.Helper()
	var all []Issue
	for page := 1; ; page++ {
		var some []Issue
		g.api(t, http.MethodGet, fmt.Sprintf("%s/issues?type=issues&state=all&page=%d", g.repo(repo), page), nil, &some)
		if len(some) == 0 {
			return all
		}
		all = append(all, some...)
	}
}

func (g *Gitea) repo(name string) string { return "/repos/" + g.User + "/" + url.PathEscape(name) }

// Browser opens the administrator's browser, not signed in yet. It signs in and consents where Gitea asks for it.
func (g *Gitea) Browser(t testing.TB) *Browser {
	t.Helper()
	b, err := newBrowser(g.URL, g.fill)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fill knows two of Gitea's forms: sign in and consent. A second sign-in form in one visit would come from a wrong
// password, and the limit of pages ends that.
func (g *Gitea) fill(f form) url.Values {
	switch {
	case strings.HasPrefix(f.action, "/user/login"):
		f.values.Set("user_name", g.User)
		f.values.Set("password", g.Password)
	case f.action == "/login/oauth/grant":
		f.values.Set("granted", "true")
	default:
		return nil
	}
	return f.values
}
