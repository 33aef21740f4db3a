package journal

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// Repetition says how a guest behaved against the record of a try.
type Repetition struct {
	Steps int // host calls of the guest that were as on record
	// Open says that the record has no end: what there is was repeated.
	Open       bool
	Difference *Difference // the first one, nil when all was the same
	Output     []byte      // nil when the guest was stopped
	Fuel       int64
	Fault      *abi.Fault // of a guest that failed
}

// Difference is where a guest first behaves otherwise than on record.
type Difference struct {
	Path     Path // of the host call; "" at the end
	Recorded string
	Now      string
}

func (d *Difference) String() string {
	at := "at the end"
	if d.Path != "" {
		at = "at step " + string(d.Path)
	}
	return at + " the record has " + d.Recorded + ", now " + d.Now
}

// Repeat runs the guest of a try against its record and nothing else: every host call is answered from the record, that of
// another guest too, and no time passes. The plugin may be another than the one that was recorded. each, if it is not nil, is
// told of every host call that is as on record, before it is answered. An error says that the guest could not be run; what it
// does is never one.
func Repeat(ctx context.Context, caller plugin.Caller, p *plugin.Plugin, t *Try, each func(*Entry)) (*Repetition, error) {
	r := &repeater{try: t, at: t.Start.At, seed: t.Start.Seed, each: each}
	_, err := caller.Call(ctx, plugin.Call{Plugin: p, Export: t.Start.Export, Input: t.Start.Input, Journal: r})
	out := &Repetition{Steps: r.same, Open: !t.conclusive(), Difference: r.differs, Output: r.output, Fuel: r.fuel}
	switch {
	case r.stopped != nil:
		out.Open = r.differs == nil
		return out, nil
	case ctx.Err() != nil:
		return nil, fault.Wrap(ctx.Err(), fault.Canceled, "journal.Repeat", "it was stopped before it was done")
	case err != nil && r.output == nil && fault.SideOf(err) != fault.Guest:
		return nil, err
	case err != nil:
		f := plugin.FaultOf(err)
		out.Fault = &f
	}
	out.Difference = cmp.Or(r.missed(), t.endsOtherwise(out, p.Digest == t.Start.Digest))
	return out, nil
}

// conclusive reports that the try ended by what its guest did.
func (t *Try) conclusive() bool {
	e := t.End
	return e != nil && (e.Sum != "" || e.Fault == nil || e.Fault.Side == abi.FaultSideGuest)
}

// endsOtherwise compares the ends. The same module takes the same fuel.
func (t *Try) endsOtherwise(r *Repetition, sameModule bool) *Difference {
	e := t.End
	if !t.conclusive() {
		return nil
	}
	switch sum := sumOf(r.Output); {
	case e.Sum != "" && sum != e.Sum:
		was, is := apartFrom(outcome(e.Output, e.Fault), outcome(r.Output, r.Fault))
		return &Difference{Recorded: was, Now: is}
	case e.Sum == "" && !alike(e.Fault, r.Fault):
		return &Difference{Recorded: outcome(nil, e.Fault), Now: outcome(r.Output, r.Fault)}
	case sameModule && e.Own != 0 && r.Fuel != 0 && e.Own != r.Fuel:
		return &Difference{Recorded: fmt.Sprintf("%d units of fuel", e.Own), Now: fmt.Sprintf("it takes %d", r.Fuel)}
	}
	return nil
}

// outcome is the end of a guest in words.
func outcome(output []byte, f *abi.Fault) string {
	switch {
	case len(output) > 0:
		return "the output " + string(output)
	case f != nil:
		return fmt.Sprintf("the failure %q (%s)", f.Message, f.Kind)
	}
	return "an output"
}

func alike(a, b *abi.Fault) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Kind == b.Kind && a.Message == b.Message
}

// repeater answers a guest from a record. It has nothing else: no store, no capability.
type repeater struct {
	try     *Try
	seed    [32]byte
	at      time.Time // on the guest's clock
	n, same int
	each    func(*Entry)

	differs *Difference
	stopped error // why the guest was ended
	output  []byte
	fuel    int64
}

var _ plugin.Journal = (*repeater)(nil)

// errEndOfRecord ends a guest when nothing more is on record.
var errEndOfRecord = fault.New(fault.Canceled, "journal.Repeat", "the record ends here")

// Pin implements plugin.Journal.
func (*repeater) Pin(d plugin.Digest) plugin.Digest { return d }

// Seed implements plugin.Journal.
func (r *repeater) Seed() *[32]byte { return &r.seed }

// Now implements plugin.Journal.
func (r *repeater) Now() time.Time { return r.at }

// Replaying implements plugin.Journal.
func (*repeater) Replaying() bool { return true }

// Ended implements plugin.Journal.
func (r *repeater) Ended(output []byte, fuel int64, _ uint64) { r.output, r.fuel = output, fuel }

