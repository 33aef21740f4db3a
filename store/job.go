package store

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
)

var _ job.Store = (*DB)(nil)

const jobColumns = `id, owner, lane, kind, payload, state, priority, limits, attempt, max_attempts, run_at, unique_key, deadline, last_error,
	replays, replay_from, replay_input, epoch, lease_until, created_at, finished_at`

func scanJob(row Row) (*job.Job, error) {
	j := new(job.Job)
	return j, row.Scan(&j.ID, &j.Owner, &j.Lane, &j.Kind, rawJSON(&j.Payload), &j.State, &j.Priority, keys(&j.Limits), &j.Attempt, &j.MaxAttempts,
		micros(&j.RunAt), optional(&j.UniqueKey), micros(&j.Deadline), optional(&j.LastError), &j.Replays, optional(&j.Replay.From),
		rawJSON(&j.Replay.Input), &j.Epoch, micros(&j.LeaseUntil), micros(&j.CreatedAt), micros(&j.FinishedAt))
}

var noSuchJob = says{fault.NotFound: "no such job"}

func (db *DB) Enqueue(ctx context.Context, n job.New) (id job.ID, existed bool, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		id, existed, err = enqueue(tx, n)
		return err
	})
	return id, existed, at("store.Enqueue", err, nil)
}

func (db *DB) EnqueueBatch(ctx context.Context, jobs []job.New) (done []job.Enqueued, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		done, err = enqueueAll(tx, jobs)
		return err
	})
	return done, at("store.EnqueueBatch", err, nil)
}

// enqueueAll is the part of an act that adds jobs.
func enqueueAll(tx *Tx, jobs []job.New) ([]job.Enqueued, error) {
	done := make([]job.Enqueued, len(jobs))
	for i, n := range jobs {
		var err error
		if done[i].ID, done[i].Existed, err = enqueue(tx, n); err != nil {
			return nil, err
		}
	}
	return done, nil
}

// enqueue is the part of an act that adds a job.
func enqueue(tx *Tx, n job.New) (id job.ID, existed bool, err error) {
	if err := n.Owner.Valid(); err != nil {
		return "", false, err
	}
	if n.Priority < -job.MaxPriority || n.Priority > job.MaxPriority {
		return "", false, fault.New(fault.Invalid, "store.Enqueue", "a priority is between %d and %d", -job.MaxPriority, job.MaxPriority)
	}
	if n.UniqueKey != "" {
		id, err := One(tx, Value[job.ID], `SELECT id FROM jobs WHERE unique_key = $1 AND ($2 OR state IN ('queued', 'running', 'parked')) LIMIT 1`, n.UniqueKey, n.Once)
		if err == nil {
			return id, true, nil
		}
		if !fault.Is(err, fault.NotFound) {
			return "", false, err
		}
	}
	n = withDefaults(n)
	_, err = tx.Exec(`INSERT INTO jobs (id, owner, lane, kind, payload, state, due, priority, limits, max_attempts, run_at, unique_key, deadline, created_at)
		VALUES ($1, $2, $3, $4, $5, 'queued', $6, $7, $8, $9, $10, $11, $12, $13)`,
		n.ID, n.Owner, n.Lane, n.Kind, rawJSON(&n.Payload), !n.RunAt.After(n.CreatedAt), n.Priority, keys(&n.Limits), n.MaxAttempts,
		micros(&n.RunAt), optional(&n.UniqueKey), micros(&n.Deadline), micros(&n.CreatedAt))
	if err == nil && n.LaneCap > 0 {
		_, err = tx.Exec(`UPDATE lanes SET cap = $1 WHERE owner = $2 AND name = $3 AND cap <> $1`, n.LaneCap, n.Owner, n.Lane)
	}
	return n.ID, false, err
}

func withDefaults(n job.New) job.New {
	n.MaxAttempts = cmp.Or(n.MaxAttempts, job.DefaultAttempts)
	if n.RunAt.IsZero() {
		n.RunAt = n.CreatedAt
	}
	if n.Deadline.IsZero() {
		n.Deadline = n.CreatedAt.Add(job.DefaultPatience)
	}
	if len(n.Payload) == 0 {
		n.Payload = json.RawMessage(`{}`)
	}
	n.Limits = slices.Compact(slices.Sorted(slices.Values(n.Limits))) // one that is named twice counts once
	return n
}

func (db *DB) JobByID(ctx context.Context, o account.Owner, id job.ID) (*job.Job, error) {
	j, err := One(db.reader(ctx), scanJob, `SELECT `+jobColumns+` FROM jobs WHERE owner = $1 AND id = $2`, o, id)
	return j, at("store.JobByID", err, noSuchJob)
}

// Jobs lists an owner's jobs in these states, newest first, from before an id (empty: the newest).
func (db *DB) Jobs(ctx context.Context, o account.Owner, states []job.State, before job.ID, limit int) ([]*job.Job, error) {
	return db.FindJobs(ctx, o, job.Filter{States: states, Before: before, Limit: limit})
}

func (db *DB) FindJobs(ctx context.Context, o account.Owner, f job.Filter) ([]*job.Job, error) {
	if len(f.States) == 0 {
		f.States = job.States
	}
	jobs, err := Many(db.reader(ctx), scanJob, `SELECT `+jobColumns+` FROM jobs
		WHERE owner = $1 AND state IN (SELECT value FROM json_each($2)) AND ($3 = '' OR id < $3)
		AND ($4 = '' OR lane = $4) AND ($5 = '' OR kind = $5) ORDER BY id DESC LIMIT $6`,
		o, asJSON(f.States), f.Before, f.Lane, f.Kind, f.Limit)
	return jobs, at("store.FindJobs", err, nil)
}

func (db *DB) CountJobs(ctx context.Context) (map[job.State]int, error) {
	type count struct {
		state job.State
		n     int
	}
	rows, err := Many(db.reader(ctx), func(row Row) (c count, err error) { return c, row.Scan(&c.state, &c.n) },
		`SELECT state, count(*) FROM jobs GROUP BY state`)
	counts := make(map[job.State]int, len(rows))
	for _, c := range rows {
		counts[c.state] = c.n
	}
	return counts, at("store.CountJobs", err, nil)
}

// prunedAtOnce bounds how many jobs go in one act, with the records of their runs, which may be large.
const prunedAtOnce = 50

func (db *DB) PruneJobs(ctx context.Context, done, failed time.Time, limit int) (n int, err error) {
	for gone, some := 0, min(limit, prunedAtOnce); n < limit && err == nil; {
		err = db.Write(ctx, func(tx *Tx) error {
			gone, err = tx.Exec(`DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE finished_at < CASE WHEN state IN ('done', 'canceled') THEN $1 ELSE $2 END
				AND finished_at < max($1, $2) LIMIT $3)`, micros(&done), micros(&failed), min(some, limit-n))
			return err
		})
		if n += gone; gone < some {
			break
		}
	}
	if err == nil {
		err = db.pruneLanes(ctx, limit)
	}
	return n, at("store.PruneJobs", err, nil)
}
