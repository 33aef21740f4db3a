package javascript

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
)

// location is a line of a file of the plugin's author.
type location struct{ source, line int32 }

// locations say where the lines of a program are from. They are read of its map (ECMA-426), which is as hostile as the rest.
type locations struct {
	sources []string
	lines   []location // by line of the program, from 0; the line is from 1, 0 where none is known
}

const (
	maxLines   = 1 << 18 // of a program have locations
	maxMapping = 1 << 24 // largest number in a map
)

// readMap reads a map as far as it can be read.
func readMap(text string) *locations {
	var m struct {
		Sources  []string
		Mappings string
	}
	if text == "" || json.Unmarshal([]byte(text), &m) != nil {
		return &locations{}
	}
	l := &locations{sources: m.Sources}
	var source, line int
	for mappings := range strings.SplitSeq(m.Mappings, ";") {
		at := location{}
		for segment := range strings.SplitSeq(mappings, ",") {
			fields, ok := numbers(segment)
			if !ok {
				return l
			}
			if len(fields) < 4 {
				continue
			}
			source, line = source+fields[1], line+fields[2]
			if source < 0 || source >= len(l.sources) || line < 0 || line > maxMapping {
				return l
			}
			if at.line == 0 {
				at = location{int32(source), int32(line + 1)}
			}
		}
		if len(l.lines) == maxLines {
			return l
		}
		l.lines = append(l.lines, at)
	}
	return l
}

const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// numbers reads the numbers of a segment: base 64, five bits a digit, least first, the lowest bit of a number its sign.
func numbers(segment string) ([]int, bool) {
	var all []int
	n, shift := 0, 0
	for i := range len(segment) {
		d := strings.IndexByte(digits, segment[i])
		if d < 0 || shift > 25 || len(all) == 5 {
			return nil, false
		}
		n |= d & 31 << shift
		if shift += 5; d >= 32 {
			continue
		}
		v := n >> 1
		if n&1 == 1 {
			v = -v
		}
		all, n, shift = append(all, v), 0, 0
	}
	return all, shift == 0
}

// frame is how the engine writes a place in the program.
var frame = regexp.MustCompile(`plugin\.js:(\d{1,9})(?::\d+)?`)

// in writes the places of a stack as those of the author's files.
func (l *locations) in(stack string) string {
	return frame.ReplaceAllStringFunc(stack, func(place string) string {
		n, _ := strconv.Atoi(frame.FindStringSubmatch(place)[1])
		if n < 1 || n > len(l.lines) || l.lines[n-1].line == 0 {
			return place
		}
		at := l.lines[n-1]
		return l.sources[at.source] + ":" + strconv.Itoa(int(at.line))
	})
}
