package journal_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/guest"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/journal"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/testdata/guests"
	"github.com/frigg-host/frigg-host/store"
)

const owner account.Owner = "usr_1"

// engine runs the guest flow and keeps a sum of all its memory at the end of each call.
type engine struct {
	caller *guest.Runtime
	plugin *plugin.Plugin
	mu     sync.Mutex
	memory [sha256.Size]byte
}

func newEngine(t *testing.T, c guest.Config) *engine {
	t.Helper()
	e := &engine{}
	c.Imports = guest.Imports()
	c.AfterCall = func(_ string, memory [][]byte) {
		h := sha256.New()
		for _, m := range memory {
			h.Write(m)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		h.Sum(e.memory[:0])
	}
	native, err := guest.Open(t.Context(), guest.Native, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = native.Close(context.Background()) })
	wasm := guests.Plugin(t, "flow", "manifest.yaml", "")
	in, err := plugin.Inspect(wasm)
	if err != nil {
		t.Fatal(err)
	}
	e.plugin = &plugin.Plugin{Name: "flow", Version: "1.0.0", Digest: plugin.DigestOf(wasm), State: plugin.Ready, Manifest: *in.Manifest}
	e.caller = guest.NewRuntime(native, guest.RuntimeConfig{Source: func(plugin.Digest) ([]byte, error) { return wasm, nil }})
	return e
}

// act is what a vendor that recognises keys does. It remembers in the database, so that it outlives a process.
func (w world) act(key string) (n int, err error) {
	err = w.db.Write(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO key_checks (kek_id, wrapped, created_at)
			SELECT 'vendor|' || $1, x'00', 1 + count(*) FROM key_checks WHERE kek_id LIKE 'vendor|%' ON CONFLICT DO NOTHING`, key)
		if err == nil {
			n, err = store.One(tx, store.Value[int], `SELECT created_at FROM key_checks WHERE kek_id = 'vendor|' || $1`, key)
		}
		return err
	})
	return n, err
}

// world is what the guest reaches.
type world struct{ db *store.DB }

func (w world) Send(ctx context.Context, q abi.HTTPRequest) (abi.HTTPResponse, error) {
	if q.Method == "" || q.Method == "GET" {
		return abi.HTTPResponse{Status: 200, Headers: map[string][]string{}, Text: "read " + q.URL}, nil
	}
	n, err := w.act(plugin.HostCallOf(ctx).Key)
	return abi.HTTPResponse{Status: 201, Headers: map[string][]string{}, Text: "effect " + strconv.Itoa(n)}, err
}

// Call is a module's guest with two requests.
func (w world) Call(ctx context.Context, q abi.ModuleCall) (abi.ModuleValue, error) {
	inner := plugin.HostCallOf(ctx).Journal()
	for _, method := range []string{"GET", "POST"} {
		request, _ := json.Marshal(abi.HTTPRequest{Method: method, URL: "/" + q.Method})
		_, err := inner.Serve(ctx, "http", "send", request, func(ctx context.Context) []byte {
			return plugin.Capabilities{HTTP: w}.Serve(ctx, "http", "send", request)
		})
		if err != nil {
			return abi.ModuleValue{}, err
		}
	}
	return abi.ModuleValue{Value: json.RawMessage(`"called"`)}, nil
}

func (w world) Get(context.Context, abi.StorageGet) (abi.StorageValue, error) {
	return abi.StorageValue{}, nil
}

// Put fails when it is done twice.
func (w world) Put(ctx context.Context, q abi.StoragePut) (abi.Empty, error) {
	return abi.Empty{}, w.db.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO key_checks (kek_id, wrapped, created_at) VALUES ($1, x'00', 0)`, plugin.HostCallOf(ctx).Key)
		return err
	})
}

func (w world) Delete(context.Context, abi.StorageDelete) (abi.Empty, error) { return abi.Empty{}, nil }

func (w world) List(context.Context, abi.StorageList) (abi.StorageKeys, error) {
	return abi.StorageKeys{}, nil
}

// mortal is a store that dies at one of its writes, before or after the commit.
type mortal struct {
	*store.DB
	left  int
	after bool
}

var errDead = errors.New("the process is dead")

