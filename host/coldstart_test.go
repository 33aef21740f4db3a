package host_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/testdata/guests"
)

// loadedLog hears when all plugins of a host are loaded.
type loadedLog struct{ loaded chan struct{} }

func (loadedLog) Enabled(context.Context, slog.Level) bool { return true }
func (l loadedLog) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l loadedLog) WithGroup(string) slog.Handler          { return l }

func (l loadedLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "all plugins are loaded" {
		l.loaded <- struct{}{}
	}
	return nil
}

// coldStart opens a host on plugins that it knows, and returns after how long it could answer requests, and after how long
// no call would have to wait for its plugin any more.
func coldStart(t testing.TB, data, plugins string, n int) (ready, loaded time.Duration) {
	t.Helper()
	log := loadedLog{make(chan struct{}, 1)}
	began := time.Now()
	h, err := host.New(t.Context(), host.Config{DataDir: data, PluginsDir: plugins, Dev: true, Log: slog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	ready = time.Since(began)
	select {
	case <-log.loaded:
	case <-time.After(5 * time.Minute):
		t.Error("the plugins are never loaded")
	}
	loaded = time.Since(began)
	serving := 0
	for _, e := range listed(t, h) {
		if e.Serving {
			serving++
		}
	}
	if err := h.Close(); err != nil || serving != n {
		t.Fatalf("%d of %d plugins serve, %v", serving, n, err)
	}
	return ready, loaded
}

func listed(t testing.TB, h *host.Host) []plugin.Entry {
	t.Helper()
	all, err := h.Plugins.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// fill makes a plugins folder of n files that came to rest long ago.
func fill(t testing.TB, n int, module func(i int) []byte) string {
	t.Helper()
	dir, long := t.TempDir(), time.Now().Add(-time.Hour)
	for i := range n {
		path := filepath.Join(dir, fmt.Sprintf("p%d.wasm", i))
		if err := errors.Join(os.WriteFile(path, module(i), 0o600), os.Chtimes(path, long, long)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// goPlugin is a real plugin of std Go with a name and an export of its own, so that it has compiled code of its own.
func goPlugin(t testing.TB, i int) []byte {
	t.Helper()
	name := fmt.Sprintf("flow%d", i)
	manifest := bytes.Replace(guests.Manifest(t, "flow/manifest.yaml"), []byte("\nname: flow\n"), []byte("\nname: "+name+"\n"), 1)
	packed, err := plugin.Pack(exportMemory(t, guests.Module(t, "flow", ""), name), manifest)
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// exportMemory exports the memory of a module under a further name (WebAssembly core specification 2.0, 5.5.10).
func exportMemory(t testing.TB, module []byte, name string) []byte {
	t.Helper()
	for at := 8; at < len(module); {
		id := module[at]
		size, n := binary.Uvarint(module[at+1:])
		body := at + 1 + n
		if id == 7 {
			count, n := binary.Uvarint(module[body:])
			section := binary.AppendUvarint(nil, count+1)
			section = append(section, module[body+n:body+int(size)]...)
			section = append(append(append(section, byte(len(name))), name...), 2, 0)
			out := binary.AppendUvarint(append(bytes.Clone(module[:at]), 7), uint64(len(section)))
			return append(append(out, section...), module[body+int(size):]...)
		}
		at = body + int(size)
	}
	t.Fatal("the module exports nothing")
	return nil
}

func TestColdStart_OfFiftyPluginsTakesLessThanASecondAndAHalf(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	plugins := fill(t, 50, func(i int) []byte { return counter(t, fmt.Sprintf("p%d", i), i, false) })
	coldStart(t, data, plugins, 50) // compiles them
	ready, loaded := coldStart(t, data, plugins, 50)
	for range 4 { // the machine may be busy
		r, l := coldStart(t, data, plugins, 50)
		ready, loaded = min(ready, r), min(loaded, l)
	}
	t.Logf("ready after %s, loaded after %s", ready, loaded)
	if most := 1500 * time.Millisecond; loaded > most {
		t.Errorf("it took %s, more than %s", loaded, most)
	}
}

// The time until a host can answer and until all of its plugins are loaded, by their number and kind. Compiling those of Go
// before takes a minute.
func BenchmarkColdStart(b *testing.B) {
	for _, c := range []struct {
		kind   string
		n      int
		module func(i int) []byte
	}{
		{"tiny", 50, func(i int) []byte { return counter(b, fmt.Sprintf("p%d", i), i, false) }},
		{"tiny", 200, func(i int) []byte { return counter(b, fmt.Sprintf("p%d", i), i, false) }},
		{"go", 10, func(i int) []byte { return goPlugin(b, i) }},
		{"go", 50, func(i int) []byte { return goPlugin(b, i) }},
	} {
		b.Run(fmt.Sprintf("%s/%d", c.kind, c.n), func(b *testing.B) {
			data, plugins := filepath.Join(b.TempDir(), "data"), fill(b, c.n, c.module)
			coldStart(b, data, plugins, c.n)
			var ready, loaded time.Duration
			for b.Loop() {
				r, l := coldStart(b, data, plugins, c.n)
				ready, loaded = ready+r, loaded+l
			}
			b.ReportMetric(float64(ready.Milliseconds())/float64(b.N), "ms/ready")
			b.ReportMetric(float64(loaded.Milliseconds())/float64(b.N), "ms/loaded")
			b.ReportMetric(0, "ns/op")
		})
	}
}
