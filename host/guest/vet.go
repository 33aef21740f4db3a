package guest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/frigg-host/frigg-host/abi"
)

// This file reads a module (WebAssembly core specification 2.0, chapter 5) before wazero does. wazero trusts the counts
// in it: a file of 20 bytes can make it ask for gigabytes, which ends the process. What passes here has every count
// bounded by bytes that are really there, imports only functions, and cannot grow its tables without bound.

// Bounds on what a module may contain, those of web browsers (WebAssembly JavaScript interface, 7) or lower where ours
// would be paid in memory per instance.
const (
	maxModule        = abi.LimitModuleBytes
	maxTypes         = 100_000
	maxValues        = 1_000 // parameters or results of a type
	maxImports       = 10_000
	maxFunctions     = 200_000
	maxTables        = 100
	maxTableEntries  = 1 << 18 // of all tables together, also after table.grow
	maxGlobals       = 100_000
	maxExports       = 100_000
	maxSegments      = 100_000 // of elements, and of data
	maxElements      = 1 << 20 // of all element segments together
	maxBody          = 4 << 20 // bytes of one function
	maxLocals        = 50_000  // of one function
	maxModuleLocals  = 5_000_000
	maxMemoryPages   = 1 << 16
	maxNameBytes     = 100_000
	maxResultsOfCall = 32 // results of a type: bytes of code multiply them while they are validated
)

// vetted is a module that may be handed to wazero.
type vetted struct {
	// wasm is a copy without custom sections but names, and with a maximum for each table.
	wasm    []byte
	imports []importedFunction
	// exports are those that follow the calling convention.
	exports map[string]signature
	// haskell is whether hs_init is exported.
	haskell bool
	// minMemory is how many bytes of linear memory an instance needs to start.
	minMemory uint64
}

type importedFunction struct {
	Import
	signature signature
}

// signature has one letter per value, as in hostFunction; f, F, v and r are the types that no host function has.
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

// order is the place of each section id; data count is between elements and code.
var order = [...]int{sectionType: 1, sectionImport: 2, sectionFunction: 3, sectionTable: 4, sectionMemory: 5, sectionGlobal: 6,
	sectionExport: 7, sectionStart: 8, sectionElement: 9, sectionDataCount: 10, sectionCode: 11, sectionData: 12}

// Kinds of imports and exports.
const (
	externFunction = iota
	externTable
	externMemory
	externGlobal
)

var externNames = [...]string{"function", "table", "memory", "global"}

// vet reads wasm and says what is in it.
func vet(wasm []byte) (*vetted, error) {
	if len(wasm) > maxModule {
		return nil, unusable(ReasonModule, "it has %s, more than %s", size(uint64(len(wasm))), size(maxModule))
	}
	r := &reader{b: wasm}
	v := &vetter{vetted: vetted{wasm: make([]byte, 0, len(wasm)+64), exports: map[string]signature{}}}
	if err := v.module(r); err != nil {
		return nil, unusable(ReasonModule, "%s", clean(err.Error(), maxTextBytes))
	}
	if v.foreign != "" {
		return nil, unusable(ReasonImport, "it imports %s; only functions can be imported", clean(v.foreign, maxTextBytes))
	}
	return &v.vetted, nil
}

// vetter walks one module.
type vetter struct {
	vetted
	types     []signature
	functions []uint32 // type of each, imported ones first
	foreign   string   // the first import that is no function
	named     bool     // the section of names was seen
	entries   uint32   // of tables
	elements  uint32
	bodies    int
	locals    uint64
}

var errTruncated = errors.New("it is truncated")

func (v *vetter) module(r *reader) error {
	header := r.bytes(8)
	if r.err != nil || string(header[:4]) != "\x00asm" {
		return errors.New("it is no WebAssembly")
	}
	if binary.LittleEndian.Uint32(header[4:]) != 1 {
		return errors.New("it is no core module of version 1 (a component cannot run here)")
	}
	v.wasm = append(v.wasm, header...)
	last := 0
	for r.err == nil && len(r.b) > 0 {
		id := r.byte()
		body := reader{b: r.bytes(r.u32())}
		if r.err != nil {
			break
		}
		if id == sectionCustom {
			v.custom(body)
			continue
		}
		if int(id) >= len(order) || order[id] <= last {
			return fmt.Errorf("section %d is unknown, repeated or not in order", id)
		}
		last = order[id]
		if err := v.section(id, body); err != nil {
			return fmt.Errorf("section %d: %w", id, err)
		}
	}
	if r.err != nil {
		return r.err
	}
	if declared := len(v.functions) - len(v.imports); declared != v.bodies {
		return fmt.Errorf("it declares %d functions and has the code of %d", declared, v.bodies)
	}
	return nil
}

