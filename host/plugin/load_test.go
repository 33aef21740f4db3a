package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// memory is a store without a goroutine, for bubbles of synctest.
type memory struct {
	plugin.Store
	mu       sync.Mutex
	grants   map[plugin.Digest]*plugin.Grant
	installs map[string]*plugin.Install
}

func newMemory() *memory {
	return &memory{grants: map[plugin.Digest]*plugin.Grant{}, installs: map[string]*plugin.Install{}}
}

func (m *memory) PluginGrants(context.Context) (all []*plugin.Grant, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, g := range m.grants {
		all = append(all, g)
	}
	return all, nil
}

func (m *memory) PluginInstalls(context.Context) (all []*plugin.Install, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, in := range m.installs {
		all = append(all, in)
	}
	return all, nil
}

func (m *memory) PluginInstalled(_ context.Context, in *plugin.Install, carried *plugin.Grant) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.installs[in.Name] = in; carried != nil {
		m.grants[carried.Digest] = carried
	}
	return nil
}

// slowLoader loads a plugin when its gate is open; plugins without a gate are loaded at once.
type slowLoader struct {
	mu       sync.Mutex
	gates    map[string]chan struct{}
	now, top int
}

func (l *slowLoader) Load(ctx context.Context, p *plugin.Plugin, _ []byte) error {
	l.mu.Lock()
	gate := l.gates[p.Name]
	l.now++
	l.top = max(l.top, l.now)
	l.mu.Unlock()
	defer func() { l.mu.Lock(); l.now--; l.mu.Unlock() }()
	if gate == nil {
		return nil
	}
	select {
	case <-gate:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (*slowLoader) Unload(context.Context, plugin.Digest) {}

// bubble is what a test of loading needs inside synctest.
type bubble struct {
	t      *testing.T
	config plugin.RegistryConfig
	loader *slowLoader
	store  *memory
	log    lockedBuffer
}

// newBubble has a folder with these plugins, of version 1.0.0, that came to rest long ago.
func newBubble(t *testing.T, names ...string) *bubble {
	t.Helper()
	b := &bubble{t: t, loader: &slowLoader{gates: map[string]chan struct{}{}}, store: newMemory()}
	b.config = plugin.RegistryConfig{
		Dir: t.TempDir(), DataDir: t.TempDir(), Store: b.store, Loader: b.loader, Dev: true, Log: slog.New(slog.NewTextHandler(&b.log, nil)),
	}
	for _, name := range names {
		b.drop(name, "1.0.0")
	}
	return b
}

func (b *bubble) drop(name, version string) {
	b.t.Helper()
	path, long := filepath.Join(b.t.TempDir(), name), time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	err := errors.Join(os.WriteFile(path, module(name, version), 0o600), os.Chtimes(path, long, long),
		os.Rename(path, filepath.Join(b.config.Dir, name+".wasm")))
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bubble) open() *plugin.Registry {
	b.t.Helper()
	r, err := plugin.NewRegistry(b.config)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *bubble) hold(names ...string) {
	for _, name := range names {
		b.loader.gates[name] = make(chan struct{})
	}
}

// serves checks which version serves; "" is none, because it is being compiled.
func (b *bubble) serves(r *plugin.Registry, name, version string) {
	b.t.Helper()
	p, err := r.Plugin(name)
	switch {
	case version == "" && (fault.KindOf(err) != fault.Unavailable || !strings.Contains(fault.PublicMessage(err), "is being compiled") || fault.RetryAfterOf(err) == 0):
		b.t.Errorf("%s: got %+v and %v, want that it is being compiled", name, p, err)
	case version != "" && (err != nil || p.Version != version):
		b.t.Errorf("%s: got %+v and %v, want version %s", name, p, err, version)
	}
}

func TestRescan_ASlowPluginHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "fast", "slow")
		b.hold("slow")
		r := b.open()
		done := make(chan error, 1)
		go func() { done <- r.Rescan(t.Context()) }()
		synctest.Wait()
		b.serves(r, "fast", "1.0.0")
		b.serves(r, "slow", "")

		b.drop("fast", "1.1.0") // the folder is looked at meanwhile
		watching, stop := context.WithCancel(t.Context())
		go r.Run(watching)
		time.Sleep(time.Second)
		synctest.Wait()
		b.serves(r, "fast", "1.1.0")
		b.serves(r, "slow", "")
		stop()

		close(b.loader.gates["slow"])
		if err := <-done; err != nil {
			t.Error(err)
		}
		b.serves(r, "slow", "1.0.0")
		for _, want := range []string{`msg="compiling plugin" plugin=slow`, `msg="plugin compiled" plugin=slow version=1.0.0 took=1s n=3 of=3`, `msg="all plugins are loaded" n=3 took=1s`} {
			if b.log.count(want) != 1 {
				t.Errorf("the log does not say %s:\n%s", want, b.log.b.String())
			}
		}
		if n := b.log.count("compil"); n != 2 {
			t.Errorf("the log says of what was quick that it was compiled:\n%s", b.log.b.String())
		}
	})
}

func TestRescan_TheOldVersionServesUntilTheNewOneIsLoaded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "crm")
		r := b.open()
		if err := r.Rescan(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.hold("crm")
		b.drop("crm", "2.0.0")
		done := make(chan error, 1)
		go func() { done <- r.Rescan(t.Context()) }()
		synctest.Wait()
		b.serves(r, "crm", "1.0.0")
		entries := r.Entries()
		if len(entries) != 2 || entries[1].Plugin.State != plugin.Loading || entries[1].Plugin.Problem != "is being compiled; version 1.0.0 goes on serving meanwhile" {
			t.Errorf("got %+v", entries)
		}
		close(b.loader.gates["crm"])
		<-done
		b.serves(r, "crm", "2.0.0")
	})
}

