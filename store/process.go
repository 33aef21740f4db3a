package store

import (
	"context"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/syncs"
)

var noSuchProcess = says{fault.NotFound: "no such process"}

const processColumns = `p.id, p.owner, p.integration_id, p.name, p.type, p.state, p.context, p.total, p.synced, p.failed, p.skipped, p.message, p.parent,
	p.created_at, p.updated_at, p.ended_at, r.phase, coalesce(r.initial, 0), coalesce(r.page, 0), coalesce(r.open, 0),
	(SELECT json_group_array(id) FROM (SELECT id FROM processes AS child WHERE child.parent = p.id ORDER BY id DESC LIMIT 100))`

const fromProcesses = ` FROM processes AS p LEFT JOIN sync_runs AS r ON r.process_id = p.id `

func scanProcess(row Row) (*syncs.Process, error) {
	p, at := new(syncs.Process), new(syncs.Progress)
	err := row.Scan(&p.ID, &p.Owner, &p.Integration, &p.Name, &p.Type, &p.State, rawJSON(&p.Context), &p.Total, &p.Synced, &p.Failed, &p.Skipped,
		optional(&p.Message), optional(&p.Parent), micros(&p.CreatedAt), micros(&p.UpdatedAt), micros(&p.EndedAt),
		optional(&at.Phase), &at.Initial, &at.Pages, &at.Open, asJSON(&p.Children))
	if at.Phase != "" {
		p.Sync = at
	}
	return p, err
}

func processByID(q Querier, o account.Owner, id syncs.ProcessID) (*syncs.Process, error) {
	return One(q, scanProcess, `SELECT `+processColumns+fromProcesses+`WHERE p.owner = $1 AND p.id = $2`, o, id)
}

func (db *DB) CreateProcess(ctx context.Context, p *syncs.Process, key string) (made *syncs.Process, err error) {
	err = db.writeOwned(ctx, "store.CreateProcess", p.Owner, p.Integration, func(tx *Tx) error {
		made, err = One(tx, scanProcess, `SELECT `+processColumns+fromProcesses+`WHERE p.integration_id = $1 AND p.dedupe = $2`, p.Integration, key)
		if !fault.Is(err, fault.NotFound) {
			return err
		}
		if p.Parent != "" {
			parent, err := processByID(tx, p.Owner, p.Parent)
			if err == nil && parent.Integration != p.Integration {
				err = errNoRow
			}
			if err != nil {
				return at("store.CreateProcess", err, says{fault.NotFound: "no such parent process"})
			}
		}
		open, err := One(tx, Value[int], `SELECT count(*) FROM processes WHERE integration_id = $1 AND type <> $2 AND ended_at IS NULL`, p.Integration, syncs.TypeSync)
		if err != nil {
			return err
		}
		if open >= syncs.MaxOpen && p.EndedAt.IsZero() {
			return fault.New(fault.Exhausted, "store.CreateProcess", "%d processes of this integration go on already; end some first", open).On(fault.Guest)
		}
		made = p
		return addProcess(tx, p, key)
	})
	return made, err
}

func addProcess(tx *Tx, p *syncs.Process, key string) error {
	_, err := tx.Exec(`INSERT INTO processes (id, owner, integration_id, name, type, state, context, total, parent, dedupe, created_at, updated_at, ended_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`, p.ID, p.Owner, p.Integration, p.Name, p.Type, p.State, rawJSON(&p.Context), p.Total,
		optional(&p.Parent), optional(&key), micros(&p.CreatedAt), micros(&p.UpdatedAt), micros(&p.EndedAt))
	return err
}

func (db *DB) ProcessByID(ctx context.Context, o account.Owner, id syncs.ProcessID) (p *syncs.Process, err error) {
	err = db.Read(ctx, func(q Querier) error {
		if p, err = processByID(q, o, id); err != nil {
			return err
		}
		p.Errors, err = Many(q, func(row Row) (f syncs.Failure, err error) {
			return f, row.Scan(optional(&f.ExternalID), &f.Message, micros(&f.At))
		}, `SELECT external_id, message, at FROM process_errors WHERE process_id = $1 ORDER BY seq LIMIT $2`, id, syncs.KeptErrors)
		return err
	})
	return p, at("store.ProcessByID", err, noSuchProcess)
}

func (db *DB) Processes(ctx context.Context, o account.Owner, f syncs.Filter) ([]*syncs.Process, error) {
	found, err := Many(db.reader(ctx), scanProcess, `SELECT `+processColumns+fromProcesses+`
		WHERE p.owner = $1 AND ($2 = '' OR p.integration_id = $2) AND ($3 = '' OR p.type = $3) AND ($4 = '' OR p.name = $4) AND ($5 = '' OR p.state = $5)
		AND ($6 = '' OR p.parent = $6) AND ($7 = '' OR p.id < $7) ORDER BY p.id DESC LIMIT $8`,
		o, f.Integration, f.Type, f.Name, f.State, f.Parent, f.Before, f.Limit)
	return found, at("store.Processes", err, nil)
}

