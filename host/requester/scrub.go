package requester

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

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
// and inside base64 at any offset, as in basic authentication; and the same of what was escaped already when it went out in a
// query, a path or JSON. It is against careless echoes; a vendor who is in league with the plugin knows the secret anyway. Not
// for concurrent use.
type scrubber struct {
	known map[string]bool
	forms []form
	names []string // lower-case secrets, for header names
}

// Scrub removes secrets from a text of a vendor, in all the spellings in which answers are searched. It is for answers that the
// requester had to hand out as they came.
func Scrub(text string, secrets []secret.Text) string {
	var s scrubber
	s.add(secrets)
	return s.text(text)
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
		for _, sent := range asSent(v) {
			s.forms = append(s.forms, formOf(sent))
			for _, core := range base64Cores(sent) {
				s.forms = append(s.forms, formOf(core))
			}
		}
	}
	// A secret that contains another goes first, or its rest would stay.
	slices.SortStableFunc(s.forms, func(a, b form) int { return cmp.Compare(len(b.raw), len(a.raw)) })
}

// asSent returns v and the ways in which it may have gone out; only v itself where no escape is needed.
func asSent(v string) []string {
	all := []string{v, url.QueryEscape(v), url.PathEscape(v)}
	for _, html := range []bool{false, true} {
		var quoted strings.Builder
		e := json.NewEncoder(&quoted)
		e.SetEscapeHTML(html)
		if e.Encode(v) == nil {
			all = append(all, strings.TrimSuffix(quoted.String(), "\"\n")[1:])
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
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
		b = f.remove(b)
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
func (s *scrubber) found(t string) bool {
	return len(s.forms) > 0 && !bytes.Equal(s.bytes([]byte(t)), []byte(t))
}
