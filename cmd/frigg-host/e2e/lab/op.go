//go:build linux || darwin

package lab

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	opVersion  = "9.13.3"
	oldestNode = 20
)

//go:embed op.mjs
var opProgram []byte

//go:embed package.json
var opPackage []byte

//go:embed package-lock.json
var opLock []byte

var opRecipe = recipe{
	name: "oidc-provider", version: opVersion, cost: "fetching, a few seconds",
	needs: func(context.Context) []tool {
		return []tool{
			{"node", fmt.Sprintf("version %d or newer, it runs the server", oldestNode)},
			{"npm", "it fetches the server"},
		}
	},
	build: buildOP,
	check: checkOP,
}

// buildOP installs exactly what the lock file names, checksums included, and runs no script of any package.
func buildOP(ctx context.Context, dir string) error {
	out, err := run(ctx, dir, nil, "node", "--version")
	if err != nil {
		return err
	}
	if err := checkNode(string(out)); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "package.json"), opPackage, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "package-lock.json"), opLock, 0o644); err != nil {
		return err
	}
	_, err = run(ctx, dir, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	return err
}

// checkNode reads what node --version prints: "v20.20.2".
func checkNode(version string) error {
	version = strings.TrimSpace(version)
	major, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < oldestNode {
		return fmt.Errorf("needs node %d or newer, the one on the PATH is %q", oldestNode, version)
	}
	return nil
}

func checkOP(_ context.Context, dir string) error {
	lock, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return err
	}
	if !bytes.Equal(lock, opLock) {
		return fmt.Errorf("%s was installed from another lock file", dir)
	}
	text, err := os.ReadFile(filepath.Join(dir, "node_modules", "oidc-provider", "package.json"))
	if err != nil {
		return err
	}
	var found struct{ Version string }
	if err := json.Unmarshal(text, &found); err != nil {
		return err
	}
	if found.Version != opVersion {
		return fmt.Errorf("want oidc-provider %s, found %s", opVersion, found.Version)
	}
	return nil
}

// OPOptions configures an OP. The zero value is fine.
type OPOptions struct {
	Redirects        []string      // redirect URIs of every client; default OPRedirect
	AccessTokenTTL   time.Duration // whole seconds, default one minute
	RefreshTokenTTL  time.Duration // whole seconds, default one hour
	OmitRefreshToken bool          // no rotation, and a refresh answers without refresh_token (RFC 6749 section 6 allows it)
}

// OPRedirect is the redirect URI when none is given. Nobody listens there.
const OPRedirect = "http://127.0.0.1:9/cb"

// Client is a registered client of an OP.
type Client struct {
	ID     string
	Secret string // empty for a public client
}

// OP is a running oidc-provider, an OpenID-certified authorization server. PKCE is required, clocks have no tolerance,
// and unless told otherwise each refresh token is good for one use: a second use revokes the whole grant.
type OP struct {
	Issuer        string `json:"issuer"`
	AuthorizeURL  string `json:"authorization_endpoint"`
	TokenURL      string `json:"token_endpoint"`
	UserInfoURL   string `json:"userinfo_endpoint"` // a protected resource: 401 once the access token has expired
	RevokeURL     string `json:"revocation_endpoint"`
	IntrospectURL string `json:"introspection_endpoint"`

	Basic  Client `json:"-"` // client_secret_basic, with reserved characters in the secret (RFC 6749 section 2.3.1)
	Post   Client `json:"-"` // client_secret_post
	Public Client `json:"-"` // no secret
	M2M    Client `json:"-"` // client_credentials only, scopes api:read and api:write, client_secret_basic
}

// StartOP runs an authorization server until t ends.
func StartOP(t testing.TB, opts OPOptions) *OP {
	t.Helper()
	installed := mustEnsure(t, opRecipe)
	op := &OP{
		Basic:  Client{"basic", "s3cret+/ %&="},
		Post:   Client{"post", "post-secret"},
		Public: Client{ID: "public"},
		M2M:    Client{"m2m", "m2m-secret"},
	}
	port := freePort(t)
	config, err := json.Marshal(op.config(port, opts))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "op.mjs"), opProgram, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(installed, "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "op.mjs")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LAB_OP=" + string(config)}
	cmd.SysProcAttr = ownGroup()
	discovery := fmt.Sprintf("http://127.0.0.1:%d/.well-known/openid-configuration", port)
	serve(t, "oidc-provider", cmd, discovery)
	call(t, http.MethodGet, discovery, nil, nil, op)
	return op
}

// config is LAB_OP of op.mjs.
func (op *OP) config(port int, opts OPOptions) map[string]any {
	redirects := opts.Redirects
	if len(redirects) == 0 {
		redirects = []string{OPRedirect}
	}
	person := func(c Client, method string) map[string]any {
		m := map[string]any{
			"client_id": c.ID, "token_endpoint_auth_method": method, "redirect_uris": redirects,
			"response_types": []string{"code"}, "grant_types": []string{"authorization_code", "refresh_token"},
		}
		if c.Secret != "" {
			m["client_secret"] = c.Secret
		}
		return m
	}
	machine := map[string]any{
		"client_id": op.M2M.ID, "client_secret": op.M2M.Secret, "token_endpoint_auth_method": "client_secret_basic",
		"redirect_uris": []string{}, "response_types": []string{}, "grant_types": []string{"client_credentials"},
		"scope": "api:read api:write",
	}
	return map[string]any{
		"port": port,
		"clients": []map[string]any{
			person(op.Basic, "client_secret_basic"), person(op.Post, "client_secret_post"), person(op.Public, "none"), machine,
		},
		"access_token_ttl":   seconds(opts.AccessTokenTTL, time.Minute),
		"refresh_token_ttl":  seconds(opts.RefreshTokenTTL, time.Hour),
		"omit_refresh_token": opts.OmitRefreshToken,
	}
}

// seconds is d in whole seconds, at least one; zero stands for the default.
func seconds(d, otherwise time.Duration) int {
	if d == 0 {
		d = otherwise
	}
	return max(1, int(d/time.Second))
}

// Authorize follows an authorization URL as a person in a fresh browser, by real redirects through sign-in and consent,
// and returns the redirect to the client without fetching it. The person is login_hint of the URL, else alice; "deny"
// says no.
func (op *OP) Authorize(t testing.TB, address string) string {
	t.Helper()
	b, err := newBrowser(op.Issuer, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b.Authorize(t, address)
}

// TokenRequests is how many requests the token endpoint has received, those it was told to fail included.
func (op *OP) TokenRequests(t testing.TB) int {
	t.Helper()
	var state struct {
		TokenRequests int `json:"token_requests"`
	}
	call(t, http.MethodGet, op.Issuer+"/_ctl", nil, nil, &state)
	return state.TokenRequests
}

// FailNext makes the next n token requests answer 503.
func (op *OP) FailNext(t testing.TB, n int) {
	t.Helper()
	call(t, http.MethodPost, op.Issuer+"/_ctl?fail="+strconv.Itoa(n), nil, nil, nil)
}

// Delay makes every token request wait d, in milliseconds, before the server looks at it; zero ends that.
func (op *OP) Delay(t testing.TB, d time.Duration) {
	t.Helper()
	call(t, http.MethodPost, op.Issuer+"/_ctl?delay="+strconv.FormatInt(d.Milliseconds(), 10), nil, nil, nil)
}
