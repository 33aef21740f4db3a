//go:build e2e && (linux || darwin)

package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/cmd/frigg-host/e2e/lab"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
)

// checks is a host with modules that are data only, one for each kind of client of an OpenID-certified authorization server.
type checks struct {
	*installation
	page *page

	redirects *lab.OP // gives a new refresh token with each refresh; a second use of one revokes the grant
	keeps     *lab.OP // gives no new refresh token
	api       *resource
	keptAPI   *resource
}

// checkedTTL is long enough for what a check does while a token is good, also on a busy machine.
const checkedTTL = 6 * time.Second

// TestChecks puts a certified authorization server on the other side of the host's OAuth2 client, and says for each check what
// was seen.
func TestChecks(t *testing.T) {
	c := newChecks(t)
	c.page.write("\n| check | seen |\n|---|---|\n")
	for _, row := range []struct {
		name string
		run  func(*testing.T) string
	}{
		{"PKCE required by the server", c.pkce},
		{"code exchange, client_secret_post", c.post},
		{"code exchange, client_secret_basic with reserved characters in the secret", c.basic},
		{"client_credentials", c.machine},
		{"token expires twice within one client's life", c.twice},
		{"10 parallel calls on one connection after expiry", c.parallel},
		{"10 workers holding one connection refresh at once", c.workers},
		{"refresh answer without refresh_token", c.keepsRefreshToken},
		{"token endpoint 503 twice, then fine", c.tokenDown},
		{"Retry-After: 2 on a 429", c.limited},
		{"upstream that never answers", c.silent},
		{"malformed or wrong bearer on the management API", c.bearer},
		{"more than the table: disconnecting an account revokes its tokens", c.revoked},
	} {
		t.Run(row.name, func(t *testing.T) {
			seen := row.run(t)
			if !t.Failed() {
				c.page.write("| " + row.name + " | " + seen + " |\n")
			}
		})
	}
}

func newChecks(t *testing.T) *checks {
	c := &checks{installation: install(t), page: newPage(t, "Checks of an OAuth2 client")}
	redirects := []string{}
	for _, module := range []string{"op-basic", "op-post", "op-public", "op-keeps"} {
		redirects = append(redirects, c.url()+"/redirect/"+module)
	}
	c.redirects = lab.StartOP(t, lab.OPOptions{Redirects: redirects, AccessTokenTTL: checkedTTL})
	c.keeps = lab.StartOP(t, lab.OPOptions{Redirects: redirects, AccessTokenTTL: checkedTTL, OmitRefreshToken: true})
	c.api, c.keptAPI = startResource(t, c.redirects), startResource(t, c.keeps)

	empty := filepath.Join(t.TempDir(), "empty.wasm")
	check(t, os.WriteFile(empty, []byte("\x00asm\x01\x00\x00\x00"), 0o600)) // a module without anything
	for _, name := range []string{"op-basic", "op-post", "op-public", "op-machine"} {
		c.pack(t, empty, filepath.Join("testdata", name+".yaml"))
	}
	c.pack(t, empty, c.renamed(t, "op-post", "op-keeps"))
	c.pack(t, c.caller(t), "testdata/caller/manifest.yaml")
	c.start(t)
	for name := range c.list(t) {
		c.run(t, "", "plugin", "approve", name, "--yes")
	}
	c.set(t, "op-basic", c.redirects, c.api, c.redirects.Basic)
	c.set(t, "op-post", c.redirects, c.api, c.redirects.Post)
	c.set(t, "op-public", c.redirects, c.api, c.redirects.Public)
	c.set(t, "op-machine", c.redirects, c.api, c.redirects.M2M)
	c.set(t, "op-keeps", c.keeps, c.keptAPI, c.keeps.Post)
	p, _ := c.person(t)
	eventually(t, startDeadline, "modules that serve", func() bool {
		for _, module := range []string{"op-basic", "op-post", "op-public", "op-machine", "op-keeps", "caller"} {
			if p.call(t, http.MethodGet, "/api/authorize?entityType="+module, nil).Status != http.StatusOK {
				return false
			}
		}
		return true
	})
	return c
}

// pack embeds a manifest and puts the plugin into the plugins folder.
func (c *checks) pack(t *testing.T, module, manifest string) {
	t.Helper()
	name := filepath.Base(manifest)
	if name == "manifest.yaml" {
		name = filepath.Base(filepath.Dir(manifest))
	}
	c.run(t, "", "plugin", "pack", "--manifest", manifest, module, "-o", filepath.Join(c.plugins, strings.TrimSuffix(name, ".yaml")+".wasm"))
}

// renamed is a manifest under another name.
func (c *checks) renamed(t *testing.T, from, to string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", from+".yaml"))
	check(t, err)
	path := filepath.Join(t.TempDir(), to+".yaml")
	check(t, os.WriteFile(path, []byte(strings.Replace(string(text), "name: "+from, "name: "+to, 1)), 0o600))
	return path
}

// caller builds the guest that calls APIs.
func (c *checks) caller(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "caller.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", out, "./testdata/caller")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the caller: %v\n%s", err, text)
	}
	return out
}