// section checks one section and appends it to the copy.
func (v *vetter) section(id byte, r reader) error {
	content := r.b
	switch id {
	case sectionType:
		v.typeSection(&r)
	case sectionImport:
		v.importSection(&r)
	case sectionFunction:
		r.vector(maxFunctions, func() { v.functions = append(v.functions, v.typeIndex(&r)) })
	case sectionTable:
		content = v.tableSection(&r)
	case sectionMemory:
		r.vector(1, func() { v.memory(&r) })
	case sectionGlobal:
		r.vector(maxGlobals, func() { v.globalType(&r); r.constant() })
	case sectionExport:
		v.exportSection(&r)
	case sectionStart:
		r.u32()
	case sectionElement:
		r.vector(maxSegments, func() { v.element(&r) })
	case sectionDataCount:
		r.u32()
	case sectionCode:
		r.vector(maxFunctions, func() { v.code(&r) })
	case sectionData:
		r.vector(maxSegments, func() { v.data(&r) })
	}
	if r.err == nil && len(r.b) > 0 {
		r.fail("%d bytes too many", len(r.b))
	}
	v.wasm = appendSection(v.wasm, id, content)
	return r.err
}

func appendSection(wasm []byte, id byte, content []byte) []byte {
	wasm = append(wasm, id)
	wasm = binary.AppendUvarint(wasm, uint64(len(content)))
	return append(wasm, content...)
}

