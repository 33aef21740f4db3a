// Package wasmtest writes small WebAssembly modules for tests.
package wasmtest

import "github.com/frigg-host/frigg-host/host/plugin/wasm"

// Module is a module to write. Functions get their type, body and export from Funcs.
type Module struct {
	Customs []wasm.Custom // first in the file
	Imports []wasm.Import // functions only
	Funcs   []Func
	Pages   uint32 // of memory, exported as "memory"; zero is no memory
	Data    string // at address 0
}

// Func is a defined function. Empty Code returns zeros.
type Func struct {
	Export string
	Type   wasm.FuncType
	Locals uint32 // of type i64, after the parameters
	Code   []byte // instructions without the final end
}

// Entry is the type of the contract's exports.
var Entry = wasm.FuncType{Results: []wasm.ValType{wasm.I32}}

// Door is the type of the contract's host functions.
var Door = wasm.FuncType{Params: []wasm.ValType{wasm.I64}, Results: []wasm.ValType{wasm.I64}}

// Exports makes functions of the contract's type that do nothing.
func Exports(names ...string) []Func {
	var funcs []Func
	for _, n := range names {
		funcs = append(funcs, Func{Export: n, Type: Entry})
	}
	return funcs
}

// Bytes writes the module.
func (m Module) Bytes() []byte {
	out := []byte{0, 'a', 's', 'm', 1, 0, 0, 0}
	for _, c := range m.Customs {
		out = section(out, 0, append(name(nil, c.Name), c.Data...))
	}
	var types, imports, functions, exports, codes [][]byte
	for _, im := range m.Imports {
		imports = append(imports, u32(append(name(name(nil, im.Module), im.Name), 0), uint32(len(types))))
		types = append(types, signature(im.Type))
	}
	for i, f := range m.Funcs {
		functions = append(functions, u32(nil, uint32(len(types))))
		types = append(types, signature(f.Type))
		if f.Export != "" {
			exports = append(exports, u32(append(name(nil, f.Export), 0), uint32(len(m.Imports)+i)))
		}
		codes = append(codes, body(f))
	}
	out = vector(out, 1, types)
	out = vector(out, 2, imports)
	out = vector(out, 3, functions)
	if m.Pages > 0 {
		out = section(out, 5, u32([]byte{1, 0}, m.Pages))
		exports = append(exports, append(name(nil, "memory"), 2, 0))
	}
	out = vector(out, 7, exports)
	out = vector(out, 10, codes)
	if m.Data != "" {
		out = section(out, 11, name([]byte{1, 0, 0x41, 0, 0x0b}, m.Data))
	}
	return out
}

func body(f Func) []byte {
	var b []byte
	if f.Locals > 0 {
		b = append(u32(append(b, 1), f.Locals), byte(wasm.I64))
	} else {
		b = append(b, 0)
	}
	code := f.Code
	if len(code) == 0 {
		for _, r := range f.Type.Results {
			code = append(code, constant(r), 0)
		}
	}
	b = append(append(b, code...), 0x0b)
	return append(u32(nil, uint32(len(b))), b...)
}

// constant is the instruction that makes an integer of this type.
func constant(t wasm.ValType) byte {
	if t == wasm.I64 {
		return 0x42
	}
	return 0x41
}

func signature(t wasm.FuncType) []byte {
	b := []byte{0x60}
	for _, values := range [][]wasm.ValType{t.Params, t.Results} {
		b = u32(b, uint32(len(values)))
		for _, v := range values {
			b = append(b, byte(v))
		}
	}
	return b
}

func vector(out []byte, id byte, items [][]byte) []byte {
	if len(items) == 0 {
		return out
	}
	b := u32(nil, uint32(len(items)))
	for _, item := range items {
		b = append(b, item...)
	}
	return section(out, id, b)
}

func section(out []byte, id byte, b []byte) []byte {
	return append(u32(append(out, id), uint32(len(b))), b...)
}

func name(b []byte, s string) []byte { return append(u32(b, uint32(len(s))), s...) }

// u32 writes LEB128.
func u32(b []byte, v uint32) []byte {
	for ; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}
