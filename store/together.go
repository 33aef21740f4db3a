package store

import "context"

// Together makes one act of several: what f writes and reads with its context happens in one transaction, and is committed
// together when f returns nil, or not at all. A part that fails is undone alone, and f may go on.
//
// For f holds what Write says of an act. Every call of the store inside of f must use f's context: with another one it would
// wait for itself.
func (db *DB) Together(ctx context.Context, f func(ctx context.Context) error) error {
	return db.Write(ctx, func(tx *Tx) error { return f(context.WithValue(ctx, togetherKey{db}, tx)) })
}

type togetherKey struct{ db *DB }

// together is the transaction of the act that ctx is a part of; nil if it is of none.
func (db *DB) together(ctx context.Context) *Tx {
	tx, _ := ctx.Value(togetherKey{db}).(*Tx)
	return tx
}

// part runs an act inside of another, which can go on when it fails.
func (tx *Tx) part(act func(tx *Tx) error) error {
	if _, err := tx.Exec("SAVEPOINT part"); err != nil {
		return err
	}
	inner := &Tx{texts: tx.texts}
	err := call(act, inner)
	if err == nil {
		err = inner.failed
	}
	inner.failed = errOver
	tx.told = tx.told || inner.told && err == nil
	if err != nil {
		if _, undo := tx.Exec("ROLLBACK TO part"); undo != nil {
			return undo
		}
	}
	if _, release := tx.Exec("RELEASE part"); release != nil {
		return release
	}
	return err
}
