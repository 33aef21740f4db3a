package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/frigg-host/frigg-host/host"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/frigg-host/frigg-host/host/testdata/guests"
)

// keyOfHealth opens the detailed health pages.
var keyOfHealth = secret.NewText("health-key")

// compiled is the folder of compiled code that all hosts of this test binary share.
var compiled struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(compiled.dir)
	if code == 0 {
		http.DefaultClient.CloseIdleConnections()
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines were left behind:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// plugins of a rig, by file name.
func plugins(t *testing.T, tags string) map[string][]byte {
	return map[string][]byte{
		"probe.wasm":       guests.Plugin(t, "probe", "oauth.yaml", tags),
		"probe-key.wasm":   guests.Plugin(t, "probe", "key.yaml", tags),
		"probe-basic.wasm": guests.Plugin(t, "probe", "basic.yaml", tags),
		"flow.wasm":        guests.Plugin(t, "flow", "manifest.yaml", tags),
	}
}

// noBulk makes guests that the reference engine can run.
const noBulk = "frigg_nobulk"

// codeCache is a folder with the compiled code of all guests.
func codeCache(t *testing.T) string {
	t.Helper()
	c := &compiled
	c.once.Do(func() {
		if c.dir, c.err = os.MkdirTemp("", "compiled"); c.err == nil {
			c.err = guests.Precompile(c.dir, guests.Module(t, "probe", ""), guests.Module(t, "flow", ""),
				guests.Module(t, "probe", noBulk), guests.Module(t, "flow", noBulk))
		}
	})
	if c.err != nil {
		t.Fatal(c.err)
	}
	return c.dir
}

// logbook takes the log of a host.
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

// rig is a running host, a vendor, and what they said.
type rig struct {
	t      *testing.T
	config host.Config
	vendor *vendor
	log    *logbook
	host   *host.Host
	url    string
	stop   func() // ends Run and closes the host; may be repeated

	mu      sync.Mutex
	answers []string // of the API, whole
}

// newRig starts a host with these plugins on a fresh data folder. prepare may change what it is made of.
func newRig(t *testing.T, plugins map[string][]byte, prepare func(*rig)) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{t: t, vendor: newVendor(t), log: &logbook{}}
	r.config = host.Config{
		DataDir: filepath.Join(dir, "data"), PluginsDir: filepath.Join(dir, "plugins"), Dev: true, PublicURL: "http://127.0.0.1",
		Accounts: account.Config{Cost: account.Cost{MemoryKiB: 8, Passes: 1, Lanes: 1}},
		Log:      slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if prepare != nil {
		prepare(r)
	}
	must(t, os.MkdirAll(r.config.DataDir, 0o700))
	must(t, os.Symlink(codeCache(t), filepath.Join(r.config.DataDir, "compiled")))
	must(t, os.MkdirAll(r.config.PluginsDir, 0o700))
	for name, module := range plugins {
		r.drop(name, module)
	}
	r.start()
	return r
}

// drop puts a file into the plugins folder that came to rest long ago.
func (r *rig) drop(name string, content []byte) {
	r.t.Helper()
	path := filepath.Join(r.config.PluginsDir, name)
	must(r.t, os.WriteFile(path, content, 0o600))
	long := time.Now().Add(-time.Minute)
	must(r.t, os.Chtimes(path, long, long))
}

// start opens and runs the host, and tells its plugins where the vendor is.
func (r *rig) start() {
	r.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(r.t, err)
	r.url = "http://" + listener.Addr().String()
	h, err := host.New(context.Background(), r.config)
	must(r.t, err)
	must(r.t, h.Plugins.Loaded(context.Background())) // a start does not wait for slow ones
	r.host = h
	r.configure()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx, listener) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Errorf("Run: %v", err)
		}
		must(r.t, h.Close())
		http.DefaultClient.CloseIdleConnections()
	})
	r.t.Cleanup(func() { r.stop() })
}

// configure tells the plugins where the vendor is.
func (r *rig) configure() {
	r.t.Helper()
	values := map[string]string{"base_url": r.vendor.URL, "client_id": r.vendor.clientID, "client_secret": r.vendor.clientSecret}
	entries, err := r.host.Plugins.List(context.Background())
	must(r.t, err)
	for _, e := range entries {
		for _, s := range e.Plugin.Manifest.Settings {
			must(r.t, r.host.Plugins.SetSetting(context.Background(), e.Plugin.Name, s.Name, secret.NewText(values[s.Name])))
		}
	}
}

