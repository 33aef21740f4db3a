package secret

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/host/fault"
)

func TestIssue_GivesOneHandleForOneSecret(t *testing.T) {
	t.Parallel()
	h := NewHandles()
	a, again, b := h.Issue(NewText("alpha")), h.Issue(NewText("alpha")), h.Issue(NewText("beta"))
	if a != again || a == b {
		t.Errorf("handles %q %q %q: want the first two alike and the third different", a, again, b)
	}
	if strings.Contains(a, "alpha") {
		t.Errorf("the handle %q shows its secret", a)
	}
	if other := NewHandles().Issue(NewText("alpha")); other == a {
		t.Error("two tables gave the same handle: it could be guessed")
	}
}

func TestReplace_EscapesForThePlace(t *testing.T) {
	t.Parallel()
	h := NewHandles()
	handle := h.Issue(NewText(`a"b&c d`))
	for name, test := range map[string]struct {
		in     string
		escape func(string) string
		want   string
	}{
		"plain":         {"x " + handle + " y", nil, `x a"b&c d y`},
		"query":         {"k=" + handle, url.QueryEscape, "k=a%22b%26c+d"},
		"twice":         {handle + handle, nil, `a"b&c da"b&c d`},
		"prefix alone":  {handlePrefix + " and " + handlePrefix + "xyz", nil, handlePrefix + " and " + handlePrefix + "xyz"},
		"prefix before": {handlePrefix + handle, nil, handlePrefix + `a"b&c d`},
		"cut off":       {handle[:len(handle)-1], nil, handle[:len(handle)-1]},
		"nothing":       {"nothing to do", nil, "nothing to do"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := h.Replace(test.in, test.escape)
			if err != nil || got != test.want {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

func TestReplace_RefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	foreign := NewHandles().Issue(NewText("somebody else's"))
	var none *Handles
	for name, h := range map[string]*Handles{"other table": NewHandles(), "nil table": none} {
		t.Run(name, func(t *testing.T) {
			_, err := h.Replace("x"+foreign, nil)
			if !fault.Is(err, fault.Invalid) || fault.SideOf(err) != fault.Guest {
				t.Errorf("got %v, want invalid on side guest", err)
			}
		})
	}
}

func TestReplace_DoesNotOutgrowItsBound(t *testing.T) {
	t.Parallel()
	h := NewHandles()
	handle := h.Issue(NewText(strings.Repeat("x", maxReplaced/4)))
	if _, err := h.Replace(strings.Repeat(handle, 5), nil); !fault.Is(err, fault.TooLarge) {
		t.Errorf("got %v, want too_large", err)
	}
}

func TestChild_KnowsItsParentAndNotTheOtherWayRound(t *testing.T) {
	t.Parallel()
	parent := NewHandles()
	child := parent.Child()
	up, down := parent.Issue(NewText("up")), child.Issue(NewText("down"))
	if got, err := child.Lookup(up); err != nil || got.Reveal() != "up" {
		t.Errorf("child: %v, %v", got, err)
	}
	if _, err := parent.Lookup(down); err == nil {
		t.Error("the parent knows a handle of its child")
	}
	if len(child.Secrets()) != 2 || len(parent.Secrets()) != 1 {
		t.Errorf("the child lists %d secrets and the parent %d", len(child.Secrets()), len(parent.Secrets()))
	}
}

func TestHandles_DoNotPrintTheirSecrets(t *testing.T) {
	t.Parallel()
	h := NewHandles()
	handle := h.Issue(NewText("plant-7f3a"))
	text, _ := json.Marshal(struct{ Of any }{h}) // as a part of something else
	if all := fmt.Sprintf("%v %+v %s %s", h.byHandle, h.byHandle, text, handle); strings.Contains(all, "plant-7f3a") {
		t.Errorf("printed: %s", all)
	}
}

func FuzzReplace(f *testing.F) {
	f.Add("a ", " b", `s"ecret`)
	f.Add(handlePrefix, "0123", "x")
	f.Fuzz(func(t *testing.T, before, after, plain string) {
		if HasHandle(before) || HasHandle(before+handlePrefix[:1]) || HasHandle(after) {
			return // what is typed to look like a handle is one
		}
		h := NewHandles()
		handle := h.Issue(NewText(plain))
		got, err := h.Replace(before+handle+after, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got != before+plain+after {
			t.Errorf("got %q", got)
		}
		if WithoutHandles(before+handle+after) != before+redacted+after {
			t.Errorf("without handles: %q", WithoutHandles(before+handle+after))
		}
	})
}
