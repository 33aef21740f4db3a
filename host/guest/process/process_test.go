package process

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/guest"
)

// TestMain is also what children run: this program is what they are started from.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 {
		switch os.Args[1] {
		case Argument:
			if err := Serve(os.Stdin, os.Stdout); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		case "try":
			tryEverything()
			os.Exit(0)
		case "parent":
			beParent()
		}
	}
	files := openFileCount()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if now := openFileCount(); code == 0 && now > files+slackFiles {
			fmt.Fprintf(os.Stderr, "%d files were open, now %d are\n", files, now)
			code = 1
		}
		if left := children(); code == 0 && len(left) > 0 {
			fmt.Fprintln(os.Stderr, "processes are left:", left)
			code = 1
		}
		os.Exit(code)
	}))
}

// slackFiles are opened once by the Go runtime.
const slackFiles = 4

var send = guest.Import{Module: "frigg:host/http", Name: "send"}

// open opens an engine for the time of a test.
func open(t testing.TB, c Config) *engine {
	t.Helper()
	c.Imports = []guest.Import{send}
	e, err := Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if n := e.Instances(); n != 0 {
			t.Errorf("%d instances are left", n)
		}
	})
	return e.(*engine)
}

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	wasm, err := os.ReadFile(filepath.Join("..", "testdata", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func compile(t testing.TB, e guest.Engine, name string) *module {
	t.Helper()
	m, err := e.Compile(context.Background(), fixture(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return m.(*module)
}

func run(m guest.Module, export, input string) (string, error) {
	r, err := m.Call(context.Background(), guest.Call{Plugin: "p", Export: export, Input: []byte(input)})
	return string(r.Output), err
}

// clock is one that tests turn.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Unix(1_700_000_000, 0)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) turn(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// kill ends the child of a module as the kernel does when memory runs out.
func kill(m *module) *child {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.child.cmd.Process.Kill()
	return m.child
}

func wantCrash(t *testing.T, err error) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || guest.ReasonOf(err) != guest.ReasonCrashed || f.Kind != fault.Unavailable || f.Side != fault.Guest || !fault.Retryable(err) {
		t.Fatalf("want a crash, got %v", err)
	}
}

func TestCall_ACrashIsATypedErrorAndHurtsNobodyElse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, module, export string }{
		{"in a loop", "hostile", "loop"},
		{"in a host function", "good", "send"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			clock := newClock()
			e := open(t, Config{now: clock.now})
			m, other := compile(t, e, c.module), compile(t, e, "bulk")
			inside, goOn := make(chan struct{}), make(chan struct{})
			failed := make(chan error, 2)
			for range 2 {
				go func() {
					_, err := m.Call(context.Background(), guest.Call{
						Plugin: "p", Export: c.export, Input: []byte("x"),
						Host: func(context.Context, guest.Import, []byte) []byte { inside <- struct{}{}; <-goOn; return nil },
					})
					failed <- err
				}()
			}
			if c.export == "send" {
				<-inside
				<-inside
				<-kill(m).dead
				close(goOn)
			} else {
				for e.Instances() < 2 {
					time.Sleep(time.Millisecond)
				}
				<-kill(m).dead
			}
			for range 2 {
				err := <-failed
				wantCrash(t, err)
				if fault.RetryAfterOf(err) != firstDelay {
					t.Errorf("again after %v", fault.RetryAfterOf(err))
				}
			}
			if out, err := run(other, "echo", "still here"); err != nil || out != "still here" {
				t.Errorf("another plugin: %q, %v", out, err)
			}
			_, err := run(m, c.export, "")
			if guest.ReasonOf(err) != guest.ReasonBusy || fault.KindOf(err) != fault.RateLimited || fault.RetryAfterOf(err) != firstDelay ||
				fault.PublicMessage(err) != "guest p: its process has crashed; it is started again in 1s" {
				t.Errorf("right after the crash: %v, again after %v", err, fault.RetryAfterOf(err))
			}
			clock.turn(firstDelay)
			if _, err := m.Call(context.Background(), guest.Call{Plugin: "p", Export: m.exports[0], Limits: guest.Limits{Timeout: 50 * time.Millisecond}}); guest.ReasonOf(err) == guest.ReasonCrashed || guest.ReasonOf(err) == guest.ReasonBusy {
				t.Errorf("after the wait: %v", err)
			}
		})
	}
}

func TestCompile_ACrashIsATypedErrorAndIsNotRepeatedAtOnce(t *testing.T) {
	t.Parallel()
	clock := newClock()
	e := open(t, Config{now: clock.now})
	e.config.program = []string{"/bin/sh", "-c", "read x; kill -9 $$"}
	wasm := fixture(t, "good")
	_, err := e.Compile(context.Background(), wasm)
	wantCrash(t, err)
	if _, err = e.Compile(context.Background(), wasm); guest.ReasonOf(err) != guest.ReasonBusy {
		t.Errorf("at once: %v", err)
	}
	clock.turn(firstDelay)
	_, err = e.Compile(context.Background(), wasm)
	wantCrash(t, err)
}

func TestCompile_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	e := open(t, Config{})
	e.config.program = []string{"/bin/sh", "-c", "read x; while :; do :; done"}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := e.Compile(ctx, fixture(t, "good")); fault.KindOf(err) != fault.Timeout {
		t.Errorf("want a timeout, got %v", err)
	}
	if wait := e.crashes.wait(sha256.Sum256(fixture(t, "good"))); wait != 0 {
		t.Error("a compilation that nobody waits for counts as a crash")
	}
}

