package store

import (
	"context"
	"errors"
	"strings"

	"github.com/frigg-host/frigg-host/host/fault"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// says is the public message of a kind of failure in one act.
type says map[fault.Kind]string

// at says in which act err happened and, if texts has its kind, what it means there. Use it once, where the act ends.
func at(op string, err error, texts says) error {
	if err == nil {
		return nil
	}
	err = classify(err)
	var f *fault.Error
	if !errors.As(err, &f) {
		return fault.Wrap(err, fault.Internal, op, "the database failed")
	}
	named := f.With(err)
	named.Op = op
	if text, ok := texts[f.Kind]; ok {
		named.Msg = text
	}
	return named
}

// classify makes a fault of what the driver said. Faults, and errors that are not the database's, stay as they are.
func classify(err error) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) {
		return err
	}
	var s *sqlite.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fault.Wrap(err, fault.Canceled, "store.Query", "the caller left")
	case errors.As(err, &s):
		kind, msg := meaning(s.Code())
		return fault.New(kind, "store.Query", "%s", msg).With(err)
	}
	return err
}

// meaning says what a result code of SQLite is to us: https://sqlite.org/rescode.html.
func meaning(code int) (fault.Kind, string) {
	switch code {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return fault.Conflict, "it exists already"
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return fault.Conflict, "something that belongs to it is missing, or still there"
	}
	switch code & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fault.Unavailable, "the database is busy; try again"
	case sqlite3.SQLITE_FULL:
		return fault.Unavailable, "the disk of the database is full"
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM:
		return fault.Unavailable, "the database file cannot be read or written"
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fault.Unavailable, "the database file is damaged; restore a backup"
	case sqlite3.SQLITE_TOOBIG:
		return fault.TooLarge, "the value is too large for the database"
	case sqlite3.SQLITE_INTERRUPT:
		return fault.Canceled, "the caller left"
	}
	return fault.Internal, "the database refused a statement"
}

// noTransaction reports whether a ROLLBACK found nothing to roll back.
func noTransaction(err error) bool {
	var s *sqlite.Error
	return errors.As(err, &s) && s.Code() == sqlite3.SQLITE_ERROR && strings.Contains(s.Error(), "no transaction is active")
}
