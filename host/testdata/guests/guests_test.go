package guests

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/frigg-host/frigg-host/host/guest"
)

// Precompile starts this test in a process of its own.
func TestPrecompile(t *testing.T) {
	cache := os.Getenv(cacheVariable)
	if cache == "" {
		t.Skip("is started by Precompile")
	}
	modules, err := filepath.Glob(filepath.Join(cache, "*.wasm"))
	if err != nil || len(modules) == 0 {
		t.Fatal("there is nothing to compile")
	}
	engine, err := guest.OpenNative(t.Context(), guest.Config{Imports: guest.Imports(), CacheDir: cache})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range modules {
		module, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := engine.Compile(t.Context(), module); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}
