package guest

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
)

// Config of an engine. The zero value is usable: no capabilities, compiled code in memory.
type Config struct {
	// Imports are the capability functions that exist at all; a module that imports another does not compile.
	Imports []Import
	// CacheDir keeps compiled code between starts; it is created with mode 0700. Nobody else may be able to write to it:
	// what is in it is executed. Empty means in memory.
	CacheDir string
	// CacheBytes bounds what is in CacheDir, DefaultCacheBytes by default: when the engine is opened the oldest goes. A Go program takes
	// about 15 MiB.
	CacheBytes uint64
	// MemoryCeiling bounds Limits.MemoryBytes of every call; zero means 1 GiB.
	MemoryCeiling uint64
	// Entropy is what guests read as random, crypto/rand by default. It must be safe for concurrent use.
	Entropy io.Reader
	// Now is the guests' clock, time.Now by default.
	Now func() time.Time
	// Isolation is how calls are kept apart; by default the first of Isolations that works here.
	Isolation Isolation
	// IdleInstances bounds the idle instances of one module, 16 by default; IdleBytes what those of all modules have for
	// themselves, 512 MiB by default; and IdleTime how long they are kept, a minute by default.
	IdleInstances int
	IdleBytes     uint64
	IdleTime      time.Duration
	// Log hears what an operator should know; nil discards it.
	Log *slog.Logger
	// Interpreter runs guests without compiling them: many times slower, and with the same results.
	Interpreter bool
	// AfterCall is for diagnosis: it sees all linear memory and all Extism blocks of an instance as they are at the end of
	// every call, however it ended. The slices are only valid during AfterCall, which may run concurrently.
	AfterCall func(plugin string, memory [][]byte)

	ours      bool           // Now is time.Now
	functions []hostFunction // further host functions with signatures of their own; tests of foreign modules need them
}

// Names of the engines.
const (
	Native = "native"
	Extism = "extism"
)

// Open opens the engine with this name. Close it after use.
func Open(ctx context.Context, name string, c Config) (Engine, error) {
	switch name {
	case Native:
		return OpenNative(ctx, c)
	case Extism:
		return OpenExtism(ctx, c)
	}
	return nil, fault.New(fault.Invalid, "guest.Open", "there is no engine %q; use %s or %s", name, Native, Extism)
}

// DefaultCacheBytes is enough for more than a hundred Go programs.
const DefaultCacheBytes = 2 << 30

// mostMemory is what a guest can have at most: what the fuel code asks for must never be had.
const mostMemory = 1 << 30

// orDefault fills what was left out.
func (c Config) orDefault() Config {
	if c.MemoryCeiling == 0 {
		c.MemoryCeiling = abi.LimitMaxMemoryBytes
	}
	if c.Entropy == nil {
		c.Entropy = rand.Reader
	}
	if c.Now == nil {
		c.Now, c.ours = time.Now, true
	}
	c.MemoryCeiling = min(c.MemoryCeiling, mostMemory)
	c.CacheBytes = or(c.CacheBytes, DefaultCacheBytes)
	c.IdleInstances = or(c.IdleInstances, 16)
	c.IdleBytes = or(c.IdleBytes, 512<<20)
	c.IdleTime = or(c.IdleTime, time.Minute)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// hostFunction is a function that guests may import, written once for both engines.
// params and results have one letter per value: i for i32, I for i64.
type hostFunction struct {
	Import
	params, results string
	run             func(b blocks, stack []uint64)
}

// blocks are the Extism blocks of a running call, whichever engine keeps them.
type blocks interface {
	// ask answers one call of a capability.
	ask(im Import, request []byte) []byte
	// running is the call.
	running() *meter
	// block is the content of the block at offset, valid until the next allocation; offset 0 is the empty block.
	// Any other offset that is no block stops the guest.
	block(offset uint64) []byte
	// place makes a block with a copy of b; no bytes are the block 0. It stops the guest when the arena is full.
	place(b []byte) uint64
}

// capabilities are the host functions of c: one per import, and the further ones.
func (c Config) capabilities() []hostFunction {
	var all []hostFunction
	for _, im := range c.Imports {
		all = append(all, hostFunction{Import: im, params: "I", results: "I", run: func(b blocks, stack []uint64) {
			stack[0] = b.place(b.ask(im, b.block(stack[0])))
		}})
	}
	return append(all, c.functions...)
}

// byModule groups functions by import module, refusing what is there twice.
func byModule(functions []hostFunction) (map[string][]hostFunction, error) {
	modules, seen := map[string][]hostFunction{}, map[Import]bool{}
	for _, f := range functions {
		if seen[f.Import] {
			return nil, &fault.Error{
				Kind: fault.Invalid, Side: fault.Host, Op: "guest.Open",
				Msg: fmt.Sprintf("host function %s of %s is there twice", f.Name, f.Module),
			}
		}
		seen[f.Import] = true
		modules[f.Module] = append(modules[f.Module], f)
	}
	return modules, nil
}
