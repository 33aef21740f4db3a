package main

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/frigg-host/frigg-host/plugins/examples/caldav/caldavapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
)

const (
	icalDate = "20060102"
	icalTime = "20060102T150405Z"
)

func checkTodo(in caldavapi.TodoChange) error {
	if err := isPath(in.Calendar); err != nil {
		return err
	}
	_, err := time.Parse(time.DateOnly, in.Due)
	switch {
	case in.UID == "":
		return frigg.Invalid("the to-do needs a uid of the caller's choice")
	case in.Due != "" && err != nil:
		return frigg.Invalid("due must be a day such as 2030-01-31")
	}
	return nil
}

// writeTodo writes a to-do as iCalendar (RFC 5545 section 3.6.2).
func writeTodo(in caldavapi.TodoChange) string {
	now := time.Now().UTC().Format(icalTime)
	lines := []string{
		"BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//frigg-host//caldav//EN", "BEGIN:VTODO",
		"UID:" + escape(in.UID), "DTSTAMP:" + now, "SUMMARY:" + escape(in.Summary),
	}
	if in.Description != "" {
		lines = append(lines, "DESCRIPTION:"+escape(in.Description))
	}
	if in.Due != "" {
		lines = append(lines, "DUE;VALUE=DATE:"+strings.ReplaceAll(in.Due, "-", ""))
	}
	if in.Done {
		lines = append(lines, "STATUS:COMPLETED", "PERCENT-COMPLETE:100", "COMPLETED:"+now)
	} else {
		lines = append(lines, "STATUS:NEEDS-ACTION")
	}
	lines = append(lines, "END:VTODO", "END:VCALENDAR")
	var b strings.Builder
	for _, line := range lines {
		fold(&b, line)
	}
	return b.String()
}

// fold writes a line in pieces of at most 75 bytes that do not cut characters (RFC 5545 section 3.1).
func fold(b *strings.Builder, line string) {
	for limit := 75; len(line) > limit; limit = 74 { // behind the first, each piece starts with a space
		cut := limit
		for cut > 0 && !utf8.RuneStart(line[cut]) {
			cut--
		}
		b.WriteString(line[:cut] + "\r\n ")
		line = line[cut:]
	}
	b.WriteString(line + "\r\n")
}

var (
	escaper   = strings.NewReplacer(`\`, `\\`, ";", `\;`, ",", `\,`, "\r\n", `\n`, "\n", `\n`, "\r", "")
	unescaper = strings.NewReplacer(`\\`, `\`, `\;`, ";", `\,`, ",", `\n`, "\n", `\N`, "\n")
	unfolder  = strings.NewReplacer("\r\n ", "", "\r\n\t", "", "\n ", "", "\n\t", "")
)

func escape(text string) string { return escaper.Replace(text) }

// parseTodo reads the first to-do of an iCalendar text; ok is false if there is none.
func parseTodo(text string) (todo caldavapi.Todo, ok bool) {
	depth := 0 // inside the to-do; alarms are one deeper
	for line := range strings.Lines(unfolder.Replace(text)) {
		name, value := property(strings.TrimRight(line, "\r\n"))
		switch {
		case depth == 0 && name == "BEGIN" && strings.EqualFold(value, "VTODO"):
			depth, ok = 1, true
		case depth > 0 && name == "BEGIN":
			depth++
		case depth > 0 && name == "END":
			if depth--; depth == 0 {
				return todo, true
			}
		case depth == 1:
			setField(&todo, name, value)
		}
	}
	return todo, ok
}

// property splits a line into the name, without parameters, and the value. Parameters may hold colons inside quotes.
func property(line string) (name, value string) {
	quoted := false
	for i, r := range line {
		switch {
		case r == '"':
			quoted = !quoted
		case r == ':' && !quoted:
			name, _, _ = strings.Cut(line[:i], ";")
			return strings.ToUpper(name), line[i+1:]
		}
	}
	return "", ""
}

func setField(todo *caldavapi.Todo, name, value string) {
	switch name {
	case "UID":
		todo.UID = unescaper.Replace(value)
	case "SUMMARY":
		todo.Summary = unescaper.Replace(value)
	case "DESCRIPTION":
		todo.Description = unescaper.Replace(value)
	case "STATUS":
		todo.Done = strings.EqualFold(value, "COMPLETED")
	case "DUE":
		if day, err := time.Parse(icalDate, value[:min(len(value), len(icalDate))]); err == nil {
			todo.Due = day.Format(time.DateOnly)
		}
	}
}
