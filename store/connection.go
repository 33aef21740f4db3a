package store

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/event"
	"github.com/frigg-host/frigg-host/host/fault"
)

var _ connection.Store = (*DB)(nil)

var (
	noSuchState      = says{fault.NotFound: "no such authorisation"}
	noSuchCredential = says{fault.NotFound: "no such credential"}
	noSuchEntity     = says{fault.NotFound: "no such entity"}
	stillUsed        = says{fault.NotFound: "no such entity", fault.Conflict: "an integration uses this account; remove that first"}
)

// BeginAuthorization implements connection.Store.
func (db *DB) BeginAuthorization(ctx context.Context, st *connection.State, keep int) error {
	err := db.Write(ctx, func(tx *Tx) error {
		if _, err := tx.Exec(`DELETE FROM authorization_states WHERE expires_at <= $1`, micros(&st.CreatedAt)); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO authorization_states (hash, owner, user_id, module, secrets, created_at, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			st.Hash.String(), st.Owner, st.User, st.Module, st.Sealed, micros(&st.CreatedAt), micros(&st.ExpiresAt))
		if err != nil {
			return err
		}
		_, err = tx.Exec(`DELETE FROM authorization_states WHERE owner = $1 AND user_id = $2 AND hash NOT IN (
			SELECT hash FROM authorization_states WHERE owner = $1 AND user_id = $2 ORDER BY created_at DESC, hash LIMIT $3)`,
			st.Owner, st.User, keep)
		return err
	})
	return at("store.BeginAuthorization", err, nil)
}

// TakeState implements connection.Store.
func (db *DB) TakeState(ctx context.Context, a account.Actor, module string, hash connection.StateHash) (st *connection.State, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		st, err = One(tx, func(row Row) (*connection.State, error) {
			st := &connection.State{Hash: hash}
			return st, row.Scan(&st.Owner, &st.User, &st.Module, &st.Sealed, micros(&st.CreatedAt), micros(&st.ExpiresAt))
		}, `DELETE FROM authorization_states WHERE hash = $1 AND owner = $2 AND user_id = $3 AND module = $4
			RETURNING owner, user_id, module, secrets, created_at, expires_at`, hash.String(), a.Owner, a.User, module)
		return err
	})
	return st, at("store.TakeState", err, noSuchState)
}

const credentialColumns = `c.id, c.owner, c.module, c.status, c.secrets, c.version, c.expires_at, c.renew_at, c.retry_at, c.refused_at, c.created_at, c.updated_at`

func credentialFields(c *connection.Credential) []any {
	return []any{
		&c.ID, &c.Owner, &c.Module, &c.Status, &c.Sealed, &c.Version, micros(&c.ExpiresAt), micros(&c.RenewAt),
		micros(&c.RetryAt), micros(&c.RefusedAt), micros(&c.CreatedAt), micros(&c.UpdatedAt),
	}
}

func scanCredential(row Row) (*connection.Credential, error) {
	c := new(connection.Credential)
	return c, row.Scan(credentialFields(c)...)
}

const entityColumns = `e.id, e.owner, e.module, e.credential_id, e.external_id, e.sub_type, e.name, e.details, e.created_at, e.updated_at`

func entityFields(e *connection.Entity) []any {
	return []any{
		&e.ID, &e.Owner, &e.Module, &e.Credential, &e.ExternalID, &e.SubType, &e.Name, rawJSON(&e.Details),
		micros(&e.CreatedAt), micros(&e.UpdatedAt),
	}
}

func scanEntity(row Row) (*connection.Entity, error) {
	e := new(connection.Entity)
	return e, row.Scan(append(entityFields(e), &e.Status)...)
}

const selectEntity = `SELECT ` + entityColumns + `, c.status FROM entities e JOIN credentials c ON c.id = e.credential_id `

