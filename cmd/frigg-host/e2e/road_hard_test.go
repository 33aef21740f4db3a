//go:build e2e && (linux || darwin)

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// expire uses the Gitea account with an expired token, from 20 callers at once.
func (r *road) expire(t *testing.T) {
	const rounds, callers = 2, 20
	for range rounds {
		r.awaitExpiry(t)
		before := len(r.tokenRequests())
		var fine atomic.Int32
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				a, err := r.ada.try(http.MethodGet, "/api/entities/"+r.giteaID+"/test-auth", nil)
				if err == nil && a.Status == http.StatusOK {
					fine.Add(1)
				}
			})
		}
		all.Wait()
		if n := len(r.tokenRequests()) - before; fine.Load() != callers || n != 1 {
			t.Fatalf("%d of %d calls were fine, with %d token requests, want 1", fine.Load(), callers, n)
		}
	}
	if n := r.spentOnce(t); n < rounds {
		t.Errorf("%d refresh tokens were spent, want at least %d", n, rounds)
	}
	r.page.say("Tokens of Gitea live %s here. Twice, %d callers at once used an expired one: %d fine, 1 token request. "+
		"No refresh token was sent twice.", giteaTokenTTL, callers, callers)
}

// awaitExpiry waits until Gitea refuses the access token that it saw last.
func (r *road) awaitExpiry(t *testing.T) {
	t.Helper()
	token := r.giteaTap.bearer()
	eventually(t, workDeadline, "end of the access token", func() bool { return r.giteaTakes(t, token) == http.StatusUnauthorized })
}

// spentOnce counts the refresh tokens that the host has sent. One that was sent twice fails t.
func (r *road) spentOnce(t *testing.T) int {
	t.Helper()
	spent := map[string]int{}
	for _, s := range r.tokenRequests() {
		if token := s.form(t).Get("refresh_token"); token != "" {
			if spent[token]++; spent[token] > 1 {
				t.Error("a refresh token was spent twice")
			}
		}
	}
	return len(spent)
}

func (r *road) giteaTakes(t *testing.T, token string) int {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, r.giteaTap.vendor+"/api/v1/user", nil)
	check(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	a, err := send(req)
	check(t, err)
	return a.Status
}

// tokens are those that Gitea has given to the host, each access token followed by its refresh token.
func (r *road) tokens(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, s := range r.tokenRequests() {
		if s.Status != http.StatusOK {
			continue
		}
		var given struct {
			Access  string `json:"access_token"`
			Refresh string `json:"refresh_token"`
		}
		check(t, json.Unmarshal(s.Answer, &given))
		all = append(all, given.Access, given.Refresh)
	}
	return all
}

// loseToken spends the host's refresh token behind its back, which is also what remains of a host that dies between the
// vendor's answer and its own disk.
func (r *road) loseToken(t *testing.T) {
	const customer = "cus_Hedy"
	all := r.tokens(t)
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {all[len(all)-1]}, "client_id": {r.appID}, "client_secret": {r.appSecret}}
	res, err := http.PostForm(r.giteaTap.vendor+"/login/oauth/access_token", form)
	check(t, err)
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("Gitea answers %s to a refresh of our own", res.Status)
	}
	r.awaitExpiry(t)
	r.page.say("The refresh token is spent at Gitea behind the host's back, and the access token runs out. Then an event comes:")
	r.deliver(t, r.event(t, customer, "Hedy Lamarr"))
	r.ada.becomes(t, r.id, "ERROR")
	r.ada.must(t, http.StatusOK, http.MethodGet, r.path(""), nil, nil)
	r.ada.refused(t, http.StatusBadRequest, http.MethodGet, r.path("/test-auth"), nil, "Authentication Error", "gitea")
	if n := len(r.issuesOf(t, repository, customer)); n != 0 {
		t.Errorf("%d issues", n)
	}
	if again := r.authorizeGitea(t).EntityID; again != r.giteaID {
		t.Errorf("authorised again as %s, was %s", again, r.giteaID)
	}
	r.ada.becomes(t, r.id, "ENABLED")
	r.ada.quiet(t)
	issue := r.issueOf(t, customer)
	r.page.say("The event that waited was worked off: issue #%d \"%s\".", issue.Number, issue.Title)
}

