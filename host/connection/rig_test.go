package connection_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/requester"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/frigg-host/frigg-host/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a clock that stands still until somebody moves it.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// rig is the room on real parts: a database file, sealing, the requester. The vendor, the guest and the clock are ours.
type rig struct {
	*connection.Service
	t       testing.TB
	clock   *clock
	vendor  *vendor
	db      *store.DB
	path    string
	key     *secret.RootKey
	catalog *catalog
	guest   *guest
	log     *bytes.Buffer
	mine    account.Actor
	theirs  account.Actor
	waits   *waits
	sender  *requester.Requester
	told    func(connection.EntityID)
}

// waits counts the pauses that the room asked for; they take no time but let others run.
type waits struct {
	mu  sync.Mutex
	all []time.Duration
}

func (w *waits) wait(ctx context.Context, d time.Duration) error {
	w.mu.Lock()
	w.all = append(w.all, d)
	w.mu.Unlock()
	timer := time.NewTimer(min(d, 2*time.Millisecond))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, clock: newClock(), path: filepath.Join(t.TempDir(), "frigg.db"), log: &bytes.Buffer{}, waits: &waits{}}
	r.vendor = newVendor(t, r.clock)
	r.catalog = &catalog{plugins: map[string]*plugin.Plugin{}, settings: map[string]map[string]secret.Text{}}
	r.guest = &guest{exports: map[string]func(context.Context, plugin.Call) (any, error){}}
	r.key, _ = secret.GenerateRootKey()
	r.db = openDB(t, r.path)
	r.sender = requester.New(requester.Config{
		AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Log:          slog.New(slog.NewTextHandler(&lockedWriter{w: r.log}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	t.Cleanup(r.sender.Close)
	r.Service = r.host(r.db)
	t.Cleanup(r.Service.Close)
	a := &account.User{ID: account.NewID(), Kind: account.Individual, CreatedAt: r.clock.Now()}
	b := &account.User{ID: account.NewID(), Kind: account.Individual, CreatedAt: r.clock.Now()}
	check(t, r.db.CreateUser(t.Context(), nil, a, b))
	r.mine = account.Actor{User: a.ID, Owner: account.Owner(a.ID)}
	r.theirs = account.Actor{User: b.ID, Owner: account.Owner(b.ID)}
	r.install(r.vendor.manifest())
	return r
}

// emptyDB is a database file with all tables: making them costs more than most tests.
var emptyDB = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "connection-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "empty.db")
	db, err := store.Open(context.Background(), store.Config{DSN: path})
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

func openDB(t testing.TB, path string) *store.DB {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		empty, err := emptyDB()
		check(t, err)
		check(t, os.WriteFile(path, empty, 0o600))
	}
	db, err := store.Open(t.Context(), store.Config{DSN: path, Shared: true})
	check(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

// host is one more host over a database.
func (r *rig) host(db *store.DB) *connection.Service { return r.hostOver(db) }

func (r *rig) hostOver(s connection.Store) *connection.Service {
	return connection.New(connection.Config{
		Store: s, Vault: secret.NewVault(r.key, r.db, r.clock.Now), Sender: r.sender,
		Catalog: r.catalog, Caller: r.guest, Settings: r.catalog, Now: r.clock.Now, Wait: r.waits.wait,
		Connected: func(_ context.Context, _ account.Owner, id connection.EntityID) error {
			if r.told != nil {
				r.told(id)
			}
			return fault.New(fault.Internal, "test", "what follows fails")
		},
		RedirectURL: func(module string) string { return "https://host.example/redirect/" + module },
		Log:         slog.New(slog.NewJSONHandler(&lockedWriter{w: r.log}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
}

type lockedWriter struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// catalog is what is installed and set.
type catalog struct {
	mu       sync.Mutex
	plugins  map[string]*plugin.Plugin
	settings map[string]map[string]secret.Text
}

func (c *catalog) Plugin(name string) (*plugin.Plugin, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.plugins[name]
	if p == nil {
		return nil, fault.New(fault.NotFound, "plugin.Plugin", "no plugin %q", name)
	}
	if p.State == plugin.NeedsApproval {
		return nil, fault.New(fault.Forbidden, "plugin.Plugin", "plugin %s waits for approval", name)
	}
	return p, nil
}

func (c *catalog) ByDigest(plugin.Digest) (*plugin.Plugin, error) { panic("not asked for") }

func (c *catalog) Plugins() []*plugin.Plugin {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []*plugin.Plugin
	for _, p := range c.plugins {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *plugin.Plugin) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func (c *catalog) Settings(_ context.Context, p *plugin.Plugin) (map[string]secret.Text, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.settings[p.Name], nil
}

// install puts a module into the catalog, after it has passed what the registry asks for.
func (r *rig) install(m *abi.Manifest, exports ...string) {
	r.t.Helper()
	check(r.t, abi.ValidateManifest(m))
	r.catalog.mu.Lock()
	defer r.catalog.mu.Unlock()
	r.catalog.plugins[m.Name] = &plugin.Plugin{Name: m.Name, Version: m.Version, Kind: m.Kind, Manifest: *m, State: plugin.Ready, Exports: exports}
	r.catalog.settings[m.Name] = map[string]secret.Text{
		"base_url":  secret.NewText(r.vendor.URL),
		"client_id": secret.NewText(r.vendor.id), "client_secret": secret.NewText(r.vendor.secret),
	}
}

// guest plays the guests: one Go function for each export.
type guest struct {
	mu      sync.Mutex
	exports map[string]func(context.Context, plugin.Call) (any, error)
	inputs  []string // everything that guests were told
}

func (g *guest) Call(ctx context.Context, c plugin.Call) (json.RawMessage, error) {
	g.mu.Lock()
	f := g.exports[c.Export]
	g.inputs = append(g.inputs, string(c.Input))
	g.mu.Unlock()
	if f == nil {
		return nil, fault.New(fault.Unsupported, "guest.Call", "no export %s", c.Export)
	}
	v, err := f(ctx, c)
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

func (g *guest) on(export string, f func(context.Context, plugin.Call) (any, error)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.exports[export] = f
}

// manifest describes the vendor as a module "crm".
func (v *vendor) manifest() *abi.Manifest {
	return &abi.Manifest{
		ABI: 1, Kind: abi.PluginKindModule, Name: "crm", Version: "1.0.0", Display: abi.Display{Name: "Acme CRM"},
		Capabilities: []abi.CapabilityClaim{{Name: "http", Reason: "calls it"}, {Name: "storage", Reason: "remembers"}, {Name: "crypto", Reason: "signs"}},
		Hosts:        []abi.HostClaim{{Host: "{{settings.base_url}}", Reason: "the API"}},
		Settings: []abi.Setting{
			{Name: "base_url", Required: true},
			{Name: "client_id", Required: true},
			{Name: "client_secret", Required: true, Secret: true},
		},
		Auth: &abi.Auth{
			Kind: abi.AuthKindOAuth2,
			OAuth2: &abi.OAuth2{
				AuthorizeURL: "{{settings.base_url}}/authorize", TokenURL: "{{settings.base_url}}/token",
				RevokeURL: "{{settings.base_url}}/revoke", Issuer: "{{settings.base_url}}", Scopes: []string{"read", "write"},
			},
			Identify: &abi.Identify{Request: &abi.RequestTemplate{URL: "/me"}, ExternalID: "/id", Name: "/name", Details: map[string]string{"email": "/email"}},
			Test:     &abi.Probe{Request: abi.RequestTemplate{URL: "/me"}},
		},
		API:     &abi.API{BaseURL: "{{settings.base_url}}/api"},
		Methods: []abi.Method{{Name: "list_things"}},
	}
}

// changed is the module with something different.
func (v *vendor) changed(change func(*abi.Manifest)) *abi.Manifest {
	m := v.manifest()
	change(m)
	return m
}

// visit follows a redirect as a person's browser does and returns the query that comes back.
func visit(t testing.TB, address string) map[string]any {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Get(address)
	check(t, err)
	defer client.CloseIdleConnections()
	defer res.Body.Close()
	to, err := url.Parse(res.Header.Get("Location"))
	check(t, err)
	if res.StatusCode != http.StatusFound {
		b := new(bytes.Buffer)
		_, _ = b.ReadFrom(res.Body)
		t.Fatalf("the vendor answers %d: %s", res.StatusCode, b)
	}
	data := map[string]any{}
	for name, values := range to.Query() {
		data[name] = values[0]
	}
	return data
}

// connect authorises an account by redirect.
func (r *rig) connect() connection.Authorization {
	r.t.Helper()
	got, err := r.Authorize(r.t.Context(), r.mine, "crm", r.callback())
	check(r.t, err)
	if got.EntityID == "" {
		r.t.Fatal("no entity was connected")
	}
	return got
}

// callback is the query of a redirect that went well.
func (r *rig) callback() map[string]any {
	r.t.Helper()
	need, err := r.Requirements(r.t.Context(), r.mine, "crm")
	check(r.t, err)
	return visit(r.t, need.URL)
}

// get sends a GET on an entity.
func (r *rig) get(id connection.EntityID, path string) (abi.HTTPResponse, error) {
	return r.Send(r.t.Context(), r.mine.Owner, id, abi.HTTPRequest{URL: path}, connection.CallOptions{})
}

func (r *rig) credential(id connection.CredentialID) *connection.Credential {
	r.t.Helper()
	c, err := r.db.CredentialByID(r.t.Context(), r.mine.Owner, id)
	check(r.t, err)
	return c
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wants fails unless err is a fault of this kind and side; "" is no error.
func wants(t testing.TB, err error, kind fault.Kind, side fault.Side) {
	t.Helper()
	if fault.KindOf(err) != kind || fault.SideOf(err) != side {
		t.Errorf("got %s on side %s (%v), want %s on side %s", fault.KindOf(err), fault.SideOf(err), err, kind, side)
	}
}

func says(t testing.TB, err error, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(fault.PublicMessage(err), text) {
			t.Errorf("%q does not say %q", fault.PublicMessage(err), text)
		}
	}
}

// apiKey makes the module one with a key that the person types.
func apiKey(m *abi.Manifest) {
	m.Auth.Kind, m.Auth.OAuth2 = abi.AuthKindAPIKey, nil
	m.Auth.Form = &abi.Form{JSONSchema: json.RawMessage(`{"type":"object","required":["api_key"],"properties":{
		"api_key":{"type":"string","format":"password","minLength":3},"label":{"type":"string"}}}`)}
	m.Auth.Apply = []abi.Placement{{In: abi.PlaceHeader, Name: "Authorization", Value: "Bearer {{form.api_key}}"}}
}
