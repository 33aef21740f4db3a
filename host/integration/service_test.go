package integration_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/journal"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/plugin/plugintest"
	"github.com/frigg-host/frigg-host/host/schedule"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/frigg-host/frigg-host/store"
)

const planted = "s3cr3t-planted-here"

// guests plays the plugins: a function for each export.
type guests map[string]func(ctx context.Context, c plugin.Call) (any, error)

func (g guests) Call(ctx context.Context, c plugin.Call) (json.RawMessage, error) {
	f, ok := g[c.Export]
	if !ok {
		return nil, plugin.ErrorOf("test", c.Plugin.Name, abi.Fault{Kind: abi.FaultKindUnsupported, Message: "no handler"})
	}
	v, err := f(ctx, c)
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// catalog is a fixed set of plugins.
type catalog map[string]*plugin.Plugin

func (c catalog) Plugin(name string) (*plugin.Plugin, error) {
	if p, ok := c[name]; ok {
		return p, nil
	}
	return nil, fault.New(fault.NotFound, "test", "no plugin %s", name)
}

func (c catalog) ByDigest(d plugin.Digest) (*plugin.Plugin, error) {
	for _, p := range c {
		if p.Digest == d {
			return p, nil
		}
	}
	return nil, fault.New(fault.NotFound, "test", "no plugin")
}

func (c catalog) Plugins() (out []*plugin.Plugin) {
	for _, p := range c {
		out = append(out, p)
	}
	return out
}

// connections serves entities from the store and plays the modules' methods.
type connections struct {
	integration.Connections
	db     *store.DB
	call   func(method string, opt connection.CallOptions) (json.RawMessage, error)
	send   func(ctx context.Context) (abi.HTTPResponse, error)
	test   abi.TestAuthOutput
	vendor *subscriptions
}

func (c *connections) Entity(ctx context.Context, a account.Actor, id connection.EntityID) (*connection.Entity, error) {
	return c.db.EntityByID(ctx, a.Owner, id)
}

func (c *connections) OwnedEntity(ctx context.Context, o account.Owner, id connection.EntityID) (*connection.Entity, error) {
	return c.db.EntityByID(ctx, o, id)
}

func (c *connections) TestEntity(ctx context.Context, a account.Actor, id connection.EntityID) (abi.TestAuthOutput, error) {
	_, err := c.db.EntityByID(ctx, a.Owner, id)
	return c.test, err
}

func (c *connections) Send(ctx context.Context, _ account.Owner, _ connection.EntityID, _ abi.HTTPRequest, _ connection.CallOptions) (abi.HTTPResponse, error) {
	return c.send(ctx)
}

func (c *connections) CallMethod(_ context.Context, _ account.Owner, _ connection.EntityID, method string, _ json.RawMessage, opt connection.CallOptions) (json.RawMessage, error) {
	return c.call(method, opt)
}

// house is the room on a real store with a fixed clock.
type house struct {
	t        *testing.T
	db       *store.DB
	path     string
	s        *integration.Service
	guests   guests
	accounts *connections
	log      *bytes.Buffer
	now      time.Time
	ada, bob account.Actor
	entity   connection.EntityID // ada's
	foreign  connection.EntityID // bob's
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, path: filepath.Join(t.TempDir(), "frigg.db"), guests: guests{}, log: &bytes.Buffer{}, now: time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)}
	db, err := store.Open(t.Context(), store.Config{DSN: h.path})
	if err != nil {
		t.Fatal(err)
	}
	h.db = db
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	clock := func() time.Time { return h.now }
	root, err := secret.OpenRoot(t.Context(), db, secret.Source{File: filepath.Join(t.TempDir(), "key")}, clock)
	if err != nil {
		t.Fatal(err)
	}
	h.accounts = &connections{db: db, test: abi.TestAuthOutput{Outcome: abi.AuthOutcomeOk}}
	h.s = &integration.Service{
		Store: db, Runs: &journal.Service{Store: db, Now: clock}, Guests: h.guests, Connections: h.accounts, Vault: secret.NewVault(root.Key, db, clock), Now: clock,
		Log: slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})), PublicURL: "https://hooks.example.com", Plugins: plugins(),
	}
	h.s.Schedules = &schedule.Service{Store: db, Plugins: h.s.Plugins, Integrations: h.s, Now: clock, Log: h.s.Log}
	h.ada, h.entity = h.person()
	h.bob, h.foreign = h.person()
	return h
}

