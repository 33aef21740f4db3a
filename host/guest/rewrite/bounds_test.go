package rewrite

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/host/plugin/wasm"
)

// uv writes an unsigned LEB128 number.
func uv(n uint64) []byte { return binary.AppendUvarint(nil, n) }

// module is a binary of these sections.
func module(sections ...[]byte) []byte {
	return append([]byte("\x00asm\x01\x00\x00\x00"), bytes.Join(sections, nil)...)
}

func section(id byte, content ...[]byte) []byte {
	return appendSection(nil, id, nil, bytes.Join(content, nil))
}

// vec is a vector of entries.
func vec(entries ...[]byte) []byte {
	return append(uv(uint64(len(entries))), bytes.Join(entries, nil)...)
}

// many is a vector of n equal entries.
func many(n int, entry []byte) []byte { return append(uv(uint64(n)), bytes.Repeat(entry, n)...) }

const huge = math.MaxUint32

var (
	oneType     = section(sectionType, []byte{1, 0x60, 0, 0})
	oneFunction = section(sectionFunction, []byte{1, 0})
	oneTable    = section(sectionTable, []byte{1, 0x70, 0, 1})
	oneMemory   = section(sectionMemory, []byte{1, 0, 1})
	oneGlobal   = section(sectionGlobal, []byte{1, 0x7f, 1, opI32Const, 0, opEnd})
)

// body is a code section with one function.
func body(locals []byte, code ...byte) []byte {
	f := append(slices.Clone(locals), code...)
	return section(sectionCode, uv(1), uv(uint64(len(f))), f)
}

// code is a module with a memory, a table, a global and one function with this code.
func code(instructions ...byte) []byte {
	return module(oneType, oneFunction, oneTable, oneMemory, oneGlobal, body([]byte{0}, append(instructions, opEnd)...))
}

// TestRewrite_NoBytesAskForMore: small files that claim to be large are refused before memory is made for them.
func TestRewrite_NoBytesAskForMore(t *testing.T) {
	t.Parallel()
	wide := section(sectionType, vec([]byte{0x60, 0, 0}, append([]byte{0x60}, append(many(maxBlockParams+1, []byte{0x7f}), 0)...)))
	for name, wasm := range map[string][]byte{
		"nothing":                nil,
		"types":                  module(section(sectionType, uv(huge))),
		"parameters":             module(section(sectionType, []byte{1, 0x60}, uv(huge))),
		"results":                module(section(sectionType, []byte{1, 0x60, 0}, many(maxResults+1, []byte{0x7f}))),
		"imports":                module(section(sectionImport, uv(huge))),
		"a name":                 module(section(sectionImport, []byte{1}, uv(huge))),
		"functions":              module(oneType, section(sectionFunction, uv(huge))),
		"tables":                 module(section(sectionTable, uv(huge))),
		"a table":                module(section(sectionTable, []byte{1, 0x70, 0}, uv(huge))),
		"many tables":            module(section(sectionTable, many(50, append([]byte{0x70, 0}, uv(100_000)...)))),
		"globals":                module(section(sectionGlobal, uv(huge))),
		"exports":                module(section(sectionExport, uv(huge))),
		"element segments":       module(section(sectionElement, uv(huge))),
		"elements":               module(oneTable, section(sectionElement, []byte{1, 0, opI32Const, 0, opEnd}, uv(huge))),
		"element expressions":    module(section(sectionElement, []byte{1, 5, 0x70}, uv(huge))),
		"bodies":                 module(oneType, oneFunction, section(sectionCode, uv(huge))),
		"no bodies":              module(oneType, oneFunction, section(sectionCode, uv(0))),
		"a body":                 module(oneType, oneFunction, section(sectionCode, uv(1), uv(huge))),
		"a second body":          module(oneType, section(sectionFunction, []byte{2, 0, 0}), section(sectionCode, []byte{2, 2, 0, opEnd}, uv(huge))),
		"a large body":           module(oneType, oneFunction, body([]byte{0}, append(bytes.Repeat([]byte{1}, maxBody), opEnd)...)),
		"local declarations":     module(oneType, oneFunction, body(uv(huge), opEnd)),
		"locals":                 module(oneType, oneFunction, body(append(append(uv(1), uv(huge)...), 0x7f), opEnd)),
		"locals in two":          module(oneType, oneFunction, body(many(2, append(uv(huge), 0x7f)), opEnd)),
		"labels":                 code(append([]byte{opBrTable}, uv(huge)...)...),
		"types of select":        code(append([]byte{opSelectTyped}, uv(huge)...)...),
		"blocks":                 code(bytes.Repeat([]byte{opBlock, emptyType, opEnd}, maxBlocks+1)...),
		"loops":                  code(bytes.Repeat([]byte{opLoop, emptyType, opEnd}, maxLoops+1)...),
		"branches":               code(bytes.Repeat([]byte{opBr, 0}, maxJumps+1)...),
		"labels of many":         code(bytes.Repeat(append([]byte{opBrTable}, append(many(99, []byte{0}), 0)...), maxLabels/99+1)...),
		"results of calls":       module(section(sectionType, []byte{1, 0x60, 0}, many(32, []byte{0x7f})), oneFunction, body([]byte{0}, append(bytes.Repeat([]byte{opCall, 0}, maxValues/32+1), opEnd)...)),
		"locals and blocks":      module(oneType, oneFunction, body(append(append([]byte{1}, uv(1000)...), 0x7f), append(bytes.Repeat([]byte{opBlock, emptyType, opEnd}, maxMerges/1000+1), opEnd)...)),
		"parameters of a block":  module(wide, oneFunction, body([]byte{0}, opLoop, 1, opEnd, opEnd)),
		"data segments":          module(oneMemory, section(sectionData, uv(huge))),
		"data":                   module(oneMemory, section(sectionData, []byte{1, 1}, uv(huge))),
		"data that are not":      module(oneMemory, section(sectionDataCount, uv(1)), section(sectionData, uv(0))),
		"a section":              append(module(), append([]byte{1}, uv(huge)...)...),
		"a constant":             module(section(sectionGlobal, []byte{1, 0x7f, 0, opI32Const}, bytes.Repeat([]byte{0x80}, 20))),
		"a constant of two":      module(section(sectionGlobal, []byte{1, 0x7f, 0, opI32Const, 0, opI32Const, 0, opEnd})),
		"a constant vector":      module(section(sectionGlobal, []byte{1, 0x7b, 0, opVector, 12, 0, opEnd})),
		"an extended constant":   module(section(sectionGlobal, []byte{1, 0x7f, 0, opI32Add, opEnd})),
		"a shared memory":        module(section(sectionMemory, []byte{1, 3, 1, 1})),
		"two memories":           module(section(sectionMemory, []byte{2, 0, 1, 0, 1})),
		"a tag":                  module(oneType, section(13, []byte{1, 0, 0})),
		"a table with a value":   module(section(sectionTable, []byte{1, 0x40, 0, 0x70, 0, 1, 0xd0, 0x70, opEnd})),
		"a function without end": module(oneType, oneFunction, body([]byte{0}, 1)),
		"a start with parameter": module(section(sectionType, []byte{1, 0x60, 1, 0x7f, 0}), oneFunction, section(sectionStart, uv(0)), body([]byte{0}, opEnd)),
		"an open block":          code(opBlock, emptyType),
		"code after the end":     code(opEnd, 1),
		"our name":               module(oneGlobal, section(sectionExport, []byte{1, 10}, []byte("frigg:fuel"), []byte{3, 0})),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, o := range allOptions {
				if _, err := Rewrite(wasm, o); err == nil {
					t.Errorf("%+v: want it refused", o)
				}
			}
		})
	}
}

