//go:build e2e && (linux || darwin)

package e2e

import (
	"net/http"
	"net/url"
	"slices"
	"testing"
)

// query is the query of a redirect as an application posts it.
func query(t *testing.T, address string) map[string]any {
	t.Helper()
	u, err := url.Parse(address)
	check(t, err)
	data := map[string]any{}
	for name, values := range u.Query() {
		data[name] = values[0]
	}
	return data
}

// with is data with another value.
func with(data map[string]any, name, value string) map[string]any {
	out := map[string]any{}
	for k, v := range data {
		out[k] = v
	}
	out[name] = value
	return out
}

// authorize is the body of POST /api/authorize.
func authorize(module string, data map[string]any) map[string]any {
	return map[string]any{"entityType": module, "data": data}
}

func (r *road) connectGitea(t *testing.T) {
	redirect := r.url() + "/redirect/gitea"
	r.appID, r.appSecret = r.gitea.CreateOAuthApp(t, redirect)
	r.secrets["the secret of Gitea's application"] = r.appSecret

	var need requirements
	r.ada.must(t, http.StatusOK, http.MethodGet, "/api/authorize?entityType=gitea", nil, &need)
	if need.Type != "oauth2" || !slices.Contains(need.Data.JSONSchema.Required, "base_url") {
		t.Fatalf("want a form that asks for base_url, got %+v", need)
	}
	var away authorization
	r.ada.must(t, http.StatusOK, http.MethodPost, "/api/authorize", authorize("gitea", r.giteaForm()), &away)
	if away.URL == "" || away.EntityID != "" {
		t.Fatalf("want an address to go to and nothing else, got %+v", away)
	}

	back := r.gitea.Browser(t).Authorize(t, away.URL)
	r.page.say("Ada signs in at Gitea and consents; Gitea sends her browser to `%s`.", back)
	req, err := http.NewRequest(http.MethodGet, back, nil)
	check(t, err)
	landed, err := send(req)
	check(t, err)
	if landed.Status != http.StatusOK || landed.Header.Get("Referrer-Policy") == "" {
		t.Errorf("the landing page: %d %v", landed.Status, landed.Header)
	}
	r.callback = query(t, back)
	r.secrets["the code of the callback"], _ = r.callback["code"].(string)

	r.page.say("With a made-up state; then as it came, but posted by Mallory; then by Ada:")
	r.ada.refused(t, http.StatusBadRequest, http.MethodPost, "/api/authorize", authorize("gitea", with(r.callback, "state", "made-up")), "begin again")
	r.mallory.refused(t, http.StatusBadRequest, http.MethodPost, "/api/authorize", authorize("gitea", r.callback), "another user")
	var done authorization
	r.ada.must(t, http.StatusOK, http.MethodPost, "/api/authorize", authorize("gitea", r.callback), &done)
	r.giteaID = done.EntityID
	r.ada.must(t, http.StatusOK, http.MethodGet, "/api/entities/"+r.giteaID, nil, nil)
	r.works(t, r.giteaID)
}

// giteaForm is what Ada fills in.
func (r *road) giteaForm() map[string]any {
	return map[string]any{"base_url": r.giteaTap.URL + "/", "client_id": r.appID, "client_secret": r.appSecret}
}

// authorizeGitea goes the whole way.
func (r *road) authorizeGitea(t *testing.T) authorization {
	t.Helper()
	var away, done authorization
	r.ada.must(t, http.StatusOK, http.MethodPost, "/api/authorize", authorize("gitea", r.giteaForm()), &away)
	back := r.gitea.Browser(t).Authorize(t, away.URL)
	r.ada.must(t, http.StatusOK, http.MethodPost, "/api/authorize", authorize("gitea", query(t, back)), &done)
	return done
}

func (r *road) works(t *testing.T, entity string) {
	t.Helper()
	r.ada.must(t, http.StatusOK, http.MethodGet, "/api/entities/"+entity+"/test-auth", nil, nil)
}

func (r *road) replayCallback(t *testing.T) {
	before := len(r.tokenRequests())
	r.page.say("The callback again; one without a state; a module that there is not:")
	r.ada.refused(t, http.StatusBadRequest, http.MethodPost, "/api/authorize", authorize("gitea", r.callback), "used already", "begin again")
	r.ada.refused(t, http.StatusBadRequest, http.MethodPost, "/api/authorize", authorize("gitea", map[string]any{"code": "x"}), "base_url")
	r.ada.refused(t, http.StatusBadRequest, http.MethodPost, "/api/authorize", authorize("nonsense", map[string]any{"x": "y"}), "options: gitea, stripe")

	r.page.say("A callback that says no:")
	var away authorization
	r.ada.must(t, http.StatusOK, http.MethodPost, "/api/authorize", authorize("gitea", r.giteaForm()), &away)
	denied := map[string]any{"state": query(t, away.URL)["state"], "error": "access_denied", "error_description": "the resource owner said no"}
	r.ada.refused(t, http.StatusBadRequest, http.MethodPost, "/api/authorize", authorize("gitea", denied), "access_denied", "agree")
	if after := len(r.tokenRequests()); after != before {
		t.Errorf("%d token requests for callbacks that are not good", after-before)
	}

	r.page.say("A code that Gitea has not given:")
	r.ada.must(t, http.StatusOK, http.MethodPost, "/api/authorize", authorize("gitea", r.giteaForm()), &away)
	madeUp := map[string]any{"state": query(t, away.URL)["state"], "code": "made-up"}
	r.ada.refused(t, http.StatusBadRequest, http.MethodPost, "/api/authorize", authorize("gitea", madeUp), "refuses to give tokens")
	r.works(t, r.giteaID) // and what was connected stays so
}

// tokenRequests are those that Gitea has received.
func (r *road) tokenRequests() []seen {
	return r.giteaTap.requests(http.MethodPost, "/login/oauth/access_token")
}

func (r *road) connectStripe(t *testing.T) {
	r.secrets["the key of Stripe"] = r.stripe.Key
	r.ada.must(t, http.StatusOK, http.MethodGet, "/api/authorize?entityType=stripe", nil, nil)
	r.page.say("No key; one that Stripe refuses; a good one:")
	r.ada.refused(t, http.StatusBadRequest, http.MethodPost, "/api/authorize", authorize("stripe", map[string]any{}), "api_key")
	r.ada.refused(t, http.StatusBadRequest, http.MethodPost, "/api/authorize", authorize("stripe", map[string]any{"api_key": "pk_test_123"}),
		"does not accept")
	var done authorization
	r.ada.must(t, http.StatusOK, http.MethodPost, "/api/authorize", authorize("stripe", map[string]any{"api_key": r.stripe.Key}), &done)
	r.stripeID = done.EntityID
	r.works(t, r.stripeID)
}
