package rest

import (
	"fmt"
	"io"
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
		escaped[i] = escape{s}
	}
	return fmt.Sprintf(format, escaped...)
}

// escape formats a value as its verb says, and then makes it one segment.
type escape struct{ value any }

func (e escape) Format(f fmt.State, verb rune) {
	_, _ = io.WriteString(f, segment(fmt.Sprintf(fmt.FormatString(f, verb), e.value)))
}

func segment(s string) string {
	if strings.Trim(s, ".") == "" { // "." and ".." mean something in a path
		return strings.ReplaceAll(s, ".", "%2E")
	}
	return url.PathEscape(s)
}
