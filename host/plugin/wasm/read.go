package wasm

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

const headerLen = 8

var (
	magic     = []byte{0, 'a', 's', 'm'}
	core      = []byte{1, 0, 0, 0}
	component = []byte{0x0d, 0, 1, 0}
)

// Bounds on what a module may hold; far above what compilers write.
const (
	maxTypes     = 1 << 16
	maxValues    = 1000 // parameters or results of a signature
	maxImports   = 1 << 14
	maxFunctions = 1 << 20
	maxExports   = 1 << 16
	maxCustoms   = 1 << 12
	maxName      = 1 << 12
	maxPages     = 1 << 16
)

type sectionID byte

const (
	sectionCustom   sectionID = 0
	sectionType     sectionID = 1
	sectionImport   sectionID = 2
	sectionFunction sectionID = 3
	sectionMemory   sectionID = 5
	sectionExport   sectionID = 7
	sectionCode     sectionID = 10
)

var sectionNames = [...]string{
	"custom", "type", "import", "function", "table", "memory", "global", "export", "start",
	"element", "code", "data", "data count", "tag",
}

// sectionOrder is the place of a section; each but custom ones appears at most once, in this order.
var sectionOrder = [...]int{0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 12, 13, 11, 6}

func (id sectionID) String() string {
	if int(id) < len(sectionNames) {
		return fmt.Sprintf("section %d (%s)", byte(id), sectionNames[id])
	}
	return fmt.Sprintf("section %d (unknown)", byte(id))
}

// Read reads the sections of a core module. With an error it returns what came before the fault, so that a half-copied
// file can still be named. Errors wrap ErrTruncated, ErrNotWasm, ErrComponent or ErrMalformed.
func Read(module []byte) (*Module, error) {
	p := parser{m: &Module{}}
	if err := header(module); err != nil {
		return p.m, err
	}
	r := reader{data: module, at: headerLen}
	last := 0
	for r.rest() > 0 {
		id, body, err := r.section()
		if err != nil {
			return p.m, err
		}
		if id != sectionCustom {
			if sectionOrder[id] <= last {
				return p.m, fmt.Errorf("%w: %v appears twice or out of order", ErrMalformed, id)
			}
			last = sectionOrder[id]
		}
		if err := p.section(id, body); err != nil {
			return p.m, fmt.Errorf("%w: %v: %w", ErrMalformed, id, err)
		}
	}
	return p.m, p.finish()
}

func header(b []byte) error {
	n := min(len(b), len(magic))
	switch {
	case len(b) == 0:
		return fmt.Errorf("%w: the file is empty; was it still being copied?", ErrTruncated)
	case bytes.HasPrefix(bytes.TrimSpace(b[:min(len(b), 64)]), []byte("(module")):
		return fmt.Errorf("%w: it is the text format; assemble it first, for example with wat2wasm", ErrNotWasm)
	case !bytes.Equal(b[:n], magic[:n]):
		return fmt.Errorf("%w: it does not start with \\0asm", ErrNotWasm)
	case len(b) < headerLen:
		return fmt.Errorf("%w: the file ends inside the header; was it still being copied?", ErrTruncated)
	case bytes.Equal(b[4:headerLen], component):
		return fmt.Errorf("%w; build for wasm32-wasip1 or wasm32-unknown-unknown without the component step", ErrComponent)
	case !bytes.Equal(b[4:headerLen], core):
		return fmt.Errorf("%w: version %x is not 1 of the binary format", ErrNotWasm, b[4:headerLen])
	}
	return nil
}

// parser gathers a module.
type parser struct {
	m         *Module
	types     []FuncType
	functions []uint32 // types of imported functions, then of defined ones
	defined   uint32
	bodies    uint32
	exports   []exportRef
	hasCode   bool
}

// exportRef is an export before the functions are known.
type exportRef struct {
	name  string
	kind  Kind
	index uint32
}

func (p *parser) section(id sectionID, body []byte) error {
	r := &reader{data: body}
	var err error
	switch id {
	case sectionCustom:
		return p.custom(r)
	case sectionType:
		err = r.vector(maxTypes, func() error { return p.funcType(r) })
	case sectionImport:
		err = r.vector(maxImports, func() error { return p.imported(r) })
	case sectionFunction:
		err = r.vector(maxFunctions, func() error { return p.function(r) })
	case sectionMemory:
		err = r.vector(1, func() error { return p.memory(r, false) })
	case sectionExport:
		err = r.vector(maxExports, func() error { return p.export(r) })
	case sectionCode:
		p.hasCode = true
		p.bodies, err = r.u32()
		return err
	default:
		return nil
	}
	if err == nil && r.rest() > 0 {
		err = fmt.Errorf("%d bytes too many", r.rest())
	}
	return err
}