func (r *road) keepOut(t *testing.T) {
	before := r.ada.read(t, r.id)
	for _, at := range []struct {
		method, path string
		in           any
	}{
		{http.MethodGet, "/api/entities/" + r.giteaID, nil},
		{http.MethodGet, "/api/entities/" + r.giteaID + "/test-auth", nil},
		{http.MethodPost, "/api/entities/" + r.giteaID + "/options", map[string]any{}},
		{http.MethodDelete, "/api/entities/" + r.giteaID, nil},
		{http.MethodGet, r.path(""), nil},
		{http.MethodPatch, r.path(""), config(map[string]any{"label": "mine"})},
		{http.MethodDelete, r.path(""), nil},
		{http.MethodGet, r.path("/test-auth"), nil},
		{http.MethodGet, r.path("/config/options"), nil},
		{http.MethodGet, r.path("/actions"), nil},
		{http.MethodPost, r.path("/actions/SYNC_NOW"), nil},
		{http.MethodGet, "/api/demo/sample/" + r.id, nil},
	} {
		r.mallory.refused(t, http.StatusNotFound, at.method, at.path, at.in)
	}
	if jobs := r.mallory.jobs(t, ""); len(jobs) != 0 {
		t.Errorf("Mallory sees jobs: %+v", jobs)
	}
	if after := r.ada.read(t, r.id); after.Status != before.Status || after.Config["label"] != before.Config["label"] {
		t.Errorf("changed: %+v, was %+v", after, before)
	}
}

const issuePath = "/repos/lab/" + repository + "/issues"

func (r *road) killBefore(t *testing.T) {
	const customer = "cus_Grace"
	reached := r.giteaTap.holdNext(http.MethodPost, issuePath, beforeVendor)
	r.deliver(t, r.event(t, customer, "Grace Hopper"))
	within(t, reached, "request to Gitea")
	r.kill(t)
	r.page.say("The event is acknowledged and its job runs; the request that opens the issue is on its way and has not arrived. `kill -9`, start.")
	r.start(t)
	r.afterKill(t, customer)
}

func (r *road) killAfter(t *testing.T) {
	const first, second = "cus_Katherine", "cus_Dorothy"
	reached := r.giteaTap.holdNext(http.MethodPost, issuePath, afterVendor)
	r.deliver(t, r.event(t, first, "Katherine Johnson"))
	within(t, reached, "answer of Gitea")
	r.issueOf(t, first)
	r.deliver(t, r.event(t, second, "Dorothy Vaughan"))
	// Gitea tells of issues too, so more may wait in the lane; one runs, and it is held.
	if running, queued := r.ada.jobs(t, "running"), r.ada.jobs(t, "queued"); len(running) != 1 || len(queued) == 0 {
		t.Fatalf("jobs that run: %+v; that wait: %+v", running, queued)
	}
	r.kill(t)
	r.page.say("Gitea has opened the issue of the first event, and its answer has not arrived. The second event is acknowledged and waits in the lane, not begun. `kill -9`, start.")
	r.start(t)
	r.afterKill(t, first, second)
}

// afterKill expects one issue of each customer, each linked and marked.
func (r *road) afterKill(t *testing.T, customers ...string) {
	t.Helper()
	r.ada.quiet(t)
	for _, customer := range customers {
		issue := r.issueOf(t, customer)
		if state := r.onboarding(t, customer); state != "open" {
			t.Errorf("Stripe was told last that %s is %q", customer, state)
		}
		r.page.say("One issue of %s: #%d \"%s\".", customer, issue.Number, issue.Title)
	}
}