func plugins() catalog {
	sync := &plugin.Plugin{
		Name: "sync", Version: "1.2.3", Digest: "sha256:sync", Kind: abi.PluginKindIntegration, State: plugin.Ready,
		Exports: []string{abi.ExportHandleEvent, abi.ExportRunAction, abi.ExportValidateConfig},
		Manifest: abi.Manifest{
			Name: "sync", Kind: abi.PluginKindIntegration, Roles: []abi.Role{{Name: "crm", Module: "crm"}},
			Options:  &abi.IntegrationOptions{IsMany: true},
			Config:   &abi.Form{JSONSchema: json.RawMessage(`{"type":"object","properties":{"days":{"type":"integer"},"key":{"type":"string","format":"password"}}}`)},
			Events:   []abi.EventClaim{{Name: "PAGE"}},
			Actions:  []abi.Action{{Name: "GO", Title: "Go", Kind: abi.ActionKindQuickAction}, {Name: "GET_SAMPLE_DATA", Title: "Rows"}},
			Webhooks: []abi.Webhook{{Name: "crm", Role: "crm"}},
		},
	}
	crm := &plugin.Plugin{Name: "crm", Digest: "sha256:crm", Kind: abi.PluginKindModule, State: plugin.Ready, Manifest: *abi.ManifestDefaults(&abi.Manifest{
		Name: "crm", Kind: abi.PluginKindModule,
		Hooks: []abi.VendorHook{{Name: "crm", Signature: &abi.Signature{Header: "X-Signature"}, EventID: "header:X-Id", Event: "/type"}},
	})}
	strict := *sync
	strict.Name, strict.Digest, strict.Manifest.Name, strict.Manifest.Options = "strict", "sha256:strict", "strict", &abi.IntegrationOptions{}
	strict.Manifest.Config = &abi.Form{JSONSchema: json.RawMessage(`{"type":"object","required":["days"],"properties":{"days":{"type":"integer"}}}`)}
	return catalog{"sync": sync, "crm": crm, "strict": &strict}
}

// person makes a user with a connected account.
func (h *house) person() (account.Actor, connection.EntityID) {
	h.t.Helper()
	u := &account.User{ID: account.NewID(), Kind: account.Individual, CreatedAt: h.now}
	if err := h.db.CreateUser(h.t.Context(), nil, u); err != nil {
		h.t.Fatal(err)
	}
	a := account.Actor{User: u.ID, Owner: account.Owner(u.ID)}
	c := &connection.Credential{ID: connection.NewCredentialID(), Owner: a.Owner, Module: "crm", Status: connection.OK, Sealed: "v1.x.y", CreatedAt: h.now, UpdatedAt: h.now}
	e := &connection.Entity{ID: connection.NewEntityID(), Owner: a.Owner, Module: "crm", Credential: c.ID, ExternalID: string(u.ID), Name: "Acme", CreatedAt: h.now, UpdatedAt: h.now}
	saved, err := h.db.CompleteAuthorization(h.t.Context(), c, []*connection.Entity{e}, h.now)
	if err != nil {
		h.t.Fatal(err)
	}
	return a, saved[0].ID
}

func (h *house) create(config string) *integration.Integration {
	h.t.Helper()
	in, err := h.s.Create(h.t.Context(), h.ada, []connection.EntityID{h.entity}, json.RawMessage(config))
	if err != nil {
		h.t.Fatal(err)
	}
	return in
}

// work claims and settles one due job, as the workers do.
func (h *house) work() (*job.Job, job.Settlement) {
	h.t.Helper()
	jobs, err := h.db.ClaimJobs(h.t.Context(), "w", h.now, h.now.Add(time.Minute), 1)
	if err != nil || len(jobs) != 1 {
		h.t.Fatalf("claimed %d jobs, %v", len(jobs), err)
	}
	o := h.s.Work(h.t.Context(), jobs[0])
	s := job.Settlement{State: job.Done}
	switch {
	case o.Defer > 0:
		s = job.Settlement{State: job.Queued, RunAt: h.now.Add(o.Defer), Free: true}
	case o.Err != nil:
		s = job.Settlement{State: job.Halted, Error: fault.PublicMessage(o.Err)}
	}
	s.Pauses = o.Pause
	if o.With != nil {
		s.With = o.With(s)
	}
	if err := h.db.SettleJob(h.t.Context(), jobs[0].ID, jobs[0].Epoch, h.now, s); err != nil {
		h.t.Fatal(err)
	}
	return jobs[0], s
}

