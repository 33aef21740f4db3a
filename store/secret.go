package store

import (
	"context"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
)

var _ secret.Store = (*DB)(nil)

const dataKeyColumns = `id, owner, kek_id, wrapped, created_at`

func dataKeyFields(k *secret.DataKey) []any {
	return []any{&k.ID, &k.Owner, &k.RootKey, &k.Wrapped, micros(&k.CreatedAt)}
}

func scanDataKey(row Row) (*secret.DataKey, error) {
	k := new(secret.DataKey)
	return k, row.Scan(dataKeyFields(k)...)
}

const dataKeyByOwner = `SELECT ` + dataKeyColumns + ` FROM data_keys WHERE owner = $1`

func (db *DB) DataKey(ctx context.Context, owner string) (*secret.DataKey, error) {
	k, err := One(db.reader(ctx), scanDataKey, dataKeyByOwner, owner)
	return k, at("store.DataKey", err, says{fault.NotFound: "the owner has no data key; what was sealed for it cannot be read"})
}

func (db *DB) AddDataKey(ctx context.Context, key *secret.DataKey) (kept *secret.DataKey, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO data_keys (`+dataKeyColumns+`) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (owner) DO NOTHING`,
			dataKeyFields(key)...)
		if err != nil {
			return err
		}
		kept, err = One(tx, scanDataKey, dataKeyByOwner, key.Owner)
		return err
	})
	if err != nil {
		return nil, at("store.AddDataKey", err, nil)
	}
	return kept, nil
}

func (db *DB) DeleteDataKey(ctx context.Context, owner string) error {
	err := db.Write(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`DELETE FROM data_keys WHERE owner = $1`, owner)
		return err
	})
	return at("store.DeleteDataKey", err, nil)
}

const keyCheckColumns = `kek_id, wrapped, created_at`

func keyCheckFields(c *secret.KeyCheck) []any {
	return []any{&c.RootKey, &c.Wrapped, micros(&c.CreatedAt)}
}

func scanKeyCheck(row Row) (*secret.KeyCheck, error) {
	c := new(secret.KeyCheck)
	return c, row.Scan(keyCheckFields(c)...)
}

func (db *DB) RootKeysInUse(ctx context.Context) ([]string, error) {
	ids, err := Many(db.reader(ctx), Value[string], `SELECT kek_id FROM key_checks UNION SELECT kek_id FROM data_keys ORDER BY kek_id`)
	return ids, at("store.RootKeysInUse", err, nil)
}

func (db *DB) KeyCheck(ctx context.Context, rootKey string) (*secret.KeyCheck, error) {
	c, err := One(db.reader(ctx), scanKeyCheck, `SELECT `+keyCheckColumns+` FROM key_checks WHERE kek_id = $1`, rootKey)
	return c, at("store.KeyCheck", err, says{fault.NotFound: "the root key has no check"})
}

func (db *DB) AddFirstKeyCheck(ctx context.Context, check *secret.KeyCheck) error {
	err := db.Write(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO key_checks (`+keyCheckColumns+`) SELECT $1, $2, $3
			WHERE NOT EXISTS (SELECT 1 FROM key_checks) AND NOT EXISTS (SELECT 1 FROM data_keys)`, keyCheckFields(check)...)
		return err
	})
	return at("store.AddFirstKeyCheck", err, nil)
}
