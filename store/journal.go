package store

import (
	"context"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/journal"
	"github.com/frigg-host/frigg-host/host/plugin"
)

var _ journal.Store = (*DB)(nil)

var noSuchRun = says{fault.NotFound: "no such run"}

func (db *DB) AppendJournal(ctx context.Context, r *journal.Run, epoch int64, c *journal.Chunk, restart bool) error {
	err := db.Write(ctx, func(tx *Tx) error {
		if err := holdsClaim(tx, r.Owner, r.ID, epoch); err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE jobs SET lost = 0 WHERE id = $1 AND lost > 0`, r.ID); err != nil {
			return err
		}
		return appendJournal(tx, r, c, restart)
	})
	return at("store.AppendJournal", err, nil)
}

func (db *DB) HoldsClaim(ctx context.Context, o account.Owner, id job.ID, epoch int64) error {
	return at("store.HoldsClaim", holdsClaim(db.reader(ctx), o, id, epoch), nil)
}

func holdsClaim(q Querier, o account.Owner, id job.ID, epoch int64) error {
	_, err := One(q, Value[int], `SELECT 1 FROM jobs WHERE owner = $1 AND id = $2 AND epoch = $3 AND state = 'running'`, o, id, epoch)
	return held(err)
}

// appendJournal is the part of an act that adds to the log of a run.
func appendJournal(tx *Tx, r *journal.Run, c *journal.Chunk, restart bool) error {
	if restart {
		if _, err := tx.Exec(`DELETE FROM runs WHERE job_id = $1`, r.ID); err != nil {
			return err
		}
	}
	seq, err := One(tx, Value[int], `INSERT INTO runs (job_id, owner, integration_id, event, plugin, version, digest, generation, chunks, entries, bytes, doubt, modules, started_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $10, $11, $12, $13, $14)
		ON CONFLICT (job_id) DO UPDATE SET plugin = excluded.plugin, version = excluded.version, digest = excluded.digest, generation = excluded.generation,
			chunks = runs.chunks + 1, entries = runs.entries + excluded.entries, bytes = runs.bytes + excluded.bytes, doubt = excluded.doubt, modules = excluded.modules, updated_at = excluded.updated_at
		RETURNING chunks`,
		r.ID, r.Owner, r.Integration, r.Event, r.Plugin, r.Version, r.Digest, r.Generation, c.Entries, c.Bytes, optional(&r.Doubt), asJSON(r.Modules),
		micros(&r.StartedAt), micros(&r.UpdatedAt))
	if err != nil {
		return err
	}
	return addChunk(tx, r.ID, seq, c)
}

func addChunk(tx *Tx, id job.ID, seq int, c *journal.Chunk) error {
	if _, err := tx.Exec(`INSERT INTO journal (job_id, seq, data) VALUES ($1, $2, $3)`, id, seq, c.Data); err != nil {
		return err
	}
	for sum, data := range c.Blobs {
		if _, err := tx.Exec(`INSERT INTO journal_blobs (job_id, sum, data) VALUES ($1, $2, $3) ON CONFLICT (job_id, sum) DO NOTHING`, id, sum, data); err != nil {
			return err
		}
	}
	return nil
}

func (db *DB) AnnotateJournal(ctx context.Context, o account.Owner, id job.ID, c *journal.Chunk, now time.Time) error {
	err := db.Write(ctx, func(tx *Tx) error {
		seq, err := One(tx, Value[int], `UPDATE runs SET chunks = chunks + 1, bytes = bytes + $1, doubt = NULL, updated_at = $2 WHERE owner = $3 AND job_id = $4
			AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = runs.job_id AND jobs.state = 'running') RETURNING chunks`, c.Bytes, micros(&now), o, id)
		if err != nil {
			return err
		}
		return addChunk(tx, id, seq, c)
	})
	return at("store.AnnotateJournal", err, noSuchRun)
}

func (db *DB) JournalOf(ctx context.Context, o account.Owner, id job.ID) (chunks [][]byte, blobs map[string][]byte, err error) {
	err = db.Read(ctx, func(q Querier) error {
		const ofRun = ` WHERE job_id IN (SELECT job_id FROM runs WHERE owner = $1 AND job_id = $2)`
		if chunks, err = Many(q, Value[[]byte], `SELECT data FROM journal`+ofRun+` ORDER BY seq`, o, id); err != nil {
			return err
		}
		type blob struct {
			sum  string
			data []byte
		}
		found, err := Many(q, func(row Row) (b blob, err error) { return b, row.Scan(&b.sum, &b.data) }, `SELECT sum, data FROM journal_blobs`+ofRun, o, id)
		blobs = make(map[string][]byte, len(found))
		for _, b := range found {
			blobs[b.sum] = b.data
		}
		return err
	})
	return chunks, blobs, at("store.JournalOf", err, nil)
}

const runColumns = `r.job_id, r.owner, r.integration_id, r.event, r.plugin, r.version, r.digest, r.generation, r.entries, r.bytes, r.doubt, r.modules, r.started_at, r.updated_at,
	j.state, j.attempt, j.last_error, j.run_at, j.created_at, j.finished_at`

func scanRun(row Row) (*journal.Run, error) {
	r := new(journal.Run)
	return r, row.Scan(&r.ID, &r.Owner, &r.Integration, &r.Event, &r.Plugin, &r.Version, &r.Digest, &r.Generation, &r.Entries, &r.Bytes, optional(&r.Doubt), asJSON(&r.Modules),
		micros(&r.StartedAt), micros(&r.UpdatedAt), &r.State, &r.Attempt, optional(&r.LastError), micros(&r.RunAt), micros(&r.CreatedAt), micros(&r.EndedAt))
}

func (db *DB) RunByID(ctx context.Context, o account.Owner, id job.ID) (*journal.Run, error) {
	r, err := One(db.reader(ctx), scanRun, `SELECT `+runColumns+` FROM runs AS r JOIN jobs AS j ON j.id = r.job_id WHERE r.owner = $1 AND r.job_id = $2`, o, id)
	return r, at("store.RunByID", err, noSuchRun)
}

// runFilter takes $1 to $4.
const runFilter = `($1 = '' OR r.integration_id = $1) AND ($2 = '' OR r.plugin = $2) AND ($3 = '' OR r.job_id < $3)
		AND j.state IN (SELECT value FROM json_each($4))`

func statesOf(f journal.Filter) any {
	if len(f.States) == 0 {
		return asJSON(job.States)
	}
	return asJSON(f.States)
}

func (db *DB) Runs(ctx context.Context, o account.Owner, f journal.Filter, limit int) ([]*journal.Run, error) {
	runs, err := Many(db.reader(ctx), scanRun, `SELECT `+runColumns+` FROM runs AS r JOIN jobs AS j ON j.id = r.job_id
		WHERE `+runFilter+` AND r.owner = $5 ORDER BY r.job_id DESC LIMIT $6`, f.Integration, f.Plugin, f.Before, statesOf(f), o, limit)
	return runs, at("store.Runs", err, nil)
}

func (db *DB) AnyRun(ctx context.Context, id job.ID) (*journal.Run, error) {
	r, err := One(db.reader(ctx), scanRun, `SELECT `+runColumns+` FROM runs AS r JOIN jobs AS j ON j.id = r.job_id WHERE r.job_id = $1`, id)
	return r, at("store.AnyRun", err, noSuchRun)
}

func (db *DB) AllRuns(ctx context.Context, f journal.Filter, limit int) ([]*journal.Run, error) {
	runs, err := Many(db.reader(ctx), scanRun, `SELECT `+runColumns+` FROM runs AS r JOIN jobs AS j ON j.id = r.job_id
		WHERE `+runFilter+` ORDER BY r.job_id DESC LIMIT $5`, f.Integration, f.Plugin, f.Before, statesOf(f), limit)
	return runs, at("store.AllRuns", err, nil)
}

func (db *DB) ImportRun(ctx context.Context, r *journal.Run, c *journal.Chunk) error {
	err := db.Write(ctx, func(tx *Tx) error {
		_, err := One(tx, Value[int], `SELECT 1 FROM jobs WHERE id = $1`, r.ID)
		if err == nil {
			return fault.New(fault.Conflict, "store.ImportRun", "run %s is here already", r.ID)
		}
		if !fault.Is(err, fault.NotFound) {
			return err
		}
		_, _, err = enqueue(tx, job.New{ID: r.ID, Owner: r.Owner, Lane: string(r.ID), Kind: "imported", CreatedAt: r.CreatedAt})
		if err != nil {
			return err
		}
		err = tx.ExecOne(`UPDATE jobs SET state = $1, attempt = $2, last_error = $3, finished_at = $4 WHERE id = $5`,
			r.State, r.Attempt, optional(&r.LastError), micros(&r.EndedAt), r.ID)
		if err != nil {
			return err
		}
		return appendJournal(tx, r, c, false)
	})
	return at("store.ImportRun", err, nil)
}

func (db *DB) PluginsInUse(ctx context.Context) ([]plugin.Digest, error) {
	const underWay = ` JOIN jobs AS j ON j.id = r.job_id WHERE j.state IN ('queued', 'running', 'parked')`
	all, err := Many(db.reader(ctx), Value[plugin.Digest], `SELECT r.digest FROM runs AS r`+underWay+`
		UNION SELECT m.value FROM runs AS r, json_each(r.modules) AS m`+underWay)
	return all, at("store.PluginsInUse", err, nil)
}
