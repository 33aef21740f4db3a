package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero/sys"

	"github.com/frigg-host/frigg-host/abi"
)

// meter is one running call: what it may use, what it has used, and why it was stopped. Both engines keep one. It
// belongs to the goroutine of the call.
type meter struct {
	context.Context // the limit; engines add to it what they need
	limit           limit
	call            Call
	limits          Limits
	started, ended  time.Time
	timeout         time.Duration // what is left of the smaller deadline at the start, for texts

	stopped   *stop  // the first reason that a host function had to end the guest
	room      uint64 // bytes of linear memory that it may have
	refused   bool   // it wanted more
	had       uint64 // bytes that it had in the end
	lent      int64  // units of fuel that it was given
	spent     int64  // of them, in the end
	booting   bool   // a template is being set up; there is no call
	asked     string // the first thing of a call that it asked for then
	console   tail
	logged    struct{ lines, bytes int } // passed on
	dropped   struct{ lines, bytes int }
	hostCalls int
}

// memoryRange is how many bytes of linear memory an instance has at the start of a call, and how many it can have.
type memoryRange struct{ least, most uint64 }

// open checks what can be checked before anything runs and starts the clock. cancel must be called when it returns nil.
func (m *meter) open(ctx context.Context, c *Call, exports []string, memory memoryRange) *stop {
	m.call, m.limits, m.started = *c, c.Limits.orDefault(), time.Now()
	m.timeout = m.limits.Timeout
	if deadline, ok := ctx.Deadline(); ok {
		m.timeout = min(m.timeout, max(0, time.Until(deadline)))
	}
	m.room = min(m.limits.MemoryBytes, memory.most) / pageSize * pageSize
	switch n := uint64(len(c.Input)); {
	case ctx.Err() != nil:
		return contextStop(ctx, m.timeout, c.Export)
	case !slices.Contains(exports, c.Export):
		return noExport(c.Export, exports)
	case n > m.limits.InputBytes:
		return &stop{reason: ReasonInput, text: fmt.Sprintf("input of %s is over the limit of %s", size(n), size(m.limits.InputBytes))}
	case memory.least > m.room:
		return &stop{reason: ReasonMemory, text: fmt.Sprintf("needs %s of memory to start, over the limit of %s", size(memory.least), size(m.room))}
	}
	m.limit = limit{caller: ctx, end: m.started.Add(m.limits.Timeout)}
	m.Context = &m.limit
	return nil
}

// cancel ends the context of the call, for those who still wait for it.
func (m *meter) cancel() { m.limit.cancel() }

// finish is what Call returns.
func (m *meter) finish(output []byte, s *stop) (Result, error) {
	r := m.result()
	if s != nil {
		return r, s.of(m.call.Plugin)
	}
	r.Output = output
	return r, nil
}

// result is what is known at the end of the call, but the output.
func (m *meter) result() Result {
	m.ended = time.Now()
	return Result{
		Console:     m.console.bytes(),
		Duration:    m.ended.Sub(m.started),
		MemoryBytes: m.had,
		Fuel:        m.spent,
		LogDropped:  m.dropped.lines,
		HostCalls:   m.hostCalls,
	}
}

// stop ends the guest from inside a host function. It does not return.
func (m *meter) stop(reason Reason, format string, args ...any) {
	m.end(&stop{reason: reason, text: fmt.Sprintf(format, args...)})
}

// trap ends the guest because it used a host function in a way that no correct guest does.
func (m *meter) trap(format string, args ...any) {
	m.stop(ReasonTrap, "trap: "+format, args...)
}

func (m *meter) end(s *stop) {
	if m.stopped == nil {
		m.stopped = s
	}
	panic(m.stopped)
}

// checkDeadline ends the guest when its time is up. Host functions that may have waited call it.
func (m *meter) checkDeadline() {
	if m.Err() != nil {
		m.end(contextStop(m, m.timeout, m.call.Export))
	}
}

// sleep waits for d, but no longer than the call may run.
func (m *meter) sleep(d time.Duration) {
	switch {
	case d <= 0:
	case m.call.Sleep != nil:
		m.guard("sleep", func() { m.call.Sleep(m.limit.timed(), d) })
	default:
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-m.Done():
		}
	}
	m.checkDeadline()
}

// now is the time that the guest sees.
func (m *meter) now(otherwise func() time.Time) time.Time {
	if m.call.Now != nil {
		return m.call.Now()
	}
	return otherwise()
}

// judge says why a call ended, nil for success. err is what the engine returned.
func (m *meter) judge(err error) *stop {
	s := m.cause(err)
	if s != nil && m.refused && (s.reason == ReasonTrap || s.reason == ReasonFailed) {
		// It was told that there is no more memory and could not go on: the limit is the reason, the rest its symptom.
		return &stop{reason: ReasonMemory, text: fmt.Sprintf("memory limit of %s reached", size(m.room)), detail: strings.TrimSpace(s.text + "\n" + s.detail), overflow: s.overflow}
	}
	return s
}