// Otherwise a start would take as long as all plugins together.
func TestStart_WhatServedBeforeServesAtOnceAndIsLoadedMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "crm")
		if err := b.open().Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.hold("crm")
		r := b.open()
		began := time.Now()
		if err := r.Start(t.Context()); err != nil || time.Since(began) != 0 {
			t.Errorf("got %v after %s", err, time.Since(began))
		}
		b.serves(r, "crm", "1.0.0")
		r.Close() // which ends the load
		b.serves(r, "crm", "1.0.0")
	})
}

func TestStart_WaitsForWhatNeverServedButNotForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "fast", "slow")
		b.hold("slow")
		r := b.open()
		defer r.Close()
		began := time.Now()
		if err := r.Start(t.Context()); err != nil || time.Since(began) != time.Minute {
			t.Errorf("got %v after %s", err, time.Since(began))
		}
		b.serves(r, "fast", "1.0.0")
		b.serves(r, "slow", "")
		close(b.loader.gates["slow"])
		if err := plugin.New(plugin.Config{Store: b.store, Registry: r}).Loaded(t.Context()); err != nil {
			t.Error(err)
		}
		b.serves(r, "slow", "1.0.0") // though nobody looks
	})
}

func TestRescan_LoadsAsManyAtOnceAsThereAreCores(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var names []string
		for n := range 3 * runtime.GOMAXPROCS(0) {
			names = append(names, fmt.Sprintf("p%d", n))
		}
		b := newBubble(t, names...)
		b.hold(names...)
		r := b.open()
		done := make(chan error, 1)
		go func() { done <- r.Rescan(t.Context()) }()
		synctest.Wait()
		if b.loader.now != runtime.GOMAXPROCS(0) {
			t.Errorf("%d are being loaded, want %d", b.loader.now, runtime.GOMAXPROCS(0))
		}
		for _, gate := range b.loader.gates {
			close(gate)
		}
		<-done
		if b.loader.top != runtime.GOMAXPROCS(0) {
			t.Errorf("%d were loaded at once, want %d", b.loader.top, runtime.GOMAXPROCS(0))
		}
	})
}

func TestRescan_WhatTakesVeryLongGivesItsTurnAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var slow []string
		for n := range runtime.GOMAXPROCS(0) {
			slow = append(slow, fmt.Sprintf("a%d", n))
		}
		b := newBubble(t, slow...)
		b.hold(slow...)
		r := b.open()
		watching, stop := context.WithCancel(t.Context())
		go r.Run(watching)
		time.Sleep(time.Second)
		b.drop("last", "1.0.0")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		b.serves(r, "last", "")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		b.serves(r, "last", "1.0.0")
		stop()
		r.Close()
		synctest.Wait()
	})
}

// Builds that are reproducible give files of the same time, and often of the same size.
func TestRescan_NoticesAnotherFileOfTheSameSizeAndTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "crm")
		r := b.open()
		if err := r.Rescan(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.drop("crm", "1.0.1")
		if err := r.Rescan(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.serves(r, "crm", "1.0.1")
	})
}

func TestRescan_KeepsFewOldVersionsLoadedAndOnDisk(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.dev = true
	r.start()
	kept := func() int {
		files, err := filepath.Glob(filepath.Join(r.data, "modules", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	r.drop("idle.wasm", module("idle", "1.0.0"), old)
	for n := range 60 { // one each second
		r.drop("crm.wasm", module("crm", fmt.Sprintf("1.0.%d", n)), old)
		r.rescan()
		r.wantServing("crm", fmt.Sprintf("1.0.%d", n))
		if len(r.loader.loaded) > 5 {
			t.Fatalf("%d versions are loaded", len(r.loader.loaded))
		}
	}
	if n := kept(); n > 40 {
		t.Errorf("%d modules are kept, though most can be of no use any more", n)
	}
	r.now = r.now.Add(time.Minute)
	r.rescan()
	if n := kept(); len(r.loader.loaded) != 2 || n != 10 {
		t.Errorf("%d versions are loaded and %d kept, want 2, and 8 more on disk", len(r.loader.loaded), n)
	}
	r.wantServing("idle", "1.0.0")
}

// A call can have been told of a version just before it was unloaded, and loads it again.
func TestRescan_UnloadsOnceMoreWhatACallLoadedTooLate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.dev = true
	r.start()
	r.drop("crm.wasm", module("crm", "1.0.0"), old)
	r.rescan()
	p, err := r.registry.Plugin("crm")
	if err != nil {
		t.Fatal(err)
	}
	r.drop("crm.wasm", module("crm", "2.0.0"), old)
	for range 2 {
		r.rescan()
		r.now = r.now.Add(30 * time.Second)
	}
	if r.loader.loaded[p.Digest] {
		t.Fatal("it is still loaded")
	}
	if err := r.loader.Load(t.Context(), p, module("crm", "1.0.0")); err != nil {
		t.Fatal(err)
	}
	r.rescan()
	if r.loader.loaded[p.Digest] {
		t.Error("what a call loaded stays for ever")
	}
	r.wantServing("crm", "2.0.0")
}
