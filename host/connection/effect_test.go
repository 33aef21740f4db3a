package connection_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// lossy is a rig whose vendor acts on what it gets at /lossy, and says nothing as long as quiet is true.
type lossy struct {
	*rig
	entity connection.EntityID
	quiet  atomic.Bool

	mu   sync.Mutex
	said []said
}

// said is a request as it arrived.
type said struct{ body, key string }

// arrived are the requests so far.
func (l *lossy) arrived() []said {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.said)
}

func newLossy(t *testing.T, change func(*abi.Manifest), exports ...string) *lossy {
	t.Helper()
	l := &lossy{rig: newRig(t)}
	l.quiet.Store(true)
	m := l.vendor.changed(func(m *abi.Manifest) {
		if change != nil {
			change(m)
		}
	})
	l.install(m)
	l.catalog.plugins[m.Name].Exports = exports
	l.vendor.handle("/api/lossy", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		l.mu.Lock()
		l.said = append(l.said, said{string(body), r.Header.Get("Idempotency-Key")})
		l.mu.Unlock()
		if l.quiet.Load() {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusCreated)
	})
	l.entity = l.connect().EntityID
	return l
}

func (l *lossy) send(h *plugin.HostCall, method string) (abi.HTTPResponse, error) {
	q := abi.HTTPRequest{Method: method, URL: "/lossy", JSON: json.RawMessage(`{"n":1}`)}
	return l.Send(plugin.WithHostCall(l.t.Context(), h), l.mine.Owner, l.entity, q, connection.CallOptions{})
}

// TestEffect_WithoutAnAnswerIsNeverBlindlyRepeated: what a recorded run is told of a write that nobody answered.
func TestEffect_WithoutAnAnswerIsNeverBlindlyRepeated(t *testing.T) {
	t.Parallel()
	keyed := func(m *abi.Manifest) {
		m.API.Idempotency = &abi.Idempotency{Header: "Idempotency-Key", Methods: []string{"POST"}, WindowS: 3600}
	}
	for _, c := range []struct {
		name   string
		change func(*abi.Manifest)
		method string
		later  bool // the next try finds out; otherwise a person decides
	}{
		{"a POST that nobody recognises", nil, "POST", false},
		{"a PATCH where only POST has a key", keyed, "PATCH", false},
		{"a POST with a key", keyed, "POST", true},
		{"a PUT, which may be repeated", nil, "PUT", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLossy(t, c.change)
			h := &plugin.HostCall{Key: "k"}
			_, err := l.send(h, c.method)
			why, later := h.Doubt()
			if err == nil || why == nil || later != c.later || !later && len(l.arrived()) != 1 {
				t.Fatalf("%v; in doubt %v, later %v; it arrived %d times", err, why, later, len(l.arrived()))
			}
			arrived := len(l.arrived()) // what may be repeated was, at once
			l.quiet.Store(false)
			again := &plugin.HostCall{Key: "k", Unsure: l.clock.Now()}
			_, err = l.send(again, c.method)
			why, _ = again.Doubt()
			if c.later && (err != nil || why != nil || len(l.arrived()) != arrived+1) {
				t.Errorf("repeated: %v, %v, it arrived %d times", err, why, len(l.arrived()))
			}
			if !c.later && (why == nil || len(l.arrived()) != 1) {
				t.Errorf("sent blindly: %v, %v, it arrived %d times", err, why, len(l.arrived()))
			}
			for _, r := range l.arrived() {
				if c.change != nil && c.later && r.key != "k" {
					t.Errorf("the key was %q", r.key)
				}
			}
		})
	}
}

func TestEffect_AKeyThatTheVendorHasForgottenIsNoKey(t *testing.T) {
	t.Parallel()
	l := newLossy(t, func(m *abi.Manifest) {
		m.API.Idempotency = &abi.Idempotency{Header: "Idempotency-Key", Methods: []string{"POST"}, WindowS: 3600}
	})
	h := &plugin.HostCall{Key: "k", Unsure: l.clock.Now().Add(-time.Hour)}
	_, err := l.send(h, "POST")
	if why, later := h.Doubt(); err == nil || why == nil || later || len(l.arrived()) != 0 {
		t.Errorf("%v, %v, it arrived %d times", err, why, len(l.arrived()))
	}
}

