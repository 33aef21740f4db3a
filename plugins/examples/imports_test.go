package examples

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/frigg-host/frigg-host/abi"
)

// What a built plugin imports is what its manifest claims, however much the SDK can do, with bulk copies and without.
func TestBuilds_ImportWhatTheirManifestsClaim(t *testing.T) {
	manifests, err := filepath.Glob("*/manifest.yaml")
	if err != nil || len(manifests) < 6 {
		t.Fatalf("manifests: %v, %v", manifests, err)
	}
	for _, manifest := range manifests {
		name := filepath.Dir(manifest)
		claimed := capabilities(t, manifest)
		for _, tags := range []string{"", "frigg_nobulk"} {
			if tags != "" && name != "gitea" && name != "stripe-gitea" {
				continue // one of each kind is enough
			}
			t.Run(name+" "+tags, func(t *testing.T) {
				imported, modules := imports(t, build(t, name, tags))
				if diff := cmp.Diff(claimed, imported); diff != "" {
					t.Errorf("claimed and imported differ:\n%s", diff)
				}
				if bulk := slices.Contains(modules, abi.BulkModule); bulk != (tags == "") {
					t.Errorf("imports bulk copies: %v", bulk)
				}
				for _, m := range modules {
					known := m == abi.KernelModule || m == abi.BulkModule || m == abi.WASIModule || strings.HasPrefix(m, abi.ModulePrefix)
					if !known {
						t.Errorf("imports of %s", m)
					}
				}
			})
		}
	}
}

func capabilities(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var m struct{ Capabilities []struct{ Name string } }
	if err := yaml.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, c := range m.Capabilities {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	return names
}

func build(t *testing.T, name, tags string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), name+".wasm")
	run(t, ".", wasm, "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-tags", tags, "-o", out, "./"+name)
	module, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// wasm is the environment in which plugins are built.
const wasm = "GOOS=wasip1 GOARCH=wasm"

// run runs the go command.
func run(t *testing.T, dir, env string, args ...string) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), strings.Fields(env)...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, text)
	}
}

// imports returns the capabilities and the modules that a wasm file imports from, sorted.
func imports(t *testing.T, module []byte) (capabilities, modules []string) {
	t.Helper()
	r := bytes.NewReader(module[8:]) // behind magic and version
	for {
		id, err := r.ReadByte()
		if errors.Is(err, io.EOF) {
			t.Fatal("there is no import section")
		}
		size := number(r)
		if id != 2 {
			_, _ = r.Seek(int64(size), io.SeekCurrent)
			continue
		}
		for range number(r) {
			from, _ := text(r), text(r)
			if kind, _ := r.ReadByte(); kind != 0 {
				t.Fatalf("an import of %s is no function", from)
			}
			number(r) // its type
			modules = append(modules, from)
			if c, ok := strings.CutPrefix(from, abi.ModulePrefix); ok && from != abi.BulkModule {
				capabilities = append(capabilities, c)
			}
		}
		slices.Sort(capabilities)
		slices.Sort(modules)
		return slices.Compact(capabilities), slices.Compact(modules)
	}
}

// number reads an unsigned LEB128; the file was just built, so it is whole.
func number(r *bytes.Reader) uint64 {
	n, _ := binary.ReadUvarint(r)
	return n
}

func text(r *bytes.Reader) string {
	b := make([]byte, number(r))
	_, _ = io.ReadFull(r, b)
	return string(b)
}
