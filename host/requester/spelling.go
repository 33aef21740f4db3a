package requester

import (
	"bytes"
	"fmt"
	"html"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// form finds one value in all its spellings. Searching goes by the anchor, its longest run of characters that no encoder
// touches, so that a text without it costs no more than a plain search; what stands around the anchor is compared character by
// character.
type form struct {
	raw    string
	anchor string
	before [][]string // spellings of each character before the anchor, the nearest first
	after  [][]string // and of those after it
	starts *[256]bool // without an anchor: the bytes with which a match can begin
}

func formOf(v string) form {
	var chars [][]string
	best, run, end := 0, 0, 0 // the longest run ends before chars[end]
	for rest := v; rest != ""; {
		_, size := utf8.DecodeRuneInString(rest)
		chars = append(chars, spell(rest[:size]))
		rest = rest[size:]
		if run++; len(chars[len(chars)-1]) > 1 {
			run = 0
		}
		if run > best {
			best, end = run, len(chars)
		}
	}
	f := form{raw: v, after: chars[end:]}
	for i := range best {
		f.anchor = chars[end-1-i][0] + f.anchor
	}
	for i := end - best - 1; i >= 0; i-- {
		f.before = append(f.before, chars[i])
	}
	if best == 0 {
		f.starts = new([256]bool)
		for _, s := range chars[0] {
			f.starts[s[0]] = true
		}
	}
	return f
}

// spell returns the ways in which one character is written, the plain one first. Those that need no escape anywhere (RFC 3986
// "unreserved") have one. Hexadecimal digits are lower case here and compared in both.
func spell(char string) []string {
	r, _ := utf8.DecodeRuneInString(char)
	if r < utf8.RuneSelf && (isAlnum(byte(r)) || strings.ContainsRune("-._~", r)) {
		return []string{char}
	}
	all := []string{char, "%" + strings.ReplaceAll(fmt.Sprintf("% x", char), " ", "%")}
	if r == utf8.RuneError && len(char) == 1 { // not UTF-8: no text format has a name for it
		return all
	}
	var unicode strings.Builder
	for _, u := range utf16.Encode([]rune{r}) {
		fmt.Fprintf(&unicode, `\u%04x`, u)
	}
	all = append(all, unicode.String(), fmt.Sprintf("&#%d;", r), fmt.Sprintf("&#0%d;", r), fmt.Sprintf("&#x%x;", r))
	if r < utf8.RuneSelf {
		all = append(all, `\`+char)
	}
	if short, ok := shorthands[r]; ok {
		all = append(all, short)
	}
	if named := html.EscapeString(char); named != char {
		all = append(all, named)
	}
	return all
}

var shorthands = map[rune]string{' ': "+", '\n': `\n`, '\r': `\r`, '\t': `\t`, '"': "&quot;", '\'': "&apos;"}

func isAlnum(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' }

// remove returns b with every occurrence replaced; b itself if there is none.
func (f form) remove(b []byte) []byte {
	if bytes.Contains(b, []byte(f.raw)) {
		b = bytes.ReplaceAll(b, []byte(f.raw), []byte(redacted))
	}
	if f.anchor == f.raw {
		return b
	}
	var out []byte
	kept := 0 // how much of b is in out, or replaced
	for from := 0; ; {
		at := f.find(b, from)
		if at < 0 {
			break
		}
		end, ok := forward(b, at+len(f.anchor), f.after)
		start := at
		if ok {
			start, ok = backward(b, at, f.before)
		}
		if !ok || start < kept {
			from = at + 1
			continue
		}
		out = append(append(out, b[kept:start]...), redacted...)
		kept, from = end, end
	}
	if kept == 0 {
		return b
	}
	return append(out, b[kept:]...)
}

// find returns where the next anchor is, or -1.
func (f form) find(b []byte, from int) int {
	if f.anchor != "" {
		if i := bytes.Index(b[from:], []byte(f.anchor)); i >= 0 {
			return from + i
		}
		return -1
	}
	for i := from; i < len(b); i++ {
		if f.starts[b[i]] {
			return i
		}
	}
	return -1
}

// forward goes over chars from at and returns where they end.
func forward(b []byte, at int, chars [][]string) (int, bool) {
next:
	for _, spellings := range chars {
		for i := len(spellings) - 1; i >= 0; i-- { // the plain one last: it may begin an escape
			if n := len(spellings[i]); at+n <= len(b) && equalFold(b[at:at+n], spellings[i]) {
				at += n
				continue next
			}
		}
		return 0, false
	}
	return at, true
}

// backward goes over chars, nearest first, and returns where they begin.
func backward(b []byte, at int, chars [][]string) (int, bool) {
next:
	for _, spellings := range chars {
		for i := len(spellings) - 1; i >= 0; i-- {
			if n := len(spellings[i]); n <= at && equalFold(b[at-n:at], spellings[i]) {
				at -= n
				continue next
			}
		}
		return 0, false
	}
	return at, true
}

// equalFold ignores the case of ASCII letters in b; s has them lower.
func equalFold(b []byte, s string) bool {
	for i := range b {
		c := b[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != s[i] && b[i] != s[i] {
			return false
		}
	}
	return true
}
