// Package pointer reads JSON by JSON pointers (RFC 6901): tokens in answers of vendors, ids in webhooks, fields of forms.
//
// It does not know what the documents are. Functions change nothing but the document that Set is given.
package pointer

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"strings"
)

// Decode reads one JSON value; numbers stay as they are written (json.Number).
func Decode(b []byte) (any, bool) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil, false
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, false
	}
	return v, true
}

var (
	escaper   = strings.NewReplacer("~", "~0", "/", "~1")
	unescaper = strings.NewReplacer("~1", "/", "~0", "~")
)

// Of is the pointer that goes these steps.
func Of(steps ...string) string {
	var b strings.Builder
	for _, s := range steps {
		b.WriteString("/" + escaper.Replace(s))
	}
	return b.String()
}

// Steps are the unescaped steps of a pointer. False for a text that is none.
func Steps(pointer string) ([]string, bool) {
	if pointer == "" {
		return nil, true
	}
	if pointer[0] != '/' {
		return nil, false
	}
	steps := strings.Split(pointer[1:], "/")
	for i, s := range steps {
		steps[i] = unescaper.Replace(s)
	}
	return steps, true
}

// At finds what a pointer points to; null is found too.
func At(doc any, pointer string) (any, bool) {
	steps, ok := Steps(pointer)
	if !ok {
		return nil, false
	}
	for _, s := range steps {
		if doc, ok = child(doc, s); !ok {
			return nil, false
		}
	}
	return doc, true
}

func child(doc any, step string) (any, bool) {
	switch v := doc.(type) {
	case map[string]any:
		next, ok := v[step]
		return next, ok
	case []any:
		if i, ok := index(step, len(v)); ok {
			return v[i], true
		}
	}
	return nil, false
}

// index of a list: digits without leading zeros.
func index(step string, n int) (int, bool) {
	i, err := strconv.Atoi(step)
	return i, err == nil && i >= 0 && i < n && step == strconv.Itoa(i)
}

// Set puts v where a pointer points to: a member of an object that is there, or an element of a list. It reports whether
// there was such a place; the root is none.
func Set(doc any, pointer string, v any) bool {
	steps, ok := Steps(pointer)
	if !ok || len(steps) == 0 {
		return false
	}
	last := steps[len(steps)-1]
	for _, s := range steps[:len(steps)-1] {
		if doc, ok = child(doc, s); !ok {
			return false
		}
	}
	switch parent := doc.(type) {
	case map[string]any:
		parent[last] = v
		return true
	case []any:
		i, ok := index(last, len(parent))
		if ok {
			parent[i] = v
		}
		return ok
	}
	return false
}

// Remove takes away what a pointer points to: a member of an object goes, an element of a list becomes null, so that the
// others keep their places.
func Remove(doc any, pointer string) {
	steps, ok := Steps(pointer)
	if !ok || len(steps) == 0 {
		return
	}
	last := len(steps) - 1
	parent, _ := At(doc, Of(steps[:last]...))
	if object, ok := parent.(map[string]any); ok {
		delete(object, steps[last])
		return
	}
	Set(doc, pointer, nil)
}

// Text is the text form of a scalar: a string without quotes, a number or boolean as written. Null, objects and lists have
// none.
func Text(doc any, pointer string) (string, bool) {
	v, ok := At(doc, pointer)
	if !ok {
		return "", false
	}
	return Scalar(v)
}

// Scalar is the text form of a decoded scalar.
func Scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}
