package demo

import (
	"slices"
	"strings"
)

type scope struct{ Name, Meaning string }

var allScopes = []scope{
	{"contacts:read", "See contacts and their notes"},
	{"contacts:write", "Add, change and delete contacts, and write notes"},
	{"deals:read", "See deals"},
	{"deals:write", "Add and change deals"},
	{"tasks:read", "See tasks"},
	{"tasks:write", "Add and complete tasks"},
	{"webhooks:write", "Be told when contacts and deals change"},
}

// defaultScopes are granted when a client asks for none (RFC 6749, section 3.3).
var defaultScopes = []string{"contacts:read", "deals:read", "tasks:read"}

func scopeNames() []string {
	names := make([]string, len(allScopes))
	for i, s := range allScopes {
		names[i] = s.Name
	}
	return names
}

// parseScopes reads a scope parameter. ok is false when it asks for more than allowed.
func parseScopes(raw string, allowed, byDefault []string) (names []string, ok bool) {
	names = strings.Fields(raw)
	if len(names) == 0 {
		return byDefault, true
	}
	slices.Sort(names)
	names = slices.Compact(names)
	for _, name := range names {
		if !slices.Contains(allowed, name) {
			return nil, false
		}
	}
	return names, true
}

func describe(names []string) []scope {
	var out []scope
	for _, s := range allScopes {
		if slices.Contains(names, s.Name) {
			out = append(out, s)
		}
	}
	return out
}
