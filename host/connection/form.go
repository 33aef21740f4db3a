package connection

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/pointer"
	"github.com/frigg-host/frigg-host/host/requester"
	"github.com/frigg-host/frigg-host/host/secret"
)

// maxFormBytes bounds what a person fills in.
const maxFormBytes = 256 << 10

// emptyForm is shown where the person has nothing to fill in.
func emptyForm() *abi.Form {
	return &abi.Form{JSONSchema: json.RawMessage(`{"type":"object","properties":{}}`)}
}

// form is a JSON Schema of an object, ready to judge what a person filled in.
type form struct {
	fields map[string]map[string]any // schema of each property
	schema *jsonschema.Schema
}

func parseForm(f *abi.Form) (*form, error) {
	broken := func(err error) error {
		return fault.New(fault.Internal, "connection.Form", "the module's form is not a JSON Schema of an object").On(fault.Guest).With(err)
	}
	doc, ok := pointer.Decode(f.JSONSchema)
	root, isObject := doc.(map[string]any)
	if !ok || !isObject {
		return nil, broken(errors.New("not an object"))
	}
	out := &form{fields: map[string]map[string]any{}}
	properties, _ := root["properties"].(map[string]any)
	for name, p := range properties {
		out.fields[name], _ = p.(map[string]any)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	if err := c.AddResource("form.json", root); err != nil {
		return nil, broken(err)
	}
	var err error
	if out.schema, err = c.Compile("form.json"); err != nil {
		return nil, broken(err)
	}
	return out, nil
}

// noLoader keeps schemas away from files and the network.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s: references must stay inside the form", url)
}

// read checks what a person filled in and returns it as values. Fields that the form does not have are left out, and so are
// empty optional ones.
func (f *form) read(data map[string]any) (map[string]value, error) {
	text, err := json.Marshal(data)
	if err != nil || len(text) > maxFormBytes {
		return nil, fault.New(fault.TooLarge, "connection.Form", "the form has more than %d bytes", maxFormBytes)
	}
	doc, _ := pointer.Decode(text)
	given, _ := doc.(map[string]any)
	filled := map[string]any{}
	for name, schema := range f.fields {
		v, err := tidy(name, schema, given[name])
		if err != nil {
			return nil, err
		}
		if v != nil {
			filled[name] = v
		}
	}
	if err := f.schema.Validate(filled); err != nil {
		return nil, fault.New(fault.Invalid, "connection.Form", "%s", problems(err))
	}
	out := map[string]value{}
	for name, v := range filled {
		text, ok := pointer.Scalar(v)
		if !ok {
			b, _ := json.Marshal(v) // was decoded from JSON
			text = string(b)
		}
		out[name] = value{secret.NewText(text), asksForSecret(f.fields[name])}
	}
	return out, nil
}

// tidy gives a field its default, takes an empty text for nothing, and brings addresses into one form.
func tidy(name string, schema map[string]any, v any) (any, error) {
	if v == nil || v == "" {
		v = schema["default"]
	}
	text, isText := v.(string)
	if !isText || schema["format"] != "uri" {
		return v, nil
	}
	text = strings.TrimRight(strings.TrimSpace(text), "/")
	if _, err := requester.ParseTarget(text); err != nil {
		return nil, fault.New(fault.Invalid, "connection.Form", "%s must be an address such as https://example.com", name)
	}
	return text, nil
}

// asksForSecret reports that a field, or something inside it, is a password.
func asksForSecret(schema any) bool {
	switch s := schema.(type) {
	case map[string]any:
		if s["format"] == "password" {
			return true
		}
		for _, inner := range s {
			if asksForSecret(inner) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(s, asksForSecret)
	}
	return false
}

// problems says which fields do not fit and why, and never repeats what was filled in.
func problems(err error) string {
	var v *jsonschema.ValidationError
	if !errors.As(err, &v) {
		return "what was filled in does not fit the form"
	}
	const most = 10
	print := message.NewPrinter(language.English)
	var texts []string
	var walk func(e *jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		if len(e.Causes) == 0 && len(texts) < most {
			texts = append(texts, strings.TrimPrefix(strings.Join(e.InstanceLocation, ".")+": ", ": ")+reason(e, print))
		}
		for _, c := range e.Causes {
			walk(c)
		}
	}
	walk(v)
	return strings.Join(texts, "; ")
}

// reason names the keyword where the library's text would quote the value.
func reason(e *jsonschema.ValidationError, print *message.Printer) string {
	path := e.ErrorKind.KeywordPath()
	if len(path) == 0 {
		return "does not fit the form"
	}
	switch keyword := path[len(path)-1]; keyword {
	case "required", "type", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems":
		return e.ErrorKind.LocalizedString(print)
	default:
		return "does not satisfy " + keyword
	}
}