func (m *mortal) die(write func() error) error {
	if m.left--; m.left > 0 {
		return write()
	}
	if m.left == 0 && m.after {
		if err := write(); err != nil {
			return err
		}
	}
	return errDead
}

func (m *mortal) AppendJournal(ctx context.Context, r *journal.Run, epoch int64, c *journal.Chunk, restart bool) error {
	if ctx.Value(inAct{}) != nil { // a part of an act: that dies as a whole
		return m.DB.AppendJournal(ctx, r, epoch, c, restart)
	}
	return m.die(func() error { return m.DB.AppendJournal(ctx, r, epoch, c, restart) })
}

type inAct struct{}

func (m *mortal) Together(ctx context.Context, f func(context.Context) error) error {
	return m.die(func() error { return m.DB.Together(context.WithValue(ctx, inAct{}, true), f) })
}

// zero is no randomness, so that two runs can be compared.
type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// steps is an order of about n host calls of every class.
func steps(n int) json.RawMessage {
	var all []map[string]any
	for i := 0; len(all) < n/2; i++ {
		all = append(all,
			map[string]any{"do": "told"},
			map[string]any{"do": "send", "role": "key", "url": fmt.Sprint("/", i)},
			map[string]any{"do": "send", "role": "key", "method": "POST", "url": "/same"},
			map[string]any{"do": "call", "role": "key", "method": "do"},
			map[string]any{"do": "tell", "text": fmt.Sprint("step ", i), "may": true},
		)
	}
	data, _ := json.Marshal(map[string]any{"steps": all})
	return data
}

// ending is what must be the same however often a run was cut short.
type ending struct {
	Output  string
	Err     string
	Memory  [sha256.Size]byte
	Effects int
	Local   int
}

type rig struct {
	t   testing.TB
	db  *store.DB
	now time.Time
	id  job.ID

	tick     time.Duration // by which each look moves the clock of play
	store    journal.Store // of play, if it is another than db
	warnings *slog.Logger
}

func newRig(t testing.TB) *rig {
	t.Helper()
	return openRig(t, filepath.Join(t.TempDir(), "frigg.db")).again()
}

// openRig opens a database that others may have open, too.
func openRig(t testing.TB, path string) *rig {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{DSN: path, Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return &rig{t: t, db: db, now: time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)}
}

