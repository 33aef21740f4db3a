package host_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// vendor is a service that gives back all that it gets. It judges credentials, knows repeated writes by their key, and
// remembers every request.
type vendor struct {
	*httptest.Server
	// Set before the first request.
	clientID, clientSecret string
	mint                   func(what string) string // makes codes and tokens; by default any text

	mu       sync.Mutex
	grants   map[string]*consent // by code
	access   map[string]bool     // tokens that are good
	refresh  map[string]bool
	keys     map[string]bool // API keys that are good
	logins   map[string]string
	requests []*seen
	effects  map[string]int // by idempotency key, else by request
	refuse   string         // what the token endpoint answers as an error
	echoes   int            // of the token endpoint
	held     chan struct{}  // while it is not nil effects wait for it
	arrived  chan struct{}
}

// consent is what the vendor remembers of a person's yes.
type consent struct{ challenge, redirect string }

// seen is a request as it arrived.
type seen struct {
	Method string
	Path   string
	Query  url.Values
	Header http.Header
	Body   string
}

func newVendor(t *testing.T) *vendor {
	v := &vendor{
		clientID: "client", clientSecret: "client-secret", mint: func(what string) string { return what + "-" + rand.Text() },
		grants: map[string]*consent{}, access: map[string]bool{}, refresh: map[string]bool{}, keys: map[string]bool{}, logins: map[string]string{},
		effects: map[string]int{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/oauth/token", v.token)
	mux.HandleFunc("/oauth/revoke", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/me", v.signedIn(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"id": "acc-1", "name": "Ada"})
	}))
	mux.HandleFunc("/effects", v.signedIn(v.effect))
	mux.HandleFunc("/redirect", v.signedIn(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusTemporaryRedirect)
	}))
	mux.HandleFunc("/", v.signedIn(v.echo))
	v.Server = httptest.NewServer(v.remember(mux))
	t.Cleanup(v.Close)
	return v
}

// remember keeps a copy of every request.
func (v *vendor) remember(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		v.mu.Lock()
		v.requests = append(v.requests, &seen{r.Method, r.URL.Path, r.URL.Query(), r.Header.Clone(), string(body)})
		v.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

// log lists the requests to a path, or all.
func (v *vendor) log(path string) []*seen {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []*seen
	for _, s := range v.requests {
		if path == "" || s.Path == path {
			out = append(out, s)
		}
	}
	return out
}

// consent says yes to an authorize URL, as a person in a browser, and returns the query of the redirect.
func (v *vendor) consent(t *testing.T, authorize string) map[string]any {
	t.Helper()
	u, err := url.Parse(authorize)
	if err != nil || !strings.HasPrefix(authorize, v.URL+"/oauth/authorize?") {
		t.Fatalf("not an address of the vendor: %s", authorize)
	}
	q := u.Query()
	if q.Get("client_id") != v.clientID || q.Get("code_challenge_method") != "S256" {
		t.Fatalf("authorize request: %v", q)
	}
	code := v.mint("code")
	v.mu.Lock()
	defer v.mu.Unlock()
	v.grants[code] = &consent{q.Get("code_challenge"), q.Get("redirect_uri")}
	return map[string]any{"code": code, "state": q.Get("state")}
}

func (v *vendor) token(w http.ResponseWriter, r *http.Request) {
	id, key, _ := r.BasicAuth()
	id, _ = url.QueryUnescape(id)
	key, _ = url.QueryUnescape(key)
	v.mu.Lock()
	defer v.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if v.refuse != "" {
		_ = r.ParseForm()
		w.WriteHeader(http.StatusBadRequest)
		// A careless vendor repeats what it got, where a host may cut the text too.
		v.echoes++
		all := key + r.PostForm.Get("code") + r.PostForm.Get("refresh_token") + r.PostForm.Get("code_verifier") + r.Header.Get("Authorization")
		echo := strings.Repeat(".", v.echoes*20%200) + all + r.PostForm.Encode()
		_ = json.NewEncoder(w).Encode(map[string]string{"error": v.refuse, "error_description": echo})
		return
	}
	problem := ""
	switch code, old := r.FormValue("code"), r.FormValue("refresh_token"); {
	case id != v.clientID || key != v.clientSecret:
		problem = "invalid_client"
	case r.FormValue("grant_type") == "authorization_code":
		g := v.grants[code]
		delete(v.grants, code)
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if g == nil || g.challenge != base64.RawURLEncoding.EncodeToString(sum[:]) || g.redirect != r.FormValue("redirect_uri") {
			problem = "invalid_grant"
		}
	case !v.refresh[old]:
		problem = "invalid_grant"
	default:
		delete(v.refresh, old)
	}
	if problem != "" {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": problem})
		return
	}
	access, refresh := v.mint("access"), v.mint("refresh")
	v.access[access], v.refresh[refresh] = true, true
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": 3600})
}

// expire makes all access tokens bad; with refresh also the refresh tokens.
func (v *vendor) expire(refresh bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	clear(v.access)
	if refresh {
		clear(v.refresh)
	}
}

// setRefuse makes the token endpoint refuse everything with this code, or with "" no longer.
func (v *vendor) setRefuse(code string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.refuse = code
}

// signedIn lets good credentials through and answers all others with what they sent.
func (v *vendor) signedIn(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		user, password, basic := r.BasicAuth()
		v.mu.Lock()
		good := v.access[bearer] || v.keys[r.Header.Get("X-Key")] && v.keys[r.URL.Query().Get("key")] || basic && v.logins[user] == password
		v.mu.Unlock()
		if !good {
			v.answer(w, r, http.StatusUnauthorized)
			return
		}
		next(w, r)
	}
}

