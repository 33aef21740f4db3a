package demo_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/demo"
	"github.com/google/go-cmp/cmp"
)

func TestOAuth_WholeFlow(t *testing.T) {
	t.Parallel()
	clock := newClock()
	v := start(t, demo.Config{Now: clock.now, TokenTTL: 90 * time.Second})

	meta := v.send("GET", "/.well-known/oauth-authorization-server", nil, "").want(200)
	if meta.str("issuer") != v.base || meta.str("token_endpoint") != v.base+"/oauth/token" {
		t.Errorf("metadata: %s", meta.body)
	}
	back := v.consent(nil)
	if back.Get("state") != "st&te" || back.Get("iss") != v.base || back.Get("keep") != "1" {
		t.Errorf("callback parameters: %v", back)
	}
	got := v.redeem(back.Get("code")).want(200)
	if got.json()["expires_in"] != 90.0 || got.str("token_type") != "Bearer" || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("token answer: %v %s", got.header, got.body)
	}
	c := caller{v, got.str("access_token")}
	if me := c.call("GET", "/me", "").want(200); me.str("user", "name") != demo.User || me.str("client_id") != clientID {
		t.Errorf("me: %s", me.body)
	}

	clock.move(90 * time.Second)
	expired := c.call("GET", "/me", "").want(401)
	if h := expired.header.Get("WWW-Authenticate"); !strings.Contains(h, `error="invalid_token"`) {
		t.Errorf("WWW-Authenticate: %q", h)
	}
	fresh := v.refresh(got.str("refresh_token")).want(200)
	c.token = fresh.str("access_token")
	c.call("GET", "/me", "").want(200)

	v.form("/oauth/revoke", basic(clientID, clientSecret), url.Values{"token": {fresh.str("refresh_token")}}).want(200)
	c.call("GET", "/me", "").want(401)
	v.refresh(fresh.str("refresh_token")).want(400)
	if n := v.crm.TokenRequests(); n != 3 {
		t.Errorf("%d token requests were counted, want 3", n)
	}
}

func TestAuthorize_StaysOnThePageUntilTheClientIsKnown(t *testing.T) {
	t.Parallel()
	v := start(t, demo.Config{})
	for name, changes := range map[string]map[string]string{
		"no client":             {"client_id": ""},
		"unknown client":        {"client_id": "<script>"},
		"no redirect URI":       {"redirect_uri": ""},
		"other redirect URI":    {"redirect_uri": "http://127.0.0.1:7/other"},
		"redirect URI and more": {"redirect_uri": callback + "&x=1"},
	} {
		got := v.send("GET", strings.TrimPrefix(v.authorizeURL(changes), v.base), nil, "")
		if got.status != 400 || got.header.Get("Location") != "" {
			t.Errorf("%s: status %d, Location %q", name, got.status, got.header.Get("Location"))
		}
	}
}

func TestAuthorize_SendsErrorsBackToTheClient(t *testing.T) {
	t.Parallel()
	v := start(t, demo.Config{})
	for _, row := range []struct {
		name    string
		changes map[string]string
		want    string
	}{
		{"no response type", map[string]string{"response_type": ""}, "invalid_request"},
		{"implicit", map[string]string{"response_type": "token"}, "unsupported_response_type"},
		{"no PKCE", map[string]string{"code_challenge": "", "code_challenge_method": ""}, "invalid_request"},
		{"plain PKCE", map[string]string{"code_challenge_method": "plain"}, "invalid_request"},
		{"short challenge", map[string]string{"code_challenge": "abc"}, "invalid_request"},
		{"unknown scope", map[string]string{"scope": "contacts:read admin"}, "invalid_scope"},
	} {
		back := v.consent(row.changes)
		if back.Get("error") != row.want || back.Get("state") != "st&te" || back.Get("iss") != v.base || back.Has("code") {
			t.Errorf("%s: %v", row.name, back)
		}
	}
	twice := v.send("GET", strings.TrimPrefix(v.authorizeURL(nil), v.base)+"&scope=tasks:read", nil, "").want(303)
	if !strings.Contains(twice.header.Get("Location"), "error=invalid_request") {
		t.Errorf("a parameter given twice led to %q", twice.header.Get("Location"))
	}
}

func TestAuthorize_NoScopeMeansReading(t *testing.T) {
	t.Parallel()
	c := start(t, demo.Config{}).connect("")
	c.call("GET", "/contacts", "").want(200)
	c.call("POST", "/contacts", `{"name":"N"}`).want(403)
}

