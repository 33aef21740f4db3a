package connection_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// vendor is a strict OAuth2 server (RFC 6749, 7636, 7009) with rotating refresh tokens and reuse detection, and the API that
// it guards. Its knobs make it one of the many odd ones.
type vendor struct {
	*httptest.Server
	clock    *clock
	id       string
	secret   string
	redirect string

	mu       sync.Mutex
	serial   int
	codes    map[string]*codeGrant
	refresh  map[string]*family // the current and all former refresh tokens
	access   map[string]*accessGrant
	tokens   []tokenCall // every request at the token endpoint
	calls    []*http.Request
	bodies   []string
	revoked  []string
	handlers map[string]http.HandlerFunc

	// Knobs.
	lifetime   time.Duration // of access tokens
	method     string        // how the client must show itself: basic or post
	pkce       bool
	keepQuiet  bool                                       // gives no new refresh token on refresh and keeps the old one good
	tokenFails []func(http.ResponseWriter)                // answers of the next token requests
	shape      func(w http.ResponseWriter, t tokenAnswer) // writes a token answer
	before     func(grant string)                         // runs in each token request
	account    any                                        // answer of /me
}

type codeGrant struct {
	challenge, redirect string
}

type family struct {
	current string
	dead    bool
}

type accessGrant struct {
	family *family
	until  time.Time
}

type tokenCall struct {
	method string
	query  url.Values
	header http.Header
	body   string
	form   url.Values
}

type tokenAnswer struct {
	access, refresh string
	lifetime        time.Duration
}

func newVendor(t testing.TB, c *clock) *vendor {
	v := &vendor{
		clock: c, id: "client/1", secret: "s3cret+/ %&=ü", redirect: "https://host.example/redirect/crm",
		codes: map[string]*codeGrant{}, refresh: map[string]*family{}, access: map[string]*accessGrant{},
		handlers: map[string]http.HandlerFunc{}, lifetime: time.Hour, method: "basic", pkce: true,
		account: map[string]any{"id": 7, "name": "Acme", "email": "a@acme.example"},
	}
	v.Server = httptest.NewServer(http.HandlerFunc(v.serve))
	t.Cleanup(v.Close)
	return v
}

func (v *vendor) serve(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/authorize":
		v.authorize(w, r)
	case "/token", "/refresh":
		v.token(w, r)
	case "/revoke":
		v.revoke(w, r)
	default:
		v.api(w, r)
	}
}

// authorize agrees at once.
func (v *vendor) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != v.id || q.Get("response_type") != "code" || q.Get("redirect_uri") != v.redirect {
		http.Error(w, "bad authorize request: "+r.URL.RawQuery, 400)
		return
	}
	if v.pkce && (q.Get("code_challenge") == "" || q.Get("code_challenge_method") != "S256") {
		http.Error(w, "PKCE is required", 400)
		return
	}
	v.mu.Lock()
	code := v.next("code")
	v.codes[code] = &codeGrant{q.Get("code_challenge"), q.Get("redirect_uri")}
	v.mu.Unlock()
	to := q.Get("redirect_uri") + "?" + url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {v.URL}}.Encode()
	http.Redirect(w, r, to, http.StatusFound)
}

func (v *vendor) next(kind string) string {
	v.serial++
	return fmt.Sprintf("%s-%d-%x", kind, v.serial, sha256.Sum256([]byte(fmt.Sprint(v.serial, kind, v.URL))))
}

func (v *vendor) token(w http.ResponseWriter, r *http.Request) {
	body := read(r)
	form, _ := url.ParseQuery(body)
	v.mu.Lock()
	v.tokens = append(v.tokens, tokenCall{r.Method, r.URL.Query(), r.Header.Clone(), body, form})
	before := v.before
	var fail func(http.ResponseWriter)
	if len(v.tokenFails) > 0 {
		fail, v.tokenFails = v.tokenFails[0], v.tokenFails[1:]
	}
	v.mu.Unlock()
	if before != nil {
		before(form.Get("grant_type"))
	}
	if fail != nil {
		fail(w)
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if code, ok := v.client(r, form); !ok {
		oauthError(w, 401, code)
		return
	}
	switch form.Get("grant_type") {
	case "authorization_code":
		g := v.codes[form.Get("code")]
		delete(v.codes, form.Get("code"))
		switch {
		case g == nil:
			oauthError(w, 400, "invalid_grant")
		case g.redirect != form.Get("redirect_uri"):
			oauthError(w, 400, "invalid_grant")
		case g.challenge != "" && g.challenge != challenge(form.Get("code_verifier")):
			oauthError(w, 400, "invalid_grant")
		default:
			v.issue(w, &family{})
		}
	case "refresh_token":
		f := v.refresh[form.Get("refresh_token")]
		switch {
		case f == nil || f.dead:
			oauthError(w, 400, "invalid_grant")
		case f.current != form.Get("refresh_token"): // reuse: somebody has a copy
			f.dead = true
			oauthError(w, 400, "invalid_grant")
		default:
			v.issue(w, f)
		}
	case "client_credentials", "password":
		if form.Get("grant_type") == "password" && form.Get("password") != "hunter2 &+" {
			oauthError(w, 400, "invalid_grant")
			return
		}
		access := v.next("access")
		v.access[access] = &accessGrant{&family{}, v.clock.Now().Add(v.lifetime)}
		v.answer(w, tokenAnswer{access: access, lifetime: v.lifetime})
	default:
		oauthError(w, 400, "unsupported_grant_type")
	}
}

func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// client checks the application as strictly as RFC 6749 2.3.1 allows.
func (v *vendor) client(r *http.Request, form url.Values) (string, bool) {
	if t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); r.Method != "POST" || t != "application/x-www-form-urlencoded" {
		return "invalid_request", false
	}
	id, secret := form.Get("client_id"), form.Get("client_secret")
	if v.method == "basic" {
		user, password, _ := r.BasicAuth()
		if form.Has("client_secret") {
			return "invalid_request", false
		}
		id, _ = url.QueryUnescape(user)
		secret, _ = url.QueryUnescape(password)
	}
	return "invalid_client", id == v.id && secret == v.secret
}

