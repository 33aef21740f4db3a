package syncs_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/demo"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/frigg-host/frigg-host/host/syncs"
	"github.com/frigg-host/frigg-host/host/testdata/guests"
)

// built holds the guests and the compiled code that all hosts of this test binary share.
var built struct {
	once         sync.Once
	dir          string
	module, twin []byte
	err          error
}

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		runChild()
	}
	code := m.Run()
	_ = os.RemoveAll(built.dir)
	if code == 0 {
		http.DefaultClient.CloseIdleConnections()
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines were left behind:", err)
			code = 1
		}
	}
	os.Exit(code)
}

func build() {
	b := &built
	if b.dir, b.err = os.MkdirTemp("", "syncs"); b.err != nil {
		return
	}
	for name, into := range map[string]*[]byte{"tidepool": &b.module, "tidepool-twin": &b.twin} {
		file := filepath.Join(b.dir, name+".wasm")
		c := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", file, "../../plugins/examples/"+name)
		c.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
		if text, err := c.CombinedOutput(); err != nil {
			b.err = fmt.Errorf("building %s: %w\n%s", name, err, text)
			return
		}
		if *into, b.err = os.ReadFile(file); b.err != nil {
			return
		}
	}
	code := filepath.Join(b.dir, "compiled")
	if b.err = os.Mkdir(code, 0o700); b.err == nil {
		b.err = guests.Precompile(code, b.module, b.twin)
	}
}

// packed is an example with its manifest, some of whose fields are replaced.
func packed(t *testing.T, name string, module []byte, replace map[string]any) []byte {
	t.Helper()
	text, err := os.ReadFile("../../plugins/examples/" + name + "/manifest.yaml")
	must(t, err)
	var manifest map[string]any
	must(t, yaml.Unmarshal(text, &manifest))
	maps.Copy(manifest, replace)
	text, err = json.Marshal(manifest)
	must(t, err)
	out, err := plugin.Pack(module, text)
	must(t, err)
	return out
}

// rig is a host, two vendors that are alike, and an integration between them.
type rig struct {
	t           *testing.T
	config      host.Config
	log         *logbook
	left, right *vendor
	host        *host.Host
	stop        func() // ends Run and closes the host; may be repeated
	actor       account.Actor
	id          integration.ID
}

// newRig starts a host whose integration declares this sync besides its roles. Nothing has run when it returns.
func newRig(t *testing.T, spec map[string]any) *rig {
	t.Helper()
	built.once.Do(build)
	must(t, built.err)
	dir := t.TempDir()
	r := &rig{t: t, log: &logbook{}, left: newVendor(t), right: newVendor(t)}
	r.config = host.Config{
		DataDir: filepath.Join(dir, "data"), PluginsDir: filepath.Join(dir, "plugins"), Dev: true, PublicURL: "http://127.0.0.1",
		Accounts: account.Config{Cost: account.Cost{MemoryKiB: 8, Passes: 1, Lanes: 1}},
		Log:      slog.New(slog.NewTextHandler(r.log, nil)),
	}
	must(t, os.MkdirAll(r.config.DataDir, 0o700))
	must(t, os.MkdirAll(r.config.PluginsDir, 0o700))
	code := filepath.Join(built.dir, "compiled")
	must(t, os.Symlink(code, filepath.Join(r.config.DataDir, "compiled")))
	api := map[string]any{"base_url": "{{settings.base_url}}", "idempotency": map[string]any{"header": "Idempotency-Key", "methods": []string{"POST"}, "window_s": 86400}, "faults": []any{
		map[string]any{"when": map[string]any{"status": 422}, "kind": "invalid", "message": "/error/message"},
	}} // without a rate limit
	r.drop("tidepool", packed(t, "tidepool", built.module, map[string]any{"api": api}))
	r.drop("tidepool-b", packed(t, "tidepool", built.module, map[string]any{"api": api, "name": "tidepool-b"}))
	r.twin(spec)
	r.start()
	r.login()
	return r
}

func (r *rig) drop(name string, module []byte) {
	must(r.t, os.WriteFile(filepath.Join(r.config.PluginsDir, name+".wasm"), module, 0o600))
}

// twin installs the integration with a sync that differs in these fields.
func (r *rig) twin(spec map[string]any) {
	r.t.Helper()
	s := map[string]any{"name": "contacts", "title": "Contacts", "source": "left", "target": "right"}
	maps.Copy(s, spec)
	roles := []any{map[string]any{"name": "left", "module": "tidepool"}, map[string]any{"name": "right", "module": "tidepool-b"}}
	r.drop("tidepool-twin", packed(r.t, "tidepool-twin", built.twin, map[string]any{"syncs": []any{s}, "roles": roles}))
}

