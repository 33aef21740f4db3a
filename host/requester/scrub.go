package requester

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/frigg-host/frigg-host/host/secret"
)

const (
	redacted = "[secret]"
	// minSecretBytes: what is shorter cannot be told from ordinary text, and can be guessed anyway.
	minSecretBytes = 4
	// minCoreBytes is how much of a base64 text must be settled by the secret before a match means something.
	minCoreBytes = 8
)

// scrubber removes secrets from what comes back: as they are, percent-encoded, escaped for JSON or HTML (any mixture of these),
// and inside base64 at any offset, as in basic authentication. It is against careless echoes; a vendor who is in league with
// the plugin knows the secret anyway. Not for concurrent use.
type scrubber struct {
	known map[string]bool
	forms []form
	names []string // lower-case secrets, for header names
}

// form is one way in which a secret can be written: a literal or, where characters have several spellings, an expression.
type form struct {
	literal string
	re      *regexp.Regexp
}

func (s *scrubber) add(secrets []secret.Text) {
	for _, t := range secrets {
		v := t.Reveal()
		if len(v) < minSecretBytes || s.known[v] {
			continue
		}
		if s.known == nil {
			s.known = map[string]bool{}
		}
		s.known[v] = true
		s.names = append(s.names, strings.ToLower(v))
		s.forms = append(s.forms, formOf(v))
		for _, core := range base64Cores(v) {
			s.forms = append(s.forms, formOf(core))
		}
	}
	// A secret that contains another goes first, or its rest would stay.
	slices.SortStableFunc(s.forms, func(a, b form) int { return cmp.Compare(len(b.literal), len(a.literal)) })
}

// formOf keeps the plain value as the literal, also of an expression: for the order, and when no expression can be made.
func formOf(v string) form {
	f := form{literal: v}
	var pattern strings.Builder
	plain := true
	for _, r := range v {
		spellings := spell(r)
		plain = plain && len(spellings) == 1
		pattern.WriteString("(?:" + strings.Join(spellings, "|") + ")")
	}
	if !plain && utf8.ValidString(v) {
		f.re, _ = regexp.Compile(pattern.String()) // an error means that it is too large
	}
	return f
}

// spell returns regular expressions for the ways in which a character is written. Characters that no encoder touches
// (RFC 3986 "unreserved") have one.
func spell(r rune) []string {
	self := regexp.QuoteMeta(string(r))
	if r < utf8.RuneSelf && (isToken(string(r)) && strings.IndexRune("!#$%&'*+^`|", r) < 0) {
		return []string{self}
	}
	var percent, unicode strings.Builder
	for _, b := range []byte(string(r)) {
		fmt.Fprintf(&percent, "%%%02x", b)
	}
	for _, u := range utf16.Encode([]rune{r}) {
		fmt.Fprintf(&unicode, `\\u%04x`, u)
	}
	all := []string{self, "(?i:" + percent.String() + ")", "(?i:" + unicode.String() + ")", fmt.Sprintf("&#0*%d;", r), fmt.Sprintf("(?i:&#x0*%x;)", r)}
	if r < utf8.RuneSelf {
		all = append(all, `\\`+self)
	}
	if short, ok := map[rune]string{' ': `\+`, '\n': `\\n`, '\r': `\\r`, '\t': `\\t`, '"': "&quot;", '\'': "&apos;"}[r]; ok {
		all = append(all, short)
	}
	if named := html.EscapeString(string(r)); named != string(r) {
		all = append(all, regexp.QuoteMeta(named))
	}
	return all
}

// base64Cores returns the characters that v settles in the base64 of any text that contains it: one run for each of the three
// places at which it can begin in a group, in both alphabets.
func base64Cores(v string) []string {
	var cores []string
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			text := enc.EncodeToString(append(make([]byte, before), v...))
			core := text[(before*8+5)/6 : (before+len(v))*8/6]
			if len(core) >= minCoreBytes && !slices.Contains(cores, core) {
				cores = append(cores, core)
			}
		}
	}
	return cores
}

func (s *scrubber) bytes(b []byte) []byte {
	for _, f := range s.forms {
		switch {
		case f.re != nil && f.re.Match(b):
			b = f.re.ReplaceAllLiteral(b, []byte(redacted))
		case f.re == nil && bytes.Contains(b, []byte(f.literal)):
			b = bytes.ReplaceAll(b, []byte(f.literal), []byte(redacted))
		}
	}
	return b
}

func (s *scrubber) text(t string) string {
	if len(s.forms) == 0 {
		return t
	}
	return string(s.bytes([]byte(t)))
}

// header scrubs values in place and drops a field whose name holds a secret.
func (s *scrubber) header(h http.Header) {
	if len(s.forms) == 0 {
		return
	}
	for name, values := range h {
		lower := strings.ToLower(name)
		if slices.ContainsFunc(s.names, func(n string) bool { return strings.Contains(lower, n) }) {
			delete(h, name)
			continue
		}
		for i, v := range values {
			values[i] = s.text(v)
		}
	}
}

// found reports whether t holds a secret in any form.
func (s *scrubber) found(t string) bool { return s.text(t) != t }
