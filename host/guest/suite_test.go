package guest

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
)

// opener opens an engine.
type opener func(context.Context, Config) (Engine, error)

// check is one promise of the interface. It returns what is wrong, so that it can also be held against engines that are
// wrong on purpose.
type check struct {
	name   string
	config func(*Config)
	run    func(e Engine) error
}

var sendImport = Import{"frigg:host/http", "send"}

// suite holds every check against the engine that open opens.
func suite(t *testing.T, open opener) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if err := c.against(open); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// against opens an engine, runs the check, and looks for instances that were left open.
func (c check) against(open opener) (err error) {
	config := Config{Imports: []Import{sendImport}}
	if c.config != nil {
		c.config(&config)
	}
	e, err := open(context.Background(), config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close(context.Background())) }()
	if err := c.run(e); err != nil {
		return err
	}
	if n := e.Instances(); n != 0 {
		return fmt.Errorf("%d instances are still open", n)
	}
	return nil
}

var checks = []check{
	{name: "EchoesInputOfEverySize", run: echoesInputOfEverySize},
	{name: "OutputBelongsToTheCaller", run: outputBelongsToTheCaller},
	{name: "ReadsOutputThatTheGuestFreed", run: readsFreedOutput},
	{name: "StateDoesNotSurviveACall", run: stateDoesNotSurvive},
	{name: "VariablesLiveAsLongAsTheCall", run: outputs("good", "variable", Call{}, "value")},
	{name: "GivesConfiguration", run: outputs("good", "configured", Call{Config: map[string]string{"greeting": "hello"}}, "hello")},
	{name: "MissingConfigurationIsEmpty", run: outputs("good", "configured", Call{}, "")},
	{name: "RunsACommandWithoutSetUp", run: outputs("command", "_start", Call{}, "0")},
	{name: "SetsUpBeforeAnyOtherExport", run: outputs("command", "constructed", Call{}, "1")},
	{name: "ExitWithZeroIsSuccess", run: outputs("hostile", "exit_0", Call{}, "done")},
	{name: "RefusedMemoryIsNoErrorByItself", run: outputs("hostile", "ask_memory", Call{Limits: Limits{MemoryBytes: 4 << 20}}, "")},
	{name: "ListsCallableExports", run: listsCallableExports},
	{name: "PassesLogOn", run: passesLogOn},
	{name: "DropsAndCountsLogAboveTheLimit", run: dropsLog},
	{name: "AsksTheHost", run: asksTheHost},
	{name: "WithoutHostNothingIsGranted", run: withoutHostNothingIsGranted},
	{name: "PanicOfAHostFunctionIsOurs", run: panicOfAHostFunctionIsOurs},
	{name: "HostFunctionsSeeTheDeadline", run: hostFunctionsSeeTheDeadline},
	{name: "HostFunctionsMayCallGuests", run: hostFunctionsMayCallGuests},
	{name: "LargestLimitsDoNotOverflow", run: outputs("hostile", "exit_0", Call{Limits: Limits{
		MemoryBytes: math.MaxUint64, InputBytes: math.MaxUint64,
		OutputBytes: math.MaxUint64, ArenaBytes: math.MaxUint64, LogBytes: math.MaxInt, LogLines: math.MaxInt, HostCalls: math.MaxInt, Timeout: math.MaxInt64,
	}}, "done")},
	{name: "KeepsWhatTheGuestPrinted", run: keepsWhatTheGuestPrinted},
	{name: "SourcesAreThoseOfTheConfig", run: sourcesAreThoseOfTheConfig, config: func(c *Config) {
		c.Entropy = rand.NewChaCha8([32]byte{1})
		c.Now = func() time.Time { return time.Unix(1_700_000_000, 5000) }
	}},
	{name: "Sleeps", run: sleeps},
	{name: "StopsTheHostile", run: stopsTheHostile},
	{name: "StopsWhenTheCallerGoes", run: stopsWhenTheCallerGoes},
	{name: "CallersDeadlineCounts", run: callersDeadlineCounts},
	{name: "NoOffsetHurts", run: noOffsetHurts},
	{name: "NoAddressHurts", run: noAddressHurts},
	{name: "NeverWritesToTheInput", run: neverWritesToTheInput},
	{name: "RefusesBrokenModules", run: refusesBrokenModules},
	{name: "RefusesImportsThatAreNotOffered", run: refusesImports},
	{name: "RefusesMissingExports", run: refusesMissingExports},
	{name: "RefusesLargeInputBeforeAnythingRuns", run: refusesLargeInput},
	{name: "CallsAfterCloseFail", run: callsAfterCloseFail},
	{name: "CloseWaitsForRunningCalls", run: closeWaitsForRunningCalls},
	{name: "CloseGivesUpWithItsContext", run: closeGivesUpWithItsContext},
	{name: "DoesNotRetainTheBytes", run: doesNotRetainTheBytes},
	{name: "ManyAtOnce", run: manyAtOnce},
}