// start starts the host, also again.
func (r *rig) start() {
	r.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(r.t, err)
	h, err := host.New(context.Background(), r.config)
	must(r.t, err)
	must(r.t, h.Plugins.Loaded(context.Background()))
	r.host = h
	for name, v := range map[string]*vendor{"tidepool": r.left, "tidepool-b": r.right} {
		must(r.t, v.crm.AddClient("host", "client-secret", "http://127.0.0.1/redirect/"+name))
		for setting, value := range map[string]string{"base_url": v.URL, "client_id": "host", "client_secret": "client-secret"} {
			must(r.t, h.Plugins.SetSetting(context.Background(), name, setting, secret.NewText(value)))
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx, listener) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Errorf("Run: %v", err)
		}
		must(r.t, h.Close())
	})
	r.t.Cleanup(func() { r.stop() })
}

// login makes a user who has connected both accounts.
func (r *rig) login() {
	r.t.Helper()
	_, token, err := r.host.Accounts.CreateUser(context.Background(), account.NewUser{Username: "ada", Password: secret.NewText("correct horse")})
	must(r.t, err)
	r.actor, err = r.host.Accounts.Authenticate(context.Background(), token)
	must(r.t, err)
}

// connect connects both accounts and waits until the first run of the sync has ended, which the example starts by itself.
func (r *rig) connect() *syncs.Process {
	r.t.Helper()
	r.integrate()
	return r.ended()
}

func (r *rig) integrate() {
	r.t.Helper()
	var accounts []connection.EntityID
	for name, v := range map[string]*vendor{"tidepool": r.left, "tidepool-b": r.right} {
		need, err := r.host.Connections.Requirements(context.Background(), r.actor, name)
		must(r.t, err)
		back, err := v.crm.Consent(need.URL)
		must(r.t, err)
		u, err := url.Parse(back)
		must(r.t, err)
		data := map[string]any{}
		for k := range u.Query() {
			data[k] = u.Query().Get(k)
		}
		done, err := r.host.Connections.Authorize(context.Background(), r.actor, name, data)
		must(r.t, err)
		accounts = append(accounts, done.EntityID)
	}
	in, err := r.host.Integrations.Create(context.Background(), r.actor, accounts, json.RawMessage(`{"type":"tidepool-twin"}`))
	must(r.t, err)
	r.id = in.ID
	r.await("the integration is enabled", func() bool {
		in, err := r.host.Integrations.Integration(context.Background(), r.actor, r.id)
		return err == nil && in.Status == abi.StatusEnabled
	})
}

// run starts the sync and waits for its end.
func (r *rig) run() *syncs.Process {
	r.t.Helper()
	_, err := r.host.Syncs.Start(context.Background(), r.actor, r.id, "contacts", false)
	must(r.t, err)
	return r.ended()
}

// newest is the newest process, nil if there is none.
func (r *rig) newest() *syncs.Process {
	r.t.Helper()
	found, err := r.host.Syncs.Processes(context.Background(), r.actor, syncs.Filter{Limit: 1})
	must(r.t, err)
	if len(found) == 0 {
		return nil
	}
	p, err := r.host.Syncs.Process(context.Background(), r.actor, found[0].ID)
	must(r.t, err)
	return p
}

// ended waits until the newest process has ended.
func (r *rig) ended() *syncs.Process {
	r.t.Helper()
	var p *syncs.Process
	r.await("the sync ends", func() bool {
		p = r.newest()
		return p != nil && p.State.Ended()
	})
	return p
}

// completed fails the test unless p went well with these totals.
func (r *rig) completed(p *syncs.Process, want syncs.Totals) {
	r.t.Helper()
	if p.State != syncs.Completed || p.Totals != want {
		r.t.Fatalf("%s %s %+v %+v, want %+v\n%s", p.State, p.Message, p.Totals, p.Errors, want, r.log)
	}
}

func (r *rig) await(what string, holds func() bool) {
	r.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(time.Minute)
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			r.t.Fatalf("never: %s\n%+v\n%s", what, r.newest(), r.log)
		}
	}
}

type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// vendor is Tidepool with a client of the test's own. A new one has twelve contacts, the same everywhere.
type vendor struct {
	*httptest.Server
	t     *testing.T
	crm   *demo.CRM
	token string
	hits  func(*http.Request) // sees every request of the host; may be nil
}

