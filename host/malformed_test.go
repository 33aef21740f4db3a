package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/plugin/wasm"
	"github.com/frigg-host/frigg-host/host/plugin/wasm/wasmtest"
)

// remains are what a failure could leave behind: rows and files.
type remains struct {
	Rows  map[string]int
	Files []string
}

func (r *rig) remains() remains {
	r.t.Helper()
	return remains{counts(r.t, r.config.DataDir), files(r.t, r.config.DataDir, r.config.PluginsDir)}
}

// tiny is a module of the contract's shape that is compiled in no time: a plugin with this manifest.
func tiny(t *testing.T, manifest string) []byte {
	t.Helper()
	return forged(t, wasmtest.Module{Funcs: wasmtest.Exports("frigg_handle_event")}.Bytes(), manifest)
}

func tinyManifest(name, version string) string {
	return fmt.Sprintf(`{"abi":1,"kind":"integration","name":%q,"version":%q,"display":{"name":"Tiny"}}`, name, version)
}

// rescan makes the host look at its plugins folder.
func (r *rig) rescan() {
	r.t.Helper()
	if _, err := r.host.Plugins.Approve(context.Background(), "nobody", "", "test"); !fault.Is(err, fault.NotFound) {
		r.t.Fatal(err)
	}
	must(r.t, r.host.Plugins.Loaded(context.Background()))
}

// Each file that is no usable plugin is told with its reason, and leaves nothing behind but itself.
func TestMalformed_Files(t *testing.T) {
	t.Parallel()
	good := tiny(t, tinyManifest("good", "1.0.0"))
	manifest := wasm.Custom{Name: abi.ManifestSection, Data: []byte(tinyManifest("x", "1.0.0"))}
	twice := wasmtest.Module{Customs: []wasm.Custom{manifest, manifest}, Funcs: wasmtest.Exports("frigg_handle_event")}.Bytes()
	badCode := wasmtest.Module{Funcs: []wasmtest.Func{{Export: "frigg_handle_event", Type: wasmtest.Entry, Code: []byte{0x1a}}}}.Bytes()
	for name, test := range map[string]struct {
		content []byte
		says    []string
	}{
		"empty":                  {nil, []string{"truncated: the file is empty; was it still being copied?"}},
		"text":                   {[]byte("hello, world"), []string{`not a WebAssembly module: it does not start with \0asm`}},
		"header only":            {good[:8], []string{"it has no manifest (custom section frigg:manifest); embed one with `frigg-host plugin pack`"}},
		"cut off":                {good[:len(good)-3], []string{"truncated: the file ends inside section 10 (code), 3 bytes short; was it still being copied?"}},
		"component":              {[]byte("\x00asm\x0d\x00\x01\x00"), []string{"component"}},
		"no manifest":            {wasmtest.Module{Funcs: wasmtest.Exports("frigg_handle_event")}.Bytes(), []string{"it has no manifest (custom section frigg:manifest)"}},
		"two manifests":          {twice, []string{"it has 2 manifests"}},
		"manifest is no JSON":    {tiny(t, `{"abi":1,`), []string{"manifest", "JSON"}},
		"unknown field":          {tiny(t, strings.Replace(tinyManifest("x", "1.0.0"), `"display"`, `"colour":"red","display"`, 1)), []string{"manifest: colour: is not a field of the contract; remove it or check its place"}},
		"unknown field inside":   {tiny(t, strings.Replace(tinyManifest("x", "1.0.0"), `{"name":"Tiny"}`, `{"name":"Tiny","nmae":"x"}`, 1)), []string{"manifest: display.nmae: is not a field of the contract; did you mean `name`?"}},
		"field twice":            {tiny(t, strings.Replace(tinyManifest("x", "1.0.0"), `"abi":1`, `"abi":1,"abi":1`, 1)), []string{"abi", "twice"}},
		"wrong type":             {tiny(t, strings.Replace(tinyManifest("x", "1.0.0"), `"abi":1`, `"abi":"1"`, 1)), []string{"manifest: abi: must be a number and not text"}},
		"later contract":         {tiny(t, strings.Replace(tinyManifest("x", "1.0.0"), `"abi":1`, `"abi":2`, 1)), []string{"abi", "2"}},
		"bad name":               {tiny(t, tinyManifest("../etc", "1.0.0")), []string{"name", "letter"}},
		"bad version":            {tiny(t, tinyManifest("x", "one")), []string{"version", "one"}},
		"export is missing":      {forged(t, wasmtest.Module{}.Bytes(), tinyManifest("x", "1.0.0")), []string{"does not export frigg_handle_event, which is needed because every integration gets events"}},
		"import is not offered":  {forged(t, wasmtest.Module{Imports: []wasm.Import{{Module: "env", Name: "system", Type: wasmtest.Door}}, Funcs: wasmtest.Exports("frigg_handle_event")}.Bytes(), tinyManifest("x", "1.0.0")), []string{`imports "system" of "env", which this host does not offer`}},
		"code that does not fit": {forged(t, badCode, tinyManifest("bad-code", "1.0.0")), []string{"cannot be loaded: not a usable module: "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, map[string][]byte{"good.wasm": good}, nil)
			before := r.remains()
			r.drop("bad.wasm", test.content)
			r.rescan()
			all, err := r.host.Plugins.List(context.Background())
			must(t, err)
			if len(all) != 2 {
				t.Fatalf("installed: %+v", all)
			}
			i := slices.IndexFunc(all, func(e plugin.Entry) bool { return e.Plugin.File == "bad.wasm" })
			p := all[i].Plugin
			if p.State != plugin.Broken || all[i].Serving {
				t.Errorf("bad.wasm is %s", p.State)
			}
			for _, part := range test.says {
				if !strings.Contains(p.Problem, part) {
					t.Errorf("%q does not say %q", p.Problem, part)
				}
			}
			if !r.log.hasLine("level=WARN", `msg="plugin cannot be used"`, "file=bad.wasm", "err=") {
				t.Error("the log does not say it")
			}
			must(t, os.Remove(filepath.Join(r.config.PluginsDir, "bad.wasm")))
			r.rescan()
			if p := installed(t, r.host, "good"); p.State != plugin.Ready {
				t.Errorf("good is %s: %s", p.State, p.Problem)
			}
			if diff := cmp.Diff(before, r.remains()); diff != "" {
				t.Errorf("left behind:\n%s", diff)
			}
		})
	}
}

