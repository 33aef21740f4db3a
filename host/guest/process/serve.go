package process

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/frigg-host/frigg-host/host/guest"
)

// Serve is what the child does: it takes one module from in, closes behind itself what it does not need, and runs calls of
// the module until in ends. Nothing else may use in or out. When it returns, calls may still be running: the process should
// end.
func Serve(in io.Reader, out io.Writer) error {
	s := &server{
		out: pollable(out), frames: newFrames(pollable(in), func(kind, uint64) (room, error) {
			return room{meta: maxReady, body: maxBody, wanted: true}, nil // the parent is trusted
		}),
		cancels: map[uint64]context.CancelFunc{}, asking: map[uint64]chan frame{},
	}
	for _, step := range []func() error{s.setUp, s.loop} {
		if err := step(); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	return nil
}

// server is a child at work.
type server struct {
	frames  *frames
	told    setUp
	sources sync.Mutex // held while one is asked for

	writing sync.Mutex
	out     io.Writer

	mu      sync.Mutex
	module  guest.Module
	cancels map[uint64]context.CancelFunc // by call
	asking  map[uint64]chan frame         // by call, 0 for a source; takes one
}

// setUp begins to prepare the module. That may already ask for a source, so it does not keep the loop waiting.
func (s *server) setUp() error {
	f, err := s.frames.next()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(f.meta, &s.told); err != nil || f.kind != kindSetUp || s.told.Version != version {
		return fmt.Errorf("the parent is another version of this program: %w", errProtocol)
	}
	var r ready
	r.Shut, r.Open = confine(s.told.CacheDir)
	go func() {
		if err := s.prepare(f.body, &r); err != nil {
			r.Failure = guest.FailureOf(err, "")
		}
		debug.FreeOSMemory() // compiling has left much
		if err := hide(); err != nil {
			r.Open = append(r.Open, "its memory: "+err.Error())
		}
		_ = s.send(frame{kind: kindReady, meta: encode(r)}) // or the parent is gone
	}()
	return nil
}

// prepare opens the engine and compiles the module. No bytes are no module: the parent wants to know whether a child starts.
func (s *server) prepare(wasm []byte, r *ready) error {
	c := guest.Config{
		Imports: s.told.Imports, CacheDir: s.told.CacheDir, MemoryCeiling: s.told.MemoryCeiling, Interpreter: s.told.Interpreter, Isolation: s.told.Isolation,
		IdleInstances: s.told.IdleInstances, IdleBytes: s.told.IdleBytes, IdleTime: s.told.IdleTime,
	}
	if s.told.Entropy {
		c.Entropy = entropy{s}
	}
	if s.told.Now {
		c.Now = s.now
	}
	engine, err := guest.Open(context.Background(), s.told.Engine, c)
	if err != nil {
		return err
	}
	r.Report = engine.Report()
	if len(wasm) == 0 {
		return nil
	}
	m, err := engine.Compile(context.Background(), wasm)
	if err != nil {
		return err
	}
	r.Exports, r.Description = m.Exports(), m.Describe()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.module = m
	return nil
}

// loop takes frames until there are no more.
func (s *server) loop() error {
	for {
		f, err := s.frames.next()
		if err != nil {
			return err
		}
		switch f.kind {
		case kindCall:
			if err := s.begin(f); err != nil {
				return err
			}
		case kindCancel:
			s.mu.Lock()
			if cancel := s.cancels[f.id]; cancel != nil {
				cancel()
			}
			s.mu.Unlock()
		case kindAnswer:
			s.mu.Lock()
			to := s.asking[f.id]
			delete(s.asking, f.id)
			s.mu.Unlock()
			if to != nil {
				to <- f
			}
		}
	}
}

// begin starts a call.
func (s *server) begin(f frame) error {
	var m call
	if err := json.Unmarshal(f.meta, &m); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.module == nil {
		return errProtocol
	}
	ctx, cancel := context.WithCancel(context.Background())
	if m.Left > 0 {
		ctx, cancel = context.WithTimeout(context.Background(), m.Left)
	}
	s.cancels[f.id] = cancel
	go s.run(ctx, s.module, f.id, &m, f.body)
	return nil
}

// run runs a call to its end.
func (s *server) run(ctx context.Context, module guest.Module, id uint64, m *call, input []byte) {
	c := guest.Call{Plugin: m.Plugin, Export: m.Export, Input: input, Config: m.Config, Limits: m.Limits, Seed: m.Seed}
	var now time.Time
	if m.Now != nil {
		now = *m.Now
		c.Now = func() time.Time { return now }
	}
	if m.Host {
		c.Host = func(ctx context.Context, im guest.Import, request []byte) []byte {
			answer, at, over := s.ask(frame{kindHost, id, s.place(im), request})
			if !at.IsZero() {
				now = at
			}
			if over {
				<-ctx.Done() // the clocks of parent and child differ a little, and the guest must not go on in between
			}
			return answer
		}
	}
	if m.Sleep {
		c.Sleep = func(ctx context.Context, d time.Duration) {
			if _, _, over := s.ask(frame{kind: kindSleep, id: id, body: binary.LittleEndian.AppendUint64(nil, uint64(d))}); over {
				<-ctx.Done()
			}
		}
	}
	if m.Log {
		c.Log = func(l guest.Level, line string) {
			s.ask(frame{kindLog, id, []byte{byte(l)}, []byte(line)})
		}
	}
	r, err := module.Call(ctx, c)
	output := r.Output
	r.Output = nil
	s.mu.Lock()
	s.cancels[id]()
	delete(s.cancels, id)
	s.mu.Unlock()
	_ = s.send(frame{kindResult, id, encode(result{r, guest.FailureOf(err, m.Plugin)}), output}) // or the parent is gone
}

// place is where an import is in the list that both sides have.
func (s *server) place(im guest.Import) []byte {
	return binary.LittleEndian.AppendUint32(nil, uint32(slices.Index(s.told.Imports, im)))
}

// ask has the parent run a function of the host, and reports what the clock of the call shows then, if it has one, and
// whether the time of the call is over. It panics if the function
// did, so that the engine ends the guest.
func (s *server) ask(f frame) (answer []byte, at time.Time, over bool) {
	a := s.exchange(f)
	if a.meta[0] == failed {
		panic("it failed in the host")
	}
	if len(a.meta) == 9 {
		at = time.Unix(0, int64(binary.LittleEndian.Uint64(a.meta[1:])))
	}
	return a.body, at, a.meta[0] == late
}

// exchange sends a frame and waits for the answer. If the parent is gone this process is about to end.
func (s *server) exchange(f frame) frame {
	to := make(chan frame, 1)
	s.mu.Lock()
	s.asking[f.id] = to
	s.mu.Unlock()
	if err := s.send(f); err != nil {
		return frame{meta: []byte{failed}}
	}
	return <-to
}

func (s *server) send(f frame) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	return f.write(s.out)
}

// source asks the parent for a value that comes from the configuration.
func (s *server) source(which byte, n int) []byte {
	s.sources.Lock()
	defer s.sources.Unlock()
	return s.exchange(frame{kind: kindSource, meta: []byte{which}, body: binary.LittleEndian.AppendUint32(nil, uint32(n))}).body
}

func (s *server) now() time.Time {
	if b := s.source(sourceNow, 0); len(b) == 8 {
		return time.Unix(0, int64(binary.LittleEndian.Uint64(b)))
	}
	return time.Now() // the parent is gone
}

// entropy reads the parent's.
type entropy struct{ *server }

// Read implements io.Reader.
func (e entropy) Read(p []byte) (int, error) {
	n := copy(p, e.source(sourceEntropy, min(len(p), mostEntropy)))
	if n == 0 && len(p) > 0 {
		return 0, io.ErrUnexpectedEOF
	}
	return n, nil
}
