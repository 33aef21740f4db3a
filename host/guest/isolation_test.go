package guest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// gopherBytes builds the standard Go guest of the tests, once.
var gopherBytes = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "gopher")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "gopher.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", out, "./testdata/gopher")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if said, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, said)
	}
	return os.ReadFile(out)
})

// gopher is that guest. Compiling it under the race detector would take minutes.
func gopher(t testing.TB) []byte {
	t.Helper()
	if underRace {
		t.Skip("the race detector watches the compiler, too")
	}
	wasm, err := gopherBytes()
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// cacheDir is for the compiled code of large guests. TestMain removes it.
var cacheDir = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "compiled")
	if err != nil {
		panic(err)
	}
	return dir
})

// compiledBytes compiles a module for the time of a test.
func compiledBytes(t testing.TB, e Engine, wasm []byte) *nativeModule {
	t.Helper()
	m, err := e.Compile(context.Background(), wasm)
	if err != nil {
		t.Fatal(err)
	}
	return m.(*nativeModule)
}

// times is how often something is repeated: often, or as often as FRIGG_TEST_CALLS says.
func times(t testing.TB, often int) int {
	t.Helper()
	s := os.Getenv("FRIGG_TEST_CALLS")
	if s == "" {
		return often
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// idleOf returns the idle instances of a module.
func (p *pool) idleOf(m *nativeModule) []*instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(m.idle)
}

// traces says what is left of a call in an idle instance; "" is nothing. It looks at every byte.
func (i *instance) traces() error {
	t := i.template
	if memory := i.memory.Bytes(); uint64(len(memory)) != t.image.Size() || sha256.Sum256(memory) != t.image.Sum() {
		return errors.New("its memory is not the image")
	}
	if guests := i.guest.Memory().Size(); uint64(guests) != t.image.Size() {
		return fmt.Errorf("the engine takes its memory for %d bytes", guests)
	}
	if !i.clean() {
		return errors.New("something is behind its memory, or its globals have other values")
	}
	return i.kernel.traces()
}

// traces looks at everything that the host keeps of a call.
func (k *kernel) traces() error {
	for at, b := range k.arena[:cap(k.arena)] {
		if b != 0 {
			return fmt.Errorf("byte %d of its arena is %#x", at, b)
		}
	}
	if len(k.arena) != 0 || len(k.blocks) != 0 {
		return fmt.Errorf("%d bytes of arena and %d blocks", len(k.arena), len(k.blocks))
	}
	rest := *k
	rest.memory, rest.fuel, rest.script, rest.arena, rest.blocks = nil, nil, nil, nil, nil
	if !reflect.ValueOf(rest).IsZero() {
		return fmt.Errorf("its kernel still knows %+v", rest)
	}
	return nil
}

// scene is one call of a mix, and how it must end.
type scene struct {
	export string
	limits Limits
	cancel bool // in the middle
	host   HostFunc
	want   Reason
}

func panicking(context.Context, Import, []byte) []byte { panic("bug") }

func answering(context.Context, Import, []byte) []byte {
	return bytes.Repeat([]byte("secret of a tenant"), 100)
}

var (
	instant   = Limits{Timeout: time.Millisecond}
	gopherMix = []scene{
		{export: "noop"},
		{export: "churn"},
		{export: "grow"},
		{export: "deep"},
		{export: "work"},
		{export: "random"},
		{export: "panics", want: ReasonTrap},
		{export: "exits", want: ReasonFailed},
		{export: "ask", host: answering},
		{export: "ask", host: panicking, want: ReasonHost},
		{export: "ask", cancel: true, host: answering, want: ReasonCanceled},
		{export: "spin", limits: Limits{Fuel: 100_000}, want: ReasonFuel},
		{export: "spin", limits: instant, want: ReasonDeadline},
		{export: "grow", limits: Limits{MemoryBytes: 6 << 20}, want: ReasonMemory},
	}
	goodMix = []scene{
		{export: "noop"},
		{export: "state"},
		{export: "variable"},
		{export: "print"},
		{export: "sources"},
		{export: "echo"},
		{export: "fail", want: ReasonFailed},
		{export: "log"},
		{export: "send", host: answering},
		{export: "send", host: panicking, want: ReasonHost},
		{export: "send", cancel: true, host: answering, want: ReasonCanceled},
		{export: "send", limits: Limits{HostCalls: 1, OutputBytes: 10}, host: answering, want: ReasonOutput},
	}
	hostileMix = []scene{
		{export: "exit_0"},
		{export: "exit_7", want: ReasonFailed},
		{export: "unreachable", want: ReasonTrap},
		{export: "out_of_bounds", want: ReasonTrap},
		{export: "recurse", want: ReasonTrap},
		{export: "ask_memory", limits: Limits{MemoryBytes: 4 << 20}},
		{export: "eat_memory", limits: Limits{MemoryBytes: 4 << 20}, want: ReasonMemory},
		{export: "eat_arena_in_crumbs", limits: Limits{ArenaBytes: 1 << 18}, want: ReasonArena},
		{export: "eat_arena", limits: Limits{ArenaBytes: 4 << 20}, want: ReasonArena},
		{export: "eat_variables", want: ReasonArena},
		{export: "flood_log", limits: Limits{LogLines: 2}, want: ReasonLog},
		{export: "loop", limits: instant, want: ReasonDeadline},
		{export: "loop", limits: Limits{Fuel: 50_000}, want: ReasonFuel},
		{export: "sleep_an_hour", limits: instant, want: ReasonDeadline},
		{export: "call_forever", limits: Limits{HostCalls: 20}, host: answering, want: ReasonHostCalls},
		{export: "overwrite_input"},
	}
	overflowMix = []scene{
		{export: "recurse", want: ReasonTrap},
	}
)

func (s scene) play(m Module) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	host := s.host
	if s.cancel {
		host = func(ctx context.Context, im Import, request []byte) []byte {
			cancel()
			return s.host(ctx, im, request)
		}
	}
	_, err := m.Call(ctx, Call{
		Plugin: "p", Export: s.export, Input: bytes.Repeat([]byte("input of a tenant"), 50), Limits: s.limits, Host: host,
		Config: map[string]string{"greeting": "configuration of a tenant"}, Log: func(Level, string) {},
	})
	if got := ReasonOf(err); got != s.want {
		return fmt.Errorf("%s ended with %q and not %q: %w", s.export, got, s.want, err)
	}
	return nil
}