// A file that is copied, replaced, renamed or removed while the host runs: half a file never counts, and what served goes on.
func TestMalformed_FilesThatChange(t *testing.T) {
	t.Parallel()
	one, two := tiny(t, tinyManifest("good", "1.0.0")), tiny(t, tinyManifest("good", "2.0.0"))
	r := newRig(t, map[string][]byte{"good.wasm": one}, nil)
	path := filepath.Join(r.config.PluginsDir, "good.wasm")
	serves := func(version string, problems ...string) {
		t.Helper()
		r.rescan()
		all, err := r.host.Plugins.List(context.Background())
		must(t, err)
		serving := ""
		var said []string
		for _, e := range all {
			if e.Serving {
				serving += e.Plugin.Version
			} else {
				said = append(said, e.Plugin.File+": "+e.Plugin.Problem)
			}
		}
		if serving != version {
			t.Errorf("%q serves, want %q", serving, version)
		}
		if diff := cmp.Diff(problems, said); diff != "" {
			t.Errorf("problems: %s", diff)
		}
	}
	serves("1.0.0")

	must(t, os.WriteFile(path, two[:len(two)/2], 0o600))
	serves("1.0.0", "good.wasm: changed a moment ago; it is read when it has come to rest")
	r.drop("good.wasm", two[:len(two)/2]) // a copy that stalls
	before := r.remains()
	serves("1.0.0", "good.wasm: truncated: the file ends inside section 0 (custom), 35 bytes short; was it still being copied?")
	if diff := cmp.Diff(before, r.remains()); diff != "" {
		t.Errorf("half a file left behind:\n%s", diff)
	}
	r.drop("good.wasm", two)
	serves("2.0.0")

	r.drop("copy.wasm", two)
	serves("2.0.0", "copy.wasm: good.wasm and copy.wasm are both plugin good; good.wasm counts, remove one of them")
	must(t, os.Remove(path))
	serves("2.0.0")
	must(t, os.Rename(filepath.Join(r.config.PluginsDir, "copy.wasm"), path))
	serves("2.0.0")
	r.drop("good.wasm", one)
	serves("1.0.0")
	other := path + ".other" // which nobody takes for a plugin
	replace := func() {
		must(t, swap(other, path)) // without a file in between: the host looks, too
		must(t, os.Remove(other))
	}
	must(t, os.Symlink("/nowhere", other))
	replace()
	serves("1.0.0", "good.wasm: cannot be read: no such file or directory")
	must(t, os.Mkdir(other, 0o700))
	replace()
	serves("1.0.0", "good.wasm: cannot be read: it is not a file")
	must(t, os.WriteFile(other, nil, 0o600))
	must(t, os.Truncate(other, abi.LimitModuleBytes+1))
	long := time.Now().Add(-time.Minute)
	must(t, os.Chtimes(other, long, long))
	replace()
	serves("1.0.0", fmt.Sprintf("good.wasm: has %d bytes, at most %d are allowed", abi.LimitModuleBytes+1, abi.LimitModuleBytes))
	must(t, os.Remove(path))
	serves("")
	if _, err := r.host.Plugins.Approve(context.Background(), "good", "", "test"); fault.PublicMessage(err) != `no plugin "good" is in the plugins folder` {
		t.Errorf("a plugin that is gone: %v", err)
	}
}

