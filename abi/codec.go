package abi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// Messages are written and read without reflection by AppendJSON and ReadJSON, which are generated: reflection is what a
// guest spends most of a short call on. Both do the ordinary and leave the rest to encoding/json: what they report true for
// is what it would do, and they report false for all else, and for what is large, deep or twice.

// Decodable is a message of the contract that travels between host and guests.
type Decodable interface {
	// ReadJSON sets the message to what text says, and reports whether it could; if not, the message is zero and
	// encoding/json has the word. Nothing in the message is a part of text.
	ReadJSON(text []byte) bool
	readFrom(*scanner)
}

// ReadAnswer reads an Answer in one pass: its value into value, or its fault. It reports whether it could; if not, value is
// zero and encoding/json has the word.
func ReadAnswer(text []byte, value Decodable) (f *Fault, ok bool) {
	s := scanner{text: text, room: maxRead}
	hasValue := false
	if s.open('{') {
		var seen uint64
		for first := true; s.more('}', first); first = false {
			switch name := s.key(); string(name) {
			case "value":
				s.once(&seen, 0)
				if hasValue = true; s.peek() == 'n' {
					s.bad = true
				}
				value.readFrom(&s)
			case "fault":
				s.once(&seen, 1)
				readPointer(&s, &f, (*Fault).readFrom)
			default:
				s.unknown(name, "value", "fault")
			}
		}
	}
	if !s.end() || hasValue == (f != nil) {
		return nil, value.ReadJSON(nil)
	}
	return f, true
}

// OpenAnswer takes the value or the fault out of an Answer; the value is a part of text. It reports whether it could; if not,
// encoding/json has the word.
func OpenAnswer(text []byte) (value json.RawMessage, f *Fault, ok bool) {
	s := scanner{text: text, room: maxRead}
	if s.open('{') {
		var seen uint64
		for first := true; s.more('}', first); first = false {
			switch name := s.key(); string(name) {
			case "value":
				s.once(&seen, 0)
				value = s.raw()
			case "fault":
				s.once(&seen, 1)
				readPointer(&s, &f, (*Fault).readFrom)
			default:
				s.unknown(name, "value", "fault")
			}
		}
	}
	if !s.end() || (value == nil) == (f == nil) {
		return nil, nil, false
	}
	return value, f, true
}

const (
	// maxRead is how many bytes elements and entries take before encoding/json is asked, whose users may measure first.
	maxRead = 128 << 10
	// entryRead is about what an entry of a map takes beside its value.
	entryRead = 48
	// maxReadDepth is how deep values are nested before encoding/json is asked.
	maxReadDepth = 100
)

// scanner walks over JSON. After a mistake it is bad, and nothing that it gave counts.
type scanner struct {
	text   []byte
	at     int
	copied string // text, once a part of it was wanted, if it is short
	depth  int
	room   int // bytes that elements and entries may still take
	bad    bool
}

// peek is the next byte that is no space, 0 at the end.
func (s *scanner) peek() byte {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return c
		}
	}
	return 0
}

// take goes past c if it is next.
func (s *scanner) take(c byte) bool {
	if s.peek() != c || c == 0 {
		return false
	}
	s.at++
	return true
}

// open goes into an object or list. At null there is nothing to go into, and no mistake.
func (s *scanner) open(c byte) bool {
	if s.take(c) {
		return true
	}
	s.null()
	return false
}

// null goes past null; anything else is a mistake.
func (s *scanner) null() {
	s.peek()
	s.literal("null")
}

// more reports that another member or element follows in what was opened.
func (s *scanner) more(end byte, first bool) bool {
	switch {
	case s.bad || s.take(end):
		return false
	case !first && !s.take(','):
		s.bad = true
		return false
	}
	return true
}

// spend takes room.
func (s *scanner) spend(n uintptr) {
	if s.room -= int(n); s.room < 0 {
		s.bad = true
	}
}

// once notes that a field of a message is there.
func (s *scanner) once(seen *uint64, field int) {
	if *seen&(1<<field) != 0 {
		s.bad = true
	}
	*seen |= 1 << field
}

// unknown goes past a member that is none of these fields. encoding/json would take one in other letters for the field.
func (s *scanner) unknown(name []byte, fields ...string) {
	for _, f := range fields {
		if strings.EqualFold(string(name), f) {
			s.bad = true
		}
	}
	s.skip()
}

// end reports that the text is over and was right.
func (s *scanner) end() bool {
	s.peek()
	return !s.bad && s.at == len(s.text)
}

