package rewrite

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
)

// corpus are the fixtures of this package and of the engine, and the modules that the Extism Go SDK tests itself with.
func corpus(t testing.TB) map[string][]byte {
	t.Helper()
	modules := map[string][]byte{}
	for _, folder := range []string{"testdata", "../testdata", filepath.Join(moduleFolder(t, "github.com/extism/go-sdk"), "wasm")} {
		files, _ := filepath.Glob(filepath.Join(folder, "*.wasm"))
		if len(files) == 0 {
			t.Fatalf("no modules in %s", folder)
		}
		for _, file := range files {
			modules[filepath.Base(file)] = read(t, file)
		}
	}
	return modules
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// allOptions are those that hosts use.
var allOptions = []Options{{}, {Fuel: 20_000}, {Restore: true}, {Fuel: 20_000, Restore: true}}

// tellable are modules that may see a difference.
var tellable = map[string]string{
	"grow_table.wasm": "unbounded, it eats all memory",
	"no_memory.wasm":  "without memory, wazero's own WASI panics",
}

// TestRewrite_GuestsCannotTell: real modules give the same results and memory before and after, in compiler and
// interpreter, and use the same fuel in both.
func TestRewrite_GuestsCannotTell(t *testing.T) {
	t.Parallel()
	for name, module := range corpus(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if reason := tellable[name]; reason != "" {
				t.Skip(reason)
			}
			if (underRace || testing.Short()) && len(module) > 300<<10 {
				t.Skip("it takes long to compile")
			}
			differ(t, module, "hello world")
		})
	}
}

// TestRewrite_GoProgramsCannotTell: an example plugin, as an author builds it.
func TestRewrite_GoProgramsCannotTell(t *testing.T) {
	t.Parallel()
	if underRace || testing.Short() {
		t.Skip("it takes long to compile")
	}
	file := filepath.Join(t.TempDir(), "plugin.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", file, "../../../plugins/examples/stripe")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	differ(t, read(t, file), `{"value":{}}`)
}

// differ runs all exports of a module in all ways.
func differ(t *testing.T, module []byte, input string) {
	var rewritten []*Module
	for _, o := range allOptions {
		m, err := Rewrite(module, o)
		if err != nil {
			t.Skip(err)
		}
		if m.MinMemory > maxMachine {
			t.Skip("it is too large") // engines panic when there is not even the least
		}
		again, _ := Rewrite(module, o)
		if !bytes.Equal(m.Wasm, again.Wasm) {
			t.Error("the same input gives another output")
		}
		rewritten = append(rewritten, m)
	}
	most := 20 // yields: enough for what ends at all
	if len(module) > 1<<20 {
		most = 1000 // the runtime of a language sets itself up
	}
	compiler, interpreter := wazero.NewCompilationCache(), wazero.NewCompilationCache()
	defer compiler.Close(context.Background())
	defer interpreter.Close(context.Background())
	for _, calls := range sequences(rewritten[0]) {
		bounded := rewritten[3]
		first, err := run{cache: compiler, module: bounded, calls: calls, input: input, most: most}.start(t, nil)
		if err != nil {
			t.Fatal(err)
		}
		second, err := run{cache: interpreter, module: bounded, calls: calls, input: input, most: most, interpret: true}.start(t, nil)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(first.Err+second.Err, "stack overflow") {
			continue // where that is differs
		}
		if !first.equal(second) || first.used != second.used {
			t.Errorf("%v: compiler and interpreter differ:\n%v\n%v", calls, first, second)
		}
		if first.stopped {
			continue
		}
		for _, m := range []*Module{nil, rewritten[0], rewritten[1], rewritten[2]} {
			other, err := run{cache: compiler, module: m, calls: calls, input: input, most: 1 << 30}.start(t, module)
			if err != nil {
				t.Fatal(err)
			}
			if !first.equal(other) || m != nil && m.Fuel != "" && other.used != first.used {
				t.Errorf("%v: the guest can tell:\n%v\n%v", calls, first, other)
			}
		}
	}
}

// sequences are calls that belong together.
func sequences(m *Module) [][]string {
	var all [][]string
	var setup []string
	for _, f := range m.Exports {
		if f.Params == "" && (f.Name == "_initialize" || f.Name == "__wasm_call_ctors") {
			setup = []string{f.Name}
		}
	}
	for _, f := range m.Exports {
		if len(f.Params) == 0 && !slices.Contains(setup, f.Name) {
			all = append(all, append(slices.Clone(setup), f.Name))
		}
	}
	return all
}
