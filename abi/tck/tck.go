// Package tck is the technology compatibility kit of the contract: it plays the vectors of abi/vectors against the
// reader of manifests, and against guests and engines.
//
// It knows the contract and no room of the host. Its functions are called from tests and may be used in parallel.
package tck

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/abi/vectors"
)

// load reads one file of vectors.
func load(t testing.TB, file string, into any) {
	t.Helper()
	text, err := vectors.Files.ReadFile(file)
	if err != nil {
		t.Fatalf("the vectors are not there: %v", err)
	}
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// manifestVectors is manifests.json.
type manifestVectors struct {
	Doc               string                     `json:"doc"`
	Bases             map[string]json.RawMessage `json:"bases"`
	Accepted, Refused []manifestCase
}

// manifestCase is a manifest, as text or as a base and a merge patch, and the problem that it must give.
type manifestCase struct {
	Name    string          `json:"name"`
	Base    string          `json:"base"`
	Merge   json.RawMessage `json:"merge"`
	Text    *string         `json:"text"`
	Path    string          `json:"path"`
	Message string          `json:"message"`
}

// Manifests plays the vectors of manifests against abi.DecodeManifest.
func Manifests(t *testing.T) {
	var v manifestVectors
	load(t, "manifests.json", &v)
	if len(v.Accepted) == 0 || len(v.Refused) == 0 {
		t.Fatal("manifests.json has no cases")
	}
	for _, c := range v.Accepted {
		t.Run("accepts "+c.Name, func(t *testing.T) {
			t.Parallel()
			m, err := abi.DecodeManifest(v.text(t, c))
			if err != nil {
				t.Fatal(err)
			}
			if err := abi.ValidateManifest(abi.ManifestDefaults(m)); err != nil {
				t.Errorf("not valid any more with its defaults: %v", err)
			}
		})
	}
	for _, c := range v.Refused {
		t.Run("refuses "+c.Name, func(t *testing.T) {
			t.Parallel()
			_, err := abi.DecodeManifest(v.text(t, c))
			e, ok := err.(*abi.ManifestError)
			if !ok {
				t.Fatalf("got %v, want a *abi.ManifestError", err)
			}
			for _, p := range e.Problems {
				if p.Path == c.Path && strings.Contains(p.Message, c.Message) {
					return
				}
			}
			t.Errorf("got %v\nwant a problem at %q with %q", err, c.Path, c.Message)
		})
	}
}

func (v manifestVectors) text(t *testing.T, c manifestCase) []byte {
	if c.Text != nil {
		return []byte(*c.Text)
	}
	base, ok := v.Bases[c.Base]
	if !ok {
		t.Fatalf("there is no base %q", c.Base)
	}
	if len(c.Merge) == 0 {
		return base
	}
	out, err := json.Marshal(merge(decoded(t, base), decoded(t, c.Merge)))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func decoded(t *testing.T, text []byte) any {
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// merge applies a JSON merge patch (RFC 7396).
func merge(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := target.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	for name, change := range changes {
		if change == nil {
			delete(object, name)
			continue
		}
		object[name] = merge(object[name], change)
	}
	return object
}