// fixture is a module of testdata.
func fixture(name string) []byte {
	wasm, err := os.ReadFile(filepath.Join("testdata", name+".wasm"))
	if err != nil {
		panic(err) // a test without its fixture is no test
	}
	return wasm
}

// with compiles a fixture for the time of do.
func with(e Engine, name string, do func(Module) error) error {
	m, err := e.Compile(context.Background(), fixture(name))
	if err != nil {
		return fmt.Errorf("compiling %s: %w", name, err)
	}
	return errors.Join(do(m), m.Close(context.Background()))
}

// outputs is a check that one call succeeds with this output.
func outputs(module, export string, c Call, want string) func(Engine) error {
	return func(e Engine) error {
		return with(e, module, func(m Module) error {
			c.Plugin, c.Export = module, export
			r, err := m.Call(context.Background(), c)
			if err != nil {
				return err
			}
			return equal("output", want, string(r.Output))
		})
	}
}

func equal[T any](what string, want, got T) error {
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("%s (-want +got):\n%s", what, diff)
	}
	return nil
}

func echoesInputOfEverySize(e Engine) error {
	return with(e, "good", func(m Module) error {
		for _, n := range []int{0, 1, 7, 8, 9, 1024, 65536 + 3, 3 << 20} {
			in := bytes.Repeat([]byte{0xab, 1, 2}, n/3+1)[:n]
			r, err := m.Call(context.Background(), Call{Plugin: "good", Export: "echo", Input: in})
			if err != nil {
				return err
			}
			if !bytes.Equal(in, r.Output) {
				return fmt.Errorf("an input of %d bytes came back differently", n)
			}
			if r.Duration <= 0 || r.MemoryBytes == 0 {
				return fmt.Errorf("result is not filled: %+v", r)
			}
		}
		return nil
	})
}

func outputBelongsToTheCaller(e Engine) error {
	return with(e, "good", func(m Module) error {
		call := func(in string) ([]byte, error) {
			r, err := m.Call(context.Background(), Call{Plugin: "good", Export: "echo", Input: []byte(in)})
			return r.Output, err
		}
		first, err := call("first")
		if err != nil {
			return err
		}
		if _, err := call("other"); err != nil {
			return err
		}
		return equal("first output after a second call", "first", string(first))
	})
}

func readsFreedOutput(e Engine) error {
	return outputs("good", "echo_freed", Call{Input: []byte("freed, not gone")}, "freed, not gone")(e)
}

func stateDoesNotSurvive(e Engine) error {
	return with(e, "good", func(m Module) error {
		for range 3 {
			r, err := m.Call(context.Background(), Call{Plugin: "good", Export: "state"})
			if err != nil {
				return err
			}
			if err := equal("global, memory, variable", []byte{1, 0, 0}, r.Output); err != nil {
				return err
			}
		}
		return nil
	})
}

func listsCallableExports(e Engine) error {
	return with(e, "command", func(m Module) error {
		return equal("exports", []string{"_start", "constructed"}, m.Exports())
	})
}

type logLine struct {
	Level Level
	Msg   string
}

