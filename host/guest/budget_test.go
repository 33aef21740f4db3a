package guest

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// oneCall is what a call with the default limits counts.
const oneCall = abi.LimitMemoryBytes + abi.LimitArenaBytes

// held keeps every guest that reads its storage until release is closed.
type held struct {
	plugin.StorageCapability
	entered chan struct{} // one value for each
	release chan struct{}
	now     atomic.Int32
	most    atomic.Int32
}

func newHeld() *held {
	return &held{entered: make(chan struct{}, 1000), release: make(chan struct{})}
}

func (h *held) Get(ctx context.Context, _ abi.StorageGet) (abi.StorageValue, error) {
	n := h.now.Add(1)
	defer h.now.Add(-1)
	for most := h.most.Load(); n > most && !h.most.CompareAndSwap(most, n); most = h.most.Load() {
	}
	h.entered <- struct{}{}
	select {
	case <-h.release:
	case <-ctx.Done():
	}
	return abi.StorageValue{}, nil
}

// reading is a call of a plugin that reads its storage.
func reading(module []byte, name string, storage plugin.StorageCapability) plugin.Call {
	in := event(module)
	in.Plugin.Name, in.Can.Storage = name, storage
	return in
}

func (b *budget) inLine() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting)
}

func TestRuntime_CallsAtOnceFitIntoTheBudget(t *testing.T) {
	t.Parallel()
	module := asks(abi.ExportHandleEvent, "storage", "get", `{"key":"k"}`)
	r, _ := boundedRuntimeOf(t, 4*oneCall, module)
	h := newHeld()
	var calls sync.WaitGroup
	for i := range 100 {
		calls.Go(func() {
			if _, err := r.Call(t.Context(), reading(module, []string{"crm", "erp"}[i%2], h)); err != nil {
				t.Error(err)
			}
		})
	}
	for range 4 {
		<-h.entered
	}
	for r.budget.inLine() < 96 { // everybody else waits, and does not start
		select {
		case <-h.entered:
			t.Fatal("a fifth call runs")
		default:
			runtime.Gosched()
		}
	}
	close(h.release)
	calls.Wait()
	if n := h.most.Load(); n != 4 {
		t.Errorf("%d calls ran at once, want 4", n)
	}
	if r.budget.used != 0 || len(r.budget.held) != 0 {
		t.Errorf("%d bytes are still held: %v", r.budget.used, r.budget.held)
	}
}

func TestRuntime_APluginThatLoopsLeavesRoomForOthers(t *testing.T) {
	t.Parallel()
	loop, quick := spins(abi.ExportHandleEvent), says(abi.ExportHandleEvent, `{"value":1}`)
	r, engine := boundedRuntimeOf(t, 4*oneCall, loop, quick)
	ctx, stop := context.WithCancel(t.Context())
	var loops sync.WaitGroup
	for range 10 {
		loops.Go(func() {
			in := event(loop)
			in.Plugin.Name, in.Timeout = "mallory", time.Minute
			if _, err := r.Call(ctx, in); ReasonOf(err) != ReasonCanceled {
				t.Error(err)
			}
		})
	}
	for r.budget.inLine() < 8 {
		runtime.Gosched()
	}
	for range 20 {
		if _, err := r.Call(t.Context(), event(quick)); err != nil {
			t.Error(err)
		}
	}
	if n := engine.Instances(); n > 2 {
		t.Errorf("%d of its instances run, want half of the budget", n)
	}
	stop()
	loops.Wait()
}

func TestRuntime_WhoWaitsTooLongIsToldToTryAgain(t *testing.T) {
	t.Parallel()
	module := asks(abi.ExportHandleEvent, "storage", "get", `{"key":"k"}`)
	r, _ := boundedRuntimeOf(t, 2*oneCall, module)
	h := newHeld()
	var first sync.WaitGroup
	first.Go(func() { _, _ = r.Call(t.Context(), reading(module, "crm", h)) })
	<-h.entered

	second := reading(module, "crm", h)
	second.Timeout = 20 * time.Millisecond
	_, err := r.Call(t.Context(), second)
	if err := wantStop(err, ReasonBusy, fault.RateLimited, fault.Host, "guest crm: too many guests run at once; try again in a moment"); err != nil {
		t.Error(err)
	}
	if fault.RetryAfterOf(err) <= 0 {
		t.Error("it does not say when")
	}
	gone, leave := context.WithCancel(t.Context())
	go func() {
		for r.budget.inLine() < 1 {
			runtime.Gosched()
		}
		leave()
	}()
	if _, err := r.Call(gone, reading(module, "crm", h)); ReasonOf(err) != ReasonCanceled || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want Canceled", err)
	}
	close(h.release)
	first.Wait()
}

// methods is a module capability that calls another guest.
type methods func(context.Context) (abi.ModuleValue, error)

func (m methods) Call(ctx context.Context, _ abi.ModuleCall) (abi.ModuleValue, error) { return m(ctx) }