// key reads the name of a member and the colon behind it.
func (s *scanner) key() []byte {
	name, _ := s.string()
	if !s.take(':') {
		s.bad = true
	}
	return name
}

// string reads a text. It is a part of what is read where that says it word for word, else it is own.
func (s *scanner) string() (text []byte, own bool) {
	if !s.take('"') {
		s.bad = true
		return nil, true
	}
	start, i := s.at, s.at
	for i < len(s.text) && stands[s.text[i]] {
		if i++; (i-start)%stride == 0 {
			i += words(s.text[i:])
		}
	}
	if i < len(s.text) && s.text[i] == '"' {
		s.at = i + 1
		return s.text[start:i:i], false
	}
	return s.unquote(start, i), true
}

// shared is how long a text is at most of which all strings in a message are parts: one copy instead of many, at the price that
// one of them keeps it all.
const shared = 4 << 10

// copy makes a string of what string has just read.
func (s *scanner) copy(text []byte, own bool) string {
	switch {
	case own:
		return unsafe.String(unsafe.SliceData(text), len(text)) // nobody else has it
	case len(s.text) > shared:
		return string(text)
	case s.copied == "":
		s.copied = string(s.text)
	}
	end := s.at - 1 // the quote
	return s.copied[end-len(text) : end]
}

// unquote reads a text that begins at start and says something else than it is from i on. Halves of surrogate pairs and bytes
// that are not UTF-8 become U+FFFD.
func (s *scanner) unquote(start, i int) []byte {
	out := append(make([]byte, 0, 2*(i-start)+256), s.text[start:i]...)
	for run, sized := 0, false; i < len(s.text); {
		if !sized && cap(out)-len(out) < 2*stride { // it is long, and worth to look how long
			out, sized = slices.Grow(out, textLen(s.text[i:])), true
		}
		c := s.text[i]
		if stands[c] {
			out = append(out, c)
			i++
			if run++; run == stride {
				n := words(s.text[i:])
				out = append(out, s.text[i:i+n]...)
				i, run = i+n, 0
			}
			continue
		}
		run = 0
		switch {
		case c == '\\' && i+1 < len(s.text) && s.text[i+1] == '"': // most of what JSON inside of JSON has
			out = append(out, '"')
			i += 2
		case c == '"':
			s.at = i + 1
			return out
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRune(s.text[i:])
			out = utf8.AppendRune(out, r)
			i += n
		default:
			n := escapeLen(s.text[i:])
			switch {
			case n == 0:
				s.bad = true
				return nil
			case n == 2:
				out = append(out, unescapes[s.text[i+1]])
			default:
				var r rune
				r, n = unescaped(s.text[i:])
				out = utf8.AppendRune(out, r)
			}
			i += n
		}
	}
	s.bad = true
	return nil
}

// textLen is how many bytes are in front of the quote that ends a text.
func textLen(b []byte) int {
	i := 0
	for i < len(b) && b[i] != '"' {
		if b[i] == '\\' {
			i++
		}
		i++
	}
	return i
}

// unescaped is the character that a text begins with as \u, and how long it is: two of them may be a surrogate pair.
func unescaped(b []byte) (rune, int) {
	r := hex4(b[2:6])
	if utf16.IsSurrogate(r) {
		low := rune(-1)
		if len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
			low = hex4(b[8:12])
		}
		if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
			return r, 12
		}
	}
	return r, 6
}

var unescapes = [128]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// pass goes past a text.
func (s *scanner) pass() {
	if !s.take('"') {
		s.bad = true
		return
	}
	start := s.at
	for i := start; i < len(s.text); {
		c := s.text[i]
		switch {
		case stands[c]:
			if i++; (i-start)%stride == 0 {
				i += words(s.text[i:])
			}
		case c == '"':
			s.at = i + 1
			return
		case c >= utf8.RuneSelf:
			i++
		default:
			n := escapeLen(s.text[i:])
			if n == 0 {
				s.bad = true
				return
			}
			i += n
		}
	}
	s.bad = true
}

const (
	everyByte = 0x0101010101010101
	highBits  = 0x8080808080808080
)

// stands are the ASCII characters that stand for themselves in a JSON text.
var stands = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// stride is how many bytes are looked at one by one before words is asked: most texts have another character soon.
const stride = 16

