package guest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/guest/snapshot"
)

func open(t testing.TB, c Config) Engine {
	t.Helper()
	e, err := OpenNative(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close(context.Background()) })
	return e
}

func compiled(t testing.TB, e Engine, name string) Module {
	t.Helper()
	m, err := e.Compile(context.Background(), fixture(name))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestBulk_CopiesInOneStep(t *testing.T) {
	t.Parallel()
	m := compiled(t, open(t, Config{}), "bulk")
	for _, export := range []string{"echo", "round"} {
		for _, n := range []int{0, 1, 1000, 65536} {
			in := bytes.Repeat([]byte{7}, n)
			r, err := m.Call(context.Background(), Call{Plugin: "bulk", Export: export, Input: in})
			if err != nil || !bytes.Equal(r.Output, in) {
				t.Errorf("%s of %d bytes: %d bytes, %v", export, n, len(r.Output), err)
			}
		}
	}
}

func TestBulk_NoNumberHurts(t *testing.T) {
	t.Parallel()
	m := compiled(t, open(t, Config{}), "bulk")
	for f := range 4 {
		for _, at := range hostileNumbers {
			for _, p := range []uint32{0, 1, 65536, 200_000, 1 << 31, 1<<32 - 1} {
				for _, n := range []uint32{0, 1, 41, 65536, 1 << 31, 1<<32 - 1} {
					in := binary.LittleEndian.AppendUint64([]byte{byte(f)}, at)
					in = binary.LittleEndian.AppendUint32(in, p)
					in = binary.LittleEndian.AppendUint32(in, n)
					_, err := m.Call(context.Background(), Call{Plugin: "bulk", Export: "poke", Input: in})
					if err := guestsFault(err); err != nil {
						t.Fatalf("function %d with offset %#x, address %#x, length %#x: %v", f, at, p, n, err)
					}
				}
			}
		}
	}
}

func TestBulk_NeedsTheNativeEngine(t *testing.T) {
	t.Parallel()
	e, err := OpenExtism(context.Background(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(context.Background())
	_, err = e.Compile(context.Background(), fixture("bulk"))
	if err := wantStop(err, ReasonEngine, fault.Unsupported, fault.Guest,
		"not a usable module: it imports frigg:host/bulk, which only the native engine has; build it without, or use that engine"); err != nil {
		t.Error(err)
	}
}

// TestWASI_HasEveryFunction: guests import far more than they use.
func TestWASI_HasEveryFunction(t *testing.T) {
	t.Parallel()
	rt := wazero.NewRuntime(context.Background())
	defer rt.Close(context.Background())
	all, err := wasi_snapshot_preview1.NewBuilder(rt).Compile(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	want, got := map[string]signature{}, map[string]signature{}
	for name, f := range all.ExportedFunctions() {
		s := signature{}
		for _, v := range f.ParamTypes() {
			s.params += map[byte]string{0x7f: "i", 0x7e: "I"}[byte(v)]
		}
		for _, v := range f.ResultTypes() {
			s.results += map[byte]string{0x7f: "i", 0x7e: "I"}[byte(v)]
		}
		want[name] = s
	}
	for _, f := range preview1 {
		got[f.name] = signature{f.params, f.results}
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(signature{})); diff != "" || len(want) == 0 {
		t.Errorf("functions (-wazero's +ours):\n%s", diff)
	}
}

// TestWASI_WithoutMemoryIsAnError: functions that write into memory are called by a guest that has none.
func TestWASI_WithoutMemoryIsAnError(t *testing.T) {
	t.Parallel()
	m := compiled(t, open(t, Config{}), "no_memory")
	for _, export := range []string{"random", "write"} {
		_, err := m.Call(context.Background(), Call{Plugin: "p", Export: export})
		if err := wantStop(err, ReasonFailed, fault.Internal, fault.Guest, "guest p: "+export+" returned 21"); err != nil {
			t.Error(err)
		}
	}
}

func TestCall_ExitBeforeTheExportIsNoSuccess(t *testing.T) {
	t.Parallel()
	m := compiled(t, open(t, Config{}), "exit_early")
	_, err := m.Call(context.Background(), Call{Plugin: "p", Export: "noop"})
	if err := wantStop(err, ReasonFailed, fault.Internal, fault.Guest, "guest p: exited with code 0 before noop was called"); err != nil {
		t.Error(err)
	}
}

func TestCall_TablesCannotGrowWithoutBound(t *testing.T) {
	t.Parallel()
	m := compiled(t, open(t, Config{}), "grow_table")
	_, err := m.Call(context.Background(), Call{Plugin: "p", Export: "grow"})
	// Its result is the size that the table has reached.
	if err := wantStop(err, ReasonFailed, fault.Internal, fault.Guest, "guest p: grow returned 200001"); err != nil {
		t.Error(err)
	}
}

func TestCall_ErrorTextsAreBounded(t *testing.T) {
	t.Parallel()
	m := compiled(t, open(t, Config{Imports: []Import{sendImport}}), "hostile")
	_, err := m.Call(context.Background(), Call{Plugin: "p", Export: "huge_error"})
	if n := len(err.Error()); n > 4*maxTextBytes || !strings.Contains(err.Error(), "\uFFFD") {
		t.Errorf("%d bytes of error", n)
	}
}

func TestCall_TrapSaysWhereForOperators(t *testing.T) {
	t.Parallel()
	m := compiled(t, open(t, Config{Imports: []Import{sendImport}}), "hostile")
	_, err := m.Call(context.Background(), Call{Plugin: "p", Export: "unreachable"})
	if msg := fault.PublicMessage(err); msg != "guest p: trap: unreachable" {
		t.Errorf("public: %q", msg)
	}
	if !strings.Contains(err.Error(), "wasm stack trace") {
		t.Errorf("for operators: %q", err.Error())
	}
}

// TestAfterCall_SeesAllMemory: what a guest has been given is in what AfterCall sees, in both engines, also after a trap.
func TestAfterCall_SeesAllMemory(t *testing.T) {
	t.Parallel()
	const planted = "planted-secret-8d1f"
	for name, open := range map[string]opener{Native: OpenNative, Extism: OpenExtism} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen, calls := false, 0
			e, err := open(context.Background(), Config{Imports: []Import{sendImport}, AfterCall: func(plugin string, memory [][]byte) {
				calls++
				for _, m := range memory {
					seen = seen || bytes.Contains(m, []byte(planted))
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close(context.Background())
			m := compiled(t, e, "good")
			if _, err := m.Call(context.Background(), Call{Plugin: "good", Export: "noop"}); err != nil || seen {
				t.Errorf("before: seen %v, %v", seen, err)
			}
			_, err = m.Call(context.Background(), Call{
				Plugin: "good", Export: "send",
				Host: func(context.Context, Import, []byte) []byte { return []byte(planted) },
			})
			if err != nil || !seen {
				t.Errorf("after: seen %v, %v", seen, err)
			}
			if _, err = compiled(t, e, "hostile").Call(context.Background(), Call{Plugin: "hostile", Export: "unreachable"}); err == nil || calls != 3 {
				t.Errorf("%d calls seen, %v", calls, err)
			}
		})
	}
}

func TestOpen_RefusesUnknownEngines(t *testing.T) {
	t.Parallel()
	if _, err := Open(context.Background(), "v8", Config{}); !fault.Is(err, fault.Invalid) {
		t.Error(err)
	}
}

func TestOpen_RefusesAnImportTwice(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]opener{Native: OpenNative, Extism: OpenExtism} {
		for _, im := range []Import{sendImport, {"extism:host/env", "alloc"}} {
			if _, err := open(context.Background(), Config{Imports: []Import{sendImport, im}}); !fault.Is(err, fault.Invalid) {
				t.Errorf("%s, %v: %v", name, im, err)
			}
		}
	}
}

func TestCache_SurvivesAndHeals(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]opener{Native: OpenNative, Extism: OpenExtism} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "cache")
			use := func() {
				t.Helper()
				e, err := open(context.Background(), Config{CacheDir: dir, Imports: []Import{sendImport}})
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close(context.Background())
				if r, err := compiled(t, e, "good").Call(context.Background(), Call{Plugin: "good", Export: "echo", Input: []byte("x")}); err != nil || string(r.Output) != "x" {
					t.Errorf("%q, %v", r.Output, err)
				}
			}
			use()
			files, _ := filepath.Glob(filepath.Join(dir, "*", "*"))
			if len(files) == 0 {
				t.Fatal("nothing was cached")
			}
			for _, damage := range []func(string) error{
				func(f string) error { return os.WriteFile(f, []byte("garbage"), 0o600) },
				func(f string) error { return os.Truncate(f, 100) },
				func(f string) error { return os.Truncate(f, 0) },
			} {
				for _, f := range files {
					if err := damage(f); err != nil {
						t.Fatal(err)
					}
				}
				use()
			}
		})
	}
}

