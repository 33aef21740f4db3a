// Package wasm reads and writes the section structure of core WebAssembly modules (specification 2.0, section 5): which
// functions a module imports and exports, its memory, its custom sections.
//
// It knows nothing of plugins, runs nothing and does not look into code. Input is hostile: nothing here panics, and work
// and memory are bounded by the size of the input. Functions are pure and safe for concurrent use; what they return
// shares memory with the input.
package wasm

import (
	"errors"
	"fmt"
	"strings"
)

// Errors say what the bytes are, where that decides what to do next. Read wraps them.
var (
	ErrTruncated = errors.New("truncated")                                     // a module that is still being copied looks like this
	ErrNotWasm   = errors.New("not a WebAssembly module")                      // something else
	ErrComponent = errors.New("a WebAssembly component and not a core module") // from a tool of the component model
	ErrMalformed = errors.New("malformed WebAssembly module")
)

// Module is what the sections of a module say.
type Module struct {
	Imports []Import
	Exports []Export
	Memory  *Memory // nil when the module has none
	Customs []Custom
}

// Kind of an import or export.
type Kind byte

const (
	KindFunc Kind = iota
	KindTable
	KindMemory
	KindGlobal
	KindTag
)

func (k Kind) String() string {
	if names := [...]string{"function", "table", "memory", "global", "tag"}; int(k) < len(names) {
		return names[k]
	}
	return "unknown kind"
}

// ValType is the type of a parameter or result.
type ValType byte

const (
	I32       ValType = 0x7f
	I64       ValType = 0x7e
	F32       ValType = 0x7d
	F64       ValType = 0x7c
	V128      ValType = 0x7b
	FuncRef   ValType = 0x70
	ExternRef ValType = 0x6f
)

func (v ValType) String() string {
	switch v {
	case I32:
		return "i32"
	case I64:
		return "i64"
	case F32:
		return "f32"
	case F64:
		return "f64"
	case V128:
		return "v128"
	case FuncRef:
		return "funcref"
	case ExternRef:
		return "externref"
	}
	return "unknown type"
}

// FuncType is the signature of a function.
type FuncType struct{ Params, Results []ValType }

// String writes it as "(i64, i32) -> i64"; no result is "()".
func (f FuncType) String() string {
	results := list(f.Results)
	if len(f.Results) == 1 {
		results = f.Results[0].String()
	}
	return list(f.Params) + " -> " + results
}

func list(types []ValType) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.String()
	}
	return "(" + strings.Join(names, ", ") + ")"
}

// Import is something that a module needs.
type Import struct {
	Module, Name string
	Kind         Kind
	Type         FuncType // of a function
}

// Export is something that a module offers.
type Export struct {
	Name string
	Kind Kind
	Type FuncType // of a function
}

// Memory is the linear memory in pages of 64 KiB.
type Memory struct {
	Min, Max uint32 // Max counts when HasMax
	HasMax   bool
	Shared   bool
	Imported bool
}

// Custom is a custom section.
type Custom struct {
	Name string
	Data []byte
}

// Custom returns the data of the custom sections with this name.
func (m *Module) Custom(name string) [][]byte {
	var found [][]byte
	for _, c := range m.Customs {
		if c.Name == name {
			found = append(found, c.Data)
		}
	}
	return found
}

// SetCustom returns a module in which exactly one custom section has this name, as its first section, with this data.
// The rest of the module stays byte for byte.
func SetCustom(module []byte, name string, data []byte) ([]byte, error) {
	if _, err := Read(module); err != nil {
		return nil, err
	}
	if len(name) > maxName {
		return nil, fmt.Errorf("the name of the section has %d bytes, at most %d are allowed", len(name), maxName)
	}
	body := appendU32(nil, uint32(len(name)))
	body = append(append(body, name...), data...)
	out := append([]byte(nil), module[:headerLen]...)
	out = append(out, byte(sectionCustom))
	out = append(appendU32(out, uint32(len(body))), body...)
	r := reader{data: module, at: headerLen}
	for r.rest() > 0 {
		start := r.at
		id, body, err := r.section()
		if err != nil {
			return nil, err
		}
		if id == sectionCustom {
			if c, err := (&reader{data: body}).custom(); err != nil || c.Name == name {
				continue
			}
		}
		out = append(out, module[start:r.at]...)
	}
	return out, nil
}

// DropCustoms returns a module without its custom sections: what a machine runs of it. The rest stays byte for byte.
func DropCustoms(module []byte) ([]byte, error) {
	if err := header(module); err != nil {
		return nil, err
	}
	out := append(make([]byte, 0, len(module)), module[:headerLen]...)
	r := reader{data: module, at: headerLen}
	for r.rest() > 0 {
		start := r.at
		id, _, err := r.section()
		if err != nil {
			return nil, err
		}
		if id != sectionCustom {
			out = append(out, module[start:r.at]...)
		}
	}
	return out, nil
}

// appendU32 writes LEB128.
func appendU32(b []byte, v uint32) []byte {
	for ; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}
