package abi

import (
	"fmt"
	"strings"
)

// Scopes of template references.
const (
	ScopeSettings   = "settings"   // operator's settings
	ScopeForm       = "form"       // what the person typed
	ScopeCredential = "credential" // what the vendor's token answer gave
	ScopeCallback   = "callback"   // query of the redirect
	ScopeWebhook    = "webhook"    // address, secret and the like of a webhook that is subscribed to
)

// Ref names a value from outside, written {{scope.name}} in a template.
type Ref struct{ Scope, Name string }

func (r Ref) String() string { return "{{" + r.Scope + "." + r.Name + "}}" }

// MissingError says that a template could not be filled because nobody has this value.
type MissingError struct{ Ref Ref }

func (e *MissingError) Error() string { return "there is no value for " + e.Ref.String() }

// Template is a parsed text with references. It is immutable; the zero value is the empty text.
type Template struct{ pieces []piece }

// piece is a literal text, then a reference unless ref is zero.
type piece struct {
	text string
	ref  Ref
}

// ParseTemplate reads a text in which {{scope.name}} stands for a value. There is nothing else: no spaces inside the
// braces, no nesting, no escapes; a single brace and a closing pair without an opening one are literal.
func ParseTemplate(text string) (Template, error) {
	var t Template
	for text != "" {
		literal, rest, found := strings.Cut(text, "{{")
		if !found {
			t.pieces = append(t.pieces, piece{text: text})
			break
		}
		inside, after, closed := strings.Cut(rest, "}}")
		if !closed {
			return Template{}, fmt.Errorf("%q is never closed; write {{scope.name}}", "{{"+clip(rest))
		}
		ref, err := parseRef(inside)
		if err != nil {
			return Template{}, err
		}
		t.pieces = append(t.pieces, piece{literal, ref})
		text = after
	}
	return t, nil
}

func parseRef(s string) (Ref, error) {
	scope, name, dotted := strings.Cut(s, ".")
	if !dotted || !isRefName(name) {
		return Ref{}, fmt.Errorf("%q is not a reference; write {{scope.name}} without spaces, for example {{settings.client_id}}", "{{"+clip(s)+"}}")
	}
	switch scope {
	case ScopeSettings, ScopeForm, ScopeCredential, ScopeCallback, ScopeWebhook:
		return Ref{scope, name}, nil
	}
	return Ref{}, fmt.Errorf("{{%s.%s}}: there is no scope %q; use settings, form, credential, callback or webhook", clip(scope), clip(name), clip(scope))
}

// isRefName reports whether s can be the name of a value: 1 to 128 letters, digits, dashes and underscores.
func isRefName(s string) bool {
	for _, c := range []byte(s) {
		if !isAlnum(c) && c != '_' && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 128
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// clip keeps texts from outside short in messages.
func clip(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// Refs lists the references in order of appearance, repetitions included.
func (t Template) Refs() []Ref {
	var refs []Ref
	for _, p := range t.pieces {
		if p.ref != (Ref{}) {
			refs = append(refs, p.ref)
		}
	}
	return refs
}

// Fill puts values in place of references. Each value goes through escape (nil leaves it as it is); literal text does
// not. The error is a *MissingError when value does not know a reference.
func (t Template) Fill(value func(scope, name string) (string, bool), escape func(string) string) (string, error) {
	var b strings.Builder
	for _, p := range t.pieces {
		b.WriteString(p.text)
		if p.ref == (Ref{}) {
			continue
		}
		v, ok := value(p.ref.Scope, p.ref.Name)
		if !ok {
			return "", &MissingError{p.ref}
		}
		if escape != nil {
			v = escape(v)
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

// String is the text that was parsed.
func (t Template) String() string {
	var b strings.Builder
	for _, p := range t.pieces {
		b.WriteString(p.text)
		if p.ref != (Ref{}) {
			b.WriteString(p.ref.String())
		}
	}
	return b.String()
}
