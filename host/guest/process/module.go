package process

import (
	"context"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/guest"
)

// module implements guest.Module: a module, and its child while it has one.
type module struct {
	engine      *engine
	sum         digest
	wasm        []byte // nil if there is a Source
	exports     []string
	description guest.Description
	door        *door
	plugin      atomic.Pointer[string] // what it was called last

	mu    sync.Mutex
	child *child
	birth *birth
}

// birth is a child that is being started. After done is closed it does not change.
type birth struct {
	done chan struct{}
	err  error
}

// Exports implements guest.Module.
func (m *module) Exports() []string { return slices.Clone(m.exports) }

// Describe implements guest.Module: as the child found it when it compiled the module.
func (m *module) Describe() guest.Description { return m.description }

// Close implements guest.Module.
func (m *module) Close(ctx context.Context) error {
	if err := m.door.close(ctx); err != nil {
		return err
	}
	m.engine.modules.remove(m)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.child != nil {
		m.child.retire()
		m.child = nil
	}
	return nil
}

// Call implements guest.Module.
func (m *module) Call(ctx context.Context, c guest.Call) (guest.Result, error) {
	start := time.Now()
	if !m.door.enter() {
		return guest.Result{}, guest.NewError(guest.ReasonClosed, "guest.Call", "guest "+c.Plugin+": it is closed", "")
	}
	if err := c.Check(ctx, m.exports); err != nil {
		m.door.leave()
		return guest.Result{}, err
	}
	m.plugin.Store(&c.Plugin)
	timeout := c.Timeout(ctx)
	limit, cancel := context.WithTimeout(ctx, c.Limits.OrDefault().Timeout)
	defer cancel()
	ch, err := m.live(limit, c.Plugin)
	if err != nil {
		m.door.leave()
		if limit.Err() != nil {
			err = c.Ended(limit, timeout)
		}
		return guest.Result{}, err
	}
	m.engine.calls.Add(1)
	r := ch.open(&c)
	done := func() {
		ch.link.leave(r)
		m.engine.calls.Add(-1)
		ch.leave()
		m.door.leave()
	}
	t := &conversation{link: ch.link, running: r, call: &c, caller: ctx, limit: limit, time: timeout}
	result, over, err := t.talk()
	if over {
		done()
	} else {
		go func() {
			defer done()
			ch.finish(r)
		}()
	}
	result.Duration = time.Since(start)
	return result, err
}

// live returns the child, with the caller inside, after starting it if there is none. Who waits for the start may leave; it
// goes on for the others.
func (m *module) live(ctx context.Context, plugin string) (*child, error) {
	for {
		m.mu.Lock()
		if m.child != nil && m.child.enter() {
			defer m.mu.Unlock()
			return m.child, nil
		}
		b := m.birth
		if b == nil {
			if wait := m.engine.crashes.wait(m.sum); wait > 0 {
				m.mu.Unlock()
				return nil, resting(plugin, wait)
			}
			b = &birth{done: make(chan struct{})}
			m.birth = b
			m.door.enter() // the caller is inside, so it is open
			go m.give(b)
		}
		m.mu.Unlock()
		select {
		case <-b.done:
			if b.err != nil {
				return nil, named(b.err, plugin)
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// resting refuses a module that has crashed lately. Nothing ran, so that a job waits without losing a try.
func resting(plugin string, wait time.Duration) error {
	f := guest.Failure{
		Reason: guest.ReasonBusy, RetryAfter: wait,
		Text: fmt.Sprintf("its process has crashed; it is started again in %s", (wait + time.Second - 1).Truncate(time.Second)),
	}
	return f.Err("guest.Call", plugin)
}

// named says of an error of starting whose it is.
func named(err error, plugin string) error {
	return guest.FailureOf(err, "").Err("guest.Call", plugin)
}

// give starts a child.
func (m *module) give(b *birth) {
	defer m.door.leave()
	ch, err := m.start()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.birth, b.err = nil, err
	if err == nil {
		m.child = ch
		ch.leave()
	}
	close(b.done)
}

func (m *module) start() (*child, error) {
	wasm := m.wasm
	if wasm == nil {
		var err error
		if wasm, err = m.engine.config.Source(m.sum); err != nil {
			return nil, fault.Wrap(err, fault.Internal, "guest.Load", "the module cannot be read")
		}
	}
	ch, _, err := m.engine.start(context.Background(), m.cacheDir(), wasm, m.crashed)
	return ch, err
}

// crashed remembers that the module has taken its child down, says so, and returns how long to wait for another.
func (m *module) crashed(err error) time.Duration {
	plugin := ""
	if p := m.plugin.Load(); p != nil {
		plugin = *p
	}
	wait := m.engine.crashes.add(m.sum)
	m.engine.config.Log.Warn("the process of a guest ended by itself", "op", "process.Call", "plugin", plugin,
		"digest", "sha256:"+hex.EncodeToString(m.sum[:]), "again_after", wait, "err", err)
	return wait
}

// cacheDir is where the code of the module is kept, and of no other.
func (m *module) cacheDir() string {
	if m.engine.config.CacheDir == "" {
		return ""
	}
	return filepath.Join(m.engine.config.CacheDir, "apart", hex.EncodeToString(m.sum[:]))
}

// shelf holds the open modules of an engine.
type shelf struct {
	mu      sync.Mutex
	modules map[*module]struct{}
}

func newShelf() *shelf { return &shelf{modules: map[*module]struct{}{}} }

func (s *shelf) add(m *module) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.modules[m] = struct{}{}
}

func (s *shelf) remove(m *module) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.modules, m)
}

// close closes every module on it.
func (s *shelf) close(ctx context.Context) error {
	s.mu.Lock()
	var open []*module
	for m := range s.modules {
		open = append(open, m)
	}
	s.mu.Unlock()
	for _, m := range open {
		if err := m.Close(ctx); err != nil {
			return err
		}
	}
	return nil
}