func TestCache_ThatCannotBeUsedIsOurFault(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]opener{Native: OpenNative, Extism: OpenExtism} {
		_, err := open(context.Background(), Config{CacheDir: filepath.Join(file, "cache")})
		if fault.SideOf(err) != fault.Host || !fault.Is(err, fault.Unavailable) || ReasonOf(err) != ReasonHost {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), file) {
			t.Errorf("%s: it names the place: %v", name, err)
		}
	}
}

func TestPoll_WaitsForTheFirstOnly(t *testing.T) {
	t.Parallel()
	k := testKernel(1 << 12)
	defer k.cancel()
	now := time.Unix(1000, 0)
	k.clock.start(now, bootMono)
	subscribe := func(i int, kind byte, id uint32, timeout uint64, flags uint16) {
		s := k.memory.Bytes()[i*48:]
		binary.LittleEndian.PutUint64(s, uint64(i)+1)
		s[8] = kind
		binary.LittleEndian.PutUint32(s[16:], id)
		binary.LittleEndian.PutUint64(s[24:], timeout)
		binary.LittleEndian.PutUint16(s[40:], flags)
	}
	poll := func(n uint64) (events []uint64, errno uint64) {
		errno = poll(k, []uint64{0, 1000, n, 900})
		for i := range binary.LittleEndian.Uint32(k.memory.Bytes()[900:]) {
			events = append(events, binary.LittleEndian.Uint64(k.memory.Bytes()[1000+32*i:]))
		}
		return events, errno
	}
	hour := uint64(time.Hour)
	subscribe(0, eventClock, clockRealtime, hour, 0)
	subscribe(1, eventClock, clockRealtime, uint64(now.UnixNano())-5, absoluteTime) // in the past
	if events, errno := poll(2); errno != 0 || !slices.Equal(events, []uint64{2}) {
		t.Errorf("due clock: %v, %d", events, errno)
	}
	subscribe(1, eventWrite, 1, 0, 0)
	if events, errno := poll(2); errno != 0 || !slices.Equal(events, []uint64{2}) {
		t.Errorf("stdout: %v, %d", events, errno)
	}
	subscribe(0, eventRead, 99, 0, 0)
	if events, errno := poll(1); errno != 0 || !slices.Equal(events, []uint64{1}) || k.memory.Bytes()[1008] != errnoBadf {
		t.Errorf("unknown descriptor: %v, %d", events, errno)
	}
	subscribe(0, 7, 0, 0, 0)
	if _, errno := poll(1); errno != errnoInval {
		t.Errorf("unknown kind: %d", errno)
	}
}

