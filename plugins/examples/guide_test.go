package examples

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// The first plugin of the guide is typed off by strangers: it has to build and its tests to pass, as printed.
func TestGuide_FirstPluginWorksAsPrinted(t *testing.T) {
	page, err := os.ReadFile("../../docs/plugins.md")
	if err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := map[string]string{} // where the toolchain shall see a file, and where it is
	for _, m := range regexp.MustCompile("(?s)`([a-z_.]+)`:\n\n```[a-z]+\n(.*?)```").FindAllSubmatch(page, -1) {
		name := string(m[1])
		if err := os.WriteFile(filepath.Join(dir, name), m[2], 0o600); err != nil {
			t.Fatal(err)
		}
		files[filepath.Join(here, "paperboy", name)] = filepath.Join(dir, name)
	}
	if len(files) != 3 {
		t.Fatalf("the guide has %d files", len(files))
	}
	overlay, err := json.Marshal(map[string]any{"Replace": files})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, here, wasm, "build", "-overlay", list, "-buildmode=c-shared", "-o", filepath.Join(dir, "paperboy.wasm"), "./paperboy")
	run(t, here, "", "test", "-vet=off", "-overlay", list, "-c", "-o", filepath.Join(dir, "paperboy.test"), "./paperboy")
	test := exec.Command(filepath.Join(dir, "paperboy.test"))
	test.Dir = dir
	if text, err := test.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}