func (c *checks) set(t *testing.T, module string, op *lab.OP, api *resource, client lab.Client) {
	t.Helper()
	c.run(t, "", "plugin", "set", module, "issuer="+op.Issuer, "api_base="+api.URL, "client_id="+client.ID)
	if client.Secret != "" {
		c.run(t, client.Secret, "plugin", "set", module, "client_secret=-")
	}
}

// person is a user of this check alone.
func (c *checks) person(t *testing.T) (*client, account.ID) {
	t.Helper()
	id, token := c.createUser(t, strings.ReplaceAll(t.Name(), "/", "_"))
	return &client{base: c.url(), token: token}, account.ID(id)
}

// connected authorises an account by redirect and returns the entity.
func (c *checks) connected(t *testing.T, p *client, op *lab.OP, module string) string {
	t.Helper()
	var need requirements
	p.must(t, http.StatusOK, http.MethodGet, "/api/authorize?entityType="+module, nil, &need)
	var done authorization
	p.must(t, http.StatusOK, http.MethodPost, "/api/authorize", authorize(module, query(t, op.Authorize(t, need.URL))), &done)
	c.good(t, p, done.EntityID)
	return done.EntityID
}

// good uses an account.
func (c *checks) good(t *testing.T, p *client, entity string) {
	t.Helper()
	p.must(t, http.StatusOK, http.MethodGet, "/api/entities/"+entity+"/test-auth", nil, nil)
}

// spent runs do and returns how many token requests the server received meanwhile.
func spent(t *testing.T, op *lab.OP, do func()) int {
	t.Helper()
	before := op.TokenRequests(t)
	do()
	return op.TokenRequests(t) - before
}

func (c *checks) pkce(t *testing.T) string {
	p, _ := c.person(t)
	var need requirements
	p.must(t, http.StatusOK, http.MethodGet, "/api/authorize?entityType=op-public", nil, &need)
	without, err := url.Parse(need.URL)
	check(t, err)
	q := without.Query()
	if q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 {
		t.Errorf("the request has %q", q)
	}
	q.Del("code_challenge")
	q.Del("code_challenge_method")
	without.RawQuery = q.Encode()
	if refused := query(t, c.redirects.Authorize(t, without.String())); refused["error"] != "invalid_request" {
		t.Errorf("without PKCE the server answers %v", refused)
	}
	c.connected(t, p, c.redirects, "op-public")
	return "sent with S256; a public client is connected; the same request without it is refused by the server"
}

func (c *checks) post(t *testing.T) string {
	p, _ := c.person(t)
	c.connected(t, p, c.redirects, "op-post")
	return "ok"
}

func (c *checks) basic(t *testing.T) string {
	p, _ := c.person(t)
	c.connected(t, p, c.redirects, "op-basic")
	return "ok, with `" + c.redirects.Basic.Secret + "`"
}

func (c *checks) machine(t *testing.T) string {
	p, _ := c.person(t)
	var done authorization
	p.must(t, http.StatusOK, http.MethodPost, "/api/authorize", authorize("op-machine", map[string]any{}), &done)
	c.good(t, p, done.EntityID)
	c.api.awaitExpiry(t)
	n := spent(t, c.redirects, func() { c.good(t, p, done.EntityID) })
	if n != 1 {
		t.Errorf("%d token requests after expiry, want 1", n)
	}
	return "ok, and again after expiry"
}

func (c *checks) twice(t *testing.T) string {
	p, _ := c.person(t)
	entity := c.connected(t, p, c.redirects, "op-post")
	for range 2 {
		c.api.awaitExpiry(t)
		if n := spent(t, c.redirects, func() { c.good(t, p, entity) }); n != 1 {
			t.Errorf("%d token requests, want 1", n)
		}
	}
	return "ok both times, 1 token request each"
}

// calling is an integration that calls the API with the account of a fresh person.
func (c *checks) calling(t *testing.T) (p *client, integration string) {
	t.Helper()
	p, _ = c.person(t)
	entity := c.connected(t, p, c.redirects, "op-basic")
	var made record
	p.must(t, http.StatusCreated, http.MethodPost, "/api/integrations",
		map[string]any{"entities": []string{entity}, "config": map[string]any{"type": "caller"}}, &made)
	p.becomes(t, made.ID, "ENABLED")
	return p, made.ID
}

func (c *checks) parallel(t *testing.T) string {
	const calls = 10
	p, id := c.calling(t)
	c.api.awaitExpiry(t)
	answers := make([]string, calls)
	n := spent(t, c.redirects, func() {
		var all sync.WaitGroup
		for i := range calls {
			all.Go(func() {
				a, err := p.try(http.MethodPost, "/api/integrations/"+id+"/actions/CALL", map[string]any{"path": "/fine"})
				answers[i] = fmt.Sprint(a.Status, " ", string(a.Body), err)
			})
		}
		all.Wait()
	})
	ok := 0
	for _, text := range answers {
		if strings.Contains(text, `"said":"fine"`) {
			ok++
		} else {
			t.Error(text)
		}
	}
	if n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
	return fmt.Sprintf("%d of %d ok, %d token request", ok, calls, n)
}

