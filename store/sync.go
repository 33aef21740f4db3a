package store

import (
	"context"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/syncs"
)

var _ syncs.Store = (*DB)(nil)

const syncRunColumns = `process_id, owner, integration_id, spec, active, phase, initial, cursor, more, fetching, page, open, failures, base`

func scanSyncRun(row Row) (*syncs.Run, error) {
	r := new(syncs.Run)
	return r, row.Scan(&r.Process, &r.Owner, &r.Integration, asJSON(&r.Spec), &r.Active, &r.Phase, &r.Initial, &r.Cursor, &r.More, &r.Fetching,
		&r.Page, &r.Open, &r.Failures, &r.Base)
}

func (db *DB) RunByProcess(ctx context.Context, o account.Owner, id syncs.ProcessID) (*syncs.Run, error) {
	r, err := One(db.reader(ctx), scanSyncRun, `SELECT `+syncRunColumns+` FROM sync_runs WHERE owner = $1 AND process_id = $2`, o, id)
	return r, at("store.RunByProcess", err, says{fault.NotFound: "no such sync run"})
}

func (db *DB) StartRun(ctx context.Context, r syncs.Run, p *syncs.Process, fresh bool, now time.Time) (id syncs.ProcessID, existed bool, err error) {
	err = db.writeOwned(ctx, "store.StartRun", r.Owner, r.Integration, func(tx *Tx) error {
		last, err := One(tx, scanSyncRun, `SELECT `+syncRunColumns+` FROM sync_runs WHERE integration_id = $1 AND sync = $2 ORDER BY active DESC, process_id DESC LIMIT 1`,
			r.Integration, r.Spec.Name)
		switch {
		case fault.Is(err, fault.NotFound):
		case err != nil:
			return err
		case last.Active:
			id, existed = last.Process, true
			return revive(tx, last, now)
		default:
			state, err := One(tx, Value[syncs.State], `SELECT state FROM processes WHERE id = $1`, last.Process)
			if err != nil {
				return err
			}
			if state == syncs.Failed && !fresh {
				id, existed = last.Process, false
				return resume(tx, last, now)
			}
			if err := dropRest(tx, last.Process); err != nil {
				return err
			}
		}
		id, existed = p.ID, false
		return begin(tx, &r, p, now)
	})
	return id, existed, err
}

