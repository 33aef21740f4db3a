package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/guest"
)

const (
	startTime = 3 * time.Minute // from the start of a child to the end of compiling
	leaveTime = time.Second     // between the end of the wire and the end of the process
)

// child is a process of a module, and who uses it.
type child struct {
	*link
	nursery *nursery
	cmd     *exec.Cmd
	in, out *os.File // the parent's ends
	said    head     // on standard error
	crashed func(error) time.Duration
	keep    time.Duration // without anybody inside

	mu      sync.Mutex
	inside  int
	used    time.Time // when the last one left
	retired bool      // is told to end
	idle    *time.Timer
	reason  error // why it was ended
}

// start starts a child and waits until it is ready, with the caller inside. crashed is told when it ends by itself, before
// anybody who waits for it, and says how long to wait for another.
func (e *engine) start(ctx context.Context, cacheDir string, wasm []byte, crashed func(error) time.Duration) (*child, *ready, error) {
	if cacheDir != "" {
		if err := os.MkdirAll(cacheDir, 0o700); err != nil {
			return nil, nil, unable("the cache of compiled modules cannot be used", errors.Unwrap(err))
		}
	}
	if err := e.nursery.enter(ctx); err != nil {
		return nil, nil, err
	}
	ch, err := e.fork(crashed)
	if err != nil {
		e.nursery.leave(nil)
		return nil, nil, unable("a process for guests cannot be started", err)
	}
	c := &e.config
	r, err := ch.setUp(ctx, frame{kind: kindSetUp, body: wasm, meta: encode(setUp{
		Version: version, Engine: c.Engine, Imports: c.Imports, CacheDir: cacheDir, MemoryCeiling: c.MemoryCeiling, Interpreter: c.Interpreter,
		Isolation: c.Isolation, IdleInstances: c.IdleInstances, IdleBytes: c.IdleBytes, IdleTime: c.IdleTime,
		Entropy: c.Entropy != nil, Now: c.Now != nil,
	})})
	if err != nil {
		ch.retire()
		return nil, nil, err
	}
	return ch, r, nil
}

// unable is the error of a host that cannot start children.
func unable(msg string, err error) error {
	e := guest.NewError(guest.ReasonHost, "guest.Compile", msg, err.Error())
	e.Kind = fault.Unavailable
	return e
}

// fork starts the process. It has three files: the wire, and standard error.
func (e *engine) fork(crashed func(error) time.Duration) (*child, error) {
	ch := &child{nursery: e.nursery, crashed: crashed, keep: e.config.Idle, inside: 1}
	stdin, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer stdin.Close()
	out, stdout, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	defer stdout.Close()
	ch.in, ch.out = in, out
	ch.link = newLink(&e.config, in, ch.end)
	ch.cmd = &exec.Cmd{
		Path: e.config.program[0], Args: append([]string{"frigg-host"}, e.config.program[1:]...),
		Env: []string{}, Dir: neutral, Stdin: stdin, Stdout: stdout, Stderr: &ch.said,
		SysProcAttr: attributes(e.apart.Load()), WaitDelay: leaveTime,
	}
	if err := e.nursery.start(ch); err != nil {
		return nil, errors.Join(err, in.Close(), out.Close())
	}
	go ch.watch()
	return ch, nil
}

// setUp gives the child its module and waits.
func (ch *child) setUp(ctx context.Context, f frame) (*ready, error) {
	timer := time.AfterFunc(startTime, func() { ch.end(fmt.Errorf("it was not ready after %s", startTime)) })
	defer timer.Stop()
	stop := context.AfterFunc(ctx, func() { ch.retire(); ch.end(ctx.Err()) })
	defer stop()
	_ = ch.send(ctx, f) // or it is dead, or ctx has ended
	select {
	case f := <-ch.ready:
		var r ready
		if err := json.Unmarshal(f.meta, &r); err != nil {
			ch.end(errProtocol)
			break
		}
		if r.Failure != nil {
			return nil, r.Failure.Err("guest.Compile", "")
		}
		return &r, nil
	case <-ch.dead:
	}
	<-ch.dead
	if ctx.Err() != nil {
		return nil, fault.Wrap(ctx.Err(), fault.Canceled, "guest.Compile", "compiling was cancelled")
	}
	return nil, guest.NewError(guest.ReasonCrashed, "guest.Compile", "its process ended while it started", ch.cause.Error())
}

