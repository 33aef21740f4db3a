package store

import (
	"bytes"
	"context"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/schedule"
)

var _ schedule.Store = (*DB)(nil)

var noSuchSchedule = says{fault.NotFound: "no such schedule"}

const scheduleColumns = `id, owner, integration_id, name, from_manifest, event, rule, data, paused, next_at, held_at, last_at, created_at, updated_at, revision`

func scanSchedule(row Row) (*schedule.Schedule, error) {
	s := new(schedule.Schedule)
	return s, row.Scan(&s.ID, &s.Owner, &s.Integration, &s.Name, &s.FromManifest, &s.Event, asJSON(&s.Rule), rawJSON(&s.Data), &s.Paused,
		micros(&s.NextAt), micros(&s.HeldAt), micros(&s.LastAt), micros(&s.CreatedAt), micros(&s.UpdatedAt), &s.Revision)
}

func scanDue(row Row) (d schedule.Due, err error) {
	d.Schedule, err = scanSchedule(rowWith{row, []any{&d.Status}})
	return d, err
}

// What the loop of the schedules asks again and again. Each finds its rows by an index, however many others there are.
const (
	dueSchedules = `SELECT ` + scheduleColumns + `, (SELECT status FROM integrations WHERE integrations.id = schedules.integration_id)
		FROM schedules WHERE next_at <= $1 ORDER BY next_at LIMIT $2`
	nextTick = `SELECT min(next_at) FROM schedules WHERE next_at IS NOT NULL`
	// unfinishedTicks counts the ticks of a schedule that wait, run or need a decision. Their keys begin alike.
	unfinishedTicks = `SELECT count(*) FROM (SELECT 1 FROM jobs WHERE unique_key > $1 AND unique_key < $2
		AND state IN ('queued', 'running', 'parked') LIMIT $3)`
	unplanned = ` FROM integrations WHERE (status IN ('ENABLED', 'PROCESSING') OR schedules <> '') AND plugin = $1 `
	// unplannedRecords does not say <>, for which no index is used.
	unplannedRecords = `SELECT id, owner` + unplanned + `AND schedules < $2 UNION ALL SELECT id, owner` + unplanned + `AND schedules > $2 LIMIT $3`
)

func (db *DB) DueSchedules(ctx context.Context, now time.Time, limit int) ([]schedule.Due, error) {
	due, err := Many(db.reader(ctx), scanDue, dueSchedules, micros(&now), limit)
	return due, at("store.DueSchedules", err, nil)
}

func (db *DB) NextTick(ctx context.Context) (next time.Time, err error) {
	_, err = One(db.reader(ctx), func(row Row) (any, error) { return nil, row.Scan(micros(&next)) }, nextTick)
	return next, at("store.NextTick", err, nil)
}

func (db *DB) Advance(ctx context.Context, a schedule.Advance) error {
	err := db.Write(ctx, func(tx *Tx) error {
		moved, err := moveSchedule(tx, a)
		if err != nil || moved == 0 {
			return err
		}
		keys := schedule.TickKeys(a.Schedule.ID)
		unfinished, err := One(tx, Value[int], unfinishedTicks, keys, keys+"~", a.Most)
		if err != nil {
			return err
		}
		most := a.Most
		if a.Overlap == abi.OverlapSkip {
			most = 1
		}
		for _, n := range a.Ticks[:max(0, min(len(a.Ticks), most-unfinished))] {
			if _, _, err := enqueue(tx, n); err != nil {
				return err
			}
		}
		return nil
	})
	return at("store.Advance", err, nil)
}

func moveSchedule(tx *Tx, a schedule.Advance) (int, error) {
	s := a.Schedule
	if a.NextAt.IsZero() {
		return tx.Exec(`DELETE FROM schedules WHERE owner = $1 AND id = $2 AND revision = $3`, s.Owner, s.ID, s.Revision)
	}
	return tx.Exec(`UPDATE schedules SET next_at = $1, last_at = $2, revision = revision + 1 WHERE owner = $3 AND id = $4 AND revision = $5`,
		micros(&a.NextAt), micros(&a.LastAt), s.Owner, s.ID, s.Revision)
}

func (db *DB) HoldSchedule(ctx context.Context, d schedule.Due) error {
	err := db.Write(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`UPDATE schedules SET held_at = next_at, next_at = NULL, revision = revision + 1
			WHERE owner = $1 AND id = $2 AND revision = $3
			AND EXISTS (SELECT 1 FROM integrations WHERE id = schedules.integration_id AND status = $4)`, d.Owner, d.ID, d.Revision, d.Status)
		return err
	})
	return at("store.HoldSchedule", err, nil)
}

// releaseSchedules lets what was held while a record did not work go on.
func releaseSchedules(tx *Tx, id integration.ID) error {
	_, err := tx.Exec(`UPDATE schedules SET next_at = held_at, held_at = NULL, revision = revision + 1
		WHERE integration_id = $1 AND held_at IS NOT NULL AND NOT paused`, id)
	return err
}

func (db *DB) PutSchedule(ctx context.Context, s *schedule.Schedule, limit int) error {
	return db.writeOwned(ctx, "store.PutSchedule", s.Owner, s.Integration, func(tx *Tx) error {
		if err := putSchedule(tx, s); err != nil {
			return err
		}
		n, err := One(tx, Value[int], `SELECT count(*) FROM schedules WHERE integration_id = $1 AND NOT from_manifest`, s.Integration)
		if err == nil && n > limit {
			return fault.New(fault.Exhausted, "store.PutSchedule", "this integration has %d schedules already; delete some first", limit).On(fault.Guest)
		}
		return err
	})
}