func (m *meter) cause(err error) *stop {
	switch {
	case m.succeeded():
		return nil
	case m.stopped != nil:
		return m.stopped
	case err == nil:
		return nil
	}
	var exit *sys.ExitError
	if m.Err() != nil && (errors.As(err, &exit) || strings.Contains(err.Error(), "module closed with context")) {
		return contextStop(m, m.timeout, m.call.Export)
	}
	text, detail := trapText(err)
	var bug runtime.Error
	if errors.As(err, &bug) {
		return &stop{reason: ReasonHost, text: "the engine failed", detail: text + "\n" + detail}
	}
	return &stop{reason: ReasonTrap, text: "trap: " + text, detail: detail, overflow: text == "stack overflow"}
}

// succeeded reports whether the guest ended itself with code 0.
func (m *meter) succeeded() bool {
	return m.stopped != nil && m.stopped.exit && m.stopped.code == 0
}

// exitedEarly makes an exit before the export was called an error, whatever its code.
func (m *meter) exitedEarly() {
	if m.succeeded() {
		m.stopped = &stop{reason: ReasonFailed, text: "exited with code 0 before " + m.call.Export + " was called"}
	}
}

// exited is how a guest ends that called proc_exit.
func exited(code uint32) *stop {
	return &stop{reason: ReasonFailed, text: fmt.Sprintf("exited with code %d", int32(code)), code: code, exit: true}
}

// failed is the guest's own error: text from error_set, or a result that is not 0.
func failed(text, export string, result uint32) *stop {
	if text != "" {
		return &stop{reason: ReasonFailed, text: clean(text, maxTextBytes)}
	}
	return &stop{reason: ReasonFailed, text: fmt.Sprintf("%s returned %d", export, int32(result))}
}

// capability answers one call of a capability.
func (m *meter) capability(im Import, request []byte) []byte {
	if m.hostCalls++; m.hostCalls > m.limits.HostCalls {
		m.stop(ReasonHostCalls, "more than %d host calls", m.limits.HostCalls)
	}
	m.ofCall("the capability " + im.Module)
	if m.call.Host == nil {
		return notGranted(im)
	}
	var answer []byte
	m.guard("host function "+im.Module+" "+im.Name, func() { answer = m.call.Host(m.limit.timed(), im, request) })
	m.checkDeadline()
	return answer
}

// guard runs code of the host that a guest has called. A panic there is a bug of the host, not of the guest.
func (m *meter) guard(what string, f func()) {
	defer func() {
		p := recover()
		if err := EndOf(p); err != nil {
			m.end(&stop{reason: ReasonEnded, cause: err})
		}
		if p != nil {
			m.end(&stop{reason: ReasonHost, text: what + " failed", detail: fmt.Sprintf("%v\n%s", p, debug.Stack())})
		}
	}()
	f()
}

// ofCall notes that a guest asked for something that belongs to a call while there is none.
func (m *meter) ofCall(what string) {
	if m.booting && m.asked == "" {
		m.asked = what
	}
}

// notGranted is the answer of a capability that the call was not given.
func notGranted(im Import) []byte {
	return refusal(abi.FaultKindForbidden, "not granted: "+strings.TrimPrefix(im.Module, abi.ModulePrefix)+"."+im.Name)
}

// refusal is an answer that blames the guest.
func refusal(kind abi.FaultKind, message string) []byte {
	answer, _ := json.Marshal(abi.Answer{Fault: &abi.Fault{Kind: kind, Side: abi.FaultSideGuest, Message: message}}) // plain data always marshals
	return answer
}

// flood is how many times the limit of log a guest may drop before it is stopped.
const flood = 100

// log passes a line on, or drops and counts it.
func (m *meter) log(level Level, line []byte) {
	if m.logged.lines < m.limits.LogLines && m.logged.bytes+len(line) <= m.limits.LogBytes {
		m.logged.lines++
		m.logged.bytes += len(line)
		if m.call.Log != nil {
			m.guard("log", func() { m.call.Log(level, strings.ToValidUTF8(string(line), "\uFFFD")) })
		}
		return
	}
	m.dropped.lines++
	m.dropped.bytes += len(line)
	if m.dropped.lines > flood*m.limits.LogLines || m.dropped.bytes > flood*m.limits.LogBytes {
		m.stop(ReasonLog, "flooded the log: %d lines and %s were dropped", m.dropped.lines, size(uint64(m.dropped.bytes)))
	}
}

// checkOutput ends the guest when its output is too large.
func (m *meter) checkOutput(n uint64) {
	if n > m.limits.OutputBytes {
		m.stop(ReasonOutput, "output of %s is over the limit of %s", size(n), size(m.limits.OutputBytes))
	}
}

// recover is deferred around calls of wazero: a panic that is no stop is a bug of the engine, not of the guest.
func (m *meter) recover() {
	p := recover()
	if _, ok := p.(*stop); p == nil || ok {
		return
	}
	m.stopped = &stop{reason: ReasonHost, text: "the engine failed", detail: fmt.Sprintf("%v\n%s", p, debug.Stack())}
}

// consoleBytes is how much of stdout and stderr is kept.
const consoleBytes = 8 << 10

// tail keeps the last consoleBytes that were written to it.
type tail struct{ kept []byte }

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	if n >= consoleBytes {
		t.kept = append(t.kept[:0], p[n-consoleBytes:]...)
		return n, nil
	}
	if over := len(t.kept) + n - 2*consoleBytes; over > 0 {
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-consoleBytes:]...)
	}
	t.kept = append(t.kept, p...)
	return n, nil
}

// bytes are the last ones written.
func (t *tail) bytes() []byte { return t.kept[max(0, len(t.kept)-consoleBytes):] }