// TestIsolation_NothingOfACallIsLeft: after every kind of call, in random order, on the same instance.
func TestIsolation_NothingOfACallIsLeft(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		wasm  func(testing.TB) []byte
		mix   []scene
		look  int // after so many calls
		first string
	}{
		{"gopher", gopher, gopherMix, 97, "state"},
		{"good", func(testing.TB) []byte { return fixture("good") }, goodMix, 7, "state"},
		{"hostile", func(testing.TB) []byte { return fixture("hostile") }, hostileMix, 7, "exit_0"},
		{"recurse", func(testing.TB) []byte { return fixture("recurse") }, overflowMix, 1, ""},
	} {
		for _, isolation := range []Isolation{"", Copy} {
			t.Run(c.name+" "+string(isolation), func(t *testing.T) {
				t.Parallel()
				wasm := c.wasm(t)
				e := open(t, Config{Imports: []Import{sendImport}, Isolation: isolation, CacheDir: cacheDir()}).(*native)
				m := compiledBytes(t, e, wasm)
				if m.template == nil || m.Describe().Isolation != e.Report().Isolation {
					t.Fatalf("it is not put back: %+v", m.Describe())
				}
				answer := func() string {
					if c.first == "" {
						return ""
					}
					r, err := m.Call(context.Background(), Call{Plugin: "p", Export: c.first})
					if err != nil {
						t.Fatal(err)
					}
					return string(r.Output)
				}
				first := answer()
				random := rand.New(rand.NewPCG(1, 2))
				calls := times(t, 300)
				if c.mix[0].want == ReasonTrap { // each takes a new instance and 100 MB of stack
					calls = 20
				}
				for n := range calls {
					s := c.mix[random.IntN(len(c.mix))]
					if err := s.play(m); err != nil {
						t.Fatalf("call %d: %v", n, err)
					}
					if n%c.look != 0 {
						continue
					}
					for _, i := range e.pool.idleOf(m) {
						if err := i.traces(); err != nil {
							t.Fatalf("after call %d, of %s: %v", n, s.export, err)
						}
					}
					if now := answer(); now != first {
						t.Fatalf("after call %d, of %s, it answers %q and not %q", n, s.export, now, first)
					}
				}
				if n, _ := e.pool.len(); n > 1 {
					t.Errorf("%d instances for one call at a time", n)
				}
			})
		}
	}
}

