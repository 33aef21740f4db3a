package demo

import (
	"net/mail"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// fields collects what is wrong with an input, one sentence per field; the first one wins.
type fields map[string]string

func (f fields) require(name string, ok bool, message string) {
	if _, told := f[name]; !ok && !told {
		f[name] = message
	}
}

func (f fields) required(name, value string) {
	f.require(name, strings.TrimSpace(value) != "", "is required")
}

// line is text without line breaks.
func (f fields) line(name, value string, limit int) {
	f.require(name, !strings.ContainsAny(value, "\n\t"), "must be one line")
	f.text(name, value, limit)
}

func (f fields) text(name, value string, limit int) {
	f.require(name, utf8.RuneCountInString(value) <= limit, "must have at most "+strconv.Itoa(limit)+" characters")
	f.require(name, !strings.ContainsFunc(value, isControl), "must not contain control characters")
}

func isControl(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }

func (f fields) email(name, value string) {
	if value == "" {
		return
	}
	f.line(name, value, 200)
	a, err := mail.ParseAddress(value)
	f.require(name, err == nil && a.Address == value, "must be an e-mail address")
}

func (f fields) contact(s *state, id contactID) {
	_, known := s.Contacts[id]
	f.require("contact_id", known || id == "", "no such contact")
}

func (f fields) err() error {
	if len(f) == 0 {
		return nil
	}
	return &problem{status: 422, Code: "invalid_fields", Message: "Some fields are not acceptable.", Fields: f}
}
