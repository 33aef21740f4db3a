package guest

import (
	"context"
	"errors"
	"slices"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/guest/snapshot"
)

// Isolation is how calls of a module are kept apart. They differ in cost, never in what a guest can see.
type Isolation string

// Isolations, fastest first. The first three put an instance back to its template and differ in how they find what a call
// has changed.
const (
	PagemapScan Isolation = Isolation(snapshot.PagemapScan) // Linux 6.7 or later tells which pages
	Pagemap     Isolation = Isolation(snapshot.Pagemap)     // Linux tells of each page
	Copy        Isolation = Isolation(snapshot.Copy)        // everything is copied
	Fork        Isolation = "fork"                          // a new instance of the template for each call
	Fresh       Isolation = "fresh"                         // a new instance for each call, which is set up each time
)

var isolations = []Isolation{PagemapScan, Pagemap, Copy, Fork, Fresh}

// Report says how an engine keeps calls apart.
type Report struct {
	Isolation Isolation
	// Rejected are the faster ways that do not work here, and why.
	Rejected []Rejected
	// Idle instances, and the bytes that they have for themselves.
	Idle      int
	IdleBytes uint64
}

// Rejected is a way that does not work here.
type Rejected struct {
	Isolation Isolation
	Why       string
}

// Description says how a module runs.
type Description struct {
	Isolation Isolation
	// Why it is not that of the engine.
	Why string
	// ImageBytes is the memory that all its instances share.
	ImageBytes uint64
}

// ladder is which way an engine has chosen.
type ladder struct {
	isolation Isolation
	method    snapshot.Method
	rejected  []Rejected
}

// restores reports whether instances are used again.
func (l ladder) restores() bool { return l.isolation != Fork && l.isolation != Fresh }

// climb chooses the fastest way that passes a test on this machine, with the wazero that is built in: the hooks for memory
// that it rests on are experimental there.
func (e *native) climb(ctx context.Context) error {
	if chosen := e.config.Isolation; chosen != "" {
		if !slices.Contains(isolations, chosen) {
			return fault.New(fault.Invalid, "guest.Open", "there is no isolation %q; use one of %v", chosen, isolations)
		}
		e.ladder = ladder{isolation: chosen, method: snapshot.Method(chosen)}
		return nil
	}
	method, rejected := snapshot.Probe()
	for _, r := range rejected {
		e.ladder.rejected = append(e.ladder.rejected, Rejected{Isolation(r.Method), r.Err.Error()})
	}
	e.ladder.isolation, e.ladder.method = Isolation(method), method
	if err := e.tryRestore(ctx); err != nil {
		e.ladder.rejected = append(e.ladder.rejected, Rejected{e.ladder.isolation, err.Error()})
		e.ladder.isolation = Fork
	}
	if err := ctx.Err(); err != nil { // which the test did not pass, then
		return fault.Wrap(err, fault.Canceled, "guest.Open", "opening was cancelled")
	}
	return nil
}

// probe is a module that changes all that a call can change. In text:
//
//	(memory 1) (global $g (mut i32) (i32.const 7))
//	(func (export "spoil")
//	  (drop (memory.grow (i32.const 2)))
//	  (i32.store8 (i32.const 100) (i32.const 1))
//	  (i32.store8 (i32.const 65541) (i32.const 1))
//	  (global.set $g (i32.const 8)))
var probe = []byte("\x00asm\x01\x00\x00\x00" +
	"\x01\x04\x01\x60\x00\x00" +
	"\x03\x02\x01\x00" +
	"\x05\x03\x01\x00\x01" +
	"\x06\x06\x01\x7f\x01\x41\x07\x0b" +
	"\x07\x09\x01\x05spoil\x00\x00" +
	"\x0a\x1e\x01\x1c\x00\x41\x02\x40\x00\x1a\x41\xe4\x00\x41\x01\x3a\x00\x00\x41\x85\x80\x04\x41\x01\x3a\x00\x00\x41\x08\x24\x00\x0b")

// tryRestore puts an instance back that has changed everything, and looks whether it is as it was.
func (e *native) tryRestore(ctx context.Context) error {
	compiled, err := e.Compile(ctx, probe)
	if err != nil {
		return err
	}
	defer compiled.Close(ctx)
	m := compiled.(*nativeModule)
	if m.template == nil {
		return errors.New(m.why)
	}
	i := &instance{module: m, template: m.template}
	defer i.close()
	k := &i.kernel
	if s := k.open(ctx, &Call{Export: "spoil"}, m.exports, m.memory(i.template)); s != nil {
		return s
	}
	defer k.cancel()
	k.begin(e)
	k.resume(i.template)
	if _, err := m.run(i); err != nil {
		return err
	}
	switch changed := !i.clean() && i.guest.Memory().Size() == 3*pageSize; {
	case !changed:
		return errors.New("the test itself did not work")
	case i.restore() != nil || !i.clean() || i.guest.Memory().Size() != pageSize:
		return errors.New("an instance was not as before when it had been put back")
	}
	return nil
}
