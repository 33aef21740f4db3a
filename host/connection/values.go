package connection

import (
	"encoding/json"
	"maps"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
)

// value is one value of a connection. It cannot print, secret or not.
type value struct {
	text   secret.Text
	secret bool
}

func public(s string) value { return value{text: secret.NewText(s)} }
func hidden(s string) value { return value{text: secret.NewText(s), secret: true} }

// Names of the values that every token answer gives.
const (
	accessToken  = "access_token"
	refreshToken = "refresh_token"
	idToken      = "id_token"
	grantedScope = "scope"
)

// values is all that a connection consists of: what the person typed, what the vendor gave, what the redirect brought. The maps
// are never changed once others can see them.
type values struct {
	form, credential, callback map[string]value
}

// with returns a copy in which more replaces values of the credential.
func (v values) with(more map[string]value) values {
	v.credential = maps.Clone(v.credential)
	if v.credential == nil {
		v.credential = map[string]value{}
	}
	maps.Copy(v.credential, more)
	return v
}

// token returns a value of the credential, empty if there is none.
func (v values) token(name string) secret.Text { return v.credential[name].text }

// visible is what guests may read.
func (v values) visible() map[string]string {
	out := map[string]string{}
	for _, m := range []map[string]value{v.form, v.credential} {
		for name, val := range m {
			if !val.secret {
				out[name] = val.text.Reveal()
			}
		}
	}
	return out
}

// secrets lists what nobody may read.
func (v values) secrets() []secret.Text {
	var out []secret.Text
	for _, m := range []map[string]value{v.form, v.credential, v.callback} {
		for _, val := range m {
			if val.secret && !val.text.IsZero() {
				out = append(out, val.text)
			}
		}
	}
	return out
}

// sealed is the form in which values are encrypted.
type sealed struct {
	Form       map[string]sealedValue `json:"form,omitempty"`
	Credential map[string]sealedValue `json:"credential,omitempty"`
	Callback   map[string]sealedValue `json:"callback,omitempty"`
}

type sealedValue struct {
	Text   string `json:"text"`
	Secret bool   `json:"secret,omitempty"`
}

// encode returns all values in clear, for sealing only.
func (v values) encode() (secret.Text, error) {
	text, err := json.Marshal(sealed{bare(v.form), bare(v.credential), bare(v.callback)})
	if err != nil {
		return secret.Text{}, fault.New(fault.Internal, "connection.Seal", "the values could not be encoded")
	}
	return secret.NewText(string(text)), nil
}

func decodeValues(text secret.Text) (values, error) {
	var s sealed
	if err := json.Unmarshal([]byte(text.Reveal()), &s); err != nil {
		return values{}, fault.New(fault.Internal, "connection.Open", "the values of a credential could not be decoded")
	}
	return values{covered(s.Form), covered(s.Credential), covered(s.Callback)}, nil
}

func bare(m map[string]value) map[string]sealedValue {
	out := make(map[string]sealedValue, len(m))
	for name, v := range m {
		out[name] = sealedValue{v.text.Reveal(), v.secret}
	}
	return out
}

func covered(m map[string]sealedValue) map[string]value {
	out := make(map[string]value, len(m))
	for name, v := range m {
		out[name] = value{secret.NewText(v.Text), v.Secret}
	}
	return out
}
