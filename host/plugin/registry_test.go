package plugin_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/plugin/wasm/wasmtest"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/frigg-host/frigg-host/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a plugins folder, a real store, and what an operator has around them.
type rig struct {
	t        *testing.T
	dir      string
	data     string
	db       *store.DB
	working  *working
	loader   *loader
	log      *lockedBuffer
	now      time.Time
	dev      bool
	granted  []plugin.Digest
	registry *plugin.Registry
	service  *plugin.Service
	env      map[string]string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{
		t: t, dir: t.TempDir(), data: t.TempDir(), loader: &loader{loaded: map[plugin.Digest]bool{}, refuse: map[string]error{}},
		log: &lockedBuffer{}, now: time.Now(), env: map[string]string{},
	}
	db, err := store.Open(t.Context(), store.Config{DSN: filepath.Join(t.TempDir(), "frigg.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	r.db, r.working = db, &working{DB: db}
	r.start()
	return r
}

// start begins a new process on the same folders and store.
func (r *rig) start() {
	r.t.Helper()
	registry, err := plugin.NewRegistry(plugin.RegistryConfig{
		Dir: r.dir, DataDir: r.data, Store: r.working, Loader: r.loader, Dev: r.dev, Granted: r.granted,
		Now: func() time.Time { return r.now }, Log: slog.New(slog.NewTextHandler(r.log, nil)),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(registry.Close)
	r.registry = registry
	r.service = plugin.New(plugin.Config{
		Store: r.db, Registry: registry, Sealer: sealer{}, Now: func() time.Time { return r.now },
		Env: func(name string) (string, bool) { v, ok := r.env[name]; return v, ok },
	})
}

// loader notes what is loaded, and refuses plugins by version.
type loader struct {
	mu     sync.Mutex
	loaded map[plugin.Digest]bool
	refuse map[string]error
	loads  int
}

func (l *loader) Load(_ context.Context, p *plugin.Plugin, module []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loads++
	if err := l.refuse[p.Version]; err != nil {
		return err
	}
	if plugin.DigestOf(module) != p.Digest {
		return fault.New(fault.Internal, "test.Load", "these are other bytes")
	}
	l.loaded[p.Digest] = true
	return nil
}

func (l *loader) Unload(_ context.Context, d plugin.Digest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.loaded, d)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// sealer binds a secret to its place and hides it.
type sealer struct{}

func (sealer) Seal(_ context.Context, owner string, place secret.Place, plain secret.Text) (string, error) {
	return fmt.Sprintf("sealed:%x", owner+place.Row+plain.Reveal()), nil
}

func (sealer) Open(_ context.Context, owner string, place secret.Place, sealed string) (secret.Text, error) {
	var text string
	if _, err := fmt.Sscanf(strings.TrimPrefix(sealed, "sealed:"), "%x", &text); err != nil {
		return secret.Text{}, err
	}
	text, ok := strings.CutPrefix(text, owner+place.Row)
	if !ok {
		return secret.Text{}, fault.New(fault.Internal, "test.Open", "from somewhere else")
	}
	return secret.NewText(text), nil
}

const settings = `"settings":[{"name":"url","default":"https://a.example"},{"name":"key","secret":true,"required":true}]`

// module makes the file of an integration that asks for these capabilities and has the settings url and key.
func module(name, version string, capabilities ...string) []byte {
	return moduleWith(name, version, settings, capabilities...)
}

// moduleWith is module with further fields in its manifest.
func moduleWith(name, version, more string, capabilities ...string) []byte {
	functions := map[string]string{"storage": "get", "mapping": "get", "queue": "enqueue", "http": "send"}
	var imports, claims []string
	for _, c := range capabilities {
		imports = append(imports, c+"."+functions[c])
		claims = append(claims, `{"name":"`+c+`","reason":"r"}`)
	}
	manifest := integration(name, version, `"capabilities":[`+strings.Join(claims, ",")+`],`+more)
	return withManifest(wasmtest.Module{Imports: doors(imports...), Funcs: wasmtest.Exports(abi.ExportHandleEvent)}, manifest)
}

// drop puts a file into the plugins folder that changed age ago.
func (r *rig) drop(file string, data []byte, age time.Duration) {
	r.t.Helper()
	path := filepath.Join(r.dir, file)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Chtimes(path, r.now.Add(-age), r.now.Add(-age)); err != nil {
		r.t.Fatal(err)
	}
	r.now = r.now.Add(time.Second) // so that a file of the same size has another time
}

func (r *rig) remove(file string) {
	r.t.Helper()
	if err := os.Remove(filepath.Join(r.dir, file)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) rescan() {
	r.t.Helper()
	if err := r.registry.Rescan(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) approve(name string) {
	r.t.Helper()
	r.now = r.now.Add(time.Second)
	p, err := r.service.Approve(r.t.Context(), name, "", "ada")
	if err != nil || p.State != plugin.Ready {
		r.t.Fatalf("got %+v and %v", p, err)
	}
}

// state describes all entries, one line each.
func (r *rig) state() []string {
	lines := []string{}
	entries, err := r.service.List(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range entries {
		line := e.Plugin.File + " " + e.Plugin.Name + " " + e.Plugin.Version + " " + string(e.Plugin.State)
		if e.Serving {
			line += " serving"
		}
		lines = append(lines, line)
	}
	return lines
}

func (r *rig) wantState(want ...string) {
	r.t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), r.state()); diff != "" {
		r.t.Errorf("-want +got:\n%s", diff)
	}
}

// wantServing checks which version answers calls, and that it alone is loaded.
func (r *rig) wantServing(name, version string) {
	r.t.Helper()
	p, err := r.registry.Plugin(name)
	if err != nil || p.Version != version {
		r.t.Fatalf("got %+v and %v, want version %s", p, err, version)
	}
	if !r.loader.loaded[p.Digest] {
		r.t.Errorf("version %s is not loaded", version)
	}
}

const old = time.Hour

func TestRescan_WaitsForApprovalAndThenServes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.drop("crm.wasm", module("crm", "1.0.0", "storage"), old)
	r.rescan()
	r.wantState("crm.wasm crm 1.0.0 needs_approval")
	_, err := r.registry.Plugin("crm")
	if fault.KindOf(err) != fault.Forbidden || !strings.Contains(fault.PublicMessage(err), "capability storage; run `frigg-host plugin approve crm`") {
		t.Errorf("got %v", err)
	}
	if r.loader.loads != 0 {
		t.Error("it was loaded before anybody approved it")
	}
	r.approve("crm")
	r.wantServing("crm", "1.0.0")
	r.wantState("crm.wasm crm 1.0.0 ready serving")
	grants, err := r.db.PluginGrants(t.Context())
	if err != nil || len(grants) != 1 || grants[0].By != "ada" || !slices.Equal(grants[0].Capabilities, []string{"storage"}) {
		t.Errorf("got %+v and %v", grants, err)
	}
	r.approve("crm") // again is fine
	r.start()
	r.rescan()
	r.wantServing("crm", "1.0.0")
}

func TestPlugin_SaysWhatToDo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.drop("bad.wasm", []byte("not wasm"), old)
	r.rescan()
	for name, c := range map[string]struct {
		kind fault.Kind
		says string
	}{
		"none": {fault.NotFound, "put its .wasm file into the plugins folder"},
		"bad":  {fault.Unavailable, "bad.wasm"},
	} {
		if _, err := r.registry.Plugin(name); fault.KindOf(err) != c.kind || !strings.Contains(fault.PublicMessage(err), c.says) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestRescan_OneBadFileStopsNobody(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.dev = true
	r.start()
	good := module("good", "1.0.0")
	r.drop("a.wasm", []byte("hello"), old)
	r.drop("b.wasm", good[:len(good)-1], old)
	r.drop("c.wasm", good, old)
	r.drop("d.wasm", wasmtest.Module{}.Bytes(), old)
	r.drop("e.wasm", nil, old)
	r.drop("f.txt", good, old)
	r.drop(".g.wasm", good, old)
	if err := os.Mkdir(filepath.Join(r.dir, "h.wasm"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.rescan()
	r.wantServing("good", "1.0.0")
	r.wantState("a.wasm a  broken", "d.wasm d  broken", "e.wasm e  broken", "c.wasm good 1.0.0 ready serving", "b.wasm good  broken", "h.wasm h  broken")
}

func TestRescan_WaitsForAFileThatIsStillBeingCopied(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.dev = true
	r.start()
	whole := module("crm", "1.0.0")
	for n := range 3 { // it grows between two looks
		r.drop("crm.wasm", whole[:len(whole)*(n+1)/4], 0)
		r.now = r.now.Add(-time.Second)
		r.rescan()
		r.wantState("crm.wasm crm  broken")
	}
	r.now = r.now.Add(250 * time.Millisecond)
	r.rescan() // it has stopped growing, and is not whole
	if _, err := r.registry.Plugin("crm"); !strings.Contains(fault.PublicMessage(err), "still being copied?") {
		t.Errorf("got %v", err)
	}
	r.drop("crm.wasm", whole, 0)
	r.now = r.now.Add(-time.Second)
	r.rescan()
	r.rescan() // so soon says nothing
	r.wantState("crm.wasm crm  broken")
	r.now = r.now.Add(250 * time.Millisecond)
	r.rescan()
	r.wantServing("crm", "1.0.0")
	if n := r.log.count("cannot be used"); n != 1 {
		t.Errorf("logged %d lines, want one for each thing to say:\n%s", n, r.log.b.String())
	}
	if n := r.log.count("still changing"); n != 2 {
		t.Errorf("logged %d times that it changes", n)
	}
	if n := r.log.count("plugin serves"); n != 1 {
		t.Errorf("logged %d times that it serves", n)
	}
}

func TestStart_WaitsOnceForAFreshFile(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	synctest.Test(t, func(t *testing.T) {
		r.now = time.Now()
		r.drop("crm.wasm", module("crm", "1.0.0"), 0)
		registry, err := plugin.NewRegistry(plugin.RegistryConfig{Dir: r.dir, DataDir: r.data, Store: forgetful{}, Dev: true})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := registry.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := registry.Plugin("crm"); err != nil || time.Since(began) != 250*time.Millisecond {
			t.Errorf("got %v after %s", err, time.Since(began))
		}
	})
}

func TestRescan_CarriesAGrantOverWhenNothingIsAskedBeyond(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		next []byte
		ok   bool
	}{
		{"the same", module("crm", "1.1.0", "storage"), true},
		{"less", module("crm", "1.1.0"), true},
		{"a further capability", module("crm", "1.1.0", "storage", "mapping"), false},
		{"a further host", moduleWith("crm", "1.1.0", settings+`,"hosts":[{"host":"b.example","reason":"r"}]`, "storage"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.drop("crm.wasm", module("crm", "1.0.0", "storage"), old)
			r.rescan()
			r.approve("crm")
			r.drop("crm.wasm", c.next, old)
			r.rescan()
			if c.ok {
				r.wantServing("crm", "1.1.0")
				r.wantState("crm.wasm crm 1.1.0 ready serving")
				r.now = r.now.Add(30 * time.Second)
				r.rescan()
				if len(r.loader.loaded) != 1 {
					t.Errorf("%d versions are loaded, want the old one unloaded", len(r.loader.loaded))
				}
				return
			}
			r.wantServing("crm", "1.0.0")
			r.wantState("crm.wasm crm 1.0.0 ready serving", "crm.wasm crm 1.1.0 needs_approval")
		})
	}
}

func TestRescan_OldVersionServesUntilTheNewOneIsGranted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.drop("crm.wasm", module("crm", "1.0.0", "storage"), old)
	r.rescan()
	r.approve("crm")
	r.drop("crm.wasm", module("crm", "2.0.0", "storage", "mapping"), old)
	both := []string{"crm.wasm crm 1.0.0 ready serving", "crm.wasm crm 2.0.0 needs_approval"}
	for range 2 { // also after a start, when only the new file is there
		r.rescan()
		r.wantServing("crm", "1.0.0")
		r.wantState(both...)
		r.start()
	}
	r.rescan()
	entries := r.registry.Entries()
	if diff := cmp.Diff(plugin.Missing{Capabilities: []string{"mapping"}}, entries[1].Missing); diff != "" {
		t.Error(diff)
	}
	if p := entries[1].Plugin.Problem; !strings.Contains(p, "capability mapping") || !strings.Contains(p, "version 1.0.0 goes on serving") {
		t.Errorf("got problem %q", p)
	}
	if got := r.registry.Plugins(); len(got) != 1 || got[0].Version != "1.0.0" {
		t.Errorf("got %+v, want the version that serves", got)
	}
	r.approve("crm")
	r.wantServing("crm", "2.0.0")
	r.wantState("crm.wasm crm 2.0.0 ready serving")
}

func TestRescan_ABrokenUpgradeLeavesTheOldVersionServing(t *testing.T) {
	t.Parallel()
	good := module("crm", "1.1.0")
	for name, next := range map[string][]byte{"half copied": good[:len(good)-1], "garbage": []byte("garbage")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.drop("my-crm.wasm", module("crm", "1.0.0"), old)
			r.rescan()
			r.approve("crm")
			r.drop("my-crm.wasm", next, old)
			for range 2 {
				r.rescan()
				r.wantServing("crm", "1.0.0")
				r.wantState("my-crm.wasm crm 1.0.0 ready serving", "my-crm.wasm crm  broken")
				r.start()
			}
		})
	}
}

func TestRescan_WhatCannotBeLoadedIsBrokenWithTheReason(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.drop("crm.wasm", module("crm", "1.0.0"), old)
	r.rescan()
	r.approve("crm")
	r.loader.refuse["1.1.0"] = fault.New(fault.Invalid, "test.Load", "a function is too large")
	r.drop("crm.wasm", module("crm", "1.1.0"), old)
	r.rescan()
	r.rescan()
	r.wantServing("crm", "1.0.0")
	r.wantState("crm.wasm crm 1.0.0 ready serving", "crm.wasm crm 1.1.0 broken")
	if p := r.registry.Entries()[1].Plugin.Problem; !strings.Contains(p, "a function is too large") {
		t.Errorf("got problem %q", p)
	}
	if r.loader.loads != 2 {
		t.Errorf("loaded %d times; what cannot work is not tried again", r.loader.loads)
	}
	r.loader.refuse["1.2.0"] = fault.New(fault.Internal, "test.Load", "the disk is full")
	r.drop("crm.wasm", module("crm", "1.2.0"), old)
	r.rescan()
	delete(r.loader.refuse, "1.2.0")
	r.rescan()
	r.wantServing("crm", "1.2.0")
}

func TestRescan_ARemovedFileStopsNewCallsAndKeepsTheVersion(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.drop("crm.wasm", module("crm", "1.0.0"), old)
	r.rescan()
	r.approve("crm")
	p, err := r.registry.Plugin("crm")
	if err != nil {
		t.Fatal(err)
	}
	r.remove("crm.wasm")
	r.rescan()
	if !r.loader.loaded[p.Digest] {
		t.Error("it was unloaded at once, though calls may be about to begin")
	}
	r.now = r.now.Add(30 * time.Second)
	for range 2 {
		r.rescan()
		r.wantState()
		if _, err := r.registry.Plugin("crm"); fault.KindOf(err) != fault.NotFound {
			t.Errorf("got %v, want NotFound", err)
		}
		again, err := r.registry.ByDigest(p.Digest)
		if err != nil || again.Version != "1.0.0" || again.State != plugin.Ready {
			t.Errorf("got %+v and %v, want the version that running work needs", again, err)
		}
		if bytes, err := r.registry.Module(p.Digest); err != nil || plugin.DigestOf(bytes) != p.Digest {
			t.Errorf("got %d bytes and %v", len(bytes), err)
		}
		r.start()
	}
	if len(r.loader.loaded) != 0 {
		t.Error("it is still loaded")
	}
}

// working is a store in which work goes on that began with these versions.
type working struct {
	*store.DB
	inUse []plugin.Digest
}

func (w *working) PluginsInUse(context.Context) ([]plugin.Digest, error) { return w.inUse, nil }

// prune calls Prune and wants it to remove this many.
func (r *rig) prune(want int, inUse ...plugin.Digest) {
	r.t.Helper()
	r.working.inUse = inUse
	n, err := r.registry.Prune(r.t.Context())
	if n != want || err != nil {
		r.t.Errorf("removed %d and %v, want %d", n, err, want)
	}
}

func TestPrune_RemovesWhatNobodyNeedsTheSecondTime(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	digests := map[string]plugin.Digest{}
	for _, version := range []string{"1.0.0", "1.1.0", "1.2.0"} {
		data := module("crm", version, "storage")
		digests[version] = plugin.DigestOf(data)
		r.drop("crm.wasm", data, old)
		r.rescan()
		if version == "1.0.0" {
			r.approve("crm")
		}
	}
	r.drop("crm.wasm", module("crm", "2.0.0", "storage", "mapping"), old) // waits
	r.rescan()
	r.wantState("crm.wasm crm 1.2.0 ready serving", "crm.wasm crm 2.0.0 needs_approval")
	wantKept := func(want ...string) {
		t.Helper()
		kept := []string{}
		for version, d := range digests {
			if _, err := r.registry.ByDigest(d); err == nil {
				kept = append(kept, version)
			} else if fault.KindOf(err) != fault.NotFound {
				t.Errorf("%s: %v", version, err)
			}
		}
		slices.Sort(kept)
		if diff := cmp.Diff(want, kept); diff != "" {
			t.Errorf("kept -want +got:\n%s", diff)
		}
	}
	r.prune(0)
	wantKept("1.0.0", "1.1.0", "1.2.0") // work that began on them can end
	r.prune(1, digests["1.0.0"])
	wantKept("1.0.0", "1.2.0")
	r.prune(0) // in use a moment ago
	r.prune(1)
	r.prune(0)
	wantKept("1.2.0")
	r.start()
	r.rescan()
	r.wantServing("crm", "1.2.0")
}

func TestPrune_KeepsTheLastThatWasGrantedThoughItsFileIsGone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	data := module("crm", "1.0.0")
	r.drop("crm.wasm", data, old)
	r.rescan()
	r.approve("crm")
	r.remove("crm.wasm")
	r.rescan()
	r.prune(0)
	r.prune(0)
	if p, err := r.registry.ByDigest(plugin.DigestOf(data)); err != nil || p.State != plugin.Ready {
		t.Errorf("got %+v and %v", p, err)
	}
}

func TestPrune_RemovesNothingBeforeTheFirstLook(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	data := module("crm", "1.0.0")
	r.drop("crm.wasm", data, old)
	r.rescan()
	r.start()
	r.prune(0)
	r.prune(0)
	r.rescan()
	r.approve("crm")
	r.wantServing("crm", "1.0.0")
}

func TestByDigest_RefusesWhatIsNoDigest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, d := range []plugin.Digest{"", "sha256:", "sha256:../../etc/passwd", plugin.Digest("sha256:" + strings.Repeat("A", 64))} {
		if _, err := r.registry.ByDigest(d); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%q: got %v", d, err)
		}
	}
}

func TestByDigest_AVersionThatWasNeverApprovedIsNotReady(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	data := module("crm", "1.0.0")
	r.drop("crm.wasm", data, old)
	r.rescan()
	r.remove("crm.wasm")
	r.rescan()
	p, err := r.registry.ByDigest(plugin.DigestOf(data))
	if err != nil || p.State != plugin.NeedsApproval {
		t.Errorf("got %+v and %v", p, err)
	}
}

func TestRescan_NoticesDamageToAKeptModule(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.drop("crm.wasm", module("crm", "1.0.0", "storage"), old)
	r.rescan()
	r.approve("crm")
	kept, err := filepath.Glob(filepath.Join(r.data, "modules", "sha256-*.wasm"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept %v, %v", kept, err)
	}
	if err := os.WriteFile(kept[0], []byte("tampered"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.drop("crm.wasm", module("crm", "2.0.0", "storage", "mapping"), old)
	r.start()
	r.rescan()
	r.wantState("crm.wasm crm 2.0.0 needs_approval", "crm.wasm crm  broken")
	if p := r.registry.Entries()[1].Plugin.Problem; !strings.Contains(p, "damaged") {
		t.Errorf("got %q", p)
	}
	r.drop("crm.wasm", module("crm", "1.0.0", "storage"), old)
	r.rescan()
	r.wantServing("crm", "1.0.0")
}

func TestRescan_TwoFilesOfOneNameNameEachOther(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.dev = true
	r.start()
	r.drop("b.wasm", module("crm", "2.0.0"), old)
	r.drop("a.wasm", module("crm", "1.0.0"), old)
	r.rescan()
	r.wantServing("crm", "1.0.0")
	r.wantState("a.wasm crm 1.0.0 ready serving", "b.wasm crm 2.0.0 broken")
	if p := r.registry.Entries()[1].Plugin.Problem; p != "a.wasm and b.wasm are both plugin crm; a.wasm counts, remove one of them" {
		t.Errorf("got %q", p)
	}
	r.remove("a.wasm")
	r.rescan()
	r.wantServing("crm", "2.0.0")
}

func TestRescan_ASecondFileNeverTakesANameOver(t *testing.T) {
	t.Parallel()
	good := module("gitea", "1.2.0", "storage")
	for _, c := range []struct {
		name  string
		acme  []byte       // a stranger's file, first in order, that says it is gitea
		after func(r *rig) // what else happens
		want  []string     // the state then
		says  string       // problem of acme.wasm
	}{
		{
			"that asks for as much", module("gitea", "9.0.0", "storage"), func(*rig) {},
			[]string{"gitea.wasm gitea 1.0.0 ready serving", "acme.wasm gitea 9.0.0 broken"},
			"gitea.wasm and acme.wasm are both plugin gitea; gitea.wasm counts, remove one of them",
		},
		{
			"that was granted once", module("gitea", "0.9.0", "storage"), func(*rig) {},
			[]string{"gitea.wasm gitea 1.0.0 ready serving", "acme.wasm gitea 0.9.0 broken"},
			"gitea.wasm counts",
		},
		{
			"while an upgrade is half copied", module("gitea", "0.9.0", "storage"), func(r *rig) { r.drop("gitea.wasm", good[:len(good)-1], old) },
			[]string{"gitea.wasm gitea 1.0.0 ready serving", "acme.wasm gitea 0.9.0 broken", "gitea.wasm gitea  broken"},
			"gitea.wasm counts",
		},
		{
			"while an upgrade waits", module("gitea", "9.0.0", "storage"), func(r *rig) { r.drop("gitea.wasm", module("gitea", "2.0.0", "storage", "mapping"), old) },
			[]string{"gitea.wasm gitea 1.0.0 ready serving", "gitea.wasm gitea 2.0.0 needs_approval", "acme.wasm gitea 9.0.0 broken"},
			"gitea.wasm counts",
		},
		{
			"when the file that served goes", module("gitea", "9.0.0"), func(r *rig) { r.remove("gitea.wasm") },
			[]string{"gitea.wasm gitea 1.0.0 ready serving", "acme.wasm gitea 9.0.0 needs_approval"},
			"waits for approval",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			for _, version := range []string{"0.9.0", "1.0.0"} {
				r.drop("gitea.wasm", module("gitea", version, "storage"), old)
				r.rescan()
				r.approve("gitea")
			}
			r.drop("acme.wasm", c.acme, old)
			r.rescan()
			c.after(r)
			for range 2 { // also after a start
				r.rescan()
				r.wantServing("gitea", "1.0.0")
				r.wantState(c.want...)
				for _, e := range r.registry.Entries() {
					if e.Plugin.File == "acme.wasm" && !strings.Contains(e.Plugin.Problem, c.says) {
						t.Errorf("got problem %q, want %q", e.Plugin.Problem, c.says)
					}
				}
				r.start()
			}
		})
	}
}

func TestRescan_AnotherFileNeedsApprovalOfAllThatItAsksFor(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.drop("gitea.wasm", module("gitea", "1.0.0", "storage"), old)
	r.rescan()
	r.approve("gitea")
	r.remove("gitea.wasm")
	r.rescan()
	r.drop("acme.wasm", moduleWith("gitea", "1.1.0", `"settings":[{"name":"key"}]`, "storage"), old)
	r.rescan()
	r.wantState("acme.wasm gitea 1.1.0 needs_approval")
	want := plugin.Missing{Capabilities: []string{"storage"}, Exposed: []string{"settings.key"}}
	if diff := cmp.Diff(want, r.registry.Entries()[0].Missing); diff != "" {
		t.Error(diff)
	}
	r.remove("acme.wasm")
	r.drop("renamed.wasm", module("gitea", "1.0.0", "storage"), old)
	r.rescan() // these bytes were approved, whatever their file
	r.wantState("renamed.wasm gitea 1.0.0 ready serving")
}

func TestRescan_OfTwoNewFilesNoneServesUnasked(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.drop("acme.wasm", module("gitea", "9.0.0", "storage"), old)
	r.drop("gitea.wasm", module("gitea", "1.0.0", "storage"), old)
	r.rescan()
	r.wantState("acme.wasm gitea 9.0.0 needs_approval", "gitea.wasm gitea 1.0.0 broken")
	if p := r.registry.Entries()[0].Plugin.Problem; !strings.Contains(p, "gitea.wasm says that it is gitea too") {
		t.Errorf("got problem %q", p)
	}
	r.remove("acme.wasm")
	r.rescan()
	r.approve("gitea")
	r.remove("gitea.wasm")
	r.rescan()
	r.drop("acme.wasm", module("gitea", "9.0.0", "storage"), old)
	r.drop("gitea.wasm", module("gitea", "1.0.0", "storage"), old)
	r.rescan() // of two files of which none serves, the one that was granted counts
	r.wantState("gitea.wasm gitea 1.0.0 ready serving", "acme.wasm gitea 9.0.0 broken")
}

func TestRescan_WhatDevelopmentModeLetServeIsNotBuiltOn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.drop("gitea.wasm", module("gitea", "1.0.0", "storage"), old)
	r.rescan()
	r.approve("gitea")
	r.remove("gitea.wasm")
	r.rescan()
	r.dev = true
	r.start()
	r.drop("acme.wasm", module("gitea", "9.0.0", "storage"), old)
	r.rescan()
	r.wantServing("gitea", "9.0.0")
	r.drop("acme.wasm", module("gitea", "9.0.1", "storage"), old)
	r.dev = false
	r.start()
	r.rescan()
	r.wantState("acme.wasm gitea 9.0.1 needs_approval")
}

func TestRescan_DevelopmentGrantsAndSaysSoAndForgets(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.dev = true
	r.start()
	r.drop("crm.wasm", module("crm", "1.0.0", "storage"), old)
	r.rescan()
	r.rescan()
	r.wantServing("crm", "1.0.0")
	if n := r.log.count("development mode"); n != 1 {
		t.Errorf("said %d times", n)
	}
	r.dev = false
	r.start()
	r.rescan()
	r.wantState("crm.wasm crm 1.0.0 needs_approval")
}

func TestRescan_GrantsOfTheConfigurationGoForTheirBytesAndAreOnRecord(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first := module("crm", "1.0.0", "storage")
	r.granted = []plugin.Digest{plugin.DigestOf(first)}
	r.start()
	r.drop("a.wasm", module("crm", "6.6.6", "storage"), old) // a stranger's, first in order
	r.drop("crm.wasm", first, old)
	r.drop("pay.wasm", module("pay", "1.0.0", "storage"), old)
	r.rescan()
	r.wantServing("crm", "1.0.0")
	if _, err := r.registry.Plugin("pay"); !fault.Is(err, fault.Forbidden) {
		t.Errorf("got %v", err)
	}
	r.granted = nil // what it granted is on record
	r.start()
	r.remove("a.wasm")
	r.rescan()
	r.wantServing("crm", "1.0.0")
	grants, err := r.db.PluginGrants(t.Context())
	if err != nil || len(grants) != 1 || grants[0].By != plugin.ConfigGrantor {
		t.Errorf("got %+v and %v", grants, err)
	}
	r.drop("crm.wasm", module("crm", "2.0.0", "storage", "queue"), old) // other bytes
	r.rescan()
	r.wantServing("crm", "1.0.0")
}

func TestRescan_GrantsOfAnotherProcessCount(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.drop("crm.wasm", module("crm", "1.0.0", "storage"), 0)
	r.rescan()
	r.rescan()
	command, err := plugin.NewRegistry(plugin.RegistryConfig{Dir: r.dir, DataDir: filepath.Join(r.data, "none"), Store: r.db, Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	s := plugin.New(plugin.Config{Store: r.db, Registry: command, Sealer: sealer{}})
	p, err := s.Approve(t.Context(), "crm", "", "bob")
	if err != nil || p.State != plugin.Ready {
		t.Fatalf("got %+v and %v", p, err)
	}
	if installs, err := r.db.PluginInstalls(t.Context()); err != nil || len(installs) != 0 {
		t.Errorf("the command put %v on record, %v", installs, err)
	}
	r.rescan()
	r.wantServing("crm", "1.0.0")
}

func TestApprove_Refuses(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.drop("crm.wasm", module("crm", "1.0.0"), old)
	r.drop("bad.wasm", []byte("x"), old)
	for _, c := range []struct {
		name, by string
		digest   plugin.Digest
		kind     fault.Kind
	}{
		{"crm", "", "", fault.Invalid},
		{"none", "ada", "", fault.NotFound},
		{"bad", "ada", "", fault.Invalid},
		{"crm", "ada", "sha256:other", fault.NotFound},
	} {
		if _, err := r.service.Approve(t.Context(), c.name, c.digest, c.by); fault.KindOf(err) != c.kind {
			t.Errorf("%+v: got %v", c, err)
		}
	}
	if grants, err := r.db.PluginGrants(t.Context()); err != nil || len(grants) != 0 {
		t.Errorf("left %v behind, %v", grants, err)
	}
}

// stubborn is a store whose writes fail.
type stubborn struct{ *store.DB }

func (stubborn) PluginInstalled(context.Context, *plugin.Install, *plugin.Grant) error {
	return fault.New(fault.Unavailable, "test.Store", "the disk is full")
}

func TestRescan_NothingServesThatIsNotOnRecord(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.drop("crm.wasm", module("crm", "1.0.0"), old)
	registry, err := plugin.NewRegistry(plugin.RegistryConfig{Dir: r.dir, DataDir: r.data, Store: stubborn{r.db}, Dev: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := registry.Rescan(t.Context()); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("got %v, want the failure of the store", err)
	}
	if _, err := registry.Plugin("crm"); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("got %v, want Unavailable", err)
	}
}

func TestRescan_AMissingFolderChangesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.dev = true
	r.start()
	r.drop("crm.wasm", module("crm", "1.0.0"), old)
	r.rescan()
	if err := os.Rename(r.dir, r.dir+"-away"); err != nil {
		t.Fatal(err)
	}
	if err := r.registry.Rescan(t.Context()); err == nil {
		t.Error("want an error")
	}
	r.wantServing("crm", "1.0.0")
}

func TestRun_LooksAgainAndAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	synctest.Test(t, func(t *testing.T) {
		registry, err := plugin.NewRegistry(plugin.RegistryConfig{Dir: r.dir, DataDir: r.data, Store: forgetful{}, Dev: true})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); registry.Run(ctx) }()
		r.drop("crm.wasm", module("crm", "1.0.0"), 0)
		for range 10 {
			time.Sleep(2 * time.Second)
			synctest.Wait()
		}
		if _, err := registry.Plugin("crm"); err != nil {
			t.Error(err)
		}
		stop()
		<-done
	})
}

// forgetful is a store for a bubble of synctest, in which the goroutine of the real one would be a stranger.
type forgetful struct{ plugin.Store }

func (forgetful) PluginGrants(context.Context) ([]*plugin.Grant, error)     { return nil, nil }
func (forgetful) PluginInstalls(context.Context) ([]*plugin.Install, error) { return nil, nil }
func (forgetful) PluginInstalled(context.Context, *plugin.Install, *plugin.Grant) error {
	return nil
}

func TestRegistry_ReadsGoOnWhileItLooks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.drop("crm.wasm", module("crm", "1.0.0"), old)
	r.rescan()
	r.approve("crm")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				p, err := r.registry.Plugin("crm")
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := r.registry.ByDigest(p.Digest); err != nil {
					t.Error(err)
				}
				r.registry.Plugins()
			}
		})
	}
	for n := range 10 {
		r.drop("crm.wasm", module("crm", fmt.Sprintf("1.0.%d", n+1)), old)
		r.rescan()
	}
	wg.Wait()
	r.wantServing("crm", "1.0.10")
}