func passesLogOn(e Engine) error {
	return with(e, "good", func(m Module) error {
		var got []logLine
		_, err := m.Call(context.Background(), Call{
			Plugin: "good", Export: "log", Input: []byte("gr\xff\u00fc\u00df"),
			Log: func(l Level, msg string) { got = append(got, logLine{l, msg}) },
		})
		if err != nil {
			return err
		}
		return equal("log", []logLine{{LevelInfo, "gr\uFFFD\u00fc\u00df"}}, got)
	})
}

func dropsLog(e Engine) error {
	return with(e, "hostile", func(m Module) error {
		lines := 0
		r, err := m.Call(context.Background(), Call{
			Plugin: "hostile", Export: "flood_log", Limits: Limits{LogLines: 3},
			Log: func(Level, string) { lines++ },
		})
		if ReasonOf(err) != ReasonLog {
			return fmt.Errorf("want the flood to be stopped, got %v", err)
		}
		if err := equal("lines", 3, lines); err != nil {
			return err
		}
		lines = 0
		if r.LogDropped != 301 {
			return fmt.Errorf("dropped %d lines, want 301", r.LogDropped)
		}
		r, _ = m.Call(context.Background(), Call{
			Plugin: "hostile", Export: "flood_log", Limits: Limits{LogBytes: 50},
			Log: func(Level, string) { lines++ },
		})
		return equal("lines in 50 bytes", 2, lines)
	})
}

func asksTheHost(e Engine) error {
	return with(e, "good", func(m Module) error {
		var asked []string
		r, err := m.Call(context.Background(), Call{
			Plugin: "good", Export: "send", Input: []byte("ping"),
			Host: func(_ context.Context, im Import, request []byte) []byte {
				asked = append(asked, im.Module+" "+im.Name+" "+string(request))
				return []byte("pong")
			},
		})
		if err != nil {
			return err
		}
		return errors.Join(equal("asked", []string{"frigg:host/http send ping"}, asked),
			equal("output", "pong", string(r.Output)), equal("host calls", 1, r.HostCalls))
	})
}

func withoutHostNothingIsGranted(e Engine) error {
	return with(e, "good", func(m Module) error {
		r, err := m.Call(context.Background(), Call{Plugin: "good", Export: "send", Input: []byte("ping")})
		if err != nil {
			return err
		}
		var got abi.Answer
		if err := json.Unmarshal(r.Output, &got); err != nil {
			return err
		}
		return equal("answer", abi.Answer{Fault: &abi.Fault{Kind: abi.FaultKindForbidden, Side: abi.FaultSideGuest, Message: "not granted: http.send"}}, got)
	})
}

func panicOfAHostFunctionIsOurs(e Engine) error {
	return with(e, "good", func(m Module) error {
		_, err := m.Call(context.Background(), Call{
			Plugin: "good", Export: "send",
			Host: func(context.Context, Import, []byte) []byte { panic("bug") },
		})
		if err := wantStop(err, ReasonHost, fault.Internal, fault.Host, "guest good: host function frigg:host/http send failed"); err != nil {
			return err
		}
		_, err = m.Call(context.Background(), Call{Plugin: "good", Export: "log", Input: []byte("x"), Log: func(Level, string) { panic("bug") }})
		return wantStop(err, ReasonHost, fault.Internal, fault.Host, "guest good: log failed")
	})
}

func hostFunctionsSeeTheDeadline(e Engine) error {
	return with(e, "good", func(m Module) error {
		_, err := m.Call(context.Background(), Call{
			Plugin: "good", Export: "send", Limits: Limits{Timeout: 20 * time.Millisecond},
			Host: func(ctx context.Context, _ Import, _ []byte) []byte {
				<-ctx.Done()
				return nil
			},
		})
		return wantStop(err, ReasonDeadline, fault.Timeout, fault.Guest, "guest good: deadline exceeded (20ms) in send")
	})
}

// hostFunctionsMayCallGuests: a call inside of a call, with the context that the host function got, shares nothing with it.
func hostFunctionsMayCallGuests(e Engine) error {
	return with(e, "good", func(m Module) error {
		var inner error
		r, err := m.Call(context.Background(), Call{Plugin: "outer", Export: "send", Input: []byte("outer"), Host: func(ctx context.Context, _ Import, _ []byte) []byte {
			var r Result
			if r, inner = m.Call(ctx, Call{Plugin: "inner", Export: "state"}); inner == nil {
				inner = equal("state of the inner one", []byte{1, 0, 0}, r.Output)
			}
			return []byte("answer")
		}})
		return errors.Join(err, inner, equal("output of the outer one", "answer", string(r.Output)))
	})
}

