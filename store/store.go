// Package store keeps everything that must survive: one database, one SQL text per act, every act all or nothing.
//
// It fits the small Store interfaces of the rooms by shape and knows their types. It does not know rules: who may do
// something and what follows from it is decided above. Errors are faults: Conflict for what exists already, NotFound for
// what does not, Unavailable when the database is busy, full or broken.
//
// Conventions: times are INTEGER microseconds since 1970 UTC; tables are STRICT; rows are ordered by id; parameters are
// written $1; every statement runs on SQLite and on Postgres.
//
// A DB is safe for concurrent use.
package store

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"sync"

	"github.com/frigg-host/frigg-host/host/fault"
)

// Config says which database to open.
type Config struct {
	// DSN is the path of a SQLite file, which is created if missing. Its folder must exist.
	DSN string
	// Log receives what an operator should know; nil discards it.
	Log *slog.Logger
	// Caps bound the jobs that run at once.
	Caps Caps
	// Shared lets several hosts open the file at the same time, each with Shared set. Otherwise a second one is refused.
	Shared bool
	// VFS names a file system that was registered with SQLite, in which DSN is then the path. Tests use it to fail as disks
	// do. Empty is that of this machine; another one is expected to keep out other processes by itself.
	VFS string
}

// DB is an open database. Close it.
type DB struct {
	writer    *writer
	reads     *sql.DB
	snapshots chan struct{} // one for each Read under way
	texts     statements    // prepared on reads
	lock      *fileLock
	cache     *cache // nil if it was opened to be looked at
	caps      Caps

	closing sync.Once
	closed  error
}

// Open opens the database and brings its tables up to date.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if scheme, _, found := strings.Cut(cfg.DSN, "://"); found {
		return nil, fault.New(fault.Unsupported, "store.Open", "databases of kind %q are not supported; give the path of a file", scheme)
	}
	return openSQLite(ctx, cfg)
}

// Close finishes the writes that were handed in, folds the log into the database file and gives the file free. Calling it
// again returns the same result.
func (db *DB) Close() error {
	db.closing.Do(func() {
		if db.writer == nil { // opened to be looked at
			db.closed = db.reads.Close()
			return
		}
		err := db.writer.close(db.reads.Close)
		db.cache.close()
		db.closed = errors.Join(err, db.lock.Close())
	})
	return db.closed
}
