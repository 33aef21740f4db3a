package process

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"time"

	"github.com/frigg-host/frigg-host/host/guest"
)

// lateness is how long after its end a caller waits for the child to say how the call ended.
const lateness = 250 * time.Millisecond

var (
	errProtocol = errors.New("the child does not keep to the protocol")
	errNotSent  = errors.New("its turn did not come")
)

// link is the parent's end of the wire to one child. What comes from there is not trusted: frames are bounded by what their
// call may have, those of calls that are over are read over, and all else that does not fit ends the child.
//
// Safe for concurrent use.
type link struct {
	config *Config
	out    io.Writer
	end    func(error) // ends the child; the first reason counts

	writing chan struct{} // holds one token while somebody writes
	dead    chan struct{} // closed when the child is gone
	cause   error         // why; set before dead is closed
	after   time.Duration // until there may be another one; likewise
	ready   chan frame    // takes one

	mu    sync.Mutex
	last  uint64
	calls map[uint64]*running
}

// running is a call that the child has.
type running struct {
	id     uint64
	frames chan frame // takes one; more than one at a time is against the protocol
	rooms  map[kind]room

	// What the child may still ask for. It keeps to the limits of the call itself, unless somebody has taken it over.
	asks, lines, lineBytes int
}

func newLink(c *Config, out io.Writer, end func(error)) *link {
	return &link{
		config: c, out: out, end: end,
		writing: make(chan struct{}, 1), dead: make(chan struct{}), ready: make(chan frame, 1), calls: map[uint64]*running{},
	}
}

// send writes a frame. It gives up with errNotSent, having written nothing, when ctx ends before it is its turn.
func (l *link) send(ctx context.Context, f frame) error {
	select {
	case l.writing <- struct{}{}:
	case <-l.dead:
		return l.cause
	case <-ctx.Done():
		return errNotSent
	}
	defer func() { <-l.writing }()
	watch := time.AfterFunc(l.config.stuck, func() { l.end(errors.New("it stopped reading")) })
	defer watch.Stop()
	err := f.write(l.out)
	if err != nil {
		l.end(err)
	}
	return err
}

// read delivers what the child says until it ends, and returns why: nil when it closed its end in order.
func (l *link) read(in io.Reader) error {
	fs := newFrames(in, l.room)
	for {
		f, err := fs.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := l.deliver(f); err != nil {
			return err
		}
	}
}

