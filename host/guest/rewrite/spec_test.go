package rewrite

import (
	"bytes"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// moduleFolder is where the source of a Go module is.
func moduleFolder(t testing.TB, path string) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// specification calls f with every step-th of the modules of the test suite of the specification, in the form in which wazero has it.
func specification(t *testing.T, step int, f func(name string, module []byte)) {
	t.Helper()
	n := 0
	if underRace || testing.Short() {
		step = 50
	}
	folder := filepath.Join(moduleFolder(t, "github.com/tetratelabs/wazero"), "internal", "integration_test", "spectest")
	err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".wasm") {
			if n++; n%step == 0 {
				f(filepath.Base(path), read(t, path))
			}
		}
		return err
	})
	if err != nil || n < 5000 {
		t.Fatalf("%d modules, %v", n, err)
	}
}

// offered says whether a refusal of a valid module is by intent: what the specification in version 2 does not have, or
// what this host does not offer.
func offered(refusal error) bool {
	for _, part := range []string{
		ErrImport.Error(),
		"0x63", "0x64", "0x40", // types of proposals, which this engine takes in some places
		"0xfc 0x80", // an instruction with a number that is longer than it need be
	} {
		if strings.Contains(refusal.Error(), part) {
			return false
		}
	}
	return true
}

// TestSpecification_ValidStaysValid: and what is invalid does not become valid.
func TestSpecification_ValidStaysValid(t *testing.T) {
	t.Parallel()
	specification(t, 1, func(name string, module []byte) {
		for _, o := range allOptions {
			m, err := Rewrite(module, o)
			if err != nil {
				if offered(err) && valid(module) == nil {
					t.Errorf("%s %+v: it is valid, but %v", name, o, err)
				}
				return
			}
			if want, got := valid(withoutNames(module)), valid(m.Wasm); (want == nil) != (got == nil) {
				t.Errorf("%s %+v: the original is %v, rewritten it is %v", name, o, want, got)
			}
		}
	})
}

// TestSpecification_RunsAsBefore: every instruction, with zeros for arguments.
func TestSpecification_RunsAsBefore(t *testing.T) {
	t.Parallel()
	const memory, most = 2 << 20, 12
	specification(t, 5, func(name string, module []byte) {
		m, err := Rewrite(module, Options{Fuel: 500, Restore: true})
		if err != nil || valid(module) != nil || len(m.Imports) > 0 || m.MinMemory > memory || bytes.Contains(module, []byte{opMisc, tableGrow}) {
			return // the last eats all memory if nothing bounds it
		}
		for _, f := range m.Exports[:min(most, len(m.Exports))] {
			compare(t, run{module: m, calls: []string{f.Name}, most: 10, memory: memory}, module)
		}
		if t.Failed() {
			t.Fatal(name)
		}
	})
}