// credential makes ada's account refused or good, as the connection room does.
func (h *house) credential(good bool) {
	h.t.Helper()
	_, c, err := h.db.Connection(h.t.Context(), h.ada.Owner, h.entity)
	if err == nil && good {
		_, err = h.db.RestoreCredential(h.t.Context(), c, h.now)
	} else if err == nil {
		_, err = h.db.InvalidateCredential(h.t.Context(), c, "", h.now)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) status(id integration.ID) abi.Status {
	h.t.Helper()
	in, err := h.db.IntegrationByID(h.t.Context(), h.ada.Owner, id)
	if err != nil {
		h.t.Fatal(err)
	}
	return in.Status
}

func (h *house) due() int {
	h.t.Helper()
	jobs, err := h.db.Jobs(h.t.Context(), h.ada.Owner, []job.State{job.Queued}, "", 100)
	if err != nil {
		h.t.Fatal(err)
	}
	n := 0
	for _, j := range jobs {
		if !j.RunAt.After(h.now) {
			n++
		}
	}
	return n
}

// enabled is a record whose ON_CREATE was worked off.
func (h *house) enabled(config string) *integration.Integration {
	h.t.Helper()
	in := h.create(config)
	if _, ok := h.guests[abi.ExportHandleEvent]; !ok {
		h.guests[abi.ExportHandleEvent] = func(context.Context, plugin.Call) (any, error) { return abi.EventOutput{}, nil }
	}
	h.work()
	if s := h.status(in.ID); s != abi.StatusEnabled {
		h.t.Fatalf("status %s", s)
	}
	return in
}

func TestCreate_RefusesForeignEntity(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for name, id := range map[string]connection.EntityID{"somebody else's": h.foreign, "unknown": "ent_0"} {
		if _, err := h.s.Create(t.Context(), h.ada, []connection.EntityID{id}, json.RawMessage(`{"type":"sync"}`)); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v, want not found", name, err)
		}
	}
	if all, _ := h.s.Integrations(t.Context(), h.ada); len(all) != 0 || h.due() != 0 {
		t.Errorf("%d records and %d jobs are left", len(all), h.due())
	}
}

func TestCreate_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, row := range []struct {
		name, config string
		entities     []connection.EntityID
		kind         fault.Kind
		text         string
	}{
		{"no type", `{}`, []connection.EntityID{h.entity}, fault.Invalid, "config.type is required"},
		{"not an object", `[1]`, nil, fault.Invalid, "must be a JSON object"},
		{"unknown type", `{"type":"nope"}`, []connection.EntityID{h.entity}, fault.NotFound, "nope"},
		{"a module", `{"type":"crm"}`, []connection.EntityID{h.entity}, fault.Invalid, "is an API module"},
		{"no account", `{"type":"sync"}`, nil, fault.Invalid, "needs an account of crm"},
		{"too many", `{"type":"sync"}`, []connection.EntityID{h.entity, h.entity}, fault.Invalid, "no free role"},
		{"wrong config", `{"type":"sync","days":"three"}`, []connection.EntityID{h.entity}, fault.Invalid, "config.days"},
		{"secret of a wrong type", `{"type":"sync","key":7}`, []connection.EntityID{h.entity}, fault.Invalid, "config.key must be a text"},
	} {
		_, err := h.s.Create(t.Context(), h.ada, row.entities, json.RawMessage(row.config))
		if !fault.Is(err, row.kind) || !strings.Contains(fault.PublicMessage(err), row.text) {
			t.Errorf("%s: %v, want %s with %q", row.name, err, row.kind, row.text)
		}
	}
	if h.due() != 0 {
		t.Errorf("%d jobs are left", h.due())
	}
}

func TestCreate_OneForEachUserUnlessMany(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.create(`{"type":"sync"}`)
	h.create(`{"type":"sync"}`)
	h.create(`{"type":"strict"}`)
	if _, err := h.s.Create(t.Context(), h.ada, []connection.EntityID{h.entity}, json.RawMessage(`{"type":"strict"}`)); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second one: %v, want conflict", err)
	}
	if _, err := h.s.Create(t.Context(), h.bob, []connection.EntityID{h.foreign}, json.RawMessage(`{"type":"strict"}`)); err != nil {
		t.Errorf("another user: %v", err)
	}
}