// room says what a frame may have.
func (l *link) room(k kind, id uint64) (room, error) {
	switch k {
	case kindReady:
		return room{meta: maxReady, wanted: true}, nil
	case kindSource:
		return room{meta: 1, body: 4, wanted: true}, nil
	case kindHost, kindSleep, kindLog, kindResult:
	default:
		return room{}, fmt.Errorf("%w: kind %d", errProtocol, k)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.calls[id]; r != nil {
		return r.rooms[k], nil
	}
	return room{meta: maxMeta, body: maxBody}, nil
}

// deliver hands a frame to whom it concerns. It never waits for a call.
func (l *link) deliver(f frame) error {
	to := l.ready
	switch f.kind {
	case kindReady:
	case kindSource:
		return l.source(f)
	default:
		l.mu.Lock()
		r := l.calls[f.id]
		l.mu.Unlock()
		if r == nil {
			return nil
		}
		to = r.frames
	}
	select {
	case to <- f:
		return nil
	default:
		return fmt.Errorf("%w: it does not wait for an answer", errProtocol)
	}
}

// mostEntropy is how much a child may ask for at once.
const mostEntropy = 32 << 10

// source answers from the clock and the randomness of the configuration.
func (l *link) source(f frame) error {
	if len(f.meta) != 1 || len(f.body) != 4 {
		return errProtocol
	}
	var answer []byte
	switch c := l.config; {
	case f.meta[0] == sourceEntropy && c.Entropy != nil:
		n := binary.LittleEndian.Uint32(f.body)
		if n > mostEntropy {
			return errProtocol
		}
		answer = make([]byte, n)
		read, err := io.ReadFull(c.Entropy, answer)
		if err != nil {
			answer = answer[:read]
		}
	case f.meta[0] == sourceNow && c.Now != nil:
		answer = binary.LittleEndian.AppendUint64(nil, uint64(c.Now().UnixNano()))
	default:
		return errProtocol
	}
	return l.send(context.Background(), frame{kind: kindAnswer, meta: []byte{answered}, body: answer})
}

// fail tells everybody that the child is gone.
func (l *link) fail(cause error) {
	l.cause = cause
	close(l.dead)
}

// widest is how many times longer a line can be than what the guest wrote, once it is valid UTF-8.
const widest = 3

// open makes room for a call. leave must follow.
func (l *link) open(c *guest.Call) *running {
	limits := c.Limits.OrDefault()
	blocks := min(maxBody, max(limits.ArenaBytes, uint64(len(c.Input))))
	r := &running{
		frames: make(chan frame, 1),
		asks:   limits.HostCalls, lines: limits.LogLines, lineBytes: widest * limits.LogBytes,
		rooms: map[kind]room{
			kindHost:   {meta: 4, body: blocks, wanted: true},
			kindSleep:  {body: 8, wanted: true},
			kindLog:    {meta: 1, body: min(maxBody, uint64(widest*limits.LogBytes)), wanted: true},
			kindResult: {meta: maxMeta, body: min(maxBody, limits.OutputBytes), wanted: true},
		},
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	r.id = l.last
	l.calls[r.id] = r
	return r
}

func (l *link) leave(r *running) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.calls, r.id)
}

// conversation is one call from its caller's side. It belongs to the goroutine of the call.
type conversation struct {
	*link
	*running
	call   *guest.Call
	caller context.Context
	limit  context.Context // ends with the caller or with the timeout, whichever is first
	time   time.Duration   // that it had from the start
	bug    string          // of a function of the host
	over   error           // what a function of the host ended the guest with
	told   bool            // that the caller has gone
}

// talk has the child run a call. over reports that the child is done with it; otherwise the caller leaves and finish must
// follow.
func (t *conversation) talk() (res guest.Result, over bool, err error) {
	if err := t.begin(); errors.Is(err, errNotSent) {
		return res, true, t.call.Ended(t.limit, t.time)
	}
	ended := t.limit.Done()
	var late <-chan time.Time
	for {
		select {
		case f := <-t.frames:
			if f.kind == kindResult {
				res, err := t.result(f)
				return res, true, err
			}
			if err := t.answer(f); err != nil {
				t.end(err)
			}
		case <-ended:
			ended = nil
			timer := time.NewTimer(lateness)
			defer timer.Stop()
			late = timer.C
			t.tell()
		case <-late:
			return res, false, t.call.Ended(t.limit, t.time)
		case <-t.dead:
			return res, true, t.crashed()
		}
	}
}

// begin sends the call.
func (t *conversation) begin() error {
	c := t.call
	m := call{Plugin: c.Plugin, Export: c.Export, Config: c.Config, Limits: c.Limits, Seed: c.Seed, Host: c.Host != nil, Sleep: c.Sleep != nil, Log: c.Log != nil}
	if deadline, ok := t.caller.Deadline(); ok {
		m.Left = max(1, time.Until(deadline))
	}
	if c.Now != nil {
		now := c.Now()
		m.Now = &now
	}
	return t.send(t.limit, frame{kindCall, t.id, encode(m), c.Input})
}

// tell lets the child know that the caller has gone. Of a deadline it knows itself.
func (t *conversation) tell() {
	if errors.Is(t.caller.Err(), context.Canceled) && !t.told {
		t.told = true
		t.cancel(t.running)
	}
}

func (l *link) cancel(r *running) {
	_ = l.send(context.Background(), frame{kind: kindCancel, id: r.id}) // or it is dead, which is seen elsewhere
}

