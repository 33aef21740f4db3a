package guest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/plugin/wasm"
)

// This file reads a module (WebAssembly core specification 2.0, chapter 5) before wazero does. wazero trusts the counts
// in it: a file of 20 bytes can make it ask for gigabytes, which ends the process. What passes here has every count
// bounded by bytes that are really there, imports only functions, cannot grow its tables without bound, and looks at the
// deadline in every loop and at the start of every function that calls others.

// Bounds on what a module may contain, beside those of package wasm: those of web browsers (WebAssembly JavaScript
// interface, 7), or lower where a small file could make much of them.
const (
	maxModule       = abi.LimitModuleBytes
	maxParams       = 1_000 // of a type
	maxResults      = 32    // of a type: validation multiplies them by bytes of code
	maxTables       = 100
	maxTableEntries = 1 << 18 // of all tables together, also after table.grow
	maxEntries      = 1 << 20 // of any other vector
	maxSegments     = 100_000 // of elements, and of data
	maxElements     = 1 << 20 // of all element segments together
	maxBody         = 4 << 20 // bytes of one function
	maxLocals       = 50_000  // of one function
	maxModuleLocals = 5_000_000
)

// vetted is a module that may be handed to wazero.
type vetted struct {
	// wasm is a copy without custom sections but names, and with a maximum for each table.
	wasm    []byte
	imports []importedFunction
	// exports are those that follow the calling convention, sorted.
	exports []string
	// haskell is whether hs_init is exported.
	haskell bool
	// minMemory is how many bytes of linear memory an instance needs to start.
	minMemory uint64
}

type importedFunction struct {
	Import
	signature signature
}

// signature has one letter per value, as in hostFunction; ? is a type that no host function has.
type signature struct{ params, results string }

// String is for error texts.
func (s signature) String() string { return "(" + s.params + ")->(" + s.results + ")" }

// callable reports whether a function follows the calling convention for exports.
func (s signature) callable() bool {
	return s.params == "" && (s.results == "" || s.results == "i" || s.results == "I")
}

// Section ids in binary order.
const (
	sectionCustom = iota
	sectionType
	sectionImport
	sectionFunction
	sectionTable
	sectionMemory
	sectionGlobal
	sectionExport
	sectionStart
	sectionElement
	sectionCode
	sectionData
	sectionDataCount
)

// vet reads a module and says what is in it.
func vet(module []byte) (*vetted, error) {
	if len(module) > maxModule {
		return nil, unusable(ReasonModule, "it has %s, more than %s", size(uint64(len(module))), size(maxModule))
	}
	m, err := wasm.Read(module)
	if err != nil {
		return nil, unusable(ReasonModule, "%s", clean(err.Error(), maxTextBytes))
	}
	v := &vetter{vetted: vetted{wasm: make([]byte, 0, len(module)+64)}}
	if err := v.copy(module); err != nil {
		return nil, unusable(ReasonModule, "%s", clean(err.Error(), maxTextBytes))
	}
	return &v.vetted, v.describe(m)
}

// describe takes over what package wasm has read.
func (v *vetted) describe(m *wasm.Module) error {
	for _, im := range m.Imports {
		if im.Kind != wasm.KindFunc {
			return unusable(ReasonImport, "it imports %s %q of %q; only functions can be imported", im.Kind, clean(im.Name, 100), clean(im.Module, 100))
		}
		v.imports = append(v.imports, importedFunction{Import{im.Module, im.Name}, signatureOf(im.Type)})
	}
	for _, x := range m.Exports {
		s := signatureOf(x.Type)
		if x.Kind == wasm.KindFunc && s.callable() {
			v.exports = append(v.exports, x.Name)
		}
		v.haskell = v.haskell || x.Kind == wasm.KindFunc && x.Name == startHaskell && s.params == "ii"
	}
	slices.Sort(v.exports)
	if m.Memory != nil {
		if m.Memory.Shared {
			return unusable(ReasonModule, "its memory is shared between threads")
		}
		v.minMemory = uint64(m.Memory.Min) * pageSize
	}
	return nil
}

func signatureOf(t wasm.FuncType) signature {
	return signature{letters(t.Params), letters(t.Results)}
}

