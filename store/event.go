package store

import (
	"context"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/event"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/outbound"
)

var _ event.Store = (*DB)(nil)

// tell is the part of an act that writes down what it did.
func tell(tx *Tx, f *event.Fact) error {
	tx.told = true
	_, err := tx.Exec(`INSERT INTO facts (id, owner, name, subject, data, at) VALUES ($1, $2, $3, $4, $5, $6)`,
		f.ID, f.Owner, f.Name, f.Subject, rawJSON(&f.Data), micros(&f.At))
	return err
}

const factColumns = `f.seq, f.id, f.owner, f.name, f.subject, f.data, f.at`

func factFields(f *event.Fact) []any {
	return []any{&f.Seq, &f.ID, &f.Owner, &f.Name, &f.Subject, rawJSON(&f.Data), micros(&f.At)}
}

func scanFact(row Row) (*event.Fact, error) {
	f := new(event.Fact)
	return f, row.Scan(factFields(f)...)
}

func (db *DB) FactsAfter(ctx context.Context, o account.Owner, after int64, limit int) ([]*event.Fact, error) {
	facts, err := Many(db.reader(ctx), scanFact, `SELECT `+factColumns+` FROM facts f WHERE f.owner = $1 AND f.seq > $2 ORDER BY f.seq LIMIT $3`, o, after, limit)
	return facts, at("store.FactsAfter", err, nil)
}

func (db *DB) NewFacts() <-chan struct{} { return db.writer.facts.Next() }

func (db *DB) PruneFacts(ctx context.Context, before time.Time, limit int) (n int, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		n, err = tx.Exec(`DELETE FROM facts WHERE seq IN (SELECT seq FROM facts WHERE seq <= (SELECT seq FROM webhook_cursor) ORDER BY seq LIMIT $2)
			AND at < $1`, micros(&before), limit)
		return err
	})
	return n, at("store.PruneFacts", err, nil)
}

func (db *DB) Notify(ctx context.Context, f *event.Fact, once string, max int, since time.Time) error {
	return db.writeOwned(ctx, "store.Notify", f.Owner, integration.ID(f.Subject), func(tx *Tx) error {
		n, err := tx.Exec(`INSERT INTO facts (id, owner, name, subject, data, once, at) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (once) WHERE once IS NOT NULL DO NOTHING`, f.ID, f.Owner, f.Name, f.Subject, rawJSON(&f.Data), once, micros(&f.At))
		if err != nil || n == 0 {
			return err
		}
		tx.told = true
		told, err := One(tx, Value[int], `SELECT count(*) FROM (SELECT 1 FROM facts WHERE subject = $1 AND once IS NOT NULL AND at > $2 LIMIT $3)`,
			f.Subject, micros(&since), max+1)
		if err == nil && told > max {
			many := fault.New(fault.RateLimited, "store.Notify", "this integration told more than %d things within an hour; go on later", max).On(fault.Guest)
			many.RetryAfter = 10 * time.Minute
			return many
		}
		return err
	})
}

// tellStatus writes down that a record came from another status into its own.
func tellStatus(tx *Tx, in *integration.Integration, was abi.Status, now time.Time) error {
	name, ok := integration.FactOf(was, in.Status)
	if !ok {
		return nil
	}
	return tell(tx, integration.NewFact(in, name, now))
}

func tellReceived(tx *Tx, o account.Owner, w event.Webhook, at time.Time) error {
	return tell(tx, event.New(o, event.WebhookReceived, w.IntegrationID, w, at))
}

// tellAccounts writes down what became of the accounts behind a credential.
func tellAccounts(tx *Tx, name event.Name, c *connection.Credential, now time.Time) error {
	entities, err := Many(tx, scanEntity, selectEntity+`WHERE e.credential_id = $1 AND e.owner = $2 ORDER BY e.id LIMIT $3`, c.ID, c.Owner, maxEntities)
	if err != nil {
		return err
	}
	for _, e := range entities {
		if err := tellAccount(tx, name, e, now); err != nil {
			return err
		}
	}
	return nil
}

func tellAccount(tx *Tx, name event.Name, e *connection.Entity, now time.Time) error {
	data := event.Connection{EntityID: string(e.ID), CredentialID: string(e.Credential), Module: e.Module}
	return tell(tx, event.New(e.Owner, name, string(e.ID), data, now))
}

var endOfJob = map[job.State]event.Name{job.Halted: event.JobHalted, job.Dead: event.JobDead, job.Parked: event.JobParked}

// tellJob writes down that a job ended badly or waits for a person. Nothing is told of the telling itself: that would not end.
func tellJob(tx *Tx, id job.ID, s job.Settlement, now time.Time) error {
	name, ok := endOfJob[s.State]
	if !ok {
		return nil
	}
	j, err := One(tx, scanJob, `SELECT `+jobColumns+` FROM jobs WHERE id = $1`, id)
	if err != nil || j.Kind == outbound.JobDeliver {
		return err
	}
	data := event.Job{ID: string(id), Kind: j.Kind, Lane: j.Lane, Attempt: j.Attempt, Error: s.Error}
	return tell(tx, event.New(j.Owner, name, string(id), data, now))
}
