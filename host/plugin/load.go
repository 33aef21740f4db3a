package plugin

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
)

const (
	// long is after how long loading is worth a line in the log.
	long = time.Second
	// patience is how long a load keeps others waiting; then the next begins beside it.
	patience = 10 * time.Second
	// mostOverdue is how many such loads there may be. Compiling takes memory.
	mostOverdue = 4
)

// load is a version that is loaded or being loaded. What is not marked otherwise is guarded by Registry.scan.
type load struct {
	plugin *Plugin       // immutable
	done   chan struct{} // closed after what follows from it was decided
	fresh  bool          // it never served
	ended  bool
	err    error     // when ended
	idle   time.Time // since when nothing needs it; zero while it is needed
}

// loader loads versions in the background, as many at once as there are cores.
type loader struct {
	to      Loader
	modules modules
	log     *slog.Logger
	alive   context.Context
	end     context.CancelFunc
	turns   chan struct{}
	overdue chan struct{}

	mu           sync.Mutex // also orders running.Go before running.Wait
	running      sync.WaitGroup
	since        time.Time // there has been something to do
	begun, ended int       // since then
}

func newLoader(to Loader, m modules, log *slog.Logger) *loader {
	l := &loader{to: to, modules: m, log: log, turns: make(chan struct{}, runtime.GOMAXPROCS(0)), overdue: make(chan struct{}, mostOverdue)}
	l.alive, l.end = context.WithCancel(context.Background())
	return l
}

// begin loads a version and calls then, on another goroutine, unless the loader is closed first.
func (l *loader) begin(p *Plugin, then func(error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.alive.Err() != nil {
		return
	}
	if l.begun++; l.begun == 1 {
		l.since = time.Now()
	}
	l.running.Go(func() {
		took, err := l.load(p)
		if l.alive.Err() == nil {
			then(err)
			l.count(p, took, err)
		}
	})
}

func (l *loader) close() {
	l.mu.Lock()
	l.end()
	l.mu.Unlock()
	l.running.Wait()
}

// load waits for its turn and loads.
func (l *loader) load(p *Plugin) (took time.Duration, err error) {
	select {
	case l.turns <- struct{}{}:
	case <-l.alive.Done():
		return 0, l.alive.Err()
	}
	t := turn{held: l.turns}
	defer t.leave()
	began := time.Now()
	defer time.AfterFunc(long, func() { l.log.Info("compiling plugin", "plugin", p.Name, "version", p.Version) }).Stop()
	defer time.AfterFunc(patience, func() { t.move(l.overdue) }).Stop()
	module, err := l.modules.get(p.Digest)
	if err == nil {
		err = l.to.Load(l.alive, p, module)
	}
	return time.Since(began), err
}

// turn is a place in a channel of bounded size.
type turn struct {
	mu   sync.Mutex
	held chan struct{} // nil after leave
}

// move changes to a place in another channel if there is one free.
func (t *turn) move(to chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held == nil {
		return
	}
	select {
	case to <- struct{}{}:
		<-t.held
		t.held = to
	default:
	}
}

func (t *turn) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	<-t.held
	t.held = nil
}

// count tells how far the work is, of what takes long.
func (l *loader) count(p *Plugin, took time.Duration, err error) {
	l.mu.Lock()
	l.ended++
	n, of, all := l.ended, l.begun, time.Since(l.since)
	if n == of {
		l.ended, l.begun = 0, 0
	}
	l.mu.Unlock()
	if err == nil {
		l.log.Log(l.alive, level(took), "plugin compiled", "plugin", p.Name, "version", p.Version, "took", took.Round(time.Millisecond), "n", n, "of", of)
	}
	if n == of && n > 1 {
		l.log.Log(l.alive, level(all), "all plugins are loaded", "n", n, "took", all.Round(time.Millisecond))
	}
}

// level is that of news for everybody if something took long.
func level(took time.Duration) slog.Level {
	if took >= long {
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

// load says how far the loading of a version is, and begins it. The error is that of a load that ended.
func (w *round) load(p *Plugin) (ended bool, err error) {
	if w.cfg.Loader == nil || w.cfg.Offline {
		return true, nil
	}
	l := w.loads[p.Digest]
	if l == nil {
		l = &load{plugin: p, done: make(chan struct{}), fresh: !w.onRecord(p)}
		w.loads[p.Digest] = l
		w.loader.begin(p, func(err error) { w.loaded(l, err) })
	}
	return l.ended, l.err
}

// loaded decides anew about the name of a version, now that it is known whether it can be had.
func (r *Registry) loaded(l *load, err error) {
	r.scan.Lock()
	defer r.scan.Unlock()
	defer close(l.done)
	l.ended, l.err = true, err
	w := r.round
	if name := l.plugin.Name; w.files[name] != nil {
		w.decide(r.loader.alive, name)
	}
	w.publish(r.loader.alive)
}

// again forgets loads that failed for a reason that may pass, so that they are tried again.
func (r *Registry) again() {
	for d, l := range r.loads {
		if l.ended && l.err != nil && fault.Retryable(l.err) {
			delete(r.loads, d)
		}
	}
}

// await waits until no load is under way of those that matter. It returns the failure of the store to put one on record.
func (r *Registry) await(ctx context.Context, matters func(*load) bool) error {
	for {
		l := r.pending(matters)
		if l == nil {
			r.scan.Lock()
			defer r.scan.Unlock()
			if r.round == nil {
				return nil
			}
			return r.round.failed
		}
		select {
		case <-l.done:
		case <-r.loader.alive.Done():
			return fault.New(fault.Canceled, "plugin.Rescan", "the plugins are being closed")
		case <-ctx.Done():
			return fault.Wrap(ctx.Err(), fault.Canceled, "plugin.Rescan", "the caller left")
		}
	}
}

func (r *Registry) pending(matters func(*load) bool) *load {
	r.scan.Lock()
	defer r.scan.Unlock()
	for _, l := range r.loads {
		if !l.ended && matters(l) {
			return l
		}
	}
	return nil
}