// openProcess finds a process that a plugin may change.
func openProcess(tx *Tx, o account.Owner, id syncs.ProcessID) (*syncs.Process, error) {
	p, err := processByID(tx, o, id)
	switch {
	case err != nil:
		return nil, err
	case p.Sync != nil:
		return nil, fault.New(fault.Forbidden, "store.Process", "the host itself keeps the process of a sync").On(fault.Guest)
	case p.State.Ended():
		return nil, fault.New(fault.Conflict, "store.Process", "the process has ended: it is %s", p.State).On(fault.Guest)
	}
	return p, nil
}

func (db *DB) UpdateProcess(ctx context.Context, o account.Owner, id syncs.ProcessID, c syncs.Change, now time.Time) error {
	err := db.Write(ctx, func(tx *Tx) error {
		p, err := openProcess(tx, o, id)
		if err != nil {
			return err
		}
		if c.State != nil {
			p.State = *c.State
		}
		if c.Total != nil {
			p.Total = *c.Total
		}
		if p.State.Ended() {
			p.EndedAt = now
		}
		var patch *string
		if len(c.Context) > 0 {
			text := string(c.Context)
			patch = &text
		}
		return tx.ExecOne(`UPDATE processes SET state = $1, total = $2, context = CASE WHEN $3 IS NULL THEN context ELSE json_patch(context, $3) END,
			updated_at = $4, ended_at = $5 WHERE id = $6`, p.State, p.Total, patch, micros(&now), micros(&p.EndedAt), id)
	})
	return at("store.UpdateProcess", err, noSuchProcess)
}

func (db *DB) AddToProcess(ctx context.Context, o account.Owner, id syncs.ProcessID, key string, a syncs.Addition, now time.Time) error {
	err := db.Write(ctx, func(tx *Tx) error {
		n, err := tx.Exec(`INSERT INTO process_additions (process_id, key) SELECT id, $1 FROM processes WHERE owner = $2 AND id = $3
			ON CONFLICT (process_id, key) DO NOTHING`, key, o, id)
		if err != nil {
			return err
		}
		if n == 0 {
			_, err := processByID(tx, o, id)
			return err
		}
		if _, err := openProcess(tx, o, id); err != nil {
			return err
		}
		n, err = tx.Exec(`UPDATE processes SET additions = additions + 1 WHERE id = $1 AND additions < $2`, id, syncs.MaxAdditions)
		if err == nil && n == 0 {
			return fault.New(fault.Exhausted, "store.AddToProcess", "a process is added to at most %d times; add more at once", syncs.MaxAdditions).On(fault.Guest)
		}
		if err != nil {
			return err
		}
		return addTotals(tx, id, a, now)
	})
	return at("store.AddToProcess", err, noSuchProcess)
}

// addTotals counts in the database, so that nothing is lost however many count at once.
func addTotals(tx *Tx, id syncs.ProcessID, a syncs.Addition, now time.Time) error {
	if a.Done() == 0 && len(a.Errors) == 0 {
		return nil
	}
	_, err := tx.Exec(`UPDATE processes SET synced = synced + $1, failed = failed + $2, skipped = skipped + $3, updated_at = $4 WHERE id = $5`,
		a.Synced, a.Failed, a.Skipped, micros(&now), id)
	if err != nil || len(a.Errors) == 0 {
		return err
	}
	for _, f := range a.Errors[max(0, len(a.Errors)-syncs.KeptErrors):] {
		if _, err := tx.Exec(`INSERT INTO process_errors (process_id, external_id, message, at) VALUES ($1, $2, $3, $4)`,
			id, optional(&f.ExternalID), f.Message, micros(&f.At)); err != nil {
			return err
		}
	}
	_, err = tx.Exec(`DELETE FROM process_errors WHERE process_id = $1 AND seq <= (
		SELECT seq FROM process_errors WHERE process_id = $1 ORDER BY seq DESC LIMIT 1 OFFSET $2)`, id, syncs.KeptErrors)
	return err
}

func (db *DB) CancelProcess(ctx context.Context, o account.Owner, id syncs.ProcessID, now time.Time) error {
	err := db.Write(ctx, func(tx *Tx) error {
		p, err := processByID(tx, o, id)
		if err != nil || p.State.Ended() {
			return err
		}
		return endProcess(tx, id, syncs.Canceled, "", now)
	})
	return at("store.CancelProcess", err, noSuchProcess)
}

