package form

import (
	"errors"
	"regexp"
	"regexp/syntax"
)

const (
	maxPatterns = 50_000 // size of all patterns of a form together, in steps of their programs
	stepsVisit  = 1000   // steps of a pattern that cost as much as a visit
)

// pattern is a compiled expression and about how many steps its program has.
type pattern struct {
	*regexp.Regexp
	size int
}

// cost of matching text, in visits.
func (p *pattern) cost(text string) int { return 1 + len(text)*p.size/stepsVisit }

// patterns compiles within bounds. Not safe for concurrent use.
type patterns struct {
	known map[string]*pattern
	size  int
}

func (p *patterns) compile(text string) (*pattern, error) {
	if re, ok := p.known[text]; ok {
		return re, nil
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, errors.New("a pattern is no regular expression")
	}
	re := &pattern{size: steps(parsed)}
	if p.size += re.size; p.size > maxPatterns {
		return nil, errors.New("the patterns are too large")
	}
	if re.Regexp, err = regexp.Compile(text); err != nil {
		return nil, errors.New("a pattern is no regular expression")
	}
	if p.known == nil {
		p.known = map[string]*pattern{}
	}
	p.known[text] = re
	return re, nil
}

// steps estimates the program of an expression, without writing it: repetitions are written out there.
func steps(re *syntax.Regexp) int {
	n := 1 + len(re.Rune)
	for _, sub := range re.Sub {
		n += steps(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return n
}