// testKernel is a kernel with n bytes of linear memory and no guest.
func testKernel(n uint64) *kernel {
	k := &kernel{}
	c := Call{
		Plugin: "p", Export: "x", Input: []byte("some input"), Config: map[string]string{"": "empty name", "key": "value"},
		Limits: Limits{Timeout: time.Minute, ArenaBytes: 1 << 16, OutputBytes: 1 << 12, LogLines: 5},
	}
	if s := k.open(context.Background(), &c, []string{"x"}, memoryRange{0, mostMemory}); s != nil {
		panic(s)
	}
	k.begin(&native{config: Config{}.orDefault(), turns: newTurns()})
	memory, err := snapshot.NewMemory(mostMemory, nil)
	if err != nil {
		panic(err)
	}
	memory.Reallocate(n)
	k.memory = memory
	k.limit.timed()
	stop := k.limit.stop
	k.limit.stop = func() { stop(); memory.Free() }
	return k
}

// TestFixtures_AreThoseOfTheirSources: whoever changes a source also builds it (testdata/build.sh).
func TestFixtures_AreThoseOfTheirSources(t *testing.T) {
	t.Parallel()
	digests, err := os.ReadFile(filepath.Join("testdata", "DIGESTS"))
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(digests)) {
		want, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		content, err := os.ReadFile(filepath.Join("testdata", name))
		sum := sha256.Sum256(content)
		if err != nil || hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s is not what was built: %v", name, err)
		}
		listed[name] = true
	}
	files, _ := filepath.Glob(filepath.Join("testdata", "*.*"))
	for _, f := range files {
		if name := filepath.Base(f); name != "build.sh" && !listed[name] {
			t.Errorf("%s is not in DIGESTS", name)
		}
	}
	if len(listed) == 0 {
		t.Error("DIGESTS is empty")
	}
}

func TestReasonOf_ForeignErrorsAreTheHosts(t *testing.T) {
	t.Parallel()
	if r := ReasonOf(errors.New("x")); r != ReasonHost {
		t.Error(r)
	}
	if r := ReasonOf(nil); r != "" {
		t.Error(r)
	}
}