func TestEffect_TheModuleFindsOutWhatHappened(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		says   any
		err    error
		status int64
		times  int
		doubt  bool
		person bool
	}{
		"it happened":        {says: abi.ReconcileOutput{Happened: true, Response: &abi.HTTPResponse{Status: 201, Headers: map[string][]string{}}}, status: 201},
		"it did not":         {says: abi.ReconcileOutput{}, status: 201, times: 1},
		"it has no handler":  {err: &fault.Error{Kind: fault.Unsupported, Side: fault.Guest, Msg: "no handler"}, doubt: true, person: true},
		"it cannot be asked": {err: &fault.Error{Kind: fault.Unavailable, Side: fault.Remote, Msg: "away"}, doubt: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLossy(t, nil, abi.ExportReconcileRequest)
			l.quiet.Store(false)
			var asked abi.ReconcileInput
			l.guest.exports[abi.ExportReconcileRequest] = func(ctx context.Context, call plugin.Call) (any, error) {
				if plugin.HostCallOf(ctx) != nil {
					t.Error("the question is taken for the effect")
				}
				return c.says, joinErr(json.Unmarshal(call.Input, &asked), c.err)
			}
			h := &plugin.HostCall{Key: "k", Unsure: l.clock.Now()}
			res, err := l.send(h, "POST")
			why, later := h.Doubt()
			if (why != nil) != c.doubt || (c.doubt && !c.person) != later || (err != nil) != c.doubt || res.Status != c.status || len(l.arrived()) != c.times {
				t.Errorf("%+v, %v; in doubt %v, later %v; it arrived %d times", res, err, why, later, len(l.arrived()))
			}
			if asked.IdempotencyKey != "k" || asked.Request.URL != "/lossy" || asked.SentAtMS != l.clock.Now().UnixMilli() {
				t.Errorf("the module is asked %+v", asked)
			}
		})
	}
}

func joinErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func TestEffect_TheKeyCanGoIntoTheBody(t *testing.T) {
	t.Parallel()
	l := newLossy(t, func(m *abi.Manifest) {
		m.API.Idempotency = &abi.Idempotency{Field: "request_id", Methods: []string{"POST"}}
	})
	l.quiet.Store(false)
	if _, err := l.send(&plugin.HostCall{Key: "k"}, "POST"); err != nil {
		t.Fatal(err)
	}
	form := abi.HTTPRequest{Method: "POST", URL: "/lossy", Form: []abi.Pair{{Name: "a", Value: "b"}}}
	if _, err := l.Send(plugin.WithHostCall(t.Context(), &plugin.HostCall{Key: "k"}), l.mine.Owner, l.entity, form, connection.CallOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := l.arrived(); len(got) != 2 || got[0].body != `{"n":1,"request_id":"k"}` || got[1].body != "a=b&request_id=k" {
		t.Errorf("sent %q", got)
	}
}

// TestEffect_AnAnswerThatSaysNothingIsNone: the vendor has acted, or may have, and what comes back does not say so.
func TestEffect_AnAnswerThatSaysNothingIsNone(t *testing.T) {
	t.Parallel()
	cut := func(w http.ResponseWriter, status int) {
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"id":`)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		doubt  bool
	}{
		{"an answer that breaks off", func(w http.ResponseWriter, _ *http.Request) { cut(w, 201) }, true},
		{"a refusal that breaks off", func(w http.ResponseWriter, _ *http.Request) { cut(w, 422) }, false},
		{"a gateway without an answer", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(504) }, true},
		{"a bad gateway", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, true},
		{"a refusal", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, false},
		{"a redirect to a page that is away", func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "POST" {
				http.Redirect(w, r, r.URL.Path, http.StatusSeeOther)
				return
			}
			w.WriteHeader(503)
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLossy(t, nil)
			l.vendor.handle("/api/says", c.answer)
			for _, method := range []string{"POST", "PUT"} {
				h := &plugin.HostCall{Key: "k"}
				q := abi.HTTPRequest{Method: method, URL: "/says", JSON: json.RawMessage(`{}`)}
				_, err := l.Send(plugin.WithHostCall(t.Context(), h), l.mine.Owner, l.entity, q, connection.CallOptions{})
				why, _ := h.Doubt()
				if want := c.doubt && method == "POST"; err == nil || (why != nil) != want {
					t.Errorf("%s: %v, in doubt: %v", method, err, why)
				}
			}
		})
	}
}

func TestEffect_IsNotSentForARunThatIsSomebodyElses(t *testing.T) {
	t.Parallel()
	l := newLossy(t, nil)
	l.quiet.Store(false)
	gone := fault.New(fault.Conflict, "test", "the claim is over")
	h := &plugin.HostCall{Key: "k", Still: func(context.Context) error { return gone }}
	if _, err := l.send(h, "POST"); !fault.Is(err, fault.Conflict) || len(l.arrived()) != 0 {
		t.Errorf("%v; it arrived %d times", err, len(l.arrived()))
	}
}
