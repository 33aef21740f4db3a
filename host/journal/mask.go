package journal

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/frigg-host/frigg-host/host/fault"
)

// Mask replaces the values of fields in everything that was asked and answered: by the field's name, in whatever spelling of
// case, or by a JSON pointer (RFC 6901) into any of the documents. A value is replaced by a hash with a key that nobody keeps:
// what was equal in the file stays equal. Texts are replaced wherever else they stand, too, as in an address.
func (f *File) Mask(fields []string) error {
	m := &masker{names: map[string]bool{}, texts: map[string]string{}}
	rand.Read(m.key[:]) // never fails: the process ends instead
	for _, field := range fields {
		if field = strings.TrimSpace(field); field == "" || len(field) > 200 {
			return fault.New(fault.Invalid, "journal.Mask", "name the fields to be masked, for example email, or /data/contact/phone")
		}
		m.names[strings.ToLower(field)] = true
	}
	documents := f.documents()
	for _, d := range documents {
		*d = m.document(*d)
	}
	replace := m.replacer()
	for _, d := range documents {
		*d = []byte(replace.in(string(*d)))
	}
	f.Run.LastError = replace.in(f.Run.LastError)
	for _, t := range f.Log.Tries {
		t.Start.Masked = append(t.Start.Masked, fields...)
		for _, e := range t.Entries {
			e.Key = "" // by which values could be guessed: it is a hash of what was asked
		}
		if e := t.End; e != nil {
			e.Own, e.Sum = 0, "" // which were of the true values
			if e.Output != nil {
				e.Sum = sumOf(e.Output)
			}
			if e.Fault != nil {
				e.Fault.Message = replace.in(e.Fault.Message)
			}
		}
	}
	return nil
}

// documents are all places where something stands that was asked or answered.
func (f *File) documents() []*[]byte {
	var all []*[]byte
	for _, t := range f.Log.Tries {
		all = append(all, (*[]byte)(&t.Start.Input))
		for _, e := range t.Entries {
			all = append(all, &e.Request, &e.Answer)
			if e.Decision != nil {
				all = append(all, (*[]byte)(&e.Decision.Answer))
			}
		}
		if t.End != nil {
			all = append(all, &t.End.Output)
		}
	}
	return slices.DeleteFunc(all, func(d *[]byte) bool { return len(*d) == 0 })
}

// masker replaces values and remembers the texts among them.
type masker struct {
	key   [32]byte
	names map[string]bool   // of fields in lower case, and pointers
	texts map[string]string // what stands for a text
}

// text is what stands for s.
func (m *masker) text(s string) string {
	if was, ok := m.texts[s]; ok {
		return was
	}
	h := "masked-" + hex.EncodeToString(m.sum(s)[:6])
	if strings.Contains(s, "@") {
		h += "@masked.invalid"
	}
	m.texts[s] = h
	return h
}

// number stands for a number: a whole one of as many digits.
func (m *masker) number(s string) string {
	digits := min(max(1, len(strings.TrimLeft(s, "-"))), 15)
	out := []byte{'1' + m.sum(s)[0]%9}
	for _, b := range m.sum(s)[1:digits] {
		out = append(out, '0'+b%10)
	}
	return string(out)
}

func (m *masker) sum(s string) []byte {
	mac := hmac.New(sha256.New, m.key[:])
	mac.Write([]byte(s))
	return mac.Sum(nil)
}

// document masks JSON and leaves everything but the values as it is. What is no JSON stays.
func (m *masker) document(doc []byte) []byte {
	if !json.Valid(doc) { // which also bounds how deep it is
		return doc
	}
	w := &maskWalk{masker: m, doc: doc, dec: json.NewDecoder(bytes.NewReader(doc))}
	w.dec.UseNumber()
	w.value("", false)
	return w.edited()
}

// maskWalk goes through one document.
type maskWalk struct {
	*masker
	doc   []byte
	dec   *json.Decoder
	edits []edit
}

// edit puts a text in place of a piece of the document.
type edit struct {
	from, to int
	text     string
}

