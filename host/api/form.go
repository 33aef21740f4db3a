package api

import (
	"bytes"
	"encoding/json"

	"github.com/danielgtaylor/huma/v2"
	"github.com/frigg-host/frigg-host/abi"
)

// Form is what a person fills in.
type Form struct {
	JSONSchema Object `json:"jsonSchema" doc:"JSON Schema of an object." example:"{\"type\":\"object\",\"properties\":{\"apiKey\":{\"type\":\"string\",\"format\":\"password\",\"title\":\"API key\"}},\"required\":[\"apiKey\"]}"`
	UISchema   Object `json:"uiSchema" doc:"Layout for JSON Forms and the like; {} when there is none." example:"{\"type\":\"VerticalLayout\",\"elements\":[]}"`
}

func newForm(f abi.Form) Form { return Form{Object(f.JSONSchema), Object(f.UISchema)} }

// Object is a JSON object that is passed on as it came.
type Object json.RawMessage

// MarshalJSON writes nothing as {}.
func (o Object) MarshalJSON() ([]byte, error) {
	if len(o) == 0 {
		return []byte(`{}`), nil
	}
	return o, nil
}

// UnmarshalJSON keeps a copy; what does not fit is for the use case to say.
func (o *Object) UnmarshalJSON(text []byte) error {
	*o = bytes.Clone(text)
	return nil
}

// Schema describes any object.
func (Object) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Type: huma.TypeObject} }
