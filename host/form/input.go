package form

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/pointer"
	"github.com/frigg-host/frigg-host/host/secret"
)

// maxRounds bounds how often a guest is asked for further forms of one input.
const maxRounds = 8

// Input is what a person filled in on a form of a guest, on its way to that guest, where secrets become handles.
//
// Which fields are secret only the guest's forms say, and a form may grow with what is filled in. So a field is told only
// after a form that has it was seen; fields that no form has are told last, when the guest knows everything else and still
// does not claim them.
type Input struct {
	values  map[string]any
	secrets map[string]bool // places, as forms say
	hidden  map[string]bool // places, as the caller says
	known   map[string]bool // top-level names
}

// ReadInput decodes what was filled in, up to MaxBytes; empty and null are nothing. Errors: Invalid, TooLarge.
func ReadInput(raw json.RawMessage) (*Input, error) {
	values, err := object(raw, MaxBytes)
	if err != nil {
		return nil, err
	}
	return NewInput(values), nil
}

// NewInput takes decoded values, which it does not change.
func NewInput(values map[string]any) *Input {
	return &Input{values: values, secrets: map[string]bool{}, hidden: map[string]bool{}, known: map[string]bool{}}
}

// Empty reports that nothing was filled in.
func (in *Input) Empty() bool { return len(in.values) == 0 }

// Learn takes in what a form says and reports whether it says anything new of this input.
func (in *Input) Learn(f *abi.Form) (more bool, err error) {
	parsed, err := Parse(f)
	if err != nil {
		return false, err
	}
	fields, err := parsed.Fields(in.values)
	if err != nil {
		return false, err
	}
	for _, at := range fields.Secret() {
		more = more || !in.secrets[at]
		in.secrets[at] = true
	}
	for name := range in.values {
		if fields.Knows(pointer.Of(name)) && !in.known[name] {
			in.known[name], more = true, true
		}
	}
	return more, nil
}

// Hide takes the texts at places for secrets, whatever forms say.
func (in *Input) Hide(places ...string) {
	for _, at := range places {
		in.hidden[at] = true
	}
}

// HideNamed takes texts in fields of these names, at any depth, for secrets, unless a form has their top-level field.
func (in *Input) HideNamed(names []string) {
	for top, v := range in.values {
		if !in.known[top] {
			in.hideNamed(names, v, top, top)
		}
	}
}

// hideNamed goes on in a field of this name; the elements of a list have the list's name.
func (in *Input) hideNamed(names []string, v any, name string, at ...string) {
	switch v := v.(type) {
	case string:
		if slices.Contains(names, name) {
			in.hidden[pointer.Of(at...)] = true
		}
	case map[string]any:
		for inner, w := range v {
			in.hideNamed(names, w, inner, append(slices.Clip(at), inner)...)
		}
	case []any:
		for i, w := range v {
			in.hideNamed(names, w, name, append(slices.Clip(at), strconv.Itoa(i))...)
		}
	}
}

// Told is the input for a guest: fields that its forms have, or all. issue gives the handle of the secret at a place. Nil if
// there is no input.
func (in *Input) Told(all bool, issue func(at string, t secret.Text) string) json.RawMessage {
	if in.values == nil {
		return nil
	}
	doc, _ := pointer.Decode(in.encode())
	told := doc.(map[string]any)
	for name := range told {
		if !all && !in.known[name] {
			delete(told, name)
		}
	}
	places := maps.Clone(in.secrets)
	maps.Copy(places, in.hidden)
	for _, at := range (Fields{secret: places}).Secret() {
		v, ok := pointer.At(told, at)
		if !ok || v == nil || v == "" {
			continue
		}
		text, ok := v.(string)
		if !ok {
			b, _ := json.Marshal(v) // was decoded from JSON
			text = string(b)
		}
		pointer.Set(told, at, issue(at, secret.NewText(text)))
	}
	b, _ := json.Marshal(told)
	return b
}

func (in *Input) encode() []byte {
	b, _ := json.Marshal(in.values) // was decoded from JSON
	return b
}

// Settle asks for a form again and again, with more fields each time, until it says nothing new of the input, and returns
// the last one. ask is given what Told is to be asked for.
func (in *Input) Settle(ask func(all bool) (abi.Form, error)) (abi.Form, error) {
	all := in.claimed()
	for round := 0; ; round++ {
		f, err := ask(all)
		if err != nil {
			return abi.Form{}, err
		}
		more, err := in.Learn(&f)
		switch {
		case err != nil:
			return abi.Form{}, err
		case round == maxRounds, all && !more:
			return f, nil
		case !more:
			all = true
		default:
			all = in.claimed()
		}
	}
}

// claimed reports that forms have every field.
func (in *Input) claimed() bool { return len(in.known) == len(in.values) }

// Secret lists the places that forms call secret, outer ones before inner ones.
func (in *Input) Secret() []string { return Fields{secret: in.secrets}.Secret() }