// echo gives everything back: in headers, as JSON, percent-encoded and in base64. ?status= says with which status.
func (v *vendor) echo(w http.ResponseWriter, r *http.Request) {
	status := http.StatusOK
	_, _ = fmt.Sscan(r.URL.Query().Get("status"), &status)
	v.answer(w, r, status)
}

func (v *vendor) answer(w http.ResponseWriter, r *http.Request, status int) {
	body, _ := io.ReadAll(r.Body)
	all := fmt.Sprintf("%s %s %v %v %s", r.Method, r.RequestURI, r.URL.Query(), r.Header, body)
	for _, name := range []string{"Authorization", "X-Key", "X-Passphrase"} {
		if text := r.Header.Get(name); text != "" {
			w.Header().Set("X-Echo-"+name, text)
		}
	}
	w.Header().Set("X-Echo-Uri", r.RequestURI)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	headers := map[string]string{}
	for name := range maps.Keys(r.Header) {
		headers[name] = r.Header.Get(name)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"message": all, "headers": headers, "query": r.URL.Query(), "escaped": url.QueryEscape(all),
		"path": url.PathEscape(all), "base64": base64.StdEncoding.EncodeToString([]byte(all)), "base64url": base64.URLEncoding.EncodeToString([]byte(all)),
	})
}

// effect does something once for each idempotency key.
func (v *vendor) effect(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	key := r.Header.Get("Idempotency-Key")
	if key == "" {
		key = rand.Text()
	}
	v.mu.Lock()
	held := v.held
	v.mu.Unlock()
	if held != nil {
		v.arrived <- struct{}{}
		<-held
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.effects[key+" "+string(body)]++
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"done":true}`))
}

// hold lets effects wait until release; arrived gets something for each that waits.
func (v *vendor) hold() (arrived <-chan struct{}, release func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.held, v.arrived = make(chan struct{}), make(chan struct{}, 100)
	return v.arrived, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		close(v.held)
		v.held = nil
	}
}

// effectCounts says how often each different thing was done.
func (v *vendor) effectCounts() []int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Collect(maps.Values(v.effects))
}