func (c *checks) workers(t *testing.T) string {
	const count = 10
	p, user := c.person(t)
	entity := c.connected(t, p, c.redirects, "op-post")
	all := make([]*worker, count)
	for i := range all {
		all[i] = startWorker(t, task{c.data, c.plugins, user, connection.EntityID(entity)})
	}
	for _, w := range all {
		w.ready(t)
	}
	c.api.awaitExpiry(t)
	outcomes := make([]error, count)
	n := spent(t, c.redirects, func() {
		var performing sync.WaitGroup
		for i, w := range all {
			performing.Go(func() { outcomes[i] = w.perform() })
		}
		performing.Wait()
	})
	ok := 0
	for _, err := range outcomes {
		if err == nil {
			ok++
		} else {
			t.Error(err)
		}
	}
	if n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
	c.good(t, p, entity)
	return fmt.Sprintf("%d processes on one data folder, beside the serving host: %d of %d ok, %d token request", count, ok, count, n)
}

func (c *checks) keepsRefreshToken(t *testing.T) string {
	p, _ := c.person(t)
	entity := c.connected(t, p, c.keeps, "op-keeps")
	for range 2 {
		c.keptAPI.awaitExpiry(t)
		if n := spent(t, c.keeps, func() { c.good(t, p, entity) }); n != 1 {
			t.Errorf("%d token requests, want 1", n)
		}
	}
	return "the old one is kept: refreshed twice"
}

func (c *checks) tokenDown(t *testing.T) string {
	p, _ := c.person(t)
	entity := c.connected(t, p, c.redirects, "op-basic")
	c.api.awaitExpiry(t)
	c.redirects.FailNext(t, 2)
	n := spent(t, c.redirects, func() { c.good(t, p, entity) })
	if n != 3 {
		t.Errorf("%d token requests, want 3", n)
	}
	return fmt.Sprintf("ok after %d token requests", n)
}

func (c *checks) limited(t *testing.T) string {
	p, id := c.calling(t)
	p.must(t, http.StatusOK, http.MethodPost, "/api/integrations/"+id+"/actions/CALL_LATER", map[string]any{"path": "/limited"}, nil)
	p.quiet(t)
	calls := c.api.callsOf("/limited")
	if len(calls) != 2 {
		t.Fatalf("%d calls, want 2", len(calls))
	}
	wait := calls[1].Sub(calls[0])
	if wait < 2*time.Second || wait > 6*time.Second {
		t.Errorf("the second call came after %s", wait)
	}
	return "honoured: the job waits two seconds, is called once more, and the wait counts as no try"
}

func (c *checks) silent(t *testing.T) string {
	p, id := c.calling(t)
	began := time.Now()
	a, err := p.try(http.MethodPost, "/api/integrations/"+id+"/actions/CALL", map[string]any{"path": "/silent"})
	check(t, err)
	if took := time.Since(began); a.Status != http.StatusGatewayTimeout || took < time.Second || took > 8*time.Second {
		t.Errorf("%d %s after %s", a.Status, a.Body, took)
	}
	p.must(t, http.StatusOK, http.MethodPost, "/api/integrations/"+id+"/actions/CALL", map[string]any{"path": "/fine"}, nil)
	return "504 after the module's own limit of 1.5 s; other calls go on"
}

func (c *checks) revoked(t *testing.T) string {
	p, _ := c.person(t)
	entity := c.connected(t, p, c.redirects, "op-post")
	p.must(t, http.StatusCreated, http.MethodDelete, "/api/entities/"+entity, nil, nil)
	active, err := c.api.active(c.api.lastToken())
	check(t, err)
	if active {
		t.Error("the access token is still good")
	}
	return "revoked at the server (RFC 7009)"
}

func (c *checks) bearer(t *testing.T) string {
	_, good := c.createUser(t, "bearer")
	headers := map[string][]string{
		"none": nil, "empty": {""}, "scheme alone": {"Bearer"}, "no token": {"Bearer "}, "another scheme": {"Basic " + good},
		"no scheme": {good}, "unknown": {"Bearer fht_unknown"}, "cut": {"Bearer " + good[:len(good)-1]}, "longer": {"Bearer " + good + "x"},
		"two tokens": {"Bearer " + good + " " + good}, "two headers": {"Bearer " + good, "Bearer " + good}, "not ASCII": {"Bearer \xff\xfe"},
		"long": {"Bearer " + strings.Repeat("x", 16<<10)},
	}
	for name, values := range headers {
		req, err := http.NewRequest(http.MethodGet, c.url()+"/api/integrations", nil)
		check(t, err)
		req.Header["Authorization"] = values
		a, err := send(req)
		check(t, err)
		if a.Status != http.StatusUnauthorized || a.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	p := &client{base: c.url(), token: good}
	p.must(t, http.StatusOK, http.MethodGet, "/api/integrations", nil, nil)
	return fmt.Sprintf("401 for %d kinds of them", len(headers))
}
