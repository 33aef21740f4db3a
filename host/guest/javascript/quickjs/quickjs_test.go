package quickjs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/host/plugin/wasm"
)

var sample = New([]string{"frigg_b", "frigg_a", "frigg_b"}, "export const frigg_a = () => 'é\\n'; export const frigg_b = frigg_a")

func packed(t testing.TB) []byte {
	t.Helper()
	module, err := sample.Module()
	if err != nil {
		t.Fatal(err)
	}
	return module
}

func TestEngine_IsWhatTheChecksumsSay(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(text))
	if len(lines) < 4 {
		t.Fatal("there are no checksums")
	}
	for i := 0; i+1 < len(lines); i += 2 {
		file, err := os.ReadFile(lines[i+1])
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(file); hex.EncodeToString(sum[:]) != lines[i] {
			t.Errorf("%s is another file", lines[i+1])
		}
	}
}

func TestModule_CanBeReadBack(t *testing.T) {
	t.Parallel()
	mapped := sample
	mapped.Map = `{"version":3}`
	for _, p := range []Program{sample, mapped} {
		module, err := p.Module()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Read(module)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&p, got); diff != "" {
			t.Error(diff)
		}
	}
	got, err := Read(packed(t))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"frigg_a", "frigg_b"}, got.Exports); diff != "" {
		t.Error(diff)
	}
}

func TestModule_IsTheEngineAndASection(t *testing.T) {
	t.Parallel()
	other, err := New([]string{"x"}, "y").Module()
	if err != nil {
		t.Fatal(err)
	}
	for _, module := range [][]byte{packed(t), other} {
		bare, err := wasm.DropCustoms(module)
		if err != nil || !bytes.Equal(bare, Engine()) {
			t.Error("the code differs", err)
		}
	}
}

func TestRead_NilForOtherModules(t *testing.T) {
	t.Parallel()
	for name, module := range map[string][]byte{"empty": []byte("\x00asm\x01\x00\x00\x00"), "engine": Engine()} {
		if p, err := Read(module); p != nil || err != nil {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}

func TestRead_RefusesWhatIsNotTheEngine(t *testing.T) {
	t.Parallel()
	section, err := sample.Encode()
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := wasm.SetCustom([]byte("\x00asm\x01\x00\x00\x00"), Section, section)
	if err != nil {
		t.Fatal(err)
	}
	changed := packed(t)
	changed[len(changed)-1000] ^= 1 // data
	twice := append(bytes.Clone(packed(t)), packed(t)[8:8+len(Section)+len(section)+4]...)
	for name, tc := range map[string]struct {
		module []byte
		want   string
	}{
		"foreign": {foreign, "not the JavaScript engine"},
		"changed": {changed, "not the JavaScript engine"},
		"twice":   {twice, "2 sections"},
		"cut":     {packed(t)[:1000], "truncated"},
	} {
		if p, err := Read(tc.module); p != nil || err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}

func TestDecode_IsStrict(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ section, want string }{
		"empty":          {"", "no header line"},
		"no line":        {`{"version":1,"exports":["a"]}`, "no header line"},
		"long header":    {`{"version":1,"exports":["a"]` + strings.Repeat(" ", maxHeaderBytes) + "}\n", "no header line"},
		"no JSON":        {"x\ny", "header"},
		"unknown field":  {`{"version":1,"exports":["a"],"x":1}` + "\n", "unknown field"},
		"two values":     {`{"version":1,"exports":["a"]} {}` + "\n", "more than one"},
		"version":        {`{"version":2,"exports":["a"]}` + "\n", "version 2"},
		"no exports":     {`{"version":1,"exports":[]}` + "\n", "exports nothing"},
		"bad name":       {`{"version":1,"exports":["A b"]}` + "\n", "cannot be the name"},
		"empty name":     {`{"version":1,"exports":[""]}` + "\n", "cannot be the name"},
		"unsorted":       {`{"version":1,"exports":["b","a"]}` + "\n", "not sorted"},
		"twice":          {`{"version":1,"exports":["a","a"]}` + "\n", "not sorted"},
		"too many":       {`{"version":1,"exports":["a"` + strings.Repeat(`,"a"`, MaxExports) + "]}\n", "exports 65"},
		"no UTF-8":       {`{"version":1,"exports":["a"],"source_bytes":1}` + "\n\xff", "not UTF-8"},
		"map no UTF-8":   {`{"version":1,"exports":["a"]}` + "\n\xff", "not UTF-8"},
		"long":           {`{"version":1,"exports":["a"],"source_bytes":16777217}` + "\n" + strings.Repeat("x", MaxSourceBytes+1), "at most"},
		"long map":       {`{"version":1,"exports":["a"]}` + "\n" + strings.Repeat("x", MaxSourceBytes+1), "at most"},
		"cut":            {`{"version":1,"exports":["a"],"source_bytes":3}` + "\nxy", "3 bytes, and 2 are there"},
		"negative":       {`{"version":1,"exports":["a"],"source_bytes":-1}` + "\nxy", "-1 bytes"},
		"wrong type":     {`{"version":"1","exports":["a"]}` + "\n", "header"},
		"long name":      {`{"version":1,"exports":["` + strings.Repeat("a", 65) + `"]}` + "\n", "cannot be the name"},
		"exports absent": {`{"version":1}` + "\n", "exports nothing"},
	} {
		if p, err := Decode([]byte(tc.section)); p != nil || err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}

// FuzzDecode: what is taken can be written, and is then read as the same.
func FuzzDecode(f *testing.F) {
	section, err := sample.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(section)
	f.Add([]byte("{}\n"))
	f.Add([]byte(`{"version":1,"exports":["a","b_1"]}` + "\n\x00"))
	f.Add([]byte(`{"version":1,"exports":["a"],"exports":null}` + "\n"))
	f.Fuzz(func(t *testing.T, section []byte) {
		p, err := Decode(section)
		if err != nil {
			return
		}
		again, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		q, err := Decode(again)
		if err != nil || !cmp.Equal(p, q) {
			t.Errorf("%v, %v", q, err)
		}
	})
}
