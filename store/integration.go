package store

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/event"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/outbound"
	"github.com/frigg-host/frigg-host/host/syncs"
)

var _ integration.Store = (*DB)(nil)

var noSuchIntegration = says{fault.NotFound: "no such integration"}

const (
	integrationColumns = `id, owner, plugin, version, status, config, secrets, complete, created_at, updated_at, revision`
	// maxIntegrations bounds a list; an owner with more has to be asked for by page, which Frigg's API does not know.
	maxIntegrations = 10000
	// keptMessages of each level of an integration are kept.
	keptMessages = 100
)

func scanIntegration(row Row) (*integration.Integration, error) {
	in := new(integration.Integration)
	return in, row.Scan(&in.ID, &in.Owner, &in.Plugin, &in.Version, &in.Status, rawJSON(&in.Config), optional(&in.Secrets), &in.Complete,
		micros(&in.CreatedAt), micros(&in.UpdatedAt), &in.Revision)
}

// integrationsWhere reads records in the order of their ids, and who takes part in them, in one statement, which sees one state.
func (db *DB) integrationsWhere(ctx context.Context, where string, args ...any) ([]*integration.Integration, error) {
	rows, err := Many(db.reader(ctx), scanTakesPart, `SELECT `+integrationColumns+`, m.role, m.entity_id
		FROM (SELECT `+integrationColumns+` FROM integrations WHERE `+where+`) AS found
		LEFT JOIN integration_members AS m ON m.integration_id = found.id ORDER BY found.id, m.role`, args...)
	if err != nil {
		return nil, err
	}
	found := []*integration.Integration{}
	for _, r := range rows {
		if n := len(found); n == 0 || found[n-1].ID != r.record.ID {
			r.record.Members = []integration.Member{}
			found = append(found, r.record)
		}
		if last := found[len(found)-1]; r.Role != "" {
			last.Members = append(last.Members, r.Member)
		}
	}
	return found, nil
}

// takesPart is a record with one of those who take part in it; nobody does if there is no role.
type takesPart struct {
	record *integration.Integration
	integration.Member
}

func scanTakesPart(row Row) (t takesPart, err error) {
	t.record, err = scanIntegration(rowWith{row, []any{optional(&t.Role), optional(&t.Entity)}})
	return t, err
}

// rowWith is a row with more columns than its reader knows.
type rowWith struct {
	Row
	more []any
}

func (r rowWith) Scan(to ...any) error { return r.Row.Scan(append(to, r.more...)...) }

func (db *DB) oneIntegration(ctx context.Context, op, where string, args ...any) (*integration.Integration, error) {
	found, err := db.integrationsWhere(ctx, where, args...)
	if err == nil && len(found) == 0 {
		err = errNoRow
	}
	if err != nil {
		return nil, at(op, err, noSuchIntegration)
	}
	return found[0], nil
}