func TestLife_BornConfiguredPausedRemoved(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var events []string
	h.guests[abi.ExportHandleEvent] = func(_ context.Context, c plugin.Call) (any, error) {
		var in abi.EventInput
		if err := json.Unmarshal(c.Input, &in); err != nil {
			return nil, err
		}
		events = append(events, in.Event)
		return abi.EventOutput{}, nil
	}
	in := h.create(`{"type":"strict"}`)
	if in.Status != abi.StatusInCreation {
		t.Errorf("born %s", in.Status)
	}
	h.work()
	if s := h.status(in.ID); s != abi.StatusNeedsConfig {
		t.Errorf("after ON_CREATE without configuration: %s", s)
	}
	if _, err := h.s.Update(t.Context(), h.ada, in.ID, integration.Change{Config: json.RawMessage(`{"days":3}`)}); err != nil {
		t.Fatal(err)
	}
	h.work()
	if s := h.status(in.ID); s != abi.StatusEnabled {
		t.Errorf("configured: %s", s)
	}
	pause := abi.StatusDisabled
	if _, err := h.s.Update(t.Context(), h.ada, in.ID, integration.Change{Status: &pause}); err != nil {
		t.Fatal(err)
	}
	nonsense := abi.StatusProcessing
	if _, err := h.s.Update(t.Context(), h.ada, in.ID, integration.Change{Status: &nonsense}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a person sets PROCESSING: %v", err)
	}
	if err := h.s.Delete(t.Context(), h.ada, in.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := h.s.Integration(t.Context(), h.ada, in.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("still in sight: %v", err)
	}
	h.work()
	if _, err := h.db.IntegrationByID(t.Context(), h.ada.Owner, in.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("still there after ON_DELETE: %v", err)
	}
	if got := strings.Join(events, " "); got != "ON_CREATE ON_UPDATE ON_DELETE" {
		t.Errorf("events %s", got)
	}
}

func TestSecrets_AreSealedHiddenAndHandles(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var seen abi.Integration
	h.guests[abi.ExportHandleEvent] = func(_ context.Context, c plugin.Call) (any, error) {
		var in abi.EventInput
		err := json.Unmarshal(c.Input, &in)
		seen = in.Integration
		return abi.EventOutput{}, err
	}
	in := h.enabled(`{"type":"sync","days":1,"key":"` + planted + `"}`)
	if c := string(seen.Config); strings.Contains(c, planted) || !strings.Contains(c, `"key":"`) {
		t.Errorf("the guest sees %s", c)
	}
	config, err := h.s.PublicConfig(t.Context(), h.ada, in)
	if err != nil || string(config) != `{"days":1,"key":"[secret]","type":"sync"}` {
		t.Errorf("the owner sees %s, %v", config, err)
	}
	if _, err := h.s.Update(t.Context(), h.ada, in.ID, integration.Change{Config: json.RawMessage(`{"key":"[secret]","days":2}`)}); err != nil {
		t.Fatal(err)
	}
	h.work()
	if c := string(seen.Config); !strings.Contains(c, `"key":"`) || !strings.Contains(c, `"days":2`) {
		t.Errorf("sending the hidden value back lost the secret: %s", c)
	}
	if _, err := h.s.Update(t.Context(), h.ada, in.ID, integration.Change{Config: json.RawMessage(`{"key":null}`)}); err != nil {
		t.Fatal(err)
	}
	h.work()
	if c := string(seen.Config); strings.Contains(c, "key") {
		t.Errorf("the secret was not removed: %s", c)
	}
	for _, file := range []string{h.path, h.path + "-wal"} {
		if b, err := os.ReadFile(file); err == nil && bytes.Contains(b, []byte(planted)) {
			t.Errorf("the secret is in %s", filepath.Base(file))
		}
	}
	if strings.Contains(h.log.String(), planted) {
		t.Error("the secret is in the log")
	}
}

// signed is a delivery as the vendor sends it.
func (h *house) signed(in *integration.Integration, id, body string) integration.Inbound {
	h.t.Helper()
	var address abi.WebhookAddress
	h.guests[abi.ExportRunAction] = func(ctx context.Context, c plugin.Call) (any, error) {
		var err error
		if address, err = c.Can.Webhook.Endpoint(ctx, abi.WebhookEndpoint{}); err != nil {
			return nil, err
		}
		sum, err := c.Can.Crypto.HMACSign(ctx, abi.HMACSign{Secret: address.Secret, Message: []byte(body)})
		address.Secret = hex.EncodeToString(sum.Signature)
		return abi.ActionOutput{}, err
	}
	if _, err := h.s.RunAction(h.t.Context(), h.ada, in.ID, "GO", nil); err != nil {
		h.t.Fatal(err)
	}
	if want := "https://hooks.example.com/api/sync-integration/webhooks/" + string(in.ID); address.URL != want {
		h.t.Errorf("address %s, want %s", address.URL, want)
	}
	return integration.Inbound{Method: http.MethodPost, Header: http.Header{"X-Signature": {address.Secret}, "X-Id": {id}}, Body: []byte(body)}
}

func TestReceive_ARedeliveryIsAcknowledgedAndWorkedOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var got []abi.WebhookEvent
	h.guests[abi.ExportHandleEvent] = func(_ context.Context, c plugin.Call) (any, error) {
		var in abi.EventInput
		err := json.Unmarshal(c.Input, &in)
		if in.Event == abi.EventOnWebhook {
			var e abi.WebhookEvent
			err = json.Unmarshal(in.Data, &e)
			got = append(got, e)
		}
		return abi.EventOutput{}, err
	}
	in := h.enabled(`{"type":"sync"}`)
	delivery := h.signed(in, "d-1", `{"type":"contact.created"}`)
	for range 3 {
		reply, err := h.s.Receive(t.Context(), "sync", in.ID, "", delivery)
		if err != nil || reply.Status != http.StatusOK {
			t.Fatalf("reply %+v, %v", reply, err)
		}
	}
	if h.due() != 1 {
		t.Fatalf("%d jobs for one delivery", h.due())
	}
	h.work()
	if len(got) != 1 || got[0].ID != "d-1" || got[0].Event != "contact.created" || got[0].Text != `{"type":"contact.created"}` {
		t.Errorf("the guest got %+v", got)
	}
	if _, ok := got[0].Headers["x-signature"]; ok {
		t.Error("the signature is stored")
	}
}

