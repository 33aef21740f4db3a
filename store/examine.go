package store

import (
	"context"
	"database/sql"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/frigg-host/frigg-host/host/fault"
)

// OpenReadOnly opens a database to look at it, also beside a running host: nothing is made, migrated or written, and Write
// fails. The tables may be those of another version. Returns fault.NotFound if there is no database.
func OpenReadOnly(ctx context.Context, path string) (*DB, error) {
	const op = "store.OpenReadOnly"
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, at(op, err, nil)
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fault.New(fault.NotFound, op, "there is no database file %s", path).With(err)
	}
	query := url.Values{"mode": {"ro"}, "_query_only": {"1"}, "_pragma": {"busy_timeout(10000)"}}
	reads, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: query.Encode()}).String())
	if err != nil {
		return nil, at(op, err, nil)
	}
	if err := reads.PingContext(ctx); err != nil {
		reads.Close()
		return nil, fault.New(fault.Unavailable, op, "the database file %s cannot be read", path).With(err)
	}
	reads.SetMaxOpenConns(readers)
	return &DB{reads: reads, snapshots: make(chan struct{}, readers-1), texts: statements{prepare: reads.PrepareContext}}, nil
}

// Examination is what can be said of a database file.
type Examination struct {
	Version int64    // of its tables
	Known   int64    // the latest that this program knows
	Damage  []string // what SQLite finds wrong with the file
}

// Examine reads the whole file, so it takes long where that is large.
func (db *DB) Examine(ctx context.Context) (Examination, error) {
	const op = "store.Examine"
	e := Examination{Known: newestMigration()}
	version, err := One(db.reader(ctx), Value[int64], `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version WHERE is_applied = 1`)
	if err != nil {
		return e, at(op, err, nil)
	}
	e.Version = version
	lines, err := Many(db.reader(ctx), Value[string], `PRAGMA quick_check(10)`)
	if err != nil {
		return e, at(op, err, nil)
	}
	if len(lines) != 1 || lines[0] != "ok" {
		e.Damage = lines
	}
	return e, nil
}

// newestMigration is the number of the last migration.
func newestMigration() (newest int64) {
	files, _ := fs.Glob(migrations, "migrations/sqlite/*.sql")
	for _, f := range files {
		digits, _, _ := strings.Cut(filepath.Base(f), "_")
		if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
			newest = max(newest, n)
		}
	}
	return newest
}
