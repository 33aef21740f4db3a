package guest

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/host/fault"
)

// uv writes an unsigned LEB128 number.
func uv(n uint64) []byte { return binary.AppendUvarint(nil, n) }

// module is a binary of these sections.
func module(sections ...[]byte) []byte {
	return append([]byte("\x00asm\x01\x00\x00\x00"), bytes.Join(sections, nil)...)
}

func section(id byte, content ...[]byte) []byte {
	return appendSection(nil, id, bytes.Join(content, nil))
}

const huge = math.MaxUint32

var (
	oneType     = section(sectionType, []byte{1, 0x60, 0, 0})
	oneFunction = section(sectionFunction, []byte{1, 0})
)

// body is a code section with one function.
func body(locals, code []byte) []byte {
	f := append(slices.Clone(locals), code...)
	return section(sectionCode, uv(1), uv(uint64(len(f))), f)
}

// TestVet_NoBytesAskForMore: small files that claim to be large are refused before memory is made for them.
func TestVet_NoBytesAskForMore(t *testing.T) {
	t.Parallel()
	many := func(n int, entry []byte) []byte { return append(uv(uint64(n)), bytes.Repeat(entry, n)...) }
	for name, wasm := range map[string][]byte{
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
		"elements":               module(section(sectionElement, []byte{1, 0, opI32Const, 0, opEnd}, uv(huge))),
		"element expressions":    module(section(sectionElement, []byte{1, 5, 0x70}, uv(huge))),
		"bodies":                 module(oneType, oneFunction, section(sectionCode, uv(huge))),
		"a body":                 module(oneType, oneFunction, section(sectionCode, uv(1), uv(huge))),
		"local declarations":     module(oneType, oneFunction, body(uv(huge), []byte{opEnd})),
		"locals":                 module(oneType, oneFunction, body(append(append(uv(1), uv(huge)...), 0x7f), []byte{opEnd})),
		"locals in two":          module(oneType, oneFunction, body(many(2, append(uv(huge), 0x7f)), []byte{opEnd})),
		"data segments":          module(section(sectionMemory, []byte{1, 0, 1}), section(sectionData, uv(huge))),
		"data":                   module(section(sectionMemory, []byte{1, 0, 1}), section(sectionData, []byte{1, 1}, uv(huge))),
		"a section":              append(module(), append([]byte{1}, uv(huge)...)...),
		"a constant":             module(section(sectionGlobal, []byte{1, 0x7f, 0, opI32Const}, bytes.Repeat([]byte{0x80}, 20))),
		"a constant vector":      module(section(sectionGlobal, []byte{1, 0x7b, 0, opVector, 12, 0, opEnd})),
		"a shared memory":        module(section(sectionMemory, []byte{1, 3, 1, 1})),
		"two memories":           module(section(sectionMemory, []byte{2, 0, 1, 0, 1})),
		"a tag":                  module(oneType, section(13, []byte{1, 0, 0})),
		"a table with a value":   module(section(sectionTable, []byte{1, 0x40, 0, 0x70, 0, 1, 0xd0, 0x70, opEnd})),
		"a function without end": module(oneType, oneFunction, body([]byte{0}, []byte{1})),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := vet(wasm); !fault.Is(err, fault.Invalid) || !ReasonOf(err).Unusable() {
				t.Errorf("want it refused, got %v", err)
			}
		})
	}
}

func TestVet_RefusesTooManyBytes(t *testing.T) {
	t.Parallel()
	_, err := vet(make([]byte, maxModule+1))
	if want := "not a usable module: it has 67108865 bytes, more than 64 MiB"; fault.PublicMessage(err) != want {
		t.Errorf("want %q, got %v", want, err)
	}
}

// TestVet_DropsNamesThatAreBroken: a custom section never makes a module unusable.
func TestVet_DropsNamesThatAreBroken(t *testing.T) {
	t.Parallel()
	e := open(t, Config{})
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
		wasm := module(oneType, oneFunction, section(sectionExport, []byte{1, 1, 'f', 0, 0}), body([]byte{0}, []byte{opEnd}), names)
		m, err := e.Compile(context.Background(), wasm)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := m.Call(context.Background(), Call{Export: "f"}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		v, _ := vet(wasm)
		if kept := bytes.Contains(v.wasm, []byte("name")); kept != (name == "good" || name == "twice") {
			t.Errorf("%s: kept %v", name, kept)
		}
	}
}

// TestVet_TablesGetAMaximum: also those that have none.
func TestVet_TablesGetAMaximum(t *testing.T) {
	t.Parallel()
	v, err := vet(module(section(sectionTable, []byte{2, 0x70, 0, 8, 0x6f, 1, 1, 2})))
	if err != nil {
		t.Fatal(err)
	}
	room := uint64(maxTableEntries-9) / 2
	want := module(section(sectionTable, []byte{2, 0x70, 1, 8}, uv(8+room), []byte{0x6f, 1, 1, 2}))
	if !bytes.Equal(v.wasm, want) {
		t.Errorf("want % x, got % x", want, v.wasm)
	}
}

// FuzzCompile: no bytes crash an engine, and what it refuses is the guest's fault.
func FuzzCompile(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join("testdata", "*.wasm"))
	if len(files) == 0 {
		f.Fatal("there are no fixtures")
	}
	for _, file := range files {
		wasm, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wasm)
	}
	f.Add(module(section(sectionTable, uv(huge))))
	f.Add(module(oneType, oneFunction, body([]byte{0}, []byte{0x0e, 0xff, 0xff, 0x7f, opEnd})))
	e, err := OpenNative(context.Background(), Config{Imports: []Import{sendImport}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { e.Close(context.Background()) })
	f.Fuzz(func(t *testing.T, wasm []byte) {
		m, err := e.Compile(context.Background(), wasm)
		if err == nil {
			err = m.Close(context.Background())
		}
		if err != nil && (fault.SideOf(err) != fault.Guest || !ReasonOf(err).Unusable() || strings.Contains(err.Error(), ".go:")) {
			t.Error(err)
		}
	})
}
