package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
)

const (
	// maxDecoded is how many bytes the lists, maps and structs of one message may take. Their texts take no more than they
	// do as JSON, but {} is two bytes of JSON and may be a struct of hundreds.
	maxDecoded = 16 << 20
	maxNesting = 200
)

// Decode decodes JSON of a guest into the message that into points to. What it takes is bounded by the codec of the message,
// or measured before: the error is fault.TooLarge on side Guest when that is far more than its JSON, else of package
// encoding/json.
func Decode(text []byte, into any) error {
	if m, ok := into.(abi.Decodable); ok && m.ReadJSON(text) {
		return nil
	}
	m := measure{text: text}
	m.value(reflect.TypeOf(into).Elem())
	if m.excess != "" {
		return &fault.Error{Kind: fault.TooLarge, Side: fault.Guest, Op: "plugin.Decode", Msg: m.excess}
	}
	return json.Unmarshal(text, into)
}

// measure walks over JSON beside the type that it will be decoded into and adds up what that takes. Text that is no JSON
// ends the walk; saying so is the decoder's work.
type measure struct {
	text   []byte
	at     int
	depth  int
	taken  uint64
	excess string // why the text is refused, "" if it is not
}

// value walks over one value. The type is nil where nothing is decoded: raw values and unknown fields. It reports whether
// the walk can go on.
func (m *measure) value(t reflect.Type) bool {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
		m.take(t, 0)
	}
	if t != nil && reflect.PointerTo(t).Implements(unmarshaler) {
		t = nil
	}
	switch m.peek() {
	case '{':
		return m.list('}', func() bool { return m.member(t) })
	case '[':
		return m.list(']', func() bool { return m.element(t) })
	case '"':
		_, ok := m.string()
		return ok
	}
	start := m.at
	for m.at < len(m.text) && strings.IndexByte(" \t\r\n,:]}[{\"", m.text[m.at]) < 0 {
		m.at++
	}
	return m.at > start
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// list walks over what is between brackets.
func (m *measure) list(end byte, item func() bool) bool {
	m.at++
	if m.depth++; m.depth > maxNesting {
		m.excess = fmt.Sprintf("its values are more than %d levels deep", maxNesting)
		return false
	}
	defer func() { m.depth-- }()
	if m.skip(end) {
		return true
	}
	for item() && m.excess == "" {
		if m.skip(end) {
			return true
		}
		if !m.skip(',') {
			return false
		}
	}
	return false
}

// element walks over one element of a list of type t.
func (m *measure) element(t reflect.Type) bool {
	if t == nil || t.Kind() != reflect.Slice {
		return m.value(nil)
	}
	m.take(t.Elem(), 0)
	return m.value(t.Elem())
}

// mapEntry is about what an entry of a map takes beside its value: its key, and the free places of the map.
const mapEntry = 48

// member walks over one member of an object of type t.
func (m *measure) member(t reflect.Type) bool {
	if m.peek() != '"' {
		return false
	}
	key, ok := m.string()
	if !ok || !m.skip(':') {
		return false
	}
	switch {
	case t == nil:
	case t.Kind() == reflect.Map:
		m.take(t.Elem(), mapEntry)
		return m.value(t.Elem())
	case t.Kind() == reflect.Struct:
		return m.value(field(t, key))
	}
	return m.value(nil)
}

// field is the type of the field that the decoder takes for a key, nil if there is none. It does not look at case.
func field(t reflect.Type, key []byte) reflect.Type {
	var name string
	if json.Unmarshal(key, &name) != nil { // it may be escaped
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); strings.EqualFold(tag, name) {
			return f.Type
		}
	}
	return nil
}

// take adds a value of a type and further bytes.
func (m *measure) take(t reflect.Type, more uint64) {
	if m.taken += uint64(t.Size()) + more; m.taken > maxDecoded {
		m.excess = fmt.Sprintf("it has so many elements that they take more than %d MiB", maxDecoded>>20)
	}
}

// peek is the next byte that is no space, 0 at the end.
func (m *measure) peek() byte {
	for ; m.at < len(m.text); m.at++ {
		switch c := m.text[m.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// skip goes past c if it is next.
func (m *measure) skip(c byte) bool {
	if m.peek() != c {
		return false
	}
	m.at++
	return true
}

// string goes past a string that is next and returns it with its quotes.
func (m *measure) string() ([]byte, bool) {
	start := m.at
	for m.at++; m.at < len(m.text); m.at++ {
		switch m.text[m.at] {
		case '\\':
			m.at++
		case '"':
			m.at++
			return m.text[start:m.at], true
		}
	}
	return nil, false
}

// shape says what is wrong with JSON without repeating its values.
func shape(err error) string {
	var t *json.UnmarshalTypeError
	if errors.As(err, &t) {
		return "field " + t.Field + " must be " + t.Type.String()
	}
	return "it is not JSON"
}
