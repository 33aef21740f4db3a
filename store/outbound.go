package store

import (
	"context"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/event"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/outbound"
)

var _ outbound.Store = (*DB)(nil)

var (
	noSuchEndpoint = says{fault.NotFound: "no such webhook endpoint"}
	noSuchDelivery = says{fault.NotFound: "no such delivery"}
)

const endpointColumns = `e.id, e.owner, e.url, e.description, e.events, e.secret, e.secret_no, e.old_secret, e.old_until, e.state, e.reason,
	e.from_seq, e.failing_since, e.failures, e.created_at, e.updated_at`

func endpointFields(e *outbound.Endpoint) []any {
	return []any{
		&e.ID, &e.Owner, &e.URL, &e.Description, asJSON(&e.Events), &e.Secret, &e.SecretNo, optional(&e.OldSecret), micros(&e.OldUntil), &e.State,
		optional(&e.Reason), &e.From, micros(&e.FailingSince), &e.Failures, micros(&e.CreatedAt), micros(&e.UpdatedAt),
	}
}

func scanEndpoint(row Row) (*outbound.Endpoint, error) {
	e := new(outbound.Endpoint)
	return e, row.Scan(endpointFields(e)...)
}

const selectEndpoint = `SELECT ` + endpointColumns + ` FROM webhook_endpoints e `

// newestFact survives that facts are removed.
const newestFact = `SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'facts'), 0)`

func (db *DB) CreateEndpoint(ctx context.Context, e *outbound.Endpoint, max int) error {
	err := db.Write(ctx, func(tx *Tx) error {
		n, err := One(tx, Value[int], `SELECT count(*) FROM webhook_endpoints WHERE owner = $1`, e.Owner)
		if err != nil {
			return err
		}
		if n >= max {
			return fault.New(fault.Conflict, "store.CreateEndpoint", "there are %d webhook endpoints already; remove one first", n)
		}
		if e.From, err = One(tx, Value[int64], newestFact); err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO webhook_endpoints (`+strings.ReplaceAll(endpointColumns, "e.", "")+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`, endpointFields(e)...)
		return err
	})
	return at("store.CreateEndpoint", err, nil)
}

func (db *DB) EndpointByID(ctx context.Context, o account.Owner, id outbound.EndpointID) (*outbound.Endpoint, error) {
	e, err := One(db.reader(ctx), scanEndpoint, selectEndpoint+`WHERE e.owner = $1 AND e.id = $2`, o, id)
	return e, at("store.EndpointByID", err, noSuchEndpoint)
}

func (db *DB) Endpoints(ctx context.Context, o account.Owner) ([]*outbound.Endpoint, error) {
	return db.EndpointsOf(ctx, []account.Owner{o})
}

func (db *DB) EndpointsOf(ctx context.Context, owners []account.Owner) ([]*outbound.Endpoint, error) {
	list, err := Many(db.reader(ctx), scanEndpoint, selectEndpoint+`WHERE e.owner IN (SELECT value FROM json_each($1)) ORDER BY e.id`, asJSON(owners))
	return list, at("store.EndpointsOf", err, nil)
}

func (db *DB) ChangeEndpoint(ctx context.Context, o account.Owner, id outbound.EndpointID, change func(e *outbound.Endpoint, newest int64) error) (e *outbound.Endpoint, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		if e, err = One(tx, scanEndpoint, selectEndpoint+`WHERE e.owner = $1 AND e.id = $2`, o, id); err != nil {
			return err
		}
		newest, err := One(tx, Value[int64], newestFact)
		if err != nil {
			return err
		}
		if err := change(e, newest); err != nil {
			return err
		}
		return tx.ExecOne(`UPDATE webhook_endpoints SET url = $3, description = $4, events = $5, secret = $6, secret_no = $7, old_secret = $8, old_until = $9,
			state = $10, reason = $11, from_seq = $12, failing_since = $13, failures = $14, created_at = $15, updated_at = $16
			WHERE id = $1 AND owner = $2`, endpointFields(e)...)
	})
	if err != nil {
		return nil, at("store.ChangeEndpoint", err, noSuchEndpoint)
	}
	return e, nil
}

