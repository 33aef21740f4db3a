package rewrite

import (
	"bytes"
	"context"
	"encoding/binary"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// small are the fixtures that compile in no time, in order of their names.
func small(f *testing.F) [][]byte {
	var modules [][]byte
	for _, folder := range []string{"testdata", "../testdata"} {
		files, _ := filepath.Glob(filepath.Join(folder, "*.wasm"))
		if len(files) == 0 {
			f.Fatalf("no modules in %s", folder)
		}
		for _, file := range files {
			if b := read(f, file); len(b) < 8<<10 {
				modules = append(modules, b)
			}
		}
	}
	return modules
}

// FuzzRewrite: no bytes crash Rewrite or make it take much memory, and what it accepts is valid exactly if the original is.
func FuzzRewrite(f *testing.F) {
	for _, module := range small(f) {
		f.Add(module)
	}
	f.Add(code(opBlock, emptyType, opLoop, 0, opEnd, opEnd))
	f.Add(code(opI32Const, 0, opI32Const, 0, opI32Const, 0, opMisc, memoryFill, 0))
	f.Add(code(append(append([]byte{opVector, vectorConst}, make([]byte, 16)...), opVector, 0xe0, 1, opDrop)...))
	f.Add(module(oneTable, section(sectionElement, []byte{1, 6, 0, opI32Const, 0, opEnd, 0x70, 1, opRefNull, 0x70, opEnd})))
	f.Add(module(section(sectionGlobal, []byte{1, 0x7f, 1, opI32Const, 0, opEnd}), section(sectionExport, []byte{1, 1, 'g', 3, 0})))
	f.Fuzz(func(t *testing.T, wasm []byte) {
		if len(wasm) > 64<<10 {
			t.Skip()
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, err := Rewrite(wasm, allOptions[3])
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > uint64(len(wasm))*200+4<<20 {
			t.Errorf("%d bytes, %d allocated", len(wasm), n)
		}
		if err != nil {
			if m != nil || strings.Contains(err.Error(), ".go:") {
				t.Errorf("%v, %v", m, err)
			}
			return
		}
		want := valid(withoutNames(wasm))
		for _, o := range allOptions {
			m, err := Rewrite(wasm, o)
			if err != nil {
				t.Fatalf("%+v: %v", o, err)
			}
			again, _ := Rewrite(wasm, o)
			if !bytes.Equal(m.Wasm, again.Wasm) {
				t.Errorf("%+v: the same input gives another output", o)
			}
			if got := valid(m.Wasm); (got == nil) != (want == nil) {
				t.Errorf("%+v: the original is %v, rewritten it is %v", o, want, got)
			}
		}
	})
}

// withoutNames is a module without custom sections: engines refuse broken names, which we drop.
func withoutNames(wasm []byte) []byte {
	r := reader{b: wasm, at: headerLen}
	out := bytes.Clone(wasm[:headerLen])
	for r.left() > 0 {
		from := r.at
		id := r.byte()
		if r.bytes(r.u32()); id != sectionCustom {
			out = append(out, wasm[from:r.at]...)
		}
	}
	return out
}

// valid is what an engine says to a module. Engines of wazero differ only in what they do with a valid one.
func valid(wasm []byte) error {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2))
	defer r.Close(ctx)
	_, err := r.CompileModule(ctx, wasm)
	return err
}

// FuzzRun: a guest cannot tell that it was rewritten. Edits are three bytes each, where and what, in the code of a fixture:
// many stay valid and do something else.
func FuzzRun(f *testing.F) {
	const memory = 1 << 20
	modules := small(f)
	for i := range modules {
		f.Add(byte(i), byte(0), []byte{})
		f.Add(byte(i), byte(1), []byte{0, 40, 1, 0, 60, 0x20})
	}
	f.Fuzz(func(t *testing.T, which, export byte, edits []byte) {
		wasm := withoutNames(modules[int(which)%len(modules)])
		at := codeOf(wasm)
		for len(edits) >= 3 && len(wasm) > at {
			wasm[at+int(binary.BigEndian.Uint16(edits))%(len(wasm)-at)] = edits[2]
			edits = edits[3:]
		}
		m, err := Rewrite(wasm, Options{Fuel: 2000, Restore: true})
		if err != nil || m.MinMemory > memory || bytes.Contains(wasm, []byte{opMisc, tableGrow}) || !m.HasMemory && len(m.Imports) > 0 {
			t.Skip() // the third eats all memory if nothing bounds it; WASI of wazero panics without a memory
		}
		if all := sequences(m); len(all) > 0 {
			compare(t, run{module: m, calls: all[int(export)%len(all)], input: "hello world", most: 10, memory: memory}, wasm)
		}
	})
}

// codeOf is where the code section begins.
func codeOf(wasm []byte) int {
	r := reader{b: wasm, at: headerLen}
	for r.left() > 0 && r.b[r.at] != sectionCode {
		r.byte()
		r.bytes(r.u32())
	}
	return r.at
}

// compare runs a module rewritten and compiled, then as it was and interpreted.
func compare(t *testing.T, r run, wasm []byte) {
	o, err := r.start(t, nil)
	if err != nil {
		if valid(wasm) == nil {
			t.Fatalf("rewritten, it is %v", err)
		}
		t.Skip()
	}
	other := r
	other.interpret = true
	if !o.stopped {
		other.module = nil
	}
	var want outcome
	for _, other.interpret = range []bool{true, false} { // engines may differ by themselves, as in the bits of a NaN
		if want, err = other.start(t, wasm); err != nil {
			t.Fatalf("rewritten it is valid, the original is %v", err)
		}
		if strings.Contains(o.Err+want.Err, "stack overflow") || o.equal(want) && (other.module == nil || o.used == want.used) {
			return
		}
	}
	t.Errorf("%v: the guest can tell:\n%v\n%v", r.calls, o, want)
}
