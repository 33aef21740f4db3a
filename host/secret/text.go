// Package secret keeps secrets: the type that cannot print, sealing and opening with one data key per owner, and the root key.
//
// It does not know what the secrets are for. Everything here is safe for concurrent use.
package secret

import "crypto/subtle"

const redacted = "[secret]"

// Text is a secret string. It prints as "[secret]" under every verb and in every encoder, also inside other structs;
// only Reveal gives the value. The zero value is the empty secret.
type Text struct{ p *string }

// NewText takes ownership of nothing: strings are immutable.
func NewText(s string) Text { return Text{&s} }

// Reveal returns the value. Callers are few and greppable: authorizers and sealers.
func (t Text) Reveal() string {
	if t.p == nil {
		return ""
	}
	return *t.p
}

// IsZero reports whether the secret is empty.
func (t Text) IsZero() bool { return t.Reveal() == "" }

// Equal compares in constant time.
func (t Text) Equal(o Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(o.Reveal())) == 1
}

func (Text) String() string               { return redacted }
func (Text) GoString() string             { return redacted }
func (Text) MarshalText() ([]byte, error) { return []byte(redacted), nil }