// CompleteAuthorization implements connection.Store.
func (db *DB) CompleteAuthorization(ctx context.Context, c *connection.Credential, entities []*connection.Entity, abandoned time.Time) (saved []*connection.Entity, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO credentials (id, owner, module, status, secrets, version, expires_at, renew_at, retry_at, refused_at, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`, credentialFields(c)...)
		if err != nil {
			return err
		}
		saved = make([]*connection.Entity, 0, len(entities))
		for _, e := range entities {
			kept, err := attachEntity(tx, e)
			if err != nil {
				return err
			}
			saved = append(saved, kept)
		}
		_, err = tx.Exec(`DELETE FROM credentials WHERE owner = $1 AND module = $2 AND created_at < $3 AND id <> $4
			AND NOT EXISTS (SELECT 1 FROM entities e WHERE e.credential_id = credentials.id)`, c.Owner, c.Module, micros(&abandoned), c.ID)
		return err
	})
	return saved, at("store.CompleteAuthorization", err, nil)
}

// AttachEntity implements connection.Store.
func (db *DB) AttachEntity(ctx context.Context, e *connection.Entity) (saved *connection.Entity, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		saved, err = attachEntity(tx, e)
		return err
	})
	return saved, at("store.AttachEntity", err, noSuchCredential)
}

// attachEntity is the part of an act that points an account at its credential.
func attachEntity(tx *Tx, e *connection.Entity) (*connection.Entity, error) {
	_, err := One(tx, Value[string], `SELECT id FROM credentials WHERE id = $1 AND owner = $2 AND module = $3`, e.Credential, e.Owner, e.Module)
	if err != nil {
		return nil, err
	}
	name := event.ConnectionRenewed
	before, err := One(tx, Value[connection.CredentialID], `SELECT credential_id FROM entities
		WHERE owner = $1 AND module = $2 AND external_id = $3 AND sub_type = $4`, e.Owner, e.Module, e.ExternalID, e.SubType)
	if fault.Is(err, fault.NotFound) {
		name, err = event.ConnectionCreated, nil
	}
	if err != nil {
		return nil, err
	}
	_, err = tx.Exec(`INSERT INTO entities (id, owner, module, credential_id, external_id, sub_type, name, details, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (owner, module, external_id, sub_type) DO UPDATE
		SET credential_id = excluded.credential_id, name = excluded.name, details = excluded.details, updated_at = excluded.updated_at`,
		entityFields(e)...)
	if err != nil {
		return nil, err
	}
	saved, err := One(tx, scanEntity, selectEntity+`WHERE e.owner = $1 AND e.module = $2 AND e.external_id = $3 AND e.sub_type = $4`,
		e.Owner, e.Module, e.ExternalID, e.SubType)
	if err != nil || before == e.Credential {
		return saved, err
	}
	if err := dropUnused(tx, before); err != nil {
		return nil, err
	}
	return saved, tellAccount(tx, name, saved, e.UpdatedAt)
}

// dropUnused removes a credential that no entity needs any more.
func dropUnused(tx *Tx, id connection.CredentialID) error {
	_, err := tx.Exec(`DELETE FROM credentials WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM entities e WHERE e.credential_id = $1)`, id)
	return err
}

const credentialByID = `SELECT ` + credentialColumns + ` FROM credentials c WHERE c.id = $1 AND c.owner = $2`

// CredentialByID implements connection.Store.
func (db *DB) CredentialByID(ctx context.Context, o account.Owner, id connection.CredentialID) (*connection.Credential, error) {
	c, err := One(db.reader(ctx), scanCredential, credentialByID, id, o)
	return c, at("store.CredentialByID", err, noSuchCredential)
}

// EntityByID implements connection.Store.
func (db *DB) EntityByID(ctx context.Context, o account.Owner, id connection.EntityID) (*connection.Entity, error) {
	e, err := cached(ctx, db, cacheKey{"entity", string(o), string(id)}, func() (*connection.Entity, error) {
		return One(db.reader(ctx), scanEntity, selectEntity+`WHERE e.id = $1 AND e.owner = $2`, id, o)
	})
	if err != nil {
		return nil, at("store.EntityByID", err, noSuchEntity)
	}
	return entityCopy(e), nil
}

// connected is an entity and its credential.
type connected struct {
	entity     *connection.Entity
	credential *connection.Credential
}

// Connection implements connection.Store.
func (db *DB) Connection(ctx context.Context, o account.Owner, id connection.EntityID) (*connection.Entity, *connection.Credential, error) {
	found, err := cached(ctx, db, cacheKey{"connection", string(o), string(id)}, func() (connected, error) {
		e, c := new(connection.Entity), new(connection.Credential)
		_, err := One(db.reader(ctx), func(row Row) (struct{}, error) {
			return struct{}{}, row.Scan(append(entityFields(e), credentialFields(c)...)...)
		}, `SELECT `+entityColumns+`, `+credentialColumns+` FROM entities e JOIN credentials c ON c.id = e.credential_id
		WHERE e.id = $1 AND e.owner = $2`, id, o)
		e.Status = c.Status
		return connected{e, c}, err
	})
	if err != nil {
		return nil, nil, at("store.Connection", err, noSuchEntity)
	}
	c := *found.credential
	return entityCopy(found.entity), &c, nil
}

func entityCopy(e *connection.Entity) *connection.Entity {
	own := *e
	own.Details = slices.Clone(e.Details)
	return &own
}

// maxEntities bounds a listing.
const maxEntities = 10000

// Entities implements connection.Store.
func (db *DB) Entities(ctx context.Context, o account.Owner) ([]*connection.Entity, error) {
	list, err := Many(db.reader(ctx), scanEntity, selectEntity+`WHERE e.owner = $1 ORDER BY e.id LIMIT $2`, o, maxEntities)
	return list, at("store.Entities", err, nil)
}

// LeaseCredential implements connection.Store.
func (db *DB) LeaseCredential(ctx context.Context, c *connection.Credential, l connection.Lease, now time.Time) (leased *connection.Credential, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		leased, err = One(tx, scanCredential, `UPDATE credentials AS c SET lease_holder = $1, lease_until = $2
			WHERE id = $3 AND owner = $4 AND version = $5 AND status = 'ok'
			AND (lease_until IS NULL OR lease_until <= $6) AND (retry_at IS NULL OR retry_at <= $6)
			RETURNING `+unqualified(credentialColumns), l.Holder, micros(&l.Until), c.ID, c.Owner, c.Version, micros(&now))
		return err
	})
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	return leased, at("store.LeaseCredential", err, nil)
}

// unqualified takes the alias off: RETURNING of an UPDATE knows none in SQLite.
func unqualified(columns string) string { return strings.ReplaceAll(columns, "c.", "") }

// RenewCredential implements connection.Store.
func (db *DB) RenewCredential(ctx context.Context, c *connection.Credential, holder string, r connection.Renewal) (bool, error) {
	return db.changed(ctx, "store.RenewCredential", `UPDATE credentials SET secrets = $1, expires_at = $2, renew_at = $3, refused_at = $4,
		retry_at = NULL, lease_holder = NULL, lease_until = NULL, version = version + 1, updated_at = $5
		WHERE id = $6 AND owner = $7 AND version = $8 AND lease_holder = $9`,
		r.Sealed, micros(&r.ExpiresAt), micros(&r.RenewAt), micros(&r.RefusedAt), micros(&r.At), c.ID, c.Owner, c.Version, holder)
}

// ReleaseCredential implements connection.Store.
func (db *DB) ReleaseCredential(ctx context.Context, c *connection.Credential, holder string, retryAt time.Time) error {
	_, err := db.changed(ctx, "store.ReleaseCredential", `UPDATE credentials SET retry_at = $1, lease_holder = NULL, lease_until = NULL
		WHERE id = $2 AND owner = $3 AND lease_holder = $4`, micros(&retryAt), c.ID, c.Owner, holder)
	return err
}

// InvalidateCredential implements connection.Store.
func (db *DB) InvalidateCredential(ctx context.Context, c *connection.Credential, holder string, now time.Time) (bool, error) {
	return db.changedAndTold(ctx, "store.InvalidateCredential", event.ConnectionInvalid, c, now, `UPDATE credentials SET status = 'invalid', lease_holder = NULL, lease_until = NULL,
		version = version + 1, updated_at = $1
		WHERE id = $2 AND owner = $3 AND version = $4 AND (lease_until IS NULL OR lease_until <= $1 OR lease_holder = $5)`,
		micros(&now), c.ID, c.Owner, c.Version, holder)
}

// RestoreCredential implements connection.Store.
func (db *DB) RestoreCredential(ctx context.Context, c *connection.Credential, now time.Time) (bool, error) {
	return db.changedAndTold(ctx, "store.RestoreCredential", event.ConnectionRenewed, c, now, `UPDATE credentials SET status = 'ok', version = version + 1, updated_at = $1
		WHERE id = $2 AND owner = $3 AND version = $4`, micros(&now), c.ID, c.Owner, c.Version)
}

// KeepValues implements connection.Store.
func (db *DB) KeepValues(ctx context.Context, c *connection.Credential, sealed string, now time.Time) (bool, error) {
	return db.changed(ctx, "store.KeepValues", `UPDATE credentials SET secrets = $1, version = version + 1, updated_at = $2
		WHERE id = $3 AND owner = $4 AND version = $5 AND (lease_until IS NULL OR lease_until <= $2)`,
		sealed, micros(&now), c.ID, c.Owner, c.Version)
}

// changed runs a statement that may find nothing left to change.
func (db *DB) changed(ctx context.Context, op, text string, args ...any) (bool, error) {
	var n int
	err := db.Write(ctx, func(tx *Tx) (err error) {
		n, err = tx.Exec(text, args...)
		return err
	})
	return err == nil && n > 0, at(op, err, nil)
}

// changedAndTold is changed for what is told of every account behind c.
func (db *DB) changedAndTold(ctx context.Context, op string, name event.Name, c *connection.Credential, now time.Time, text string, args ...any) (changed bool, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		n, err := tx.Exec(text, args...)
		if changed = n > 0; err != nil || !changed {
			return err
		}
		return tellAccounts(tx, name, c, now)
	})
	return err == nil && changed, at(op, err, nil)
}

// RemoveEntity implements connection.Store.
func (db *DB) RemoveEntity(ctx context.Context, o account.Owner, id connection.EntityID, now time.Time) (last *connection.Credential, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		c, err := One(tx, scanCredential, `SELECT `+credentialColumns+` FROM entities e JOIN credentials c ON c.id = e.credential_id
			WHERE e.id = $1 AND e.owner = $2`, id, o)
		if err != nil {
			return err
		}
		e, err := One(tx, scanEntity, selectEntity+`WHERE e.id = $1 AND e.owner = $2`, id, o)
		if err != nil {
			return err
		}
		if err := tx.ExecOne(`DELETE FROM entities WHERE id = $1 AND owner = $2`, id, o); err != nil {
			return err
		}
		if err := tellAccount(tx, event.ConnectionRemoved, e, now); err != nil {
			return err
		}
		n, err := tx.Exec(`DELETE FROM credentials WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM entities e WHERE e.credential_id = $1)`, c.ID)
		if n > 0 {
			last = c
		}
		return err
	})
	if err != nil {
		return nil, at("store.RemoveEntity", err, stillUsed)
	}
	return last, nil
}

// RemoveCredential implements connection.Store.
func (db *DB) RemoveCredential(ctx context.Context, o account.Owner, id connection.CredentialID, now time.Time) (c *connection.Credential, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		if c, err = One(tx, scanCredential, credentialByID, id, o); err != nil {
			return err
		}
		if err := tellAccounts(tx, event.ConnectionRemoved, c, now); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM entities WHERE credential_id = $1`, id); err != nil {
			return err
		}
		return tx.ExecOne(`DELETE FROM credentials WHERE id = $1`, id)
	})
	if err != nil {
		return nil, at("store.RemoveCredential", err, stillUsed)
	}
	return c, nil
}

