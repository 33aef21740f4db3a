package rewrite

import (
	"errors"
	"fmt"
	"strings"

	"github.com/frigg-host/frigg-host/host/plugin/wasm"
)

// Section ids (5.5.2).
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

const headerLen = 8 // magic number and version

// pageSize is the unit of linear memory (4.2.8).
const pageSize = 1 << 16

// read takes a module apart that package wasm has read: sections are whole and in order.
func (p *pass) read(module []byte) error {
	r := reader{b: module, at: headerLen}
	for r.left() > 0 {
		id := r.byte()
		body := reader{b: r.bytes(r.u32())}
		if id == sectionCustom {
			p.custom(body)
			continue
		}
		if err := p.section(id, &body); errors.Is(err, ErrImport) {
			return err
		} else if err != nil {
			return fmt.Errorf("section %d: %w", id, err)
		}
	}
	if r.err != nil {
		return r.err
	}
	if p.dataCount != none && p.dataCount != int64(p.segments) {
		return fmt.Errorf("it announces %d data segments and has %d", p.dataCount, p.segments)
	}
	return nil
}

// section checks one section and keeps what is to be written of it.
func (p *pass) section(id byte, r *reader) error {
	if int(id) >= len(p.sections) {
		return errors.New("it is of a proposal that is not offered")
	}
	c := &p.sections[id]
	c.present = true
	switch id {
	case sectionType:
		c.count = r.vector(maxEntries, func() { p.functionType(r) })
	case sectionImport:
		c.count = r.vector(maxEntries, func() { p.imported(r) })
	case sectionFunction:
		c.count = r.vector(maxEntries, func() { p.function(r) })
	case sectionTable:
		p.tables(r)
	case sectionMemory:
		c.count = r.vector(1, func() { p.linearMemory(r) })
	case sectionGlobal:
		c.count = r.vector(maxEntries, func() { p.global(r) })
	case sectionExport:
		c.count = r.vector(maxEntries, func() { p.export(r) })
	case sectionStart:
		p.startFunction(r)
	case sectionElement:
		c.count = r.vector(maxSegments, func() { p.element(r) })
	case sectionCode:
		p.code(r)
	case sectionData:
		c.count = r.vector(maxSegments, func() { p.data(r) })
	case sectionDataCount:
		p.dataCount = int64(r.u32())
	}
	if r.err == nil && r.left() > 0 {
		r.fail("%d bytes too many", r.left())
	}
	if c.entries == nil && r.err == nil { // unchanged
		count := reader{b: r.b}
		if id != sectionStart && id != sectionDataCount {
			count.u32()
		}
		c.entries = r.b[count.at:]
	}
	return r.err
}

func (p *pass) functionType(r *reader) {
	if form := r.byte(); form != 0x60 {
		r.fail("type form 0x%x", form)
	}
	p.types = append(p.types, signature{letters(r, maxParams), letters(r, maxResults)})
}

// letters reads a vector of value types.
func letters(r *reader, most uint32) string {
	var s strings.Builder
	r.vector(most, func() {
		switch r.value() {
		case wasm.I32:
			s.WriteByte('i')
		case wasm.I64:
			s.WriteByte('I')
		default:
			s.WriteByte('?')
		}
	})
	return s.String()
}

func (p *pass) imported(r *reader) {
	module, name := r.bytes(r.u32()), r.bytes(r.u32())
	if kind := wasm.Kind(r.byte()); r.err == nil && kind != wasm.KindFunc {
		r.fail("it imports %s %.100q of %.100q; %w", kind, name, module, ErrImport)
		return
	}
	if t, ok := p.function(r); ok {
		p.m.Imports = append(p.m.Imports, Function{string(module), string(name), t.params, t.results})
	}
}

// function reads the type of a function.
func (p *pass) function(r *reader) (signature, bool) {
	t := r.u32()
	if !r.within("type", t, len(p.types)) {
		return signature{}, false
	}
	p.functions = append(p.functions, t)
	p.declared = append(p.declared, false)
	return p.types[t], true
}

// within reports whether an index is one of n of the original; else it fails.
func (r *reader) within(what string, index uint32, n int) bool {
	if r.err == nil && int64(index) >= int64(n) {
		r.fail("%s %d of %d", what, index, n)
	}
	return r.err == nil
}

// tables gives each table a maximum.
func (p *pass) tables(r *reader) {
	type table struct {
		kind byte
		limits
	}
	var tables []table
	c := &p.sections[sectionTable]
	c.count = r.vector(maxTables, func() {
		t := table{r.refType(), r.limits()}
		if p.tableEntries += min(t.least, maxTableEntries+1); p.tableEntries > maxTableEntries {
			r.fail("tables of more than %d entries", maxTableEntries)
		}
		tables = append(tables, t)
	})
	if r.err != nil || len(tables) == 0 {
		return
	}
	room := (maxTableEntries - p.tableEntries) / c.count // each may grow into its share of what is left
	for _, t := range tables {
		c.entries = append(c.entries, t.kind, 1)
		c.entries = appendU32(c.entries, t.least)
		c.entries = appendU32(c.entries, min(t.most, t.least+room))
	}
}

