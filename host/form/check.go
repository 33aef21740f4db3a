package form

import (
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/frigg-host/frigg-host/host/fault"
)

// Check returns fault.Invalid if values do not fit. The message names fields, below under if that is given, and reasons, never
// values. Internal on side Guest when it is the form that is wrong.
func (f *Form) Check(under string, values map[string]any) error {
	if f.root == nil {
		return nil
	}
	if _, err := f.Fields(values); err != nil {
		return err
	}
	schema, err := f.compile()
	if err != nil {
		return broken(err)
	}
	if err := validate(schema, values); err != nil {
		return fault.New(fault.Invalid, "form.Check", "%s", problems(under, err))
	}
	return nil
}

// CheckSoFar is Check where fields may still be missing; complete says that none is. An empty text is a missing one.
func (f *Form) CheckSoFar(under string, values map[string]any) (complete bool, err error) {
	complete = true
	for _, name := range f.required() {
		if v, ok := values[name]; !ok || v == "" {
			complete = false
		}
	}
	if f.root == nil {
		return complete, nil
	}
	return complete, f.unfinished().Check(under, values)
}

func (f *Form) compile() (schema *jsonschema.Schema, err error) {
	defer recovered(&err)
	all := &patterns{}
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	c.UseRegexpEngine(func(text string) (jsonschema.Regexp, error) {
		re, err := all.compile(text)
		if err != nil {
			return nil, err
		}
		return re, nil
	})
	if err := c.AddResource("form.json", f.root); err != nil {
		return nil, err
	}
	return c.Compile("form.json")
}

func validate(schema *jsonschema.Schema, values map[string]any) (err error) {
	defer recovered(&err)
	return schema.Validate(values)
}

// recovered makes an error of a panic: schemas are strangers' work, and the library is not ours.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = errors.New("the schema cannot be used")
	}
}

// noLoader keeps schemas away from files and the network.
type noLoader struct{}

func (noLoader) Load(string) (any, error) {
	return nil, errors.New("references must stay inside the form")
}

const (
	mostProblems = 10
	maxPlace     = 100 // bytes of the name of a place
)

// problems says which fields do not fit and why.
func problems(under string, err error) string {
	var v *jsonschema.ValidationError
	if !errors.As(err, &v) {
		return "what was filled in does not fit the form"
	}
	var texts []string
	var walk func(e *jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		if len(e.Causes) == 0 && len(texts) < mostProblems {
			texts = append(texts, place(under, e.InstanceLocation)+reason(e.ErrorKind))
		}
		for _, c := range e.Causes {
			walk(c)
		}
	}
	walk(v)
	return strings.Join(texts, "; ")
}

func place(under string, steps []string) string {
	if under != "" {
		steps = append([]string{under}, steps...)
	}
	if len(steps) == 0 {
		return ""
	}
	return clip(strings.Join(steps, ".")) + ": "
}

func clip(s string) string {
	if len(s) <= maxPlace {
		return s
	}
	return strings.ToValidUTF8(s[:maxPlace], "") + "…"
}

// reason is our own text for common keywords, since the library's would quote values, and the keyword's name for others.
func reason(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Required, *kind.Type:
		return k.LocalizedString(message.NewPrinter(language.English))
	case *kind.AdditionalProperties:
		return fmt.Sprintf("the form has no field %s", clip(strings.Join(k.Properties, ", ")))
	case *kind.MinLength:
		return fmt.Sprintf("needs at least %d characters", k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("has at most %d characters", k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("needs at least %d entries", k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("has at most %d entries", k.Want)
	case *kind.Minimum:
		return "must be at least " + k.Want.RatString()
	case *kind.Maximum:
		return "must be at most " + k.Want.RatString()
	}
	path := k.KeywordPath() // nil for `not` and for false
	if len(path) == 0 {
		return "does not fit the form"
	}
	return "does not satisfy " + path[0]
}
