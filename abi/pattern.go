package abi

import (
	"regexp"
	"sync"
)

// pattern is a regular expression that is compiled when it is first used. Guests import this package for its messages: they
// must neither carry the compiler nor spend time at every start on what only a host asks for.
type pattern struct {
	text     string
	once     sync.Once
	compiled *regexp.Regexp
}

func (p *pattern) regexp() *regexp.Regexp {
	p.once.Do(func() { p.compiled = regexp.MustCompile(p.text) })
	return p.compiled
}

// MatchString reports whether text has a match.
func (p *pattern) MatchString(text string) bool { return p.regexp().MatchString(text) }