func TestReceive_RefusedLeavesNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	in := h.enabled(`{"type":"sync"}`)
	good := h.signed(in, "d-1", `{}`)
	forged, unsigned, changed := good, good, good
	forged.Header = http.Header{"X-Signature": {hex.EncodeToString(hmac.New(sha256.New, []byte("x")).Sum(nil))}, "X-Id": {"d"}}
	unsigned.Header = http.Header{}
	changed.Body = []byte(`{ }`)
	for _, row := range []struct {
		name, plugin string
		id           integration.ID
		webhook      string
		in           integration.Inbound
		kind         fault.Kind
	}{
		{"forged", "sync", in.ID, "", forged, fault.Unauthorized},
		{"unsigned", "sync", in.ID, "", unsigned, fault.Unauthorized},
		{"changed body", "sync", in.ID, "", changed, fault.Unauthorized},
		{"another plugin's path", "strict", in.ID, "", good, fault.NotFound},
		{"unknown record", "sync", "int_0", "", good, fault.NotFound},
		{"unknown webhook", "sync", in.ID, "nope", good, fault.NotFound},
	} {
		if _, err := h.s.Receive(t.Context(), row.plugin, row.id, row.webhook, row.in); !fault.Is(err, row.kind) {
			t.Errorf("%s: %v, want %s", row.name, err, row.kind)
		}
	}
	if h.due() != 0 {
		t.Errorf("%d jobs are left", h.due())
	}
}

// failing is a store that cannot commit an event.
type failing struct{ integration.Store }

func (failing) ReceiveEvent(context.Context, *integration.Event, job.New, int) (bool, error) {
	return false, fault.New(fault.Unavailable, "test", "the disk is full")
}

func TestReceive_NoAcknowledgementBeforeCommit(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	in := h.enabled(`{"type":"sync"}`)
	delivery := h.signed(in, "d-1", `{}`)
	h.s.Store = failing{h.db}
	if reply, err := h.s.Receive(t.Context(), "sync", in.ID, "", delivery); !fault.Is(err, fault.Unavailable) {
		t.Errorf("acknowledged %+v, %v", reply, err)
	}
}

