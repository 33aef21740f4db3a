package connection

import (
	"net/http"
	"strconv"
	"strings"
	"unicode"
)

// clip makes a text from outside short and printable.
func clip(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > most {
		return strings.TrimSpace(string(r[:most])) + "…"
	}
	return s
}

// statusText is an HTTP status for people.
func statusText(status int) string {
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
}

// soundsSecret reports that a name is usually that of a secret, whatever a manifest says.
func soundsSecret(name string) bool {
	name = strings.ToLower(name)
	for _, end := range []string{"token", "secret", "password", "key", "jwt", "authorization", "cookie", "assertion"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}
