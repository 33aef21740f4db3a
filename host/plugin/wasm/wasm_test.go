package wasm_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/host/plugin/wasm"
	"github.com/frigg-host/frigg-host/host/plugin/wasm/wasmtest"
)

func sample() wasmtest.Module {
	return wasmtest.Module{
		Customs: []wasm.Custom{{Name: "producers", Data: []byte("hand")}},
		Imports: []wasm.Import{{Module: "extism:host/env", Name: "alloc", Type: wasmtest.Door}},
		Funcs:   append(wasmtest.Exports("run"), wasmtest.Func{Type: wasmtest.Door}),
		Pages:   2,
		Data:    "hello",
	}
}

func TestRead_GivesImportsExportsMemoryAndCustomSections(t *testing.T) {
	t.Parallel()
	got, err := wasm.Read(sample().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	want := &wasm.Module{
		Imports: []wasm.Import{{Module: "extism:host/env", Name: "alloc", Type: wasmtest.Door}},
		Exports: []wasm.Export{{Name: "run", Type: wasmtest.Entry}, {Name: "memory", Kind: wasm.KindMemory}},
		Memory:  &wasm.Memory{Min: 2},
		Customs: []wasm.Custom{{Name: "producers", Data: []byte("hand")}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if s := wasmtest.Door.String() + "; " + wasmtest.Entry.String() + "; " + (wasm.FuncType{}).String(); s != "(i64) -> i64; () -> i32; () -> ()" {
		t.Errorf("signatures print as %s", s)
	}
}

func TestRead_SaysWhatTheBytesAre(t *testing.T) {
	t.Parallel()
	header := "\x00asm\x01\x00\x00\x00"
	for _, c := range []struct {
		name, data string
		is         error
		says       string
	}{
		{"empty", "", wasm.ErrTruncated, "empty"},
		{"half a header", "\x00asm\x01", wasm.ErrTruncated, "inside the header"},
		{"text", "(module)", wasm.ErrNotWasm, "wat2wasm"},
		{"something else", "\x7fELF", wasm.ErrNotWasm, "does not start"},
		{"component", "\x00asm\x0d\x00\x01\x00", wasm.ErrComponent, "component"},
		{"version 2", "\x00asm\x02\x00\x00\x00", wasm.ErrNotWasm, "version 02000000"},
		{"section without size", header + "\x01", wasm.ErrTruncated, "inside the header of section 1 (type)"},
		{"half a section", header + "\x0a\x05\x00", wasm.ErrTruncated, "inside section 10 (code), 4 bytes short; was it still being copied?"},
		{"code is missing", header + "\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00", wasm.ErrTruncated, "before section 10 (code)"},
		{"unknown section", header + "\x0e\x00", wasm.ErrMalformed, "section 14 (unknown) at byte 8"},
		{"section twice", header + "\x01\x01\x00\x01\x01\x00", wasm.ErrMalformed, "twice or out of order"},
		{"sections out of order", header + "\x03\x01\x00\x01\x01\x00", wasm.ErrMalformed, "out of order"},
		{"count beyond the section", header + "\x01\x02\xff\x01", wasm.ErrMalformed, "claims 255 entries"},
		{"count of 4 GiB", header + "\x02\x05\xff\xff\xff\xff\x0f", wasm.ErrMalformed, "claims 4294967295 entries"},
		{"size longer than 32 bits", header + "\x01\xff\xff\xff\xff\x1f", wasm.ErrMalformed, "longer than 32 bits"},
		{"rest in a section", header + "\x01\x02\x00\x00", wasm.ErrMalformed, "1 bytes too many"},
		{"garbage-collected type", header + "\x01\x02\x01\x5f", wasm.ErrMalformed, "garbage-collection"},
		{"unknown value type", header + "\x01\x05\x01\x60\x01\x01\x00", wasm.ErrMalformed, "value type 0x01"},
		{"import of an unknown type", header + "\x02\x07\x01\x01a\x01b\x00\x05", wasm.ErrMalformed, "type 5 of 0"},
		{"name that is not UTF-8", header + "\x00\x02\x01\xff", wasm.ErrMalformed, "not UTF-8"},
		{"two memories", header + "\x05\x05\x02\x00\x01\x00\x01", wasm.ErrMalformed, "claims 2 entries"},
		{"64-bit memory", header + "\x05\x03\x01\x04\x01", wasm.ErrMalformed, "not supported"},
		{"memory of more than 4 GiB", header + "\x05\x05\x01\x00\x81\x80\x04", wasm.ErrMalformed, "at most 65536"},
		{"export of a missing function", header + "\x07\x05\x01\x01f\x00\x00", wasm.ErrMalformed, "function 0 of 0"},
		{"export twice", header + "\x05\x03\x01\x00\x01\x07\x09\x02\x01m\x02\x00\x01m\x02\x00", wasm.ErrMalformed, `named "m"`},
		{"more functions than bodies", header + "\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x0a\x01\x00", wasm.ErrMalformed, "1 functions are declared and 0 defined"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := wasm.Read([]byte(c.data))
			if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v with %q", err, c.is, c.says)
			}
		})
	}
}

func TestRead_EveryPrefixIsTruncatedOrAModule(t *testing.T) {
	t.Parallel()
	whole := sample().Bytes()
	truncated := 0
	for n := range whole {
		_, err := wasm.Read(whole[:n])
		if err != nil && !errors.Is(err, wasm.ErrTruncated) {
			t.Errorf("%d of %d bytes: %v", n, len(whole), err)
		}
		if err != nil {
			truncated++
		}
	}
	if truncated < len(whole)/2 {
		t.Errorf("only %d of %d prefixes are called truncated", truncated, len(whole))
	}
}

func TestRead_NamesAHalfCopiedModule(t *testing.T) {
	t.Parallel()
	whole, err := wasm.SetCustom(sample().Bytes(), "frigg:manifest", []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := wasm.Read(whole[:len(whole)-3])
	if !errors.Is(err, wasm.ErrTruncated) || len(m.Custom("frigg:manifest")) != 1 {
		t.Errorf("got %v and %v, want the custom section and ErrTruncated", m, err)
	}
}

func TestSetCustom_ReplacesOneSectionAndKeepsTheRest(t *testing.T) {
	t.Parallel()
	m := sample()
	m.Customs = append(m.Customs, wasm.Custom{Name: "x", Data: []byte("old")}, wasm.Custom{Name: "x", Data: []byte("older")})
	got, err := wasm.SetCustom(m.Bytes(), "x", []byte("new"))
	if err != nil {
		t.Fatal(err)
	}
	want := sample()
	want.Customs = append([]wasm.Custom{{Name: "x", Data: []byte("new")}}, want.Customs...)
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("got  %x\nwant %x", got, want.Bytes())
	}
}

func TestSetCustom_RefusesABrokenModule(t *testing.T) {
	t.Parallel()
	whole := sample().Bytes()
	if _, err := wasm.SetCustom(whole[:len(whole)-1], "x", nil); !errors.Is(err, wasm.ErrTruncated) {
		t.Errorf("got %v, want ErrTruncated", err)
	}
}

// A small hostile file must not cost much more memory than its size.
func TestRead_AllocatesInProportion(t *testing.T) {
	hostile := []byte("\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00")
	const n = 1 << 20
	hostile = append(hostile, fmt.Sprintf("\x03\x83\x80\xc0\x00\x80\x80\x40%s", strings.Repeat("\x00", n))...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := wasm.Read(hostile); err == nil {
		t.Fatal("want an error")
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 40*n {
		t.Errorf("%d bytes of input allocated %d", len(hostile), grown)
	}
}

func FuzzRead(f *testing.F) {
	whole := sample().Bytes()
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add([]byte("\x00asm\x0d\x00\x01\x00"))
	packed, err := wasm.SetCustom(whole, "frigg:manifest", []byte("{}"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := wasm.Read(data)
		if err != nil {
			return
		}
		out, err := wasm.SetCustom(data, "x", []byte("y"))
		if err != nil {
			t.Fatal(err)
		}
		again, err := wasm.Read(out)
		if err != nil {
			t.Fatalf("not a module any more: %v", err)
		}
		if got := again.Custom("x"); len(got) != 1 || string(got[0]) != "y" {
			t.Fatalf("section is %q", got)
		}
		again.Customs, m.Customs = nil, nil
		if diff := cmp.Diff(m, again); diff != "" {
			t.Fatal(diff)
		}
	})
}
