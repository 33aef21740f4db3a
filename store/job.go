package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
)

var _ job.Store = (*DB)(nil)

const jobColumns = `id, owner, lane, kind, payload, state, attempt, max_attempts, run_at, unique_key, deadline, last_error, epoch, lease_until, created_at, finished_at`

func scanJob(row Row) (*job.Job, error) {
	j := new(job.Job)
	return j, row.Scan(&j.ID, &j.Owner, &j.Lane, &j.Kind, rawJSON(&j.Payload), &j.State, &j.Attempt, &j.MaxAttempts, micros(&j.RunAt),
		optional(&j.UniqueKey), micros(&j.Deadline), optional(&j.LastError), &j.Epoch, micros(&j.LeaseUntil), micros(&j.CreatedAt), micros(&j.FinishedAt))
}

var noSuchJob = says{fault.NotFound: "no such job"}

func (db *DB) Enqueue(ctx context.Context, n job.New) (id job.ID, existed bool, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		id, existed, err = enqueue(tx, n)
		return err
	})
	return id, existed, at("store.Enqueue", err, nil)
}

// enqueue is the part of an act that adds a job.
func enqueue(tx *Tx, n job.New) (id job.ID, existed bool, err error) {
	if err := n.Owner.Valid(); err != nil {
		return "", false, err
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
	if n.MaxAttempts == 0 {
		n.MaxAttempts = job.DefaultAttempts
	}
	if n.RunAt.IsZero() {
		n.RunAt = n.CreatedAt
	}
	if n.Deadline.IsZero() {
		n.Deadline = n.CreatedAt.Add(job.DefaultPatience)
	}
	if len(n.Payload) == 0 {
		n.Payload = json.RawMessage(`{}`)
	}
	_, err = tx.Exec(`INSERT INTO jobs (id, owner, lane, kind, payload, state, max_attempts, run_at, unique_key, deadline, created_at)
		VALUES ($1, $2, $3, $4, $5, 'queued', $6, $7, $8, $9, $10)`,
		n.ID, n.Owner, n.Lane, n.Kind, rawJSON(&n.Payload), n.MaxAttempts, micros(&n.RunAt), optional(&n.UniqueKey), micros(&n.Deadline), micros(&n.CreatedAt))
	return n.ID, false, err
}

// claimJobs walks the lanes that have something waiting by their index, and takes the oldest due job of each idle one:
// first those of owners for whom least is running. A deep backlog in one lane costs no more than a shallow one.
const claimJobs = `UPDATE jobs SET state = 'running', epoch = epoch + 1, attempt = attempt + 1, lease_owner = $1, lease_until = $2
	WHERE id IN (
		WITH RECURSIVE waiting (lane) AS (
			SELECT min(lane) FROM jobs WHERE state = 'queued'
			UNION ALL
			SELECT (SELECT min(lane) FROM jobs WHERE state = 'queued' AND lane > waiting.lane) FROM waiting WHERE waiting.lane IS NOT NULL
		), heads (id) AS (
			SELECT (SELECT id FROM jobs WHERE state = 'queued' AND lane = waiting.lane AND run_at <= $3 ORDER BY id LIMIT 1)
			FROM waiting WHERE waiting.lane IS NOT NULL
			AND NOT EXISTS (SELECT 1 FROM jobs WHERE lane = waiting.lane AND state = 'running')
		)
		SELECT head.id FROM heads JOIN jobs AS head ON head.id = heads.id
		ORDER BY (SELECT count(*) FROM jobs AS busy WHERE busy.owner = head.owner AND busy.state = 'running'), head.id LIMIT $4)
	RETURNING ` + jobColumns

func (db *DB) ClaimJobs(ctx context.Context, worker string, now, leaseUntil time.Time, n int) (jobs []*job.Job, err error) {
	idle, err := db.nothingDue(ctx, now)
	if err != nil || idle {
		return nil, err
	}
	err = db.Write(ctx, func(tx *Tx) error {
		jobs, err = Many(tx, scanJob, claimJobs, worker, micros(&leaseUntil), micros(&now), n)
		return err
	})
	if err != nil {
		return nil, at("store.ClaimJobs", err, nil) // what was not committed is not claimed
	}
	return jobs, nil
}

// nothingDue spares an idle host the write.
func (db *DB) nothingDue(ctx context.Context, now time.Time) (bool, error) {
	next, err := db.NextDue(ctx)
	return next.IsZero() || next.After(now), err
}

func (db *DB) NextDue(ctx context.Context) (next time.Time, err error) {
	_, err = One(db.reader(ctx), func(row Row) (any, error) { return nil, row.Scan(micros(&next)) },
		`SELECT min(run_at) FROM jobs WHERE state = 'queued'`)
	return next, at("store.NextDue", err, nil)
}

var claimOver = says{fault.NotFound: "the claim of this job is over"}

func (db *DB) ExtendLease(ctx context.Context, id job.ID, epoch int64, until time.Time) error {
	err := db.Write(ctx, func(tx *Tx) error {
		return held(tx.ExecOne(`UPDATE jobs SET lease_until = $1 WHERE id = $2 AND epoch = $3 AND state = 'running'`, micros(&until), id, epoch))
	})
	return at("store.ExtendLease", err, claimOver)
}

// held turns "no row" into Conflict: the claim is over.
func held(err error) error {
	if fault.Is(err, fault.NotFound) {
		return fault.New(fault.Conflict, "store.job", "the claim of this job is over").With(err)
	}
	return err
}

func (db *DB) SettleJob(ctx context.Context, id job.ID, epoch int64, now time.Time, s job.Settlement) error {
	finished := now
	if !s.State.Ended() {
		finished = time.Time{}
	}
	free := 0
	if s.Free {
		free = 1
	}
	err := db.Write(ctx, func(tx *Tx) error {
		err := tx.ExecOne(`UPDATE jobs SET state = $1, run_at = CASE WHEN $1 = 'queued' THEN $2 ELSE run_at END, last_error = $3, finished_at = $4,
			attempt = attempt - $5, asleep = $6, lease_owner = NULL, lease_until = NULL WHERE id = $7 AND epoch = $8 AND state = 'running'`,
			s.State, s.RunAt.UnixMicro(), optional(&s.Error), micros(&finished), free, s.Asleep, id, epoch)
		if err != nil {
			return held(err)
		}
		if err := tellJob(tx, id, s, now); err != nil {
			return err
		}
		return settleWith(tx, s.With, now)
	})
	return at("store.SettleJob", err, nil)
}

func (db *DB) RecoverJobs(ctx context.Context, now time.Time, all bool) (n int, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		n, err = tx.Exec(`UPDATE jobs SET state = 'queued', last_error = 'the worker was lost', lease_owner = NULL, lease_until = NULL
			WHERE state = 'running' AND ($2 OR lease_until < $1)`, micros(&now), all)
		return err
	})
	return n, at("store.RecoverJobs", err, nil)
}

