// Package behave lets a guest do what a test tells it, good and bad: an Order is a list of steps, each answered by a line.
package behave

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"
	"unsafe"

	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/rest"
)

// Order is what a guest shall do.
type Order struct {
	Steps []Step `json:"steps"`
}

// Step is one thing to do.
type Step struct {
	Do     string            `json:"do"`
	Role   string            `json:"role,omitempty"`
	Method string            `json:"method,omitempty"` // of HTTP, or of a module
	URL    string            `json:"url,omitempty"`
	Query  url.Values        `json:"query,omitempty"`
	Header map[string]string `json:"header,omitempty"`
	Body   json.RawMessage   `json:"body,omitempty"` // of a request, or arguments of a method
	Any    bool              `json:"any,omitempty"`  // take any status for a good answer
	Text   string            `json:"text,omitempty"`
	Number int               `json:"number,omitempty"`
	May    bool              `json:"may,omitempty"` // a failure is an answer, not the end
}

// Guest is what every guest can do for its steps.
type Guest interface {
	HTTP(role string) rest.Client
	// Own does a step that this kind of guest alone knows; known is false for all others.
	Own(s Step) (answer any, known bool, err error)
}

// Follow does the steps in order and returns their answers.
func Follow(g Guest, o Order) ([]any, error) {
	answers := []any{}
	for _, s := range o.Steps {
		answer, err := follow(g, s, answers)
		if err != nil && !s.May {
			return answers, err
		}
		if err != nil {
			answer = map[string]string{"kind": string(frigg.KindOf(err)), "error": err.Error()}
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

func follow(g Guest, s Step, before []any) (any, error) {
	if answer, known, err := g.Own(s); known {
		return answer, err
	}
	switch s.Do {
	case "say":
		return s.Text, nil
	case "sleep":
		time.Sleep(time.Duration(s.Number) * time.Second)
		return "slept", nil
	case "send":
		r := rest.Request{Method: s.Method, URL: s.URL, Query: s.Query, Header: s.Header, AnyStatus: s.Any}
		if len(s.Body) > 0 {
			r.Body = s.Body
		}
		if changed && s.Method == "POST" {
			r.Header = map[string]string{"x-version": "2"}
		}
		res, err := g.HTTP(s.Role).Send(r)
		if err != nil {
			return nil, err
		}
		return map[string]any{"status": res.Status, "header": res.Header, "body": string(res.Body), "url": res.URL}, nil
	case "fail":
		return nil, frigg.Errorf(frigg.Kind(s.Method), "%s%s", s.Text, known(before))
	case "halt":
		return nil, frigg.Halt(errors.New(s.Text))
	}
	return nil, misbehave(s)
}

// known is everything that a guest can lay its hands on.
func known(before []any) string {
	b, _ := json.Marshal(before)
	return fmt.Sprint(" ", os.Args, os.Environ(), " ", string(b))
}

// Known is the same for outputs of the guests' own.
func Known(more ...any) string { return strings.TrimSpace(known(more)) }

var sink [][]byte

// misbehave does what a guest must not do; most of it never returns.
func misbehave(s Step) error {
	switch s.Do {
	case "loop":
		for i := 0; ; i++ {
			if i < 0 {
				return nil
			}
		}
	case "eat_memory":
		for {
			sink = append(sink, make([]byte, 1<<20))
		}
	case "trap":
		address := uintptr(0xfffffff0)
		return fmt.Errorf("read %d behind the end", *(*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&address))))
	case "panic":
		panic(s.Text)
	case "exit":
		os.Exit(s.Number)
	case "print":
		for range max(s.Number, 1) {
			fmt.Fprintln(os.Stderr, s.Text)
			fmt.Println(s.Text)
		}
	case "flood":
		flood(s.Number)
	case "huge_output":
		hugeOutput(s.Number)
		os.Exit(0)
	default:
		return frigg.Unsupported("there is no step %q", s.Do)
	}
	return nil
}