// finish joins what needs the whole module.
func (p *parser) finish() error {
	if p.defined > 0 && !p.hasCode {
		return fmt.Errorf("%w: the file ends before %v; was it still being copied?", ErrTruncated, sectionCode)
	}
	if p.defined != p.bodies {
		return fmt.Errorf("%w: %d functions are declared and %d defined", ErrMalformed, p.defined, p.bodies)
	}
	seen := make(map[string]bool, len(p.exports))
	for _, x := range p.exports {
		e := Export{Name: x.name, Kind: x.kind}
		if seen[x.name] {
			return fmt.Errorf("%w: two exports are named %q", ErrMalformed, x.name)
		}
		seen[x.name] = true
		if x.kind == KindFunc {
			if int64(x.index) >= int64(len(p.functions)) {
				return fmt.Errorf("%w: export %q is function %d of %d", ErrMalformed, x.name, x.index, len(p.functions))
			}
			e.Type = p.types[p.functions[x.index]]
		}
		p.m.Exports = append(p.m.Exports, e)
	}
	return nil
}

func (p *parser) funcType(r *reader) error {
	form, err := r.byte()
	if err != nil {
		return err
	}
	if form != 0x60 {
		return fmt.Errorf("type %d is no function (0x%02x); types of the garbage-collection proposal are not supported", len(p.types), form)
	}
	var t FuncType
	for _, values := range []*[]ValType{&t.Params, &t.Results} {
		err := r.vector(maxValues, func() error {
			v, err := r.valType()
			*values = append(*values, v)
			return err
		})
		if err != nil {
			return err
		}
	}
	p.types = append(p.types, t)
	return nil
}

func (p *parser) typeIndex(r *reader) (uint32, error) {
	i, err := r.u32()
	if err == nil && int64(i) >= int64(len(p.types)) {
		err = fmt.Errorf("type %d of %d", i, len(p.types))
	}
	return i, err
}

func (p *parser) function(r *reader) error {
	t, err := p.typeIndex(r)
	p.functions = append(p.functions, t)
	p.defined++
	return err
}

func (p *parser) custom(r *reader) error {
	if len(p.m.Customs) == maxCustoms {
		return fmt.Errorf("more than %d custom sections", maxCustoms)
	}
	c, err := r.custom()
	if err == nil {
		p.m.Customs = append(p.m.Customs, c)
	}
	return err
}

func (p *parser) imported(r *reader) error {
	var im Import
	var err error
	if im.Module, err = r.name(); err != nil {
		return err
	}
	if im.Name, err = r.name(); err != nil {
		return err
	}
	kind, err := r.byte()
	if err != nil {
		return err
	}
	im.Kind = Kind(kind)
	switch im.Kind {
	case KindFunc:
		var t uint32
		if t, err = p.typeIndex(r); err == nil {
			im.Type = p.types[t]
			p.functions = append(p.functions, t)
		}
	case KindTable:
		if _, err = r.valType(); err == nil {
			_, err = r.limits()
		}
	case KindMemory:
		err = p.memory(r, true)
	case KindGlobal:
		if _, err = r.valType(); err == nil {
			_, err = r.byte()
		}
	case KindTag:
		if _, err = r.byte(); err == nil {
			_, err = p.typeIndex(r)
		}
	default:
		err = fmt.Errorf("import %q of unknown kind 0x%02x", im.Name, kind)
	}
	p.m.Imports = append(p.m.Imports, im)
	return err
}

func (p *parser) memory(r *reader, imported bool) error {
	l, err := r.limits()
	if err != nil {
		return err
	}
	if p.m.Memory != nil {
		return fmt.Errorf("more than one memory is not supported")
	}
	if l.Min > maxPages || l.HasMax && (l.Max > maxPages || l.Max < l.Min) {
		return fmt.Errorf("memory of %d to %d pages; at most %d", l.Min, l.Max, maxPages)
	}
	l.Imported = imported
	p.m.Memory = &l
	return nil
}

