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

// TestDocument_HasEveryRoute compares the document with the router.
func TestDocument_HasEveryRoute(t *testing.T) {
	t.Parallel()
	a := api.New(api.Config{})
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Summary     string `json:"summary"`
			Tags        []string
		}
	}
	if err := json.Unmarshal(get(t, a, "/openapi.json", nil).Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	described, served := map[string]bool{}, map[string]bool{"GET /api/:plugin/:path": true} // routes of integrations are not the router's
	for path, methods := range doc.Paths {
		path = strings.NewReplacer("{name}-integration", ":plugin", "{integrationId}", ":id").Replace(path)
		path = strings.NewReplacer("{", ":", "}", "").Replace(path)
		for method, op := range methods {
			described[strings.ToUpper(method)+" "+path] = true
			if op.OperationID == "" || op.Summary == "" || len(op.Tags) != 1 {
				t.Errorf("%s %s is described as %+v", method, path, op)
			}
		}
	}
	for _, r := range a.Routes() {
		route := r.Method + " " + r.Path
		anyMethod := strings.HasSuffix(r.Path, "/actions") || strings.HasSuffix(r.Path, "/options") && described["GET "+r.Path]
		hook := strings.HasPrefix(r.Path, "/api/:plugin/")
		if !described[route] && !(anyMethod || hook) && !strings.HasPrefix(r.Path, "/openapi.") {
			t.Errorf("%s is not in the document", route)
		}
		served[route] = true
	}
	for route := range described {
		if !served[route] {
			t.Errorf("%s is in the document and not served", route)
		}
	}
}
