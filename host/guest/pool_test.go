package guest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
)

// pooled makes idle instances that have bytes for themselves.
func pooled(m *nativeModule, p *pool, now time.Time, bytes ...uint64) (all []*instance) {
	for _, n := range bytes {
		i := &instance{module: m, private: n}
		p.put(i, now)
		all = append(all, i)
	}
	return all
}

func TestPool_IsBoundedByCountBytesAndTime(t *testing.T) {
	t.Parallel()
	start := time.Unix(0, 0)
	a, b := &nativeModule{}, &nativeModule{}
	p := newPool(3, 100, time.Minute)
	want := func(what string, instances int, bytes uint64, of map[*nativeModule][]*instance) {
		t.Helper()
		if n, used := p.len(); n != instances || used != bytes {
			t.Fatalf("%s: %d instances of %d bytes, want %d of %d", what, n, used, instances, bytes)
		}
		for m, all := range of {
			if !slices.Equal(p.idleOf(m), all) {
				t.Fatalf("%s: others are left", what)
			}
		}
	}
	as := pooled(a, p, start, 10, 10, 10, 10)
	want("so many of one module", 3, 30, map[*nativeModule][]*instance{a: as[1:]})
	bs := pooled(b, p, start.Add(time.Second), 40, 40)
	want("so many bytes", 4, 100, map[*nativeModule][]*instance{a: as[2:], b: bs})
	if p.take(a) != as[3] {
		t.Fatal("it gave another instance")
	}
	want("one is used", 3, 90, map[*nativeModule][]*instance{a: as[2:3], b: bs})
	pooled(a, p, start.Add(30*time.Second), 20)
	want("the oldest is of another module", 3, 100, map[*nativeModule][]*instance{b: bs})
	p.sweep(start.Add(time.Minute))
	want("nobody waited long enough", 3, 100, nil)
	p.sweep(start.Add(time.Minute + time.Second))
	want("two waited a minute", 1, 20, map[*nativeModule][]*instance{b: nil})
	pooled(b, p, start.Add(time.Minute), 101)
	want("one that is too large alone", 0, 0, map[*nativeModule][]*instance{a: nil, b: nil})
	pooled(a, p, start, 1, 1)
	pooled(b, p, start, 1)
	p.drop(a)
	want("of a module that is closed", 1, 1, map[*nativeModule][]*instance{a: nil})
	p.sweep(start.Add(time.Hour))
	want("in the end", 0, 0, nil)
}

// TestPool_TakesWhatWasUsedLast: the others may become old.
func TestPool_TakesWhatWasUsedLast(t *testing.T) {
	t.Parallel()
	m, p := &nativeModule{}, newPool(4, 100, time.Minute)
	all := pooled(m, p, time.Unix(0, 0), 1, 1, 1)
	for _, want := range []*instance{all[2], all[1], all[0], nil} {
		if got := p.take(m); got != want {
			t.Error("it gave another instance")
		}
	}
}

// TestPool_CountsWhatAnInstanceKeeps: also when the last calls have touched nothing.
func TestPool_CountsWhatAnInstanceKeeps(t *testing.T) {
	t.Parallel()
	e := open(t, Config{}).(*native)
	if !e.ladder.restores() || e.ladder.isolation == Copy {
		t.Skip("nothing is kept here")
	}
	const touched = 16 * pageSize
	m := compiledBytes(t, e, runs(17, zero, i32(1), i32(touched), fillMemory))
	for _, export := range []string{"run", "noop", "noop"} {
		fuelOf(t, m, export, Limits{}, "")
		if n, bytes := e.pool.len(); n != 1 || bytes < touched || bytes > 2*touched {
			t.Errorf("after %s: %d instances that have %d bytes, want one with a little more than %d", export, n, bytes, touched)
		}
	}
}