func (r *road) killMoving(t *testing.T) {
	const customer = "cus_Mary"
	reached := r.giteaTap.holdNext(http.MethodPost, "/repos/lab/"+otherRepo+"/hooks", afterVendor)
	r.ada.must(t, http.StatusOK, http.MethodPatch, r.path(""), config(map[string]any{"repository": "lab/" + otherRepo}), nil)
	within(t, reached, "answer of Gitea")
	r.kill(t)
	r.page.say("The webhook in `lab/%s` is gone, Gitea has made the one in `lab/%s`, and its answer has not arrived. `kill -9`, start.", repository, otherRepo)
	r.start(t)
	r.ada.quiet(t)
	r.hook(t, otherRepo)
	if left := r.hooks(t, repository); len(left) != 0 {
		t.Errorf("webhooks in lab/%s: %q", repository, left)
	}
	r.deliver(t, r.event(t, customer, "Mary Jackson"))
	r.ada.quiet(t)
	r.gitea.CloseIssue(t, otherRepo, r.issueOf(t, customer).Number)
	eventually(t, workDeadline, "write at Stripe after the issue was closed", func() bool { return r.onboarding(t, customer) == "done" })
	r.ada.quiet(t)
	r.page.say("There is one webhook, in `lab/%s`, and it works: a customer's issue opened and closed there is written back.", otherRepo)
}

func within(t *testing.T, reached <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-reached:
	case <-time.After(workDeadline):
		t.Fatalf("no %s within %s", what, workDeadline)
	}
}

func (r *road) restart(t *testing.T) {
	r.stop(t)
	r.start(t)
	r.ada.must(t, http.StatusOK, http.MethodGet, r.path("/test-auth"), nil, nil)
}

func (r *road) remove(t *testing.T) {
	r.ada.refused(t, http.StatusConflict, http.MethodDelete, "/api/entities/"+r.giteaID, nil, "integration")
	r.ada.must(t, http.StatusCreated, http.MethodDelete, r.path(""), nil, nil)
	r.ada.refused(t, http.StatusNotFound, http.MethodGet, r.path(""), nil)
	r.ada.quiet(t)
	if left := append(r.hooks(t, repository), r.hooks(t, otherRepo)...); len(left) != 0 {
		t.Errorf("webhooks in Gitea: %q", left)
	}
	r.page.say("Gitea has no webhook any more.")
	if a := r.post(t, r.event(t, "cus_Late", "Late"), signingSecret, time.Now()); a.Status != http.StatusNotFound {
		t.Errorf("an event for what is gone: %d %s", a.Status, a.Body)
	}
	for _, id := range []string{r.giteaID, r.stripeID} {
		r.ada.must(t, http.StatusCreated, http.MethodDelete, "/api/entities/"+id, nil, nil)
		r.ada.refused(t, http.StatusNotFound, http.MethodGet, "/api/entities/"+id, nil)
		r.ada.refused(t, http.StatusNotFound, http.MethodGet, "/api/entities/"+id+"/test-auth", nil)
	}
}

// findNoSecrets looks for every secret that took part in everything that was written or answered.
func (r *road) findNoSecrets(t *testing.T) {
	r.stop(t)
	r.spentOnce(t)
	written := r.everything(t)
	written["answers of the API"], written["the transcript"] = r.page.heard.Bytes(), []byte(r.page.text.String())
	for i, token := range r.tokens(t) {
		r.secrets[fmt.Sprintf("token %d of Gitea", i+1)] = token
	}
	looked := 0
	for file, text := range written {
		looked += len(text)
		for name, secret := range r.secrets {
			if len(secret) < 8 {
				t.Fatalf("%s is %q", name, secret)
			}
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s is in %s", name, file)
			}
		}
	}
	if looked < 1<<20 || len(r.secrets) < 15 {
		t.Fatalf("looked for %d secrets in %d bytes", len(r.secrets), looked)
	}
	r.page.say("Looked for every key, token, code and signing secret that took part in every file that the host wrote and every answer of its API: none found.")
}