func keepsWhatTheGuestPrinted(e Engine) error {
	return with(e, "good", func(m Module) error {
		r, err := m.Call(context.Background(), Call{Plugin: "good", Export: "print"})
		return errors.Join(err, equal("console", "to stderr\n", string(r.Console)))
	})
}

func sourcesAreThoseOfTheConfig(e Engine) error {
	return with(e, "good", func(m Module) error {
		var random [2][]byte
		for i := range random {
			r, err := m.Call(context.Background(), Call{Plugin: "good", Export: "sources"})
			if err != nil {
				return err
			}
			if len(r.Output) != 32 {
				return fmt.Errorf("%d bytes", len(r.Output))
			}
			random[i] = r.Output[:16]
			wall, mono := binary.LittleEndian.Uint64(r.Output[16:]), binary.LittleEndian.Uint64(r.Output[24:])
			if err := equal("wall clock", 1_700_000_000_000_005_000, wall/1000*1000); err != nil {
				return err
			}
			if mono == 0 {
				return errors.New("the monotonic clock stands at 0")
			}
		}
		if bytes.Equal(random[0], random[1]) {
			return errors.New("the same random bytes in two calls")
		}
		return nil
	})
}

func sleeps(e Engine) error {
	return with(e, "good", func(m Module) error {
		const d = 20
		r, err := m.Call(context.Background(), Call{Plugin: "good", Export: "nap", Input: make([]byte, d)})
		if err == nil && r.Duration < d*time.Millisecond {
			err = fmt.Errorf("slept only %v", r.Duration)
		}
		return err
	})
}

// wantStop says how err differs from what is wanted.
func wantStop(err error, reason Reason, kind fault.Kind, side fault.Side, msg string) error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return fmt.Errorf("want %q, got %v", msg, err)
	}
	type outcome struct {
		Reason Reason
		Kind   fault.Kind
		Side   fault.Side
		Msg    string
	}
	return equal("error", outcome{reason, kind, side, msg}, outcome{ReasonOf(err), f.Kind, f.Side, f.Msg})
}

// attack is one thing that a guest tries, and how it ends.
type attack struct {
	module, export string
	limits         Limits
	reason         Reason
	kind           fault.Kind
	side           fault.Side
	msg            string
}

var (
	short  = Limits{Timeout: 100 * time.Millisecond}
	narrow = Limits{MemoryBytes: 4 << 20, ArenaBytes: 8 << 20}
)

