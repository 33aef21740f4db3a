package rest

import (
	"fmt"
	"net/url"
	"strings"
)

// Path fills the verbs of format with segments, each escaped so that it stays one segment: a slash, a question mark or two
// dots in a value cannot lead anywhere else.
//
//	rest.Path("/repos/%s/%s/issues/%d", owner, name, number)
func Path(format string, segments ...any) string {
	escaped := make([]any, len(segments))
	for i, s := range segments {
		escaped[i] = s
		if text, ok := s.(fmt.Stringer); ok {
			escaped[i] = segment(text.String())
		} else if text, ok := s.(string); ok {
			escaped[i] = segment(text)
		}
	}
	return fmt.Sprintf(format, escaped...)
}

func segment(s string) string {
	if strings.Trim(s, ".") == "" { // "." and ".." mean something in a path
		return strings.ReplaceAll(s, ".", "%2E")
	}
	return url.PathEscape(s)
}