// watch reads what the child says until it ends, and sees to it that it does.
func (ch *child) watch() {
	err := ch.read(ch.out)
	if err != nil {
		ch.end(err)
	}
	late := time.AfterFunc(leaveTime, func() { _ = ch.cmd.Process.Kill() })
	state := ch.cmd.Wait()
	late.Stop()
	cause, expected := ch.why(state)
	if !expected {
		ch.after = ch.crashed(cause)
	}
	ch.fail(cause)
	_, _ = ch.in.Close(), ch.out.Close()
	ch.nursery.leave(ch)
}

// why says why the child ended, and whether that was meant to be.
func (ch *child) why(state error) (cause error, expected bool) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.idle != nil {
		ch.idle.Stop()
	}
	expected, ch.retired = ch.retired, true
	switch said := ch.said.line(); {
	case ch.reason != nil:
		cause = ch.reason
	case state == nil:
		cause = errors.New("it left")
	case said != "":
		cause = fmt.Errorf("%w: %s", state, said)
	default:
		cause = state
	}
	return cause, expected
}

// end kills the process. The first reason counts.
func (ch *child) end(reason error) {
	ch.mu.Lock()
	if ch.reason == nil {
		ch.reason = reason
	}
	ch.mu.Unlock()
	_ = ch.cmd.Process.Kill()
}

// enter reports whether the child can be used; then leave must follow.
func (ch *child) enter() bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.retired {
		return false
	}
	ch.inside++
	if ch.idle != nil {
		ch.idle.Stop()
	}
	return true
}

// leave lets the child go when others need its place.
func (ch *child) leave() {
	ch.mu.Lock()
	ch.inside--
	empty := ch.inside == 0 && !ch.retired
	if empty {
		ch.used = time.Now()
		if ch.idle == nil {
			ch.idle = time.AfterFunc(ch.keep, func() { ch.retireIf(true) })
		} else {
			ch.idle.Reset(ch.keep)
		}
	}
	ch.mu.Unlock()
	if empty && ch.nursery.wanted() {
		ch.retireIf(false)
	}
}

// retireIf retires the child if nobody is inside, and for long enough if that is asked for.
func (ch *child) retireIf(long bool) bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.inside > 0 || ch.retired || long && time.Since(ch.used) < ch.keep {
		return false
	}
	ch.tell()
	return true
}

// retire ends the child in order, whoever is inside.
func (ch *child) retire() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if !ch.retired {
		ch.tell()
	}
}

// tell closes the wire, upon which the child leaves. It needs the lock.
func (ch *child) tell() {
	ch.retired = true
	_ = ch.in.Close()
	time.AfterFunc(leaveTime, func() {
		select {
		case <-ch.dead:
		default:
			_ = ch.cmd.Process.Kill()
		}
	})
}

// since is when the child was used last; false if somebody is inside.
func (ch *child) since() (time.Time, bool) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.used, ch.inside == 0 && !ch.retired
}

// head keeps the beginning of what is written to it: where a Go program that crashes says why.
type head struct {
	mu   sync.Mutex
	kept []byte
}

const headBytes = 1 << 10

// Write never fails.
func (h *head) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kept = append(h.kept, p[:min(len(p), headBytes-len(h.kept))]...)
	return len(p), nil
}

// line is the first one.
func (h *head) line() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	line, _, _ := strings.Cut(string(h.kept), "\n")
	return strings.ToValidUTF8(line, "\uFFFD")
}
