package plugin_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/guest/javascript/quickjs"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/plugin/wasm"
	"github.com/frigg-host/frigg-host/host/plugin/wasm/wasmtest"
)

// doors makes imports of host functions, written "capability.function".
func doors(names ...string) []wasm.Import {
	imports := []wasm.Import{{Module: abi.KernelModule, Name: "alloc", Type: wasmtest.Door}}
	for _, n := range names {
		capability, function, _ := strings.Cut(n, ".")
		imports = append(imports, wasm.Import{Module: abi.ModulePrefix + capability, Name: function, Type: wasmtest.Door})
	}
	return imports
}

// integration is the manifest of an integration with more fields, which are a JSON object without braces.
func integration(name, version, more string) string {
	if more != "" {
		more = "," + more
	}
	return `{"abi":1,"kind":"integration","name":"` + name + `","version":"` + version + `","display":{"name":"Test"}` + more + `}`
}

const dataModule = `{"abi":1,"kind":"module","name":"data","version":"1.0.0","display":{"name":"Data"},
	"hosts":[{"host":"api.example","reason":"r"}],"api":{"base_url":"https://api.example"},
	"auth":{"kind":"api_key","form":{"json_schema":{"type":"object","properties":{"key":{"type":"string","format":"password"}}}},
		"apply":[{"in":"header","name":"X-Key","value":"{{form.key}}"}],
		"identify":{"request":{"url":"/me"},"external_id":"/id"},"test":{"request":{"url":"/me"}}}}`

// withManifest puts a manifest into a module without judging it.
func withManifest(m wasmtest.Module, manifest string) []byte {
	m.Customs = append(m.Customs, wasm.Custom{Name: abi.ManifestSection, Data: []byte(manifest)})
	return m.Bytes()
}

