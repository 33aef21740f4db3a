package abi

import (
	"strconv"
	"unsafe"
)

// ReadAny reads JSON of any kind as encoding/json does into an any: nil, bool, float64, string, []any, map[string]any. It
// reports whether it could; if not, encoding/json has the word.
func ReadAny(text []byte) (value any, ok bool) {
	s := scanner{text: text, room: maxRead}
	if value = s.any(); !s.end() {
		return nil, false
	}
	return value, true
}

func (s *scanner) any() any {
	if s.depth++; s.depth > maxReadDepth {
		s.bad = true
	}
	defer func() { s.depth-- }()
	if s.spend(2 * unsafe.Sizeof(any(nil))); s.bad {
		return nil
	}
	switch s.peek() {
	case '{':
		return s.object()
	case '[':
		return s.list()
	case '"':
		return s.copy(s.string())
	case 't':
		s.literal("true")
		return true
	case 'f':
		s.literal("false")
		return false
	case 'n':
		s.literal("null")
		return nil
	}
	return s.float()
}

func (s *scanner) object() any {
	s.at++
	out := map[string]any{}
	for first := true; s.more('}', first); first = false {
		key := s.copy(s.string())
		if !s.take(':') {
			s.bad = true
		}
		s.spend(entryRead)
		out[key] = s.any()
	}
	return out
}

func (s *scanner) list() any {
	s.at++
	out := []any{}
	for first := true; s.more(']', first); first = false {
		out = append(out, s.any())
	}
	return out
}

// float reads a number. Short whole ones, which most are, need no search for the nearest.
func (s *scanner) float() any {
	start := s.at
	if s.number(); s.bad {
		return nil
	}
	digits := s.text[start:s.at]
	negative := digits[0] == '-'
	if negative {
		digits = digits[1:]
	}
	whole := uint64(0)
	for _, c := range digits {
		if c < '0' || c > '9' || whole >= 1e15 {
			f, err := strconv.ParseFloat(string(s.text[start:s.at]), 64)
			s.bad = s.bad || err != nil
			return f
		}
		whole = whole*10 + uint64(c-'0')
	}
	if negative {
		return -float64(whole)
	}
	return float64(whole)
}