func (db *DB) JobByID(ctx context.Context, o account.Owner, id job.ID) (*job.Job, error) {
	j, err := One(db.reader(ctx), scanJob, `SELECT `+jobColumns+` FROM jobs WHERE owner = $1 AND id = $2`, o, id)
	return j, at("store.JobByID", err, noSuchJob)
}

func (db *DB) Jobs(ctx context.Context, o account.Owner, states []job.State, before job.ID, limit int) ([]*job.Job, error) {
	jobs, err := Many(db.reader(ctx), scanJob, `SELECT `+jobColumns+` FROM jobs
		WHERE owner = $1 AND state IN (SELECT value FROM json_each($2)) AND ($3 = '' OR id < $3) ORDER BY id DESC LIMIT $4`,
		o, asJSON(states), before, limit)
	return jobs, at("store.Jobs", err, nil)
}

func (db *DB) ReplayJob(ctx context.Context, o account.Owner, id job.ID, now time.Time) error {
	err := db.Write(ctx, func(tx *Tx) error {
		state, err := One(tx, Value[job.State], `SELECT state FROM jobs WHERE owner = $1 AND id = $2`, o, id)
		if err != nil {
			return err
		}
		if state != job.Dead && state != job.Halted {
			return fault.New(fault.Conflict, "store.ReplayJob", "only a dead or halted job can be replayed; this one is %s", state)
		}
		patience := now.Add(job.DefaultPatience)
		return tx.ExecOne(`UPDATE jobs SET state = 'queued', attempt = 0, run_at = $1, deadline = $2, finished_at = NULL WHERE owner = $3 AND id = $4`,
			micros(&now), micros(&patience), o, id)
	})
	return at("store.ReplayJob", err, noSuchJob)
}

func (db *DB) Unpark(ctx context.Context, o account.Owner, id job.ID, now time.Time) error {
	err := db.Write(ctx, func(tx *Tx) error {
		state, err := One(tx, Value[job.State], `SELECT state FROM jobs WHERE owner = $1 AND id = $2`, o, id)
		if err != nil {
			return err
		}
		if state != job.Parked {
			return fault.New(fault.Conflict, "store.Unpark", "only a parked job waits for a decision; this one is %s", state)
		}
		return tx.ExecOne(`UPDATE jobs SET state = 'queued', run_at = $1 WHERE owner = $2 AND id = $3`, micros(&now), o, id)
	})
	return at("store.Unpark", err, noSuchJob)
}

func (db *DB) PruneJobs(ctx context.Context, done, failed time.Time, limit int) (n int, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		n, err = tx.Exec(`DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE finished_at < CASE WHEN state = 'done' THEN $1 ELSE $2 END
			AND finished_at < $1 LIMIT $3)`, micros(&done), micros(&failed), limit)
		return err
	})
	return n, at("store.PruneJobs", err, nil)
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
