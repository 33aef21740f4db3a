package guest

import (
	"context"
	"encoding/binary"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/plugin/wasm"
	"github.com/frigg-host/frigg-host/host/plugin/wasm/wasmtest"
)

// out is how many turns are taken now.
func (t *turns) out() int { return cap(t.free) - len(t.free) }

// TestTurns_SpinningGuestsStopNobody: with more of them than cores, the garbage collector runs, other calls are answered,
// and those that spin end when they must, with the instances that they have.
func TestTurns_SpinningGuestsStopNobody(t *testing.T) {
	t.Parallel()
	e := open(t, Config{Imports: []Import{sendImport}}).(*native)
	spin, good := compiledBytes(t, e, fixture("hostile")), compiledBytes(t, e, fixture("good"))
	spinners := 2 * runtime.GOMAXPROCS(0)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	instances := map[*instance]bool{}
	for round, c := range []struct {
		ctx    context.Context
		limits Limits
		want   Reason
	}{
		{ctx, Limits{Timeout: time.Minute}, ReasonCanceled},
		{context.Background(), Limits{Timeout: 300 * time.Millisecond}, ReasonDeadline},
		{context.Background(), Limits{Fuel: 100 * quantum}, ReasonFuel},
	} {
		var spins sync.WaitGroup
		for range spinners {
			spins.Go(func() {
				if _, err := spin.Call(c.ctx, Call{Plugin: "p", Export: "loop", Limits: c.limits}); ReasonOf(err) != c.want {
					t.Errorf("want %q, got %v", c.want, err)
				}
			})
		}
		if c.want == ReasonCanceled {
			for e.Instances() < spinners {
				runtime.Gosched()
			}
			for range 20 { // all of this while they spin
				runtime.GC()
				if err := stateOf(good); err != nil {
					t.Error(err)
				}
			}
			if n := e.Instances(); n != spinners {
				t.Errorf("%d spin", n)
			}
			cancel()
		}
		spins.Wait()
		idle := e.pool.idleOf(spin)
		if len(idle) > spinners {
			t.Errorf("%d instances for %d calls", len(idle), spinners)
		}
		for _, i := range idle {
			if round > 0 && len(instances) == spinners && !instances[i] {
				t.Error("another instance was made")
			}
			instances[i] = true
			if err := i.traces(); err != nil {
				t.Error(err)
			}
		}
		if n := e.turns.out(); n != 0 {
			t.Errorf("%d turns are still taken after %q", n, c.want)
		}
	}
}

// computing keeps a guest busy until it has had to wait for a turn, several times.
var computing = repeating(20_000_000)

// TestTurns_AreGivenBackHoweverACallEnds: and are not held while a guest waits.
func TestTurns_AreGivenBackHoweverACallEnds(t *testing.T) {
	t.Parallel()
	send := []byte{0x42, 0, 0x10, 0, 0x1a}
	e := open(t, Config{Imports: []Import{sendImport}}).(*native)
	for name, c := range map[string]struct {
		code   []byte
		starts bool
		limits Limits
		host   HostFunc
	}{
		"returns":            {code: computing},
		"traps":              {code: cat(computing, unreachable)},
		"spins":              {code: forever, limits: Limits{Timeout: 50 * time.Millisecond}},
		"runs out of fuel":   {code: forever, limits: Limits{Fuel: 10_000_000}},
		"asks, and computes": {code: cat(computing, send, computing), host: answering},
		"asks what panics":   {code: cat(computing, send), host: panicking},
		"asks for long":      {code: cat(computing, send), limits: Limits{Timeout: 200 * time.Millisecond}, host: func(ctx context.Context, _ Import, _ []byte) []byte { <-ctx.Done(); return nil }},
		"logs":               {code: cat(computing, []byte{0x42, 0, 0x10, 1}, computing)},
		"while it starts":    {code: computing, starts: true},
		"start that spins":   {code: cat(computing, unreachable), starts: true},
	} {
		t.Run(name, func(t *testing.T) {
			run, start := cat(c.code, zero), []byte{0x01}
			if c.starts {
				run, start = zero, c.code
			}
			m := compiledBytes(t, e, wasmtest.Module{
				Imports: []wasm.Import{{Module: sendImport.Module, Name: sendImport.Name, Type: wasmtest.Door}, imported(abi.KernelModule, "log_info", "I", "")},
				Funcs: []wasmtest.Func{
					{Export: "run", Type: wasmtest.Entry, Locals: 1, Code: run},
					{Export: startInitialize, Type: nothing, Locals: 1, Code: start},
				},
			}.Bytes())
			if n := e.turns.out(); n != 0 {
				t.Errorf("%d turns are taken after the start", n)
			}
			waiting := func() {
				if n := e.turns.out(); n != 0 {
					t.Errorf("%d turns are held while the host answers", n)
				}
			}
			_, _ = m.Call(context.Background(), Call{
				Plugin: "p", Export: "run", Limits: c.limits, Log: func(Level, string) { waiting() },
				Host: func(ctx context.Context, im Import, request []byte) []byte {
					waiting()
					return c.host(ctx, im, request)
				},
			})
			if n := e.turns.out(); n != 0 {
				t.Errorf("%d turns are still taken", n)
			}
		})
	}
}

