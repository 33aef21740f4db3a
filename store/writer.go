package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/frigg-host/frigg-host/host/event"
	"github.com/frigg-host/frigg-host/host/fault"
)

// maxBatch is how many acts share one commit at most. It bounds how long the first of them waits.
const maxBatch = 128

// Write runs act in a transaction and returns after its commit is on disk. Acts that wait at the same time share one
// commit; each has a savepoint of its own, so an error or a panic undoes that act alone and becomes the error of its
// caller.
//
// An act runs while everybody else waits, and it may be undone after it has returned nil. So it does no I/O, takes no
// locks, calls no guest and not Write, and changes no Go state that matters if Write returns an error.
//
// If ctx ends before the act has its turn, the act never runs. Later the end of ctx changes nothing: Write returns what
// really happened.
func (db *DB) Write(ctx context.Context, act func(tx *Tx) error) error {
	if db.writer == nil {
		return fault.New(fault.Forbidden, "store.Write", "the database was opened to be read only").On(fault.Host)
	}
	if tx := db.together(ctx); tx != nil {
		return tx.part(act)
	}
	return db.writer.write(ctx, act)
}

// writer owns the only connection that writes. One goroutine uses it; all others hand in requests.
type writer struct {
	pool     *sql.DB
	revision *revision
	log      *slog.Logger

	// Of the goroutine run.
	conn  *sql.Conn
	texts statements

	queue   chan *request
	mu      sync.RWMutex // held for reading while handing in, so that queue is not closed meanwhile
	closed  bool
	ended   chan struct{}
	commits atomic.Int64
	facts   event.Signal // rings after a commit with facts
	told    bool         // the transaction of run has facts
}

// request is an act on its way. Its caller may leave until the writer takes it; one of the two happens.
type request struct {
	act    func(tx *Tx) error
	owned  atomic.Bool
	answer chan error // has room for one
}

// own reports whether the caller of own is the first.
func (r *request) own() bool { return r.owned.CompareAndSwap(false, true) }

func newWriter(pool *sql.DB, revision *revision, log *slog.Logger) (*writer, error) {
	w := &writer{pool: pool, revision: revision, log: log, queue: make(chan *request, maxBatch), ended: make(chan struct{})}
	if err := w.connect(); err != nil {
		return nil, err
	}
	go w.run()
	return w, nil
}

func (w *writer) write(ctx context.Context, act func(tx *Tx) error) error {
	r := &request{act: act, answer: make(chan error, 1)}
	if err := w.hand(ctx, r); err != nil {
		return err
	}
	select {
	case err := <-r.answer:
		return err
	case <-ctx.Done():
		if r.own() {
			return leftWaiting(ctx)
		}
		return <-r.answer
	}
}

// hand puts r into the queue.
func (w *writer) hand(ctx context.Context, r *request) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return fault.New(fault.Unavailable, "store.Write", "the database is closed")
	}
	if ctx.Err() != nil {
		return leftWaiting(ctx)
	}
	select {
	case w.queue <- r:
		return nil
	case <-ctx.Done():
		return leftWaiting(ctx)
	}
}

func leftWaiting(ctx context.Context) error {
	return fault.Wrap(ctx.Err(), fault.Canceled, "store.Write", "the caller left before the write had its turn")
}

// run works until the queue is closed and empty.
func (w *writer) run() {
	defer close(w.ended)
	batch := make([]*request, 0, maxBatch)
	for first := range w.queue {
		if len(batch) > 1 {
			runtime.Gosched() // those just answered come again: let them, so that they share this commit
		}
		batch = w.drain(append(batch[:0], first))
		w.commit(batch)
	}
}

// drain adds what waits already.
func (w *writer) drain(batch []*request) []*request {
	for len(batch) < maxBatch {
		select {
		case r, open := <-w.queue:
			if !open {
				return batch
			}
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

// commit runs a batch in one transaction and answers everybody in it.
func (w *writer) commit(batch []*request) {
	taken := batch[:0]
	for _, r := range batch {
		if r.own() {
			taken = append(taken, r)
		}
	}
	if len(taken) == 0 {
		return
	}
	results := make([]error, len(taken))
	if err := w.transact(taken, results); err != nil {
		w.reset()
		spread(results, err)
	}
	for i, r := range taken {
		r.answer <- results[i]
	}
}

// transact sets the result of each request, and returns an error if all of them were undone.
func (w *writer) transact(batch []*request, results []error) error {
	if w.conn == nil {
		if err := w.connect(); err != nil {
			return err
		}
	}
	if err := w.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	for i, r := range batch {
		if err := w.attempt(r.act, &results[i]); err != nil {
			return err
		}
	}
	n := w.revision.begin()
	defer w.revision.end(n)
	if err := w.exec("COMMIT"); err != nil {
		w.reset() // before anybody may rely on what was there
		return err
	}
	w.commits.Add(1)
	if w.told {
		w.told = false
		w.facts.Ring()
	}
	return nil
}

// spread tells those whose act was fine that all was undone; those who failed keep their own error.
func spread(results []error, err error) {
	undone := classify(err)
	var f *fault.Error
	if !errors.As(undone, &f) || f.Kind != fault.Unavailable {
		undone = fault.New(fault.Unavailable, "store.Write", "the write was undone together with others; try again").With(err)
	}
	for i := range results {
		if results[i] == nil {
			results[i] = undone
		}
	}
}

// attempt runs one act in a savepoint and sets its result. It returns an error if the transaction around it is gone.
func (w *writer) attempt(act func(tx *Tx) error, result *error) error {
	if err := w.exec("SAVEPOINT act"); err != nil {
		return err
	}
	tx := &Tx{texts: &w.texts}
	*result = call(act, tx)
	if *result == nil {
		*result = tx.failed
	}
	w.told = w.told || tx.told && *result == nil
	tx.failed = errOver
	if *result != nil {
		if err := w.exec("ROLLBACK TO act"); err != nil {
			return err
		}
	}
	return w.exec("RELEASE act")
}

// call turns a panic into an error.
func call(act func(tx *Tx) error, tx *Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.New(fault.Internal, "store.Write", "an act panicked").With(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	return act(tx)
}

// exec runs a statement of the writer's own. No request's context reaches the connection: interrupting a statement would
// undo the acts of others.
func (w *writer) exec(text string) error {
	stmt, err := w.texts.of(context.Background(), text)
	if err != nil {
		return err
	}
	_, err = stmt.ExecContext(context.Background())
	return err
}

// reset brings the connection back to where no transaction is open, with a new connection if need be.
func (w *writer) reset() {
	if w.conn == nil {
		return
	}
	_, err := w.conn.ExecContext(context.Background(), "ROLLBACK")
	if err == nil || noTransaction(err) {
		return
	}
	w.log.Error("connection to the database replaced", "op", "store.Write", "err", err)
	w.texts.close()
	w.conn.Raw(func(any) error { return errBroken }) // so that the pool closes it
	w.conn.Close()
	w.conn = nil
}

func (w *writer) connect() error {
	conn, err := w.pool.Conn(context.Background())
	if err != nil {
		return err
	}
	w.conn, w.texts = conn, statements{prepare: conn.PrepareContext}
	return nil
}

// close lets the acts that were handed in finish, calls between, empties the log into the database file and closes the
// connection.
func (w *writer) close(between func() error) error {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.queue)
	}
	w.mu.Unlock()
	<-w.ended
	err := between()
	if w.conn != nil {
		w.texts.close()
		_, truncated := w.conn.ExecContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)")
		err = errors.Join(err, truncated, w.conn.Close())
	}
	return errors.Join(err, w.pool.Close())
}
