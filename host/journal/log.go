package journal

import (
	"errors"
	"slices"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// apply adds a record to the log.
func (l *Log) apply(r *record) error {
	if r.Kind == kindBegin {
		if r.Start == nil {
			return damaged(errors.New("a try without its start"))
		}
		s := *r.Start
		s.Input = r.request
		l.Tries = append(l.Tries, &Try{Start: s, pins: map[Path]plugin.Digest{}, byPath: map[Path]*Entry{}})
		return nil
	}
	t := l.Last()
	if t == nil {
		return damaged(errors.New("a record before the first try"))
	}
	return t.apply(r)
}

func (t *Try) apply(r *record) error {
	switch r.Kind {
	case kindReopen:
		t.cut()
		t.End, t.Start.Replay = nil, max(t.Start.Replay, r.Replay)
	case kindEnd:
		if r.End == nil {
			return damaged(errors.New("an end without what it was"))
		}
		end := *r.End
		end.Output = r.answer
		t.End = &end
	case kindPin:
		t.pins[r.Path] = r.Digest
	case kindAnswer, kindIntent, kindSleep:
		t.add(&Entry{
			Path: r.Path, Capability: r.Capability, Function: r.Function, Class: r.Class, Request: r.request, Answer: r.answer,
			Asked: r.Asked, At: r.At, Key: r.Key, Until: r.Until, Recalled: r.Recalled,
		})
	case kindOutcome, kindDecide:
		e := t.byPath[r.Path]
		if e == nil {
			return damaged(errors.New("an outcome without its intent"))
		}
		if r.Kind == kindDecide {
			e.Decision = r.Decision
		} else {
			e.Answer, e.At = r.answer, r.At
		}
	default:
		return fault.New(fault.Unsupported, "journal.read", "the record of this run was written by a newer version of this host")
	}
	return nil
}

// add puts an entry in; one with the same path is asked again.
func (t *Try) add(e *Entry) {
	if was := t.byPath[e.Path]; was != nil {
		t.Entries = slices.DeleteFunc(t.Entries, func(o *Entry) bool { return o == was })
	}
	t.byPath[e.Path] = e
	t.Entries = append(t.Entries, e)
}

// remove takes an entry out.
func (t *Try) remove(e *Entry) {
	delete(t.byPath, e.Path)
	t.Entries = slices.DeleteFunc(t.Entries, func(o *Entry) bool { return o == e })
}

// top is the last host call of the guest itself or, with a parent, of the guest that answers it.
func (t *Try) lastBelow(parent Path) *Entry {
	for n := len(t.Entries); n > 0; n-- {
		e := t.Entries[n-1]
		if e.Path == parent.child(lastStep(e.Path)) {
			return e
		}
	}
	return nil
}

// failedStep is the innermost host call by which the try failed: the last of the guest itself if that failed, and of the
// guest that answered it, and so on. It is nil when the guest failed of itself: repeated, it would again.
func (t *Try) failedStep() *Entry {
	var at *Entry
	for parent := Path(""); ; parent = at.Path {
		e := t.lastBelow(parent)
		if e == nil || e.Fault() == nil {
			if parent != "" && t.hasBelow(parent) {
				return nil
			}
			return at
		}
		at = e
	}
}

func (t *Try) hasBelow(parent Path) bool {
	return slices.ContainsFunc(t.Entries, func(e *Entry) bool { return e.Path.below(parent) })
}

// cut forgets the answers of the failed step and of those around it, so that they are asked again.
func (t *Try) cut() {
	e := t.failedStep()
	if e == nil {
		return
	}
	for _, o := range slices.Clone(t.Entries) {
		if o == e || e.Path.below(o.Path) {
			t.remove(o)
		}
	}
}

// mendable are the failures that another try of the same step can mend.
func mendable(f *abi.Fault) bool {
	switch f.Kind {
	case abi.FaultKindRateLimited, abi.FaultKindTimeout, abi.FaultKindUnavailable, abi.FaultKindCanceled, abi.FaultKindUnauthorized:
		return !f.Halt
	}
	return false
}

// begunBefore are the effects outside that earlier tries had, or may have had, by key.
func (l *Log) begunBefore() map[string]*Entry {
	begun := map[string]*Entry{}
	for _, t := range l.Tries {
		for _, e := range t.Entries {
			if e.Class == abi.ClassRemote && e.Key != "" && e.Fault() == nil {
				begun[e.Key] = e
			}
		}
	}
	return begun
}

// lighten drops what nobody asks earlier tries for: only the effects that they had outside count in the last one.
func (l *Log) lighten() {
	for _, t := range l.Tries[:max(0, len(l.Tries)-1)] {
		t.Start.Input = nil
		for _, e := range t.Entries {
			if e.Request = nil; e.Class != abi.ClassRemote {
				e.Answer = nil
			}
		}
	}
}

// bytes is how much was asked and answered.
func (t *Try) bytes() int {
	n := len(t.Start.Input)
	for _, e := range t.Entries {
		n += len(e.Request) + len(e.Answer)
	}
	return n
}

// known counts the host calls of the guest itself that are on record.
func (t *Try) known() int {
	n := 0
	for _, e := range t.Entries {
		if e.Path.depth() == 1 {
			n++
		}
	}
	return n
}