func TestWork_ARefusedCredentialStopsAndAuthorisingAgainGoesOn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	in := h.enabled(`{"type":"sync"}`)
	refused := true
	h.credential(false)
	h.guests[abi.ExportHandleEvent] = func(context.Context, plugin.Call) (any, error) {
		if refused {
			return nil, &fault.Error{Kind: fault.Unauthorized, Side: fault.Remote, Msg: "authorise again"}
		}
		return abi.EventOutput{}, nil
	}
	for i := range 3 {
		if _, err := h.s.Receive(t.Context(), "sync", in.ID, "", h.signed(in, fmt.Sprint(i), `{}`)); err != nil {
			t.Fatal(err)
		}
	}
	if _, s := h.work(); s.State != job.Queued || !s.Free {
		t.Errorf("the event is %s, free %v", s.State, s.Free)
	}
	if s := h.status(in.ID); s != abi.StatusError {
		t.Errorf("record is %s", s)
	}
	h.work()
	h.work()
	if n := h.due(); n != 0 {
		t.Errorf("%d events are due while the credential is refused", n)
	}
	messages, err := h.s.Messages(t.Context(), h.ada, in.ID)
	if err != nil || len(messages) != 1 {
		t.Errorf("messages %+v, %v", messages, err)
	}
	refused = false
	h.credential(true)
	if err := h.s.Reauthorized(t.Context(), h.ada.Owner, h.entity); err != nil {
		t.Fatal(err)
	}
	if s, n := h.status(in.ID), h.due(); s != abi.StatusEnabled || n != 3 {
		t.Errorf("after authorising again: %s, %d due", s, n)
	}
	for range 3 {
		if _, s := h.work(); s.State != job.Done {
			t.Errorf("event %s: %s", s.State, s.Error)
		}
	}
}

func TestWork_OneRefusalWithAGoodCredentialIsAnOrdinaryFailure(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	in := h.enabled(`{"type":"sync"}`)
	h.guests[abi.ExportHandleEvent] = func(context.Context, plugin.Call) (any, error) {
		return nil, &fault.Error{Kind: fault.Unauthorized, Side: fault.Remote, Msg: "not for you"}
	}
	if _, err := h.s.Receive(t.Context(), "sync", in.ID, "", h.signed(in, "1", `{}`)); err != nil {
		t.Fatal(err)
	}
	if _, s := h.work(); s.State != job.Halted {
		t.Errorf("the event is %s", s.State)
	}
	if s := h.status(in.ID); s != abi.StatusEnabled {
		t.Errorf("record is %s", s)
	}
}

func TestDelete_GoesThroughWhileTheGuestKeepsWriting(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	in := h.enabled(`{"type":"sync"}`)
	stop, busy := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(busy)
		for {
			select {
			case <-stop:
				return
			default:
				current, err := h.db.IntegrationByID(context.Background(), h.ada.Owner, in.ID)
				if err == nil {
					current.Config = json.RawMessage(`{"days":7}`)
					_ = h.db.SaveIntegration(context.Background(), current, nil, nil)
				}
			}
		}
	}()
	err := h.s.Delete(t.Context(), h.ada, in.ID)
	close(stop)
	<-busy
	if err != nil {
		t.Errorf("the owner could not delete: %v", err)
	}
}

func TestWork_AFailureIsSaidOnTheRecord(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.guests[abi.ExportHandleEvent] = func(context.Context, plugin.Call) (any, error) {
		return nil, plugin.ErrorOf("test", "sync", abi.Fault{Kind: abi.FaultKindInvalid, Message: "no such repository"})
	}
	in := h.create(`{"type":"sync"}`)
	h.work()
	if s := h.status(in.ID); s != abi.StatusError {
		t.Errorf("record is %s after a failed ON_CREATE", s)
	}
	messages, _ := h.s.Messages(t.Context(), h.ada, in.ID)
	if len(messages) != 1 || !strings.Contains(messages[0].Message, "no such repository") {
		t.Errorf("messages %+v", messages)
	}
}

