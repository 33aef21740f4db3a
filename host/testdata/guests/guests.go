// Package guests builds the guests of this folder for tests of the whole program. Each is a program for GOOS=wasip1 with one
// manifest or more beside it.
package guests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/frigg-host/frigg-host/host/plugin"
)

type build struct {
	once   sync.Once
	module []byte
	err    error
}

var (
	builds sync.Map // of *build, by guest and tags
	slots  = make(chan struct{}, 2)
)

// Module is the guest with this name, without a manifest. It is built once in a process. Tags are build tags: "frigg_nobulk"
// makes a guest for the reference engine.
func Module(t testing.TB, name, tags string) []byte {
	t.Helper()
	v, _ := builds.LoadOrStore(name+" "+tags, &build{})
	b := v.(*build)
	b.once.Do(func() { b.module, b.err = goBuild(name, tags) })
	if b.err != nil {
		t.Fatal(b.err)
	}
	return b.module
}

func goBuild(name, tags string) ([]byte, error) {
	slots <- struct{}{}
	defer func() { <-slots }()
	dir, err := os.MkdirTemp("", "guest")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, name+".wasm")
	c := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-tags", tags, "-o", file, "./"+name)
	c.Dir = here()
	c.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "CGO_ENABLED=0")
	if text, err := c.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the guest %s: %w\n%s", name, err, text)
	}
	return os.ReadFile(file)
}

// here is this folder.
func here() string {
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Dir(file)
	if filepath.IsAbs(dir) {
		return dir
	}
	if out, err := exec.Command("go", "list", "-f", "{{.Dir}}", dir).Output(); err == nil { // built with -trimpath, which leaves the import path
		return strings.TrimSpace(string(out))
	}
	return dir
}

// Manifest reads a manifest, for example "probe/key.yaml".
func Manifest(t testing.TB, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(here(), file))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Plugin is a guest with one of its manifests, for example "probe" with "key.yaml".
func Plugin(t testing.TB, name, manifest, tags string) []byte {
	t.Helper()
	packed, err := plugin.Pack(Module(t, name, tags), Manifest(t, name+"/"+manifest))
	if err != nil {
		t.Fatalf("packing %s with %s: %v", name, manifest, err)
	}
	return packed
}

// cacheVariable is how Precompile hands over its folder.
const cacheVariable = "FRIGG_TEST_CACHE"

// Precompile compiles modules into dir, for hosts whose folder of compiled code is a link to it. It takes a second in a
// process of its own and most of a minute under the race detector. The folder belongs to tests of this Go version and wazero.
func Precompile(dir string, modules ...[]byte) error {
	for i, module := range modules {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.wasm", i)), module, 0o600); err != nil {
			return err
		}
	}
	c := exec.Command("go", "test", "-trimpath", "-count=1", "-run", "^TestPrecompile$", ".")
	c.Dir = here()
	c.Env = append(os.Environ(), "GOFLAGS=", "CGO_ENABLED=0", cacheVariable+"="+dir)
	if text, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("compiling guests: %w\n%s", err, text)
	}
	return nil
}