// ownedEntity fails unless the entity is the owner's.
func ownedEntity(q Querier, o account.Owner, id connection.EntityID) error {
	_, err := One(q, Value[string], `SELECT id FROM entities WHERE id = $1 AND owner = $2`, id, o)
	return err
}

// EntityValue implements connection.Store.
func (db *DB) EntityValue(ctx context.Context, o account.Owner, id connection.EntityID, key string) (json.RawMessage, error) {
	text, err := One(db.reader(ctx), Value[string], `SELECT v.value FROM entity_values v JOIN entities e ON e.id = v.entity_id
		WHERE e.id = $1 AND e.owner = $2 AND v.key = $3`, id, o, key)
	return json.RawMessage(text), at("store.EntityValue", err, says{fault.NotFound: "no such value"})
}

// valueOverhead is what a value costs beside its key and itself.
const valueOverhead = 64

// PutEntityValue implements connection.Store.
func (db *DB) PutEntityValue(ctx context.Context, o account.Owner, id connection.EntityID, key string, value json.RawMessage, maxBytes int, now time.Time) error {
	err := db.Write(ctx, func(tx *Tx) error {
		if err := ownedEntity(tx, o, id); err != nil {
			return err
		}
		freed, err := takeValue(tx, id, key)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`INSERT INTO entity_values (entity_id, key, value, updated_at) VALUES ($1, $2, $3, $4)`,
			id, key, string(value), micros(&now)); err != nil {
			return err
		}
		more := len(key) + len(value) + valueOverhead - freed
		n, err := tx.Exec(`UPDATE entities SET value_bytes = value_bytes + $1 WHERE id = $2 AND ($1 <= 0 OR value_bytes + $1 <= $3)`, more, id, maxBytes)
		if err == nil && n == 0 {
			return fault.New(fault.TooLarge, "store.PutEntityValue", "the values kept for this account would exceed %d bytes; delete some first", maxBytes)
		}
		return err
	})
	return at("store.PutEntityValue", err, noSuchEntity)
}

