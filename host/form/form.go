// Package form judges what people fill in: JSON Schemas of objects, as plugins give them (abi.Form).
//
// Schemas and values come from strangers: size, time and memory are bounded, references stay inside the form, and no message
// repeats a value. It knows which fields are secret (`format: password`), not where they are kept. A Form is not changed
// after Parse and is safe for concurrent use; an Input is not.
package form

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"strings"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/pointer"
)

const (
	// MaxBytes bounds schema and layout of a form.
	MaxBytes = 1 << 20
	// MaxFilled bounds what a person fills in, in bytes of JSON.
	MaxFilled = 256 << 10

	maxNodes = 50_000 // of a schema or of what is filled in
	maxDepth = 64     // of their nesting

	maxExponent = 400 // of ten
)

// Form is a form whose schema is not yet judged: that it is wrong is said when it is used.
type Form struct {
	root map[string]any // nil takes everything and knows no field
}

// Empty has no fields.
func Empty() abi.Form {
	return abi.Form{JSONSchema: json.RawMessage(`{"type":"object","properties":{}}`), UISchema: json.RawMessage(`{"type":"VerticalLayout","elements":[]}`)}
}

// Parse reads a form; nil and one without a schema take everything. The fault is on side Guest: TooLarge, or Internal for
// what is no schema of an object or refers to something outside itself.
func Parse(f *abi.Form) (*Form, error) {
	if f == nil || len(f.JSONSchema) == 0 {
		return &Form{}, nil
	}
	if err := Bounded(*f); err != nil {
		return nil, err
	}
	doc, _ := pointer.Decode(f.JSONSchema)
	root, ok := doc.(map[string]any)
	if !ok {
		return nil, broken(errors.New("not an object"))
	}
	delete(root, "$id") // references to the whole form are written as #
	if err := measure(root, true); err != nil {
		return nil, broken(err)
	}
	return &Form{root: root}, nil
}

// Bounded returns fault.TooLarge on side Guest for a form of more than MaxBytes.
func Bounded(f abi.Form) error {
	if len(f.JSONSchema)+len(f.UISchema) > MaxBytes {
		return fault.New(fault.TooLarge, "form.Parse", "the plugin's form has more than %d bytes", MaxBytes).On(fault.Guest)
	}
	return nil
}

func broken(err error) error {
	return fault.New(fault.Internal, "form.Parse", "the plugin's form is not a usable JSON Schema of an object").On(fault.Guest).With(err)
}

// Properties are the schemas of the form's fields by name.
func (f *Form) Properties() map[string]map[string]any {
	out := map[string]map[string]any{}
	properties, _ := f.root["properties"].(map[string]any)
	for name, p := range properties {
		out[name], _ = p.(map[string]any)
	}
	return out
}

// required names the fields that must be there.
func (f *Form) required() (names []string) {
	all, _ := f.root["required"].([]any)
	for _, n := range all {
		if name, ok := n.(string); ok {
			names = append(names, name)
		}
	}
	return names
}

// unfinished is the form for what is filled in so far: nothing is required at the top.
func (f *Form) unfinished() *Form {
	root := maps.Clone(f.root)
	delete(root, "required")
	return &Form{root: root}
}

// measure bounds a decoded document, and in a schema keeps references inside it.
func measure(doc any, schema bool) error {
	nodes := 0
	var walk func(v any, depth int) error
	walk = func(v any, depth int) error {
		if nodes++; nodes > maxNodes || depth > maxDepth {
			return fmt.Errorf("more than %d values or %d levels", maxNodes, maxDepth)
		}
		switch v := v.(type) {
		case map[string]any:
			if err := local(v); schema && err != nil {
				return err
			}
			for _, inner := range v {
				if err := walk(inner, depth+1); err != nil {
					return err
				}
			}
		case []any:
			for _, inner := range v {
				if err := walk(inner, depth+1); err != nil {
					return err
				}
			}
		case json.Number:
			return reasonable(v)
		}
		return nil
	}
	return walk(doc, 0)
}

// reasonable refuses numbers that no form needs: they are judged exactly, so that an exponent costs as much as its zeros.
func reasonable(n json.Number) error {
	exponent := 0
	if i := strings.IndexAny(n.String(), "eE"); i >= 0 {
		var err error
		if exponent, err = strconv.Atoi(n.String()[i+1:]); err != nil {
			exponent = maxExponent + 1
		}
	}
	if len(n) > 100 || max(exponent, -exponent) > maxExponent {
		return errors.New("a number is out of range")
	}
	return nil
}

// local refuses what would make a reference mean something else than a pointer into the form.
func local(schema map[string]any) error {
	for _, keyword := range []string{"$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"} {
		switch schema[keyword].(type) {
		case string, bool:
			return fmt.Errorf("%s is not supported in forms; refer with $ref and a pointer such as #/$defs/name", keyword)
		}
	}
	ref, ok := schema["$ref"].(string)
	if !ok || ref == "#" || strings.HasPrefix(ref, "#/") {
		return nil
	}
	return errors.New("references must stay inside the form")
}

// referred is the schema that a reference points to.
func (f *Form) referred(ref string) any {
	path, err := url.PathUnescape(strings.TrimPrefix(ref, "#"))
	if err != nil {
		return nil
	}
	found, _ := pointer.At(f.root, path)
	return found
}
