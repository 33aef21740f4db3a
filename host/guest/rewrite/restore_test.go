package rewrite

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/wazero"
)

// TestRestore_TellsWhatAnInstanceIs: everything that a host needs to make one by itself.
func TestRestore_TellsWhatAnInstanceIs(t *testing.T) {
	t.Parallel()
	wasm := read(t, "testdata/restore.wasm")
	for _, o := range allOptions {
		m, err := Rewrite(wasm, o)
		if err != nil {
			t.Fatal(err)
		}
		want := &Module{
			Wasm:    m.Wasm,
			Imports: []Function{{"extism:host/env", "input_length", "", "I"}},
			Exports: []Function{
				{Name: "call", Results: "i"},
				{Name: "grow", Results: "i"},
				{Name: "grow_too_much", Results: "i"},
				{Name: "reference", Results: "i"},
				{Name: "take", Params: "iI??", Results: "iI?"},
			},
			HasMemory: true, MinMemory: 2 * pageSize, MaxMemory: 3 * pageSize,
		}
		if o.Fuel > 0 {
			want.Fuel = "frigg:fuel"
		}
		if o.Restore {
			want.Globals = []string{"frigg:global/0", "frigg:global/2", "frigg:global/3", "frigg:global/4"}
			want.Start = "frigg:start"
			want.Data = []Segment{{0, []byte("one")}, {131069, []byte("two")}, {1, []byte("overwritten")}, {131072, []byte{}}}
		}
		if diff := cmp.Diff(want, m); diff != "" {
			t.Errorf("%+v:\n%s", o, diff)
		}
		if bytes.Contains(m.Wasm, []byte("overwritten")) == o.Restore {
			t.Errorf("%+v: data is in the wrong place", o)
		}
		checkExports(t, m)
	}
}

// checkExports looks at what an engine finds.
func checkExports(t *testing.T, m *Module) {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	defer r.Close(ctx)
	compiled, err := r.CompileModule(ctx, m.Wasm)
	if err != nil {
		t.Fatal(err)
	}
	k := &kernel{}
	k.offer(t, ctx, r, compiled)
	instance, err := r.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithStartFunctions())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range m.Globals {
		if g := instance.ExportedGlobal(name); g == nil {
			t.Errorf("there is no global %s", name)
		}
	}
	if m.Start != "" && instance.ExportedFunction(m.Start) == nil {
		t.Errorf("there is no function %s", m.Start)
	}
	for name := range compiled.ExportedFunctions() {
		if strings.HasPrefix(name, exportPrefix) && name != m.Start {
			t.Errorf("there is a function %s", name)
		}
	}
}

// TestRestore_SaysWhyNot: then a module is as it was, and runs in fresh instances.
func TestRestore_SaysWhyNot(t *testing.T) {
	t.Parallel()
	data, count := section(sectionData, []byte{1, 0, opI32Const, 0, opEnd, 4}, []byte("data")), section(sectionDataCount, []byte{1})
	passive := section(sectionData, []byte{2, 0, opI32Const, 0, opEnd, 4}, []byte("data"), []byte{1, 1, 'x'})
	element := section(sectionElement, []byte{1, 1, 0, 1, 0}) // passive
	with := func(instructions ...byte) []byte {
		return module(oneType, oneFunction, oneTable, oneMemory, oneGlobal, section(sectionStart, []byte{0}), element, count,
			body([]byte{0}, append(instructions, opEnd)...), data)
	}
	three := []byte{opI32Const, 0, opI32Const, 0, opI32Const, 0}
	global := func(content ...byte) []byte {
		return module(oneMemory, section(sectionGlobal, []byte{1}, content), data)
	}
	for want, wasm := range map[string][]byte{
		"it changes its tables (table.set)":               with(opI32Const, 0, opRefNull, 0x70, opTableSet, 0),
		"it changes its tables (table.grow)":              with(opRefNull, 0x70, opI32Const, 0, opMisc, tableGrow, 0, opDrop),
		"it changes its tables (table.fill)":              with(opI32Const, 0, opRefNull, 0x70, opI32Const, 0, opMisc, tableFill, 0),
		"it changes its tables (table.copy)":              with(append(three, opMisc, tableCopy, 0, 0)...),
		"it changes its tables (table.init)":              with(append(three, opMisc, tableInit, 0, 0)...),
		"it drops elements while it runs (elem.drop)":     with(opMisc, elemDrop, 0),
		"it chooses its data while it runs (memory.init)": with(append(three, opMisc, memoryInit, 0, 0)...),
		"it drops its data while it runs (data.drop)":     with(opMisc, dataDrop, 0),
		"it has passive data segments":                    module(oneMemory, passive),
		"it has a mutable global of type v128":            global(append([]byte{0x7b, 1, opVector, vectorConst}, append(make([]byte, 16), opEnd)...)...),
		"it has a mutable global of type funcref":         global(0x70, 1, opRefNull, 0x70, opEnd),
		"it has a mutable global of type externref":       global(0x6f, 1, opRefNull, 0x6f, opEnd),
		"it has more than 1000 mutable globals":           module(oneMemory, section(sectionGlobal, many(maxGlobals+1, []byte{0x7f, 1, opI32Const, 0, opEnd})), data),
		"":                                                with(opI32Const, 0, opTableGet, 0, opDrop, opMisc, tableSize, 0, opDrop),
	} {
		for _, o := range allOptions {
			m, err := Rewrite(wasm, o)
			if err != nil {
				t.Errorf("%s: %v", want, err)
				continue
			}
			reason := want
			if !o.Restore {
				reason = ""
			}
			if m.Unrestorable != reason {
				t.Errorf("want %q, got %q", reason, m.Unrestorable)
			}
			restores := o.Restore && reason == ""
			if bytes.Contains(m.Wasm, []byte("data")) == restores || (len(m.Data) > 0) != restores || (m.Start != "") && !restores {
				t.Errorf("%q: data and start are in the wrong place: %+v", reason, m)
			}
			checkExports(t, m)
		}
	}
}

// TestRestore_StartMayBeImported: then the host calls its own function, as the engine would.
func TestRestore_StartMayBeImported(t *testing.T) {
	t.Parallel()
	wasm := module(oneType, section(sectionImport, []byte("\x01\x03env\x05begin\x00\x00")), section(sectionStart, []byte{0}))
	m, err := Rewrite(wasm, allOptions[3])
	if err != nil || m.Start != "frigg:start" {
		t.Fatalf("%+v, %v", m, err)
	}
	compare(t, run{module: m, most: 10}, wasm)
}
