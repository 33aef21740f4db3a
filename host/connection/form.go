package connection

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/form"
	"github.com/frigg-host/frigg-host/host/pointer"
	"github.com/frigg-host/frigg-host/host/requester"
	"github.com/frigg-host/frigg-host/host/secret"
)

// readForm checks what a person filled in and returns it as values. Fields that the form does not have are left out, and so
// are empty optional ones. A field is secret if anything inside it is.
func readForm(f *abi.Form, data map[string]any) (map[string]value, error) {
	if len(f.JSONSchema) == 0 {
		return nil, fault.New(fault.Internal, "connection.Form", "the module's form has no schema").On(fault.Guest)
	}
	parsed, err := form.Parse(f)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(data)
	if err != nil {
		return nil, fault.New(fault.Invalid, "connection.Form", "what is filled in must be JSON")
	}
	given, err := form.Decode(text)
	if err != nil {
		return nil, err
	}
	filled := map[string]any{}
	for name, schema := range parsed.Properties() {
		v, err := tidy(name, schema, given[name])
		if err != nil {
			return nil, err
		}
		if v != nil {
			filled[name] = v
		}
	}
	if err := parsed.Check("", filled); err != nil {
		return nil, err
	}
	fields, err := parsed.Fields(filled)
	if err != nil {
		return nil, err
	}
	return valuesOf(filled, fields.Secret()), nil
}

func valuesOf(filled map[string]any, secrets []string) map[string]value {
	out := map[string]value{}
	for name, v := range filled {
		text, ok := pointer.Scalar(v)
		if !ok {
			b, _ := json.Marshal(v) // was decoded from JSON
			text = string(b)
		}
		at := pointer.Of(name)
		hidden := slices.ContainsFunc(secrets, func(s string) bool { return s == at || strings.HasPrefix(s, at+"/") })
		out[name] = value{secret.NewText(text), hidden}
	}
	return out
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
