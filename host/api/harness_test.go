package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/api"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/event"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/journal"
	"github.com/frigg-host/frigg-host/host/outbound"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/requester"
	"github.com/frigg-host/frigg-host/host/schedule"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/frigg-host/frigg-host/host/syncs"
	"github.com/frigg-host/frigg-host/store"
)

// get sends a GET.
func get(t *testing.T, h http.Handler, path string, header map[string]string) *httptest.ResponseRecorder {
	t.Helper()
	return send(t, h, http.MethodGet, path, "", header)
}

// send sends a request; a body goes as JSON unless header says otherwise.
func send(t *testing.T, h http.Handler, method, path, body string, header map[string]string) *httptest.ResponseRecorder {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequestWithContext(t.Context(), method, path, reader)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func bearer(token string) map[string]string {
	return map[string]string{"Authorization": "Bearer " + token}
}

// Manifests of the test's plugins; VENDOR stands for the vendor's address.
var manifests = []string{
	`{"abi":1,"kind":"module","name":"box","version":"1.0.0","display":{"name":"Box"},
	"hosts":[{"host":"VENDOR","reason":"The API."}],
	"auth":{"kind":"api_key","apply":[{"in":"header","name":"X-Key","value":"{{form.key}}"}],
		"form":{"json_schema":{"type":"object","required":["key"],"properties":{"key":{"type":"string","format":"password","title":"Key"}}},
			"ui_schema":{"type":"VerticalLayout","elements":[{"type":"Control","scope":"#/properties/key"}]}},
		"identify":{"request":{"url":"/me"},"external_id":"/id","name":"/name","details":{"plan":"/plan"}},"test":{"request":{"url":"/me"}}},
	"api":{"base_url":"VENDOR"}}`,
	`{"abi":1,"kind":"module","name":"hub","version":"1.0.0","display":{"name":"Hub"},
	"hosts":[{"host":"VENDOR","reason":"The API."}],
	"auth":{"kind":"oauth2","oauth2":{"authorize_url":"VENDOR/authorize","token_url":"VENDOR/token","client_id":"client","client_secret":"","client_auth":"none"},
		"identify":{"request":{"url":"/me"},"external_id":"/id","name":"/name"},"test":{"request":{"url":"/me"}}},
	"api":{"base_url":"VENDOR"}}`,
	`{"abi":1,"kind":"module","name":"many","version":"1.0.0","display":{"name":"Many"},
	"hosts":[{"host":"VENDOR","reason":"The API."}],
	"auth":{"kind":"basic","choose_entity":true,
		"form":{"json_schema":{"type":"object","required":["username","password"],"properties":{"username":{"type":"string"},"password":{"type":"string","format":"password"}}}},
		"identify":{"request":{"url":"/teams"},"list":"/teams","external_id":"/id","name":"/name"},"test":{"request":{"url":"/teams"}}},
	"api":{"base_url":"VENDOR"}}`,
	`{"abi":1,"kind":"integration","name":"box-to-hub","version":"1.2.0","syncs":[{"name":"files","title":"Files","source":"source","target":"target"}],
	"display":{"name":"Box to Hub","description":"Copies boxes.","details_url":"https://example.com/docs","icon":"https://example.com/icon.png"},
	"roles":[{"name":"source","module":"box"},{"name":"target","module":"hub","optional":true}],
	"options":{"has_user_config":true,"is_many":true},
	"config":{"json_schema":{"type":"object","required":["folder"],"properties":{"folder":{"type":"string"},"inbox_webhook_secret":{"type":"string","format":"password"}}}},
	"actions":[{"name":"SYNC_NOW","title":"Sync now","description":"Fetches all.","has_form":true},{"name":"GET_SAMPLE_DATA","title":"Sample data"},
		{"name":"CLEAR","title":"Clear","kind":"QUICK_ACTION"}],
	"webhooks":[{"name":"inbox"}],
	"routes":[{"method":"GET","path":"/hello/:name","auth":"none"},{"method":"POST","path":"/echo","auth":"none"},{"method":"GET","path":"/me","auth":"user"},
		{"method":"POST","path":"/records/:integrationId","auth":"user"},{"method":"GET","path":"/fail/:kind","auth":"none"}]}`,
}

// catalog is a fixed set of plugins.
type catalog []*plugin.Plugin

func newCatalog(t testing.TB, vendor string) catalog {
	t.Helper()
	var all catalog
	for _, text := range manifests {
		m, err := abi.DecodeManifest([]byte(strings.ReplaceAll(text, "VENDOR", vendor)))
		if err != nil {
			t.Fatal(err)
		}
		p := &plugin.Plugin{Name: m.Name, Digest: plugin.DigestOf([]byte(text)), Version: m.Version, Kind: m.Kind, Manifest: *m, State: plugin.Ready}
		for _, e := range abi.Exports {
			if e.Kind == m.Kind && played[e.Name] != nil {
				p.Exports = append(p.Exports, e.Name)
			}
		}
		all = append(all, p)
	}
	return all
}

func (c catalog) Plugin(name string) (*plugin.Plugin, error) {
	for _, p := range c {
		if p.Name == name {
			return p, nil
		}
	}
	return nil, fault.New(fault.NotFound, "test", "no plugin %s", name)
}

func (c catalog) ByDigest(d plugin.Digest) (*plugin.Plugin, error) {
	for _, p := range c {
		if p.Digest == d {
			return p, nil
		}
	}
	return nil, fault.New(fault.NotFound, "test", "no such plugin")
}

func (c catalog) Plugins() []*plugin.Plugin { return c }

// played are the exports that the guests of the test have, and what they answer.
var played = map[string]func(input string) any{
	abi.ExportHandleEvent: func(string) any { return abi.EventOutput{} },
	abi.ExportEntityForm:  func(string) any { return abi.Form{JSONSchema: json.RawMessage(`{"type":"object","title":"Account"}`)} },
	abi.ExportRefreshEntityForm: func(input string) any {
		return abi.Form{JSONSchema: json.RawMessage(`{"type":"object","title":"Account, refreshed"}`), UISchema: json.RawMessage(`{"elements":[]}`)}
	},
	abi.ExportActionForm: func(string) any { return abi.Form{JSONSchema: json.RawMessage(`{"type":"object","title":"Sync"}`)} },
	abi.ExportRefreshActionForm: func(string) any {
		return abi.Form{JSONSchema: json.RawMessage(`{"type":"object","title":"Sync, refreshed"}`)}
	},
	abi.ExportListActions: func(string) any {
		return abi.ListActionsOutput{Actions: []abi.Action{{Name: "DYNAMIC", Title: "Known at run time"}}}
	},
	abi.ExportHandleRoute: func(input string) any {
		var in abi.RouteInput
		if json.Unmarshal([]byte(input), &in) != nil || in.Event == "GET /fail/:kind" {
			return nil
		}
		return abi.HTTPReply{Text: input, Headers: map[string]string{"content-type": "application/json", "cache-control": "max-age=60"}}
	},
	abi.ExportRunAction: func(input string) any {
		var in abi.ActionInput
		if json.Unmarshal([]byte(input), &in) != nil || in.Action == "UNKNOWN" {
			return nil
		}
		if in.Action == "GET_SAMPLE_DATA" {
			return abi.ActionOutput{Value: json.RawMessage(`[{"name":"first"},{"name":"second"}]`)}
		}
		return abi.ActionOutput{Value: json.RawMessage(fmt.Sprintf(`{"ran":%q,"with":%s}`, in.Action, in.Input))}
	},
}

// guests plays the plugins and counts the calls.
type guests struct{ calls atomic.Int64 }

func (g *guests) Call(_ context.Context, c plugin.Call) (json.RawMessage, error) {
	g.calls.Add(1)
	if f := played[c.Export]; f != nil {
		if v := f(string(c.Input)); v != nil {
			return json.Marshal(v)
		}
	}
	return nil, plugin.ErrorOf("test", c.Plugin.Name, abi.Fault{Kind: abi.FaultKindNotFound, Message: "no such thing"})
}

type noSettings struct{}

func (noSettings) Settings(context.Context, *plugin.Plugin) (map[string]secret.Text, error) {
	return nil, nil
}

// probes is what the host would measure.
type probes struct {
	db    *store.DB
	vault *secret.Vault
}

func (p probes) Database(ctx context.Context) error {
	_, err := p.db.CountJobs(ctx)
	return err
}

func (p probes) Encryption(ctx context.Context) (string, error) {
	place := secret.Place{Table: "health", Column: "probe", Row: "1"}
	sealed, err := p.vault.Seal(ctx, "health", place, secret.NewText("probe"))
	if err == nil {
		_, err = p.vault.Open(ctx, "health", place, sealed)
	}
	return "aes-256-gcm", err
}

const (
	vendorKey   = "k3y-planted-at-the-vendor"
	vendorToken = "t0ken-planted-at-the-vendor"
	backendKey  = "backend-key"
	healthKey   = "health-key"
)

// newVendor is the other side: it knows one key, one token and one password, and counts who asks.
func newVendor(t *testing.T, asked *atomic.Int64) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	allowed := func(w http.ResponseWriter, r *http.Request) bool {
		_, password, _ := r.BasicAuth()
		ok := r.Header.Get("X-Key") == vendorKey || r.Header.Get("Authorization") == "Bearer "+vendorToken || password == vendorKey
		if !ok {
			w.WriteHeader(http.StatusUnauthorized)
		}
		return ok
	}
	mux.HandleFunc("GET /me", func(w http.ResponseWriter, r *http.Request) {
		if allowed(w, r) {
			fmt.Fprint(w, `{"id":"4711","name":"Ada's account","plan":"free"}`)
		}
	})
	mux.HandleFunc("GET /teams", func(w http.ResponseWriter, r *http.Request) {
		if allowed(w, r) {
			fmt.Fprint(w, `{"teams":[{"id":"t1","name":"Red"},{"id":"t2","name":"Blue"}]}`)
		}
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"bearer","expires_in":3600}`, vendorToken)
	})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// house is the API on real rooms, a real store and a real vendor; the guests are played.
type house struct {
	*api.API
	t            *testing.T
	path         string // of the database
	db           *store.DB
	accounts     *account.Service
	integrations *integration.Service
	schedules    *schedule.Service
	runs         *journal.Service
	outbound     *outbound.Service
	guests       *guests
	asked        atomic.Int64 // requests to the vendor
	plugins      catalog
	log          *bytes.Buffer
	now          time.Time
}

// newHouse builds a house; change may change what the API is joined to.
func newHouse(t *testing.T, change ...func(*api.Config)) *house {
	t.Helper()
	h := &house{
		t: t, path: filepath.Join(t.TempDir(), "frigg.db"), guests: &guests{}, log: &bytes.Buffer{},
		now: time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC),
	}
	clock := func() time.Time { return h.now }
	log := slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if h.db, err = store.Open(t.Context(), store.Config{DSN: h.path}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.db.Close() })
	if h.accounts, err = account.New(h.db, clock, account.Config{Cost: account.Cost{MemoryKiB: 8, Passes: 1, Lanes: 1}, CreateAppUsers: true}); err != nil {
		t.Fatal(err)
	}
	key, _ := secret.GenerateRootKey()
	vault := secret.NewVault(key, h.db, clock)
	h.plugins = newCatalog(t, newVendor(t, &h.asked).URL)
	sender := requester.New(requester.Config{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	t.Cleanup(sender.Close)
	connections := connection.New(connection.Config{
		Store: h.db, Vault: vault, Sender: sender, Catalog: h.plugins, Caller: h.guests,
		Settings: noSettings{}, RedirectURL: func(module string) string { return "https://frigg.example.com/redirect/" + module }, Now: clock, Log: log,
	})
	t.Cleanup(connections.Close)
	h.runs = &journal.Service{Store: h.db, Now: clock, Unpark: h.db.Unpark}
	h.integrations = &integration.Service{
		Store: h.db, Runs: h.runs, Plugins: h.plugins, Guests: h.guests, Connections: connections, Vault: vault,
		Now: clock, Log: log, PublicURL: "https://frigg.example.com",
	}
	h.schedules = &schedule.Service{Store: h.db, Plugins: h.plugins, Integrations: h.integrations, Now: clock, Log: log}
	h.outbound = &outbound.Service{Store: h.db, Vault: vault, Sender: sender, Now: clock, Log: log, PlainHTTP: true}
	c := api.Config{
		Facts: &event.Service{Store: h.db, Now: clock}, Outbound: h.outbound,
		Accounts: h.accounts, Connections: connections, Integrations: h.integrations, Runs: h.runs, Jobs: &job.Service{Store: h.db, Now: clock}, Schedules: h.schedules,
		Syncs:   &syncs.Service{Store: h.db, Integrations: h.integrations, Vault: vault, Now: clock, Log: log},
		Plugins: h.plugins, Health: probes{h.db, vault}, PublicURL: "https://frigg.example.com", FrontendURL: "https://app.example.com",
		BackendKey: secret.NewText(backendKey), HealthKey: secret.NewText(healthKey), Now: clock, Log: log,
	}
	for _, f := range change {
		f(&c)
	}
	h.API = api.New(c)
	return h
}

// user makes a user and returns its token.
func (h *house) user(name string) string {
	h.t.Helper()
	_, token, err := h.accounts.CreateUser(h.t.Context(), account.NewUser{Username: name, Password: secret.NewText("correct horse battery staple")})
	if err != nil {
		h.t.Fatal(err)
	}
	return token.Reveal()
}

// must sends a request whose answer must have this status, and decodes the answer.
func must[T any](h *house, want int, method, path, body, token string) T {
	h.t.Helper()
	res := send(h.t, h, method, path, body, bearer(token))
	if res.Code != want {
		h.t.Fatalf("%s %s: %d %s, want %d\n%s", method, path, res.Code, res.Body, want, h.log)
	}
	var out T
	if err := json.Unmarshal(res.Body.Bytes(), &out); err != nil {
		h.t.Fatalf("%s %s: %v: %s", method, path, err, res.Body)
	}
	return out
}

// connect connects the account at Box.
func (h *house) connect(token string) api.Authorization {
	h.t.Helper()
	return must[api.Authorization](h, 200, "POST", "/api/authorize", `{"entityType":"box","data":{"key":"`+vendorKey+`"}}`, token)
}

// made is what tests read of an integration.
type made struct {
	ID     integration.ID
	Status abi.Status
}

// integrate makes an integration of an entity and works ON_CREATE off.
func (h *house) integrate(token string, e connection.EntityID) made {
	h.t.Helper()
	in := must[made](h, 201, "POST", "/api/integrations",
		fmt.Sprintf(`{"entities":[%q],"config":{"type":"box-to-hub","folder":"in","inbox_webhook_secret":"hook-key"}}`, e), token)
	h.work()
	return in
}

// schedule puts a schedule as a guest of the record would.
func (h *house) schedule(token string, id integration.ID, q abi.SchedulePut) schedule.ID {
	h.t.Helper()
	owner := h.actor(token).Owner
	if err := h.schedules.PutSchedule(h.t.Context(), owner, id, q); err != nil {
		h.t.Fatal(err)
	}
	all, err := h.db.RecordSchedules(h.t.Context(), owner, id)
	if err != nil {
		h.t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(s *schedule.Schedule) bool { return s.Name == q.Name })
	return all[i].ID
}

// work works off what is due, each job once.
func (h *house) work() {
	h.t.Helper()
	for {
		claimed, err := h.db.ClaimJobs(h.t.Context(), "test", h.now, h.now.Add(time.Minute), 10)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, j := range claimed {
			done := h.integrations.Work(h.t.Context(), j)
			s := job.Settlement{State: job.Done}
			if done.Err != nil {
				s = job.Settlement{State: job.Dead, Error: fault.PublicMessage(done.Err)}
			}
			if done.With != nil {
				s.With = done.With(s)
			}
			if err := h.db.SettleJob(h.t.Context(), j.ID, j.Epoch, h.now, s); err != nil {
				h.t.Fatal(err)
			}
		}
		if len(claimed) == 0 {
			return
		}
	}
}

func (h *house) actor(token string) account.Actor {
	h.t.Helper()
	a, err := h.accounts.Authenticate(h.t.Context(), secret.NewText(token))
	if err != nil {
		h.t.Fatal(err)
	}
	return a
}
