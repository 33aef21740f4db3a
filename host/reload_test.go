package host_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/guest"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/plugin/wasm"
	"github.com/frigg-host/frigg-host/host/plugin/wasm/wasmtest"
	"github.com/frigg-host/frigg-host/store"
)

// counter is a plugin whose events are answered with its number, of four digits. Its code differs from number to number. One
// that asks reads its storage first.
func counter(t testing.TB, name string, number int, asks bool) []byte {
	t.Helper()
	i64 := func(n int) []wasm.ValType { return slices.Repeat([]wasm.ValType{wasm.I64}, n) }
	imports := []wasm.Import{
		{Module: abi.KernelModule, Name: "alloc", Type: wasm.FuncType{Params: i64(1), Results: i64(1)}},
		{Module: abi.KernelModule, Name: "store_u64", Type: wasm.FuncType{Params: i64(2)}},
		{Module: abi.KernelModule, Name: "output_set", Type: wasm.FuncType{Params: i64(2)}},
	}
	var code []byte
	manifest := fmt.Sprintf(`{"abi": 1, "kind": "integration", "name": %q, "version": "1.0.%d", "display": {"name": "Tiny"}}`, name, number)
	if asks {
		imports = append(imports, wasm.Import{Module: abi.ModulePrefix + "storage", Name: "get", Type: wasmtest.Door})
		manifest = manifest[:len(manifest)-1] + `, "capabilities": [{"name": "storage", "reason": "r"}]}`
		code = append(block(`{"key":"keykey"}`), 0x20, 0, 0x10, 3, 0x1a) // local.get 0, call get, drop
	}
	code = append(code, block(fmt.Sprintf(`{"value":"%04d"}`, number))...)
	code = append(code, 0x20, 0, 0x42, 16, 0x10, 2, 0x41, 0) // local.get 0, i64.const 16, call output_set, i32.const 0
	module := wasmtest.Module{
		Imports: imports, Pages: 1,
		Funcs: []wasmtest.Func{{Export: abi.ExportHandleEvent, Type: wasmtest.Entry, Locals: 1, Code: code}},
	}
	packed, err := plugin.Pack(module.Bytes(), []byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// block is the code that makes an Extism block of 16 bytes in local 0.
func block(text string) []byte {
	code := []byte{0x42, 16, 0x10, 0, 0x21, 0} // i64.const 16, call alloc, local.set 0
	for at := byte(0); at < 16; at += 8 {
		code = append(code, 0x20, 0, 0x42, at, 0x7c, 0x42) // local.get 0, i64.const at, i64.add, i64.const
		code = signed(code, int64(binary.LittleEndian.Uint64([]byte(text)[at:])))
		code = append(code, 0x10, 1) // call store_u64
	}
	return code
}

// signed writes LEB128.
func signed(b []byte, v int64) []byte {
	for {
		low := byte(v & 0x7f)
		v >>= 7
		if v == 0 && low&0x40 == 0 || v == -1 && low&0x40 != 0 {
			return append(b, low)
		}
		b = append(b, low|0x80)
	}
}

// shelf is a plugins folder with all that serves it: store, registry, runtime and engine.
type shelf struct {
	t        testing.TB
	dir      string
	data     string
	registry *plugin.Registry
	runtime  *guest.Runtime
}

func newShelf(t testing.TB, after time.Duration) *shelf {
	t.Helper()
	s := &shelf{t: t, dir: t.TempDir(), data: t.TempDir()}
	db, err := store.Open(t.Context(), store.Config{DSN: filepath.Join(s.data, "frigg.db")})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := guest.Open(t.Context(), guest.Native, guest.Config{Imports: guest.Imports(), CacheDir: filepath.Join(s.data, "compiled")})
	if err != nil {
		t.Fatal(err)
	}
	s.runtime = guest.NewRuntime(engine, guest.RuntimeConfig{Source: func(d plugin.Digest) ([]byte, error) { return s.registry.Module(d) }})
	s.registry, err = plugin.NewRegistry(plugin.RegistryConfig{
		Dir: s.dir, DataDir: s.data, Store: db, Loader: s.runtime, Linger: after, Dev: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.registry.Close()
		if err := errors.Join(engine.Close(context.Background()), db.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// replace puts a file into the place of another, as a whole, and looks at it.
func (s *shelf) replace(file string, module []byte) {
	s.t.Helper()
	part, long := filepath.Join(s.data, "part"), time.Now().Add(-time.Hour)
	err := errors.Join(os.WriteFile(part, module, 0o600), os.Chtimes(part, long, long), os.Rename(part, filepath.Join(s.dir, file)))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.registry.Rescan(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// call calls the version that serves, and wants the answer of this very version.
func (s *shelf) call(name string, can plugin.Capabilities) (version string, err error) {
	p, err := s.registry.Plugin(name)
	if err != nil {
		return "", err
	}
	answer, err := s.runtime.Call(context.Background(), plugin.Call{Plugin: p, Export: abi.ExportHandleEvent, Input: []byte("{}"), Can: can})
	if err != nil {
		return p.Version, err
	}
	var number string
	if err := json.Unmarshal(answer, &number); err != nil {
		return p.Version, err
	}
	if n, err := strconv.Atoi(number); err != nil || p.Version != fmt.Sprintf("1.0.%d", n) {
		return p.Version, fmt.Errorf("version %s answers %s", p.Version, answer)
	}
	return p.Version, nil
}

// slowStorage lets reads wait.
type slowStorage struct {
	plugin.StorageCapability
	arrived chan struct{}
	release chan struct{}
}

func (s slowStorage) Get(context.Context, abi.StorageGet) (abi.StorageValue, error) {
	close(s.arrived)
	<-s.release
	return abi.StorageValue{}, nil
}

func TestReload_NewCallsUseTheNewVersionWhileRunningOnesFinishOnTheOld(t *testing.T) {
	t.Parallel()
	s := newShelf(t, time.Nanosecond)
	s.replace("tiny.wasm", counter(t, "tiny", 1, true))
	old := slowStorage{arrived: make(chan struct{}), release: make(chan struct{})}
	type result struct {
		version string
		err     error
	}
	ended := make(chan result, 1)
	go func() {
		version, err := s.call("tiny", plugin.Capabilities{Storage: old})
		ended <- result{version, err}
	}()
	<-old.arrived
	for n := 2; n < 10; n++ {
		s.replace("tiny.wasm", counter(t, "tiny", n, false))
		if version, err := s.call("tiny", plugin.Capabilities{}); err != nil || version != fmt.Sprintf("1.0.%d", n) {
			t.Errorf("version %s answered, and %v; want 1.0.%d", version, err, n)
		}
	}
	close(old.release)
	if r := <-ended; r.err != nil || r.version != "1.0.1" {
		t.Errorf("the call that was running ended on %s with %v", r.version, r.err)
	}
}

// reloads is the environment variable that makes the soak test longer; `make soak` sets it.
const reloads = "FRIGG_RELOADS"

// linger is how long versions stay loaded there: short, so that many are unloaded.
const linger = 250 * time.Millisecond

// It is not parallel: it measures the process.
func TestReload_SoakFailsNoCallAndKeepsNothing(t *testing.T) {
	n, warm := 100, 50
	if text := os.Getenv(reloads); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n <= warm {
			t.Fatalf("%s must be a number over %d", reloads, warm)
		}
	}
	s := newShelf(t, linger)
	s.replace("tiny.wasm", counter(t, "tiny", 0, false))
	var calls atomic.Int64
	var pause sync.RWMutex // held for writing while the process is measured
	stop := make(chan struct{})
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				pause.RLock()
				version, err := s.call("tiny", plugin.Capabilities{})
				pause.RUnlock()
				if err != nil {
					t.Errorf("version %s: %v", version, err)
					return
				}
				calls.Add(1)
			}
		})
	}
	var before usage
	seen := 0
	for i := 1; i <= n; i++ {
		number := i
		if i%2 == 0 {
			number = max(1, i-2*(i%13)-1) // one that was there before
		} else {
			seen++
		}
		s.replace("tiny.wasm", counter(t, "tiny", number, false))
		if i == warm {
			before = s.usage(&pause)
		}
	}
	after := s.usage(&pause)
	close(stop)
	callers.Wait()
	t.Logf("%d reloads, %d of them new, under %d calls\nbefore %+v\nafter  %+v", n, seen, calls.Load(), before, after)
	if calls.Load() == 0 {
		t.Error("nobody called")
	}
	before.wants(t, after)
	if now, most := after.modules, 9; now > most {
		t.Errorf("%d modules are kept, more than %d", now, most)
	}
}

// usage is what the process has.
type usage struct{ kib, mappings, code, files, goroutines, modules int }

// usage is taken between calls, when what was of use a moment ago is free.
func (s *shelf) usage(calls sync.Locker) usage {
	s.t.Helper()
	calls.Lock()
	defer calls.Unlock()
	time.Sleep(2 * linger)
	if err := s.registry.Rescan(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	for range 3 {
		runtime.GC()
	}
	debug.FreeOSMemory()
	modules, err := filepath.Glob(filepath.Join(s.data, "modules", "*"))
	if err != nil {
		s.t.Fatal(err)
	}
	u := usage{goroutines: runtime.NumGoroutine(), modules: len(modules)}
	for range 100 { // what ends by itself
		time.Sleep(time.Millisecond)
		u.goroutines = min(u.goroutines, runtime.NumGoroutine())
	}
	if maps, err := os.ReadFile("/proc/self/maps"); err == nil {
		u.mappings, u.code = bytes.Count(maps, []byte("\n")), codeKiB(string(maps))
	}
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		u.files = len(files)
	}
	rollup, _ := os.ReadFile("/proc/self/smaps_rollup")
	for line := range strings.Lines(string(rollup)) {
		if rest, is := strings.CutPrefix(line, "Rss:"); is {
			u.kib, _ = strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
		}
	}
	return u
}

// codeKiB adds up what is mapped as code, by proc_pid_maps(5).
func codeKiB(maps string) int {
	var sum int64
	for line := range strings.Lines(maps) {
		var from, to int64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err == nil && mode == "r-xp" {
			sum += to - from
		}
	}
	return int(sum >> 10)
}

// wants compares with a later usage. Where there is no /proc all of it is 0.
func (u usage) wants(t *testing.T, later usage) {
	t.Helper()
	for _, c := range []struct {
		what        string
		before, now int
		slack       int
	}{
		// Go keeps 2% of the largest heap that it ever had, and a mapping or two for each 64 MiB of it.
		{"KiB resident", u.kib, later.kib, max(u.kib/10, 5<<10)},
		{"mappings", u.mappings, later.mappings, 24},
		{"KiB of code", u.code, later.code, 32},
		{"open files", u.files, later.files, 4},
		{"goroutines", u.goroutines, later.goroutines, 6},
	} {
		if c.what == "KiB resident" && underRace() {
			continue // which keeps memory of its own for what is long gone
		}
		if c.now > c.before+c.slack {
			t.Errorf("%d %s, %d before", c.now, c.what, c.before)
		}
	}
}

func underRace() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