func (v *vendor) issue(w http.ResponseWriter, f *family) {
	t := tokenAnswer{access: v.next("access"), lifetime: v.lifetime}
	if !v.keepQuiet || f.current == "" {
		t.refresh = v.next("refresh")
		f.current = t.refresh
		v.refresh[t.refresh] = f
	}
	v.access[t.access] = &accessGrant{f, v.clock.Now().Add(v.lifetime)}
	v.answer(w, t)
}

func (v *vendor) answer(w http.ResponseWriter, t tokenAnswer) {
	if v.shape != nil {
		v.shape(w, t)
		return
	}
	doc := map[string]any{"access_token": t.access, "token_type": "Bearer", "expires_in": int(t.lifetime.Seconds())}
	if t.refresh != "" {
		doc["refresh_token"] = t.refresh
	}
	writeJSON(w, 200, doc)
}

func (v *vendor) revoke(w http.ResponseWriter, r *http.Request) {
	form, _ := url.ParseQuery(read(r))
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.client(r, form); !ok {
		oauthError(w, 401, "invalid_client")
		return
	}
	v.revoked = append(v.revoked, form.Get("token"))
	if f := v.refresh[form.Get("token")]; f != nil {
		f.dead = true
	}
	if g := v.access[form.Get("token")]; g != nil {
		g.family.dead = true
	}
}

func (v *vendor) api(w http.ResponseWriter, r *http.Request) {
	body := read(r)
	v.mu.Lock()
	v.calls, v.bodies = append(v.calls, r), append(v.bodies, body)
	g := v.access[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	good := g != nil && !g.family.dead && v.clock.Now().Before(g.until)
	handler := v.handlers[r.URL.Path]
	account := v.account
	v.mu.Unlock()
	r.Body = io.NopCloser(strings.NewReader(body))
	switch {
	case handler != nil:
		handler(w, r)
	case !good:
		writeJSON(w, 401, map[string]string{"message": "bad token " + r.Header.Get("Authorization")})
	case r.URL.Path == "/api/me":
		writeJSON(w, 200, account)
	default:
		writeJSON(w, 200, map[string]any{"path": r.URL.EscapedPath(), "query": r.URL.RawQuery, "auth": r.Header.Get("Authorization"), "body": body})
	}
}

// handle answers a path in another way, whatever the token.
func (v *vendor) handle(path string, h http.HandlerFunc) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.handlers[path] = h
}

// failTokens answers the next n token requests with a status.
func (v *vendor) failTokens(n, status int, header ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for range n {
		v.tokenFails = append(v.tokenFails, func(w http.ResponseWriter) {
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			writeJSON(w, status, map[string]string{"message": "down"})
		})
	}
}

func (v *vendor) grants(kind string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := 0
	for _, c := range v.tokens {
		if kind == "" || c.form.Get("grant_type") == kind {
			n++
		}
	}
	return n
}

func (v *vendor) lastToken() tokenCall {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.tokens[len(v.tokens)-1]
}

func (v *vendor) lastCall() (*http.Request, string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.calls[len(v.calls)-1], v.bodies[len(v.bodies)-1]
}

func (v *vendor) callCount() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.calls)
}

// dropTokens makes all access tokens useless, as a vendor does that restarts.
func (v *vendor) dropTokens() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.access = map[string]*accessGrant{}
}

func (v *vendor) revokedTokens() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]string(nil), v.revoked...)
}

func (v *vendor) set(change func(*vendor)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change(v)
}

func read(r *http.Request) string {
	var b strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := r.Body.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return b.String()
		}
	}
}

func writeJSON(w http.ResponseWriter, status int, doc any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(doc)
}

func oauthError(w http.ResponseWriter, status int, code string) {
	writeJSON(w, status, map[string]string{"error": code, "error_description": "said no"})
}
