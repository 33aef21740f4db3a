package demo_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/demo"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	clientID     = "test app"
	clientSecret = "p+s/100%:ä"
	callback     = "http://127.0.0.1:7/callback?keep=1"
	everything   = "contacts:read contacts:write deals:read deals:write tasks:read tasks:write webhooks:write"
)

// clock stands still until it is moved.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2031, 5, 4, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// vendor is a CRM behind a real socket with one registered client.
type vendor struct {
	t    testing.TB
	crm  *demo.CRM
	base string
	http *http.Client
	stop func()
}

func start(t testing.TB, cfg demo.Config) *vendor {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	cfg.BaseURL = "http://" + server.Listener.Addr().String()
	crm, err := demo.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := crm.AddClient(clientID, clientSecret, callback); err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = crm
	server.Start()
	browser := server.Client()
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	v := &vendor{t: t, crm: crm, base: cfg.BaseURL, http: browser}
	v.stop = sync.OnceFunc(func() { server.Close(); crm.Close() })
	t.Cleanup(v.stop)
	return v
}

func unlimited() demo.Config { return demo.Config{RateLimit: demo.RateLimit{PerSecond: -1}} }

// answer is a response that was read to its end.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   string
}

func (a answer) want(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

func (a answer) json() map[string]any {
	a.t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		a.t.Fatalf("not a JSON object: %v: %s", err, a.body)
	}
	return m
}

// str walks into nested objects and returns the string there, or "".
func (a answer) str(path ...string) string {
	a.t.Helper()
	var at any = a.json()
	for _, key := range path {
		m, _ := at.(map[string]any)
		at = m[key]
	}
	s, _ := at.(string)
	return s
}

func (v *vendor) send(method, path string, header http.Header, body string) answer {
	v.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, v.base+path, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	resp, err := v.http.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := io.Copy(&b, resp.Body); err != nil {
		v.t.Fatal(err)
	}
	return answer{v.t, resp.StatusCode, resp.Header, b.String()}
}

func (v *vendor) form(path string, header http.Header, f url.Values) answer {
	v.t.Helper()
	if header == nil {
		header = http.Header{}
	}
	header.Set("Content-Type", "application/x-www-form-urlencoded")
	return v.send("POST", path, header, f.Encode())
}

const verifier = "a-verifier-that-is-long-enough-for-rfc-7636-0123456789"

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// authorizeURL returns a good authorization address with changes; an empty value removes the parameter.
func (v *vendor) authorizeURL(changes map[string]string) string {
	q := url.Values{
		"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {callback}, "state": {"st&te"},
		"scope": {everything}, "code_challenge": {challenge()}, "code_challenge_method": {"S256"},
	}
	for name, value := range changes {
		if q.Set(name, value); value == "" {
			q.Del(name)
		}
	}
	return v.base + "/oauth/authorize?" + q.Encode()
}

// consent returns the parameters of the callback.
func (v *vendor) consent(changes map[string]string) url.Values {
	v.t.Helper()
	redirect, err := v.crm.Consent(v.authorizeURL(changes))
	if err != nil {
		v.t.Fatal(err)
	}
	u, err := url.Parse(redirect)
	if err != nil {
		v.t.Fatal(err)
	}
	return u.Query()
}

func basic(id, secret string) http.Header {
	pair := url.QueryEscape(id) + ":" + url.QueryEscape(secret)
	return http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(pair))}}
}

func (v *vendor) redeem(code string) answer {
	v.t.Helper()
	return v.form("/oauth/token", basic(clientID, clientSecret), url.Values{
		"grant_type": {"authorization_code"}, "code": {code},
		"redirect_uri": {callback}, "code_verifier": {verifier},
	})
}

func (v *vendor) refresh(token string) answer {
	v.t.Helper()
	return v.form("/oauth/token", basic(clientID, clientSecret), url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

// caller uses the API with one access token.
type caller struct {
	*vendor
	token string
}

func (v *vendor) connect(scopes string) caller {
	v.t.Helper()
	out := v.redeem(v.consent(map[string]string{"scope": scopes}).Get("code")).want(200)
	return caller{v, out.str("access_token")}
}

func (c caller) call(method, path, body string, header ...string) answer {
	c.t.Helper()
	h := http.Header{"Authorization": {"Bearer " + c.token}}
	if body != "" {
		h.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return c.send(method, "/api/v1"+path, h, body)
}

func (c caller) list(path string) (rows []map[string]any, next string) {
	c.t.Helper()
	var out struct {
		Data []map[string]any `json:"data"`
		Next string           `json:"next_cursor"`
	}
	a := c.call("GET", path, "").want(200)
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		c.t.Fatal(err)
	}
	return out.Data, out.Next
}
