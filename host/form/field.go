package form

import (
	"errors"
	"maps"
	"slices"
	"strconv"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/pointer"
)

const (
	maxVisits = 100_000 // judgements of a value by a schema
	maxChain  = 200     // judgements inside each other
)

// Fields says what a form says of values, by JSON pointer. Where branches of a schema differ, it takes all of them.
type Fields struct {
	secret, known map[string]bool
}

// Secret lists the places of secrets, outer ones before inner ones.
func (f Fields) Secret() []string { return slices.Sorted(maps.Keys(f.secret)) }

// Knows reports whether the form has a field at a place.
func (f Fields) Knows(at string) bool { return f.known[at] }

// Fields looks at values through the form. The fault is on side Guest: the form takes too long to judge.
func (f *Form) Fields(values map[string]any) (Fields, error) {
	w := &walk{form: f, patterns: &patterns{}, out: Fields{secret: map[string]bool{}, known: map[string]bool{}}}
	if f.root != nil {
		w.judge(f.root, values, nil, 0)
	}
	if w.err != nil {
		return Fields{}, broken(w.err)
	}
	return w.out, nil
}

// walk goes to every place where a validator could go, in every branch, so that what it costs bounds what validation costs.
type walk struct {
	form     *Form
	patterns *patterns
	out      Fields
	visits   int
	err      error
}

func (w *walk) spend(n int) bool {
	if w.visits += n; w.visits > maxVisits && w.err == nil {
		w.err = errors.New("the schema takes too long to judge what was filled in")
	}
	return w.err == nil
}

func (w *walk) judge(schema, value any, at []string, chain int) {
	if schema == nil || !w.spend(1) {
		return
	}
	s, ok := schema.(map[string]any)
	if !ok {
		return // true or false
	}
	if chain++; chain > maxChain {
		w.err = errors.New("the schema refers to itself without end, or is nested too deep")
		return
	}
	if s["format"] == "password" && len(at) > 0 { // the whole is an object, and no secret
		w.out.secret[pointer.Of(at...)] = true
	}
	w.weigh(s, value)
	w.same(s, value, at, chain)
	switch v := value.(type) {
	case map[string]any:
		w.members(s, v, at, chain)
	case []any:
		w.elements(s, v, at, chain)
	}
}

// weigh pays for keywords that compare.
func (w *walk) weigh(s map[string]any, value any) {
	w.spend(size(s["enum"]) + size(s["const"]))
	text, isText := value.(string)
	if p, ok := s["pattern"].(string); ok && isText {
		re, err := w.patterns.compile(p)
		if err != nil {
			w.fail(err)
			return
		}
		w.spend(re.cost(text))
	}
}

func (w *walk) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

func size(v any) int {
	n := 1
	switch v := v.(type) {
	case nil:
		return 0
	case map[string]any:
		for _, inner := range v {
			n += size(inner)
		}
	case []any:
		for _, inner := range v {
			n += size(inner)
		}
	}
	return n
}

// same judges the value by the schemas that are about it too.
func (w *walk) same(s map[string]any, value any, at []string, chain int) {
	if ref, ok := s["$ref"].(string); ok {
		w.judge(w.form.referred(ref), value, at, chain)
	}
	for _, keyword := range []string{"allOf", "anyOf", "oneOf"} {
		branches, _ := s[keyword].([]any)
		for _, b := range branches {
			w.judge(b, value, at, chain)
		}
	}
	for _, keyword := range []string{"if", "then", "else", "not"} {
		w.judge(s[keyword], value, at, chain)
	}
	if _, ok := value.(map[string]any); !ok {
		return
	}
	for _, keyword := range []string{"dependentSchemas", "dependencies"} {
		branches, _ := s[keyword].(map[string]any)
		for _, b := range branches {
			w.judge(b, value, at, chain)
		}
	}
}

func (w *walk) members(s, value map[string]any, at []string, chain int) {
	properties, _ := s["properties"].(map[string]any)
	byPattern, _ := s["patternProperties"].(map[string]any)
	for name, v := range value {
		w.name(s["propertyNames"], name, chain)
		inner := append(slices.Clip(at), name)
		said := false
		if p, ok := properties[name]; ok {
			said = true
			w.child(p, v, inner, chain)
		}
		for text, p := range byPattern {
			re, err := w.patterns.compile(text)
			if err != nil {
				w.fail(err)
				return
			}
			if w.spend(re.cost(name)) && re.MatchString(name) {
				said = true
				w.child(p, v, inner, chain)
			}
		}
		for _, keyword := range []string{"additionalProperties", "unevaluatedProperties"} {
			if p, ok := s[keyword].(map[string]any); ok && !said {
				w.child(p, v, inner, chain)
			}
		}
	}
}

// name judges the name of a field, of which nothing is learnt but what it costs.
func (w *walk) name(schema any, name string, chain int) {
	out := w.out
	w.out = Fields{secret: map[string]bool{}, known: map[string]bool{}}
	w.judge(schema, name, nil, chain)
	w.out = out
}

func (w *walk) elements(s map[string]any, value []any, at []string, chain int) {
	prefix, _ := s["prefixItems"].([]any)
	if tuple, ok := s["items"].([]any); ok { // before draft 2020-12
		prefix = tuple
	}
	for i, v := range value {
		inner := append(slices.Clip(at), strconv.Itoa(i))
		if i < len(prefix) {
			w.child(prefix[i], v, inner, chain)
		}
		for _, keyword := range []string{"items", "additionalItems", "unevaluatedItems", "contains"} {
			if p, ok := s[keyword].(map[string]any); ok && (i >= len(prefix) || keyword == "contains") {
				w.child(p, v, inner, chain)
			}
		}
	}
}

func (w *walk) child(schema, value any, at []string, chain int) {
	w.out.known[pointer.Of(at...)] = true
	w.judge(schema, value, at, chain)
}

// Decode reads what was filled in: a JSON object, empty and null for nothing. Errors: Invalid, TooLarge.
func Decode(raw []byte) (map[string]any, error) {
	values, err := object(raw, MaxFilled)
	if err != nil {
		return nil, err
	}
	if err := measure(values, false); err != nil {
		return nil, fault.New(fault.Invalid, "form.Decode", "what is filled in cannot be read: %v", err)
	}
	if values == nil {
		values = map[string]any{}
	}
	return values, nil
}

// object decodes one; nil for empty and null.
func object(raw []byte, most int) (map[string]any, error) {
	if len(raw) > most {
		return nil, fault.New(fault.TooLarge, "form.Decode", "the form has more than %d bytes", most)
	}
	if len(raw) == 0 {
		return nil, nil
	}
	doc, ok := pointer.Decode(raw)
	values, isObject := doc.(map[string]any)
	switch {
	case !ok || doc != nil && !isObject:
		return nil, fault.New(fault.Invalid, "form.Decode", "what is filled in must be a JSON object")
	}
	return values, nil
}
