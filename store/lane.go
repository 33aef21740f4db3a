package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
)

// perRound bounds what one act does besides claiming, so that others get their turn.
const perRound = 256

// ripe says what there is to do for a claim. It is read outside of an act, so that an idle host writes nothing.
type ripe struct{ due, paused, wanted, open bool }

func (r ripe) none() bool { return r == ripe{} }

func (db *DB) ripe(ctx context.Context, now time.Time) (ripe, error) {
	return One(db.reader(ctx), func(row Row) (r ripe, err error) { return r, row.Scan(&r.due, &r.paused, &r.wanted, &r.open) },
		`SELECT EXISTS (SELECT 1 FROM jobs WHERE state = 'queued' AND due = 0 AND run_at <= $1),
			EXISTS (SELECT 1 FROM lanes WHERE paused_until <= $1) OR EXISTS (SELECT 1 FROM limits WHERE paused_until <= $1),
			EXISTS (SELECT 1 FROM limits WHERE waiting > 0 AND paused_until IS NULL AND running < coalesce(cap, $2)),
			EXISTS (SELECT 1 FROM tenants WHERE open > 0 AND running < coalesce(cap, $3))`, micros(&now), db.caps.Limit, db.caps.Tenant)
}

// ClaimJobs claims round by round: a round takes the lanes whose turn it is, and sets aside those whose first job a limit
// holds up. Each of them is looked at once until the limit has room again.
func (db *DB) ClaimJobs(ctx context.Context, worker string, now, leaseUntil time.Time, n int) (jobs []*job.Job, err error) {
	for len(jobs) < n {
		c := &claiming{worker: worker, now: now, until: leaseUntil, caps: db.caps}
		r, err := db.ripe(ctx, now)
		if err == nil && !r.none() {
			err = db.Write(ctx, func(tx *Tx) error { return c.round(tx, r, n-len(jobs)) })
		}
		switch {
		case err != nil && len(jobs) == 0:
			return nil, at("store.ClaimJobs", err, nil) // what was not committed is not claimed
		case err != nil, !c.moved:
			return jobs, nil
		}
		jobs = append(jobs, c.claimed...)
	}
	return jobs, nil
}

// claiming is one round.
type claiming struct {
	worker     string
	now, until time.Time
	caps       Caps

	turn    int
	claimed []*job.Job
	moved   bool // something is different now, so another round may find more
}

func (c *claiming) round(tx *Tx, r ripe, n int) (err error) {
	c.claimed, c.moved = nil, false // of an act that was undone
	if err := c.wake(tx, r); err != nil {
		return err
	}
	if c.turn, err = One(tx, Value[int], `UPDATE turns SET last = last + 1 RETURNING last`); err != nil {
		return err
	}
	queue, err := c.next(tx, n)
	if err != nil {
		return err
	}
	for _, l := range queue {
		if err := c.claim(tx, l); err != nil || len(c.claimed) == n {
			return err
		}
	}
	return nil
}

// wakeBlocked opens one lane for each limit that has room.
const wakeBlocked = `UPDATE lanes SET blocked_by = NULL WHERE (owner, name) IN (
	SELECT l.owner, l.name FROM (SELECT key FROM limits WHERE waiting > 0 AND paused_until IS NULL AND running < coalesce(cap, $1) LIMIT $2) AS room
	JOIN lanes AS l ON (l.owner, l.name) = (SELECT owner, name FROM lanes WHERE blocked_by = room.key ORDER BY served LIMIT 1))`

// wake opens lanes for which the waiting is over.
func (c *claiming) wake(tx *Tx, r ripe) error {
	for _, step := range []struct {
		wanted bool
		text   string
		args   []any
	}{
		{r.due, `UPDATE jobs SET due = 1 WHERE seq IN (SELECT seq FROM jobs WHERE state = 'queued' AND due = 0 AND run_at <= $1
			ORDER BY run_at LIMIT $2)`, []any{micros(&c.now), perRound}},
		{r.paused, `UPDATE lanes SET paused_until = NULL WHERE paused_until <= $1`, []any{micros(&c.now)}},
		{r.paused, `UPDATE limits SET paused_until = NULL WHERE paused_until <= $1`, []any{micros(&c.now)}},
		{r.wanted || r.paused, wakeBlocked, []any{c.caps.Limit, perRound}},
	} {
		if !step.wanted {
			continue
		}
		n, err := tx.Exec(step.text, step.args...)
		if err != nil {
			return err
		}
		c.moved = c.moved || n > 0
	}
	return nil
}

// lane is an open lane, and how many jobs its owner may start.
type lane struct {
	owner, name string
	room        *int
}

