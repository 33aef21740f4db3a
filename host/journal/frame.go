package journal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// frame is one guest call of a run: that of the run itself, or one that answers a host call of another.
type frame struct {
	r    *Recorder
	path Path // of the host call that it answers
	key  string
	seed [32]byte
	at   time.Time // on the guest's clock
	n    int       // host calls so far
}

var _ plugin.Journal = (*frame)(nil)

// Pin implements plugin.Journal.
func (f *frame) Pin(d plugin.Digest) plugin.Digest {
	if f.path == "" {
		return f.r.try.Start.Digest
	}
	if was, ok := f.r.try.pins[f.path]; ok {
		return was
	}
	_ = f.r.write(&record{Kind: kindPin, Path: f.path, Digest: d})
	if !slices.Contains(f.r.run.Modules, d) {
		f.r.run.Modules = append(f.r.run.Modules, d)
	}
	return d
}

// Seed implements plugin.Journal.
func (f *frame) Seed() *[32]byte { return &f.seed }

// Now implements plugin.Journal.
func (f *frame) Now() time.Time { return f.at }

// Replaying implements plugin.Journal.
func (f *frame) Replaying() bool {
	return f.r.resumed && f.r.try.byPath[f.path.child(f.n+1)] != nil
}

// Ended implements plugin.Journal.
func (f *frame) Ended(output []byte, fuel int64, memory uint64) {
	f.r.fuel += fuel
	f.r.memory = max(f.r.memory, memory)
	if f.path == "" {
		f.r.own, f.r.output = fuel, output
	}
}

// shortSleep is up to how long a guest waits in its instance. A longer wait ends the guest: it is repeated when the time has
// come.
const shortSleep = 5 * time.Second

// Sleep implements plugin.Journal.
func (f *frame) Sleep(ctx context.Context, d time.Duration) error {
	if d < shortSleep {
		if !f.Replaying() {
			wait(ctx, d)
		}
		f.at = f.at.Add(d)
		return nil
	}
	f.n++
	r, path := f.r, f.path.child(f.n)
	e := r.try.byPath[path]
	length := []byte(d.String())
	switch {
	case e == nil:
		if err := r.room(); err != nil {
			return r.stop(err)
		}
		r.entries++
		e = &Entry{Path: path, Capability: sleeping, Asked: f.at, Until: r.now().Add(d.Truncate(time.Microsecond))} // as jobs know the time, or one is woken too early
		if err := r.write(&record{Kind: kindSleep, Path: path, Capability: sleeping, Asked: e.Asked, Until: e.Until, request: length}); err != nil {
			return r.stop(err)
		}
		e = r.try.byPath[path]
	case !e.IsSleep():
		return r.stop(&Diverged{Path: path, Recorded: *e, Asked: &Entry{Path: path, Capability: sleeping, Until: f.at.Add(d)}})
	}
	if r.now().Before(e.Until) {
		return r.stop(&Suspended{Until: e.Until})
	}
	f.at = e.Until
	return nil
}

// longestSleep bounds what a guest may ask for.
const longestSleep = 366 * 24 * time.Hour

// asksToSleep reports that a host call is one for a sleep, which is on record as any other sleep.
func asksToSleep(capability, function string) bool { return capability == "run" && function == "sleep" }

