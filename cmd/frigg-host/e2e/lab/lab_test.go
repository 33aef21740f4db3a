//go:build e2e && (linux || darwin)

package lab

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const callback = "http://127.0.0.1:9/cb"

// answer is what a token endpoint says.
type answer struct {
	Status       int
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
	Scope        string `json:"scope"`
	Error        string `json:"error"`
	Description  string `json:"error_description"`
}

// flow is one client at one authorization server, spoken to by hand.
type flow struct {
	authorizeURL, tokenURL string
	client                 Client
	method                 string // client_secret_basic, client_secret_post, none
	scope                  string
	verifier, state        string
}

func newFlow(authorizeURL, tokenURL string, c Client, method, scope string) flow {
	return flow{authorizeURL, tokenURL, c, method, scope, rand.Text() + rand.Text(), rand.Text()}
}

func (f flow) address() string {
	challenge := sha256.Sum256([]byte(f.verifier))
	return f.authorizeURL + "?" + url.Values{
		"response_type": {"code"}, "client_id": {f.client.ID}, "redirect_uri": {callback}, "scope": {f.scope}, "state": {f.state},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}.Encode()
}

// code reads the code out of a redirect to the client.
func (f flow) code(t *testing.T, location string) string {
	t.Helper()
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if !strings.HasPrefix(location, callback+"?") || q.Get("state") != f.state || q.Get("code") == "" {
		t.Fatalf("redirected to %s, want %s with a code and state %s", location, callback, f.state)
	}
	return q.Get("code")
}

func (f flow) exchange(t *testing.T, code, verifier string) answer {
	t.Helper()
	return f.token(t, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier},
	})
}

