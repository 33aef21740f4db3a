package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/plugin/wasm"
	"github.com/frigg-host/frigg-host/host/plugin/wasm/wasmtest"
)

// site is a data folder and its plugins, used through the command line.
type site struct {
	t    *testing.T
	data string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t, filepath.Join(t.TempDir(), "data")}
	if err := os.MkdirAll(filepath.Join(s.data, "plugins"), 0o700); err != nil {
		t.Fatal(err)
	}
	return s
}

// tracker writes tracker.wasm: an integration that asks for storage, with further fields in its manifest.
func (s *site) tracker(version, more string) plugin.Digest {
	s.t.Helper()
	manifest := `{"abi":1,"kind":"integration","name":"tracker","version":"` + version + `","display":{"name":"Tracker"},
		"capabilities":[{"name":"storage","reason":"Remembers the last page."}]` + more + `}`
	imports := []wasm.Import{{Module: abi.ModulePrefix + "storage", Name: "get", Type: wasmtest.Door}}
	module, err := plugin.Pack(wasmtest.Module{Imports: imports, Funcs: wasmtest.Exports(abi.ExportHandleEvent)}.Bytes(), []byte(manifest))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.data, "plugins", "tracker.wasm"), module, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return plugin.DigestOf(module)
}

// frigg runs a command and returns its exit code and what it printed.
func (s *site) frigg(in io.Reader, args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	var out, err bytes.Buffer
	code = run(s.t.Context(), append(args, "--data", s.data), streams{in, &out, &err})
	return code, out.String(), err.String()
}

func (s *site) wantState(state string) {
	s.t.Helper()
	if _, out, err := s.frigg(strings.NewReader(""), "plugin", "list"); !strings.Contains(out, " "+state+" ") {
		s.t.Errorf("want state %s, got:\n%s%s", state, out, err)
	}
}

// everything is a plugin that asks for all that can be asked for.
const everything = `,
	"hosts":[{"host":"files.example","reason":"Attachments.","without_credential":true},{"host":"{{settings.url}}","reason":"The API."}],
	"settings":[{"name":"url","default":"https://a.example"},{"name":"api_key","secret":true,"required":true}],
	"limits":{"timeout_ms":900000,"memory_bytes":1073741824,"output_bytes":33554432,"reason":"Large\nbooks."}`

func TestApprove_ShowsAllThatIsGranted(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	digest := s.tracker("1.0.0", everything)
	code, out, shown := s.frigg(strings.NewReader("n\n"), "plugin", "approve", "tracker")
	if code != exitFailed || out != "" || !strings.Contains(shown, "nothing was granted") {
		t.Errorf("a no: got %d, %q and %q", code, out, shown)
	}
	for _, want := range []string{
		"tracker 1.0.0 asks for:", string(digest), "tracker.wasm",
		"capability  storage      Remembers the last page.",
		"files.example without credential Attachments.",
		"{{settings.url}} (https://a.example unless set otherwise) The API.",
		"url          optional, the plugin reads it",
		"api_key      required, secret: kept from the plugin",
		"15m0s a call, 1 GiB of memory, 32 MiB of output: Large books.",
		"not granted capability storage, host files.example",
		"900000 ms for a call, 1073741824 bytes of memory, 33554432 bytes of output",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("does not show %q:\n%s", want, shown)
		}
	}
	s.wantState("needs_approval")
	code, out, shown = s.frigg(strings.NewReader("Yes\n"), "plugin", "approve", "tracker")
	if code != exitOK || out != "approved tracker 1.0.0 ("+string(digest)+")\n" {
		t.Errorf("a yes: got %d, %q and %q", code, out, shown)
	}
	if !strings.Contains(shown, "needs settings before it can work: api_key (FRIGG_PLUGIN_TRACKER__API_KEY)") {
		t.Errorf("does not say what to set:\n%s", shown)
	}
	if _, out, _ := s.frigg(nil, "plugin", "list"); !strings.Contains(out, "needs settings: api_key (FRIGG_PLUGIN_TRACKER__API_KEY)") {
		t.Errorf("the list does not say what to set:\n%s", out)
	}
	s.wantState("ready")
}

func TestApprove_SaysThatASecretBecomesReadable(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.tracker("1.0.0", everything)
	if code, _, err := s.frigg(nil, "plugin", "approve", "tracker", "--yes"); code != exitOK {
		t.Fatal(err)
	}
	s.tracker("1.1.0", `,"settings":[{"name":"api_key"}]`)
	_, _, shown := s.frigg(strings.NewReader("n\n"), "plugin", "approve", "tracker")
	for _, want := range []string{"careful     settings.api_key was secret, this version reads it", "not granted"} {
		if !strings.Contains(shown, want) {
			t.Errorf("does not show %q:\n%s", want, shown)
		}
	}
}

func TestApprove_SaysThatAnotherFileHasTheName(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.tracker("9.0.0", "")
	if err := os.Rename(filepath.Join(s.data, "plugins", "tracker.wasm"), filepath.Join(s.data, "plugins", "acme.wasm")); err != nil {
		t.Fatal(err)
	}
	s.tracker("1.0.0", "")
	_, _, shown := s.frigg(strings.NewReader("n\n"), "plugin", "approve", "tracker")
	if !strings.Contains(shown, "file        acme.wasm, ") || !strings.Contains(shown, "careful     tracker.wasm says that it is plugin tracker too") {
		t.Errorf("got:\n%s", shown)
	}
}

// swap answers yes after it has put another file there.
type swap struct {
	change func()
	answer io.Reader
}

func (s *swap) Read(p []byte) (int, error) {
	if s.change != nil {
		s.change()
		s.change = nil
	}
	return s.answer.Read(p)
}

func TestApprove_GrantsOnlyTheBytesThatWereShown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shown := s.tracker("1.0.0", "")
	code, out, err := s.frigg(&swap{func() { s.tracker("6.6.6", everything) }, strings.NewReader("y\n")}, "plugin", "approve", "tracker")
	if code != exitFailed || out != "" || !strings.Contains(err, string(shown)) {
		t.Errorf("got %d, %q and %q", code, out, err)
	}
	s.wantState("needs_approval")
}

func TestApprove_WithoutATerminalNamesTheFlag(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.tracker("1.0.0", "")
	code, out, err := s.frigg(strings.NewReader(""), "plugin", "approve", "tracker")
	if code != exitFailed || out != "" || !strings.Contains(err, "use --yes") {
		t.Errorf("got %d, %q and %q", code, out, err)
	}
	s.wantState("needs_approval")
}

func TestApprove_WhenNothingWaitsSaysSo(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	digest := s.tracker("1.0.0", "")
	for range 2 {
		if code, out, err := s.frigg(nil, "plugin", "approve", "tracker", "--yes"); code != exitOK || !strings.Contains(out, string(digest)) {
			t.Fatalf("got %d, %q and %q", code, out, err)
		}
	}
	code, out, err := s.frigg(strings.NewReader(""), "plugin", "approve", "tracker")
	if code != exitOK || !strings.Contains(out, "tracker 1.0.0 ("+string(digest)+") is approved already; nothing waits") {
		t.Errorf("got %d, %q and %q", code, out, err)
	}
	if code, _, err := s.frigg(nil, "plugin", "approve", "none"); code != exitFailed || !strings.Contains(err, `no plugin "none"`) {
		t.Errorf("got %d and %q", code, err)
	}
}
