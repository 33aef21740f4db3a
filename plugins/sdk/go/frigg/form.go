package frigg

import (
	"encoding/json"

	"github.com/frigg-host/frigg-host/abi"
)

// Form asks a person for values. It becomes a JSON Schema of an object and a JSON Forms layout with one control below the
// other.
type Form struct {
	Title  string
	Help   string
	Fields []Field
}

// Field asks for one value.
type Field struct {
	Name  string
	Title string
	Help  string
	// Type is the JSON type: "string" (the default), "integer", "number", "boolean".
	Type string
	// Format narrows a string: "password" (the plugin gets a Handle, never the text), "uri", "email", "date".
	Format   string
	Required bool
	// Default is what the form shows before the person types.
	Default any
	// Placeholder is shown in the empty field.
	Placeholder string
	// Options are the values to choose from.
	Options []Option
	// Min and Max bound a number.
	Min, Max *float64
	// MaxLength bounds a string; zero means unbounded.
	MaxLength int
}

// Option is a value to choose, and how people see it; an empty Title shows the value.
type Option struct {
	Value string `json:"const"`
	Title string `json:"title"`
}

// Options makes options of plain values.
func Options(values ...string) []Option {
	options := make([]Option, len(values))
	for i, v := range values {
		options[i] = Option{Value: v, Title: v}
	}
	return options
}

type schema struct {
	Type       string              `json:"type"`
	Title      string              `json:"title,omitempty"`
	Help       string              `json:"description,omitempty"`
	Properties map[string]property `json:"properties"`
	Required   []string            `json:"required,omitempty"`
}

type property struct {
	Type      string   `json:"type"`
	Title     string   `json:"title,omitempty"`
	Help      string   `json:"description,omitempty"`
	Format    string   `json:"format,omitempty"`
	Default   any      `json:"default,omitempty"`
	Enum      []string `json:"enum,omitempty"`
	OneOf     []Option `json:"oneOf,omitempty"`
	Min       *float64 `json:"minimum,omitempty"`
	Max       *float64 `json:"maximum,omitempty"`
	MinLength int      `json:"minLength,omitempty"`
	MaxLength int      `json:"maxLength,omitempty"`
}

type layout struct {
	Type     string    `json:"type"`
	Elements []control `json:"elements"`
}

type control struct {
	Type    string            `json:"type"`
	Scope   string            `json:"scope"`
	Label   string            `json:"label,omitempty"`
	Options map[string]string `json:"options,omitempty"`
}

// Message encodes the form as the contract writes it.
func (f Form) Message() (abi.Form, error) {
	s := schema{Type: "object", Title: f.Title, Help: f.Help, Properties: map[string]property{}}
	l := layout{Type: "VerticalLayout", Elements: []control{}}
	for _, field := range f.Fields {
		s.Properties[field.Name] = field.property()
		if field.Required {
			s.Required = append(s.Required, field.Name)
		}
		l.Elements = append(l.Elements, field.control())
	}
	data, err := json.Marshal(s)
	if err != nil {
		return abi.Form{}, err
	}
	ui, err := json.Marshal(l)
	return abi.Form{JSONSchema: data, UISchema: ui}, err
}

func (f Field) property() property {
	p := property{Type: f.Type, Title: f.Title, Help: f.Help, Format: f.Format, Default: f.Default, Min: f.Min, Max: f.Max, MaxLength: f.MaxLength}
	if p.Type == "" {
		p.Type = "string"
	}
	if f.Required && p.Type == "string" {
		p.MinLength = 1
	}
	titled := false
	for _, o := range f.Options {
		titled = titled || o.Title != "" && o.Title != o.Value
	}
	for _, o := range f.Options {
		if !titled {
			p.Enum = append(p.Enum, o.Value)
			continue
		}
		if o.Title == "" {
			o.Title = o.Value
		}
		p.OneOf = append(p.OneOf, o)
	}
	return p
}

func (f Field) control() control {
	c := control{Type: "Control", Scope: "#/properties/" + f.Name, Label: f.Title, Options: map[string]string{}}
	if f.Format == "password" {
		c.Options["format"] = "password"
	}
	if f.Placeholder != "" {
		c.Options["placeholder"] = f.Placeholder
	}
	return c
}