// value goes over a value at a pointer and returns it if it is a text.
func (w *maskWalk) value(at string, hidden bool) (text string, from, to int) {
	from = int(w.dec.InputOffset())
	for from < len(w.doc) && strings.IndexByte(" \t\r\n,:", w.doc[from]) >= 0 {
		from++
	}
	token, err := w.dec.Token()
	if err != nil {
		return "", 0, 0
	}
	to = int(w.dec.InputOffset())
	hidden = hidden || w.names[at]
	switch v := token.(type) {
	case json.Delim:
		w.inside(v, at, hidden)
	case json.Number:
		if hidden {
			w.edit(from, to, w.number(v.String()))
		}
	case string:
		w.string(v, from, to, hidden)
		return v, from, to
	}
	return "", from, to
}

func (w *maskWalk) string(v string, from, to int, hidden bool) {
	switch {
	case hidden && v != "":
		w.edit(from, to, quoted(w.text(v)))
	case strings.HasPrefix(v, "{") || strings.HasPrefix(v, "["):
		if inner := w.document([]byte(v)); string(inner) != v {
			w.edit(from, to, quoted(string(inner)))
		}
	}
}

// inside goes through an object or list. An object with name and value is a field, as in forms.
func (w *maskWalk) inside(open json.Delim, at string, hidden bool) {
	var name string
	var from, to int
	var value string
	for n := 0; w.dec.More(); n++ {
		if open == '[' {
			w.value(at+"/"+strconv.Itoa(n), hidden)
			continue
		}
		token, err := w.dec.Token()
		key, ok := token.(string)
		if err != nil || !ok {
			return
		}
		child := at + "/" + strings.ToLower(strings.NewReplacer("~", "~0", "/", "~1").Replace(key))
		text, start, end := w.value(child, hidden || w.names[strings.ToLower(key)])
		switch key {
		case "name":
			name = text
		case "value":
			value, from, to = text, start, end
		}
	}
	_, _ = w.dec.Token() // the end, which is there
	if value != "" && w.names[strings.ToLower(name)] {
		w.edit(from, to, quoted(w.text(value)))
	}
}

func (w *maskWalk) edit(from, to int, text string) { w.edits = append(w.edits, edit{from, to, text}) }

func (w *maskWalk) edited() []byte {
	slices.SortStableFunc(w.edits, func(a, b edit) int { return a.from - b.from })
	var out []byte
	done := 0
	for _, e := range w.edits {
		if e.from < done {
			continue // masked already
		}
		out = append(append(out, w.doc[done:e.from]...), e.text...)
		done = e.to
	}
	return append(out, w.doc[done:]...)
}

// quoted writes a string as most encoders do.
func quoted(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string can be
	return strings.TrimSuffix(b.String(), "\n")
}

// replacer finds masked texts in running text.
type replacer struct{ r *strings.Replacer }

// shortest is from how many bytes on a text is looked for where no field names it.
const shortest = 3

func (m *masker) replacer() *replacer {
	var pairs []string
	known := map[string]bool{}
	for _, text := range slices.SortedFunc(maps.Keys(m.texts), func(a, b string) int { return len(b) - len(a) }) {
		if len(text) < shortest || !strings.ContainsFunc(text, unicode.IsLetter) && len(text) < 2*shortest {
			continue
		}
		for _, spelled := range spellings(text) {
			if !known[spelled] {
				known[spelled] = true
				pairs = append(pairs, spelled, m.texts[text])
			}
		}
	}
	return &replacer{strings.NewReplacer(pairs...)}
}

func (r *replacer) in(text string) string { return r.r.Replace(text) }

// spellings are the ways in which a text stands in JSON, in JSON within JSON, and in addresses (RFC 3986 section 2.1).
func spellings(text string) []string {
	once := inQuotes(text)
	percent := escaped(text)
	return []string{text, once, inQuotes(once), percent, strings.ReplaceAll(percent, "%20", "+")}
}

func inQuotes(s string) string {
	q := quoted(s)
	return q[1 : len(q)-1]
}

// escaped writes all but unreserved characters in percent.
func escaped(text string) string {
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		if c >= utf8.RuneSelf || !unicode.IsLetter(rune(c)) && !unicode.IsDigit(rune(c)) && strings.IndexByte("-._~", c) < 0 {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