// endProcess ends a process and the run behind it. What is needed to resume stays after a failure.
func endProcess(tx *Tx, id syncs.ProcessID, s syncs.State, why string, now time.Time) error {
	_, err := tx.Exec(`UPDATE processes SET state = $1, message = $2, updated_at = $3, ended_at = $3 WHERE id = $4`, s, optional(&why), micros(&now), id)
	if err != nil {
		return err
	}
	r, err := One(tx, scanSyncRun, `UPDATE sync_runs SET active = 0, fetching = 0 WHERE process_id = $1 RETURNING `+syncRunColumns, id)
	if fault.Is(err, fault.NotFound) {
		return nil // of a plugin
	}
	if err != nil {
		return err
	}
	if n, ok := r.AgainJob(now); ok {
		if _, _, err := enqueue(tx, n); err != nil {
			return err
		}
	}
	if s == syncs.Failed {
		return nil
	}
	return dropRest(tx, id)
}

// dropRest forgets the pages of a run, and its batches that nobody has begun to write.
func dropRest(tx *Tx, id syncs.ProcessID) error {
	_, err := tx.Exec(`DELETE FROM sync_batches WHERE process_id = $1 AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = job_id AND epoch > 0 AND state IN ('queued', 'running', 'parked'))`, id)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`DELETE FROM sync_pages WHERE process_id = $1`, id)
	return err
}

func (db *DB) PruneProcesses(ctx context.Context, before time.Time, limit int) (n int, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		n, err = tx.Exec(`DELETE FROM processes WHERE id IN (SELECT id FROM processes WHERE ended_at < $1 ORDER BY ended_at LIMIT $2)`, micros(&before), limit)
		return err
	})
	return n, at("store.PruneProcesses", err, nil)
}

func (db *DB) Associate(ctx context.Context, o account.Owner, in integration.ID, a syncs.Association, maxBytes int, now time.Time) error {
	return db.writeOwned(ctx, "store.Associate", o, in, func(tx *Tx) error {
		n, err := tx.Exec(`INSERT INTO associations (integration_id, set_name, from_id, to_id, kind, created_at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT DO NOTHING`, in, a.Set, a.From, a.To, a.Kind, micros(&now))
		if err != nil || n == 0 {
			return err
		}
		n, err = tx.Exec(`UPDATE integrations SET mapping_bytes = mapping_bytes + $1 WHERE id = $2 AND mapping_bytes + $1 <= $3`, costOf(a), in, maxBytes)
		if err == nil && n == 0 {
			return fault.New(fault.TooLarge, "store.Associate", "mappings and links of this integration would exceed %d bytes; remove some first", maxBytes).On(fault.Guest)
		}
		return err
	})
}

func costOf(a syncs.Association) int {
	return len(a.Set) + len(a.From) + len(a.To) + len(a.Kind) + valueOverhead
}

func (db *DB) Dissociate(ctx context.Context, o account.Owner, in integration.ID, a syncs.Association) error {
	return db.writeOwned(ctx, "store.Dissociate", o, in, func(tx *Tx) error {
		n, err := tx.Exec(`DELETE FROM associations WHERE integration_id = $1 AND set_name = $2 AND from_id = $3 AND to_id = $4 AND kind = $5`,
			in, a.Set, a.From, a.To, a.Kind)
		if err != nil || n == 0 {
			return err
		}
		_, err = tx.Exec(`UPDATE integrations SET mapping_bytes = mapping_bytes - $1 WHERE id = $2`, costOf(a), in)
		return err
	})
}

const (
	linksFrom = `SELECT set_name, from_id, to_id, kind FROM associations` + ofRecord + `AND set_name = $3 AND from_id = $4 AND ($5 = '' OR kind = $5)
		AND (to_id, kind) > ($6, $7) ORDER BY to_id, kind LIMIT $8`
	linksTo = `SELECT set_name, from_id, to_id, kind FROM associations` + ofRecord + `AND set_name = $3 AND to_id = $4 AND ($5 = '' OR kind = $5)
		AND (from_id, kind) > ($6, $7) ORDER BY from_id, kind LIMIT $8`
)

func (db *DB) Associations(ctx context.Context, o account.Owner, in integration.ID, q syncs.AssociationQuery, limit int) ([]syncs.Association, error) {
	text, id, after := linksFrom, q.From, q.After.To
	if q.From == "" {
		text, id, after = linksTo, q.To, q.After.From
	}
	found, err := Many(db.reader(ctx), func(row Row) (a syncs.Association, err error) {
		return a, row.Scan(&a.Set, &a.From, &a.To, &a.Kind)
	}, text, o, in, q.Set, id, q.Kind, after, q.After.Kind, limit)
	return found, at("store.Associations", err, nil)
}
