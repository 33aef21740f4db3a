// Package process runs guests in child processes: an engine like those of package guest, from which a guest that breaks out
// of its sandbox, or takes the engine down, gets nothing and hurts nobody.
//
// Every module has a child of its own, the same program with a hidden command. The child compiles the module and runs its
// calls, many at once. It has no environment, no file, no network and no secret: host functions, log lines and the sources of
// the configuration are asked for over a pipe and answered by the parent, which believes nothing that it is told. A child that
// ends fails its calls with guest.ReasonCrashed, and nobody else's; the next call starts another one, later each time.
//
// It must not know owners, credentials, manifests, HTTP or SQL, nor wazero. Engines and modules are safe for concurrent use.
package process

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/guest"
)

// Argument is the hidden command of the program that calls Serve.
const Argument = "guest-process"

// Config of the engine. The zero value is usable.
type Config struct {
	// Config is that of the engine in the children. CacheDir gets a folder for each module, so that no child can change the
	// code of another, and idle instances are bounded in each child. Log says what children could not close behind themselves,
	// and which ended by themselves. AfterCall is refused: memory of guests does not leave their process.
	guest.Config
	// Engine is the name of the engine in the children; "" is guest.Native.
	Engine string
	// Source finds the bytes of a module again by their SHA-256, for another child. Nil means that they are kept in memory.
	Source func(sum [sha256.Size]byte) ([]byte, error)
	// Children is how many there may be at once; zero is 32. Those that have nothing to do make room first.
	Children int
	// Idle is after how long a child without calls is closed; zero is 5 minutes.
	Idle time.Duration

	program []string         // that calls Serve; this program with Argument by default
	now     func() time.Time // of the wait after a crash
	stuck   time.Duration    // that a child may not read, or not end a call, before it is ended
}

// Defaults of Config.
const (
	defaultChildren = 32
	defaultIdle     = 5 * time.Minute
	defaultStuck    = 5 * time.Second
)

// orDefault fills what was left out.
func (c Config) orDefault() (Config, error) {
	if c.AfterCall != nil {
		return c, fault.New(fault.Unsupported, "process.Open", "the memory of guests cannot be looked at when they run in processes of their own")
	}
	if c.CacheDir != "" {
		dir, err := filepath.Abs(c.CacheDir)
		if err != nil {
			return c, fault.Wrap(err, fault.Unavailable, "process.Open", "the cache of compiled modules cannot be used")
		}
		c.CacheDir = dir
		guest.TrimCache(dir, cmp.Or(c.CacheBytes, guest.DefaultCacheBytes))
	}
	if c.Engine == "" {
		c.Engine = guest.Native
	}
	if c.Children <= 0 {
		c.Children = defaultChildren
	}
	if c.Idle <= 0 {
		c.Idle = defaultIdle
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.stuck <= 0 {
		c.stuck = defaultStuck
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.program == nil {
		program, err := self()
		if err != nil {
			return c, fault.Wrap(err, fault.Internal, "process.Open", "the program does not know where it is")
		}
		c.program = []string{program, Argument}
	}
	return c, nil
}

// self is the running program, also after its file was replaced.
func self() (string, error) {
	const running = "/proc/self/exe"
	if runtime.GOOS == "linux" {
		if _, err := os.Stat(running); err == nil {
			return running, nil
		}
	}
	return os.Executable()
}

// engine implements guest.Engine.
type engine struct {
	config   Config
	crashes  *crashes
	nursery  *nursery
	apart    atomic.Bool // children have namespaces of their own
	calls    atomic.Int64
	compiles *door
	modules  *shelf
	report   guest.Report
}

// Open starts a child, to see that it can and what it closes behind itself, and returns the engine. Close it after use.
func Open(ctx context.Context, c Config) (guest.Engine, error) {
	c, err := c.orDefault()
	if err != nil {
		return nil, err
	}
	keepToItself()
	e := &engine{config: c, crashes: newCrashes(c.now), nursery: newNursery(c.Children), compiles: newDoor(), modules: newShelf()}
	if err := e.try(ctx); err != nil {
		e.nursery.close()
		return nil, err
	}
	return e, nil
}

// try starts a child without a module, if possible in namespaces of its own.
func (e *engine) try(ctx context.Context) error {
	e.apart.Store(namespaces)
	nobody := func(error) time.Duration { return 0 }
	ch, r, err := e.start(ctx, "", nil, nobody)
	if err != nil && e.apart.Swap(false) {
		e.config.Log.Debug("child processes cannot have namespaces of their own", "op", "process.Open", "err", err)
		ch, r, err = e.start(ctx, "", nil, nobody)
	}
	if err != nil {
		return err
	}
	ch.leave()
	ch.retire()
	e.report, e.config.Isolation = r.Report, r.Report.Isolation // which the others need not find out again
	if e.apart.Load() {
		r.Shut = append(r.Shut, "namespaces")
	} else {
		r.Open = append(r.Open, "namespaces: this machine does not allow them")
	}
	e.config.Log.Info("guests run in processes of their own, closed: "+strings.Join(r.Shut, ", "), "op", "process.Open")
	for _, o := range r.Open {
		e.config.Log.Warn("the processes of guests stay open in one way", "op", "process.Open", "err", o)
	}
	return nil
}

// Name implements guest.Engine.
func (e *engine) Name() string { return e.config.Engine }

// Instances implements guest.Engine: calls that a child has.
func (e *engine) Instances() int { return int(e.calls.Load()) }

// Report implements guest.Engine: what the first child found. How many instances are idle only their processes know.
func (e *engine) Report() guest.Report { return e.report }

// Compile implements guest.Engine, in the module's own child.
func (e *engine) Compile(ctx context.Context, wasm []byte) (guest.Module, error) {
	if !e.compiles.enter() {
		return nil, guest.NewError(guest.ReasonClosed, "guest.Compile", "the engine is closed", "")
	}
	defer e.compiles.leave()
	if len(wasm) == 0 { // which would mean no module at all
		return nil, guest.NewError(guest.ReasonModule, "guest.Compile", "not a usable module: it is empty", "")
	}
	m := &module{engine: e, sum: sha256.Sum256(wasm), door: newDoor()}
	if e.config.Source == nil {
		m.wasm = bytes.Clone(wasm)
	}
	if wait := e.crashes.wait(m.sum); wait > 0 {
		return nil, resting("", wait)
	}
	ch, r, err := e.start(ctx, m.cacheDir(), wasm, m.crashed)
	if err != nil {
		return nil, err
	}
	m.exports, m.description, m.child = r.Exports, r.Description, ch
	ch.leave()
	e.modules.add(m)
	return m, nil
}

// Close implements guest.Engine.
func (e *engine) Close(ctx context.Context) error {
	if err := e.compiles.close(ctx); err != nil {
		return err
	}
	if err := e.modules.close(ctx); err != nil {
		return err
	}
	e.nursery.close()
	return nil
}