func (db *DB) RemoveEndpoint(ctx context.Context, o account.Owner, id outbound.EndpointID) error {
	err := db.Write(ctx, func(tx *Tx) error {
		return tx.ExecOne(`DELETE FROM webhook_endpoints WHERE owner = $1 AND id = $2`, o, id)
	})
	return at("store.RemoveEndpoint", err, noSuchEndpoint)
}

func (db *DB) Dispatched(ctx context.Context) (int64, error) {
	seq, err := One(db.reader(ctx), Value[int64], `SELECT seq FROM webhook_cursor`)
	return seq, at("store.Dispatched", err, nil)
}

func (db *DB) FactsBehind(ctx context.Context, after int64, limit int) ([]*event.Fact, error) {
	facts, err := Many(db.reader(ctx), scanFact, `SELECT `+factColumns+` FROM facts f WHERE f.seq > $1 ORDER BY f.seq LIMIT $2`, after, limit)
	return facts, at("store.FactsBehind", err, nil)
}

func (db *DB) Dispatch(ctx context.Context, upTo int64, deliveries []outbound.NewDelivery) error {
	err := db.Write(ctx, func(tx *Tx) error {
		for _, d := range deliveries {
			if err := dispatch(tx, d); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`UPDATE webhook_cursor SET seq = max(seq, $1)`, upTo)
		return err
	})
	return at("store.Dispatch", err, nil)
}

func dispatch(tx *Tx, d outbound.NewDelivery) error {
	state := outbound.Waiting
	if d.Job == nil {
		state = outbound.Held
	}
	n, err := tx.Exec(`INSERT INTO webhook_deliveries (id, endpoint_id, fact_seq, state, created_at, updated_at)
		SELECT $1, e.id, f.seq, $2, $3, $3 FROM webhook_endpoints e JOIN facts f ON f.seq = $4 WHERE e.id = $5 AND e.owner = $6
		ON CONFLICT (endpoint_id, fact_seq) DO NOTHING`, d.ID, state, micros(&d.At), d.Fact, d.Endpoint, d.Owner)
	if err != nil || n == 0 || d.Job == nil {
		return err
	}
	_, _, err = enqueue(tx, *d.Job)
	return err
}

const (
	deliveryColumns = `d.id, e.owner, d.endpoint_id, d.state, d.attempt, d.next_at, d.status, d.error, d.created_at, d.updated_at, ` + factColumns
	fromDeliveries  = ` FROM webhook_deliveries d JOIN webhook_endpoints e ON e.id = d.endpoint_id JOIN facts f ON f.seq = d.fact_seq `
)

func deliveryFields(d *outbound.Delivery) []any {
	d.Fact = new(event.Fact)
	return append([]any{
		&d.ID, &d.Owner, &d.Endpoint, &d.Progress, &d.Attempt, micros(&d.NextAt), &d.Status, optional(&d.Error), micros(&d.CreatedAt), micros(&d.UpdatedAt),
	}, factFields(d.Fact)...)
}

func scanDelivery(row Row) (*outbound.Delivery, error) {
	d := new(outbound.Delivery)
	return d, row.Scan(deliveryFields(d)...)
}

func (db *DB) HeldDeliveries(ctx context.Context, limit int) ([]*outbound.Delivery, error) {
	held, err := Many(db.reader(ctx), scanDelivery, `SELECT `+deliveryColumns+fromDeliveries+`WHERE d.state = 'held' AND e.state = 'enabled' ORDER BY d.id LIMIT $1`, limit)
	return held, at("store.HeldDeliveries", err, nil)
}

func (db *DB) ReleaseDelivery(ctx context.Context, o account.Owner, id outbound.DeliveryID, then job.New) error {
	err := db.Write(ctx, func(tx *Tx) error {
		state, err := One(tx, Value[outbound.Progress], `SELECT d.state`+fromDeliveries+`WHERE e.owner = $1 AND d.id = $2 AND d.endpoint_id = $3`, o, id, then.Lane)
		if err != nil {
			return err
		}
		if state == outbound.Waiting {
			return fault.New(fault.Conflict, "store.ReleaseDelivery", "this delivery waits for its next try already")
		}
		if err := tx.ExecOne(`UPDATE webhook_deliveries SET state = 'waiting', attempt = 0, next_at = NULL, updated_at = $1 WHERE id = $2`, micros(&then.CreatedAt), id); err != nil {
			return err
		}
		_, _, err = enqueue(tx, then)
		return err
	})
	return at("store.ReleaseDelivery", err, noSuchDelivery)
}

