package quickjs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/frigg-host/frigg-host/host/plugin/wasm"
)

// Section is the name of the custom section that makes a module a JavaScript plugin.
const Section = "frigg:javascript"

// Bounds of a program.
const (
	MaxSourceBytes = 16 << 20 // also of the map
	MaxExports     = 64
	maxExportBytes = 64
	maxHeaderBytes = 16 << 10
)

// version of the section.
const version = 1

// Program is what a JavaScript plugin does.
type Program struct {
	// Exports are the names of the functions that the module exports to the host, sorted.
	Exports []string
	// Source is an ECMAScript module without imports, in UTF-8.
	Source string
	// Map says which lines of which files Source is from: a source map (ECMA-426), or nothing. It is not judged here.
	Map string
}

// header is the first line of a section, as JSON; behind it follow the source and the map.
type header struct {
	Version     int      `json:"version"`
	Exports     []string `json:"exports"`
	SourceBytes int      `json:"source_bytes"`
}

// Encode writes the section. It fails for what Decode would refuse.
func (p Program) Encode() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	head, err := json.Marshal(header{version, p.Exports, len(p.Source)})
	if err != nil {
		return nil, err
	}
	return slices.Concat(head, []byte("\n"), []byte(p.Source), []byte(p.Map)), nil
}

// Decode reads a section strictly: an unknown field or version is an error.
func Decode(section []byte) (*Program, error) {
	end := bytes.IndexByte(section[:min(len(section), maxHeaderBytes)], '\n')
	if end < 0 {
		return nil, fmt.Errorf("its first %d bytes have no header line", maxHeaderBytes)
	}
	h, err := decodeHeader(section[:end])
	if err != nil {
		return nil, err
	}
	rest := section[end+1:]
	switch n := h.SourceBytes; {
	case n < 0 || n > len(rest):
		return nil, fmt.Errorf("its program should have %d bytes, and %d are there", n, len(rest))
	case n > MaxSourceBytes || len(rest)-n > MaxSourceBytes:
		return nil, tooLong(max(n, len(rest)-n))
	}
	p := &Program{Exports: h.Exports, Source: string(rest[:h.SourceBytes]), Map: string(rest[h.SourceBytes:])}
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, nil
}

func decodeHeader(line []byte) (*header, error) {
	var h header
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&h); err != nil {
		return nil, fmt.Errorf("its header: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("its header is more than one value")
	}
	if h.Version != version {
		return nil, fmt.Errorf("it has version %d, and this host knows %d", h.Version, version)
	}
	return &h, nil
}

func tooLong(n int) error {
	return fmt.Errorf("the program or its map has %d bytes, at most %d are allowed", n, MaxSourceBytes)
}

func (p Program) check() error {
	switch {
	case len(p.Source) > MaxSourceBytes || len(p.Map) > MaxSourceBytes:
		return tooLong(max(len(p.Source), len(p.Map)))
	case !utf8.ValidString(p.Source) || !utf8.ValidString(p.Map):
		return errors.New("the program is not UTF-8")
	case len(p.Exports) == 0:
		return errors.New("the program exports nothing")
	case len(p.Exports) > MaxExports:
		return fmt.Errorf("the program exports %d functions, at most %d are allowed", len(p.Exports), MaxExports)
	}
	for i, name := range p.Exports {
		if !isName(name) {
			return fmt.Errorf("%.80q cannot be the name of an export", name)
		}
		if i > 0 && p.Exports[i-1] >= name {
			return errors.New("the exports are not sorted, or one is named twice")
		}
	}
	return nil
}

// isName reports whether s has the form of the contract's names.
func isName(s string) bool {
	if len(s) == 0 || len(s) > maxExportBytes || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// Module returns the module of a program: the engine with the section. It shares no memory with the engine.
func (p Program) Module() ([]byte, error) {
	section, err := p.Encode()
	if err != nil {
		return nil, err
	}
	return wasm.SetCustom(code(), Section, section)
}

// Read returns the program of a module, nil when it has none and so is no JavaScript plugin. A section that is malformed,
// there twice, or on a module whose code is not the engine's is an error.
func Read(module []byte) (*Program, error) {
	m, err := wasm.Read(module)
	if err != nil {
		return nil, err
	}
	return Of(module, m)
}

// Of is like Read for a module whose sections have been read.
func Of(module []byte, m *wasm.Module) (*Program, error) {
	sections := m.Custom(Section)
	switch {
	case len(sections) == 0:
		return nil, nil
	case len(sections) > 1:
		return nil, fmt.Errorf("it has %d sections %s", len(sections), Section)
	case !Runs(module):
		return nil, fmt.Errorf("it has a section %s, but its code is not the JavaScript engine of this host (quickjs-wasi %s); pack the program again", Section, Version)
	}
	p, err := Decode(sections[0])
	if err != nil {
		return nil, fmt.Errorf("section %s: %w", Section, err)
	}
	return p, nil
}

// sorted is for those who have exports in any order.
func sorted(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return slices.Compact(names)
}

// New makes a program of exports in any order, without a map.
func New(exports []string, source string) Program {
	return Program{Exports: sorted(exports), Source: source}
}