// TestIsolation_LooksAtEverything: what the test above finds.
func TestIsolation_LooksAtEverything(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*instance){
		"a byte":             func(i *instance) { i.memory.Bytes()[70_000]++ },
		"the last byte":      func(i *instance) { i.memory.Bytes()[i.template.image.Size()-1]++ },
		"a global":           func(i *instance) { i.globals[0].Set(i.globals[0].Get() + 16) },
		"growth":             func(i *instance) { i.guest.Memory().Grow(1) },
		"a byte of a block":  func(i *instance) { i.kernel.arena[:cap(i.kernel.arena)][100] = 1 },
		"a variable":         func(i *instance) { i.kernel.vars = map[string][]byte{"a": nil} },
		"what it printed":    func(i *instance) { _, _ = i.kernel.console.Write([]byte("x")) },
		"a count of its log": func(i *instance) { i.kernel.logged.lines = 1 },
		"the call":           func(i *instance) { i.kernel.call = Call{Plugin: "p"} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := open(t, Config{Imports: []Import{sendImport}}).(*native)
			m := compiledBytes(t, e, fixture("good"))
			if err := goodMix[0].play(m); err != nil {
				t.Fatal(err)
			}
			i := e.pool.idleOf(m)[0]
			if err := i.traces(); err != nil {
				t.Fatal(err)
			}
			spoil(i)
			if err := i.traces(); err == nil {
				t.Error("it was not noticed")
			}
		})
	}
}

// TestIsolation_ResultsDoNotShareMemoryWithInstances: what a call gave stays as it was.
func TestIsolation_ResultsDoNotShareMemoryWithInstances(t *testing.T) {
	t.Parallel()
	m := compiled(t, open(t, Config{Imports: []Import{sendImport}}), "good")
	call := func(export, input string) Result {
		r, err := m.Call(context.Background(), Call{Plugin: "p", Export: export, Input: []byte(input)})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	printed, echoed := call("print", ""), call("echo", "one")
	for range 10 {
		call("echo", "two")
		call("print", "")
	}
	if string(printed.Console) != "to stderr\n" || string(echoed.Output) != "one" {
		t.Errorf("they have become %q and %q", printed.Console, echoed.Output)
	}
}

// locked reports whether the goroutine keeps its thread.
func locked() bool {
	var b [200]byte
	header, _, _ := bytes.Cut(b[:runtime.Stack(b[:], false)], []byte("\n"))
	return bytes.Contains(header, []byte("locked to thread"))
}

// TestIsolation_WhoWaitsKeepsNoThread: neither while the host answers or writes a log, nor after a call, however it ends.
func TestIsolation_WhoWaitsKeepsNoThread(t *testing.T) {
	t.Parallel()
	asked, logged := 0, 0
	check := func(what string) {
		if locked() {
			t.Errorf("%s: the goroutine keeps its thread", what)
		}
	}
	for name, exports := range map[string][]string{
		"good":    {"noop", "send", "log", "fail", "state"},
		"hostile": {"exit_0", "unreachable", "loop", "sleep_an_hour", "eat_memory", "recurse"},
	} {
		m := compiled(t, open(t, Config{Imports: []Import{sendImport}}), name)
		for _, export := range slices.Concat(exports, exports) {
			_, _ = m.Call(context.Background(), Call{
				Plugin: "p", Export: export, Input: []byte("input"), Limits: Limits{Timeout: 5 * time.Millisecond, MemoryBytes: 1 << 20},
				Host: func(ctx context.Context, im Import, request []byte) []byte {
					asked++
					check("asking in " + export)
					return answering(ctx, im, request)
				},
				Log: func(Level, string) { logged++; check("the log of " + export) },
			})
			check("after " + export)
		}
	}
	if asked == 0 || logged == 0 {
		t.Errorf("%d questions and %d lines of log", asked, logged)
	}
}