func (p *pass) linearMemory(r *reader) {
	if r.left() > 0 && r.b[r.at]&2 != 0 {
		r.fail("its memory is shared between threads")
		return
	}
	l := r.limits()
	p.memory = &l
	p.m.HasMemory = true
	p.m.MinMemory = uint64(l.least) * pageSize
	p.m.MaxMemory = uint64(min(l.most, maxPages)) * pageSize
}

const maxPages = 1 << 16

func (p *pass) global(r *reader) {
	kind, mutable := r.value(), r.byte()
	if mutable > 1 {
		r.fail("mutability 0x%x", mutable)
	}
	p.constant(r)
	if mutable == 1 {
		switch kind {
		case wasm.I32, wasm.I64, wasm.F32, wasm.F64:
		default: // half of a vector is out of reach, and a reference means nothing in another instance
			p.cannot(fmt.Sprintf("it has a mutable global of type %s", kind))
		}
		if len(p.mutable) == maxGlobals {
			p.cannot(fmt.Sprintf("it has more than %d mutable globals", maxGlobals))
		} else {
			p.mutable = append(p.mutable, p.globals)
		}
	}
	p.globals++
}

func (p *pass) export(r *reader) {
	name := string(r.bytes(r.u32()))
	kind, index := wasm.Kind(r.byte()), r.u32()
	if strings.HasPrefix(name, exportPrefix) {
		r.fail("it exports %.100q; names with %q are the host's", name, exportPrefix)
	}
	switch kind {
	case wasm.KindFunc:
		if r.within("function", index, len(p.functions)) {
			p.declared[index] = true
			t := p.types[p.functions[index]]
			p.m.Exports = append(p.m.Exports, Function{Name: name, Params: t.params, Results: t.results})
		}
	case wasm.KindTable:
		r.within("table", index, int(p.sections[sectionTable].count))
	case wasm.KindMemory:
		r.within("memory", index, int(p.sections[sectionMemory].count))
	case wasm.KindGlobal:
		r.within("global", index, int(p.globals))
	default:
		r.fail("it exports a %s", kind)
	}
}

func (p *pass) startFunction(r *reader) {
	f := r.u32()
	if !r.within("function", f, len(p.functions)) {
		return
	}
	if p.types[p.functions[f]] != (signature{}) {
		r.fail("the start function has parameters or results")
	}
	p.start = int64(f)
}

// element reads a segment; its first number says which of eight forms it has (5.5.12).
func (p *pass) element(r *reader) {
	form := r.u32()
	if form > 7 {
		r.fail("element form %d", form)
		return
	}
	passive, explicit, expressions := form&1 != 0, form&2 != 0, form&4 != 0
	if !passive {
		table := uint32(0)
		if explicit {
			table = r.u32()
		}
		r.within("table", table, int(p.sections[sectionTable].count))
		p.constant(r)
	}
	if passive || explicit {
		if expressions {
			r.refType()
		} else if kind := r.byte(); kind != 0 {
			r.fail("element kind %d", kind)
		}
	}
	r.vector(maxElements, func() {
		if p.elements++; p.elements > maxElements {
			r.fail("more than %d elements", maxElements)
		}
		if expressions {
			p.constant(r)
		} else {
			p.reference(r)
		}
	})
}

// reference reads the index of a function that is named outside of code, so that code may name it, too.
func (p *pass) reference(r *reader) {
	if f := r.u32(); r.within("function", f, len(p.functions)) {
		p.declared[f] = true
	}
}

// constant reads an expression of one instruction (3.3.10). It returns what an i32.const says.
func (p *pass) constant(r *reader) (number uint32, ok bool) {
	switch op := r.byte(); op {
	case opI32Const:
		number, ok = uint32(r.signed(32)), true
	case opI64Const:
		r.signed(64)
	case opF32Const:
		r.bytes(4)
	case opF64Const:
		r.bytes(8)
	case opRefNull:
		r.refType()
	case opRefFunc:
		p.reference(r)
	case opVector:
		if sub := r.byte(); sub != vectorConst {
			r.fail("instruction 0xfd 0x%x in a constant", sub)
		}
		r.bytes(16)
	case opGlobalGet:
		r.fail("a constant reads global %d, which is not imported", r.u32())
	default:
		r.fail("instruction 0x%x in a constant", op)
	}
	if end := r.byte(); r.err == nil && end != opEnd {
		r.fail("a constant of more than one instruction (0x%x)", end)
	}
	return number, ok && r.err == nil
}

func (p *pass) data(r *reader) {
	p.segments++
	form := r.u32()
	switch form {
	case 0, 2:
		memory := uint32(0)
		if form == 2 {
			memory = r.u32()
		}
		r.within("memory", memory, int(p.sections[sectionMemory].count))
	case 1:
		p.cannot("it has passive data segments")
		r.bytes(r.u32())
		return
	default:
		r.fail("data form %d", form)
		return
	}
	offset, ok := p.constant(r)
	if !ok {
		p.cannot("it computes where data goes")
	}
	bytes := r.bytes(r.u32())
	if p.Restore {
		p.m.Data = append(p.m.Data, Segment{offset, bytes})
	}
}