// answer runs a function of the host on the goroutine of the call, and sends what it says.
func (t *conversation) answer(f frame) error {
	var body []byte
	verdict := answered
	switch {
	case f.kind == kindHost && t.call.Host != nil && len(f.meta) == 4:
		n := binary.LittleEndian.Uint32(f.meta)
		if t.asks--; t.asks < 0 || uint64(n) >= uint64(len(t.config.Imports)) {
			return fmt.Errorf("%w: it asks for what it may not", errProtocol)
		}
		verdict = t.guard(func() { body = t.call.Host(t.limit, t.config.Imports[n], f.body) })
	case f.kind == kindSleep && t.call.Sleep != nil && len(f.body) == 8:
		if t.asks--; t.asks < 0 {
			return fmt.Errorf("%w: it sleeps more often than it may ask", errProtocol)
		}
		d := time.Duration(binary.LittleEndian.Uint64(f.body))
		verdict = t.guard(func() { t.call.Sleep(t.limit, d) })
	case f.kind == kindLog && t.call.Log != nil && len(f.meta) == 1:
		t.lines--
		if t.lineBytes -= len(f.body); t.lines < 0 || t.lineBytes < 0 {
			return fmt.Errorf("%w: it logs more than it may", errProtocol)
		}
		verdict = t.guard(func() { t.call.Log(guest.Level(f.meta[0]), string(f.body)) })
	default:
		return errProtocol
	}
	if t.limit.Err() != nil {
		t.tell() // first, so that the guest cannot go on with the answer
		verdict = late
	}
	meta := []byte{verdict}
	if t.call.Now != nil && f.kind == kindHost {
		meta = binary.LittleEndian.AppendUint64(meta, uint64(t.call.Now().UnixNano()))
	}
	_ = t.send(context.Background(), frame{kindAnswer, t.id, meta, body})
	return nil
}

// guard keeps a panic of the host here, where its stack says something.
func (t *conversation) guard(f func()) (verdict byte) {
	defer func() {
		p := recover()
		if t.over = guest.EndOf(p); t.over != nil {
			verdict = failed
		} else if p != nil {
			t.bug = fmt.Sprintf("%v\n%s", p, debug.Stack())
			verdict = failed
		}
	}()
	f()
	return answered
}

// result reads how the call ended.
func (t *conversation) result(f frame) (guest.Result, error) {
	var m result
	if err := json.Unmarshal(f.meta, &m); err != nil {
		t.end(fmt.Errorf("%w: %w", errProtocol, err))
		<-t.dead
		return guest.Result{}, t.crashed()
	}
	m.Result.Output = nil
	if m.Failure == nil {
		m.Result.Output = f.body
		return m.Result, nil
	}
	if t.over != nil {
		return m.Result, guest.Ended(t.over)
	}
	if t.bug != "" && m.Failure.Reason == guest.ReasonHost {
		m.Failure.Detail = t.bug
	}
	return m.Result, m.Failure.Err("guest.Call", t.call.Plugin)
}

// crashed is the error of a call under which the child went away.
func (t *conversation) crashed() error {
	e := guest.NewError(guest.ReasonCrashed, "guest.Call", "guest "+t.call.Plugin+": its process ended while it ran "+t.call.Export, t.cause.Error())
	e.RetryAfter = t.after
	return e
}

// finish waits until the child is done with a call whose caller has left, answering nothing, and ends the child if that
// takes too long.
func (l *link) finish(r *running) {
	l.cancel(r)
	timer := time.NewTimer(l.config.stuck)
	defer timer.Stop()
	for {
		select {
		case f := <-r.frames:
			if f.kind == kindResult {
				return
			}
			_ = l.send(context.Background(), frame{kind: kindAnswer, id: r.id, meta: []byte{late}})
		case <-timer.C:
			l.end(errors.New("it did not stop a call"))
			<-l.dead
			return
		case <-l.dead:
			return
		}
	}
}
