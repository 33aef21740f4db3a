package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/frigg-host/frigg-host/abi"
)

// Form is a form-encoded body. Nested values are written with brackets, as Stripe and many others read them:
// {"metadata": {"issue": 5}} becomes metadata[issue]=5, a list of texts or numbers expand[]=a&expand[]=b, and a list of
// objects items[0][price]=p. Null is left out; to empty a field send an empty text.
type Form struct {
	Value any // a struct with json tags, or a map
}

// Multipart is a multipart/form-data body.
type Multipart []Part

// Part is one part of a multipart body; a FileName makes it a file.
type Part struct {
	Name, FileName, ContentType string
	Content                     []byte
}

// Text is a body of text with its content type.
type Text struct {
	ContentType string
	Text        string
}

// Bytes is a raw body with its content type.
type Bytes struct {
	ContentType string
	Bytes       []byte
}

func setBody(m *abi.HTTPRequest, body any) (err error) {
	switch b := body.(type) {
	case nil:
	case Form:
		m.Form, err = pairs(b.Value)
	case Multipart:
		for _, p := range b {
			m.Parts = append(m.Parts, abi.Part{Name: p.Name, FileName: p.FileName, ContentType: p.ContentType, Bytes: p.Content})
		}
	case Text:
		m.Text = b.Text
		setContentType(m, b.ContentType)
	case Bytes:
		m.Bytes = b.Bytes
		setContentType(m, b.ContentType)
	default:
		m.JSON, err = json.Marshal(b)
	}
	return err
}

func setContentType(m *abi.HTTPRequest, contentType string) {
	headers := map[string]string{"content-type": contentType}
	for k, v := range m.Headers {
		headers[k] = v
	}
	m.Headers = headers
}

// pairs flattens a value in the order of its JSON.
func pairs(value any) ([]abi.Pair, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	f := flattener{dec: json.NewDecoder(bytes.NewReader(text))}
	f.dec.UseNumber()
	first, err := f.dec.Token()
	if err != nil {
		return nil, err
	}
	if first != json.Delim('{') {
		return nil, errors.New("a form body must be a struct or a map")
	}
	err = f.object("")
	return f.pairs, err
}

type flattener struct {
	dec   *json.Decoder
	pairs []abi.Pair
}

// object reads the fields behind an opening brace.
func (f *flattener) object(name string) error {
	for f.dec.More() {
		key, err := f.dec.Token()
		if err != nil {
			return err
		}
		field := key.(string)
		if name != "" {
			field = name + "[" + field + "]"
		}
		if err := f.value(field, field); err != nil {
			return err
		}
	}
	_, err := f.dec.Token()
	return err
}

// list reads the items behind an opening bracket.
func (f *flattener) list(name string) error {
	for i := 0; f.dec.More(); i++ {
		if err := f.value(name+"[]", fmt.Sprintf("%s[%d]", name, i)); err != nil {
			return err
		}
	}
	_, err := f.dec.Token()
	return err
}

// value writes a plain value under one name and goes into others under the other.
func (f *flattener) value(plain, nested string) error {
	t, err := f.dec.Token()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch t {
	case json.Delim('{'):
		return f.object(nested)
	case json.Delim('['):
		return f.list(nested)
	case nil:
		return nil
	}
	f.pairs = append(f.pairs, abi.Pair{Name: plain, Value: fmt.Sprint(t)})
	return nil
}