// Requests that make no sense are refused with the reason, and change nothing.
func TestMalformed_Requests(t *testing.T) {
	t.Parallel()
	var late atomic.Int64
	r := newRig(t, plugins(t, ""), func(r *rig) {
		r.config.Now = func() time.Time { return time.Now().Add(time.Duration(late.Load())) }
	})
	c := r.user("ada", "correct horse")
	flow := c.keyFlow(map[string]any{"typed_webhook_secret": "webhook secret"})
	callback := func() map[string]any {
		var need struct{ URL string }
		c.mustDo(http.StatusOK, http.MethodGet, "/api/authorize?entityType=probe", nil, &need)
		return r.vendor.consent(t, need.URL)
	}
	authorize := func(data map[string]any) map[string]any { return map[string]any{"entityType": "probe", "data": data} }
	with := func(data map[string]any, name, value string) map[string]any {
		data[name] = value
		return data
	}
	replayed := callback()
	c.mustDo(http.StatusOK, http.MethodPost, "/api/authorize", authorize(replayed), nil)
	wrongState, expired := with(callback(), "state", "made-up"), callback()
	late.Add(int64(11 * time.Minute))
	mine := "/api/integrations/" + string(flow)
	huge := []byte(`{"x":"` + strings.Repeat("x", 11<<20) + `"}`)
	deep := []byte(strings.Repeat(`{"x":`, 200) + "1" + strings.Repeat("}", 200))
	for _, test := range []struct {
		name, method, path string
		body               any
		status             int
		says               string
	}{
		{"not JSON", "POST", "/api/integrations", []byte(`{"config":`), 400, "the body is not JSON, see byte 10"},
		{"not an object", "POST", "/api/integrations", []byte(`[1]`), 400, "the body must be a JSON object"},
		{"not UTF-8", "POST", "/api/integrations", []byte("{\"x\":\"\xff\"}"), 400, "the body is not UTF-8"},
		{"a field twice", "POST", "/api/integrations", []byte(`{"config":{},"config":{}}`), 400, "the body names a field twice"},
		{"too deep", "POST", "/api/integrations", deep, 400, "the body is nested more than 100 deep"},
		{"11 MB", "POST", "/api/integrations", huge, 413, "the body is larger than 10485760 bytes"},
		{"11 MB for a login", "POST", "/user/login", huge, 413, "the body is larger than 65536 bytes"},
		{"11 MB as a webhook", "POST", "/api/flow-integration/webhooks/" + string(flow) + "/typed", huge, 413, "the body is larger than 1048576 bytes"},
		{"text for a list", "POST", "/api/integrations", map[string]any{"entities": "x", "config": map[string]any{"type": "flow"}}, 400, "entities must be a list"},
		{"list for an object", "POST", "/api/integrations", map[string]any{"entities": []string{}, "config": []int{1}}, 400, "config must be a JSON object"},
		{"number for a text", "POST", "/user/login", map[string]any{"username": 7, "password": "x"}, 400, "username must be a text"},
		{"nothing", "POST", "/api/integrations", nil, 400, "Missing Parameters: entities, config are required."},
		{"no type", "POST", "/api/integrations", map[string]any{"entities": []string{}, "config": map[string]any{}}, 400, "Missing Parameter: config.type is required."},
		{"a plugin that does not exist", "POST", "/api/integrations", map[string]any{"entities": []string{}, "config": map[string]any{"type": "flaw"}}, 404, `no plugin "flaw" is installed`},
		{"a module for an integration", "POST", "/api/integrations", map[string]any{"entities": []string{}, "config": map[string]any{"type": "probe"}}, 400, "probe is an API module"},
		{"an account that does not exist", "POST", "/api/integrations", map[string]any{"entities": []connection.EntityID{connection.NewEntityID()}, "config": map[string]any{"type": "flow"}}, 404, "no such entity"},
		{"a value that does not fit", "PATCH", mine, map[string]any{"config": map[string]any{"count": "seven"}}, 400, "count"},
		{"a value out of range", "PATCH", mine, map[string]any{"config": map[string]any{"count": 0}}, 400, "count"},
		{"a status that is none", "PATCH", mine, map[string]any{"status": "SLEEPING"}, 400, "status must be ENABLED or DISABLED"},
		{"a status that is not for people", "PATCH", mine, map[string]any{"status": "ERROR"}, 400, "status"},
		{"an id of something else", "GET", "/api/integrations/job_" + string(flow)[4:], nil, 404, "no such integration"},
		{"a form with a wrong type", "POST", "/api/authorize", map[string]any{"entityType": "probe-key", "data": map[string]any{"key": 12345678}}, 400, "key"},
		{"a form without what it needs", "POST", "/api/authorize", map[string]any{"entityType": "probe-key", "data": map[string]any{}}, 400, "key"},
		{"a form that is no object", "POST", "/api/authorize", map[string]any{"entityType": "probe-key", "data": "x"}, 400, "data must be an object"},
		{"a module that does not exist", "POST", "/api/authorize", map[string]any{"entityType": "prob", "data": map[string]any{}}, 400, `there is no module "prob"; options: probe, probe-basic, probe-key`},
		{"a wrong state", "POST", "/api/authorize", authorize(wrongState), 400, "this authorisation is not known"},
		{"a replayed callback", "POST", "/api/authorize", authorize(replayed), 400, "this authorisation is not known: it was used already"},
		{"a callback without a code", "POST", "/api/authorize", authorize(map[string]any{"state": "x"}), 400, "the callback has neither a code nor an error"},
		{"an expired state", "POST", "/api/authorize", authorize(expired), 400, "this authorisation is older than 10 minutes; begin again"},
		{"a webhook without signature", "POST", "/api/flow-integration/webhooks/" + string(flow) + "/typed", map[string]any{}, 401, "header x-signature is missing"},
		{"a webhook that is not declared", "POST", "/api/flow-integration/webhooks/" + string(flow) + "/other", map[string]any{}, 404, `flow has no webhook "other"`},
		{"a webhook of another plugin", "POST", "/api/probe-integration/webhooks/" + string(flow) + "/typed", map[string]any{}, 404, "no such integration"},
		{"an action that does not exist", "POST", mine + "/actions/UNDO", map[string]any{}, 422, "guest flow: the action UNDO has no handler"},
		{"a route that does not exist", "GET", "/api/nothing", nil, 404, "Not Found"},
		{"a method that does not fit", "PUT", "/api/integrations", map[string]any{}, 405, "Method Not Allowed"},
	} {
		before, asked := r.remains(), len(r.vendor.log(""))
		status, answer := c.do(test.method, test.path, test.body)
		var said struct{ Error string }
		must(t, json.Unmarshal(answer, &said))
		if status != test.status || !strings.Contains(said.Error, test.says) {
			t.Errorf("%s: %d %q, want %d %q", test.name, status, said.Error, test.status, test.says)
		}
		after := r.remains()
		if test.name == "an expired state" { // it is used up
			before.Rows["authorization_states"] = after.Rows["authorization_states"]
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("%s leaves behind:\n%s", test.name, diff)
		}
		if n := len(r.vendor.log("")) - asked; n != 0 {
			t.Errorf("%s: the vendor was asked %d times", test.name, n)
		}
	}
	// A code that was used is refused by the vendor, and what it stood for stays.
	status, answer := c.do(http.MethodPost, "/api/authorize", authorize(with(callback(), "code", replayed["code"].(string))))
	if status != http.StatusBadRequest || !bytes.Contains(answer, []byte("Probe refuses to give tokens (invalid_grant)")) {
		t.Errorf("a code that was used: %d %s", status, answer)
	}
	if n := counts(t, r.config.DataDir)["credentials"]; n != 2 {
		t.Errorf("%d credentials, want 2", n)
	}
}
