package guest

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi/tck"
	"github.com/frigg-host/frigg-host/host/plugin"
)

func TestRuntime_ReadsAnswersAsTheContractSays(t *testing.T) {
	t.Parallel()
	tck.Answers(t, openAnswer)
}

// The plugins that `make wasm` builds answer as the contract says, without any capability.
func TestPlugins_PassTheKit(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../build/plugins/*.wasm")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("no plugins are built; run make wasm")
	}
	e, err := OpenNative(t.Context(), Config{Imports: Imports()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close(context.Background()) })
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in, err := plugin.Inspect(data)
			if err != nil {
				t.Fatal(err)
			}
			m, err := e.Compile(t.Context(), data)
			if err != nil {
				t.Fatal(err)
			}
			var exports []string
			for _, x := range m.Exports() {
				if len(x) > 6 && x[:6] == "frigg_" {
					exports = append(exports, x)
				}
			}
			tck.Guest(t, exports, func(export string, input []byte) ([]byte, error) {
				result, err := m.Call(t.Context(), Call{Plugin: in.Manifest.Name, Export: export, Input: input, Limits: Limits{Timeout: 30 * time.Second}})
				return result.Output, err
			})
		})
	}
}