// words is how many bytes from the start, in whole words of eight, stand for themselves.
func words[T string | []byte](b T) int {
	i := 0
	for ; i+8 <= len(b); i += 8 {
		w := uint64(b[i]) | uint64(b[i+1])<<8 | uint64(b[i+2])<<16 | uint64(b[i+3])<<24 |
			uint64(b[i+4])<<32 | uint64(b[i+5])<<40 | uint64(b[i+6])<<48 | uint64(b[i+7])<<56
		quote, back := w^('"'*everyByte), w^('\\'*everyByte)
		if (w|(w-' '*everyByte)|(quote-everyByte)|(back-everyByte))&highBits != 0 {
			break
		}
	}
	return i
}

// escapeLen is the length of a valid escape, 0 if it is none.
func escapeLen(b []byte) int {
	if len(b) < 2 || b[0] != '\\' {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) >= 6 && hex4(b[2:6]) >= 0 {
			return 6
		}
	}
	return 0
}

// hex4 reads four hexadecimal digits, -1 if they are not.
func hex4(b []byte) rune {
	var r rune
	for _, c := range b {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// skip goes past a value of any kind.
func (s *scanner) skip() {
	if s.depth++; s.depth > maxReadDepth {
		s.bad = true
	}
	defer func() { s.depth-- }()
	switch c := s.peek(); {
	case s.bad:
	case c == '{':
		s.at++
		for first := true; s.more('}', first); first = false {
			if s.pass(); !s.take(':') {
				s.bad = true
			}
			s.skip()
		}
	case c == '[':
		s.at++
		for first := true; s.more(']', first); first = false {
			s.skip()
		}
	case c == '"':
		s.pass()
	case c == 't':
		s.literal("true")
	case c == 'f':
		s.literal("false")
	case c == 'n':
		s.literal("null")
	default:
		s.number()
	}
}

func (s *scanner) literal(word string) {
	if len(s.text)-s.at < len(word) || string(s.text[s.at:s.at+len(word)]) != word {
		s.bad = true
		return
	}
	s.at += len(word)
}

// number goes past a number (RFC 8259, section 6).
func (s *scanner) number() {
	if s.at < len(s.text) && s.text[s.at] == '-' {
		s.at++
	}
	whole := s.at
	if n := s.digits(); n == 0 || n > 1 && s.text[whole] == '0' {
		s.bad = true
	}
	if s.at < len(s.text) && s.text[s.at] == '.' {
		s.at++
		if s.digits() == 0 {
			s.bad = true
		}
	}
	if s.at < len(s.text) && s.text[s.at]|0x20 == 'e' {
		s.at++
		if s.at < len(s.text) && (s.text[s.at] == '+' || s.text[s.at] == '-') {
			s.at++
		}
		if s.digits() == 0 {
			s.bad = true
		}
	}
}

func (s *scanner) digits() int {
	start := s.at
	for s.at < len(s.text) && '0' <= s.text[s.at] && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at - start
}

func readText[T ~string](s *scanner, to *T) {
	if s.peek() != '"' {
		s.null()
		return
	}
	*to = T(s.copy(s.string()))
}

func readBool(s *scanner, to *bool) {
	switch s.peek() {
	case 't':
		s.literal("true")
		*to = true
	case 'f':
		s.literal("false")
		*to = false
	default:
		s.null()
	}
}

func readInt(s *scanner, to *int64) {
	if s.peek() == 'n' {
		s.null()
		return
	}
	negative := s.take('-')
	start, value := s.at, uint64(0)
	for s.at < len(s.text) && '0' <= s.text[s.at] && s.text[s.at] <= '9' && s.at-start < 19 {
		value = value*10 + uint64(s.text[s.at]-'0')
		s.at++
	}
	digits := s.at - start
	if digits == 0 || digits > 1 && s.text[start] == '0' || value > math.MaxInt64 {
		s.bad = true
	}
	if s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '.', c|0x20 == 'e', '0' <= c && c <= '9':
			s.bad = true
		}
	}
	*to = int64(value)
	if negative {
		*to = -*to
	}
}

func readBytes(s *scanner, to *[]byte) {
	if s.peek() != '"' {
		s.null()
		*to = nil
		return
	}
	text, _ := s.string()
	out := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(out, text)
	if err != nil {
		s.bad = true
	}
	*to = out[:n]
}

func readRaw(s *scanner, to *json.RawMessage) { *to = bytes.Clone(s.raw()) }

// raw goes past a value and returns it as it is written.
func (s *scanner) raw() []byte {
	s.peek()
	start := s.at
	if s.skip(); s.bad {
		return nil
	}
	return s.text[start:s.at:s.at]
}