var attacks = []attack{
	{"hostile", "loop", short, ReasonDeadline, fault.Timeout, fault.Guest, "deadline exceeded (100ms) in loop"},
	{"explode", "explode", short, ReasonDeadline, fault.Timeout, fault.Guest, "deadline exceeded (100ms) in explode"},
	{"hostile", "sleep_an_hour", short, ReasonDeadline, fault.Timeout, fault.Guest, "deadline exceeded (100ms) in sleep_an_hour"},
	{"hostile", "flood_stderr", short, ReasonDeadline, fault.Timeout, fault.Guest, "deadline exceeded (100ms) in flood_stderr"},
	{"start_loop", "noop", short, ReasonDeadline, fault.Timeout, fault.Guest, "deadline exceeded (100ms) in noop"},
	{"initialize_loop", "noop", short, ReasonDeadline, fault.Timeout, fault.Guest, "deadline exceeded (100ms) in noop"},
	{"hostile", "eat_memory", narrow, ReasonMemory, fault.Exhausted, fault.Guest, "memory limit of 4 MiB reached"},
	{"min_memory", "noop", Limits{}, ReasonMemory, fault.Exhausted, fault.Guest, "needs 4 GiB of memory to start, over the limit of 128 MiB"},
	{"hostile", "eat_arena", narrow, ReasonArena, fault.Exhausted, fault.Guest, "limit of 8 MiB for Extism blocks reached"},
	{"hostile", "eat_arena_in_crumbs", Limits{ArenaBytes: 1 << 18}, ReasonArena, fault.Exhausted, fault.Guest, "limit of 256 KiB for Extism blocks reached"},
	{"hostile", "eat_variables", Limits{}, ReasonArena, fault.Exhausted, fault.Guest, "limit of 1 MiB for variables reached"},
	{"hostile", "unreachable", Limits{}, ReasonTrap, fault.Internal, fault.Guest, "trap: unreachable"},
	{"hostile", "out_of_bounds", Limits{}, ReasonTrap, fault.Internal, fault.Guest, "trap: out of bounds memory access"},
	{"hostile", "divide_by_zero", Limits{}, ReasonTrap, fault.Internal, fault.Guest, "trap: integer divide by zero"},
	{"hostile", "recurse", Limits{}, ReasonTrap, fault.Internal, fault.Guest, "trap: out of bounds memory access"},
	{"recurse", "recurse", Limits{}, ReasonTrap, fault.Internal, fault.Guest, "trap: stack overflow"},
	{"hostile", "flood_log", Limits{LogLines: 10}, ReasonLog, fault.Exhausted, fault.Guest, "flooded the log: 1001 lines and 20020 bytes were dropped"},
	{"hostile", "flood_log_in_gulps", Limits{LogBytes: 1 << 16}, ReasonLog, fault.Exhausted, fault.Guest, "flooded the log: 7 lines and 7 MiB were dropped"},
	{"hostile", "huge_output", Limits{}, ReasonOutput, fault.TooLarge, fault.Guest, "output of 50 MiB is over the limit of 16 MiB"},
	{"hostile", "call_forever", Limits{HostCalls: 1000}, ReasonHostCalls, fault.Exhausted, fault.Guest, "more than 1000 host calls"},
	{"hostile", "exit_7", Limits{}, ReasonFailed, fault.Internal, fault.Guest, "exited with code 7"},
	{"hostile", "exit_like_a_deadline", Limits{}, ReasonFailed, fault.Internal, fault.Guest, "exited with code -268435457"},
	{"hostile", "bad_request", Limits{}, ReasonTrap, fault.Internal, fault.Guest, "trap: there is no block at offset 16045690981097406464"},
	{"good", "fail", Limits{}, ReasonFailed, fault.Internal, fault.Guest, "no such customer"},
	{"good", "fail_zero", Limits{}, ReasonFailed, fault.Internal, fault.Guest, "said with result 0"},
	{"good", "fail_silent", Limits{}, ReasonFailed, fault.Internal, fault.Guest, "fail_silent returned 7"},
}

// stopsTheHostile: each attack ends with an error that names guest and reason, in time, while the others and another guest
// go on.
func stopsTheHostile(e Engine) error {
	return with(e, "good", func(bystander Module) error {
		stop, innocent := make(chan struct{}), make(chan error)
		go func() { innocent <- goOn(bystander, stop) }()
		failures := make([]error, len(attacks))
		var all sync.WaitGroup
		for n, a := range attacks {
			all.Go(func() {
				if err := a.run(e); err != nil {
					failures[n] = fmt.Errorf("%s of %s: %w", a.export, a.module, err)
				}
			})
		}
		all.Wait()
		close(stop)
		return errors.Join(append(failures, <-innocent)...)
	})
}

// goOn calls m until stop is closed, at least once.
func goOn(m Module, stop chan struct{}) error {
	for {
		r, err := m.Call(context.Background(), Call{Plugin: "bystander", Export: "echo", Input: []byte("still here")})
		if err == nil {
			err = equal("output of the bystander", "still here", string(r.Output))
		}
		if err != nil {
			return err
		}
		select {
		case <-stop:
			return nil
		default:
		}
	}
}

// slack is how late a deadline may be on a busy machine.
const slack = 5 * time.Second

