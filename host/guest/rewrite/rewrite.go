// Package rewrite prepares a module for being run: it reads the whole binary (WebAssembly core specification 2.0, chapter
// 5) before a compiler does, refuses what could hurt the host, and puts in what the host needs to stop and to restore a
// guest.
//
// What passes has every count bounded by bytes that are really there, imports only functions and cannot grow its tables
// without bound. With fuel each loop and each function that matters pays for its code, and a guest that has used up its
// quantum calls the host. With restore the state of an instance is in reach: its memory, and its mutable globals as
// exports.
//
// All that is put in stands at the end of its index space, so that no number in the code changes. What is invalid in the
// original could become valid by that and reach ours; so each index is compared with the counts of the original.
//
// It knows the binary format and nothing of engines, plugins or the host. Input is hostile: nothing here panics, and time
// and memory are bounded by the size of the input. Functions are pure and safe for concurrent use.
package rewrite

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/plugin/wasm"
)

// Options choose what is put in.
type Options struct {
	// Fuel is the quantum: units between two yields, at most MaxFuel. With zero there is no fuel; then functions that call
	// others start with an empty loop, for engines that look at a deadline in loops alone.
	Fuel uint32
	// Restore prepares for snapshot and restore, if the module allows it.
	Restore bool
}

// MaxFuel is the largest quantum.
const MaxFuel = 1 << 30

// YieldPages is what a guest that has used up its quantum asks memory.grow for, as often as it has used up a quantum. The
// host takes that for a yield and refuses it. Since Wasm declares no maximum, it arrives as long as a memory has at most
// 65536-YieldPages pages, a little more than 2 GiB, and the engine has no lower limit of its own. After n such calls that
// were refused, a guest has used (n+1) quanta less what is left in the fuel, which is negative during the call.
const YieldPages = 0x7fff

// Module is a module that was rewritten.
type Module struct {
	Wasm    []byte     // may be handed to an engine
	Imports []Function // in order
	Exports []Function // of the guest, sorted by name

	HasMemory bool   // of its own; with fuel Wasm has one in any case, of 0 pages if need be
	MinMemory uint64 // bytes that the module declares to start with
	// MaxMemory are the bytes that the module declares as its maximum, 4 GiB if it does not, and 0 without a memory. With
	// fuel Wasm declares none: the host must enforce this one.
	MaxMemory uint64

	Fuel string // export name of the global (i32, mutable) with the fuel that is left; "" without fuel

	// Unrestorable says to operators why instances cannot be restored, "" if they can. The rest is empty without
	// Options.Restore, or when they cannot; then Wasm has its data segments and its start function.
	Unrestorable string
	Globals      []string  // export names of the guest's mutable globals in order, all of them numbers of at most 64 bits
	Data         []Segment // active data segments, to be written in this order to a new instance
	Start        string    // export name of the function to call after that, "" if there is none
}

// Function is an imported or exported function. Module is empty for an export.
type Function struct {
	Module, Name string
	// Params and Results have one letter per value: i for i32, I for i64, ? for any other type.
	Params, Results string
}

// Segment is data for the memory of a new instance. It may be out of bounds, which is a trap. Bytes shares memory with
// the input.
type Segment struct {
	Offset uint32
	Bytes  []byte
}

// Names of our exports.
const (
	exportPrefix = "frigg:"
	exportFuel   = exportPrefix + "fuel"
	exportStart  = exportPrefix + "start"
	exportGlobal = exportPrefix + "global/" // and its index
)

// ErrImport is wrapped by errors about imports.
var ErrImport = errors.New("only functions can be imported")

// Rewrite returns a module that may be handed to an engine. Errors are for authors of modules; they wrap those of package
// wasm, or ErrImport. The same input gives the same output.
func Rewrite(module []byte, o Options) (*Module, error) {
	if len(module) > maxModule {
		return nil, fmt.Errorf("it has %d bytes, more than %d MiB", len(module), maxModule>>20)
	}
	if o.Fuel > MaxFuel {
		return nil, fmt.Errorf("a quantum of %d units, more than %d", o.Fuel, MaxFuel)
	}
	if _, err := wasm.Read(module); err != nil { // also the order of sections
		return nil, err
	}
	p := &pass{Options: o, start: none, dataCount: none}
	if err := p.read(module); err != nil {
		return nil, err
	}
	p.write()
	slices.SortFunc(p.m.Exports, func(a, b Function) int { return strings.Compare(a.Name, b.Name) })
	m := p.m // alone: whoever keeps it shall not keep what it was made of
	return &m, nil
}

// Bounds on what a module may contain, beside those of package wasm: those of web browsers (WebAssembly JavaScript
// interface, 7), or lower where a small file could make much of them.
const (
	maxModule       = abi.LimitModuleBytes
	maxParams       = 1_000 // of a type
	maxResults      = 32    // of a type: validation multiplies them by bytes of code
	maxBlockParams  = 32    // of a type, where it is that of a block
	maxTables       = 100
	maxTableEntries = 1 << 18 // of all tables together, also after table.grow
	maxEntries      = 1 << 20 // of any other vector
	maxSegments     = 100_000 // of elements, and of data
	maxElements     = 1 << 20 // of all element segments together
	maxLocals       = 50_000  // of one function
	maxModuleLocals = 5_000_000
	maxCharges      = 1 << 20 // loops and bulk instructions of a module
	maxGlobals      = 1_000   // that are restored
)

// Bounds on one function. Compiling takes time with the square of its branches, and memory with its bytes, some thousand
// times as much; these are a few times what large programs have, and let it take seconds and a gigabyte or two.
const (
	maxBody   = 512 << 10 // bytes
	maxBlocks = 10_000    // of any kind
	maxLoops  = 1_000     // among them, which cost most
	maxJumps  = 10_000    // br and br_if
	maxLabels = 40_000    // of br_table
	maxValues = 1 << 19   // results of calls
	maxMerges = 2_000_000 // local variables times places where control flow may meet
)

// none is no index.
const none = -1

// pass is what is known of a module while it is read. Counts are those of the original.
type pass struct {
	Options
	m Module

	types     []signature
	functions []uint32 // type of each, imported ones first
	declared  []bool   // functions that ref.func may name
	memory    *limits  // nil without
	globals   uint32
	mutable   []uint32 // globals
	segments  uint32   // of data
	dataCount int64    // none without
	start     int64    // function, none without

	tableEntries uint32
	elements     uint32
	locals       uint64
	charges      int
	large        bool   // it fills or copies memory
	names        []byte // of functions

	sections [sectionDataCount + 1]content
}

// content of a section as it will be written.
type content struct {
	present bool
	count   uint32 // of its vector
	entries []byte
}

// signature of a function type.
type signature struct {
	params, results string // a letter for each value
}

// slow is the index of our function, which yields.
func (p *pass) slow() uint32 { return uint32(len(p.functions)) }

// fuel is the index of our global.
func (p *pass) fuel() uint32 { return p.globals }

// cannot notes the first reason why instances cannot be restored.
func (p *pass) cannot(reason string) {
	if p.Restore && p.m.Unrestorable == "" {
		p.m.Unrestorable = reason
	}
}

// restores reports whether instances can be restored, after all was read.
func (p *pass) restores() bool { return p.Restore && p.m.Unrestorable == "" }
