package connection

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/pointer"
	"github.com/frigg-host/frigg-host/host/requester"
	"github.com/frigg-host/frigg-host/host/secret"
)

// bareConn is a connection without anything around it.
func bareConn(m *abi.Manifest, form, credential map[string]string, now time.Time) *conn {
	d := abi.ManifestDefaults(m)
	mod := &module{Plugin: &plugin.Plugin{Name: m.Name, Manifest: *m}, name: "Acme", auth: d.Auth, api: d.API, settings: map[string]value{
		"client_id": public("id"), "client_secret": hidden("settings-secret"),
	}}
	v := values{form: map[string]value{}, credential: map[string]value{}}
	for name, text := range form {
		v.form[name] = public(text)
	}
	for name, text := range credential {
		v.credential[name] = hidden(text)
	}
	s := New(Config{Now: func() time.Time { return now }})
	return s.newConn(mod, "usr_1", v)
}

// ReadTokenAnswer reads an answer of a token endpoint: what was kept that is secret, what is not, and when it is renewed.
func ReadTokenAnswer(m *abi.Manifest, status int, body []byte, now time.Time) (hiddenValues, visible map[string]string, expires, renew time.Time, err error) {
	c := bareConn(m, nil, nil, now)
	g, err := c.readGrant(&requester.Response{Status: status, Body: body})
	if err != nil {
		return nil, nil, time.Time{}, time.Time{}, err
	}
	hiddenValues = map[string]string{}
	for name, v := range g.values {
		if v.secret {
			hiddenValues[name] = v.text.Reveal()
		}
	}
	return hiddenValues, values{credential: g.values}.visible(), g.expiresAt, g.renewAt, nil
}

// FillURL fills an address with form values; secrets are those of a credential.
func FillURL(template string, form, credential map[string]string) (string, error) {
	return bareConn(&abi.Manifest{Name: "m", Auth: &abi.Auth{Kind: abi.AuthKindNone}}, form, credential, time.Time{}).fill().url(template)
}

// Address is where a guest's URL leads below a base URL.
func Address(base, raw string) (string, error) {
	return bareConn(&abi.Manifest{Name: "m", Auth: &abi.Auth{Kind: abi.AuthKindNone}, API: &abi.API{BaseURL: base}}, nil, nil, time.Time{}).fill().address(raw)
}

// HostRules are the rules of claims and whether a person named the server.
func HostRules(claims []string, form map[string]string) map[string]bool {
	m := &abi.Manifest{Name: "m", Auth: &abi.Auth{Kind: abi.AuthKindNone}}
	for _, c := range claims {
		m.Hosts = append(m.Hosts, abi.HostClaim{Host: c})
	}
	h := bareConn(m, form, nil, time.Time{}).hosts
	out := map[string]bool{}
	for _, r := range h.rules {
		out[r.String()] = !slices.Contains(h.fixed, r)
	}
	return out
}

// ReadForm reads what a person filled in: texts and whether they are secret.
func ReadForm(schema json.RawMessage, data map[string]any) (map[string]string, map[string]bool, error) {
	values, err := readForm(&abi.Form{JSONSchema: schema}, data)
	texts, secrets := map[string]string{}, map[string]bool{}
	for name, v := range values {
		texts[name], secrets[name] = v.text.Reveal(), v.secret
	}
	return texts, secrets, err
}

// TextAt is the text at a JSON pointer.
func TextAt(doc, path string) (string, bool) {
	v, _ := pointer.Decode([]byte(doc))
	return pointer.Text(v, path)
}

// Value makes a value to print.
func Value(text string) any { return value{secret.NewText(text), true} }