func (a attack) run(e Engine) error {
	return with(e, a.module, func(m Module) error {
		r, err := m.Call(context.Background(), Call{
			Plugin: "mallory", Export: a.export, Limits: a.limits,
			Host: func(context.Context, Import, []byte) []byte { return []byte("{}") },
		})
		if a.reason == ReasonDeadline && r.Duration > a.limits.Timeout+slack {
			return fmt.Errorf("took %v", r.Duration)
		}
		if r.Output != nil {
			return errors.New("an error with an output")
		}
		if len(r.Console) > consoleBytes || uint64(r.MemoryBytes) > a.limits.orDefault().MemoryBytes {
			return fmt.Errorf("took %d bytes of console and %d of memory", len(r.Console), r.MemoryBytes)
		}
		return wantStop(err, a.reason, a.kind, a.side, "guest mallory: "+a.msg)
	})
}

func stopsWhenTheCallerGoes(e Engine) error {
	return with(e, "good", func(m Module) error {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		_, err := m.Call(ctx, Call{Plugin: "good", Export: "send", Host: func(ctx context.Context, _ Import, _ []byte) []byte {
			cancel()
			<-ctx.Done()
			return nil
		}})
		if err := wantStop(err, ReasonCanceled, fault.Canceled, fault.Caller, "guest good: canceled by the caller in send"); err != nil {
			return err
		}
		if !errors.Is(err, context.Canceled) {
			return fmt.Errorf("context.Canceled cannot be found in %v", err)
		}
		_, err = m.Call(ctx, Call{Plugin: "good", Export: "echo"})
		return wantStop(err, ReasonCanceled, fault.Canceled, fault.Caller, "guest good: canceled by the caller in echo")
	})
}

func callersDeadlineCounts(e Engine) error {
	return with(e, "hostile", func(m Module) error {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		r, err := m.Call(ctx, Call{Plugin: "hostile", Export: "loop"})
		if ReasonOf(err) != ReasonDeadline || !errors.Is(err, context.DeadlineExceeded) || r.Duration > slack {
			return fmt.Errorf("after %v: %v", r.Duration, err)
		}
		return nil
	})
}

// hostileNumbers are offsets, sizes and addresses at which arithmetic goes wrong.
var hostileNumbers = []uint64{
	0, 1, 7, 8, 15, 16, 63, 64, 65, 71, 72, 80, 103, 104, 112, 120, 160, 200, 207, 208, 209, 1 << 16, 1<<20 - 1, 1 << 20, 1<<20 + 100,
	1<<31 - 1, 1 << 31, 1<<32 - 8, 1<<32 - 1, 1 << 32, 1<<32 + 64, 1<<63 - 1, 1 << 63, 1<<64 - 64, 1<<64 - 16, 1<<64 - 8, 1<<64 - 1,
}

// noOffsetHurts: whatever a guest passes to the kernel, the call succeeds or ends as the guest's fault.
func noOffsetHurts(e Engine) error {
	const functions = 33              // in offsets.c
	two := []int{6, 7, 8, 13, 22, 23} // have a second argument
	step := 1
	if e.Name() == Extism { // slow, and not our kernel
		step = 3
	}
	return with(e, "offsets", func(m Module) error {
		for f := range functions {
			for i := f % step; i < len(hostileNumbers); i += step {
				a := hostileNumbers[i]
				for _, b := range []uint64{0, 1, 40, 1 << 32, 1<<64 - 1} {
					if b != 0 && !slices.Contains(two, f) {
						continue
					}
					in := binary.LittleEndian.AppendUint64([]byte{byte(f)}, a)
					in = binary.LittleEndian.AppendUint64(in, b)
					_, err := m.Call(context.Background(), Call{Plugin: "offsets", Export: "poke", Input: in})
					if err := guestsFault(err); err != nil {
						return fmt.Errorf("function %d with %#x, %#x: %w", f, a, b, err)
					}
				}
			}
		}
		return nil
	})
}

// guestsFault is nil for success and for an error that is the guest's, without a trace of Go.
func guestsFault(err error) error {
	if err == nil || fault.SideOf(err) == fault.Guest && !strings.Contains(err.Error(), "goroutine") && !strings.Contains(err.Error(), ".go:") {
		return nil
	}
	return err
}

