package abi

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// node is a JSON value with the order and repetition of its keys.
type node struct {
	kind     nodeKind
	text     string // of a string or number
	members  []member
	elements []*node
}

type member struct {
	name  string
	value *node
}

type nodeKind string

const (
	kindObject nodeKind = "an object"
	kindList   nodeKind = "a list"
	kindText   nodeKind = "text"
	kindNumber nodeKind = "a number"
	kindBool   nodeKind = "true or false"
	kindNull   nodeKind = "null"
)

// maxDepth bounds how deep values nest.
const maxDepth = 64

// reader builds the tree of JSON that is known to be well-formed, and reports repeated keys and texts that would not
// print as they read.
type reader struct {
	*problems
	dec   *json.Decoder
	depth int
}

func (r *reader) value(path string) *node {
	if r.depth == maxDepth {
		r.add(path, "is nested more than %d deep", maxDepth)
		var skipped json.RawMessage
		_ = r.dec.Decode(&skipped)
		return &node{kind: kindNull}
	}
	token, _ := r.dec.Token()
	switch v := token.(type) {
	case json.Delim:
		r.depth++
		defer func() { r.depth-- }()
		if v == '[' {
			return r.list(path)
		}
		return r.object(path)
	case string:
		if strings.ContainsFunc(v, unprintable) {
			r.add(path, "the text holds a control character; remove it")
		}
		return &node{kind: kindText, text: v}
	case json.Number:
		return &node{kind: kindNumber, text: v.String()}
	case bool:
		return &node{kind: kindBool}
	}
	return &node{kind: kindNull}
}

func (r *reader) list(path string) *node {
	n := &node{kind: kindList}
	for r.dec.More() {
		n.elements = append(n.elements, r.value(nth(path, len(n.elements))))
	}
	_, _ = r.dec.Token()
	return n
}

func (r *reader) object(path string) *node {
	n := &node{kind: kindObject}
	seen := map[string]bool{}
	for r.dec.More() {
		token, _ := r.dec.Token()
		name, _ := token.(string)
		if seen[name] {
			r.add(at(path, name), "appears twice; keep one")
		}
		seen[name] = true
		n.members = append(n.members, member{name, r.value(at(path, name))})
	}
	_, _ = r.dec.Token()
	return n
}

// unprintable finds control characters, but line breaks and tabs, and those that reverse or hide text on a screen.
func unprintable(r rune) bool {
	return unicode.IsControl(r) && r != '\n' && r != '\t' || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

var rawMessage = reflect.TypeFor[json.RawMessage]()

// shape compares a tree with the Go type that it will be decoded into.
func (p *problems) shape(path string, n *node, t reflect.Type) {
	if t == rawMessage {
		return
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Struct:
		if p.is(path, n, kindObject) {
			p.fields(path, n, t)
		}
	case reflect.Map:
		if p.is(path, n, kindObject) {
			for _, m := range n.members {
				p.shape(at(path, m.name), m.value, t.Elem())
			}
		}
	case reflect.Slice:
		if p.is(path, n, kindList) {
			for i, e := range n.elements {
				p.shape(nth(path, i), e, t.Elem())
			}
		}
	case reflect.String:
		if p.is(path, n, kindText) {
			p.enum(path, n.text, t)
		}
	case reflect.Bool:
		p.is(path, n, kindBool)
	case reflect.Int64:
		if p.is(path, n, kindNumber) {
			p.count(path, n.text)
		}
	}
}

func (p *problems) is(path string, n *node, want nodeKind) bool {
	switch n.kind {
	case want:
		return true
	case kindNull:
		p.add(path, "must be %s and not null; leave the field out instead", want)
	default:
		p.add(path, "must be %s and not %s", want, n.kind)
	}
	return false
}

// fields reports unknown and missing fields. A field without omitempty is required.
func (p *problems) fields(path string, n *node, t reflect.Type) {
	known := map[string]reflect.Type{}
	var names, required []string
	for i := range t.NumField() {
		name, omit, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		known[name] = t.Field(i).Type
		names = append(names, name)
		if omit == "" {
			required = append(required, name)
		}
	}
	has := map[string]bool{}
	for _, m := range n.members {
		has[m.name] = true
		if ft, ok := known[m.name]; ok {
			p.shape(at(path, m.name), m.value, ft)
			continue
		}
		p.add(at(path, m.name), "is not a field of the contract%s", suggestion(m.name, names))
	}
	for _, name := range required {
		if !has[name] {
			p.add(at(path, name), "is missing")
		}
	}
}

// enum reports a text that is not one of the values of an enum type.
func (p *problems) enum(path, text string, t reflect.Type) {
	enum, ok := reflect.Zero(t).Interface().(interface{ Values() []string })
	if !ok || slices.Contains(enum.Values(), text) {
		return
	}
	p.add(path, "%q is none of %s", clip(text), strings.Join(enum.Values(), ", "))
}

// count reports a number that is not a whole one from 0 to 2^53-1, which every language of guests can hold.
func (p *problems) count(path, text string) {
	const most = 1<<53 - 1
	v, err := json.Number(text).Int64()
	switch {
	case err != nil && strings.ContainsAny(text, ".eE"):
		p.add(path, "must be a whole number")
	case err != nil || v > most:
		p.add(path, "is too large")
	case v < 0:
		p.add(path, "must not be negative")
	}
}

// suggestion names the field that was probably meant.
func suggestion(name string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		if d := editDistance(strings.ToLower(clip(name)), k); d < distance && d < len(k) {
			best, distance = k, d
		}
	}
	if best == "" {
		return "; remove it or check its place"
	}
	return "; did you mean `" + best + "`?"
}

// editDistance counts the insertions, deletions and replacements between two short texts (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