// begin starts a new run. What failed in earlier ones is looked at again.
func begin(tx *Tx, r *syncs.Run, p *syncs.Process, now time.Time) error {
	if err := addProcess(tx, p, ""); err != nil {
		return err
	}
	if err := enter(tx, r, syncs.Phases(&r.Spec)[0]); err != nil {
		return err
	}
	_, err := tx.Exec(`INSERT INTO sync_runs (`+syncRunColumns+`, sync) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
		r.Process, r.Owner, r.Integration, asJSON(r.Spec), r.Active, r.Phase, r.Initial, r.Cursor, r.More, r.Fetching, r.Page, r.Open, r.Failures, r.Base, r.Spec.Name)
	if err != nil {
		return err
	}
	if err := retryFailed(tx, r); err != nil {
		return err
	}
	return follow(tx, r, now)
}

// revive goes on with a run whose jobs somebody has cancelled.
func revive(tx *Tx, r *syncs.Run, now time.Time) error {
	alive, err := One(tx, Value[bool], `SELECT EXISTS (SELECT 1 FROM jobs WHERE kind IN ($1, $2) AND `+inLanes+`
		AND owner = $4 AND state IN ('queued', 'running', 'parked'))`, syncs.JobFetch, syncs.JobWrite, r.Lane(), r.Owner)
	if err != nil || alive {
		return err
	}
	return resume(tx, r, now)
}

// resume goes on with a run that failed: batches that wait are written, and then the page at which it stopped is read.
func resume(tx *Tx, r *syncs.Run, now time.Time) error {
	batches, err := Many(tx, Value[syncs.BatchID], `SELECT id FROM sync_batches WHERE process_id = $1 ORDER BY id`, r.Process)
	if err != nil {
		return err
	}
	patience := now.Add(job.DefaultPatience)
	r.Active, r.Fetching, r.Failures, r.Open = true, false, 0, len(batches)
	if err := tx.ExecOne(`UPDATE processes SET state = $1, message = NULL, ended_at = NULL, updated_at = $2 WHERE id = $3`, syncs.Processing, micros(&now), r.Process); err != nil {
		return err
	}
	for i, b := range batches {
		// A job that gave up goes on, with its record of what was written. One that never began is done, and has a successor.
		n, err := tx.Exec(`UPDATE jobs SET state = 'queued', due = 1, attempt = 0, run_at = $1, deadline = $2, finished_at = NULL, canceling = 0
			WHERE id = (SELECT job_id FROM sync_batches WHERE id = $3) AND state IN ('dead', 'halted', 'canceled')`, micros(&now), micros(&patience), b)
		if err != nil {
			return err
		}
		waits, err := One(tx, Value[bool], `SELECT EXISTS (SELECT 1 FROM jobs JOIN sync_batches AS b ON b.job_id = jobs.id WHERE b.id = $1 AND jobs.state IN ('queued', 'running', 'parked'))`, b)
		if err != nil {
			return err
		}
		if n > 0 || waits {
			continue
		}
		id, _, err := enqueue(tx, r.WriteJob(b, i, now))
		if err != nil {
			return err
		}
		if err := tx.ExecOne(`UPDATE sync_batches SET job_id = $1 WHERE id = $2`, id, b); err != nil {
			return err
		}
	}
	if err := retryFailed(tx, r); err != nil {
		return err
	}
	return follow(tx, r, now)
}

func retryFailed(tx *Tx, r *syncs.Run) error {
	_, err := tx.Exec(`UPDATE sync_records SET state = 'again' WHERE integration_id = $1 AND sync = $2 AND side IN ('source', 'target') AND state = 'failed'`, r.Integration, r.Spec.Name)
	return err
}

// enter begins a phase.
func enter(tx *Tx, r *syncs.Run, p syncs.Phase) error {
	_, complete, err := watermark(tx, r.Integration, r.Spec.Name, p)
	if err != nil {
		return err
	}
	base, err := One(tx, Value[int64], `SELECT synced + failed + skipped FROM processes WHERE id = $1`, r.Process)
	r.Enter(p, !complete, base)
	return err
}

func watermark(q Querier, in integration.ID, sync string, p syncs.Phase) (mark string, complete bool, err error) {
	_, err = One(q, func(row Row) (any, error) { return nil, row.Scan(optional(&mark), &complete) },
		`SELECT watermark, complete FROM sync_states WHERE integration_id = $1 AND sync = $2 AND phase = $3`, in, sync, p)
	if fault.Is(err, fault.NotFound) {
		return "", false, nil
	}
	return mark, complete, err
}

func (db *DB) Watermark(ctx context.Context, o account.Owner, in integration.ID, sync string, p syncs.Phase) (mark string, complete bool, err error) {
	err = db.Read(ctx, func(q Querier) error {
		if err := ownedBy(q, o, in); err != nil {
			return err
		}
		mark, complete, err = watermark(q, in, sync, p)
		return err
	})
	return mark, complete, at("store.Watermark", err, noSuchIntegration)
}

// settleSync is the part of SettleJob that belongs to a sync run.
func settleSync(tx *Tx, s *syncs.Settled, now time.Time) error {
	if s.Record != nil {
		if err := settleIntegration(tx, s.Record, now); err != nil {
			return err
		}
	}
	r, err := One(tx, scanSyncRun, `SELECT `+syncRunColumns+` FROM sync_runs WHERE owner = $1 AND process_id = $2`, s.Owner, s.Process)
	if fault.Is(err, fault.NotFound) {
		return nil // removed meanwhile
	}
	if err == nil && s.Page != nil && r.Active && r.Fetching {
		err = pageDone(tx, r, s.Page, now)
	}
	if err == nil && s.Batch != nil {
		err = batchDone(tx, r, s.Batch, now)
	}
	switch {
	case err != nil:
		return err
	case s.Failed != "" && r.Active:
		return stop(tx, r, syncs.Failed, s.Failed, now)
	case s.Paused && r.Active:
		return stop(tx, r, syncs.Canceled, "the integration was paused", now)
	}
	return follow(tx, r, now)
}

func pageDone(tx *Tx, r *syncs.Run, p *syncs.PageDone, now time.Time) error {
	page := 0 // of what was put off
	r.Fetching = false
	if !p.Sweep {
		r.Page++
		r.Cursor, r.More, page = p.Cursor, p.Cursor != "", r.Page
		if _, err := tx.Exec(`INSERT INTO sync_pages (process_id, page, open, watermark) VALUES ($1, $2, $3, $4)`,
			r.Process, page, len(p.Batches), optional(&p.Watermark)); err != nil {
			return err
		}
		if p.Total > 0 && r.Phase != syncs.Index {
			if _, err := tx.Exec(`UPDATE processes SET total = $1 WHERE id = $2`, r.Base+p.Total, r.Process); err != nil {
				return err
			}
		}
	}
	for i := range p.Seen {
		if err := sawRecord(tx, r, &p.Seen[i], now); err != nil {
			return err
		}
	}
	for i := range p.Planned {
		if err := plannedRecord(tx, r, &p.Planned[i], now); err != nil {
			return err
		}
	}
	for i, b := range p.Batches {
		id, _, err := enqueue(tx, r.WriteJob(b.ID, i, now))
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`INSERT INTO sync_batches (id, process_id, page, side, data, job_id) VALUES ($1, $2, $3, $4, $5, $6)`,
			b.ID, r.Process, page, b.Side, b.Data, id); err != nil {
			return err
		}
	}
	r.Open += len(p.Batches)
	r.Failures += int(p.Failed)
	return addTotals(tx, r.Process, p.Addition, now)
}

// sawRecord notes a record that needs nothing.
func sawRecord(tx *Tx, r *syncs.Run, s *syncs.Seen, now time.Time) error {
	name := r.Spec.Name
	switch {
	case s.Gone:
		_, err := tx.Exec(`DELETE FROM sync_records WHERE integration_id = $1 AND sync = $2 AND side = $3 AND external_id = $4 AND counterpart IS NULL`,
			r.Integration, name, s.Side, s.ID)
		return err
	case r.Phase == syncs.Index:
		_, err := tx.Exec(`INSERT INTO sync_records (integration_id, sync, side, external_id, hash, key, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (integration_id, sync, side, external_id) DO UPDATE SET key = excluded.key, updated_at = excluded.updated_at,
			hash = CASE WHEN counterpart IS NULL THEN excluded.hash ELSE hash END,
			confirmed_at = CASE WHEN written_at IS NOT NULL AND hash = excluded.hash THEN coalesce(confirmed_at, excluded.updated_at) ELSE confirmed_at END`,
			r.Integration, name, s.Side, s.ID, s.Hash, optional(&s.Key), micros(&now))
		return err
	}
	_, err := tx.Exec(`INSERT INTO sync_records (integration_id, sync, side, external_id, counterpart, hash, key, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (integration_id, sync, side, external_id) DO UPDATE SET hash = excluded.hash, key = excluded.key, state = NULL, data = NULL,
		counterpart = coalesce(excluded.counterpart, counterpart), updated_at = excluded.updated_at,
		confirmed_at = CASE WHEN written_at IS NOT NULL THEN coalesce(confirmed_at, excluded.updated_at) END
		WHERE state IS NOT NULL OR hash IS NOT excluded.hash OR excluded.counterpart IS NOT NULL OR written_at IS NOT NULL AND confirmed_at IS NULL`,
		r.Integration, name, s.Side, s.ID, optional(&s.Counterpart), s.Hash, optional(&s.Key), micros(&now))
	if err != nil || !s.Link {
		return err
	}
	return linkOther(tx, r, &s.Record, now)
}

// linkOther joins the counterpart of a record with it.
func linkOther(tx *Tx, r *syncs.Run, k *syncs.Record, now time.Time) error {
	_, err := tx.Exec(`INSERT INTO sync_records (integration_id, sync, side, external_id, counterpart, updated_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (integration_id, sync, side, external_id) DO UPDATE SET counterpart = excluded.counterpart, updated_at = excluded.updated_at`,
		r.Integration, r.Spec.Name, syncs.Other(k.Side), k.Counterpart, k.ID, micros(&now))
	return err
}

// plannedRecord notes a record that is on its way or was put off.
func plannedRecord(tx *Tx, r *syncs.Run, p *syncs.Planned, now time.Time) error {
	state := ""
	switch {
	case p.Again:
		state = "again"
	case p.Failed:
		state = "failed"
	}
	_, err := tx.Exec(`INSERT INTO sync_records (integration_id, sync, side, external_id, counterpart, key, state, data, batch, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (integration_id, sync, side, external_id) DO UPDATE SET counterpart = coalesce(excluded.counterpart, counterpart),
		key = coalesce(excluded.key, key), state = excluded.state, data = excluded.data, batch = coalesce(excluded.batch, batch), updated_at = excluded.updated_at`,
		r.Integration, r.Spec.Name, p.Side, p.ID, optional(&p.Counterpart), optional(&p.Key), optional(&state), optional(&p.Data), optional(&p.Batch), micros(&now))
	if err != nil || !p.Link {
		return err
	}
	return linkOther(tx, r, &p.Record, now)
}

func batchDone(tx *Tx, r *syncs.Run, b *syncs.BatchDone, now time.Time) error {
	var side abi.SyncSide
	var page int
	_, err := One(tx, func(row Row) (any, error) { return nil, row.Scan(&side, &page) },
		`SELECT side, page FROM sync_batches WHERE id = $1 AND process_id = $2`, b.ID, r.Process)
	if fault.Is(err, fault.NotFound) {
		return nil // settled before
	}
	if err != nil {
		return err
	}
	for i := range b.Results {
		if err := wroteRecord(tx, r, side, &b.Results[i], now); err != nil {
			return err
		}
	}
	r.Failures += int(b.Failed)
	if err := addTotals(tx, r.Process, b.Addition, now); err != nil {
		return err
	}
	r.Open--
	if err := tx.ExecOne(`DELETE FROM sync_batches WHERE id = $1`, b.ID); err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE sync_pages SET open = open - 1 WHERE process_id = $1 AND page = $2`, r.Process, page)
	return err
}

// wroteRecord notes what became of a record on the side that it was written to. A newer version that was put off meanwhile stays.
func wroteRecord(tx *Tx, r *syncs.Run, to abi.SyncSide, res *syncs.Result, now time.Time) error {
	from, name := syncs.Other(to), r.Spec.Name
	if res.Failed != "" {
		_, err := tx.Exec(`UPDATE sync_records SET batch = NULL, state = coalesce(state, 'failed'), data = CASE WHEN state IS NULL THEN $1 ELSE data END, updated_at = $2
			WHERE integration_id = $3 AND sync = $4 AND side = $5 AND external_id = $6`, res.Failed, micros(&now), r.Integration, name, from, res.ExternalID)
		return err
	}
	if res.Deleted {
		_, err := tx.Exec(`DELETE FROM sync_records WHERE integration_id = $1 AND sync = $2 AND side = $3 AND external_id = $4`, r.Integration, name, to, res.TargetID)
		if err != nil {
			return err
		}
		_, err = tx.Exec(`DELETE FROM sync_records WHERE integration_id = $1 AND sync = $2 AND side = $3 AND external_id = $4 AND state IS NULL`, r.Integration, name, from, res.ExternalID)
		if err != nil {
			return err
		}
		_, err = tx.Exec(`UPDATE sync_records SET batch = NULL, counterpart = NULL, hash = NULL WHERE integration_id = $1 AND sync = $2 AND side = $3 AND external_id = $4`,
			r.Integration, name, from, res.ExternalID)
		return err
	}
	_, err := tx.Exec(`UPDATE sync_records SET batch = NULL, hash = $1, counterpart = coalesce($2, counterpart), written_at = NULL, confirmed_at = NULL, updated_at = $3
		WHERE integration_id = $4 AND sync = $5 AND side = $6 AND external_id = $7`,
		res.Hash, optional(&res.TargetID), micros(&now), r.Integration, name, from, res.ExternalID)
	if err != nil || res.TargetID == "" {
		return err
	}
	_, err = tx.Exec(`DELETE FROM sync_records WHERE integration_id = $1 AND sync = $2 AND side = $3 AND counterpart = $4 AND external_id <> $5`,
		r.Integration, name, to, res.ExternalID, res.TargetID)
	if err != nil {
		return err
	}
	written := now
	if res.Skipped {
		written = time.Time{}
	}
	_, err = tx.Exec(`INSERT INTO sync_records (integration_id, sync, side, external_id, counterpart, hash, written_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (integration_id, sync, side, external_id) DO UPDATE SET counterpart = excluded.counterpart, hash = excluded.hash,
		written_at = excluded.written_at, confirmed_at = NULL, updated_at = excluded.updated_at`,
		r.Integration, name, to, res.TargetID, res.ExternalID, res.Written, micros(&written), micros(&now))
	return err
}

// follow does what follows from the state of a run, as Run.Next says, and saves the run.
func follow(tx *Tx, r *syncs.Run, now time.Time) error {
	if !r.Active {
		return saveRun(tx, r)
	}
	for {
		if err := moveWatermark(tx, r, false, now); err != nil {
			return err
		}
		again, err := One(tx, Value[bool], `SELECT EXISTS (SELECT 1 FROM sync_records AS s WHERE `+offRecords+`)`, r.Integration, r.Spec.Name, r.Phase.Side())
		if err != nil {
			return err
		}
		move := r.Next(again && r.Phase != syncs.Index)
		switch {
		case move.Fetch, move.Sweep:
			r.Fetching = true
			if _, _, err := enqueue(tx, r.FetchJob(move.Sweep, now)); err != nil {
				return err
			}
			return saveRun(tx, r)
		case move.Phase != "":
			if err := moveWatermark(tx, r, true, now); err != nil {
				return err
			}
			if err := enter(tx, r, move.Phase); err != nil {
				return err
			}
		case move.End == syncs.Completed:
			if err := moveWatermark(tx, r, true, now); err != nil {
				return err
			}
			return stop(tx, r, move.End, "", now)
		case move.End != "":
			return stop(tx, r, move.End, move.Why, now)
		default:
			return saveRun(tx, r)
		}
	}
}

// offRecords are those of a side that were put off and are in no batch.
const offRecords = `s.integration_id = $1 AND s.sync = $2 AND s.side = $3 AND s.state = 'again' AND NOT EXISTS (SELECT 1 FROM sync_batches AS b WHERE b.id = s.batch)`

func saveRun(tx *Tx, r *syncs.Run) error {
	return tx.ExecOne(`UPDATE sync_runs SET active = $1, phase = $2, initial = $3, cursor = $4, more = $5, fetching = $6, page = $7, open = $8, failures = $9, base = $10
		WHERE process_id = $11`, r.Active, r.Phase, r.Initial, r.Cursor, r.More, r.Fetching, r.Page, r.Open, r.Failures, r.Base, r.Process)
}

// stop ends a run, and lets the next one begin later if the sync recurs.
func stop(tx *Tx, r *syncs.Run, s syncs.State, why string, now time.Time) error {
	r.Active, r.Fetching = false, false
	if err := saveRun(tx, r); err != nil {
		return err
	}
	return endProcess(tx, r.Process, s, why, now)
}

// moveWatermark passes pages that are done, if all before them are. Where the newest come first nothing is passed before the
// end of the phase, and then all at once.
func moveWatermark(tx *Tx, r *syncs.Run, end bool, now time.Time) error {
	mark := ""
	var err error
	switch {
	case !r.Backwards():
		mark, err = One(tx, Value[string], `SELECT watermark FROM sync_pages WHERE process_id = $1 AND watermark IS NOT NULL
			AND page < coalesce((SELECT min(page) FROM sync_pages WHERE process_id = $1 AND open > 0), 9223372036854775807) ORDER BY page DESC LIMIT 1`, r.Process)
	case end:
		mark, err = One(tx, Value[string], `SELECT watermark FROM sync_pages WHERE process_id = $1 AND watermark IS NOT NULL ORDER BY page LIMIT 1`, r.Process)
	}
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	if mark != "" || end {
		_, err := tx.Exec(`INSERT INTO sync_states (integration_id, sync, phase, watermark, complete, updated_at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (integration_id, sync, phase) DO UPDATE SET watermark = coalesce(excluded.watermark, watermark),
			complete = complete OR excluded.complete, updated_at = excluded.updated_at`,
			r.Integration, r.Spec.Name, r.Phase, optional(&mark), end, micros(&now))
		if err != nil {
			return err
		}
	}
	if r.Backwards() && !end {
		return nil
	}
	_, err = tx.Exec(`DELETE FROM sync_pages WHERE process_id = $1 AND page < coalesce((SELECT min(page) FROM sync_pages WHERE process_id = $1 AND open > 0), 9223372036854775807)`, r.Process)
	return err
}

func (db *DB) BatchByID(ctx context.Context, o account.Owner, id syncs.BatchID) (*syncs.Batch, error) {
	b, err := One(db.reader(ctx), func(row Row) (*syncs.Batch, error) {
		b := new(syncs.Batch)
		return b, row.Scan(&b.ID, &b.Process, &b.Side, &b.Data)
	}, `SELECT b.id, b.process_id, b.side, b.data FROM sync_batches AS b JOIN sync_runs AS r ON r.process_id = b.process_id WHERE r.owner = $1 AND b.id = $2`, o, id)
	return b, at("store.BatchByID", err, says{fault.NotFound: "no such batch"})
}

const recordColumns = `s.side, s.external_id, s.counterpart, s.hash, s.confirmed_at IS NOT NULL, s.data,
	EXISTS (SELECT 1 FROM sync_batches AS b WHERE b.id = s.batch)`

func scanRecord(row Row) (*syncs.Record, error) {
	k := new(syncs.Record)
	return k, row.Scan(&k.Side, &k.ID, optional(&k.Counterpart), optional(&k.Hash), &k.Confirmed, optional(&k.Data), &k.Busy)
}

// ofOwnedSync limits a read to records of a sync of the owner; the parameters $1 to $4 are owner, integration, sync and side.
const ofOwnedSync = ` FROM sync_records AS s WHERE s.integration_id IN (SELECT id FROM integrations WHERE owner = $1 AND id = $2) AND s.sync = $3 AND s.side = $4 `

func (db *DB) RecordsByID(ctx context.Context, o account.Owner, in integration.ID, sync string, side abi.SyncSide, ids []string) (map[string]*syncs.Record, error) {
	rows, err := Many(db.reader(ctx), scanRecord, `SELECT `+recordColumns+ofOwnedSync+`AND s.external_id IN (SELECT value FROM json_each($5))`,
		o, in, sync, side, asJSON(ids))
	found := make(map[string]*syncs.Record, len(rows))
	for _, k := range rows {
		found[k.ID] = k
	}
	return found, at("store.RecordsByID", err, nil)
}

func (db *DB) RecordsByKey(ctx context.Context, o account.Owner, in integration.ID, sync string, side abi.SyncSide, keys []string) (map[string][]*syncs.Record, error) {
	found := map[string][]*syncs.Record{}
	_, err := Many(db.reader(ctx), func(row Row) (any, error) {
		var key string
		k, err := scanRecord(rowWith{row, []any{&key}})
		if len(found[key]) < matchesOfKey {
			found[key] = append(found[key], k)
		}
		return nil, err
	}, `SELECT `+recordColumns+`, s.key`+ofOwnedSync+`AND s.key IN (SELECT value FROM json_each($5)) AND s.counterpart IS NULL LIMIT $6`,
		o, in, sync, side, asJSON(keys), matchesOfKey*1000)
	return found, at("store.RecordsByKey", err, nil)
}

// matchesOfKey are enough to see that there are several.
const matchesOfKey = 10

func (db *DB) PutOff(ctx context.Context, o account.Owner, in integration.ID, sync string, side abi.SyncSide, limit int) ([]*syncs.Record, error) {
	rows, err := Many(db.reader(ctx), scanRecord, `SELECT `+recordColumns+` FROM sync_records AS s WHERE `+offRecords+`
		AND EXISTS (SELECT 1 FROM integrations WHERE owner = $4 AND id = $1) ORDER BY s.external_id LIMIT $5`, in, sync, side, o, limit)
	return rows, at("store.PutOff", err, nil)
}