// TestTurns_WhoWaitsForOneCanBeCancelled: and takes none then.
func TestTurns_WhoWaitsForOneCanBeCancelled(t *testing.T) {
	t.Parallel()
	e := open(t, Config{Imports: []Import{sendImport}}).(*native)
	m := compiledBytes(t, e, fixture("hostile"))
	for range cap(e.turns.free) {
		<-e.turns.free
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		_, err := m.Call(ctx, Call{Plugin: "p", Export: "loop", Limits: Limits{Timeout: time.Minute}})
		ended <- err
	}()
	if err := stateOf(compiledBytes(t, e, fixture("good"))); err != nil {
		t.Errorf("a short call needs no turn: %v", err)
	}
	cancel()
	if err := <-ended; ReasonOf(err) != ReasonCanceled {
		t.Error(err)
	}
	if _, err := m.Call(context.Background(), Call{Plugin: "p", Export: "loop", Limits: short}); ReasonOf(err) != ReasonDeadline {
		t.Error(err)
	}
	if n := len(e.turns.free); n != 0 {
		t.Errorf("%d turns came from nowhere", n)
	}
}

// TestTurns_AreNotHeldInSleep: of which a guest may have as much as it likes.
func TestTurns_AreNotHeldInSleep(t *testing.T) {
	t.Parallel()
	k := testKernel(1 << 12)
	defer k.cancel()
	k.pace.take(k)
	if k.pace.turns.out() != 1 {
		t.Fatal("it has no turn")
	}
	subscription := k.memory.Bytes()
	binary.LittleEndian.PutUint64(subscription[24:], uint64(time.Millisecond))
	if errno := poll(k, []uint64{0, 1000, 1, 900}); errno != errnoSuccess || k.pace.turns.out() != 0 {
		t.Errorf("error %d, and %d turns are held", errno, k.pace.turns.out())
	}
}

// TestTurns_AreFewerThanWhoWants: never more at once than cores, and everybody gets one.
func TestTurns_AreFewerThanWhoWants(t *testing.T) {
	t.Parallel()
	all := newTurns()
	var served [10]bool
	var workers sync.WaitGroup
	for n := range served {
		workers.Go(func() {
			var p pace
			p.begin(all, time.Now().Add(-time.Hour))
			p.steps = small // it has computed for long
			for range 5 {
				p.step(context.Background(), time.Now())
				if p.held && all.out() > runtime.GOMAXPROCS(0) {
					t.Error("more turns than cores")
				}
				served[n] = p.held
				p.since = time.Time{}
				p.rest()
			}
		})
	}
	workers.Wait()
	if all.out() != 0 || slices.Contains(served[:], false) {
		t.Errorf("%d are out, and these had one: %v", all.out(), served)
	}
}
