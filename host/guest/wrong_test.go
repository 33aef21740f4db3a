package guest

import (
	"context"
	"slices"
	"testing"
)

// wrongs are engines with one fault each, and the check that must notice it.
var wrongs = []struct {
	name   string
	caught string
	call   func(m Module) func(context.Context, Call) (Result, error)
}{
	{"keeps state by calling one instance again", "StateDoesNotSurviveACall", reusing},
	{"ignores the deadline", "StopsTheHostile", changing(func(c *Call) { c.Limits.Timeout *= 40 })},
	{"ignores the limit of memory", "StopsTheHostile", changing(func(c *Call) { c.Limits.MemoryBytes = 0 })},
	{"ignores the limit of host calls", "StopsTheHostile", changing(func(c *Call) { c.Limits.HostCalls = 0 })},
	{"ignores the limit of log", "DropsAndCountsLogAboveTheLimit", changing(func(c *Call) { c.Limits.LogLines, c.Limits.LogBytes = 0, 0 })},
	{"ignores the limit of input", "RefusesLargeInputBeforeAnythingRuns", changing(func(c *Call) { c.Limits.InputBytes = 0 })},
	{"does not say which guest", "StopsTheHostile", changing(func(c *Call) { c.Plugin = "" })},
	{"grants what was not granted", "WithoutHostNothingIsGranted", changing(func(c *Call) {
		if c.Host == nil {
			c.Host = func(context.Context, Import, []byte) []byte { return []byte(`{"value":{}}`) }
		}
	})},
	{"hands the guest its caller's input", "NeverWritesToTheInput", func(m Module) func(context.Context, Call) (Result, error) {
		return func(ctx context.Context, c Call) (Result, error) {
			r, err := m.Call(ctx, c)
			for i := range c.Input {
				c.Input[i] = 0xff
			}
			return r, err
		}
	}},
	{"keeps the output for itself", "OutputBelongsToTheCaller", func(m Module) func(context.Context, Call) (Result, error) {
		var buffer []byte
		return func(ctx context.Context, c Call) (Result, error) {
			r, err := m.Call(ctx, c)
			buffer = append(buffer[:0], r.Output...)
			r.Output = slices.Clip(buffer)
			return r, err
		}
	}},
	{"gives the output of a guest that failed", "StopsTheHostile", func(m Module) func(context.Context, Call) (Result, error) {
		return func(ctx context.Context, c Call) (Result, error) {
			r, err := m.Call(ctx, c)
			if err != nil {
				r.Output = []byte("half")
			}
			return r, err
		}
	}},
}

// TestSuite_CatchesWrongEngines: the suite can fail.
func TestSuite_CatchesWrongEngines(t *testing.T) {
	t.Parallel()
	for _, w := range wrongs {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			i := slices.IndexFunc(checks, func(c check) bool { return c.name == w.caught })
			err := checks[i].against(func(ctx context.Context, c Config) (Engine, error) {
				e, err := OpenNative(ctx, c)
				return &wrongEngine{Engine: e, call: w.call}, err
			})
			if err == nil {
				t.Errorf("%s did not notice it", w.caught)
			}
		})
	}
}

// TestSuite_CatchesEnginesThatLeak: so can the check that every instance was closed.
func TestSuite_CatchesEnginesThatLeak(t *testing.T) {
	t.Parallel()
	err := checks[0].against(func(ctx context.Context, c Config) (Engine, error) {
		e, err := OpenNative(ctx, c)
		return leaking{e}, err
	})
	if err == nil {
		t.Error("nobody noticed an open instance")
	}
}

type leaking struct{ Engine }

func (leaking) Instances() int { return 1 }

// wrongEngine is an engine whose modules call wrongly.
type wrongEngine struct {
	Engine
	call func(Module) func(context.Context, Call) (Result, error)
}

func (e *wrongEngine) Compile(ctx context.Context, wasm []byte) (Module, error) {
	m, err := e.Engine.Compile(ctx, wasm)
	if err != nil {
		return nil, err
	}
	return &wrongModule{m, e.call(m)}, nil
}

type wrongModule struct {
	Module
	call func(context.Context, Call) (Result, error)
}

func (m *wrongModule) Call(ctx context.Context, c Call) (Result, error) { return m.call(ctx, c) }

func changing(change func(*Call)) func(Module) func(context.Context, Call) (Result, error) {
	return func(m Module) func(context.Context, Call) (Result, error) {
		return func(ctx context.Context, c Call) (Result, error) {
			c.Limits = c.Limits.orDefault()
			change(&c)
			return m.Call(ctx, c)
		}
	}
}

// reusing makes one instance, never another, and never puts it back.
func reusing(m Module) func(context.Context, Call) (Result, error) {
	native := m.(*nativeModule)
	i := &instance{module: native, template: native.template}
	return func(ctx context.Context, c Call) (Result, error) {
		k := &i.kernel
		if s := k.open(ctx, &c, native.exports, native.memory(nil)); s != nil {
			return Result{}, s.of(c.Plugin)
		}
		defer k.cancel()
		k.begin(native.engine)
		output, err := native.run(i)
		return k.finish(output, k.judge(err))
	}
}