func (f flow) refresh(t *testing.T, token string) answer {
	t.Helper()
	return f.token(t, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

func (f flow) token(t *testing.T, form url.Values) answer {
	t.Helper()
	if f.method != "client_secret_basic" {
		form.Set("client_id", f.client.ID)
	}
	if f.method == "client_secret_post" {
		form.Set("client_secret", f.client.Secret)
	}
	req, err := http.NewRequest(http.MethodPost, f.tokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if f.method == "client_secret_basic" {
		req.SetBasicAuth(url.QueryEscape(f.client.ID), url.QueryEscape(f.client.Secret)) // RFC 6749 section 2.3.1
	}
	res, err := apiClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{Status: res.StatusCode}
	if err := json.Unmarshal(text, &a); err != nil && res.StatusCode < 500 {
		t.Fatalf("token endpoint: %d %s", res.StatusCode, text)
	}
	return a
}

func (a answer) mustBe(t *testing.T, status int, code string) answer {
	t.Helper()
	if a.Status != status || a.Error != code {
		t.Fatalf("token endpoint: %d %q (%s), want %d %q", a.Status, a.Error, a.Description, status, code)
	}
	if status == http.StatusOK && a.AccessToken == "" {
		t.Fatal("token endpoint: no access token")
	}
	return a
}

// bearerStatus is how a protected resource answers an access token.
func bearerStatus(t *testing.T, address, token string) int {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := apiClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// awaitExpiry polls until the resource refuses the token.
func awaitExpiry(t *testing.T, address, token string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for bearerStatus(t, address, token) != http.StatusUnauthorized {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the token does not expire")
		}
	}
}

func TestInstall_AllServersAreReady(t *testing.T) {
	var said strings.Builder
	if err := Install(t.Context(), &said); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + said.String())
	said.Reset()
	if err := Install(t.Context(), &said); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(said.String(), ": ready in "); n != len(recipes) {
		t.Errorf("a second run says %q", said.String())
	}
}

func TestGitea_IsTheVersion(t *testing.T) {
	t.Parallel()
	g := StartGitea(t, GiteaOptions{})
	var got struct{ Version string }
	g.api(t, http.MethodGet, "/version", nil, &got)
	if got.Version != giteaVersion {
		t.Errorf("version %q, want %q", got.Version, giteaVersion)
	}
	var me struct {
		Login string
		Admin bool `json:"is_admin"`
	}
	g.api(t, http.MethodGet, "/user", nil, &me)
	if me.Login != g.User || !me.Admin {
		t.Errorf("the token is of %+v", me)
	}
}

func TestGitea_CodeWithPKCEThenRotatingRefresh(t *testing.T) {
	t.Parallel()
	g := StartGitea(t, GiteaOptions{AccessTokenTTL: 2 * time.Second})
	id, secret := g.CreateOAuthApp(t, callback)
	f := newFlow(g.URL+"/login/oauth/authorize", g.URL+"/login/oauth/access_token", Client{id, secret},
		"client_secret_post", "read:user write:repository write:issue")
	browser, api := g.Browser(t), g.URL+"/api/v1/user"

	code := f.code(t, browser.Authorize(t, f.address()))
	first := f.exchange(t, code, f.verifier).mustBe(t, http.StatusOK, "")
	if first.ExpiresIn != 2 || first.RefreshToken == "" {
		t.Errorf("answer %+v", first)
	}
	if got := bearerStatus(t, api, first.AccessToken); got != http.StatusOK {
		t.Errorf("a fresh token: %d", got)
	}
	awaitExpiry(t, api, first.AccessToken)

	second := f.refresh(t, first.RefreshToken).mustBe(t, http.StatusOK, "")
	if got := bearerStatus(t, api, second.AccessToken); got != http.StatusOK {
		t.Errorf("a refreshed token: %d", got)
	}
	if second.RefreshToken == first.RefreshToken {
		t.Error("the refresh token did not rotate")
	}
	// Gitea says unauthorized_client where RFC 6749 section 5.2 says invalid_grant, and it keeps the grant.
	f.refresh(t, first.RefreshToken).mustBe(t, http.StatusBadRequest, "unauthorized_client")
	f.refresh(t, second.RefreshToken).mustBe(t, http.StatusOK, "")

	again := newFlow(f.authorizeURL, f.tokenURL, f.client, f.method, f.scope)
	code = again.code(t, browser.Authorize(t, again.address())) // signed in and granted already: no page in between
	again.exchange(t, code, "not-the-verifier").mustBe(t, http.StatusBadRequest, "unauthorized_client")
}

func TestGitea_DeliversASignedWebhook(t *testing.T) {
	t.Parallel()
	g := StartGitea(t, GiteaOptions{})
	type delivery struct {
		header http.Header
		body   []byte
	}
	got := make(chan delivery, 8)
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- delivery{r.Header, body}
	}))
	defer listener.Close()
	g.CreateRepo(t, "shop")
	g.CreateHook(t, "shop", listener.URL, "hook-secret")
	begin := time.Now()
	number := g.CreateIssue(t, "shop", "A new customer", "Ada")

	expect := func(action string) {
		t.Helper()
		select {
		case d := <-got:
			mac := hmac.New(sha256.New, []byte("hook-secret"))
			mac.Write(d.body)
			want := hex.EncodeToString(mac.Sum(nil))
			if d.header.Get("X-Gitea-Signature") != want || d.header.Get("X-Hub-Signature-256") != "sha256="+want {
				t.Errorf("signatures %q and %q, want %q", d.header.Get("X-Gitea-Signature"), d.header.Get("X-Hub-Signature-256"), want)
			}
			var event struct {
				Action string
				Issue  Issue
			}
			if err := json.Unmarshal(d.body, &event); err != nil {
				t.Fatal(err)
			}
			if event.Action != action || event.Issue.Number != number || d.header.Get("X-Gitea-Delivery") == "" {
				t.Errorf("event %+v with header %v", event, d.header)
			}
			t.Logf("%s delivered after %s", action, time.Since(begin).Round(time.Millisecond))
		case <-time.After(time.Minute):
			t.Fatal("no webhook within a minute")
		}
	}
	expect("opened")
	begin = time.Now()
	g.CloseIssue(t, "shop", number)
	expect("closed")

	want := []Issue{{Number: number, Title: "A new customer", Body: "Ada", State: "closed"}}
	if issues := g.Issues(t, "shop"); !slices.Equal(issues, want) {
		t.Errorf("issues %+v, want %+v", issues, want)
	}
}