// DeleteEntityValue implements connection.Store.
func (db *DB) DeleteEntityValue(ctx context.Context, o account.Owner, id connection.EntityID, key string) error {
	err := db.Write(ctx, func(tx *Tx) error {
		if err := ownedEntity(tx, o, id); err != nil {
			return err
		}
		freed, err := takeValue(tx, id, key)
		if err != nil {
			return err
		}
		_, err = tx.Exec(`UPDATE entities SET value_bytes = value_bytes - $1 WHERE id = $2`, freed, id)
		return err
	})
	return at("store.DeleteEntityValue", err, noSuchEntity)
}

// takeValue deletes a value and returns what it cost, 0 if there was none.
func takeValue(tx *Tx, id connection.EntityID, key string) (int, error) {
	was, err := One(tx, Value[string], `DELETE FROM entity_values WHERE entity_id = $1 AND key = $2 RETURNING value`, id, key)
	if fault.Is(err, fault.NotFound) {
		return 0, nil
	}
	return len(key) + len(was) + valueOverhead, err
}

// EntityValueKeys implements connection.Store.
func (db *DB) EntityValueKeys(ctx context.Context, o account.Owner, id connection.EntityID, prefix, after string, limit int) (keys []string, err error) {
	err = db.Read(ctx, func(q Querier) error {
		if err := ownedEntity(q, o, id); err != nil {
			return err
		}
		keys, err = Many(q, Value[string], `SELECT key FROM entity_values WHERE entity_id = $1 AND key > $2 AND key >= $3
			AND substr(key, 1, length($3)) = $3 ORDER BY key LIMIT $4`, id, after, prefix, limit)
		return err
	})
	return keys, at("store.EntityValueKeys", err, noSuchEntity)
}