// again begins a new run, as if there had been no other.
func (r *rig) again() *rig {
	r.t.Helper()
	r.id = job.NewID()
	err := r.db.Write(r.t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`DELETE FROM key_checks`)
		if err == nil {
			_, err = tx.Exec(`DELETE FROM jobs`)
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	if _, _, err := r.db.Enqueue(r.t.Context(), job.New{ID: r.id, Owner: owner, Lane: "l", Kind: "k", CreatedAt: r.now}); err != nil {
		r.t.Fatal(err)
	}
	return r
}

// try claims the job and runs the guest on this engine, with a store that may die.
func (r *rig) try(e *engine, data json.RawMessage, st journal.Store) (end ending, err error) {
	r.t.Helper()
	if _, err := r.db.RecoverJobs(context.Background(), r.now, true); err != nil {
		r.t.Fatal(err)
	}
	jobs, err := r.db.ClaimJobs(context.Background(), "w", r.now, r.now.Add(time.Minute), 1)
	if err != nil || len(jobs) != 1 {
		r.t.Fatalf("%d jobs, %v", len(jobs), err)
	}
	s := &journal.Service{Store: st, Now: func() time.Time { return r.now }, Entropy: zero{}}
	rec, err := s.Open(context.Background(), jobs[0], "int_1", "LATER")
	if err != nil {
		r.t.Fatal(err)
	}
	start := rec.Resume()
	if start == nil {
		input, _ := json.Marshal(abi.EventInput{Event: "LATER", Data: data, Integration: abi.Integration{ID: "int_1", Status: "ENABLED", Config: json.RawMessage(`{}`), Entities: []abi.Entity{}}, Delivery: abi.Delivery{ID: "d", Attempt: 1}})
		if start, err = rec.Begin(journal.Start{Plugin: "flow", Digest: e.plugin.Digest, Export: abi.ExportHandleEvent, Input: input}); err != nil {
			r.t.Fatal(err)
		}
	}
	w := world{r.db}
	value, err := e.caller.Call(context.Background(), plugin.Call{
		Plugin: e.plugin, Export: start.Export, Input: start.Input, Journal: rec.Journal(),
		Can: plugin.Capabilities{HTTP: w, Module: w, Storage: w},
	})
	err = rec.Finish(err)
	var sleeps *journal.Suspended
	if errors.As(err, &sleeps) {
		closing, cerr := rec.Close(err)
		if cerr == nil {
			cerr = r.db.AppendJournal(context.Background(), closing.Run, jobs[0].Epoch, closing.Chunk, closing.Restart)
		}
		return end, errors.Join(err, cerr)
	}
	if errors.Is(err, errDead) {
		return end, err
	}
	if err != nil {
		end.Err = fault.PublicMessage(err)
	}
	e.mu.Lock()
	end.Output, end.Memory = string(value), e.memory
	e.mu.Unlock()
	return end, r.db.Read(context.Background(), func(q store.Querier) (err error) {
		if end.Effects, err = store.One(q, store.Value[int], `SELECT count(*) FROM key_checks WHERE kek_id LIKE 'vendor|%'`); err == nil {
			end.Local, err = store.One(q, store.Value[int], `SELECT count(*) FROM key_checks WHERE kek_id NOT LIKE 'vendor|%'`)
		}
		return err
	})
}

// TestResume_AfterDeathAtEachWriteTheRunEndsTheSame: the record is repeated on the other back end every eighth time.
func TestResume_AfterDeathAtEachWriteTheRunEndsTheSame(t *testing.T) {
	t.Parallel()
	if raceDetector {
		t.Skip("compiling the guest takes too long, and a run has one goroutine")
	}
	engines := []*engine{newEngine(t, guest.Config{}), newEngine(t, guest.Config{Interpreter: true})}
	data := steps(250)
	whole := newRig(t)
	counting := &mortal{DB: whole.db, left: 1 << 30}
	want, err := whole.try(engines[0], data, counting)
	if err != nil || want.Err != "" {
		t.Fatal(err, want.Err)
	}
	writes := 1<<30 - counting.left
	if writes < 50 || want.Effects < 30 || want.Local < 10 {
		t.Fatalf("%d writes, %d effects, %d local ones: the run proves little", writes, want.Effects, want.Local)
	}
	for n := 1; n <= writes; n++ {
		after := n%2 == 0
		r := whole.again()
		if _, err := r.try(engines[0], data, &mortal{DB: r.db, left: n, after: after}); !errors.Is(err, errDead) {
			t.Fatalf("write %d: %v", n, err)
		}
		got, err := r.try(engines[n%8/7], data, r.db)
		if err != nil {
			t.Fatalf("resumed after write %d: %v", n, err)
		}
		if got != want {
			t.Fatalf("resumed after write %d (after its commit: %v):\n got %+v\nwant %+v", n, after, got, want)
		}
	}
}

// TestSleep_OfAGoProgramIsARowToo: the guest calls time.Sleep, and knows nothing of records.
func TestSleep_OfAGoProgramIsARowToo(t *testing.T) {
	t.Parallel()
	if raceDetector {
		t.Skip("compiling the guest takes too long, and a run has one goroutine")
	}
	r, e := newRig(t), newEngine(t, guest.Config{})
	data := json.RawMessage(`{"steps":[{"do":"send","role":"key","method":"POST","url":"/before"},{"do":"sleep","number":259200},{"do":"send","role":"key","method":"POST","url":"/after"}]}`)
	var s *journal.Suspended
	if end, err := r.try(e, data, r.db); !errors.As(err, &s) || r.now.Add(72*time.Hour).Sub(s.Until).Abs() > time.Second || !s.Until.Equal(s.Until.Truncate(time.Microsecond)) {
		t.Fatalf("%+v, %v", end, err)
	}
	r.now = s.Until
	if end, err := r.try(e, data, r.db); err != nil || end.Err != "" || end.Effects != 2 {
		t.Fatalf("%+v, %v", end, err)
	}
}