func TestRewrite_RefusesTooManyBytes(t *testing.T) {
	t.Parallel()
	_, err := Rewrite(make([]byte, maxModule+1), Options{})
	if want := "it has 67108865 bytes, more than 64 MiB"; err == nil || err.Error() != want {
		t.Errorf("want %q, got %v", want, err)
	}
}

func TestRewrite_RefusesAQuantumThatWrapsAround(t *testing.T) {
	t.Parallel()
	if _, err := Rewrite(module(), Options{Fuel: MaxFuel + 1}); err == nil {
		t.Error("want it refused")
	}
	if _, err := Rewrite(module(), Options{Fuel: MaxFuel}); err != nil {
		t.Error(err)
	}
}

func TestRewrite_SaysWhatIsImported(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string][]byte{"table": {1, 0x70, 0, 1}, "memory": {2, 0, 1}, "global": {3, 0x7f, 0}} {
		_, err := Rewrite(module(section(sectionImport, []byte("\x01\x03env\x01x"), kind)), Options{})
		want := "it imports " + name + ` "x" of "env"; only functions can be imported`
		if !errors.Is(err, ErrImport) || err.Error() != want {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if _, err := Rewrite([]byte("\x00as"), Options{}); !errors.Is(err, wasm.ErrTruncated) {
		t.Errorf("want what package wasm says, got %v", err)
	}
}

// TestRewrite_RefusesOtherProposals: with the instruction in the text.
func TestRewrite_RefusesOtherProposals(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		code []byte
		want string
	}{
		{[]byte{0x12, 0}, "0x12 (tail calls)"},
		{[]byte{0x13, 0, 0}, "0x13 (tail calls)"},
		{[]byte{0x06, 0x40}, "0x6 (exceptions)"},
		{[]byte{0x08, 0}, "0x8 (exceptions)"},
		{[]byte{0x1f, 0x40, 0, 0x0b}, "0x1f (exceptions)"},
		{[]byte{0x14, 0}, "0x14 (typed function references)"},
		{[]byte{0xd4}, "0xd4 (typed function references)"},
		{[]byte{0xfb, 0, 0}, "0xfb (garbage collection)"},
		{[]byte{0xfe, 3, 0}, "0xfe (threads)"},
		{[]byte{0xff}, "0xff (no proposal that is known)"},
		{[]byte{0xfc, 18}, "0xfc 0x12"},
		{[]byte{0xfc, 0x8b, 0x00, 0}, "0xfc 0x8b"},
		{[]byte{0xfd, 0x80, 0x02}, "vector instruction"},
		{[]byte{0xfd, 0x80, 0x00}, "vector instruction"},
		{[]byte{opBlock, 0x69, opEnd}, "block type"},
		{[]byte{opBlock, 0xc0, 0x7f, opEnd}, "block type -64"},
		{[]byte{opRefNull, 0x69}, "reference type 0x69"},
	} {
		_, err := Rewrite(code(test.code...), Options{Fuel: 1})
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "section 10: function 0: ") {
			t.Errorf("% x: want %q, got %v", test.code, test.want, err)
		}
	}
}