// Sleep implements plugin.Journal.
func (r *repeater) Sleep(_ context.Context, d time.Duration) error {
	if d < shortSleep {
		r.at = r.at.Add(d)
		return nil
	}
	e, err := r.next(&Entry{Capability: sleeping, Request: []byte(d.String())})
	if err != nil {
		return err
	}
	r.at = e.Until
	return r.pass(e, !r.try.over(e))
}

// Serve implements plugin.Journal. It never calls what would act.
func (r *repeater) Serve(ctx context.Context, capability, function string, request []byte, _ func(context.Context) []byte) ([]byte, error) {
	if asksToSleep(capability, function) {
		return slept(ctx, request, r.Sleep)
	}
	e, err := r.next(&Entry{Capability: capability, Function: function, Request: request})
	if err != nil {
		return nil, err
	}
	if err := r.pass(e, !e.Known()); err != nil {
		return nil, err
	}
	r.at = e.At
	return e.Answer, nil
}

// next finds what is on record where the guest asks, and ends it when that is something else.
func (r *repeater) next(asked *Entry) (*Entry, error) {
	if r.stopped != nil {
		return nil, r.stopped
	}
	r.n++
	path := Path("").child(r.n)
	e := r.try.byPath[path]
	switch {
	case e == nil && !r.try.conclusive():
		return nil, r.stop(errEndOfRecord)
	case e == nil:
		return nil, r.differ(&Difference{Path: path, Recorded: "nothing more", Now: r.asks(asked)})
	case !e.sameAs(asked):
		was, is := apartFrom(e.what(), asked.what())
		return nil, r.differ(&Difference{Path: path, Recorded: was, Now: "it asks for " + is + r.elsewhere(asked)})
	}
	return e, nil
}

// pass goes over a step that is as on record; waiting is one at which the record ends.
func (r *repeater) pass(e *Entry, waiting bool) error {
	r.same++
	if r.each != nil {
		r.each(e)
	}
	if waiting {
		return r.stop(errEndOfRecord)
	}
	return nil
}

// over reports that a sleep is over: something is on record behind it.
func (t *Try) over(e *Entry) bool { return t.End != nil || t.Entries[len(t.Entries)-1] != e }

func (r *repeater) stop(err error) error {
	r.stopped = cmp.Or(r.stopped, err)
	return r.stopped
}

func (r *repeater) differ(d *Difference) error {
	r.differs = d
	return r.stop(fault.New(fault.Canceled, "journal.Repeat", "the guest behaves otherwise than on record"))
}

// missed is what a guest that ended did not ask for.
func (r *repeater) missed() *Difference {
	e := r.try.byPath[Path("").child(r.n+1)]
	if e == nil {
		return nil
	}
	return &Difference{Path: e.Path, Recorded: brief(e.what()), Now: "it ends"}
}

// asks is a host call that has nothing opposite it, in words.
func (r *repeater) asks(e *Entry) string { return "it asks for " + brief(e.what()) + r.elsewhere(e) }

// elsewhere says whether a host call is on record at another place.
func (r *repeater) elsewhere(asked *Entry) string {
	for _, e := range r.try.Entries {
		if e.sameAs(asked) && e.Path.depth() == 1 {
			return ", which is on record as step " + string(e.Path)
		}
	}
	return ", which is not on record"
}

// sameAs reports that two host calls ask for the same.
func (e *Entry) sameAs(asked *Entry) bool {
	if e.IsSleep() && asked.IsSleep() {
		return len(e.Request) == 0 || bytes.Equal(e.Request, asked.Request)
	}
	return e.Capability == asked.Capability && e.Function == asked.Function && bytes.Equal(e.Request, asked.Request)
}

// what is a host call in words: what it addresses comes first.
func (e *Entry) what() string {
	if e.IsSleep() {
		return strings.TrimSpace("a sleep of " + string(e.Request))
	}
	return e.Title() + " " + string(e.Request)
}

// Title names a host call and what it addresses, on one line: "http.send POST /contacts".
func (e *Entry) Title() string {
	if e.IsSleep() {
		return strings.TrimSpace("sleep " + string(e.Request))
	}
	title := e.Capability + "." + e.Function
	var fields map[string]json.RawMessage
	if json.Unmarshal(e.Request, &fields) != nil {
		return title
	}
	if e.Capability == "http" && fields["method"] == nil {
		title += " GET"
	}
	for _, name := range []string{"role", "method", "url", "event", "set", "source_id", "key", "name"} {
		var text string
		if json.Unmarshal(fields[name], &text) == nil && text != "" {
			title += " " + text
		}
	}
	return brief(title)
}

// mostText bounds what is shown of a text, in bytes.
const mostText = 300

// brief cuts a text for people.
func brief(text string) string {
	if len(text) > mostText {
		text = text[:mostText] + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// apartFrom cuts two texts that differ so that the difference is seen.
func apartFrom(a, b string) (string, string) {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	const before = 60
	if n <= mostText-before {
		return brief(a), brief(b)
	}
	return brief(a[:before] + "…" + a[n-before:]), brief(b[:before] + "…" + b[n-before:])
}