const seeded = 12

func newVendor(t *testing.T) *vendor {
	t.Helper()
	v := &vendor{t: t}
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v.hits != nil && r.Header.Get("Authorization") != "Bearer "+v.token {
			v.hits(r)
		}
		v.crm.ServeHTTP(w, r)
	}))
	t.Cleanup(v.Close)
	crm, err := demo.New(demo.Config{BaseURL: v.URL, RateLimit: demo.RateLimit{PerSecond: -1}})
	must(t, err)
	v.crm = crm
	t.Cleanup(crm.Close)
	v.login()
	return v
}

// login gets a token as any other application.
func (v *vendor) login() {
	v.t.Helper()
	const back, verifier = "http://127.0.0.1/test", "a-verifier-of-enough-characters-for-the-specification"
	must(v.t, v.crm.AddClient("test", "secret", back))
	sum := sha256.Sum256([]byte(verifier))
	ask := url.Values{
		"response_type": {"code"}, "client_id": {"test"}, "redirect_uri": {back}, "scope": {"contacts:read contacts:write"}, "state": {"s"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	to, err := v.crm.Consent(v.URL + "/oauth/authorize?" + ask.Encode())
	must(v.t, err)
	u, err := url.Parse(to)
	must(v.t, err)
	form := url.Values{"grant_type": {"authorization_code"}, "code": {u.Query().Get("code")}, "redirect_uri": {back}, "code_verifier": {verifier}}
	req, err := http.NewRequest(http.MethodPost, v.URL+"/oauth/token", strings.NewReader(form.Encode()))
	must(v.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("test", "secret")
	var answer struct {
		Token string `json:"access_token"`
	}
	v.do(req, &answer)
	if v.token = answer.Token; v.token == "" {
		v.t.Fatal("no token")
	}
}

func (v *vendor) do(req *http.Request, out any) {
	v.t.Helper()
	res, err := http.DefaultClient.Do(req)
	must(v.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(v.t, err)
	if res.StatusCode >= 300 {
		v.t.Fatalf("%s %s: %s %s", req.Method, req.URL, res.Status, text)
	}
	if out != nil {
		must(v.t, json.Unmarshal(text, out))
	}
}

func (v *vendor) ask(method, path string, body, out any) {
	v.t.Helper()
	text, err := json.Marshal(body)
	must(v.t, err)
	req, err := http.NewRequest(method, v.URL+path, bytes.NewReader(text))
	must(v.t, err)
	req.Header.Set("Authorization", "Bearer "+v.token)
	req.Header.Set("Content-Type", "application/json")
	v.do(req, out)
}

type contact struct {
	ID    string `json:"id,omitempty"`
	Name  string `json:"name"`
	Email string `json:"email"`
	Phone string `json:"phone,omitempty"`
}

func (v *vendor) add(c contact) contact {
	v.t.Helper()
	var made contact
	v.ask(http.MethodPost, "/api/v1/contacts", c, &made)
	return made
}

// addMany adds n contacts with distinct addresses.
func (v *vendor) addMany(n int) {
	v.t.Helper()
	for i := range n {
		v.add(contact{Name: fmt.Sprintf("Person %d", i), Email: fmt.Sprintf("person%d@example.org", i)})
	}
}

func (v *vendor) change(id string, fields map[string]string) {
	v.t.Helper()
	v.ask(http.MethodPatch, "/api/v1/contacts/"+id, fields, nil)
}

// contacts lists all contacts.
func (v *vendor) contacts() []contact {
	v.t.Helper()
	var all []contact
	for cursor := ""; ; {
		var page struct {
			Data []contact `json:"data"`
			Next string    `json:"next_cursor"`
		}
		v.ask(http.MethodGet, "/api/v1/contacts?limit=100&cursor="+url.QueryEscape(cursor), nil, &page)
		all = append(all, page.Data...)
		if cursor = page.Next; cursor == "" {
			return all
		}
	}
}

// byEmail counts contacts by their address.
func (v *vendor) byEmail() map[string]int {
	v.t.Helper()
	out := map[string]int{}
	for _, c := range v.contacts() {
		out[c.Email]++
	}
	return out
}

// find is the contact with an address.
func (v *vendor) find(email string) contact {
	v.t.Helper()
	for _, c := range v.contacts() {
		if c.Email == email {
			return c
		}
	}
	v.t.Fatalf("no contact %s", email)
	return contact{}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