func TestInspect_ComparesCodeWithManifest(t *testing.T) {
	t.Parallel()
	event := wasmtest.Exports(abi.ExportHandleEvent)
	storage := `"capabilities":[{"name":"storage","reason":"r"}]`
	for _, c := range []struct {
		name     string
		module   wasmtest.Module
		manifest string
		problem  string // none when empty
		warning  string
	}{
		{name: "as declared", module: wasmtest.Module{Imports: doors("storage.get"), Funcs: event, Pages: 1}, manifest: integration("a", "1.0.0", storage)},
		{
			name: "all three import modules beside capabilities", module: wasmtest.Module{Funcs: event, Imports: []wasm.Import{
				{Module: "wasi_snapshot_preview1", Name: "fd_write"}, {Module: "extism:host/env", Name: "length"}, {Module: "frigg:host/bulk", Name: "read"},
			}},
			manifest: integration("a", "1.0.0", ""),
		},
		{name: "a module that is only data", module: wasmtest.Module{}, manifest: dataModule},
		{
			name: "claims too much", module: wasmtest.Module{Funcs: event}, manifest: integration("a", "1.0.0", storage),
			problem: "capabilities: claims storage, but the code imports nothing of frigg:host/storage",
		},
		{
			name: "claims too little", module: wasmtest.Module{Imports: doors("mapping.put"), Funcs: event}, manifest: integration("a", "1.0.0", ""),
			problem: "capabilities: does not claim mapping, but the code imports frigg:host/mapping",
		},
		{
			name: "foreign import module", module: wasmtest.Module{Imports: []wasm.Import{{Module: "env", Name: "system"}}, Funcs: event},
			manifest: integration("a", "1.0.0", ""), problem: `imports: imports "system" of "env", which this host does not offer`,
		},
		{
			name: "capability that does not exist", module: wasmtest.Module{Imports: doors("shell.run"), Funcs: event},
			manifest: integration("a", "1.0.0", ""), problem: "imports: imports shell.run, which is not in the contract",
		},
		{
			name: "function that does not exist", module: wasmtest.Module{Imports: doors("storage.drop"), Funcs: event},
			manifest: integration("a", "1.0.0", storage), problem: "storage.drop, which is not in the contract",
		},
		{
			name: "host function of another type", module: wasmtest.Module{Funcs: event, Imports: []wasm.Import{{Module: "frigg:host/storage", Name: "get"}}},
			manifest: integration("a", "1.0.0", storage), problem: "imports storage.get as () -> (); the contract says (i64) -> i64",
		},
		{
			name: "export of the other kind", module: wasmtest.Module{Funcs: wasmtest.Exports(abi.ExportHandleEvent, abi.ExportCallMethod)},
			manifest: integration("a", "1.0.0", ""), problem: "exports: exports frigg_call_method, which is for plugins of kind module",
		},
		{
			name: "misspelt export", module: wasmtest.Module{Funcs: wasmtest.Exports(abi.ExportHandleEvent, "frigg_handle_events")},
			manifest: integration("a", "1.0.0", ""), problem: "frigg_handle_events, which is not in the contract",
		},
		{
			name: "export of another type", module: wasmtest.Module{Funcs: []wasmtest.Func{{Export: abi.ExportHandleEvent, Type: wasmtest.Door}}},
			manifest: integration("a", "1.0.0", ""), problem: "as (i64) -> i64; the contract says () -> i32",
		},
		{
			name: "integration without its event export", module: wasmtest.Module{}, manifest: integration("a", "1.0.0", ""),
			problem: "does not export frigg_handle_event",
		},
		{
			name: "actions without their export", module: wasmtest.Module{Funcs: event}, manifest: integration("a", "1.0.0", `"actions":[{"name":"GO","title":"Go","has_form":true}]`),
			problem: "does not export frigg_run_action, which is needed because `actions` are declared",
		},
		{
			name: "dynamic form without its export", module: wasmtest.Module{Funcs: event}, manifest: integration("a", "1.0.0", `"dynamic_config":true`),
			problem: "frigg_config_form",
		},
		{
			name: "methods without their export", module: wasmtest.Module{}, manifest: strings.Replace(dataModule, `"api":`, `"methods":[{"name":"get"}],"api":`, 1),
			problem: "frigg_call_method",
		},
		{
			name: "identity neither as data nor as code", module: wasmtest.Module{}, manifest: strings.Replace(dataModule, `"identify":{"request":{"url":"/me"},"external_id":"/id"},`, "", 1),
			problem: "frigg_identify_account",
		},
		{
			name: "more memory than allowed", module: wasmtest.Module{Funcs: event, Pages: 3000}, manifest: integration("a", "1.0.0", ""),
			problem: "limits.memory_bytes: the module needs 196608000 bytes",
		},
		{
			name: "reserved function", module: wasmtest.Module{Imports: doors("crypto.jwt_verify"), Funcs: event},
			manifest: integration("a", "1.0.0", `"capabilities":[{"name":"crypto","reason":"r"}]`), warning: "crypto.jwt_verify is reserved",
		},
		{
			name: "webhook that nobody verifies", module: wasmtest.Module{Funcs: event}, manifest: integration("a", "1.0.0", `"webhooks":[{"name":"w"}]`),
			warning: "verified by nobody",
		},
		{
			name: "reserved field", module: wasmtest.Module{}, manifest: strings.Replace(dataModule, `"base_url"`, `"secret_responses":[{"path":"/x","pointer":"/y"}],"base_url"`, 1),
			warning: "api.secret_responses: is reserved",
		},
		{name: "manifest with problems", module: wasmtest.Module{}, manifest: `{}`, problem: "kind: is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in, err := plugin.Inspect(withManifest(c.module, c.manifest))
			if (err == nil) != (c.problem == "") || err != nil && !strings.Contains(fault.PublicMessage(err), c.problem) {
				t.Errorf("got %v, want %q", err, c.problem)
			}
			if err != nil && (fault.KindOf(err) != fault.Invalid || fault.SideOf(err) != fault.Guest) {
				t.Errorf("got %s on side %s", fault.KindOf(err), fault.SideOf(err))
			}
			var warnings []string
			for _, w := range in.Warnings {
				warnings = append(warnings, w.String())
			}
			if (len(warnings) == 0) != (c.warning == "") || !strings.Contains(strings.Join(warnings, "\n"), c.warning) {
				t.Errorf("got warnings %q, want %q", warnings, c.warning)
			}
		})
	}
}

func TestInspect_NamesEveryClaimAtOnce(t *testing.T) {
	t.Parallel()
	module := wasmtest.Module{Imports: doors("mapping.get", "queue.enqueue"), Funcs: wasmtest.Exports(abi.ExportHandleEvent)}
	in, err := plugin.Inspect(withManifest(module, integration("a", "1.0.0", `"capabilities":[{"name":"http","reason":"r"},{"name":"storage","reason":"r"}]`)))
	if err == nil || len(in.Problems) != 4 {
		t.Errorf("got %v, want four problems", err)
	}
	if diff := cmp.Diff([]string{"mapping", "queue"}, in.Capabilities); diff != "" {
		t.Error(diff)
	}
}

