package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/host/api"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(want) == 0 {
		t.Fatalf("%s is empty", path)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs; if that is meant, run with -update (-want +got):\n%s", path, diff)
	}
}

func TestDocument_IsTheGoldenOne(t *testing.T) {
	t.Parallel()
	res := get(t, api.New(api.Config{}), "/openapi.json", nil)
	var b bytes.Buffer
	if err := json.Indent(&b, res.Body.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	golden(t, "openapi.golden.json", append(b.Bytes(), '\n'))
	if kind := res.Header().Get("Content-Type"); kind != "application/openapi+json" {
		t.Errorf("Content-Type is %q", kind)
	}
	if yaml := get(t, api.New(api.Config{}), "/openapi.yaml", nil); yaml.Code != http.StatusOK || !strings.HasPrefix(yaml.Body.String(), "components:") {
		t.Errorf("the YAML document is answered as %d: %.80s", yaml.Code, yaml.Body)
	}
}
