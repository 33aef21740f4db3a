package connection

import (
	"errors"
	"net/url"
	"regexp"
	"strings"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/requester"
	"github.com/frigg-host/frigg-host/host/secret"
)

// filler fills templates of one manifest with the values of one connection. Secrets become handles, which the authorizer
// replaces where the request goes to the wire. Not for concurrent use.
type filler struct {
	m       *module
	values  values
	webhook map[string]value // of a subscription
	handles *secret.Handles
	// used are the secrets that were filled in. operator is set once one of them was the operator's, which must not go to a
	// server that a person named.
	used     []secret.Text
	operator bool
}

func (f *filler) lookup(scope, name string) (value, bool) {
	var v value
	var ok bool
	switch scope {
	case abi.ScopeSettings:
		v, ok = f.m.settings[name]
		f.operator = f.operator || v.secret
	case abi.ScopeForm:
		v, ok = f.values.form[name]
	case abi.ScopeCredential:
		v, ok = f.values.credential[name]
	case abi.ScopeCallback:
		v, ok = f.values.callback[name]
	case abi.ScopeWebhook:
		v, ok = f.webhook[name]
	}
	if v.secret {
		f.used = append(f.used, v.text)
	}
	return v, ok
}

// fill puts into place what put makes of each value.
func (f *filler) fill(template string, put func(before string, v value) (string, error)) (string, error) {
	t, err := abi.ParseTemplate(template)
	if err != nil {
		return "", f.broken(err)
	}
	var found []value
	marked, err := t.Fill(func(scope, name string) (string, bool) {
		v, ok := f.lookup(scope, name)
		found = append(found, v)
		return "\x00", ok
	}, nil)
	if err != nil {
		return "", f.broken(err)
	}
	var b strings.Builder
	for i, literal := range strings.Split(marked, "\x00") {
		if i > 0 && i <= len(found) {
			text, err := put(b.String(), found[i-1])
			if err != nil {
				return "", err
			}
			b.WriteString(text)
		}
		b.WriteString(literal)
	}
	return b.String(), nil
}

// broken says what is missing, and whose business that is.
func (f *filler) broken(err error) error {
	var missing *abi.MissingError
	if !errors.As(err, &missing) {
		return fault.New(fault.Internal, "connection.Fill", "the manifest of module %s has a template that cannot be read", f.m.Name).On(fault.Guest).With(err)
	}
	switch missing.Ref.Scope {
	case abi.ScopeSettings:
		return fault.New(fault.Unavailable, "connection.Fill", "the operator has not set %q of module %s yet", missing.Ref.Name, f.m.Name)
	case abi.ScopeForm:
		return fault.New(fault.Invalid, "connection.Fill", "%s needs %q, which was not filled in; authorise again", f.m.name, missing.Ref.Name)
	}
	return fault.New(fault.Unavailable, "connection.Fill", "%s has not given %q, which module %s needs; authorise again", f.m.name, missing.Ref.Name, f.m.Name).On(fault.Remote)
}

// text fills a header, query value or field. Secrets become handles.
func (f *filler) text(template string) (string, error) {
	return f.fill(template, func(_ string, v value) (string, error) {
		if v.secret {
			return f.handles.Issue(v.text), nil
		}
		return v.text.Reveal(), nil
	})
}

// plain fills a text that people may see: a secret in it is a fault.
func (f *filler) plain(template string) (string, error) {
	return f.fill(template, func(_ string, v value) (string, error) {
		if v.secret {
			return "", f.misplaced()
		}
		return v.text.Reveal(), nil
	})
}

func (f *filler) misplaced() error {
	return fault.New(fault.Internal, "connection.Fill", "the manifest of module %s puts a secret where it could be read", f.m.Name).On(fault.Guest)
}

// url fills an address. A value at the start stands for scheme and host, one inside the host for a part of its name; behind
// that values are escaped.
func (f *filler) url(template string) (string, error) {
	return f.fill(template, func(before string, v value) (string, error) {
		if v.secret {
			return "", f.misplaced()
		}
		text := v.text.Reveal()
		switch {
		case before == "":
			return baseAddress(text)
		case inAuthority(before):
			if !hostPart.MatchString(text) {
				return "", badAddress(text, "is not a part of a host name")
			}
			return text, nil
		case strings.ContainsRune(before, '?') && !strings.ContainsRune(before, '#'):
			return url.QueryEscape(text), nil
		case text == "." || text == "..":
			return "", badAddress(text, "cannot be a part of a path")
		}
		return url.PathEscape(text), nil
	})
}

var hostPart = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,253}(:[0-9]{1,5})?$`)

// inAuthority reports that what comes next belongs to the host of a URL.
func inAuthority(before string) bool {
	_, rest, found := strings.Cut(before, "://")
	return found && !strings.ContainsAny(rest, "/?#")
}

// baseAddress checks the address of a server and takes the trailing slash off.
func baseAddress(text string) (string, error) {
	t, err := requester.ParseTarget(text)
	if err != nil {
		return "", badAddress(text, "is not an address such as https://example.com")
	}
	if u := t.URL(); u.RawQuery != "" || strings.ContainsAny(text, "?#") || hasDotSegment(u.EscapedPath()) {
		return "", badAddress(text, "must be an address without a query")
	}
	return strings.TrimRight(t.String(), "/"), nil
}

func badAddress(text, why string) error {
	return fault.New(fault.Invalid, "connection.Fill", "%q %s", clip(text, 100), why)
}

// hasDotSegment reports whether some reader of an escaped path could walk upwards in it.
func hasDotSegment(escaped string) bool {
	for range 2 { // as it stands and decoded once
		for _, segment := range strings.FieldsFunc(escaped, func(r rune) bool { return r == '/' || r == '\\' }) {
			segment, _, _ = strings.Cut(segment, ";")
			if segment == "." || segment == ".." {
				return true
			}
		}
		decoded, err := url.PathUnescape(escaped)
		if err != nil {
			return true
		}
		escaped = decoded
	}
	return false
}

// reveal fills a template with the secrets themselves, for what is encoded before it is sent.
func (f *filler) reveal(template string) (string, error) {
	return f.fill(template, func(_ string, v value) (string, error) { return v.text.Reveal(), nil })
}