// next returns lanes in the order in which they are served: one of each owner, then a second one of each, and so on.
func (c *claiming) next(tx *Tx, n int) ([]lane, error) {
	owners, err := Many(tx, func(row Row) (l lane, err error) { l.room = new(int); return l, row.Scan(&l.owner, l.room) },
		`SELECT owner, coalesce(cap, $1) - running FROM tenants WHERE open > 0 AND running < coalesce(cap, $1) ORDER BY served LIMIT $2`, c.caps.Tenant, n)
	if err != nil {
		return nil, err
	}
	each := (n + len(owners) - 1) / max(1, len(owners))
	ranks := make([][]lane, each)
	for _, o := range owners {
		names, err := Many(tx, Value[string], `SELECT name FROM lanes WHERE owner = $1 AND open = 1 ORDER BY served LIMIT $2`, o.owner, each)
		if err != nil {
			return nil, err
		}
		for rank, name := range names {
			ranks[rank] = append(ranks[rank], lane{o.owner, name, o.room})
		}
	}
	return slices.Concat(ranks...), nil
}

const (
	firstOfLane = `(SELECT seq FROM jobs WHERE state = 'queued' AND owner = $1 AND lane = $2 AND due = 1 ORDER BY priority DESC LIMIT 1)`
	fullLimit   = `FROM json_each(jobs.limits) AS named JOIN limits ON limits.key = named.value
		WHERE limits.running >= coalesce(limits.cap, $3) OR limits.paused_until > $4`
)

// claim takes the first job of a lane, or lets the lane wait for the limit that holds the job up.
func (c *claiming) claim(tx *Tx, l lane) error {
	if *l.room == 0 {
		return nil
	}
	j, err := One(tx, scanJob, `UPDATE jobs SET state = 'running', epoch = epoch + 1, attempt = attempt + 1, turn = $5, lease_owner = $6, lease_until = $7
		WHERE seq = `+firstOfLane+` AND NOT EXISTS (SELECT 1 `+fullLimit+`) RETURNING `+jobColumns,
		l.owner, l.name, c.caps.Limit, micros(&c.now), c.turn, c.worker, micros(&c.until))
	if err == nil {
		*l.room--
		c.claimed, c.moved = append(c.claimed, j), true
		return nil
	}
	if !fault.Is(err, fault.NotFound) {
		return err
	}
	key, err := One(tx, Value[string], `SELECT (SELECT limits.key `+fullLimit+` LIMIT 1) FROM jobs WHERE seq = `+firstOfLane,
		l.owner, l.name, c.caps.Limit, micros(&c.now))
	if fault.Is(err, fault.NotFound) {
		return fault.New(fault.Internal, "store.ClaimJobs", "lane %s of %s counts jobs that are not there", l.name, l.owner)
	}
	if err != nil {
		return err
	}
	c.moved = true
	return tx.ExecOne(`UPDATE lanes SET blocked_by = $1 WHERE owner = $2 AND name = $3`, key, l.owner, l.name)
}

// restful is how many turns a lane has nothing to do before it is forgotten.
const restful = 1000

// pruneLanes forgets lanes and limits in which nothing happens. It looks for them beside the writer, since it looks at all.
func (db *DB) pruneLanes(ctx context.Context, limit int) error {
	const idle = ` ready = 0 AND later = 0 AND running = 0 AND paused_until IS NULL `
	type name struct{ owner, lane string }
	lanes, err := Many(db.reader(ctx), func(row Row) (n name, err error) { return n, row.Scan(&n.owner, &n.lane) },
		`SELECT owner, name FROM lanes WHERE`+idle+`AND served < (SELECT last FROM turns) - $1 LIMIT $2`, restful, limit)
	if err != nil || len(lanes) == 0 {
		return err
	}
	return db.Write(ctx, func(tx *Tx) error {
		for _, n := range lanes {
			if _, err := tx.Exec(`DELETE FROM lanes WHERE owner = $1 AND name = $2 AND`+idle, n.owner, n.lane); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`DELETE FROM limits WHERE running = 0 AND waiting = 0 AND paused_until IS NULL AND cap IS NULL`)
		return err
	})
}

// pause is the part of an act that lets jobs wait until a time, at least.
func pause(tx *Tx, o account.Owner, lane string, p job.Pause) error {
	if p.Key == "" {
		_, err := tx.Exec(`UPDATE lanes SET paused_until = max(coalesce(paused_until, 0), $1) WHERE owner = $2 AND name = $3`, micros(&p.Until), o, lane)
		return err
	}
	_, err := tx.Exec(`INSERT INTO limits (key, paused_until) VALUES ($1, $2)
		ON CONFLICT (key) DO UPDATE SET paused_until = max(coalesce(paused_until, 0), excluded.paused_until)`, p.Key, micros(&p.Until))
	return err
}

// Caps bound what runs at once, over all hosts on one database.
type Caps struct {
	Tenant int // jobs of one owner; zero is no bound
	Limit  int // jobs that name one limit; zero is no bound
}

func (c Caps) orUnbounded() Caps {
	const unbounded = 1 << 30
	return Caps{Tenant: cmp.Or(c.Tenant, unbounded), Limit: cmp.Or(c.Limit, unbounded)}
}
