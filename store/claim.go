package store

import (
	"context"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
)

func (db *DB) Claims(ctx context.Context, worker string) ([]job.Claim, error) {
	claims, err := Many(db.reader(ctx), func(row Row) (c job.Claim, err error) { return c, row.Scan(&c.ID, &c.Epoch, &c.Canceling) },
		`SELECT id, epoch, canceling FROM jobs WHERE state = 'running' AND lease_owner = $1`, worker)
	return claims, at("store.Claims", err, nil)
}

func (db *DB) ExtendLeases(ctx context.Context, worker string, until time.Time) error {
	err := db.Write(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`UPDATE jobs SET lease_until = $1 WHERE state = 'running' AND lease_owner = $2`, micros(&until), worker)
		return err
	})
	return at("store.ExtendLeases", err, nil)
}

func (db *DB) SettleJob(ctx context.Context, id job.ID, epoch int64, now time.Time, s job.Settlement) error {
	err := db.Write(ctx, func(tx *Tx) error {
		s := s
		if !s.State.Ended() {
			canceling, err := One(tx, Value[bool], `SELECT canceling FROM jobs WHERE id = $1`, id)
			if err != nil {
				return held(err)
			}
			if canceling {
				s.State, s.Free = job.Canceled, false
			}
		}
		return endClaim(tx, id, epoch, now, s)
	})
	return at("store.SettleJob", err, nil)
}

// endClaim is the part of SettleJob that is the same for all jobs, and then what belongs to this one.
func endClaim(tx *Tx, id job.ID, epoch int64, now time.Time, s job.Settlement) error {
	var finished, runAt time.Time
	switch {
	case s.State.Ended():
		finished = now
	case s.State == job.Queued:
		runAt = s.RunAt
	}
	free := 0
	if s.Free {
		free = 1
	}
	j, err := One(tx, func(row Row) (j job.Job, err error) { return j, row.Scan(&j.Owner, &j.Lane) },
		`UPDATE jobs SET state = $1, due = $2, run_at = coalesce($3, run_at), last_error = $4, finished_at = $5, attempt = attempt - $6, asleep = $7,
		canceling = 0, lost = 0, lease_owner = NULL, lease_until = NULL WHERE id = $8 AND epoch = $9 AND state = 'running' RETURNING owner, lane`,
		s.State, !runAt.IsZero() && !runAt.After(now), micros(&runAt), optional(&s.Error), micros(&finished), free, s.Asleep, id, epoch)
	if err != nil {
		return held(err)
	}
	for _, p := range s.Pauses {
		if err := pause(tx, j.Owner, j.Lane, p); err != nil {
			return err
		}
	}
	if err := tellJob(tx, id, s, now); err != nil {
		return err
	}
	return settleWith(tx, s.With, now)
}

// held turns "no row" into Conflict: the claim is over.
func held(err error) error {
	if fault.Is(err, fault.NotFound) {
		return fault.New(fault.Conflict, "store.job", "the claim of this job is over").With(err)
	}
	return err
}

// mostLost is how often in a row a job may take its worker with it. Then a person looks at it.
const mostLost = 25

func (db *DB) RecoverJobs(ctx context.Context, now time.Time, all bool) (n int, err error) {
	dead := job.Settlement{State: job.Dead, Error: "each time the worker was lost before it got any further: it may be this job that ends it"}
	err = db.Write(ctx, func(tx *Tx) error {
		const lost = ` WHERE state = 'running' AND ($2 OR lease_until < $1)`
		deadly, err := Many(tx, Value[job.ID], `UPDATE jobs SET state = $3, due = 0, lost = 0, finished_at = $1, last_error = $4, lease_owner = NULL, lease_until = NULL`+
			lost+` AND lost >= $5 AND canceling = 0 RETURNING id`, micros(&now), all, dead.State, dead.Error, mostLost-1)
		for _, id := range deadly {
			if err == nil {
				err = tellJob(tx, id, dead, now)
			}
		}
		if err != nil {
			return err
		}
		n, err = tx.Exec(`UPDATE jobs SET state = CASE WHEN canceling THEN 'canceled' ELSE 'queued' END, due = 1 - canceling, lost = lost + 1,
			finished_at = CASE WHEN canceling THEN $1 END, canceling = 0, last_error = 'the worker was lost', lease_owner = NULL, lease_until = NULL`+lost,
			micros(&now), all)
		return err
	})
	return n, at("store.RecoverJobs", err, nil)
}

// change is an act on a job of the owner that depends on its state.
func (db *DB) change(ctx context.Context, op string, o account.Owner, id job.ID, act func(tx *Tx, was job.State) error) error {
	err := db.Write(ctx, func(tx *Tx) error {
		was, err := One(tx, Value[job.State], `SELECT state FROM jobs WHERE owner = $1 AND id = $2`, o, id)
		if err != nil {
			return err
		}
		return act(tx, was)
	})
	return at(op, err, noSuchJob)
}

func (db *DB) ReplayJob(ctx context.Context, o account.Owner, id job.ID, now time.Time, how job.ReplayOptions) error {
	return db.change(ctx, "store.ReplayJob", o, id, func(tx *Tx, was job.State) error {
		if !was.Ended() || was == job.Done {
			return fault.New(fault.Conflict, "store.ReplayJob", "only a dead, halted or canceled job can be replayed; this one is %s", was)
		}
		patience := now.Add(job.DefaultPatience)
		return tx.ExecOne(`UPDATE jobs SET state = 'queued', due = 1, attempt = 0, run_at = $1, deadline = $2, finished_at = NULL, asleep = 0,
			replays = replays + 1, replay_from = $3, replay_input = coalesce($4, replay_input) WHERE owner = $5 AND id = $6`,
			micros(&now), micros(&patience), how.From, rawJSON(&how.Input), o, id)
	})
}

func (db *DB) CancelJob(ctx context.Context, o account.Owner, id job.ID, now time.Time) (running bool, err error) {
	err = db.change(ctx, "store.CancelJob", o, id, func(tx *Tx, was job.State) error {
		if was.Ended() {
			return fault.New(fault.Conflict, "store.CancelJob", "the job has ended: it is %s", was)
		}
		if running = was == job.Running; running {
			return tx.ExecOne(`UPDATE jobs SET canceling = 1 WHERE owner = $1 AND id = $2`, o, id)
		}
		return tx.ExecOne(`UPDATE jobs SET state = 'canceled', due = 0, finished_at = $1 WHERE owner = $2 AND id = $3`, micros(&now), o, id)
	})
	return running && err == nil, err
}

func (db *DB) Unpark(ctx context.Context, o account.Owner, id job.ID, now time.Time) error {
	return db.change(ctx, "store.Unpark", o, id, func(tx *Tx, was job.State) error {
		if was != job.Parked {
			return fault.New(fault.Conflict, "store.Unpark", "only a parked job waits for a decision; this one is %s", was)
		}
		return tx.ExecOne(`UPDATE jobs SET state = 'queued', due = 1, run_at = $1 WHERE owner = $2 AND id = $3`, micros(&now), o, id)
	})
}
