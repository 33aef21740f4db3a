// Package bench measures the queue beside others on the same machine in the same run. It is a module of its own, so that
// the product does not depend on them.
//
//	cd store/bench && go test -run '^$' -bench . -benchtime 5000x
//
// Each has one SQLite file with WAL and synchronous=FULL, 32 clients that insert jobs one by one, and 32 workers.
package bench

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"maragu.dev/goqite"
	_ "modernc.org/sqlite"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/store"
)

const clients = 32

// queue is one of those that are compared.
type queue interface {
	// insert adds the job i, durably.
	insert(ctx context.Context, i int) error
	// work works off n jobs that were inserted.
	work(ctx context.Context, n int) error
}

func BenchmarkQueues(b *testing.B) {
	queues := []struct {
		name string
		make func(b *testing.B) queue
	}{{"frigg", newFrigg}, {"river", newRiver}, {"goqite", newGoqite}}
	insert, work := map[string]time.Duration{}, map[string]time.Duration{}
	for _, q := range queues {
		it := q.make(b)
		began := time.Now()
		share(b, func(i int) error { return it.insert(b.Context(), i) })
		insert[q.name] = time.Since(began)
		began = time.Now()
		if err := it.work(b.Context(), b.N); err != nil {
			b.Fatal(err)
		}
		work[q.name] = time.Since(began)
		b.ReportMetric(float64(b.N)/insert[q.name].Seconds(), q.name+"-insert/s")
		b.ReportMetric(float64(b.N)/work[q.name].Seconds(), q.name+"-work/s")
	}
	for _, other := range []string{"river", "goqite"} {
		b.ReportMetric(insert[other].Seconds()/insert["frigg"].Seconds(), "insert/"+other)
		b.ReportMetric(work[other].Seconds()/work["frigg"].Seconds(), "work/"+other)
	}
	b.ReportMetric(0, "ns/op")
}

// share lets the clients do b.N things together.
func share(b *testing.B, do func(i int) error) {
	b.Helper()
	var next atomic.Int64
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := do(int(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

// counter is closed when n things were done.
type counter struct {
	left atomic.Int64
	done chan struct{}
}

func newCounter(n int) *counter {
	c := &counter{done: make(chan struct{})}
	c.left.Store(int64(n))
	return c
}

func (c *counter) one() {
	if c.left.Add(-1) == 0 {
		close(c.done)
	}
}

func (c *counter) wait(ctx context.Context) error {
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// frigg is ours: jobs of 32 owners in 256 lanes.
type frigg struct{ db *store.DB }

func newFrigg(b *testing.B) queue {
	db, err := store.Open(b.Context(), store.Config{DSN: filepath.Join(b.TempDir(), "frigg.db")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	return frigg{db}
}

func (q frigg) insert(ctx context.Context, i int) error {
	_, _, err := q.db.Enqueue(ctx, job.New{
		ID: job.NewID(), Owner: account.Owner(fmt.Sprint("usr_", i%32)), Lane: fmt.Sprint(i % 256), Kind: "bench", CreatedAt: time.Now().UTC(),
	})
	return err
}

type handler func()

func (h handler) Work(context.Context, *job.Job) job.Outcome { h(); return job.Outcome{} }

func (q frigg) work(ctx context.Context, n int) error {
	done := newCounter(n)
	ctx, stop := context.WithCancel(ctx)
	w := &job.Workers{
		Store: q.db, Handlers: map[string]job.Handler{"bench": handler(done.one)}, Now: func() time.Time { return time.Now().UTC() },
		Log: slog.New(slog.DiscardHandler), Slots: clients,
	}
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx, time.Minute) }()
	err := done.wait(ctx)
	stop()
	if ran := <-ended; err == nil {
		err = ran
	}
	return err
}

// open is a SQLite file with the settings that its makers ask for, and synchronous=FULL.
func open(b *testing.B) *sql.DB {
	path := filepath.Join(b.TempDir(), "other.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		b.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	b.Cleanup(func() { db.Close() })
	return db
}

type riverArgs struct{ N int }

func (riverArgs) Kind() string { return "bench" }

type riverWorker struct {
	river.WorkerDefaults[riverArgs]
	done atomic.Pointer[counter]
}

func (w *riverWorker) Work(context.Context, *river.Job[riverArgs]) error {
	w.done.Load().one()
	return nil
}

type riverQueue struct {
	client *river.Client[*sql.Tx]
	worker *riverWorker
}

func newRiver(b *testing.B) queue {
	driver := riversqlite.New(open(b))
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := migrator.Migrate(b.Context(), rivermigrate.DirectionUp, nil); err != nil {
		b.Fatal(err)
	}
	q := &riverQueue{worker: &riverWorker{}}
	workers := river.NewWorkers()
	river.AddWorker(workers, q.worker)
	q.client, err = river.NewClient(driver, &river.Config{
		Logger: slog.New(slog.DiscardHandler), Workers: workers, Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: clients}},
		FetchCooldown: river.FetchCooldownMin, FetchPollInterval: 10 * time.Millisecond,
	})
	if err != nil {
		b.Fatal(err)
	}
	return q
}

func (q *riverQueue) insert(ctx context.Context, i int) error {
	_, err := q.client.Insert(ctx, riverArgs{N: i}, nil)
	return err
}

func (q *riverQueue) work(ctx context.Context, n int) error {
	done := newCounter(n)
	q.worker.done.Store(done)
	if err := q.client.Start(ctx); err != nil {
		return err
	}
	if err := done.wait(ctx); err != nil {
		return err
	}
	return q.client.Stop(ctx)
}

type goqiteQueue struct{ q *goqite.Queue }

func newGoqite(b *testing.B) queue {
	db := open(b)
	dir, err := exec.CommandContext(b.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "maragu.dev/goqite").Output()
	if err != nil {
		b.Fatal(err)
	}
	schema, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "schema_sqlite.sql"))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := db.ExecContext(b.Context(), string(schema)); err != nil {
		b.Fatal(err)
	}
	return goqiteQueue{goqite.New(goqite.NewOpts{DB: db, Name: "bench", Timeout: time.Minute})}
}

func (q goqiteQueue) insert(ctx context.Context, _ int) error {
	return q.q.Send(ctx, goqite.Message{Body: []byte(`{}`)})
}

func (q goqiteQueue) work(ctx context.Context, n int) error {
	var next atomic.Int64
	failed := make(chan error, clients)
	for range clients {
		go func() {
			for next.Add(1) <= int64(n) {
				m, err := q.q.ReceiveAndWait(ctx, time.Millisecond)
				if err == nil {
					err = q.q.Delete(ctx, m.ID)
				}
				if err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range clients {
		if err := <-failed; err != nil {
			return err
		}
	}
	return nil
}