func noAddressHurts(e Engine) error {
	const functions = 9 // in wasi.wat
	addresses := []uint32{0, 1, 8, 65535 - 23, 65535 - 8, 65535, 65536, 1 << 31, 1<<32 - 48, 1<<32 - 8, 1<<32 - 1}
	return with(e, "wasi", func(m Module) error {
		for f := range functions {
			for i, a := range addresses {
				for j, b := range addresses {
					c, d := addresses[(i+j)%len(addresses)], addresses[(2*i+j)%len(addresses)]
					in := []byte{byte(f)}
					for _, v := range []uint32{a, b, c, d} {
						in = binary.LittleEndian.AppendUint32(in, v)
					}
					_, err := m.Call(context.Background(), Call{Plugin: "wasi", Export: "poke", Input: in, Limits: short})
					if err := guestsFault(err); err != nil {
						return fmt.Errorf("function %d with %#x, %#x, %#x, %#x: %w", f, a, b, c, d, err)
					}
				}
			}
		}
		return nil
	})
}

func neverWritesToTheInput(e Engine) error {
	return with(e, "hostile", func(m Module) error {
		in := []byte("the caller's own")
		_, err := m.Call(context.Background(), Call{Plugin: "hostile", Export: "overwrite_input", Input: in})
		return errors.Join(err, equal("input after the call", "the caller's own", string(in)))
	})
}

func refusesBrokenModules(e Engine) error {
	good := fixture("good")
	broken := map[string][]byte{
		"empty": {}, "text": []byte("#!/bin/sh\nexit 0\n"), "component": []byte("\x00asm\x0d\x00\x01\x00"),
		"trailing": append(bytes.Clone(good), 0xff),
	}
	for n := 9; n < len(good); n += 101 {
		broken[fmt.Sprintf("first %d bytes", n)] = good[:n]
	}
	for name, wasm := range broken {
		_, err := e.Compile(context.Background(), wasm)
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.Invalid || f.Side != fault.Guest || ReasonOf(err) != ReasonModule || !strings.HasPrefix(f.Msg, "not a usable module: ") {
			return fmt.Errorf("%s: %v", name, err)
		}
		if err := withoutPaths(err); err != nil {
			return err
		}
	}
	return nil
}

// withoutPaths: an error must not tell where things are on this machine.
func withoutPaths(err error) error {
	dir, _ := os.Getwd()
	for _, secret := range []string{dir, os.TempDir(), ".go:"} {
		if strings.Contains(err.Error(), secret) {
			return fmt.Errorf("an error names a path: %w", err)
		}
	}
	return nil
}