// TestPool_KeepsNoDeepStackNorLongLists: what one call made large is not kept for all others.
func TestPool_KeepsNoDeepStackNorLongLists(t *testing.T) {
	t.Parallel()
	e := open(t, Config{Imports: []Import{sendImport}}).(*native)
	deep := compiledBytes(t, e, recursing(50_000))
	fuelOf(t, deep, "noop", Limits{}, "")
	i := e.pool.idleOf(deep)[0]
	if len(i.functions) != 1 || i.functions["noop"].stackBytes() == 0 {
		t.Fatal("the stack of a function cannot be seen; has wazero changed?")
	}
	fuelOf(t, deep, "run", Limits{}, "")
	if e.pool.idleOf(deep)[0] != i {
		t.Error("it was not used again")
	}
	for name, f := range i.functions {
		if n := f.stackBytes(); n > keptStack {
			t.Errorf("%s keeps a stack of %d bytes", name, n)
		}
	}
	crumbs := compiledBytes(t, e, fixture("hostile"))
	fuelOf(t, crumbs, "eat_arena_in_crumbs", Limits{ArenaBytes: 1 << 22}, ReasonArena)
	k := &e.pool.idleOf(crumbs)[0].kernel
	if cap(k.blocks) > keptBlocks || cap(k.arena) > keptArena {
		t.Errorf("it keeps a list of %d blocks and %d bytes", cap(k.blocks), cap(k.arena))
	}
}

// TestPool_ServesManyAtOnce: host functions that fail, calls that are cancelled, and the module closed under them.
func TestPool_ServesManyAtOnce(t *testing.T) {
	t.Parallel()
	e := open(t, Config{Imports: []Import{sendImport}, IdleInstances: 4}).(*native)
	m := compiledBytes(t, e, fixture("good"))
	var calls sync.WaitGroup
	started := make(chan struct{}, 64*20)
	for n := range 64 {
		calls.Go(func() {
			for range 20 {
				started <- struct{}{}
				err := goodMix[n%len(goodMix)].play(m)
				if n%2 == 0 {
					err = errors.Join(stateOf(m), goodMix[9].play(m))
				}
				if err != nil && ReasonOf(err) != ReasonClosed {
					t.Error(err)
				}
			}
		})
	}
	for range 300 {
		<-started
	}
	if n, _ := e.pool.len(); n > 4 {
		t.Errorf("%d idle instances", n)
	}
	if err := m.Close(context.Background()); err != nil {
		t.Error(err)
	}
	calls.Wait()
	if n, bytes := e.pool.len(); n != 0 || bytes != 0 || e.Instances() != 0 {
		t.Errorf("%d idle instances of %d bytes and %d running are left", n, bytes, e.Instances())
	}
}

// TestPool_ClosesWhileModulesStart: who compiles gets a module or hears that the engine is closed; nothing is left.
func TestPool_ClosesWhileModulesStart(t *testing.T) {
	t.Parallel()
	e := open(t, Config{Imports: []Import{sendImport}})
	var compiles sync.WaitGroup
	entered := make(chan struct{}, 8)
	for range 8 {
		compiles.Go(func() {
			entered <- struct{}{}
			m, err := e.Compile(context.Background(), fixture("hostile"))
			if err == nil {
				err = goodMix[0].play(m)
			}
			if err != nil && !fault.Is(err, fault.Unavailable) && ReasonOf(err) != ReasonExport && ReasonOf(err) != ReasonHost {
				t.Error(err)
			}
		})
	}
	<-entered
	if err := e.Close(context.Background()); err != nil {
		t.Error(err)
	}
	compiles.Wait()
}

// TestPool_ACancelledStartIsNoModule: it must not run for ever as one that cannot be put back.
func TestPool_ACancelledStartIsNoModule(t *testing.T) {
	t.Parallel()
	e := open(t, Config{Imports: []Import{sendImport}})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	m, err := e.Compile(ctx, fixture("initialize_loop"))
	if m != nil || !fault.Is(err, fault.Timeout) {
		t.Errorf("got %v and %v", m, err)
	}
	cancel()
	if _, err := e.Compile(ctx, fixture("good")); !fault.Is(err, fault.Timeout) {
		t.Error(err)
	}
}

// TestPool_ModulesOfTheSameBytesAreTwo: closing one leaves the other alone.
func TestPool_ModulesOfTheSameBytesAreTwo(t *testing.T) {
	t.Parallel()
	e := open(t, Config{Imports: []Import{sendImport}, Isolation: Fork})
	one, other := compiledBytes(t, e, fixture("good")), compiledBytes(t, e, fixture("good"))
	if err := errors.Join(stateOf(one), stateOf(other), one.Close(context.Background()), stateOf(other)); err != nil {
		t.Error(err)
	}
}