// custom keeps the names of functions, which tell an author where a trap was, if they are well formed.
func (v *vetter) custom(r reader) {
	if v.named || r.name() != "name" {
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
	entries.vector(maxFunctions, func() { entries.u32(); entries.name() })
	if r.err != nil || entries.err != nil || len(entries.b) > 0 || len(names) == 0 {
		return
	}
	content := append([]byte{4}, "name"...)
	v.wasm = appendSection(v.wasm, sectionCustom, appendSection(content, 1, names))
}

func (v *vetter) typeSection(r *reader) {
	r.vector(maxTypes, func() {
		if b := r.byte(); r.err == nil && b != 0x60 {
			r.fail("type 0x%x is not offered", b)
		}
		s := signature{params: r.values(maxValues), results: r.values(maxResultsOfCall)}
		v.types = append(v.types, s)
	})
}

func (v *vetter) typeIndex(r *reader) uint32 {
	i := r.u32()
	if r.err == nil && i >= uint32(len(v.types)) {
		r.fail("there is no type %d", i)
	}
	return i
}

func (v *vetter) importSection(r *reader) {
	r.vector(maxImports, func() {
		im := Import{Module: r.name(), Name: r.name()}
		kind := r.byte()
		switch kind {
		case externFunction:
			i := v.typeIndex(r)
			if r.err == nil {
				v.functions = append(v.functions, i)
				v.imports = append(v.imports, importedFunction{Import: im, signature: v.types[i]})
			}
			return
		case externTable:
			r.refType()
			r.limits(maxTableEntries)
		case externMemory:
			r.limits(maxMemoryPages)
		case externGlobal:
			v.globalType(r)
		default:
			r.fail("import kind %d is not offered", kind)
			return
		}
		if v.foreign == "" {
			v.foreign = fmt.Sprintf("%s %q of %q", externNames[kind], im.Name, im.Module)
		}
	})
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
		t.least, t.atMost = r.limits(1<<32 - 1)
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

func (v *vetter) memory(r *reader) {
	least, _ := r.limits(maxMemoryPages)
	v.minMemory = uint64(least) * pageSize
}

func (v *vetter) globalType(r *reader) {
	r.value()
	if mutable := r.byte(); mutable > 1 {
		r.fail("mutability 0x%x", mutable)
	}
}

func (v *vetter) exportSection(r *reader) {
	r.vector(maxExports, func() {
		name, kind, index := r.name(), r.byte(), r.u32()
		if r.err != nil || kind != externFunction {
			return
		}
		if index >= uint32(len(v.functions)) {
			r.fail("export %q is no function", name)
			return
		}
		s := v.types[v.functions[index]]
		if s.callable() {
			v.exports[name] = s
		}
		v.haskell = v.haskell || name == startHaskell && s.params == "ii"
	})
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

func (v *vetter) code(r *reader) {
	body := reader{b: r.bytes(r.u32())}
	if len(body.b) > maxBody {
		r.fail("a function of more than %s", size(maxBody))
		return
	}
	var locals uint64
	body.vector(maxLocals, func() {
		locals += uint64(body.u32())
		body.value()
	})
	v.locals += locals
	v.bodies++
	switch {
	case body.err != nil:
		r.err = body.err
	case locals > maxLocals || v.locals > maxModuleLocals:
		r.fail("too many local variables")
	case len(body.b) == 0 || body.b[len(body.b)-1] != opEnd:
		r.fail("a function without an end")
	}
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

// reader takes a binary apart. After the first error all reads give zero values.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
	r.b = nil
}

func (r *reader) bytes(n uint32) []byte {
	if r.err != nil || uint64(n) > uint64(len(r.b)) {
		if r.err == nil {
			r.err = errTruncated
		}
		r.b = nil
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// u32 is an unsigned LEB128 number (5.2.2).
func (r *reader) u32() uint32 {
	var n uint64
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		n |= uint64(b&0x7f) << shift
		if b&0x80 == 0 {
			if n > 1<<32-1 {
				break
			}
			return uint32(n)
		}
	}
	r.fail("a number of more than 32 bits")
	return 0
}

// signed skips a signed LEB128 number of at most n bytes.
func (r *reader) signed(n int) {
	for range n {
		if r.byte()&0x80 == 0 {
			return
		}
	}
	r.fail("a number that is too long")
}

// vector reads a count and that many entries. Each takes at least one byte, so that a count above the bytes left is refused
// before anybody believes it.
func (r *reader) vector(most uint32, entry func()) {
	n := r.u32()
	if r.err == nil && uint64(n) > uint64(len(r.b)) {
		r.err = errTruncated
	}
	if r.err == nil && n > most {
		r.fail("%d entries, more than %d", n, most)
	}
	for ; n > 0 && r.err == nil; n-- {
		entry()
	}
}

func (r *reader) name() string {
	b := r.bytes(r.u32())
	if len(b) > maxNameBytes || !utf8.Valid(b) {
		r.fail("a name that is too long or no UTF-8")
		return ""
	}
	return string(b)
}

// letters of value types (5.3.1 to 5.3.4).
var letters = map[byte]byte{0x7f: 'i', 0x7e: 'I', 0x7d: 'f', 0x7c: 'F', 0x7b: 'v', 0x70: 'r', 0x6f: 'r'}

func (r *reader) value() byte {
	b := r.byte()
	letter, ok := letters[b]
	if !ok {
		r.fail("value type 0x%x is not offered", b)
	}
	return letter
}

// values are the letters of a vector of value types.
func (r *reader) values(most uint32) string {
	var s []byte
	r.vector(most, func() { s = append(s, r.value()) })
	return string(s)
}

func (r *reader) refType() byte {
	b := r.byte()
	if r.err == nil && b != 0x70 && b != 0x6f {
		r.fail("reference type 0x%x is not offered", b)
	}
	return b
}

// limits are those of a table or memory (5.3.7); without a maximum it is most.
func (r *reader) limits(most uint32) (least, atMost uint32) {
	flag := r.byte()
	if flag > 1 {
		r.fail("shared or 64-bit memories and tables are not offered")
	}
	least, atMost = r.u32(), most
	if flag == 1 {
		atMost = r.u32()
	}
	if r.err == nil && (least > most || atMost < least) {
		r.fail("limits from %d to %d", least, atMost)
	}
	return least, atMost
}

// Instructions of constant expressions (5.4).
const (
	opEnd       = 0x0b
	opGlobalGet = 0x23
	opI32Const  = 0x41
	opI64Const  = 0x42
	opF32Const  = 0x43
	opF64Const  = 0x44
	opRefNull   = 0xd0
	opRefFunc   = 0xd2
	opVector    = 0xfd
)

func (r *reader) constant() {
	for r.err == nil {
		switch op := r.byte(); op {
		case opEnd:
			return
		case opGlobalGet, opRefFunc:
			r.u32()
		case opI32Const:
			r.signed(5)
		case opI64Const:
			r.signed(10)
		case opF32Const:
			r.bytes(4)
		case opF64Const:
			r.bytes(8)
		case opRefNull:
			r.refType()
		case opVector:
			if r.u32() != 12 {
				r.fail("a constant that is none")
			}
			r.bytes(16)
		default:
			r.fail("instruction 0x%x in a constant", op)
		}
	}
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

// names are the exports for callers, sorted. Functions that set a guest up are not among them: they run by themselves.
func (v *vetted) names() []string {
	names := []string{}
	for name := range v.exports {
		if name != startInitialize && name != startCtors {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
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
	_, reactor := v.exports[startInitialize]
	_, ctors := v.exports[startCtors]
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