func TestCapabilities_RepeatedTriesEnqueueOnceAndKeepTheirKeys(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	in := h.enabled(`{"type":"sync"}`)
	var keys []string
	h.accounts.send = func(ctx context.Context) (abi.HTTPResponse, error) {
		keys = append(keys, plugin.HostCallOf(ctx).Key)
		return abi.HTTPResponse{}, &fault.Error{Kind: fault.Invalid, Side: fault.Remote, Msg: "refused"} // a success would not be repeated
	}
	tries := 0
	h.guests[abi.ExportHandleEvent] = func(ctx context.Context, c plugin.Call) (any, error) {
		for range 2 {
			if _, err := plugintest.Ask[abi.QueueJob](ctx, c, "queue.enqueue", abi.QueueEnqueue{Event: "PAGE", DelayMS: 3600_000}); err != nil {
				return nil, err
			}
			if _, err := plugintest.Ask[abi.HTTPResponse](ctx, c, "http.send", abi.HTTPRequest{Role: "crm", Method: "POST", URL: "/x"}); !fault.Is(err, fault.Invalid) {
				return nil, err
			}
		}
		if tries++; tries == 1 {
			return nil, &fault.Error{Kind: fault.Unauthorized, Side: fault.Remote, Msg: "away"} // waits, and comes again
		}
		return abi.EventOutput{}, nil
	}
	if _, err := h.s.Receive(t.Context(), "sync", in.ID, "", h.signed(in, "1", `{}`)); err != nil {
		t.Fatal(err)
	}
	h.credential(false)
	h.work()
	h.credential(true)
	if err := h.s.Reauthorized(t.Context(), h.ada.Owner, h.entity); err != nil {
		t.Fatal(err)
	}
	h.work()
	queued, err := h.db.Jobs(t.Context(), h.ada.Owner, []job.State{job.Queued}, "", 100)
	if err != nil || len(queued) != 2 {
		t.Errorf("%d jobs after two tries that enqueue two, %v", len(queued), err)
	}
	if len(keys) != 4 || keys[0] != keys[2] || keys[1] != keys[3] || keys[0] == keys[1] || keys[0] == "" {
		t.Errorf("idempotency keys %v", keys)
	}
}

