package sim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"syscall"
	"time"
)

// vendors are the services outside. They outlive every host.
type vendors struct {
	w  *world
	mu sync.Mutex
	// acted are requests that were acted on: by key, or by number where there is none.
	acted  map[string]bool
	effect map[string]bool // by step
	asked  map[string]int  // how often, by step
}

// What becomes of a request.
type fate int

const (
	answered fate = iota
	slow
	refusedConnection // it never left
	lostBefore        // the connection breaks before the vendor acted
	lostAfter         // and after
	silentBefore      // no answer ever comes
	silentAfter
	limited
	broken // 500
)

// maxFaults is how often a step meets a fault at most, so that every run ends.
const maxFaults = 3

// fateOf draws what becomes of the nth request of a step.
func (w *world) fateOf(step string, n int) fate {
	d := w.dice("fate", step, n)
	if n > maxFaults || d.IntN(100) < 50 {
		return answered
	}
	return slow + fate(d.IntN(int(broken-slow)+1))
}

// road is the way of one host to the vendors. It ends with the host's process.
type road struct {
	v *vendors
	l *life
}

func (r road) RoundTrip(q *http.Request) (*http.Response, error) {
	ctx := q.Context()
	if q.URL.Path == "/me" {
		return reply(q, 200, `{"id":"1"}`), nil
	}
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, err
	}
	var asked struct{ Step string }
	if err := json.Unmarshal(body, &asked); err != nil {
		return nil, err
	}
	return r.ask(ctx, q, asked.Step)
}

func (r road) ask(ctx context.Context, q *http.Request, step string) (*http.Response, error) {
	n := r.v.count(step)
	fate, d := r.v.w.fateOf(step, n), r.v.w.dice("latency", step, n)
	latency := time.Duration(1+d.IntN(400_000)) * time.Microsecond
	if fate == slow {
		latency += time.Duration(d.IntN(25)) * time.Second
	}
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.GetConn != nil {
		trace.GetConn(q.URL.Host)
	}
	if fate == refusedConnection {
		return nil, &dialError{}
	}
	if trace != nil && trace.WroteHeaderField != nil {
		trace.WroteHeaderField("Host", []string{q.URL.Host})
	}
	if err := pause(ctx, latency/2); err != nil {
		return nil, err // nothing has arrived yet
	}
	if r.l.dead() {
		return nil, syscall.ECONNRESET
	}
	switch fate {
	case answered, slow, lostAfter, silentAfter:
		r.v.act(q, step)
	}
	r.v.w.note("%s is asked for %s the %d. time: fate %d", q.URL.Host, step, n, fate)
	if fate == silentBefore || fate == silentAfter {
		latency = time.Hour
	}
	if err := pause(ctx, latency/2); err != nil {
		return nil, err
	}
	switch fate {
	case lostBefore, lostAfter:
		return nil, syscall.ECONNRESET
	case limited:
		res := reply(q, http.StatusTooManyRequests, `{}`)
		res.Header.Set("Retry-After", fmt.Sprint(1+d.IntN(5)))
		return res, nil
	case broken:
		return reply(q, http.StatusInternalServerError, `{}`), nil
	}
	return reply(q, http.StatusCreated, `{"id":"`+step+`"}`), nil
}

// dialError is a connection that nobody accepts.
type dialError struct{}

func (*dialError) Error() string { return "connection refused" }
func (*dialError) Unwrap() error { return syscall.ECONNREFUSED }

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func reply(q *http.Request, status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: q,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

func (v *vendors) count(step string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked[step]++
	return v.asked[step]
}

// act does what is asked, unless the vendor keeps keys and knows this one.
func (v *vendors) act(q *http.Request, step string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if key := q.Header.Get("Idempotency-Key"); q.URL.Host == keyed+".example" {
		if key == "" {
			v.w.problem("%s came without a key", step)
		}
		if v.acted[key] {
			return
		}
		v.acted[key] = true
	}
	v.effect[step] = true
	v.w.ledger.Effect(step)
}

// happened says whether a step was acted on.
func (v *vendors) happened(step string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.effect[step]
}

var errDown = errors.New("nobody listens")