func (p *parser) export(r *reader) error {
	name, err := r.name()
	if err != nil {
		return err
	}
	kind, err := r.byte()
	if err != nil {
		return err
	}
	if Kind(kind) > KindTag {
		return fmt.Errorf("export %q of unknown kind 0x%02x", name, kind)
	}
	index, err := r.u32()
	p.exports = append(p.exports, exportRef{name, Kind(kind), index})
	return err
}

// reader is a cursor over bytes that are not trusted.
type reader struct {
	data []byte
	at   int
}

func (r *reader) rest() int { return len(r.data) - r.at }

// section reads the next section of a file; its errors speak of the whole file.
func (r *reader) section() (sectionID, []byte, error) {
	b, _ := r.byte()
	id := sectionID(b)
	if int(id) >= len(sectionOrder) {
		return id, nil, fmt.Errorf("%w: %v at byte %d", ErrMalformed, id, r.at-1)
	}
	size, err := r.u32()
	if err == errShort {
		return id, nil, fmt.Errorf("%w: the file ends inside the header of %v; was it still being copied?", ErrTruncated, id)
	}
	if err != nil {
		return id, nil, fmt.Errorf("%w: size of %v: %w", ErrMalformed, id, err)
	}
	if int64(size) > int64(r.rest()) {
		return id, nil, fmt.Errorf("%w: the file ends inside %v, %d bytes short; was it still being copied?", ErrTruncated, id, int64(size)-int64(r.rest()))
	}
	body, err := r.bytes(size)
	return id, body, err
}

func (r *reader) custom() (Custom, error) {
	name, err := r.name()
	if err != nil {
		return Custom{}, err
	}
	return Custom{name, r.data[r.at:]}, nil
}

var errShort = fmt.Errorf("it ends too early")

func (r *reader) byte() (byte, error) {
	if r.rest() == 0 {
		return 0, errShort
	}
	r.at++
	return r.data[r.at-1], nil
}

func (r *reader) bytes(n uint32) ([]byte, error) {
	if int64(n) > int64(r.rest()) {
		return nil, errShort
	}
	r.at += int(n)
	return r.data[r.at-int(n) : r.at : r.at], nil
}

// u32 reads LEB128 of at most five bytes.
func (r *reader) u32() (uint32, error) {
	var v uint32
	for shift := 0; shift < 35; shift += 7 {
		b, err := r.byte()
		if err != nil {
			return 0, err
		}
		if shift == 28 && b > 0x0f {
			break
		}
		v |= uint32(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, fmt.Errorf("a number is longer than 32 bits")
}

func (r *reader) name() (string, error) {
	n, err := r.u32()
	if err != nil {
		return "", err
	}
	if n > maxName {
		return "", fmt.Errorf("a name of %d bytes; at most %d", n, maxName)
	}
	b, err := r.bytes(n)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(b) {
		return "", fmt.Errorf("a name is not UTF-8")
	}
	return string(b), nil
}

func (r *reader) valType() (ValType, error) {
	b, err := r.byte()
	if err != nil {
		return 0, err
	}
	switch v := ValType(b); v {
	case I32, I64, F32, F64, V128, FuncRef, ExternRef:
		return v, nil
	}
	return 0, fmt.Errorf("value type 0x%02x is not supported", b)
}

// limits reads the limits of a memory or table.
func (r *reader) limits() (Memory, error) {
	var m Memory
	flags, err := r.byte()
	if err != nil {
		return m, err
	}
	if flags > 3 {
		return m, fmt.Errorf("limits 0x%02x are not supported (64-bit memory?)", flags)
	}
	m.HasMax, m.Shared = flags&1 != 0, flags&2 != 0
	if m.Min, err = r.u32(); err == nil && m.HasMax {
		m.Max, err = r.u32()
	}
	return m, err
}

// vector reads a count, then so many elements. Each takes at least a byte, so a count beyond the rest is refused before
// any work.
func (r *reader) vector(most uint32, element func() error) error {
	n, err := r.u32()
	if err != nil {
		return err
	}
	if n > most || int64(n) > int64(r.rest()) {
		return fmt.Errorf("it claims %d entries; at most %d are allowed, and %d bytes follow", n, most, r.rest())
	}
	for range n {
		if err := element(); err != nil {
			return err
		}
	}
	return nil
}