func (db *DB) CreateIntegration(ctx context.Context, in *integration.Integration, then job.New) error {
	err := db.Write(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO integrations (`+integrationColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
			in.ID, in.Owner, in.Plugin, in.Version, in.Status, rawJSON(&in.Config), optional(&in.Secrets), in.Complete,
			micros(&in.CreatedAt), micros(&in.UpdatedAt), in.Revision)
		if err != nil {
			return err
		}
		for _, m := range in.Members {
			// Only an entity of the same owner takes part, whatever the caller checked before.
			err := tx.ExecOne(`INSERT INTO integration_members (integration_id, role, entity_id)
				SELECT $1, $2, id FROM entities WHERE id = $3 AND owner = $4`, in.ID, m.Role, m.Entity, in.Owner)
			if err != nil {
				return err
			}
		}
		if _, _, err = enqueue(tx, then); err != nil {
			return err
		}
		return tell(tx, integration.NewFact(in, event.IntegrationCreated, in.CreatedAt))
	})
	return at("store.CreateIntegration", err, says{fault.NotFound: "no such entity"})
}

func (db *DB) IntegrationByID(ctx context.Context, o account.Owner, id integration.ID) (*integration.Integration, error) {
	found, err := cached(ctx, db, cacheKey{"integration", string(o), string(id)}, func() (*integration.Integration, error) {
		return db.oneIntegration(ctx, "store.IntegrationByID", `owner = $1 AND id = $2`, o, id)
	})
	if err != nil {
		return nil, err
	}
	in := *found
	in.Config, in.Members = slices.Clone(found.Config), slices.Clone(found.Members)
	return &in, nil
}

func (db *DB) IntegrationForWebhook(ctx context.Context, id integration.ID) (*integration.Integration, error) {
	return db.oneIntegration(ctx, "store.IntegrationForWebhook", `id = $1`, id)
}

func (db *DB) Integrations(ctx context.Context, o account.Owner) ([]*integration.Integration, error) {
	found, err := db.integrationsWhere(ctx, `owner = $1 AND status <> 'IN_DELETION' ORDER BY id LIMIT $2`, o, maxIntegrations)
	return found, at("store.Integrations", err, nil)
}

func (db *DB) CountIntegrations(ctx context.Context, o account.Owner, plugin string) (int, error) {
	n, err := One(db.reader(ctx), Value[int], `SELECT count(*) FROM integrations WHERE owner = $1 AND plugin = $2 AND status <> 'IN_DELETION'`, o, plugin)
	return n, at("store.CountIntegrations", err, nil)
}

func (db *DB) IntegrationsWith(ctx context.Context, o account.Owner, e connection.EntityID) ([]*integration.Integration, error) {
	found, err := db.integrationsWhere(ctx, `owner = $1 AND id IN (SELECT integration_id FROM integration_members WHERE entity_id = $2) ORDER BY id`, o, e)
	return found, at("store.IntegrationsWith", err, nil)
}

func (db *DB) SaveIntegration(ctx context.Context, in *integration.Integration, messages []integration.Message, then *job.New) error {
	err := db.Write(ctx, func(tx *Tx) error {
		was, err := One(tx, Value[abi.Status], `SELECT status FROM integrations WHERE owner = $1 AND id = $2`, in.Owner, in.ID)
		if err != nil {
			return err
		}
		err = tx.ExecOne(`UPDATE integrations SET status = $1, config = $2, secrets = $3, complete = $4, version = $5, updated_at = $6, revision = revision + 1
			WHERE owner = $7 AND id = $8 AND revision = $9`,
			in.Status, rawJSON(&in.Config), optional(&in.Secrets), in.Complete, in.Version, micros(&in.UpdatedAt), in.Owner, in.ID, in.Revision)
		if fault.Is(err, fault.NotFound) {
			return fault.New(fault.Conflict, "store.SaveIntegration", "the integration was changed meanwhile; read it again and repeat the change")
		}
		if err != nil {
			return err
		}
		if err := addMessages(tx, in.ID, messages); err != nil {
			return err
		}
		if err := tellStatus(tx, in, was, in.UpdatedAt); err != nil {
			return err
		}
		if was != in.Status && works(in.Status) {
			if err := dueNow(tx, in.Owner, in.ID, in.UpdatedAt); err != nil {
				return err
			}
		}
		if then == nil {
			return nil
		}
		_, _, err = enqueue(tx, *then)
		return err
	})
	if err == nil {
		in.Revision++
	}
	return at("store.SaveIntegration", err, noSuchIntegration)
}

func works(s abi.Status) bool { return s == abi.StatusEnabled || s == abi.StatusProcessing }

func (db *DB) AppendMessages(ctx context.Context, o account.Owner, id integration.ID, messages []integration.Message) error {
	return db.writeOwned(ctx, "store.AppendMessages", o, id, func(tx *Tx) error { return addMessages(tx, id, messages) })
}

// inLanes chooses jobs of the lane of a record, $3, and of those below it.
const inLanes = `(lane = $3 OR lane > $3 || '/' AND lane < $3 || '0')`

// dueNow lets jobs of a record that were put aside try again, and its schedules go on; jobs that failed keep their back-off.
func dueNow(tx *Tx, o account.Owner, id integration.ID, now time.Time) error {
	_, err := tx.Exec(`UPDATE jobs SET run_at = $1, due = 1 WHERE owner = $2 AND `+inLanes+`
		AND state = 'queued' AND due = 0 AND attempt = 0 AND epoch > 0 AND NOT asleep`, micros(&now), o, string(id))
	if err != nil {
		return err
	}
	return releaseSchedules(tx, id)
}

func addMessages(tx *Tx, id integration.ID, messages []integration.Message) error {
	levels := map[abi.MessageLevel]bool{}
	for _, m := range messages {
		levels[m.Level] = true
		_, err := tx.Exec(`INSERT INTO integration_messages (integration_id, level, title, message, at) VALUES ($1, $2, $3, $4, $5)`,
			id, m.Level, m.Title, optional(&m.Message), micros(&m.At))
		if err != nil {
			return err
		}
	}
	for level := range levels {
		_, err := tx.Exec(`DELETE FROM integration_messages WHERE integration_id = $1 AND level = $2 AND seq <= (
			SELECT seq FROM integration_messages WHERE integration_id = $1 AND level = $2 ORDER BY seq DESC LIMIT 1 OFFSET $3)`, id, level, keptMessages)
		if err != nil {
			return err
		}
	}
	return nil
}

func scanMessage(row Row) (m integration.Message, err error) {
	return m, row.Scan(&m.Level, &m.Title, optional(&m.Message), micros(&m.At))
}

func (db *DB) MessagesOf(ctx context.Context, o account.Owner, id integration.ID) ([]integration.Message, error) {
	found, err := Many(db.reader(ctx), scanMessage, `SELECT level, title, message, at FROM integration_messages
		WHERE integration_id IN (SELECT id FROM integrations WHERE owner = $1 AND id = $2) ORDER BY seq`, o, id)
	return found, at("store.MessagesOf", err, nil)
}

// ownedBy returns fault.NotFound unless the record is the owner's.
func ownedBy(q Querier, o account.Owner, id integration.ID) error {
	_, err := One(q, Value[integration.ID], `SELECT id FROM integrations WHERE owner = $1 AND id = $2`, o, id)
	return err
}

// writeOwned is an act on something that belongs to a record of the owner.
func (db *DB) writeOwned(ctx context.Context, op string, o account.Owner, id integration.ID, act func(tx *Tx) error) error {
	err := db.Write(ctx, func(tx *Tx) error {
		if err := ownedBy(tx, o, id); err != nil {
			return err
		}
		return act(tx)
	})
	return at(op, err, noSuchIntegration)
}

// ofRecord limits a read to a record of the owner; the parameters $1 and $2 are owner and id.
const ofRecord = ` WHERE integration_id IN (SELECT id FROM integrations WHERE owner = $1 AND id = $2) `

func rawValue(row Row) (v json.RawMessage, err error) { return v, row.Scan(rawJSON(&v)) }

func (db *DB) MappingBySource(ctx context.Context, o account.Owner, id integration.ID, set, source string) (json.RawMessage, error) {
	v, err := One(db.reader(ctx), rawValue, `SELECT value FROM mappings`+ofRecord+`AND set_name = $3 AND source_id = $4`, o, id, set, source)
	return v, at("store.MappingBySource", err, says{fault.NotFound: "no such mapping"})
}

func (db *DB) PutMappings(ctx context.Context, o account.Owner, id integration.ID, entries []integration.Mapping, ifAbsent bool, maxBytes int, now time.Time) (stored bool, err error) {
	err = db.writeOwned(ctx, "store.PutMappings", o, id, func(tx *Tx) error {
		stored = false
		for _, e := range entries {
			_, err := One(tx, Value[int], `SELECT 1 FROM mappings WHERE integration_id = $1 AND set_name = $2 AND source_id = $3`, id, e.Set, e.SourceID)
			if ifAbsent && err == nil {
				return nil
			}
			if err != nil && !fault.Is(err, fault.NotFound) {
				return err
			}
		}
		more := 0
		for _, e := range entries {
			freed, err := takeMapping(tx, id, e.Set, e.SourceID)
			if err != nil {
				return err
			}
			_, err = tx.Exec(`INSERT INTO mappings (integration_id, set_name, source_id, value, updated_at) VALUES ($1, $2, $3, $4, $5)`,
				id, e.Set, e.SourceID, rawJSON(&e.Value), micros(&now))
			if err != nil {
				return err
			}
			more += len(e.Set) + len(e.SourceID) + len(e.Value) + valueOverhead - freed
		}
		n, err := tx.Exec(`UPDATE integrations SET mapping_bytes = mapping_bytes + $1 WHERE id = $2 AND ($1 <= 0 OR mapping_bytes + $1 <= $3)`, more, id, maxBytes)
		if err == nil && n == 0 {
			return fault.New(fault.TooLarge, "store.PutMappings", "the mappings of this integration would exceed %d bytes; delete some first", maxBytes).On(fault.Guest)
		}
		stored = true
		return err
	})
	return stored && err == nil, err
}

func (db *DB) DeleteMapping(ctx context.Context, o account.Owner, id integration.ID, set, source string) error {
	return db.writeOwned(ctx, "store.DeleteMapping", o, id, func(tx *Tx) error {
		freed, err := takeMapping(tx, id, set, source)
		if err != nil {
			return err
		}
		_, err = tx.Exec(`UPDATE integrations SET mapping_bytes = mapping_bytes - $1 WHERE id = $2`, freed, id)
		return err
	})
}

// takeMapping deletes an entry and returns what it cost, 0 if there was none.
func takeMapping(tx *Tx, id integration.ID, set, source string) (int, error) {
	was, err := One(tx, Value[string], `DELETE FROM mappings WHERE integration_id = $1 AND set_name = $2 AND source_id = $3 RETURNING value`, id, set, source)
	if fault.Is(err, fault.NotFound) {
		return 0, nil
	}
	return len(set) + len(source) + len(was) + valueOverhead, err
}

func (db *DB) Mappings(ctx context.Context, o account.Owner, id integration.ID, set, after string, limit int) ([]integration.Mapping, error) {
	found, err := Many(db.reader(ctx), func(row Row) (m integration.Mapping, err error) {
		return m, row.Scan(&m.Set, &m.SourceID, rawJSON(&m.Value))
	}, `SELECT set_name, source_id, value FROM mappings`+ofRecord+`AND set_name = $3 AND source_id > $4 ORDER BY source_id LIMIT $5`, o, id, set, after, limit)
	return found, at("store.Mappings", err, nil)
}

func (db *DB) StoredValue(ctx context.Context, o account.Owner, id integration.ID, key string) (json.RawMessage, error) {
	v, err := One(db.reader(ctx), rawValue, `SELECT value FROM integration_values`+ofRecord+`AND key = $3`, o, id, key)
	return v, at("store.StoredValue", err, says{fault.NotFound: "no such value"})
}

func (db *DB) PutValue(ctx context.Context, o account.Owner, id integration.ID, key string, value json.RawMessage, maxBytes int, now time.Time) error {
	return db.writeOwned(ctx, "store.PutValue", o, id, func(tx *Tx) error {
		freed, err := takeRecordValue(tx, id, key)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`INSERT INTO integration_values (integration_id, key, value, updated_at) VALUES ($1, $2, $3, $4)`,
			id, key, rawJSON(&value), micros(&now)); err != nil {
			return err
		}
		more := len(key) + len(value) + valueOverhead - freed
		n, err := tx.Exec(`UPDATE integrations SET value_bytes = value_bytes + $1 WHERE id = $2 AND ($1 <= 0 OR value_bytes + $1 <= $3)`, more, id, maxBytes)
		if err == nil && n == 0 {
			return fault.New(fault.TooLarge, "store.PutValue", "the values kept for this integration would exceed %d bytes; delete some first", maxBytes).On(fault.Guest)
		}
		return err
	})
}

func (db *DB) DeleteValue(ctx context.Context, o account.Owner, id integration.ID, key string) error {
	return db.writeOwned(ctx, "store.DeleteValue", o, id, func(tx *Tx) error {
		freed, err := takeRecordValue(tx, id, key)
		if err != nil {
			return err
		}
		_, err = tx.Exec(`UPDATE integrations SET value_bytes = value_bytes - $1 WHERE id = $2`, freed, id)
		return err
	})
}

// takeRecordValue deletes a value and returns what it cost, 0 if there was none.
func takeRecordValue(tx *Tx, id integration.ID, key string) (int, error) {
	was, err := One(tx, Value[string], `DELETE FROM integration_values WHERE integration_id = $1 AND key = $2 RETURNING value`, id, key)
	if fault.Is(err, fault.NotFound) {
		return 0, nil
	}
	return len(key) + len(was) + valueOverhead, err
}

func (db *DB) ValueKeys(ctx context.Context, o account.Owner, id integration.ID, prefix, after string, limit int) ([]string, error) {
	keys, err := Many(db.reader(ctx), Value[string], `SELECT key FROM integration_values`+ofRecord+`AND substr(key, 1, length($3)) = $3 AND key > $4 ORDER BY key LIMIT $5`,
		o, id, prefix, after, limit)
	return keys, at("store.ValueKeys", err, nil)
}

func (db *DB) EnqueueFor(ctx context.Context, o account.Owner, id integration.ID, jobs []job.New, maxWaiting int) (done []job.Enqueued, err error) {
	err = db.writeOwned(ctx, "store.EnqueueFor", o, id, func(tx *Tx) error {
		if done, err = enqueueAll(tx, jobs); err != nil {
			return err
		}
		waiting, err := One(tx, Value[int], `SELECT coalesce(max(keyed), 0) FROM lanes WHERE owner = $1 AND name = $2`, o, string(id))
		if err == nil && waiting > maxWaiting && slices.ContainsFunc(done, func(d job.Enqueued) bool { return !d.Existed }) {
			err = fault.New(fault.Exhausted, "store.EnqueueFor", "%d jobs of this integration wait already; go on when some are done", maxWaiting).On(fault.Guest)
		}
		return err
	})
	return done, err
}

// settleWith is the part of SettleJob that belongs to the room which worked the job.
func settleWith(tx *Tx, with any, now time.Time) error {
	switch w := with.(type) {
	case nil:
		return nil
	case *integration.Settled:
		return settleIntegration(tx, w, now)
	case *outbound.Settled:
		return settleDelivery(tx, w, now)
	case *syncs.Settled:
		return settleSync(tx, w, now)
	case *integration.SettledSubscription:
		return settleSubscription(tx, w)
	}
	return fault.New(fault.Internal, "store.SettleJob", "a job was settled with %T, which the store does not know", with)
}

func settleIntegration(tx *Tx, s *integration.Settled, now time.Time) error {
	if r := s.Record; r != nil {
		if err := appendJournal(tx, r.Run, r.Chunk, r.Restart); err != nil {
			return err
		}
	}
	if s.Remove {
		return removeIntegration(tx, s.Owner, s.Integration, now)
	}
	if s.Status == "" && !s.Born {
		err := ownedBy(tx, s.Owner, s.Integration)
		if fault.Is(err, fault.NotFound) {
			return nil // removed meanwhile
		}
		if err != nil {
			return err
		}
		return addMessages(tx, s.Integration, s.Messages)
	}
	was, err := One(tx, Value[abi.Status], `SELECT status FROM integrations WHERE owner = $1 AND id = $2`, s.Owner, s.Integration)
	if fault.Is(err, fault.NotFound) {
		return nil // removed meanwhile
	}
	if err != nil {
		return err
	}
	after, err := One(tx, scanIntegration, `UPDATE integrations SET updated_at = $1, revision = revision + 1,
		status = CASE WHEN NOT $2 THEN $3 WHEN complete THEN 'ENABLED' ELSE 'NEEDS_CONFIG' END
		WHERE owner = $4 AND id = $5 AND status IN (SELECT value FROM json_each($6))
		AND (NOT $7 OR EXISTS (SELECT 1 FROM integration_members AS m JOIN entities AS e ON e.id = m.entity_id
			JOIN credentials AS c ON c.id = e.credential_id WHERE m.integration_id = integrations.id AND c.status = 'invalid'))
		RETURNING `+integrationColumns, micros(&now), s.Born, s.Status, s.Owner, s.Integration, asJSON(s.From), s.IfRefused)
	if fault.Is(err, fault.NotFound) {
		return nil // moved on meanwhile
	}
	if err != nil {
		return err
	}
	if err := tellStatus(tx, after, was, now); err != nil {
		return err
	}
	if works(after.Status) {
		if err := dueNow(tx, s.Owner, s.Integration, now); err != nil {
			return err
		}
		for _, then := range s.Then {
			if _, _, err := enqueue(tx, then); err != nil {
				return err
			}
		}
	}
	return addMessages(tx, s.Integration, s.Messages)
}

// removeIntegration deletes a record with all that belongs to it.
func removeIntegration(tx *Tx, o account.Owner, id integration.ID, now time.Time) error {
	in, err := One(tx, scanIntegration, `DELETE FROM integrations WHERE owner = $1 AND id = $2 RETURNING `+integrationColumns, o, id)
	switch {
	case fault.Is(err, fault.NotFound):
	case err != nil:
		return err
	default:
		if err := tell(tx, integration.NewFact(in, event.IntegrationRemoved, now)); err != nil {
			return err
		}
	}
	_, err = tx.Exec(`DELETE FROM jobs WHERE state IN ($1, 'parked') AND owner = $2 AND `+inLanes, job.Queued, o, string(id))
	return err
}
