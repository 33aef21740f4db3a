package store

import (
	"context"
	"database/sql"
	"errors"
	"sync"

	"github.com/frigg-host/frigg-host/host/fault"
)

// Querier is what One and Many read from: the newest state, the snapshot of a Read, or the transaction of a Write.
type Querier interface {
	query(text string, args []any) (*sql.Rows, error)
	// fail turns what the driver said into a fault, and remembers it where that matters.
	fail(err error) error
}

// Row is a row that can be scanned.
type Row interface{ Scan(dest ...any) error }

// One returns the row that text finds, else fault.NotFound.
func One[T any](q Querier, scan func(Row) (T, error), text string, args ...any) (T, error) {
	var none T
	rows, err := q.query(text, args)
	if err != nil {
		return none, err
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return none, q.fail(err)
		}
		return none, errNoRow
	}
	found, err := scan(rows)
	if err == nil {
		err = rows.Close()
	}
	if err != nil {
		return none, q.fail(err)
	}
	return found, nil
}

// Many returns the rows that text finds, none as an empty list. Every text has a LIMIT or another bound.
func Many[T any](q Querier, scan func(Row) (T, error), text string, args ...any) ([]T, error) {
	rows, err := q.query(text, args)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := []T{}
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, q.fail(err)
		}
		found = append(found, one)
	}
	if err := rows.Err(); err != nil {
		return nil, q.fail(err)
	}
	return found, nil
}

// Value scans a row of one column.
func Value[T any](row Row) (v T, err error) { return v, row.Scan(&v) }

// Tx is the transaction of one act, valid until the act returns. After a statement has failed all others fail too, as in
// Postgres, and so does the act; a text that may meet an existing row says ON CONFLICT.
type Tx struct {
	texts  *statements
	failed error
	told   bool // a fact was written down
}

// Exec runs a statement and returns how many rows it changed.
func (tx *Tx) Exec(text string, args ...any) (int, error) {
	if tx.failed != nil {
		return 0, tx.failed
	}
	stmt, err := tx.texts.of(context.Background(), text)
	if err != nil {
		return 0, tx.fail(err)
	}
	result, err := stmt.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, tx.fail(err)
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// ExecOne is Exec for a statement that must change a row; it returns fault.NotFound if none is changed.
func (tx *Tx) ExecOne(text string, args ...any) error {
	n, err := tx.Exec(text, args...)
	if err == nil && n == 0 {
		return errNoRow
	}
	return err
}

func (tx *Tx) query(text string, args []any) (*sql.Rows, error) {
	if tx.failed != nil {
		return nil, tx.failed
	}
	stmt, err := tx.texts.of(context.Background(), text)
	if err != nil {
		return nil, tx.fail(err)
	}
	rows, err := stmt.QueryContext(context.Background(), args...)
	if err != nil {
		return nil, tx.fail(err)
	}
	return rows, nil
}

func (tx *Tx) fail(err error) error {
	tx.failed = classify(err)
	return tx.failed
}

// Read lets look see one unchanging snapshot. Use reader for a single statement.
//
// One connection is always left over: a text is prepared on a connection of its own, and if snapshots held all of them,
// each would wait for the others.
func (db *DB) Read(ctx context.Context, look func(q Querier) error) error {
	if tx := db.together(ctx); tx != nil {
		return look(tx)
	}
	select {
	case db.snapshots <- struct{}{}:
		defer func() { <-db.snapshots }()
	case <-ctx.Done():
		return classify(ctx.Err())
	}
	tx, err := db.reads.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return classify(err)
	}
	defer tx.Rollback()
	return look(&reader{ctx: ctx, texts: &db.texts, tx: tx})
}

// reader reads the newest committed state, each statement for itself.
func (db *DB) reader(ctx context.Context) Querier {
	if tx := db.together(ctx); tx != nil {
		return tx
	}
	return &reader{ctx: ctx, texts: &db.texts}
}

type reader struct {
	ctx   context.Context
	texts *statements
	tx    *sql.Tx // nil for the newest state
}

func (r *reader) query(text string, args []any) (*sql.Rows, error) {
	stmt, err := r.texts.of(r.ctx, text)
	if err != nil {
		return nil, classify(err)
	}
	if r.tx != nil {
		stmt = r.tx.StmtContext(r.ctx, stmt)
	}
	rows, err := stmt.QueryContext(r.ctx, args...)
	return rows, classify(err)
}

func (r *reader) fail(err error) error { return classify(err) }

// statements keeps prepared statements by text. Texts are constants of this package, so there are few.
type statements struct {
	prepare func(ctx context.Context, text string) (*sql.Stmt, error)
	known   sync.Map
}

func (s *statements) of(ctx context.Context, text string) (*sql.Stmt, error) {
	if stmt, ok := s.known.Load(text); ok {
		return stmt.(*sql.Stmt), nil
	}
	stmt, err := s.prepare(ctx, text)
	if err != nil {
		return nil, err
	}
	if first, raced := s.known.LoadOrStore(text, stmt); raced {
		stmt.Close()
		return first.(*sql.Stmt), nil
	}
	return stmt, nil
}

// close closes them. The connection that they were prepared on stays open until then, whoever closes it.
func (s *statements) close() {
	s.known.Range(func(text, stmt any) bool {
		stmt.(*sql.Stmt).Close()
		s.known.Delete(text)
		return true
	})
}

var (
	errNoRow  = fault.New(fault.NotFound, "store.Query", "not found")
	errOver   = fault.New(fault.Internal, "store.Tx", "the transaction is over")
	errBroken = errors.New("connection is broken")
)
