package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/google/go-cmp/cmp"
	"modernc.org/sqlite"
)

// scratch returns a database with a table for numbers.
func scratch(t *testing.T, path string) *DB {
	t.Helper()
	db, err := Open(t.Context(), Config{DSN: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	noError(t, db.Write(t.Context(), func(tx *Tx) error {
		_, err := tx.Exec(`CREATE TABLE numbers (n INTEGER PRIMARY KEY) STRICT`)
		return err
	}))
	return db
}

func file(t *testing.T) string { return filepath.Join(t.TempDir(), "frigg.db") }

func insert(n int) func(tx *Tx) error {
	return func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO numbers (n) VALUES ($1)`, n)
		return err
	}
}

func numbers(t *testing.T, db *DB) []int {
	t.Helper()
	found, err := Many(db.reader(t.Context()), Value[int], `SELECT n FROM numbers ORDER BY n`)
	noError(t, err)
	return found
}

// together lets all acts wait behind one that is running, so that they form one batch, and returns their errors.
// It must run in a synctest bubble.
func together(t *testing.T, db *DB, acts ...func(tx *Tx) error) []error {
	t.Helper()
	release := make(chan struct{})
	errs := make([]error, len(acts))
	var all sync.WaitGroup
	all.Go(func() { hold(db, release) })
	synctest.Wait()
	for i, act := range acts {
		all.Go(func() { errs[i] = db.Write(context.Background(), act) })
	}
	synctest.Wait()
	close(release)
	all.Wait()
	return errs
}

// hold keeps the writer busy until release is closed.
func hold(db *DB, release <-chan struct{}) {
	db.Write(context.Background(), func(*Tx) error { <-release; return nil })
}

func TestWrite_SharesOneCommitAmongAllThatWait(t *testing.T) {
	t.Parallel()
	path := file(t)
	synctest.Test(t, func(t *testing.T) {
		db := scratch(t, path)
		var acts []func(tx *Tx) error
		var want []int
		for n := range 100 {
			acts, want = append(acts, insert(n)), append(want, n)
		}
		before := db.writer.commits.Load()
		for _, err := range together(t, db, acts...) {
			noError(t, err)
		}
		if commits := db.writer.commits.Load() - before; commits != 2 { // the one in front, and one for all
			t.Errorf("%d commits, want 2", commits)
		}
		equal(t, numbers(t, db), want)
		noError(t, db.Close())
	})
}

func TestWrite_ABatchHasABound(t *testing.T) {
	t.Parallel()
	path := file(t)
	synctest.Test(t, func(t *testing.T) {
		db := scratch(t, path)
		acts := make([]func(tx *Tx) error, 2*maxBatch+10)
		for n := range acts {
			acts[n] = insert(n)
		}
		before := db.writer.commits.Load()
		for _, err := range together(t, db, acts...) {
			noError(t, err)
		}
		if commits := db.writer.commits.Load() - before; commits < 4 {
			t.Errorf("%d commits for %d acts, want at least 4", commits, len(acts))
		}
		noError(t, db.Close())
	})
}

func TestWrite_ABadActHarmsNoOther(t *testing.T) {
	t.Parallel()
	errOwn := errors.New("own error")
	var kept *Tx
	for name, c := range map[string]struct {
		bad  func(tx *Tx) error
		want func(err error) bool
	}{
		"error": {
			func(tx *Tx) error { return errors.Join(insert(1000)(tx), errOwn) },
			func(err error) bool { return errors.Is(err, errOwn) },
		},
		"panic": {
			func(tx *Tx) error { insert(1000)(tx); panic("boom") },
			func(err error) bool {
				return fault.Is(err, fault.Internal) && strings.Contains(err.Error(), "boom") && strings.Contains(err.Error(), "writer_test.go")
			},
		},
		"panic with nothing": {
			func(tx *Tx) error { insert(1000)(tx); panic(nil) },
			func(err error) bool { return fault.Is(err, fault.Internal) },
		},
		"conflict": {
			func(tx *Tx) error { return errors.Join(insert(1000)(tx), insert(1000)(tx)) },
			func(err error) bool { return fault.Is(err, fault.Conflict) },
		},
		"error passed over": {
			func(tx *Tx) error { insert(1000)(tx); insert(1000)(tx); insert(1001)(tx); return nil },
			func(err error) bool { return fault.Is(err, fault.Conflict) },
		},
		"query that fails": {func(tx *Tx) error {
			insert(1000)(tx)
			_, _ = One(tx, Value[int], `INSERT INTO numbers (n) VALUES (1000) RETURNING n`)
			return nil
		}, func(err error) bool { return fault.Is(err, fault.Conflict) }},
		"no such table": {
			func(tx *Tx) error { insert(1000)(tx); _, err := tx.Exec(`DELETE FROM nothing`); return err },
			func(err error) bool { return fault.Is(err, fault.Internal) },
		},
		"nested transaction": {
			func(tx *Tx) error { insert(1000)(tx); _, err := tx.Exec(`BEGIN`); return err },
			func(err error) bool { return fault.Is(err, fault.Internal) },
		},
		"kept transaction": {
			func(tx *Tx) error { kept = tx; return errOwn },
			func(err error) bool { return errors.Is(err, errOwn) && fault.Is(insert(1000)(kept), fault.Internal) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t)
			synctest.Test(t, func(t *testing.T) {
				db := scratch(t, path)
				acts := make([]func(tx *Tx) error, 100)
				var want []int
				for n := range acts {
					if acts[n] = insert(n); n == 37 {
						acts[n] = c.bad
					} else {
						want = append(want, n)
					}
				}
				errs := together(t, db, acts...)
				if !c.want(errs[37]) {
					t.Errorf("the bad one got %v", errs[37])
				}
				for n, err := range errs {
					if n != 37 && err != nil {
						t.Errorf("act %d got %v", n, err)
					}
				}
				equal(t, numbers(t, db), want)
				noError(t, db.Close())
			})
		})
	}
}

// A statement can end the whole transaction. Then nobody may be told that his write is done, and nothing may stay.
func TestWrite_AnswersAllIfTheTransactionIsGone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text    string
		culprit fault.Kind
	}{
		"rolled back": {`ROLLBACK`, fault.Unavailable},
		"or rollback": {`INSERT OR ROLLBACK INTO numbers (n) VALUES (1), (1)`, fault.Conflict},
		"committed":   {`RELEASE act`, fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t)
			synctest.Test(t, func(t *testing.T) {
				db := scratch(t, path)
				acts := []func(tx *Tx) error{insert(100), func(tx *Tx) error { _, err := tx.Exec(c.text); return err }, insert(102)}
				for n := range 10 {
					acts = append(acts, insert(n))
				}
				for n, err := range together(t, db, acts...) {
					want := fault.Unavailable
					if n == 1 {
						want = c.culprit
					}
					wantKind(t, err, want)
				}
				equal(t, numbers(t, db), []int{})
				noError(t, db.Write(t.Context(), insert(7)))
				equal(t, numbers(t, db), []int{7})
				noError(t, db.Close())
			})
		})
	}
}

func TestWrite_CommitThatFailsIsAnsweredToAllAndTheNextWorks(t *testing.T) {
	t.Parallel()
	path := file(t)
	synctest.Test(t, func(t *testing.T) {
		db := scratch(t, path)
		refuse := true
		noError(t, db.writer.conn.Raw(func(conn any) error {
			conn.(sqlite.HookRegisterer).RegisterCommitHook(func() int32 {
				if refuse {
					return 1
				}
				return 0
			})
			return nil
		}))
		acts := []func(tx *Tx) error{insert(1), insert(2), func(tx *Tx) error { return errors.New("own") }}
		errs := together(t, db, acts...)
		wantKind(t, errs[0], fault.Unavailable)
		wantKind(t, errs[1], fault.Unavailable)
		if errs[2] == nil || errs[2].Error() != "own" {
			t.Errorf("got %v", errs[2])
		}
		equal(t, numbers(t, db), []int{})
		refuse = false
		noError(t, db.Write(t.Context(), insert(3)))
		equal(t, numbers(t, db), []int{3})
		noError(t, db.Close())
	})
}

func TestWrite_ReplacesABrokenConnection(t *testing.T) {
	t.Parallel()
	db := scratch(t, file(t))
	noError(t, db.writer.conn.Close())
	wantKind(t, db.Write(t.Context(), insert(1)), fault.Unavailable)
	noError(t, db.Write(t.Context(), insert(2)))
	equal(t, numbers(t, db), []int{2})
}

func TestWrite_DiskFullIsUnavailableAndPasses(t *testing.T) {
	t.Parallel()
	db := scratch(t, file(t))
	limit := func(pages int) {
		t.Helper()
		_, err := db.writer.conn.ExecContext(t.Context(), fmt.Sprintf(`PRAGMA max_page_count = %d`, pages))
		noError(t, err)
	}
	limit(1) // which means: not one page more
	fill := func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO numbers (n) WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 50000) SELECT n FROM c`)
		return err
	}
	err := db.Write(t.Context(), fill)
	wantKind(t, err, fault.Unavailable)
	if msg := fault.PublicMessage(err); !strings.Contains(msg, "full") {
		t.Errorf("got %q", msg)
	}
	equal(t, numbers(t, db), []int{})
	limit(1 << 30)
	noError(t, db.Write(t.Context(), fill))
}

