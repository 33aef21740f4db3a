package abi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"
)

// Problem is one thing wrong with a manifest.
type Problem struct {
	// Path says where, for example `auth.oauth2.token_url` or `hosts[2].reason`; empty for the manifest as a whole.
	Path string `json:"path,omitempty"`
	// Message says what is wrong and what to do. It never repeats long values.
	Message string `json:"message"`
}

func (p Problem) String() string {
	if p.Path == "" {
		return p.Message
	}
	return p.Path + ": " + p.Message
}

// ManifestError lists everything that is wrong with a manifest, at most 100 problems, in the order of the text.
type ManifestError struct{ Problems []Problem }

func (e *ManifestError) Error() string {
	if len(e.Problems) == 1 {
		return "manifest: " + e.Problems[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "manifest: %d problems", len(e.Problems))
	for _, p := range e.Problems {
		b.WriteString("\n  " + p.String())
	}
	return b.String()
}

// DecodeManifest reads and validates a manifest as written; ManifestDefaults fills what it leaves out. Unlike messages
// it is decoded strictly: unknown fields, repeated keys, null, wrong types and trailing data are problems.
// The error is a *ManifestError. Where the JSON is broken or has the wrong shape, its meaning is not judged yet.
func DecodeManifest(data []byte) (*Manifest, error) {
	var p problems
	switch {
	case len(data) > LimitManifestBytes:
		p.add("", "it has %d bytes, at most %d are allowed", len(data), LimitManifestBytes)
	case !utf8.Valid(data):
		p.add("", "it is not UTF-8")
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		p.add("", "it is not JSON: %s", located(data, err))
		return nil, p.err()
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	r := reader{problems: &p, dec: dec}
	p.shape("", r.value(""), reflect.TypeFor[Manifest]())
	if err := p.err(); err != nil {
		return nil, err
	}
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		p.add("", "%v", err)
		return nil, p.err()
	}
	if err := ValidateManifest(&m); err != nil {
		return nil, err
	}
	return &m, nil
}

// located adds line and column to a syntax error.
func located(data []byte, err error) string {
	syntax, ok := err.(*json.SyntaxError)
	if !ok {
		return err.Error()
	}
	before := data[:min(int(syntax.Offset), len(data))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - bytes.LastIndexByte(before, '\n') - 1
	return fmt.Sprintf("line %d, column %d: %v", line, column, err)
}

// problems collects what is wrong, up to a bound, each place and text once.
type problems struct{ list []Problem }

const maxProblems = 100

func (p *problems) add(path, format string, args ...any) {
	problem := Problem{path, fmt.Sprintf(format, args...)}
	if len(p.list) == maxProblems || len(p.list) > 0 && p.list[len(p.list)-1] == problem {
		return
	}
	p.list = append(p.list, problem)
}

func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	return &ManifestError{p.list}
}

// at makes the path of a field below path.
func at(path, field string) string {
	if !isRefName(field) {
		return fmt.Sprintf("%s[%q]", path, clip(field))
	}
	if path == "" {
		return field
	}
	return path + "." + field
}

// nth makes the path of an element below path.
func nth(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// ManifestName gives the name in a manifest that may have any problems, "" if there is no valid one.
func ManifestName(data []byte) string {
	var m struct {
		Name string `json:"name"`
	}
	if len(data) > LimitManifestBytes || json.Unmarshal(data, &m) != nil || !pluginName.MatchString(m.Name) {
		return ""
	}
	return m.Name
}

// ReservedFields lists the paths of fields in use that the contract has a shape for and version 1 does not act on.
func ReservedFields(m *Manifest) []string {
	var paths []string
	use := func(used bool, path string) {
		if used {
			paths = append(paths, path)
		}
	}
	if m.Auth != nil {
		use(len(m.Auth.FormSteps) > 0, "auth.form_steps")
		use(len(m.Auth.FallbackSettings) > 0, "auth.fallback_settings")
	}
	if m.API != nil {
		use(len(m.API.SecretResponses) > 0, "api.secret_responses")
	}
	return paths
}
