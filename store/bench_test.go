package store

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The transaction that is measured: a row read, one changed, one added.
const (
	benchRead   = `SELECT v FROM bench_state WHERE id = $1`
	benchUpdate = `UPDATE bench_state SET v = v + 1 WHERE id = $1`
	benchInsert = `INSERT INTO bench_log (v) VALUES ($1)`
)

// BenchmarkWrite measures durable transactions for 1, 8 and 32 clients at once, and in the same run those of one plain
// connection with the same settings. The metric tx/s is ours; ratio is ours to the plain one.
func BenchmarkWrite(b *testing.B) {
	for _, clients := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			db, plain := benchDatabases(b)
			ours, theirs := time.Duration(0), time.Duration(0)
			// In turns, so that noise of the machine hits both.
			for done := 0; done < b.N; {
				n := min(b.N-done, 200*clients)
				ours += spend(b, clients, n, func(i int) error { return db.Write(context.Background(), benchAct(i)) })
				theirs += spend(b, clients, n, func(i int) error { return plain.write(i) })
				done += n
			}
			b.ReportMetric(float64(b.N)/ours.Seconds(), "tx/s")
			b.ReportMetric(float64(b.N)/theirs.Seconds(), "plain-tx/s")
			b.ReportMetric(theirs.Seconds()/ours.Seconds(), "ratio")
			b.ReportMetric(float64(b.N)/float64(max(db.writer.commits.Load(), 1)), "tx/commit")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func benchAct(i int) func(tx *Tx) error {
	return func(tx *Tx) error {
		if _, err := One(tx, Value[int], benchRead, i%100); err != nil {
			return err
		}
		if err := tx.ExecOne(benchUpdate, i%100); err != nil {
			return err
		}
		_, err := tx.Exec(benchInsert, i)
		return err
	}
}

// spend lets clients do n things together and returns how long it took.
func spend(b *testing.B, clients, n int, do func(i int) error) time.Duration {
	var next atomic.Int64
	var all sync.WaitGroup
	start := time.Now()
	for range clients {
		all.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if err := do(int(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return time.Since(start)
}

func benchDatabases(b *testing.B) (*DB, *plainWriter) {
	b.Helper()
	schema := []string{
		`CREATE TABLE bench_state (id INTEGER PRIMARY KEY, v INTEGER NOT NULL) STRICT`,
		`CREATE TABLE bench_log (id INTEGER PRIMARY KEY, v INTEGER NOT NULL) STRICT`,
		`INSERT INTO bench_state (id, v) WITH RECURSIVE c (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c LIMIT 100) SELECT n, 0 FROM c`,
	}
	folder := b.TempDir()
	db, err := Open(b.Context(), Config{DSN: filepath.Join(folder, "ours.db")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	pool, err := sql.Open("sqlite", writerDSN(filepath.Join(folder, "plain.db"), ""))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { pool.Close() })
	pool.SetMaxOpenConns(1)
	plain := &plainWriter{pool: pool}
	for _, text := range schema {
		err := db.Write(b.Context(), func(tx *Tx) error { _, err := tx.Exec(text); return err })
		if err != nil {
			b.Fatal(err)
		}
		if _, err := pool.Exec(text); err != nil {
			b.Fatal(err)
		}
	}
	for i, text := range []string{benchRead, benchUpdate, benchInsert} {
		if plain.stmts[i], err = pool.Prepare(text); err != nil {
			b.Fatal(err)
		}
	}
	return db, plain
}

// plainWriter is what one would write without thinking about it: one connection, one commit for each transaction.
type plainWriter struct {
	pool  *sql.DB
	stmts [3]*sql.Stmt
}

func (p *plainWriter) write(i int) error {
	tx, err := p.pool.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var v int
	if err := tx.Stmt(p.stmts[0]).QueryRow(i % 100).Scan(&v); err != nil {
		return err
	}
	if _, err := tx.Stmt(p.stmts[1]).Exec(i % 100); err != nil {
		return err
	}
	if _, err := tx.Stmt(p.stmts[2]).Exec(i); err != nil {
		return err
	}
	return tx.Commit()
}
