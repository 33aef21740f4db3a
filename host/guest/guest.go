// Package guest runs WebAssembly guests: it compiles modules, gives every call a clean instance, and bounds what that
// instance may take of memory, time, output, log and host calls.
//
// It is the only importer of wazero and of the Extism SDK, and offers both behind one interface: the native engine (our
// own Extism kernel and WASI subset, the one to use) and the extism engine (the Go SDK, the reference that the native one
// is compared with). It must not know owners, credentials, manifests, HTTP or SQL: a capability is a name and a function.
//
// A guest is hostile until proven otherwise. Nothing that a module contains or does may crash the process, block it
// beyond the deadline, or make it allocate without bound; what happens instead is a *fault.Error whose Reason says why.
//
// Engines and modules are safe for concurrent use.
package guest

import (
	"context"
	"math"
	"time"

	"github.com/frigg-host/frigg-host/abi"
)

// Import is one host function that guests may import: (request i64) -> (answer i64), both offsets of Extism blocks.
type Import struct{ Module, Name string }

// HostFunc answers one capability call. The request is only valid during the call; the answer is copied before HostFunc
// is asked again. Failures belong inside the answer; End ends the guest instead. ctx ends with the guest's deadline and must
// be obeyed.
type HostFunc func(ctx context.Context, im Import, request []byte) (answer []byte)

// Engine compiles modules.
type Engine interface {
	// Name is "native" or "extism".
	Name() string
	// Compile makes a module of wasm, which is not retained. It fails with fault.Invalid on side Guest when the bytes are
	// no module that this engine can run (ReasonModule, ReasonImport), fault.Unsupported when only the other engine can
	// (ReasonEngine), and on side Host when the compile cache cannot be used.
	Compile(ctx context.Context, wasm []byte) (Module, error)
	// Instances is how many calls have an instance right now.
	Instances() int
	// Report says how calls are kept apart.
	Report() Report
	// Close closes all modules, waiting for their calls, and then the engine. It may be repeated.
	Close(ctx context.Context) error
}

// Module is compiled code. It has no state: each call starts from the same clean instance.
type Module interface {
	// Exports lists the functions that Call takes, sorted: those without parameters and with at most one integer result.
	Exports() []string
	// Describe says how this module runs.
	Describe() Description
	// Call runs one export in a clean instance. The Result is filled as far as is known also when err is
	// not nil, but Output only when it is. Every error is a *fault.Error and has a Reason.
	Call(ctx context.Context, c Call) (Result, error)
	// Close waits for running calls and frees the code. When ctx ends first it returns that error and the last call
	// frees it. Calls after Close fail with ReasonClosed. It may be repeated.
	Close(ctx context.Context) error
}

// Call is one call of an export.
type Call struct {
	// Plugin is the name for error texts.
	Plugin string
	Export string
	// Input is referenced until Call returns and never written to.
	Input []byte
	// Config is what the guest reads with config_get.
	Config map[string]string
	// Limits bound the call; zero fields are those of DefaultLimits.
	Limits Limits
	// Host answers the capability imports. Nil means that none is granted: each answers the fault forbidden.
	Host HostFunc
	// Seed determines what the guest reads as random; nil means that nobody can know it.
	Seed *[32]byte
	// Now is the clock that the guest sees, asked at the start and after each answer of Host; nil is that of the engine. The
	// extism engine has none.
	Now func() time.Time
	// Sleep takes a guest's wait for time to pass, which its clock then has; nil really waits. It may End the guest.
	Sleep func(ctx context.Context, d time.Duration)
	// Log takes the guest's log lines, in order, on the goroutine of the call. Nil drops them.
	Log func(level Level, msg string)
}

// Limits of one call. All of them are enforced by the host, whatever the guest does.
type Limits struct {
	Timeout     time.Duration // from start to end, host functions included; the deadline of ctx counts too
	MemoryBytes uint64        // linear memory of the instance, at most Config.MemoryCeiling
	InputBytes  uint64
	OutputBytes uint64
	ArenaBytes  uint64 // Extism blocks together, beside a copy of the input
	LogBytes    int    // further log is dropped and counted
	LogLines    int    // further log is dropped and counted
	HostCalls   int    // calls of capabilities
	Fuel        int64  // units of computing; see Result.Fuel
}

// DefaultLimits are those of the contract (abi/abi.yaml).
var DefaultLimits = Limits{
	Timeout:     abi.LimitTimeoutMS * time.Millisecond,
	MemoryBytes: abi.LimitMemoryBytes,
	InputBytes:  abi.LimitInputBytes,
	OutputBytes: abi.LimitOutputBytes,
	ArenaBytes:  abi.LimitArenaBytes,
	LogBytes:    abi.LimitLogBytes,
	LogLines:    abi.LimitLogLines,
	HostCalls:   abi.LimitHostCalls,
}

// most keeps sums and products of limits from overflowing; a 32-bit guest cannot use more.
const most = 1 << 32

// orDefault fills zero fields.
func (l Limits) orDefault() Limits {
	d := DefaultLimits
	return Limits{
		Timeout:     or(l.Timeout, d.Timeout),
		MemoryBytes: min(most, or(l.MemoryBytes, d.MemoryBytes)),
		InputBytes:  min(most, or(l.InputBytes, d.InputBytes)),
		OutputBytes: min(most, or(l.OutputBytes, d.OutputBytes)),
		ArenaBytes:  min(most, or(l.ArenaBytes, d.ArenaBytes)),
		LogBytes:    min(math.MaxInt/flood, or(l.LogBytes, d.LogBytes)),
		LogLines:    min(math.MaxInt/flood, or(l.LogLines, d.LogLines)),
		HostCalls:   or(l.HostCalls, d.HostCalls),
		Fuel:        or(l.Fuel, math.MaxInt64),
	}
}

func or[T ~int | ~int64 | ~uint64](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}

// Result is what a call gave and took.
type Result struct {
	// Output belongs to the caller.
	Output []byte
	// Console is the end of what the guest wrote to stdout and stderr, in order, at most 8 KiB. It is the guest's text:
	// for diagnosis only.
	Console []byte
	// Duration is wall time, host functions and the making of the instance included.
	Duration time.Duration
	// MemoryBytes is the linear memory that the instance had at its end.
	MemoryBytes uint64
	// LogDropped counts the log lines that were over a limit.
	LogDropped int
	HostCalls  int
	// Fuel is how much the guest computed, setting up not included: units of about 32 bytes of code that were run through,
	// counted where loops and functions begin. The same module with the same input, start time, seed and answers of the
	// host spends the same on every machine. The extism engine does not count.
	Fuel int64
}

// Level of a log line.
type Level int

// Levels as in the Extism kernel.
const (
	LevelTrace Level = iota
	LevelDebug
	LevelInfo
	LevelWarn
	LevelError
)

var levelNames = [...]string{"trace", "debug", "info", "warn", "error"}

// String is the lower-case name.
func (l Level) String() string {
	if l < 0 || int(l) >= len(levelNames) {
		return "unknown"
	}
	return levelNames[l]
}