func letters(types []wasm.ValType) string {
	s := make([]byte, len(types))
	for i, t := range types {
		switch t {
		case wasm.I32:
			s[i] = 'i'
		case wasm.I64:
			s[i] = 'I'
		default:
			s[i] = '?' // of no host function
		}
	}
	return string(s)
}

// vetter walks the sections that package wasm does not look into.
type vetter struct {
	vetted
	named    bool   // the section of names was seen
	entries  uint32 // of tables
	elements uint32
	locals   uint64
}

// copy checks the sections of a module that package wasm has read, and copies what wazero needs.
func (v *vetter) copy(module []byte) error {
	r := reader{b: module}
	v.wasm = append(v.wasm, r.bytes(8)...)
	for r.err == nil && len(r.b) > 0 {
		id := r.byte()
		content := reader{b: r.bytes(r.u32())}
		if id == sectionCustom {
			v.custom(content)
		} else if err := v.section(id, content); err != nil {
			return fmt.Errorf("section %d: %w", id, err)
		}
	}
	return r.err
}

// section checks one section and appends it to the copy.
func (v *vetter) section(id byte, r reader) error {
	content := r.b
	switch id {
	case sectionType:
		r.vector(maxEntries, func() { r.byte(); r.values(maxParams); r.values(maxResults) })
	case sectionTable:
		content = v.tableSection(&r)
	case sectionGlobal:
		r.vector(maxEntries, func() { r.value(); r.byte(); r.constant() })
	case sectionElement:
		r.vector(maxSegments, func() { v.element(&r) })
	case sectionCode:
		content = v.codeSection(&r)
	case sectionData:
		r.vector(maxSegments, func() { v.data(&r) })
	case sectionImport, sectionFunction, sectionMemory, sectionExport, sectionStart, sectionDataCount:
		r.b = nil // read by package wasm, or one number
	default:
		return errors.New("it is of a proposal that is not offered")
	}
	if r.err == nil && len(r.b) > 0 {
		r.fail("%d bytes too many", len(r.b))
	}
	v.wasm = appendSection(v.wasm, id, content)
	return r.err
}

func appendSection(module []byte, id byte, content []byte) []byte {
	module = append(module, id)
	module = binary.AppendUvarint(module, uint64(len(content)))
	return append(module, content...)
}

// custom keeps the names of functions, which tell an author where a trap was, if they are well formed.
func (v *vetter) custom(r reader) {
	if v.named || string(r.bytes(r.u32())) != "name" {
		return
	}
	v.named = true
	var names []byte
	for r.err == nil && len(r.b) > 0 {
		id, content := r.byte(), r.bytes(r.u32())
		if id == 1 {
			names = content
		}
	}
	entries := reader{b: names}
	entries.vector(maxEntries, func() {
		entries.u32()
		if !utf8.Valid(entries.bytes(entries.u32())) {
			entries.fail("a name is not UTF-8")
		}
	})
	if r.err != nil || entries.err != nil || len(entries.b) > 0 || len(names) == 0 {
		return
	}
	content := append([]byte{4}, "name"...)
	v.wasm = appendSection(v.wasm, sectionCustom, appendSection(content, 1, names))
}

// tableSection returns the section with a maximum for each table.
func (v *vetter) tableSection(r *reader) []byte {
	type table struct {
		kind          byte
		least, atMost uint32
	}
	var tables []table
	r.vector(maxTables, func() {
		t := table{kind: r.refType()}
		t.least, t.atMost = r.limits()
		if v.entries += min(t.least, maxTableEntries+1); v.entries > maxTableEntries {
			r.fail("tables of more than %d entries", maxTableEntries)
		}
		tables = append(tables, t)
	})
	room := uint32(0) // each table may grow into its share of what is left
	if len(tables) > 0 && r.err == nil {
		room = (maxTableEntries - v.entries) / uint32(len(tables))
	}
	content := binary.AppendUvarint(nil, uint64(len(tables)))
	for _, t := range tables {
		content = append(content, t.kind, 1)
		content = binary.AppendUvarint(content, uint64(t.least))
		content = binary.AppendUvarint(content, uint64(min(t.atMost, t.least+room)))
	}
	return content
}