func TestOP_CodeWithPKCEForEveryKindOfClient(t *testing.T) {
	t.Parallel()
	op := StartOP(t, OPOptions{})
	for _, c := range []struct {
		client Client
		method string
	}{
		{op.Basic, "client_secret_basic"},
		{op.Post, "client_secret_post"},
		{op.Public, "none"},
	} {
		t.Run(c.client.ID, func(t *testing.T) {
			f := newFlow(op.AuthorizeURL, op.TokenURL, c.client, c.method, "openid profile api:read")
			code := f.code(t, op.Authorize(t, f.address()))
			f.exchange(t, code, "not-the-verifier-not-the-verifier-not-the-verifier").mustBe(t, http.StatusBadRequest, "invalid_grant")

			first := f.exchange(t, f.code(t, op.Authorize(t, f.address())), f.verifier).mustBe(t, http.StatusOK, "")
			if got := bearerStatus(t, op.UserInfoURL, first.AccessToken); got != http.StatusOK {
				t.Errorf("a fresh token: %d", got)
			}
			second := f.refresh(t, first.RefreshToken).mustBe(t, http.StatusOK, "")
			if second.RefreshToken == "" || second.RefreshToken == first.RefreshToken {
				t.Error("the refresh token did not rotate")
			}
			f.refresh(t, first.RefreshToken).mustBe(t, http.StatusBadRequest, "invalid_grant")
			f.refresh(t, second.RefreshToken).mustBe(t, http.StatusBadRequest, "invalid_grant")
			if got := bearerStatus(t, op.UserInfoURL, second.AccessToken); got != http.StatusUnauthorized {
				t.Errorf("a token of a revoked grant: %d", got)
			}
		})
	}
}

func TestOP_RefusesAPersonWhoSaysNoAndARequestWithoutPKCE(t *testing.T) {
	t.Parallel()
	op := StartOP(t, OPOptions{})
	f := newFlow(op.AuthorizeURL, op.TokenURL, op.Post, "client_secret_post", "openid")
	if got := op.Authorize(t, f.address()+"&login_hint=deny"); !strings.Contains(got, "error=access_denied") {
		t.Errorf("a person who says no: %s", got)
	}
	plain := op.AuthorizeURL + "?" + url.Values{
		"response_type": {"code"}, "client_id": {op.Post.ID}, "redirect_uri": {callback}, "scope": {"openid"}, "state": {"s"},
	}.Encode()
	if got := op.Authorize(t, plain); !strings.Contains(got, "error=invalid_request") {
		t.Errorf("a request without PKCE: %s", got)
	}
}

func TestOP_TokensExpireOnTime(t *testing.T) {
	t.Parallel()
	op := StartOP(t, OPOptions{AccessTokenTTL: time.Second})
	f := newFlow(op.AuthorizeURL, op.TokenURL, op.Public, "none", "openid")
	got := f.exchange(t, f.code(t, op.Authorize(t, f.address())), f.verifier).mustBe(t, http.StatusOK, "")
	begin := time.Now()
	awaitExpiry(t, op.UserInfoURL, got.AccessToken)
	if lived := time.Since(begin); got.ExpiresIn != 1 || lived > 5*time.Second {
		t.Errorf("expires_in %d, and it lived %s", got.ExpiresIn, lived)
	}
}

func TestOP_RefreshWithoutANewRefreshToken(t *testing.T) {
	t.Parallel()
	op := StartOP(t, OPOptions{OmitRefreshToken: true})
	f := newFlow(op.AuthorizeURL, op.TokenURL, op.Basic, "client_secret_basic", "openid")
	first := f.exchange(t, f.code(t, op.Authorize(t, f.address())), f.verifier).mustBe(t, http.StatusOK, "")
	for range 2 {
		if again := f.refresh(t, first.RefreshToken).mustBe(t, http.StatusOK, ""); again.RefreshToken != "" {
			t.Error("the refresh answers with a refresh token")
		}
	}
}