func (db *DB) DeliveryToSend(ctx context.Context, o account.Owner, id outbound.DeliveryID) (*outbound.Delivery, *outbound.Endpoint, outbound.Names, error) {
	d, e, names := new(outbound.Delivery), new(outbound.Endpoint), outbound.Names{}
	_, err := One(db.reader(ctx), func(row Row) (any, error) {
		fields := append(deliveryFields(d), endpointFields(e)...)
		return nil, row.Scan(append(fields, optional(&names.AppUserID), optional(&names.AppOrgID))...)
	}, `SELECT `+deliveryColumns+`, `+endpointColumns+`, u.app_user_id, u.app_org_id`+fromDeliveries+
		`LEFT JOIN users u ON u.id = f.owner WHERE e.owner = $1 AND d.id = $2`, o, id)
	return d, e, names, at("store.DeliveryToSend", err, noSuchDelivery)
}

func (db *DB) Deliveries(ctx context.Context, o account.Owner, id outbound.EndpointID, states []outbound.Progress, before outbound.DeliveryID, limit int) ([]*outbound.Delivery, error) {
	list, err := Many(db.reader(ctx), scanDelivery, `SELECT `+deliveryColumns+fromDeliveries+`WHERE e.owner = $1 AND d.endpoint_id = $2
		AND d.state IN (SELECT value FROM json_each($3)) AND ($4 = '' OR d.id < $4) ORDER BY d.id DESC LIMIT $5`, o, id, asJSON(states), before, limit)
	return list, at("store.Deliveries", err, nil)
}

func (db *DB) ForgetOldSecrets(ctx context.Context, now time.Time) error {
	err := db.Write(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`UPDATE webhook_endpoints SET old_secret = NULL, old_until = NULL WHERE old_until <= $1`, micros(&now))
		return err
	})
	return at("store.ForgetOldSecrets", err, nil)
}

// settleDelivery writes down what a try was: on the delivery, on its endpoint and, when that is disabled by it, as a fact.
func settleDelivery(tx *Tx, s *outbound.Settled, now time.Time) error {
	_, err := tx.Exec(`UPDATE webhook_deliveries SET state = $1, attempt = $2, next_at = $3, status = $4, error = $5, updated_at = $6
		WHERE id = $7 AND endpoint_id = $8 AND state = 'waiting'`,
		s.Progress, s.Attempt, micros(&s.NextAt), s.Status, optional(&s.Error), micros(&now), s.Delivery, s.Endpoint)
	switch {
	case err != nil || s.Untried:
		return err
	case s.OK:
		_, err = tx.Exec(`UPDATE webhook_endpoints SET failing_since = NULL, failures = 0
			WHERE owner = $1 AND id = $2 AND failing_since IS NOT NULL`, s.Owner, s.Endpoint)
		return err
	}
	_, err = tx.Exec(`UPDATE webhook_endpoints SET failing_since = coalesce(failing_since, $1), failures = failures + 1
		WHERE owner = $2 AND id = $3`, micros(&now), s.Owner, s.Endpoint)
	if err != nil || s.Disable == "" {
		return err
	}
	n, err := tx.Exec(`UPDATE webhook_endpoints SET state = $1, reason = $2, updated_at = $3 WHERE owner = $4 AND id = $5 AND state = 'enabled'`,
		s.Disable, s.Reason, micros(&now), s.Owner, s.Endpoint)
	if err != nil || n == 0 {
		return err
	}
	return tell(tx, event.New(s.Owner, event.EndpointDisabled, string(s.Endpoint), event.Endpoint{ID: string(s.Endpoint), Reason: s.Reason}, now))
}