// element reads a segment; its first number says which of eight forms it has (5.5.12).
func (v *vetter) element(r *reader) {
	form := r.u32()
	if form > 7 {
		r.fail("element form %d", form)
		return
	}
	passive, explicit, expressions := form&1 != 0, form&2 != 0, form&4 != 0
	if !passive {
		if explicit {
			r.u32() // table
		}
		r.constant()
	}
	if passive || explicit {
		if expressions {
			r.refType()
		} else if kind := r.byte(); kind != 0 {
			r.fail("element kind %d", kind)
		}
	}
	r.vector(maxElements, func() {
		if v.elements++; v.elements > maxElements {
			r.fail("more than %d elements", maxElements)
		}
		if expressions {
			r.constant()
		} else {
			r.u32()
		}
	})
}

// codeSection returns the section with a look at the deadline at the start of each function that calls others: wazero
// looks at loops alone, and a guest that only calls itself would never be stopped.
func (v *vetter) codeSection(r *reader) []byte {
	bodies := make([]byte, 0, len(r.b)+len(r.b)/16)
	var n uint64
	r.vector(maxEntries, func() {
		n++
		locals, code := v.body(r)
		if calls(code) {
			locals = append(locals, emptyLoop...)
		}
		bodies = binary.AppendUvarint(bodies, uint64(len(locals)+len(code)))
		bodies = append(append(bodies, locals...), code...)
	})
	return append(binary.AppendUvarint(nil, n), bodies...)
}

// emptyLoop is a loop without result that does nothing but be one.
var emptyLoop = []byte{opLoop, 0x40, opEnd}

// calls reports whether code may hold a call: such a byte may also be part of a number.
func calls(code []byte) bool {
	return bytes.IndexByte(code, opCall) >= 0 || bytes.IndexByte(code, opCallIndirect) >= 0
}

// body reads the code of one function: declarations of locals, and instructions.
func (v *vetter) body(r *reader) (locals, code []byte) {
	all := r.bytes(r.u32())
	if len(all) > maxBody {
		r.fail("a function of more than %s", size(maxBody))
		return nil, nil
	}
	body := reader{b: all}
	var n uint64
	body.vector(maxLocals, func() {
		n += uint64(body.u32())
		body.value()
	})
	v.locals += n
	switch {
	case body.err != nil:
		r.err = body.err
	case n > maxLocals || v.locals > maxModuleLocals:
		r.fail("too many local variables")
	case len(body.b) == 0 || body.b[len(body.b)-1] != opEnd:
		r.fail("a function without an end")
	}
	declared := len(all) - len(body.b)
	return all[:declared:declared], body.b
}

func (v *vetter) data(r *reader) {
	form := r.u32()
	switch form {
	case 0:
		r.constant()
	case 1:
	case 2:
		r.u32()
		r.constant()
	default:
		r.fail("data form %d", form)
	}
	r.bytes(r.u32())
}

// check compares the imports with what is offered.
func (v *vetted) check(offered map[Import]signature) error {
	for _, im := range v.imports {
		want, ok := offered[im.Import]
		switch {
		case !ok:
			return unusable(ReasonImport, "it imports %q of %q, which this host does not offer", clean(im.Name, 100), clean(im.Module, 100))
		case want != im.signature:
			return unusable(ReasonImport, "it imports %q of %q as %v, which is %v", im.Name, im.Module, im.signature, want)
		}
	}
	return nil
}

// names are the exports for callers. Functions that set a guest up are not among them: they run by themselves.
func (v *vetted) names() []string {
	return slices.DeleteFunc(slices.Clone(v.exports), func(name string) bool { return name == startInitialize || name == startCtors })
}

// Exports with a meaning of their own.
const (
	startInitialize = "_initialize"       // sets up a reactor (WASI application ABI)
	startCtors      = "__wasm_call_ctors" // sets up what was linked without either
	startHaskell    = "hs_init"
	command         = "_start" // a whole program, which sets itself up
)

// start is an export that runs before the one that is called.
type start struct {
	export   string
	optional bool // a failure does not matter
}

// starts are the exports that set the guest up, in order, as every Extism host chooses them.
func (v *vetted) starts() []start {
	reactor, ctors := slices.Contains(v.exports, startInitialize), slices.Contains(v.exports, startCtors)
	switch {
	case v.haskell && reactor:
		return []start{{startInitialize, true}, {startHaskell, false}}
	case v.haskell:
		return []start{{startHaskell, false}}
	case reactor:
		return []start{{startInitialize, false}}
	case ctors:
		return []start{{startCtors, false}}
	}
	return nil
}