func ticketOf(t *testing.T, page string) string {
	t.Helper()
	m := regexp.MustCompile(`name="ticket" value="([^"]+)"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no ticket in the page: %s", page)
	}
	return m[1]
}

func TestConsent_NeedsPasswordAndAFreshTicketFromThisSite(t *testing.T) {
	t.Parallel()
	clock := newClock()
	v := start(t, demo.Config{Now: clock.now})
	open := func() string {
		page := v.send("GET", strings.TrimPrefix(v.authorizeURL(nil), v.base), nil, "").want(200)
		if !strings.Contains(page.body, "See deals") || !strings.Contains(page.body, "<b>"+clientID+"</b>") {
			t.Fatalf("the page does not say who asks for what: %s", page.body)
		}
		return ticketOf(t, page.body)
	}
	fill := func(ticket, password, decision string) url.Values {
		return url.Values{"ticket": {ticket}, "user": {demo.User}, "password": {password}, "decision": {decision}}
	}

	again := v.form("/oauth/authorize", nil, fill(open(), "wrong", "allow")).want(403)
	second := ticketOf(t, again.body)
	v.form("/oauth/authorize", nil, fill(second, demo.Password, "allow")).want(303)
	v.form("/oauth/authorize", nil, fill(second, demo.Password, "allow")).want(400)
	v.form("/oauth/authorize", nil, fill("invented", demo.Password, "allow")).want(400)

	denied := v.form("/oauth/authorize", nil, fill(open(), "", "deny")).want(303)
	if to := denied.header.Get("Location"); !strings.Contains(to, "error=access_denied") {
		t.Errorf("denying led to %q", to)
	}
	foreign := http.Header{"Origin": {"https://evil.example"}, "Sec-Fetch-Site": {"cross-site"}}
	v.form("/oauth/authorize", foreign, fill(open(), demo.Password, "allow")).want(403)

	late := open()
	clock.move(10 * time.Minute)
	v.form("/oauth/authorize", nil, fill(late, demo.Password, "allow")).want(400)
}

func TestConsent_OnlyForThisServer(t *testing.T) {
	t.Parallel()
	v := start(t, demo.Config{})
	for _, address := range []string{"http://127.0.0.1:1/oauth/authorize", v.base + "/", "::", v.base + "/oauth/authorize"} {
		if to, err := v.crm.Consent(address); err == nil {
			t.Errorf("Consent(%q) = %q", address, to)
		}
	}
}

func TestToken_RefusesABadRedemption(t *testing.T) {
	t.Parallel()
	clock := newClock()
	v := start(t, demo.Config{Now: clock.now})
	if err := v.crm.AddClient("other", "secret", callback); err != nil {
		t.Fatal(err)
	}
	own := basic(clientID, clientSecret)
	for _, row := range []struct {
		name, field, value string
		header             http.Header
		age                time.Duration
		status             int
		want               string
	}{
		{"wrong verifier", "code_verifier", strings.Repeat("x", 43), own, 0, 400, "invalid_grant"},
		{"no verifier", "code_verifier", "", own, 0, 400, "invalid_grant"},
		{"other redirect URI", "redirect_uri", "http://127.0.0.1:7/", own, 0, 400, "invalid_grant"},
		{"invented code", "code", "tpcode_a.b", own, 0, 400, "invalid_grant"},
		{"empty code", "code", "", own, 0, 400, "invalid_grant"},
		{"too old", "", "", own, time.Minute, 400, "invalid_grant"},
		{"other client", "", "", basic("other", "secret"), 0, 400, "invalid_grant"},
		{"wrong secret", "", "", basic(clientID, "no"), 0, 401, "invalid_client"},
		{"no client", "", "", http.Header{}, 0, 401, "invalid_client"},
		{"two ways at once", "client_secret", clientSecret, own, 0, 400, "invalid_request"},
		{"other grant type", "grant_type", "password", own, 0, 400, "unsupported_grant_type"},
		{"no grant type", "grant_type", "", own, 0, 400, "invalid_request"},
	} {
		form := url.Values{
			"grant_type": {"authorization_code"}, "code": {v.consent(nil).Get("code")}, "redirect_uri": {callback},
			"code_verifier": {verifier},
		}
		if row.field != "" {
			form.Set(row.field, row.value)
		}
		clock.move(row.age)
		got := v.form("/oauth/token", row.header.Clone(), form)
		if got.status != row.status || got.str("error") != row.want {
			t.Errorf("%s: %d %s, want %d %s", row.name, got.status, got.body, row.status, row.want)
		}
	}
}

func TestToken_AWrongVerifierBurnsTheCode(t *testing.T) {
	t.Parallel()
	v := start(t, demo.Config{})
	code := v.consent(nil).Get("code")
	v.form("/oauth/token", basic(clientID, clientSecret), url.Values{
		"grant_type": {"authorization_code"}, "code": {code},
		"redirect_uri": {callback}, "code_verifier": {strings.Repeat("x", 43)},
	}).want(400)
	v.redeem(code).want(400)
}

func TestToken_TakesTheSecretInTheForm(t *testing.T) {
	t.Parallel()
	v := start(t, demo.Config{})
	v.form("/oauth/token", nil, url.Values{
		"grant_type": {"authorization_code"}, "code": {v.consent(nil).Get("code")},
		"redirect_uri": {callback}, "code_verifier": {verifier}, "client_id": {clientID}, "client_secret": {clientSecret},
	}).want(200)
}

func TestToken_AReplayedCodeRevokesWhatItGot(t *testing.T) {
	t.Parallel()
	v := start(t, demo.Config{})
	code := v.consent(nil).Get("code")
	got := v.redeem(code).want(200)
	c := caller{v, got.str("access_token")}
	c.call("GET", "/me", "").want(200)
	v.redeem(code).want(400)
	c.call("GET", "/me", "").want(401)
	v.refresh(got.str("refresh_token")).want(400)
}

func TestToken_AReusedRefreshTokenRevokesTheGrant(t *testing.T) {
	t.Parallel()
	v := start(t, demo.Config{})
	first := v.redeem(v.consent(nil).Get("code")).want(200)
	second := v.refresh(first.str("refresh_token")).want(200)
	if got := v.refresh(first.str("refresh_token")).want(400); got.str("error") != "invalid_grant" {
		t.Errorf("reuse: %s", got.body)
	}
	v.refresh(second.str("refresh_token")).want(400)
	caller{v, second.str("access_token")}.call("GET", "/me", "").want(401)
}

func TestToken_ARefreshTokenIsSpentOnceHoweverManyAsk(t *testing.T) {
	t.Parallel()
	v := start(t, demo.Config{})
	first := v.redeem(v.consent(nil).Get("code")).want(200)
	var mu sync.Mutex
	var wg sync.WaitGroup
	got := map[int]int{}
	for range 20 {
		wg.Go(func() {
			status := v.refresh(first.str("refresh_token")).status
			mu.Lock()
			defer mu.Unlock()
			got[status]++
		})
	}
	wg.Wait()
	if diff := cmp.Diff(map[int]int{200: 1, 400: 19}, got); diff != "" {
		t.Error(diff)
	}
}

func TestToken_ARefreshTokenIsUselessToOtherClients(t *testing.T) {
	t.Parallel()
	v := start(t, demo.Config{})
	if err := v.crm.AddClient("other", "secret", callback); err != nil {
		t.Fatal(err)
	}
	refresh := v.redeem(v.consent(nil).Get("code")).want(200).str("refresh_token")
	stolen := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}
	v.form("/oauth/token", basic("other", "secret"), stolen).want(400)
	v.refresh(refresh).want(200)
}

func TestToken_OldAccessTokensOfAGrantAreForgotten(t *testing.T) {
	t.Parallel()
	clock := newClock()
	v := start(t, demo.Config{Now: clock.now})
	got := v.redeem(v.consent(nil).Get("code")).want(200)
	first := caller{v, got.str("access_token")}
	for range 20 {
		clock.move(time.Second)
		first.call("GET", "/me", "").want(200)
		got = v.refresh(got.str("refresh_token")).want(200)
	}
	first.call("GET", "/me", "").want(401)
	caller{v, got.str("access_token")}.call("GET", "/me", "").want(200)
}

func TestToken_ARefreshMayNarrowButNotWiden(t *testing.T) {
	t.Parallel()
	v := start(t, demo.Config{})
	first := v.redeem(v.consent(map[string]string{"scope": "contacts:read deals:read"}).Get("code")).want(200)
	ask := func(token, scope string) answer {
		return v.form("/oauth/token", basic(clientID, clientSecret), url.Values{
			"grant_type":    {"refresh_token"},
			"refresh_token": {token}, "scope": {scope},
		})
	}
	if got := ask(first.str("refresh_token"), "tasks:read").want(400); got.str("error") != "invalid_scope" {
		t.Errorf("widening: %s", got.body)
	}
	narrow := ask(first.str("refresh_token"), "deals:read").want(200)
	c := caller{v, narrow.str("access_token")}
	c.call("GET", "/deals", "").want(200)
	c.call("GET", "/contacts", "").want(403)
}

func TestRevoke_IgnoresForeignAndUnknownTokens(t *testing.T) {
	t.Parallel()
	v := start(t, demo.Config{})
	if err := v.crm.AddClient("other", "secret", callback); err != nil {
		t.Fatal(err)
	}
	got := v.redeem(v.consent(nil).Get("code")).want(200)
	c := caller{v, got.str("access_token")}
	for _, token := range []string{c.token, got.str("refresh_token")} {
		v.form("/oauth/revoke", basic("other", "secret"), url.Values{"token": {token}}).want(200)
	}
	v.form("/oauth/revoke", basic(clientID, clientSecret), url.Values{"token": {"unknown"}}).want(200)
	v.form("/oauth/revoke", basic(clientID, "wrong"), url.Values{"token": {c.token}}).want(401)
	c.call("GET", "/me", "").want(200)
	v.form("/oauth/revoke", basic(clientID, clientSecret), url.Values{"token": {c.token}}).want(200)
	c.call("GET", "/me", "").want(401)
}

func TestAddClient_RefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	v := start(t, demo.Config{})
	for name, add := range map[string]error{
		"no id":        v.crm.AddClient("", "s", callback),
		"no secret":    v.crm.AddClient("a", "", callback),
		"no redirect":  v.crm.AddClient("a", "s"),
		"relative":     v.crm.AddClient("a", "s", "/callback"),
		"has fragment": v.crm.AddClient("a", "s", callback+"#x"),
	} {
		if add == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