func TestRuntime_ACallInsideACallDoesNotWait(t *testing.T) {
	t.Parallel()
	outer, inner := asks(abi.ExportHandleEvent, "module", "call", `{}`), says(abi.ExportCallMethod, `{"value":{"value":7}}`)
	r, _ := boundedRuntimeOf(t, 1, outer, inner)
	in := event(outer)
	in.Can.Module = methods(func(ctx context.Context) (abi.ModuleValue, error) {
		return plugin.Invoke[abi.ModuleValue](ctx, r, plugin.Call{Plugin: pluginOf(inner), Export: abi.ExportCallMethod}, abi.Empty{})
	})
	if value, err := r.Call(t.Context(), in); string(value) != `{"value":7}` {
		t.Errorf("got %s and %v", value, err)
	}
}

func TestRuntime_CallsInsideCallsEnd(t *testing.T) {
	t.Parallel()
	module := asks(abi.ExportHandleEvent, "module", "call", `{}`)
	r, _ := runtimeOf(t, module)
	in := event(module)
	var deepest atomic.Int32
	in.Can.Module = methods(func(ctx context.Context) (abi.ModuleValue, error) {
		deepest.Add(1)
		return plugin.Invoke[abi.ModuleValue](ctx, r, in, abi.Empty{})
	})
	_, err := r.Call(t.Context(), in)
	if fault.KindOf(err) != fault.Exhausted || fault.SideOf(err) != fault.Guest || !strings.Contains(fault.PublicMessage(err), "more than 4 deep") {
		t.Errorf("got %v", err)
	}
	if n := deepest.Load(); n != maxDepth+1 {
		t.Errorf("stopped after %d", n)
	}
}

func TestBudget_WhoHoldsLeastIsNextThenWhoCameFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(8)
		admitted := make(chan string, 10)
		leave := map[string]func(){}
		var mu sync.Mutex
		wants := func(name, plugin string, bytes uint64) {
			go func() {
				l := b.admit(t.Context(), plugin, bytes, time.Hour)
				mu.Lock()
				leave[name] = l
				mu.Unlock()
				admitted <- name
			}()
			synctest.Wait()
		}
		next := func() string {
			synctest.Wait()
			select {
			case name := <-admitted:
				return name
			default:
				return ""
			}
		}
		leaves := func(name string) { mu.Lock(); defer mu.Unlock(); leave[name]() }

		for _, w := range []struct {
			name, plugin string
			bytes        uint64
			in           string
		}{
			{"a1", "a", 2, "a1"}, {"a2", "a", 2, "a2"}, {"a3", "a", 1, ""}, // its share is full
			{"b1", "b", 99, "b1"},                                                          // one call may take the whole share
			{"b2", "b", 1, ""}, {"c1", "c", 1, ""}, {"c2", "c", 1, ""}, {"d1", "d", 2, ""}, // the budget is full
		} {
			wants(w.name, w.plugin, w.bytes)
			if got := next(); got != w.in {
				t.Fatalf("after %s came %q was admitted, want %q", w.name, got, w.in)
			}
		}
		leaves("a1") // 2 are free: c and d hold nothing, c came first; then d is next, whose 2 do not fit
		if got := next() + next(); got != "c1" {
			t.Errorf("admitted %q, want c1", got)
		}
		leaves("c1")
		if got := next() + next(); got != "c2" {
			t.Errorf("admitted %q, want c2", got)
		}
		leaves("c2")
		if got := next() + next(); got != "d1" {
			t.Errorf("admitted %q, want d1", got)
		}
	})
}

func TestBudget_TheLineOfAPluginIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(2)
		leave := b.admit(t.Context(), "a", 1, 0)
		var line sync.WaitGroup
		for range maxWaiting {
			line.Go(func() {
				if b.admit(t.Context(), "a", 1, time.Minute) != nil {
					t.Error("admitted")
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		if b.admit(t.Context(), "a", 1, time.Minute) != nil || time.Since(start) > 0 {
			t.Errorf("one more waited for %s", time.Since(start))
		}
		if l := b.admit(t.Context(), "b", 1, time.Minute); l == nil {
			t.Error("another plugin was kept out")
		}
		line.Wait()
		leave()
		if b.inLine() != 0 {
			t.Errorf("%d are still in line", b.inLine())
		}
	})
}

func TestMachineMemory_IsTheSmallerOfMachineAndGroup(t *testing.T) {
	t.Parallel()
	const meminfo = "MemTotal:        8000000 kB\nMemFree:         1 kB\n"
	for _, c := range []struct {
		name, meminfo, cgroup string
		want                  uint64
	}{
		{"machine", meminfo, "max\n", 8_000_000 << 10},
		{"group", meminfo, "1073741824\n", 1 << 30},
		{"generous group", meminfo, "9223372036854771712\n", 8_000_000 << 10},
		{"group alone", "", "1073741824\n", 1 << 30},
		{"neither", "", "", 0},
		{"garbage", "MemTotal: many kB\n\x00", "-1", 0},
	} {
		if got := machineMemory([]byte(c.meminfo), []byte(c.cgroup)); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}