func refusesImports(e Engine) error {
	for name, msg := range map[string]string{
		"unknown_import":  `not a usable module: it imports "reveal_secret" of "frigg:host/http", which this host does not offer`,
		"wrong_signature": `not a usable module: it imports "send" of "frigg:host/http" as (ii)->(i), which is (I)->(I)`,
		"memory_import":   `not a usable module: it imports memory "memory" of "env"; only functions can be imported`,
	} {
		_, err := e.Compile(context.Background(), fixture(name))
		if err := wantStop(err, ReasonImport, fault.Invalid, fault.Guest, msg); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func refusesMissingExports(e Engine) error {
	return with(e, "command", func(m Module) error {
		for _, export := range []string{"nothing", "__wasm_call_ctors", ""} {
			_, err := m.Call(context.Background(), Call{Plugin: "command", Export: export})
			if err := wantStop(err, ReasonExport, fault.NotFound, fault.Guest,
				fmt.Sprintf("guest command: no export %q; it offers _start, constructed", export)); err != nil {
				return err
			}
		}
		return nil
	})
}

func refusesLargeInput(e Engine) error {
	return with(e, "good", func(m Module) error {
		_, err := m.Call(context.Background(), Call{Plugin: "good", Export: "echo", Input: make([]byte, 2<<20), Limits: Limits{InputBytes: 1 << 20}})
		return wantStop(err, ReasonInput, fault.TooLarge, fault.Caller, "guest good: input of 2 MiB is over the limit of 1 MiB")
	})
}

func callsAfterCloseFail(e Engine) error {
	m, err := e.Compile(context.Background(), fixture("good"))
	if err != nil {
		return err
	}
	for range 2 {
		if err := m.Close(context.Background()); err != nil {
			return err
		}
	}
	_, err = m.Call(context.Background(), Call{Plugin: "good", Export: "echo"})
	if err := wantStop(err, ReasonClosed, fault.Unavailable, fault.Host, "guest good: it is closed"); err != nil {
		return err
	}
	if err := e.Close(context.Background()); err != nil {
		return err
	}
	_, err = e.Compile(context.Background(), fixture("good"))
	return wantStop(err, ReasonClosed, fault.Unavailable, fault.Host, "the engine is closed")
}

// inside runs do while a call of m is in its host function, and returns that call's error.
func inside(m Module, do func(goOn func())) error {
	running, proceed, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		_, err := m.Call(context.Background(), Call{Plugin: "good", Export: "send", Host: func(context.Context, Import, []byte) []byte {
			close(running)
			<-proceed
			return nil
		}})
		done <- err
	}()
	<-running
	do(sync.OnceFunc(func() { close(proceed) }))
	return <-done
}

func closeWaitsForRunningCalls(e Engine) error {
	m, err := e.Compile(context.Background(), fixture("good"))
	if err != nil {
		return err
	}
	closed := make(chan error, 1)
	err = inside(m, func(goOn func()) {
		defer goOn()
		go func() { closed <- m.Close(context.Background()) }()
		for { // once it refuses new calls, it is waiting for the old one
			if _, err := m.Call(context.Background(), Call{Plugin: "good", Export: "noop"}); ReasonOf(err) == ReasonClosed {
				break
			}
		}
		select {
		case err := <-closed:
			closed <- fmt.Errorf("closed while a call was running: %v", err)
		default:
		}
	})
	return errors.Join(err, <-closed)
}

func closeGivesUpWithItsContext(e Engine) error {
	m, err := e.Compile(context.Background(), fixture("good"))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var gaveUp error
	err = inside(m, func(goOn func()) {
		gaveUp = m.Close(ctx)
		goOn()
	})
	if fault.KindOf(gaveUp) != fault.Canceled {
		return fmt.Errorf("want canceled, got %v", gaveUp)
	}
	return errors.Join(err, m.Close(context.Background()))
}

func doesNotRetainTheBytes(e Engine) error {
	wasm := fixture("good")
	m, err := e.Compile(context.Background(), wasm)
	if err != nil {
		return err
	}
	defer m.Close(context.Background())
	clear(wasm)
	r, err := m.Call(context.Background(), Call{Plugin: "good", Export: "configured", Config: map[string]string{"greeting": "hello"}})
	return errors.Join(err, equal("output", "hello", string(r.Output)))
}

// manyAtOnce mixes good and bad calls of the same modules.
func manyAtOnce(e Engine) error {
	return with(e, "good", func(good Module) error {
		return with(e, "hostile", func(hostile Module) error {
			var wg sync.WaitGroup
			var wrong atomic.Pointer[error]
			for i := range 8 {
				wg.Go(func() {
					for j := range 20 {
						if err := oneOfMany(good, hostile, i, j); err != nil {
							wrong.Store(&err)
						}
					}
				})
			}
			wg.Wait()
			if err := wrong.Load(); err != nil {
				return *err
			}
			return nil
		})
	})
}

func oneOfMany(good, hostile Module, i, j int) error {
	in := fmt.Appendf(nil, "%d %d", i, j)
	switch (i + j) % 4 {
	case 0:
		if _, err := hostile.Call(context.Background(), Call{Plugin: "hostile", Export: "unreachable"}); ReasonOf(err) != ReasonTrap {
			return fmt.Errorf("want a trap, got %v", err)
		}
	case 1:
		r, err := good.Call(context.Background(), Call{Plugin: "good", Export: "state"})
		return errors.Join(err, equal("state", []byte{1, 0, 0}, r.Output))
	default:
		r, err := good.Call(context.Background(), Call{
			Plugin: "good", Export: "send", Input: in,
			Host: func(_ context.Context, _ Import, request []byte) []byte { return slices.Clone(request) },
		})
		return errors.Join(err, equal("output", string(in), string(r.Output)))
	}
	return nil
}