// putSchedule adds s, or replaces one of the same name. What is the same already stays as it is; what is paused stays paused.
func putSchedule(tx *Tx, s *schedule.Schedule) error {
	old, err := One(tx, scanSchedule, `SELECT `+scheduleColumns+` FROM schedules WHERE integration_id = $1 AND name = $2`, s.Integration, s.Name)
	switch {
	case fault.Is(err, fault.NotFound):
		_, err = tx.Exec(`INSERT INTO schedules (`+scheduleColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
			s.ID, s.Owner, s.Integration, s.Name, s.FromManifest, s.Event, asJSON(&s.Rule), rawJSON(&s.Data), s.Paused,
			micros(&s.NextAt), micros(&s.HeldAt), micros(&s.LastAt), micros(&s.CreatedAt), micros(&s.UpdatedAt), s.Revision)
		return err
	case err != nil:
		return err
	case old.FromManifest == s.FromManifest && old.Event == s.Event && old.Rule == s.Rule && bytes.Equal(old.Data, s.Data):
		return nil
	}
	_, err = tx.Exec(`UPDATE schedules SET from_manifest = $1, event = $2, rule = $3, data = $4, updated_at = $5, revision = revision + 1,
		next_at = CASE WHEN paused THEN NULL ELSE $6 END, held_at = CASE WHEN paused THEN $6 END WHERE id = $7`,
		s.FromManifest, s.Event, asJSON(&s.Rule), rawJSON(&s.Data), micros(&s.UpdatedAt), s.NextAt.UnixMicro(), old.ID)
	return err
}

func (db *DB) DeleteSchedule(ctx context.Context, o account.Owner, id integration.ID, name string) error {
	return db.writeOwned(ctx, "store.DeleteSchedule", o, id, func(tx *Tx) error {
		n, err := tx.Exec(`DELETE FROM schedules WHERE integration_id = $1 AND name = $2 AND NOT from_manifest`, id, name)
		if err != nil || n == 0 {
			return err
		}
		_, err = tx.Exec(`UPDATE integrations SET schedules = $1 WHERE id = $2 AND schedules <> ''`, replan, id)
		return err
	})
}

// replan is the plan of a record that has to be planned again. It is no plan, and not "", which is that of a record without any.
const replan = "-"

func (db *DB) RecordSchedules(ctx context.Context, o account.Owner, id integration.ID) ([]*schedule.Schedule, error) {
	if err := ownedBy(db.reader(ctx), o, id); err != nil {
		return nil, at("store.RecordSchedules", err, noSuchIntegration)
	}
	found, err := Many(db.reader(ctx), scanSchedule, `SELECT `+scheduleColumns+` FROM schedules`+ofRecord+`ORDER BY name`, o, id)
	return found, at("store.RecordSchedules", err, nil)
}

func (db *DB) Schedules(ctx context.Context, o account.Owner, after schedule.ID, limit int) ([]*schedule.Schedule, error) {
	found, err := Many(db.reader(ctx), scanSchedule, `SELECT `+scheduleColumns+` FROM schedules WHERE owner = $1 AND id > $2 ORDER BY id LIMIT $3`,
		o, after, limit)
	return found, at("store.Schedules", err, nil)
}

func (db *DB) PauseSchedule(ctx context.Context, o account.Owner, id schedule.ID, paused bool, now time.Time) (s *schedule.Schedule, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`UPDATE schedules SET paused = $1, updated_at = $2, revision = revision + 1,
			next_at = CASE WHEN $1 THEN NULL ELSE held_at END, held_at = CASE WHEN $1 THEN coalesce(next_at, held_at) END
			WHERE owner = $3 AND id = $4 AND paused <> $1`, paused, micros(&now), o, id)
		if err != nil {
			return err
		}
		s, err = One(tx, scanSchedule, `SELECT `+scheduleColumns+` FROM schedules WHERE owner = $1 AND id = $2`, o, id)
		return err
	})
	return s, at("store.PauseSchedule", err, noSuchSchedule)
}

func (db *DB) UnplannedRecords(ctx context.Context, plugin, plan string, limit int) ([]schedule.Record, error) {
	found, err := Many(db.reader(ctx), func(row Row) (r schedule.Record, err error) { return r, row.Scan(&r.ID, &r.Owner) },
		unplannedRecords, plugin, plan, limit)
	return found, at("store.UnplannedRecords", err, nil)
}

func (db *DB) PlanSchedules(ctx context.Context, r schedule.Record, plan string, schedules []*schedule.Schedule) error {
	return db.writeOwned(ctx, "store.PlanSchedules", r.Owner, r.ID, func(tx *Tx) error {
		names := make([]string, 0, len(schedules))
		for _, s := range schedules {
			names = append(names, s.Name)
			own, err := One(tx, Value[bool], `SELECT EXISTS (SELECT 1 FROM schedules WHERE integration_id = $1 AND name = $2 AND NOT from_manifest)`, r.ID, s.Name)
			if err != nil {
				return err
			}
			if own {
				continue
			}
			if err := putSchedule(tx, s); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`DELETE FROM schedules WHERE integration_id = $1 AND from_manifest AND name NOT IN (SELECT value FROM json_each($2))`, r.ID, asJSON(names))
		if err != nil {
			return err
		}
		return tx.ExecOne(`UPDATE integrations SET schedules = $1 WHERE id = $2`, plan, r.ID)
	})
}