// client calls the API as one user.
type client struct {
	*rig
	name   string
	header http.Header
	actor  account.Actor
}

// user makes a user and logs it in.
func (r *rig) user(name, password string) *client {
	r.t.Helper()
	c := &client{rig: r, name: name, header: http.Header{}}
	var token struct{ Token string }
	c.mustDo(http.StatusCreated, http.MethodPost, "/user/create", map[string]string{"username": name, "password": password}, &token)
	c.header.Set("Authorization", "Bearer "+token.Token)
	actor, err := r.host.Accounts.Authenticate(context.Background(), secret.NewText(token.Token))
	must(r.t, err)
	c.actor = actor
	return c
}

// do sends a request. A body is JSON unless it is bytes.
func (c *client) do(method, path string, body any) (int, []byte) {
	c.t.Helper()
	raw, isRaw := body.([]byte)
	if !isRaw && body != nil {
		var err error
		raw, err = json.Marshal(body)
		must(c.t, err)
	}
	req, err := http.NewRequest(method, c.url+path, bytes.NewReader(raw))
	must(c.t, err)
	req.Header = c.header.Clone()
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	must(c.t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	must(c.t, err)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers = append(c.answers, fmt.Sprintf("%s %s: %d %v %s", method, req.URL.Path, res.StatusCode, res.Header, answer))
	return res.StatusCode, answer
}

// mustDo wants a status and decodes the answer into out, unless that is nil.
func (c *client) mustDo(want int, method, path string, body, out any) {
	c.t.Helper()
	status, answer := c.do(method, path, body)
	if status != want {
		c.t.Fatalf("%s %s: %d, want %d: %s\n%s", method, path, status, want, answer, c.log)
	}
	if out != nil {
		must(c.t, json.Unmarshal(answer, out))
	}
}

// connect authorises an account of a module and returns its id.
func (c *client) connect(module string, form map[string]any) connection.EntityID {
	c.t.Helper()
	if form == nil {
		var need struct{ URL string }
		c.mustDo(http.StatusOK, http.MethodGet, "/api/authorize?entityType="+module, nil, &need)
		form = c.vendor.consent(c.t, need.URL)
	}
	var done struct {
		Entity connection.EntityID `json:"entity_id"`
	}
	c.mustDo(http.StatusOK, http.MethodPost, "/api/authorize", map[string]any{"entityType": module, "data": form}, &done)
	return done.Entity
}

// goodKey is a form with a key that the vendor takes.
func (r *rig) goodKey(key string) map[string]any {
	r.vendor.mu.Lock()
	defer r.vendor.mu.Unlock()
	r.vendor.keys[key] = true
	return map[string]any{"key": key}
}

// integrate makes a flow of accounts and waits until it works.
func (c *client) integrate(config map[string]any, accounts ...connection.EntityID) integration.ID {
	c.t.Helper()
	all := map[string]any{"type": "flow"}
	for k, v := range config {
		all[k] = v
	}
	var made struct{ ID integration.ID }
	c.mustDo(http.StatusCreated, http.MethodPost, "/api/integrations", map[string]any{"entities": accounts, "config": all}, &made)
	c.await("the integration is enabled", func() bool {
		in, err := c.host.Integrations.Integration(context.Background(), c.actor, made.ID)
		return err == nil && in.Status == "ENABLED"
	})
	return made.ID
}

// keyFlow is a flow with one account by API key.
func (c *client) keyFlow(config map[string]any) integration.ID {
	c.t.Helper()
	return c.integrate(config, c.connect("probe-key", c.goodKey("key-of-"+c.name)))
}

// step is what a guest shall do.
type step map[string]any

// order is an order of steps as guests read it.
func order(steps ...step) map[string]any { return map[string]any{"steps": steps} }

// act runs the action DO of an integration through the API.
func (c *client) act(id integration.ID, steps ...step) (int, string) {
	c.t.Helper()
	status, answer := c.do(http.MethodPost, "/api/integrations/"+string(id)+"/actions/DO", order(steps...))
	return status, string(answer)
}

// await asks until a condition holds.
func (r *rig) await(what string, holds func() bool) {
	r.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(time.Minute)
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			r.t.Fatalf("never: %s\n%s", what, r.log)
		}
	}
}

// hasLine reports whether a line of the log holds all parts.
func (l *logbook) hasLine(parts ...string) bool {
	for line := range strings.SplitSeq(l.String(), "\n") {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(line, p)
		}
		if all {
			return true
		}
	}
	return false
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