func TestOP_ClientCredentials(t *testing.T) {
	t.Parallel()
	op := StartOP(t, OPOptions{})
	f := newFlow("", op.TokenURL, op.M2M, "client_secret_basic", "")
	got := f.token(t, url.Values{"grant_type": {"client_credentials"}, "scope": {"api:read"}}).mustBe(t, http.StatusOK, "")
	if got.Scope != "api:read" || got.RefreshToken != "" || got.ExpiresIn != 60 {
		t.Errorf("answer %+v", got)
	}
	f.client.Secret = "wrong"
	f.token(t, url.Values{"grant_type": {"client_credentials"}}).mustBe(t, http.StatusUnauthorized, "invalid_client")
}

func TestOP_KnobsFailDelayAndCount(t *testing.T) {
	t.Parallel()
	op := StartOP(t, OPOptions{})
	f := newFlow("", op.TokenURL, op.M2M, "client_secret_basic", "")
	form := url.Values{"grant_type": {"client_credentials"}}
	op.FailNext(t, 2)
	for range 2 {
		f.token(t, form).mustBe(t, http.StatusServiceUnavailable, "")
	}
	f.token(t, form).mustBe(t, http.StatusOK, "")
	if n := op.TokenRequests(t); n != 3 {
		t.Errorf("%d token requests, want 3", n)
	}
	op.Delay(t, 300*time.Millisecond)
	begin := time.Now()
	f.token(t, form).mustBe(t, http.StatusOK, "")
	if took := time.Since(begin); took < 300*time.Millisecond {
		t.Errorf("a delayed answer after %s", took)
	}
}

func TestStripe_CreatesACustomerAndChecksRequests(t *testing.T) {
	t.Parallel()
	s := StartStripe(t)
	for _, c := range []struct {
		name, key, form string
		want            int
	}{
		{"create", s.Key, "email=ada%40example.com&metadata[issue]=7", http.StatusOK},
		{"no key", "", "email=ada%40example.com", http.StatusUnauthorized},
		{"publishable key", "pk_test_123", "email=ada%40example.com", http.StatusUnauthorized},
		{"unknown parameter", s.Key, "shoe_size=44", http.StatusBadRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := http.NewRequest(http.MethodPost, s.URL+"/v1/customers", strings.NewReader(c.form))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if c.key != "" {
				req.SetBasicAuth(c.key, "")
			}
			res, err := apiClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			var got struct{ Object, Email string }
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatalf("%v in %s", err, text)
			}
			created := got.Object == "customer" && got.Email == "ada@example.com"
			if res.StatusCode != c.want || created != (c.want == http.StatusOK) {
				t.Errorf("%s: %s", res.Status, text)
			}
		})
	}
}

// TestServers_ListenOnLoopbackOnly reads the kernel's table of listening sockets.
func TestServers_ListenOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	g, s, op := StartGitea(t, GiteaOptions{}), StartStripe(t), StartOP(t, OPOptions{})
	ours := map[string]bool{}
	for _, address := range []string{g.URL, s.URL, s.HTTPSURL, op.Issuer} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		ours[u.Port()] = false
	}
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Skip("no table of sockets here: ", err)
	}
	wide, err := os.ReadFile("/proc/net/tcp6")
	if err != nil {
		t.Skip("no table of sockets here: ", err)
	}
	for line := range strings.Lines(string(table) + string(wide)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[3] != "0A" { // listening
			continue
		}
		ip, hexPort, _ := strings.Cut(fields[1], ":")
		n, err := strconv.ParseUint(hexPort, 16, 16)
		if err != nil {
			t.Fatal(err)
		}
		port := strconv.FormatUint(n, 10)
		if _, known := ours[port]; !known {
			continue
		}
		ours[port] = true
		if ip != "0100007F" {
			t.Errorf("port %s listens on %s", port, ip)
		}
	}
	for port, seen := range ours {
		if !seen {
			t.Errorf("nobody listens on port %s", port)
		}
	}
}

// Not parallel: another test's server could take a port that has just become free.
func TestServers_EndWithTheirTest(t *testing.T) {
	var addresses []string
	t.Run("inner", func(t *testing.T) {
		g, s, op := StartGitea(t, GiteaOptions{}), StartStripe(t), StartOP(t, OPOptions{})
		addresses = []string{g.URL, s.URL, op.Issuer}
	})
	for _, address := range addresses {
		conn, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
		if err == nil {
			_ = conn.Close()
			t.Errorf("%s still listens", address)
		}
	}
}