// slept answers the host call for a sleep.
func slept(ctx context.Context, request []byte, sleep func(context.Context, time.Duration) error) ([]byte, error) {
	var q abi.RunSleep
	if err := json.Unmarshal(request, &q); err != nil || q.MS < 0 || q.MS > longestSleep.Milliseconds() {
		return []byte(`{"fault":{"kind":"invalid","side":"guest","message":"ms must be a number from 0 to a year"}}`), nil
	}
	if err := sleep(ctx, time.Duration(q.MS)*time.Millisecond); err != nil {
		return nil, err
	}
	return []byte(`{"value":{}}`), nil
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Serve implements plugin.Journal.
func (f *frame) Serve(ctx context.Context, capability, function string, request []byte, do func(context.Context) []byte) ([]byte, error) {
	r := f.r
	if r.stopped != nil {
		return nil, r.stopped
	}
	if asksToSleep(capability, function) {
		return slept(ctx, request, f.Sleep)
	}
	f.n++
	path := f.path.child(f.n)
	a := &asked{
		frame: f, path: path, capability: capability, function: function, request: request, class: classOf(capability, function, request),
	}
	if a.class == abi.ClassRemote || a.class == abi.ClassLocal {
		a.key = r.keyOf(f, capability, function, request)
	}
	e := r.try.byPath[path]
	if e != nil && !a.is(e) {
		return nil, r.stop(&Diverged{Path: path, Recorded: *e, Asked: a.entry()})
	}
	if e != nil && e.Known() {
		return f.answered(e), nil
	}
	if err := r.room(); e == nil && err != nil {
		return nil, r.stop(err)
	}
	r.entries++
	answer, err := a.answer(ctx, e, do)
	if r.stopped != nil {
		err = r.stopped // of a guest that was called to answer
	}
	if err != nil {
		return nil, r.stop(err)
	}
	return answer, nil
}

// answered gives the guest what is on record.
func (f *frame) answered(e *Entry) []byte {
	f.at = e.At
	return e.Answer
}

// stop keeps the first reason to end the guest, and returns it.
func (r *Recorder) stop(err error) error {
	if r.stopped == nil {
		r.stopped = err
	}
	return r.stopped
}

// asked is a host call whose answer is not on record.
type asked struct {
	frame      *frame
	path       Path
	capability string
	function   string
	class      abi.Class
	request    []byte
	key        string
}

// is reports that e is the same host call.
func (a *asked) is(e *Entry) bool {
	return e.Capability == a.capability && e.Function == a.function && bytes.Equal(e.Request, a.request)
}

func (a *asked) entry() *Entry {
	return &Entry{Path: a.path, Capability: a.capability, Function: a.function, Class: a.class, Request: a.request, Key: a.key, Asked: a.frame.at}
}

// answer gets an answer by what the call does to the world. e is its intent, if that is on record.
func (a *asked) answer(ctx context.Context, e *Entry, do func(context.Context) []byte) ([]byte, error) {
	switch {
	case a.capability == "run":
		return a.verb()
	case a.composite():
		return a.nested(ctx, do)
	case a.class == abi.ClassRemote:
		return a.effect(ctx, e, do)
	case a.class == abi.ClassLocal:
		return a.local(ctx, do)
	}
	return a.keep(do(plugin.WithHostCall(ctx, nil)))
}

// keep puts the answer of a finished call into the log.
func (a *asked) keep(answer []byte) ([]byte, error) {
	if err := a.frame.r.write(a.record(kindAnswer, answer)); err != nil {
		return nil, err
	}
	return a.took(answer), nil
}

func (a *asked) record(k kind, answer []byte) *record {
	r := &record{
		Kind: k, Path: a.path, Capability: a.capability, Function: a.function, Class: a.class, Asked: a.frame.at, Key: a.key,
		request: bytes.Clone(a.request), answer: answer,
	}
	if k != kindIntent {
		r.At = a.frame.r.now()
	}
	return r
}

// took moves the guest's clock.
func (a *asked) took(answer []byte) []byte {
	a.frame.at = a.frame.r.try.byPath[a.path].At
	return answer
}

// local commits an effect inside this host together with its entry.
func (a *asked) local(ctx context.Context, do func(context.Context) []byte) ([]byte, error) {
	r := a.frame.r
	var answer []byte
	before := len(r.pending)
	err := r.store.Together(context.WithoutCancel(ctx), func(ctx context.Context) error {
		answer = do(plugin.WithHostCall(ctx, &plugin.HostCall{Key: a.key}))
		if err := r.write(a.record(kindAnswer, answer)); err != nil {
			return err
		}
		return r.flush(ctx)
	})
	if err != nil {
		if len(r.pending) > before {
			r.takeBack()
		}
		return nil, err
	}
	r.flushed()
	if r.committed != nil {
		r.committed()
	}
	return a.took(answer), nil
}

// nested answers by another guest, whose own host calls are recorded below this one.
func (a *asked) nested(ctx context.Context, do func(context.Context) []byte) ([]byte, error) {
	f := a.frame
	seed := sha256.Sum256(fmt.Appendf(f.seed[:], "|%s", a.path))
	inner := &frame{r: f.r, path: a.path, key: a.key, seed: seed, at: f.at}
	call := &plugin.HostCall{Key: a.key, Journal: func() plugin.Journal { return inner }}
	answer := do(plugin.WithHostCall(ctx, call))
	if f.r.stopped != nil {
		return nil, f.r.stopped
	}
	if err := ctx.Err(); err != nil {
		return nil, fault.Wrap(err, fault.Canceled, "journal.Serve", "the run was interrupted")
	}
	return a.keep(answer)
}

// effect does something outside: intent, act, outcome.
func (a *asked) effect(ctx context.Context, e *Entry, do func(context.Context) []byte) ([]byte, error) {
	r := a.frame.r
	before := r.done[a.key] // in an earlier try
	switch {
	case e == nil && before != nil && before.Known():
		return a.recall(before)
	case e == nil:
		if err := a.intend(ctx); err != nil {
			return nil, err
		}
		e = before
	case e.Decision != nil && e.Decision.Choice == Resend: // which counts once: what becomes of that is open again
		if err := a.intend(ctx); err != nil {
			return nil, err
		}
		e = nil
	}
	call := &plugin.HostCall{Key: a.key, Still: r.still}
	switch {
	case e == nil || e.Known():
	case e.Decision == nil:
		call.Unsure = e.Asked
	case e.Decision.Choice == Happened:
		return a.outcome(ctx, answerOf(e.Decision))
	}
	answer := do(plugin.WithHostCall(ctx, call))
	switch why, later := call.Doubt(); {
	case why != nil && !later:
		return nil, &Undecided{Path: a.path, Why: why}
	case why != nil:
		return nil, why
	case call.Unknown() && failure(answer) != nil:
		return nil, failure(answer)
	case ctx.Err() != nil: // what the answer says may be only that
		return nil, fault.Wrap(ctx.Err(), fault.Canceled, "journal.Serve", "the run was interrupted")
	}
	return a.outcome(ctx, answer)
}

// failure is that of an answer, nil if it has a value.
func failure(answer []byte) error {
	_, f, ok := abi.OpenAnswer(answer)
	if !ok || f == nil {
		return nil
	}
	return &fault.Error{
		Kind: fault.Kind(f.Kind), Side: fault.Side(f.Side), Op: "journal.Serve", Msg: f.Message, RetryAfter: time.Duration(f.RetryAfterMS) * time.Millisecond,
	}
}

// recall answers an effect by what an earlier try had: it is not repeated.
func (a *asked) recall(before *Entry) ([]byte, error) {
	rec := a.record(kindAnswer, before.Answer)
	rec.Recalled = true
	if err := a.frame.r.write(rec); err != nil {
		return nil, err
	}
	return a.took(before.Answer), nil
}

// intend puts on disk that an effect is about to happen.
func (a *asked) intend(ctx context.Context) error {
	if err := a.frame.r.write(a.record(kindIntent, nil)); err != nil {
		return err
	}
	err := a.frame.r.commit(ctx)
	if err != nil {
		a.frame.r.takeBack()
	}
	return err
}

// outcome puts the answer of an effect on disk.
func (a *asked) outcome(ctx context.Context, answer []byte) ([]byte, error) {
	r := a.frame.r
	if err := r.write(&record{Kind: kindOutcome, Path: a.path, At: r.now(), answer: answer}); err != nil {
		return nil, err
	}
	if err := r.commit(ctx); err != nil {
		return nil, err
	}
	return a.took(answer), nil
}

// verb answers what the run itself offers.
func (a *asked) verb() ([]byte, error) {
	var q struct {
		State json.RawMessage `json:"state"`
	}
	if a.function != "checkpoint" || json.Unmarshal(a.request, &q) != nil {
		return a.keep([]byte(`{"fault":{"kind":"invalid","side":"guest","message":"a checkpoint needs a state"}}`))
	}
	return nil, &Checkpoint{State: q.State}
}

// composite reports that the call is answered by a guest, whose calls are recorded one by one.
func (a *asked) composite() bool { return a.capability == "module" }

var classes = func() map[string]abi.Class {
	all := map[string]abi.Class{}
	for _, f := range abi.Functions {
		all[f.Capability+"."+f.Name] = f.Class
	}
	return all
}()

// classOf is what a host call does to the world. A request that only reads at the vendor, or that its author declares safe to
// repeat, is a read.
func classOf(capability, function string, request []byte) abi.Class {
	class := classes[capability+"."+function]
	if capability != "http" {
		return class
	}
	var q abi.HTTPRequest
	if plugin.Decode(request, &q) != nil { // as the room that sends it does: there is one way to read it
		return class
	}
	switch q.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions:
		return abi.ClassRead
	}
	if q.SafeToRepeat {
		return abi.ClassRead
	}
	return class
}
