package rewrite

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
)

// realModules are the fixtures of the engine and those of the Extism Go SDK.
func realModules(t testing.TB) map[string][]byte {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/extism/go-sdk").Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string][]byte{}
	for _, folder := range []string{"../testdata", filepath.Join(strings.TrimSpace(string(out)), "wasm"), "testdata"} {
		files, _ := filepath.Glob(filepath.Join(folder, "*.wasm"))
		if len(files) == 0 && folder != "testdata" {
			t.Fatalf("no modules in %s", folder)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			modules[filepath.Base(file)] = b
		}
	}
	return modules
}

func TestRewrite_RealModulesStayValid(t *testing.T) {
	for name, b := range realModules(t) {
		for _, o := range []Options{{}, {Fuel: 20000}, {Restore: true}, {Fuel: 20000, Restore: true}} {
			m, err := Rewrite(b, o)
			if err != nil {
				t.Logf("%s: %v", name, err)
				continue
			}
			r := wazero.NewRuntimeWithConfig(context.Background(), wazero.NewRuntimeConfigInterpreter())
			if _, err := r.CompileModule(context.Background(), m.Wasm); err != nil {
				t.Errorf("%s %v: %v", name, o, err)
			}
			r.Close(context.Background())
			if m2, _ := Rewrite(b, o); !bytes.Equal(m.Wasm, m2.Wasm) {
				t.Error("other bytes")
			}
		}
	}
}
