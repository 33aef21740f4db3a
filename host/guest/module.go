package guest

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/tetratelabs/wazero"

	"github.com/frigg-host/frigg-host/host/guest/rewrite"
)

// nativeModule is compiled code in the native engine.
type nativeModule struct {
	engine     *native
	compiled   wazero.CompiledModule
	code       *rewrite.Module
	convention convention
	exports    []string
	gate       *gate

	idle []*instance // newest last; it belongs to the pool

	template *template // nil: every call sets up an instance of its own
	why      string    // there is none
	restores atomic.Uint64
	spoiled  atomic.Bool // a restored instance was not clean
}

// canary is how many restores there are between two looks at everything.
const canary = 1 << 12

// Exports implements Module.
func (m *nativeModule) Exports() []string { return slices.Clone(m.exports) }

// Describe implements Module.
func (m *nativeModule) Describe() Description {
	switch {
	case m.template == nil:
		return Description{Isolation: Fresh, Why: m.why}
	case m.spoiled.Load():
		return Description{Isolation: Fork, Why: spoiledText, ImageBytes: m.template.image.Size()}
	}
	return Description{Isolation: m.engine.ladder.isolation, ImageBytes: m.template.image.Size()}
}

const spoiledText = "an instance was not as clean as it should have been after a call; please report this"

// Close implements Module.
func (m *nativeModule) Close(ctx context.Context) error { return m.gate.shut(ctx) }

// free gives everything back, when no call is running any more.
func (m *nativeModule) free() error {
	m.engine.shelf.remove(m)
	m.engine.pool.drop(m)
	err := m.compiled.Close(context.Background())
	if m.template != nil {
		err = errors.Join(err, m.template.image.Close())
	}
	return err
}

// Call implements Module.
func (m *nativeModule) Call(ctx context.Context, c Call) (Result, error) {
	if !m.gate.enter() {
		return Result{}, closedModule(c.Plugin)
	}
	defer m.gate.leave()
	i := m.take(c.Export)
	k := &i.kernel
	if s := k.open(ctx, &c, m.exports, m.memory(i.template)); s != nil {
		k.ended = k.started
		m.giveBack(i, s)
		return Result{}, s.of(c.Plugin)
	}
	m.engine.open.Add(1)
	defer m.engine.open.Add(-1)

	k.begin(m.engine)
	if c.Seed != nil {
		k.dice.seed(*c.Seed)
	}
	if i.template != nil {
		k.resume(i.template)
	}
	output, err := m.run(i)
	s := k.judge(err)
	m.measure(i)
	k.cancel()
	result, failure := k.finish(output, s)
	m.giveBack(i, s)
	return result, failure
}

// take finds an instance for a call; one that is new is not open yet.
func (m *nativeModule) take(export string) *instance {
	if m.template == nil || m.convention.alone(export) {
		return &instance{module: m}
	}
	if !m.spoiled.Load() {
		if i := m.engine.pool.take(m); i != nil {
			return i
		}
	}
	return &instance{module: m, template: m.template}
}

// memory is what an instance of a template has of it.
func (m *nativeModule) memory(t *template) memoryRange {
	r := memoryRange{m.code.MinMemory, min(m.code.MaxMemory, m.engine.config.MemoryCeiling)}
	if t != nil {
		r.least = max(r.least, t.image.Size())
	}
	return r
}

// run makes the instance ready, if it is not, and calls the export.
func (m *nativeModule) run(i *instance) (output []byte, err error) {
	k := &i.kernel
	defer k.pace.rest()
	defer k.recover()
	if err := m.ready(i); err != nil {
		k.exitedEarly()
		return nil, err
	}
	k.lend()
	i.memory.Watch()
	err = m.convention.call(i)
	if err != nil && !k.succeeded() {
		return nil, err
	}
	return k.output(), err
}

// ready makes a new instance one that can be called.
func (m *nativeModule) ready(i *instance) error {
	switch {
	case i.guest != nil:
		return nil
	case i.template != nil:
		return i.open()
	case m.convention.alone(i.kernel.call.Export):
		if err := i.open(); err != nil {
			return err
		}
		return m.load(i)
	}
	return m.prepare(i)
}

// measure notes what the instance has in the end, before it is put back.
func (m *nativeModule) measure(i *instance) {
	k := &i.kernel
	if i.memory == nil {
		return
	}
	if i.guest != nil {
		k.count()
	}
	k.had = uint64(len(i.memory.Bytes()))
	if hook := m.engine.config.AfterCall; hook != nil {
		hook(k.call.Plugin, [][]byte{i.memory.Bytes(), k.arena[:cap(k.arena)]})
	}
}

// giveBack puts an instance back to its template and keeps it, unless it cannot be used again.
func (m *nativeModule) giveBack(i *instance, s *stop) {
	if i.guest == nil {
		return // it never came to be
	}
	if i.template == nil || !m.restorable(s) {
		i.close()
		return
	}
	plugin, now := i.kernel.call.Plugin, i.kernel.ended
	if err := i.restore(); err != nil {
		m.engine.config.Log.Error("an instance could not be put back and was closed", "plugin", plugin, "err", err)
		i.close()
		return
	}
	if m.restores.Add(1)%canary == 0 && !i.clean() {
		i.close()
		m.spoil(plugin)
		return
	}
	m.engine.pool.put(i, now)
	if m.spoiled.Load() { // since it was asked whether the instance may serve again
		m.engine.pool.drop(m)
	}
}

// restorable reports whether an instance can serve again after a call that ended with s.
func (m *nativeModule) restorable(s *stop) bool {
	return m.engine.ladder.restores() && !m.spoiled.Load() && (s == nil || s.reason != ReasonHost && !s.overflow)
}

// spoil ends the use of instances for more than one call.
func (m *nativeModule) spoil(plugin string) {
	if !m.spoiled.Swap(true) {
		m.engine.config.Log.Error(spoiledText, "plugin", plugin)
	}
	m.engine.pool.drop(m)
}