// TestRewrite_DropsNamesThatAreBroken: a custom section never makes a module unusable.
func TestRewrite_DropsNamesThatAreBroken(t *testing.T) {
	t.Parallel()
	good := section(sectionCustom, []byte("\x04name"), section(1, []byte{1, 0, 1, 'f'}))
	for name, names := range map[string][]byte{
		"good":           good,
		"twice":          slices.Concat(good, good),
		"huge":           section(sectionCustom, []byte("\x04name"), section(1, uv(huge))),
		"cut off":        section(sectionCustom, []byte("\x04name"), []byte{1, 100}),
		"locals":         section(sectionCustom, []byte("\x04name"), section(2, uv(huge))),
		"not text":       section(sectionCustom, []byte("\x04name"), section(1, []byte{1, 0, 1, 0xff})),
		"something else": section(sectionCustom, []byte("\x0bfrigg:thing"), []byte{0xff, 0xff, 0xff, 0xff}),
	} {
		m, err := Rewrite(module(oneType, oneFunction, body([]byte{0}, opEnd), names), Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := module(oneType, oneFunction, body([]byte{0}, opEnd))
		if name == "good" || name == "twice" {
			want = append(want, good...)
		}
		if !bytes.Equal(m.Wasm, want) {
			t.Errorf("%s: want % x, got % x", name, want, m.Wasm)
		}
	}
}

// TestRewrite_TablesGetAMaximum: also those that have none.
func TestRewrite_TablesGetAMaximum(t *testing.T) {
	t.Parallel()
	m, err := Rewrite(module(section(sectionTable, []byte{2, 0x70, 0, 8, 0x6f, 1, 1, 2})), Options{})
	if err != nil {
		t.Fatal(err)
	}
	room := uint64(maxTableEntries-9) / 2
	want := module(section(sectionTable, []byte{2, 0x70, 1, 8}, uv(8+room), []byte{0x6f, 1, 1, 2}))
	if !bytes.Equal(m.Wasm, want) {
		t.Errorf("want % x, got % x", want, m.Wasm)
	}
}

// TestRewrite_AllocatesInProportion: the smallest pieces that a binary can have.
func TestRewrite_AllocatesInProportion(t *testing.T) {
	wide := append(append([]byte{0x60}, many(maxParams, []byte{0x7f})...), 0)
	exports := uv(65_000)
	for i := range 65_000 {
		exports = append(exports, 3, byte(i), byte(i>>7)&0x7f, byte(i>>14), 0, 0)
	}
	for i := 3; i < len(exports); i += 6 {
		exports[i+1] &= 0x7f
	}
	for name, wasm := range map[string][]byte{
		"types":    module(section(sectionType, many(65_000, []byte{0x60, 0, 0}))),
		"loops":    code(bytes.Repeat([]byte{opLoop, emptyType, opEnd}, maxLoops)...),
		"blocks":   code(append(bytes.Repeat([]byte{opBlock, emptyType}, maxBlocks), bytes.Repeat([]byte{opEnd}, maxBlocks)...)...),
		"bodies":   module(oneType, section(sectionFunction, many(300_000, []byte{0})), section(sectionCode, many(300_000, []byte{4, 0, opCall, 0, opEnd}))),
		"bulk":     code(bytes.Repeat([]byte{opMisc, memoryFill, 0}, 150_000)...),
		"globals":  module(section(sectionGlobal, many(300_000, []byte{0x7f, 1, opI32Const, 0, opEnd}))),
		"elements": module(oneType, oneFunction, oneTable, section(sectionElement, []byte{1, 0, opI32Const, 0, opEnd}, many(1_000_000, []byte{0})), body([]byte{0}, opEnd)),
		"segments": module(oneMemory, section(sectionData, many(100_000, []byte{0, opI32Const, 0, opEnd, 0}))),
		"exports":  module(section(sectionType, vec(wide)), oneFunction, section(sectionExport, exports), body([]byte{0}, opEnd)),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Rewrite(wasm, Options{Fuel: 1, Restore: true})
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// Also what is thrown away while slices grow.
		if n := after.TotalAlloc - before.TotalAlloc; n > uint64(len(wasm))*50+64<<20 {
			t.Errorf("%s: %d bytes, %d allocated", name, len(wasm), n)
		} else {
			t.Logf("%s: %d bytes, %d allocated", name, len(wasm), n)
		}
	}
}