func TestInspect_TellsFilesApart(t *testing.T) {
	t.Parallel()
	whole := withManifest(wasmtest.Module{Funcs: wasmtest.Exports(abi.ExportHandleEvent)}, integration("a", "1.0.0", ""))
	two := wasmtest.Module{Customs: []wasm.Custom{{Name: abi.ManifestSection}, {Name: abi.ManifestSection}}}
	for _, c := range []struct {
		name, says string
		data       []byte
		is         error
	}{
		{"truncated", "still being copied?", whole[:len(whole)-2], wasm.ErrTruncated},
		{"component", "component", []byte("\x00asm\x0d\x00\x01\x00"), wasm.ErrComponent},
		{"text", "not a WebAssembly module", []byte("hello"), wasm.ErrNotWasm},
		{"too large", "at most 67108864", make([]byte, abi.LimitModuleBytes+1), nil},
		{"no manifest", "plugin pack", wasmtest.Module{}.Bytes(), nil},
		{"two manifests", "has 2 manifests", two.Bytes(), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in, err := plugin.Inspect(c.data)
			if in == nil || !in.Digest.Valid() || in.Size != int64(len(c.data)) {
				t.Errorf("got inspection %+v", in)
			}
			if err == nil || !strings.Contains(fault.PublicMessage(err), c.says) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

func TestPack_EmbedsYAMLInTheOrderOfItsKeys(t *testing.T) {
	t.Parallel()
	manifest := `
abi: 1
kind: integration
name: a
version: 1.2.3
display: {name: "<Ä> & co"}
config:
  json_schema:
    type: object
    properties:
      z: {type: string, default: 2024-01-02}
      a: {type: integer, minimum: 0x10, multipleOf: 1.5}
      t: {type: boolean, default: true}
`
	module := wasmtest.Module{Funcs: wasmtest.Exports(abi.ExportHandleEvent)}
	packed, err := plugin.Pack(withManifest(module, "{}"), []byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	in, err := plugin.Inspect(packed)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"type":"object","properties":{"z":{"type":"string","default":"2024-01-02"},"a":{"type":"integer","minimum":16,"multipleOf":1.5},"t":{"type":"boolean","default":true}}}`
	if got := string(in.Manifest.Config.JSONSchema); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if in.Manifest.Display.Name != "<Ä> & co" {
		t.Errorf("got %q", in.Manifest.Display.Name)
	}
	again, err := plugin.Pack(packed, []byte(manifest))
	if err != nil || !bytes.Equal(again, packed) {
		t.Errorf("packing again changed the file: %v", err)
	}
}

func TestPack_RefusesWithThePlace(t *testing.T) {
	t.Parallel()
	good := integration("a", "1.0.0", "")
	module := wasmtest.Module{Funcs: wasmtest.Exports(abi.ExportHandleEvent)}.Bytes()
	for _, c := range []struct {
		name, manifest, want string
		module               []byte
	}{
		{"nothing", "", "neither JSON nor YAML", module},
		{"a comment", "# a", "", module},
		{"broken YAML", "a: [", "neither JSON nor YAML", module},
		{"two documents", "a: 1\n---\nb: 2", "more than one document", module},
		{"an alias", "a: &x 1\nb: *x", "line 2: anchors and aliases", module},
		{"a merge", "a: 1\n<<: {b: 1}", "line 2: keys must be texts", module},
		{"a key that is a list", "[1]: 2", "keys must be texts", module},
		{"a number that is none", "abi: .nan", "not a number of JSON", module},
		{"binary", "abi: !!binary aGk=", "not supported", module},
		{"repeated key in JSON", `{"abi":1,"abi":1}`, "abi: appears twice", module},
		{"repeated key in YAML", "abi: 1\nabi: 1", "abi", module},
		{"a version that YAML reads as a number", "version: 1.0", "version: must be text and not a number", module},
		{"a comma in an unquoted flow text", "display: {name: A, B}", "display.B: is not a field", module},
		{"truncated module", good, "still being copied", module[:len(module)-1]},
		{"audit", strings.Replace(good, "integration", "module", 1), "auth: is missing", module},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := plugin.Pack(c.module, []byte(c.manifest))
			if fault.KindOf(err) != fault.Invalid || !strings.Contains(fault.PublicMessage(err), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestInspection_PrintsAsJSON(t *testing.T) {
	t.Parallel()
	in, _ := plugin.Inspect(withManifest(wasmtest.Module{Imports: doors("storage.get"), Pages: 1}, "{}"))
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"digest":"sha256:`, `{"module":"frigg:host/storage","name":"get","type":"(i64) -\u003e i64"}`, `"memory":{"min_bytes":65536}`, `"path":"kind"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s lacks %s", text, want)
		}
	}
}

// The manifests of our own examples are read as they are.
func TestExamples_HaveValidManifests(t *testing.T) {
	t.Parallel()
	root := os.DirFS("../../plugins/examples")
	dirs, err := os.ReadDir("../../plugins/examples")
	if err != nil {
		t.Skip("no examples here")
	}
	for _, d := range dirs {
		text, err := fs.ReadFile(root, d.Name()+"/manifest.yaml")
		if err != nil {
			continue
		}
		t.Run(d.Name(), func(t *testing.T) {
			t.Parallel()
			_, err := plugin.Pack(wasmtest.Module{}.Bytes(), text)
			var problems *abi.ManifestError
			if errors.As(err, &problems) {
				t.Error(err)
			}
		})
	}
}

func FuzzPack(f *testing.F) {
	module := wasmtest.Module{Funcs: wasmtest.Exports(abi.ExportHandleEvent)}.Bytes()
	for _, s := range []string{"", "a: 1", "- 1\n- {a: b}", "a: &x [*x]", integration("a", "1.0.0", ""), "<<: 1", "? [a]\n: b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, manifest []byte) {
		packed, err := plugin.Pack(module, manifest)
		if err != nil {
			return
		}
		if _, err := plugin.Inspect(packed); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzInspect(f *testing.F) {
	event := wasmtest.Module{Funcs: wasmtest.Exports(abi.ExportHandleEvent), Imports: doors("storage.get"), Pages: 1}
	f.Add(withManifest(event, integration("a", "1.0.0", `"capabilities":[{"name":"storage","reason":"r"}]`)))
	f.Add(withManifest(wasmtest.Module{}, dataModule))
	f.Add(wasmtest.Module{}.Bytes())
	f.Fuzz(func(t *testing.T, module []byte) {
		in, err := plugin.Inspect(module)
		if (err == nil) != (len(in.Problems) == 0) || err == nil && in.Manifest == nil {
			t.Fatalf("got %v with %v", err, in.Problems)
		}
	})
}

func TestPackProgram_MakesAPlugin(t *testing.T) {
	t.Parallel()
	program := quickjs.New([]string{abi.ExportHandleEvent}, "export const frigg_handle_event = () => {}")
	manifest := integration("tiny", "1.0.0", `"capabilities":[{"name":"storage","reason":"r"}]`)
	packed, err := plugin.PackProgram(program, []byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	in, err := plugin.Inspect(packed)
	if err != nil || !in.JavaScript || in.Manifest.Name != "tiny" {
		t.Fatalf("%+v, %v", in, err)
	}
	if diff := cmp.Diff([]string{"storage"}, in.Capabilities); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]plugin.Function{{Name: abi.ExportHandleEvent, Type: "() -> i32"}}, in.Exports); diff != "" {
		t.Error(diff)
	}
	again, err := plugin.Pack(packed, []byte(manifest))
	if err != nil || !bytes.Equal(packed, again) {
		t.Error("packing again changes it", err)
	}
}

func TestInspect_JudgesPrograms(t *testing.T) {
	t.Parallel()
	of := func(exports ...string) []byte {
		module, err := quickjs.New(exports, "export const x = 1").Module()
		if err != nil {
			t.Fatal(err)
		}
		return module
	}
	foreign, err := wasm.SetCustom(wasmtest.Module{Funcs: wasmtest.Exports(abi.ExportHandleEvent)}.Bytes(), quickjs.Section, []byte(`{"version":1,"exports":["frigg_handle_event"]}`+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	malformed, err := wasm.SetCustom(of(abi.ExportHandleEvent), quickjs.Section, []byte("{}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		module  []byte
		problem string
	}{
		"needed export is missing": {of("frigg_run_action"), "does not export frigg_handle_event"},
		"misspelled":               {of(abi.ExportHandleEvent, "frigg_hande_event"), "frigg_hande_event, which is not in the contract"},
		"of another kind":          {of(abi.ExportHandleEvent, abi.ExportCallMethod), "for plugins of kind module"},
		"foreign code":             {foreign, "its code is not the JavaScript engine of this host"},
		"malformed section":        {malformed, "version 0"},
		"engine without program":   {quickjs.Engine(), `imports "host_call" of "env", which this host does not offer`},
	} {
		module, err := wasm.SetCustom(c.module, abi.ManifestSection, []byte(integration("tiny", "1.0.0", "")))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := plugin.Inspect(module); !fault.Is(err, fault.Invalid) || !strings.Contains(fault.PublicMessage(err), c.problem) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