func TestCalls_GoOnBesideACrash(t *testing.T) {
	t.Parallel()
	e := open(t, Config{})
	good, bad := compile(t, e, "good"), compile(t, e, "hostile")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 100 {
				if i == 0 && j == 30 {
					kill(bad)
				}
				in := fmt.Sprint(i, j)
				r, err := good.Call(context.Background(), guest.Call{
					Plugin: "good", Export: "send", Input: []byte(in),
					Host: func(_ context.Context, _ guest.Import, request []byte) []byte { return bytes.Clone(request) },
				})
				if err != nil || string(r.Output) != in {
					t.Errorf("call %s: %q, %v", in, r.Output, err)
				}
			}
		})
	}
	wg.Wait()
	<-bad.child.dead
}

func TestCrashes_WaitDoublesAndIsForgotten(t *testing.T) {
	t.Parallel()
	clock := newClock()
	c := newCrashes(clock.now)
	d, other := digest{1}, digest{2}
	for n, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		want *= time.Second
		if got := c.add(d); got != want || c.wait(d) != want {
			t.Errorf("crash %d: waits %v and %v, want %v", n+1, got, c.wait(d), want)
		}
		clock.turn(want)
		if c.wait(d) != 0 {
			t.Errorf("crash %d: it waits longer", n+1)
		}
	}
	clock.turn(calm)
	c.add(other)
	if len(c.of) != 1 {
		t.Error("what is over is kept")
	}
	if got := c.add(d); got != firstDelay {
		t.Errorf("after a calm minute it waits %v", got)
	}
}

func TestEngine_PluginsShareTheRoomForChildren(t *testing.T) {
	t.Parallel()
	e := open(t, Config{Children: 2, Source: sourceOf(t, "good", "bulk", "hostile")})
	all := map[string]*module{}
	for export, name := range map[string]string{"noop": "good", "echo": "bulk", "exit_0": "hostile"} {
		all[export] = compile(t, e, name)
	}
	for range 3 {
		for export, m := range all {
			if _, err := run(m, export, ""); err != nil {
				t.Fatal(err)
			}
			if n := len(e.nursery.room); n > 2 {
				t.Fatalf("%d children", n)
			}
		}
	}
}

// sourceOf is a source with these fixtures.
func sourceOf(t *testing.T, names ...string) func([sha256.Size]byte) ([]byte, error) {
	all := map[digest][]byte{}
	for _, n := range names {
		wasm := fixture(t, n)
		all[sha256.Sum256(wasm)] = wasm
	}
	return func(sum [sha256.Size]byte) ([]byte, error) {
		if wasm := all[sum]; wasm != nil {
			return wasm, nil
		}
		return nil, errors.New("it is gone")
	}
}

func TestEngine_AChildWithoutCallsLeavesAndAnotherIsStarted(t *testing.T) {
	t.Parallel()
	e := open(t, Config{Idle: time.Millisecond})
	m := compile(t, e, "good")
	for range 3 {
		if out, err := run(m, "echo", "x"); err != nil || out != "x" {
			t.Fatalf("%q, %v", out, err)
		}
		m.mu.Lock()
		ch := m.child
		m.mu.Unlock()
		<-ch.dead
	}
	if wait := e.crashes.wait(m.sum); wait != 0 {
		t.Error("leaving counts as a crash")
	}
}

func TestCall_LeavesAChildThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	e := open(t, Config{stuck: 100 * time.Millisecond})
	m := compile(t, e, "good")
	if err := pause(m.child.cmd.Process); err != nil {
		t.Skip(err)
	}
	start := time.Now()
	r, err := m.Call(context.Background(), guest.Call{Plugin: "p", Export: "echo", Limits: guest.Limits{Timeout: 50 * time.Millisecond}})
	if guest.ReasonOf(err) != guest.ReasonDeadline || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 3*time.Second || r.Duration == 0 {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
	if fault.PublicMessage(err) != "guest p: deadline exceeded (50ms) in echo" {
		t.Error(err)
	}
	<-m.child.dead
	if wait := e.crashes.wait(m.sum); wait == 0 {
		t.Error("a child that had to be ended does not count as a crash")
	}
}

func TestOpen_RefusesToShowMemory(t *testing.T) {
	t.Parallel()
	_, err := Open(context.Background(), Config{Config: guest.Config{AfterCall: func(string, [][]byte) {}}})
	if !fault.Is(err, fault.Unsupported) {
		t.Error(err)
	}
}

func TestOpen_SaysThatNoChildStarts(t *testing.T) {
	t.Parallel()
	for _, program := range [][]string{{"/nowhere"}, {"/bin/true"}} {
		_, err := Open(context.Background(), Config{program: program})
		if fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%s: %v", program, err)
		}
	}
}

// A field that is new in package guest crosses the wire, or somebody has decided that it does not.
func TestWire_KnowsEveryField(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		of    any
		known string
	}{
		{guest.Config{}, "Imports CacheDir CacheBytes MemoryCeiling Entropy Now Isolation IdleInstances IdleBytes IdleTime Log Interpreter AfterCall"},
		{guest.Call{}, "Plugin Export Input Config Limits Host Seed Now Sleep Log"},
	} {
		var fields []string
		for _, f := range reflect.VisibleFields(reflect.TypeOf(c.of)) {
			if f.IsExported() {
				fields = append(fields, f.Name)
			}
		}
		if got := strings.Join(fields, " "); got != c.known {
			t.Errorf("%T has fields\n%s, known are\n%s", c.of, got, c.known)
		}
	}
}