func TestWrite_NeverRunsForACallerWhoLeft(t *testing.T) {
	t.Parallel()
	path := file(t)
	synctest.Test(t, func(t *testing.T) {
		db := scratch(t, path)
		gone, leave := context.WithCancel(context.Background())
		release := make(chan struct{})
		var all sync.WaitGroup
		all.Go(func() { hold(db, release) })
		synctest.Wait()
		left := make(chan error)
		go func() { left <- db.Write(gone, insert(1)) }()
		synctest.Wait()
		leave()
		wantKind(t, <-left, fault.Canceled) // at once, not when its turn comes
		close(release)
		all.Wait()
		wantKind(t, db.Write(gone, insert(2)), fault.Canceled)
		equal(t, numbers(t, db), []int{})
		noError(t, db.Close())
	})
}

func TestWrite_SaysWhatHappenedToACallerWhoLeavesTooLate(t *testing.T) {
	t.Parallel()
	db := scratch(t, file(t))
	ctx, leave := context.WithCancel(t.Context())
	noError(t, db.Write(ctx, func(tx *Tx) error {
		leave()
		return insert(1)(tx)
	}))
	equal(t, numbers(t, db), []int{1})
}

func TestWrite_WithAFullQueueEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	path := file(t)
	synctest.Test(t, func(t *testing.T) {
		db := scratch(t, path)
		release := make(chan struct{})
		var all sync.WaitGroup
		all.Go(func() { hold(db, release) })
		synctest.Wait()
		for n := range maxBatch {
			all.Go(func() { db.Write(context.Background(), insert(n)) })
		}
		synctest.Wait()
		gone, leave := context.WithCancel(context.Background())
		left := make(chan error)
		go func() { left <- db.Write(gone, insert(1000)) }()
		synctest.Wait()
		leave()
		wantKind(t, <-left, fault.Canceled)
		close(release)
		all.Wait()
		if got := len(numbers(t, db)); got != maxBatch {
			t.Errorf("%d rows, want %d", got, maxBatch)
		}
		noError(t, db.Close())
	})
}

func TestClose_FinishesWhatWasHandedIn(t *testing.T) {
	t.Parallel()
	path := file(t)
	db := scratch(t, path)
	const n = 200
	errs := make([]error, n)
	var all sync.WaitGroup
	started := make(chan struct{}, n)
	for i := range n {
		all.Go(func() {
			started <- struct{}{}
			errs[i] = db.Write(context.Background(), insert(i))
		})
	}
	for range n / 2 {
		<-started
	}
	noError(t, db.Close())
	all.Wait()
	noError(t, db.Close())
	wantKind(t, db.Write(t.Context(), insert(-1)), fault.Unavailable)

	again, err := Open(t.Context(), Config{DSN: path})
	noError(t, err)
	defer again.Close()
	want := []int{}
	for i, err := range errs {
		if err == nil {
			want = append(want, i)
		} else {
			wantKind(t, err, fault.Unavailable)
		}
	}
	equal(t, numbers(t, again), want)
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t *testing.T, err error, want fault.Kind) {
	t.Helper()
	if got := fault.KindOf(err); got != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

func equal[T any](t *testing.T, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
