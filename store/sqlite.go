package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"modernc.org/sqlite"
)

// readers is how many connections read. More than two per core bring nothing.
const readers = 4

// oldestSQLite is the first version without the defect that could lose a commit when a log restarts during a checkpoint.
var oldestSQLite = [3]int{3, 51, 3}

func openSQLite(ctx context.Context, cfg Config) (_ *DB, err error) {
	sqlite.StrictPragmas(true)
	path, err := filepath.Abs(cfg.DSN)
	if err != nil || cfg.DSN == "" {
		return nil, fault.New(fault.Invalid, "store.Open", "%q is not the path of a database file", cfg.DSN).On(fault.Host)
	}
	lock, err := claimFile(cfg, path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	shared, err := lock.share(revisionBytes)
	if err != nil {
		return nil, err
	}
	commits := revisionIn(shared)
	pool, err := sql.Open("sqlite", writerDSN(path, cfg.VFS))
	if err != nil {
		return nil, at("store.Open", err, nil)
	}
	pool.SetMaxOpenConns(1)
	defer func() {
		if err != nil {
			pool.Close()
		}
	}()
	if err := checkVersion(ctx, pool); err != nil {
		return nil, err
	}
	n := commits.begin()
	err = migrate(ctx, pool, path, cfg)
	commits.end(n)
	if err != nil {
		return nil, err
	}
	reads, err := sql.Open("sqlite", readerDSN(path, cfg.VFS))
	if err != nil {
		return nil, at("store.Open", err, nil)
	}
	reads.SetMaxOpenConns(readers)
	reads.SetMaxIdleConns(readers)
	reads.SetConnMaxIdleTime(3 * time.Minute)
	w, err := newWriter(pool, commits, cfg.Log)
	if err != nil {
		reads.Close()
		return nil, at("store.Open", err, nil)
	}
	return &DB{
		writer: w, reads: reads, snapshots: make(chan struct{}, readers-1),
		texts: statements{prepare: reads.PrepareContext}, lock: lock, cache: newCache(commits), caps: cfg.Caps.orUnbounded(),
	}, nil
}

// claimFile locks the file and makes it if it is missing. In a file system of SQLite's there is nothing to do: the lock is nil.
func claimFile(cfg Config, path string) (*fileLock, error) {
	if cfg.VFS != "" {
		return nil, nil
	}
	lock, err := lockFile(path+".lock", cfg.Shared)
	if err != nil {
		return nil, err
	}
	if err := createFile(path); err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

// createFile makes the file readable by this user only, before SQLite would make it readable by all. The log beside it gets
// the same mode.
func createFile(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fault.New(fault.Unavailable, "store.Open", "the database file %s cannot be read or written", path).With(err)
	}
	return file.Close()
}

// The pragmas of every connection. The driver applies busy_timeout first and the others in alphabetical order, whatever the
// order here; the switch to WAL is not among them because page_size, which acts on a new file only, must come before it.
// FULL is what an acknowledgement rests on: the log is synced at every commit.
var pragmas = []string{
	"busy_timeout(10000)", "cache_size(-32000)", "foreign_keys(1)", "fullfsync(1)", "journal_size_limit(67108864)",
	"page_size(8192)", "synchronous(FULL)", "temp_store(MEMORY)",
}

func writerDSN(path, vfs string) string {
	return sqliteDSN(path, vfs, url.Values{"_txlock": {"immediate"}}, pragmas...)
}

func readerDSN(path, vfs string) string {
	return sqliteDSN(path, vfs, url.Values{"_query_only": {"1"}}, slices.Concat(pragmas, []string{"mmap_size(268435456)"})...)
}

// sqliteDSN returns a file: address, since SQLite ignores parameters behind a plain path.
func sqliteDSN(path, vfs string, query url.Values, pragmas ...string) string {
	query["_pragma"] = pragmas
	query.Set("_journal_mode", "WAL")
	query.Set("_dqs", "0")
	if vfs != "" {
		query.Set("vfs", vfs)
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: query.Encode()}).String()
}

func checkVersion(ctx context.Context, pool *sql.DB) error {
	var text string
	if err := pool.QueryRowContext(ctx, `SELECT sqlite_version()`).Scan(&text); err != nil {
		return at("store.Open", err, nil)
	}
	if !versionAtLeast(text, oldestSQLite) {
		return fault.New(fault.Unsupported, "store.Open", "SQLite %s is too old, at least %s is needed", text,
			fmt.Sprintf("%d.%d.%d", oldestSQLite[0], oldestSQLite[1], oldestSQLite[2]))
	}
	return nil
}

func versionAtLeast(text string, least [3]int) bool {
	parts := strings.Split(text, ".")
	for i, want := range least {
		if i == len(parts) {
			return false
		}
		have, err := strconv.Atoi(parts[i])
		if err != nil || have < want {
			return false
		}
		if have > want {
			return true
		}
	}
	return true
}
