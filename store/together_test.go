package store_test

import (
	"context"
	"errors"
	"testing"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/store"
)

func TestTogether_CommitsAllOrNothing(t *testing.T) {
	t.Parallel()
	db := open(t)
	ctx := context.Background()
	put := func(ctx context.Context, id string) error {
		return db.Write(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(`INSERT INTO key_checks (kek_id, wrapped, created_at) VALUES ($1, x'00', 0)`, id)
			return err
		})
	}
	count := func(ctx context.Context) (n int) {
		err := db.Read(ctx, func(q store.Querier) (err error) {
			n, err = store.One(q, store.Value[int], `SELECT count(*) FROM key_checks`)
			return err
		})
		if err != nil {
			t.Error(err)
		}
		return n
	}
	no := errors.New("no")
	err := db.Together(ctx, func(ctx context.Context) error { return errors.Join(put(ctx, "a"), put(ctx, "b"), no) })
	if !errors.Is(err, no) || count(ctx) != 0 {
		t.Fatalf("%v, %d rows of an act that failed", err, count(ctx))
	}
	err = db.Together(ctx, func(in context.Context) error {
		if err := put(in, "a"); err != nil {
			return err
		}
		if err := put(in, "a"); !fault.Is(err, fault.Conflict) {
			t.Errorf("a part that fails: %v", err)
		}
		if count(in) != 1 || count(ctx) != 0 {
			t.Errorf("inside %d rows are seen, outside %d", count(in), count(ctx))
		}
		return put(in, "b")
	})
	if err != nil || count(ctx) != 2 {
		t.Fatalf("%v, %d rows", err, count(ctx))
	}
}
