package guest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/abi/tck"
	"github.com/frigg-host/frigg-host/host/plugin"
)

func TestRuntime_ReadsAnswersAsTheContractSays(t *testing.T) {
	t.Parallel()
	tck.Answers(t, openAnswer)
}

// A module and an integration that `make wasm` built answer as the contract says, without any capability. Compiled code is
// kept beside them: compiling is what takes long under the race detector.
func TestPlugins_PassTheKit(t *testing.T) {
	t.Parallel()
	const build = "../../build/"
	files, err := filepath.Glob(build + "plugins/*.wasm")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("no plugins are built; run make wasm")
	}
	e, err := OpenNative(t.Context(), Config{Imports: Imports(), CacheDir: build + "compiled"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close(context.Background()) })
	played := map[abi.PluginKind]bool{}
	for _, file := range files {
		module, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		in, err := plugin.Inspect(module)
		if err != nil {
			t.Fatal(err)
		}
		if played[in.Manifest.Kind] {
			continue
		}
		played[in.Manifest.Kind] = true
		t.Run(in.Manifest.Name, func(t *testing.T) {
			t.Parallel()
			m, err := e.Compile(t.Context(), module)
			if err != nil {
				t.Fatal(err)
			}
			var exports []string
			for _, x := range m.Exports() {
				if strings.HasPrefix(x, "frigg_") {
					exports = append(exports, x)
				}
			}
			tck.Guest(t, exports, func(export string, input []byte) ([]byte, error) {
				result, err := m.Call(t.Context(), Call{Plugin: in.Manifest.Name, Export: export, Input: input, Limits: Limits{Timeout: time.Minute}})
				return result.Output, err
			})
		})
	}
}

func FuzzOpenAnswer(f *testing.F) {
	for _, s := range []string{"", "{}", `{"value":1}`, `{"fault":{"kind":"invalid","message":"m"}}`, `{"value":null,"fault":null}`, `{"fault":"x"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, output []byte) {
		value, refusal, err := openAnswer(output)
		if err == nil && (value == nil) == (refusal == nil) {
			t.Fatalf("got %s and %v", value, refusal)
		}
		if refusal != nil && len(refusal.Message) > 2*maxTextBytes {
			t.Fatalf("a message of %d bytes", len(refusal.Message))
		}
	})
}