func readPointer[T any](s *scanner, to **T, read func(*T, *scanner)) {
	if s.peek() == 'n' {
		s.null()
		*to = nil
		return
	}
	*to = new(T)
	read(*to, s)
}

func readList[T any](s *scanner, to *[]T, read func(*scanner, *T)) {
	*to = nil
	if !s.open('[') {
		return
	}
	out := []T{}
	for first := true; s.more(']', first); first = false {
		var v T
		if s.spend(unsafe.Sizeof(v)); s.bad {
			return
		}
		read(s, &v)
		out = append(out, v)
	}
	*to = out
}

func readMap[T any](s *scanner, to *map[string]T, read func(*scanner, *T)) {
	*to = nil
	if !s.open('{') {
		return
	}
	out := map[string]T{}
	for first := true; s.more('}', first); first = false {
		key := s.copy(s.string())
		if !s.take(':') {
			s.bad = true
		}
		var v T
		if s.spend(unsafe.Sizeof(v) + entryRead); s.bad {
			return
		}
		read(s, &v)
		out[key] = v
	}
	*to = out
}

// writer appends JSON. After a raw value that is no JSON it is bad, and what it has does not count.
type writer struct {
	b   []byte
	bad bool
}

// name begins a member.
func (w *writer) name(quoted string) {
	if last := w.b[len(w.b)-1]; last != '{' {
		w.b = append(w.b, ',')
	}
	w.b = append(w.b, quoted...)
}

const hexDigits = "0123456789abcdef"

func writeText[T ~string](w *writer, v T) {
	text, b := string(v), append(w.b, '"')
	for i, run := 0, 0; i < len(text); {
		c := text[i]
		if stands[c] {
			b = append(b, c)
			i++
			if run++; run == stride {
				n := words(text[i:])
				b = append(b, text[i:i+n]...)
				i, run = i+n, 0
			}
			continue
		}
		run = 0
		if c == '"' || c == '\\' { // most of what JSON inside of JSON needs
			b = append(b, '\\', c)
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = escape(b, c)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b = append(b, `\ufffd`...)
		case r == '\u2028' || r == '\u2029': // so that scripts can hold it
			b = append(append(b, `\u202`...), hexDigits[r&15])
		default:
			b = append(b, text[i:i+n]...)
		}
		i += n
	}
	w.b = append(b, '"')
}

// escape writes a control character.
func escape(b []byte, c byte) []byte {
	if s := short(c); s != 0 {
		return append(b, '\\', s)
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// short is the letter that stands for a control character behind a backslash, 0 if there is none.
func short(c byte) byte {
	switch c {
	case '\b':
		return 'b'
	case '\f':
		return 'f'
	case '\n':
		return 'n'
	case '\r':
		return 'r'
	case '\t':
		return 't'
	}
	return 0
}

func writeBool(w *writer, v bool) { w.b = strconv.AppendBool(w.b, v) }

func writeInt(w *writer, v int64) { w.b = strconv.AppendInt(w.b, v, 10) }

func writeBytes(w *writer, v []byte) {
	if v == nil {
		w.b = append(w.b, "null"...)
		return
	}
	w.b = append(w.b, '"')
	w.b = base64.StdEncoding.AppendEncode(w.b, v)
	w.b = append(w.b, '"')
}

func writeRaw(w *writer, v json.RawMessage) {
	if v == nil {
		w.b = append(w.b, "null"...)
		return
	}
	s := scanner{text: v}
	if s.skip(); !s.end() {
		w.bad = true
		return
	}
	w.b = append(w.b, v...)
}

func writeList[T any](w *writer, list []T, write func(*writer, T)) {
	if list == nil {
		w.b = append(w.b, "null"...)
		return
	}
	w.b = append(w.b, '[')
	for i, v := range list {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		write(w, v)
	}
	w.b = append(w.b, ']')
}

// writeMap writes entries in order of their names, so that equal messages are equal texts.
func writeMap[T any](w *writer, entries map[string]T, write func(*writer, T)) {
	if entries == nil {
		w.b = append(w.b, "null"...)
		return
	}
	var few [16]string
	names := few[:0]
	for name := range entries {
		names = append(names, name)
	}
	slices.Sort(names)
	w.b = append(w.b, '{')
	for i, name := range names {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		writeText(w, name)
		w.b = append(w.b, ':')
		write(w, entries[name])
	}
	w.b = append(w.b, '}')
}
