package connection

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/requester"
	"github.com/frigg-host/frigg-host/host/secret"
)

// authorizer puts the secrets of one connection on one request, at the wire. Used by one goroutine.
type authorizer struct {
	c       *conn
	out     *outgoing
	renewed bool // no second renewal for one request
}

var _ requester.Authorizer = (*authorizer)(nil)

// Authorize implements requester.Authorizer.
func (a *authorizer) Authorize(_ context.Context, wire *requester.Outgoing) ([]secret.Text, error) {
	f := *a.out.filler
	f.values = a.c.values // those after a renewal
	for name, values := range a.out.guarded {
		wire.Header[name] = values
	}
	content := a.out.body.content
	if !a.out.plain {
		var err error
		if content, err = a.place(&f, wire); err != nil {
			return nil, err
		}
	}
	if p := a.out.client; p != nil {
		setBasic(wire.Header, url.QueryEscape(p.id.Reveal()), url.QueryEscape(p.secret.Reveal()))
	}
	if err := a.reveal(wire, content); err != nil {
		return nil, err
	}
	if f.operator && !a.c.hosts.trusts(wire.URL.String()) {
		return nil, fault.New(fault.Forbidden, "connection.Authorize",
			"a secret of the operator's would go to %s, which neither the module nor the operator names; module %s must ask the person for that secret, or let the operator set the address",
			wire.URL.Host, f.m.Name).On(fault.Guest)
	}
	all := slices.Concat(f.used, a.c.secrets(), a.out.handles.Secrets())
	if a.out.tokens {
		a.c.sent = all
		return nil, nil
	}
	return all, nil
}

// place puts the credential where the manifest says and returns the body.
func (a *authorizer) place(f *filler, wire *requester.Outgoing) ([]byte, error) {
	content := a.out.body.content
	for _, p := range f.m.auth.Apply {
		if p.In == abi.PlaceBasic {
			user, err := f.reveal(p.Username)
			if err != nil {
				return nil, err
			}
			password, err := f.reveal(p.Password)
			if err != nil {
				return nil, err
			}
			setBasic(wire.Header, user, password)
			continue
		}
		text, err := f.text(p.Value)
		if err != nil {
			return nil, err
		}
		switch p.In {
		case abi.PlaceHeader:
			wire.Header.Set(p.Name, text)
		case abi.PlaceQuery:
			wire.URL.RawQuery = withParameter(wire.URL.RawQuery, p.Name, text)
		case abi.PlaceBody:
			if content, err = a.placeInBody(wire, content, p.Name, text); err != nil {
				return nil, err
			}
		}
	}
	return content, nil
}

func (a *authorizer) placeInBody(wire *requester.Outgoing, content []byte, name, text string) ([]byte, error) {
	kind := a.out.body.contentType
	switch {
	case len(content) == 0 && (kind == "" || kind == "application/x-www-form-urlencoded"), kind == "application/x-www-form-urlencoded":
		wire.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return []byte(withParameter(string(content), name, text)), nil
	case kind == "application/json":
		var object map[string]json.RawMessage
		if err := json.Unmarshal(content, &object); err != nil || object == nil {
			return nil, guestFault(fault.Invalid, "the credential of this service goes into the body, which must be a JSON object")
		}
		object[name], _ = json.Marshal(text) // a string always encodes
		return marshal(object)
	}
	return nil, guestFault(fault.Invalid, "the credential of this service goes into the body, which must be a form or a JSON object")
}

// withParameter replaces a parameter of an encoded query or form.
func withParameter(encoded, name, text string) string {
	var kept strings.Builder
	for pair := range strings.SplitSeq(encoded, "&") {
		key, _, _ := strings.Cut(pair, "=")
		if decoded, err := url.QueryUnescape(key); pair != "" && (err != nil || decoded != name) {
			kept.WriteString(pair + "&")
		}
	}
	return kept.String() + url.QueryEscape(name) + "=" + url.QueryEscape(text)
}

// reveal puts secrets in place of handles in all of the request.
func (a *authorizer) reveal(wire *requester.Outgoing, content []byte) error {
	replace := a.out.handles.Replace
	path, err := replace(wire.URL.EscapedPath(), url.PathEscape)
	if err != nil {
		return err
	}
	if wire.URL.Path, err = url.PathUnescape(path); err != nil {
		return guestFault(fault.Invalid, "the path of the URL is not well escaped")
	}
	wire.URL.RawPath = path
	if wire.URL.RawQuery, err = replace(wire.URL.RawQuery, url.QueryEscape); err != nil {
		return err
	}
	for name, values := range wire.Header {
		fresh := make([]string, len(values))
		for i, v := range values {
			if fresh[i], err = replace(v, nil); err != nil {
				return err
			}
		}
		wire.Header[name] = fresh
	}
	wire.Body = content
	escape := a.out.body.escape
	if len(a.out.body.content) == 0 {
		escape = url.QueryEscape // a body that only the credential made is a form
	}
	if escape != nil && secret.HasHandle(string(content)) {
		text, err := replace(string(content), escape)
		if err != nil {
			return err
		}
		wire.Body = []byte(text)
	}
	return nil
}

func setBasic(h http.Header, user, password string) {
	h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
}

// Renew implements requester.Authorizer: after a 401 it sees to a better token, once.
func (a *authorizer) Renew(ctx context.Context, _ *requester.Response) (bool, error) {
	if a.renewed || a.out.plain || a.out.tokens {
		return false, nil
	}
	a.renewed = true
	return a.c.renew(ctx)
}