func TestCapabilities_BoundsAndRules(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	in := h.enabled(`{"type":"sync"}`)
	long := strings.Repeat("k", 513)
	big := json.RawMessage(`"` + strings.Repeat("x", 257<<10) + `"`)
	one := json.RawMessage(`1`)
	for name, row := range map[string]struct {
		try  func(ctx context.Context, c plugin.Capabilities) error
		kind fault.Kind
	}{
		"long key": {func(ctx context.Context, c plugin.Capabilities) error {
			_, err := c.Storage.Put(ctx, abi.StoragePut{Key: long, Value: one})
			return err
		}, fault.Invalid},
		"big value": {func(ctx context.Context, c plugin.Capabilities) error {
			_, err := c.Storage.Put(ctx, abi.StoragePut{Key: "k", Value: big})
			return err
		}, fault.TooLarge},
		"no value": {func(ctx context.Context, c plugin.Capabilities) error {
			_, err := c.Storage.Put(ctx, abi.StoragePut{Key: "k"})
			return err
		}, fault.Invalid},
		"wild limit": {func(ctx context.Context, c plugin.Capabilities) error {
			_, err := c.Storage.List(ctx, abi.StorageList{Limit: 1e9})
			return err
		}, fault.Invalid},
		"undeclared event of a schedule": {func(ctx context.Context, c plugin.Capabilities) error {
			_, err := c.Schedule.Put(ctx, abi.SchedulePut{Name: "n", Event: "OTHER", EveryS: 60})
			return err
		}, fault.Invalid},
		"broken schedule": {func(ctx context.Context, c plugin.Capabilities) error {
			_, err := c.Schedule.Put(ctx, abi.SchedulePut{Name: "n", Event: "PAGE", Cron: "often"})
			return err
		}, fault.Invalid},
		"no entries": {func(ctx context.Context, c plugin.Capabilities) error {
			_, err := c.Mapping.Put(ctx, abi.MappingPut{})
			return err
		}, fault.Invalid},
		"undeclared event": {func(ctx context.Context, c plugin.Capabilities) error {
			_, err := c.Queue.Enqueue(ctx, abi.QueueEnqueue{Event: "ON_DELETE"})
			return err
		}, fault.Invalid},
		"negative delay": {func(ctx context.Context, c plugin.Capabilities) error {
			_, err := c.Queue.EnqueueBatch(ctx, abi.QueueEnqueueBatch{Events: []abi.QueueEnqueue{{Event: "PAGE"}, {Event: "PAGE", DelayMS: -1}}})
			return err
		}, fault.Invalid},
		"unknown role": {func(ctx context.Context, c plugin.Capabilities) error {
			_, err := c.Module.Call(ctx, abi.ModuleCall{Role: "x", Method: "m"})
			return err
		}, fault.NotFound},
		"pause itself": {func(ctx context.Context, c plugin.Capabilities) error {
			_, err := c.Integration.Update(ctx, abi.IntegrationUpdate{Status: abi.StatusDisabled})
			return err
		}, fault.Invalid},
		"unknown webhook": {func(ctx context.Context, c plugin.Capabilities) error {
			_, err := c.Webhook.Endpoint(ctx, abi.WebhookEndpoint{Webhook: "x"})
			return err
		}, fault.NotFound},
		"unknown handle": {func(ctx context.Context, c plugin.Capabilities) error {
			_, err := c.Crypto.HMACSign(ctx, abi.HMACSign{Secret: "x"})
			return err
		}, fault.Invalid},
		"nothing there": {func(ctx context.Context, c plugin.Capabilities) error {
			v, err := c.Storage.Get(ctx, abi.StorageGet{Key: "none"})
			if v.Found {
				t.Error("found")
			}
			return err
		}, ""},
	} {
		h.guests[abi.ExportRunAction] = func(ctx context.Context, c plugin.Call) (any, error) {
			if err := row.try(ctx, c.Can); fault.KindOf(err) != row.kind {
				t.Errorf("%s: %v, want %q", name, err, row.kind)
			}
			return abi.ActionOutput{}, nil
		}
		if _, err := h.s.RunAction(t.Context(), h.ada, in.ID, "GO", nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestForeign_EveryUseCaseIsNotFound(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	in := h.enabled(`{"type":"sync"}`)
	h.guests[abi.ExportRunAction] = func(context.Context, plugin.Call) (any, error) {
		t.Error("a guest ran for a stranger")
		return abi.ActionOutput{}, nil
	}
	pause := abi.StatusDisabled
	for name, err := range map[string]error{
		"Integration":       second(h.s.Integration(t.Context(), h.bob, in.ID)),
		"Update":            second(h.s.Update(t.Context(), h.bob, in.ID, integration.Change{Status: &pause})),
		"Delete":            h.s.Delete(t.Context(), h.bob, in.ID),
		"TestAuth":          second(h.s.TestAuth(t.Context(), h.bob, in.ID)),
		"ConfigForm":        second(h.s.ConfigForm(t.Context(), h.bob, in.ID)),
		"RefreshConfigForm": second(h.s.RefreshConfigForm(t.Context(), h.bob, in.ID, nil)),
		"Actions":           second(h.s.Actions(t.Context(), h.bob, in.ID, "")),
		"ActionForm":        second(h.s.ActionForm(t.Context(), h.bob, in.ID, "GO")),
		"RefreshActionForm": second(h.s.RefreshActionForm(t.Context(), h.bob, in.ID, "GO", nil)),
		"RunAction":         second(h.s.RunAction(t.Context(), h.bob, in.ID, "GO", nil)),
		"SampleData":        second(h.s.SampleData(t.Context(), h.bob, in.ID)),
		"PublicConfig":      second(h.s.PublicConfig(t.Context(), h.bob, in)),
	} {
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v, want not found", name, err)
		}
	}
	if messages, err := h.s.Messages(t.Context(), h.bob, in.ID); err != nil || len(messages) != 0 {
		t.Errorf("Messages: %v, %v", messages, err)
	}
	if s := h.status(in.ID); s != abi.StatusEnabled {
		t.Errorf("a stranger changed the status to %s", s)
	}
	if _, err := h.s.Integration(t.Context(), account.Actor{}, in.ID); !fault.Is(err, fault.Unauthorized) {
		t.Errorf("the zero actor: %v, want unauthorized", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestTestAuth_EveryAccountIsReallyTested(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	in := h.enabled(`{"type":"sync"}`)
	if found, err := h.s.TestAuth(t.Context(), h.ada, in.ID); err != nil || len(found) != 0 {
		t.Errorf("good account: %+v, %v", found, err)
	}
	h.accounts.test = abi.TestAuthOutput{Outcome: abi.AuthOutcomeInvalid, Message: "revoked"}
	if found, err := h.s.TestAuth(t.Context(), h.ada, in.ID); err != nil || len(found) != 1 || !strings.Contains(found[0].Message, "revoked") {
		t.Errorf("bad account: %+v, %v", found, err)
	}
}
