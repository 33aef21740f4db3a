package store

import (
	"context"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/event"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
)

var noSuchEvent = says{fault.NotFound: "no such event"}

func scanHookSecret(row Row) (s integration.HookSecret, err error) {
	return s, row.Scan(&s.ID, &s.Webhook, &s.Origin, &s.Sealed, micros(&s.CreatedAt))
}

func (db *DB) WebhookSecrets(ctx context.Context, o account.Owner, id integration.ID, webhook string) ([]integration.HookSecret, error) {
	found, err := Many(db.reader(ctx), scanHookSecret, `SELECT id, webhook, origin, secret, created_at FROM integration_webhooks`+ofRecord+
		`AND webhook = $3 ORDER BY id DESC`, o, id, webhook)
	return found, at("store.WebhookSecrets", err, nil)
}

func (db *DB) KeepWebhookSecret(ctx context.Context, o account.Owner, id integration.ID, one integration.HookSecret, keep int) error {
	return db.writeOwned(ctx, "store.KeepWebhookSecret", o, id, func(tx *Tx) error { return keepHookSecret(tx, id, one, keep) })
}

func keepHookSecret(tx *Tx, id integration.ID, one integration.HookSecret, keep int) error {
	_, err := tx.Exec(`INSERT INTO integration_webhooks (id, integration_id, webhook, origin, secret, created_at) SELECT $1, $2, $3, $4, $5, $6
		WHERE $7 > 0 OR NOT EXISTS (SELECT 1 FROM integration_webhooks WHERE integration_id = $2 AND webhook = $3 AND origin = $4)`,
		one.ID, id, one.Webhook, one.Origin, one.Sealed, micros(&one.CreatedAt), keep)
	if err != nil || keep == 0 {
		return err
	}
	_, err = tx.Exec(`DELETE FROM integration_webhooks WHERE integration_id = $1 AND webhook = $2 AND origin = $3 AND id <= (
		SELECT id FROM integration_webhooks WHERE integration_id = $1 AND webhook = $2 AND origin = $3 ORDER BY id DESC LIMIT 1 OFFSET $4)`,
		id, one.Webhook, one.Origin, keep)
	return err
}

// forget lets an event be taken again whose like came before its window. text is an UPDATE of one table of events.
func forget(tx *Tx, text string, since time.Time, of ...any) error {
	if since.IsZero() {
		return nil
	}
	_, err := tx.Exec(text, append(of, micros(&since))...)
	return err
}

func (db *DB) ReceiveEvent(ctx context.Context, e *integration.Event, then job.New, maxWaiting int) (existed bool, err error) {
	data, err := asJSON(e.Data).Value()
	if err != nil {
		return false, err
	}
	err = db.Write(ctx, func(tx *Tx) error {
		err := forget(tx, `UPDATE events SET dedupe = id WHERE integration_id = $1 AND webhook = $2 AND dedupe = $3 AND received_at < $4`,
			e.DedupeSince, e.Integration, e.Webhook, e.Dedupe)
		if err != nil {
			return err
		}
		n, err := tx.Exec(`INSERT INTO events (id, integration_id, owner, webhook, dedupe, event, bytes, data, received_at, job_id)
			SELECT $1, id, owner, $2, $3, $4, $5, $6, $7, $8 FROM integrations WHERE owner = $9 AND id = $10
			ON CONFLICT (integration_id, webhook, dedupe) DO NOTHING`,
			e.ID, e.Webhook, e.Dedupe, optional(&e.Data.Event), len(data.(string)), data, micros(&e.ReceivedAt), then.ID, e.Owner, e.Integration)
		if err != nil {
			return err
		}
		if existed = n == 0; existed {
			return ownedBy(tx, e.Owner, e.Integration)
		}
		waiting, err := waitingIn(tx, then.Owner, then.Lane)
		if err != nil {
			return err
		}
		if waiting >= maxWaiting {
			full := fault.New(fault.RateLimited, "store.ReceiveEvent", "%d events of this integration wait to be worked off; send this one again later", waiting)
			full.RetryAfter = time.Minute
			return full
		}
		if _, _, err = enqueue(tx, then); err != nil {
			return err
		}
		return tellReceived(tx, e.Owner, event.Webhook{IntegrationID: string(e.Integration), Webhook: e.Webhook, EventID: string(e.ID), Event: e.Data.Event}, e.ReceivedAt)
	})
	return existed, at("store.ReceiveEvent", err, noSuchIntegration)
}

// waitingIn counts the jobs that wait in a lane.
func waitingIn(tx *Tx, o account.Owner, lane string) (int, error) {
	return One(tx, Value[int], `SELECT coalesce(max(ready + later), 0) FROM lanes WHERE owner = $1 AND name = $2`, o, lane)
}

func scanAccountUser(row Row) (u integration.User, err error) {
	return u, row.Scan(&u.Integration, &u.Owner, &u.Status, &u.Entity)
}

func (db *DB) AccountUsers(ctx context.Context, module, account, plugin, role string, after integration.ID, limit int) ([]integration.User, error) {
	found, err := Many(db.reader(ctx), scanAccountUser, `SELECT i.id, i.owner, i.status, e.id FROM entities AS e JOIN integration_members AS m ON m.entity_id = e.id
		JOIN integrations AS i ON i.id = m.integration_id AND i.owner = e.owner
		WHERE e.module = $1 AND e.external_id = $2 AND i.plugin = $3 AND m.role = $4 AND i.id > $5 ORDER BY i.id LIMIT $6`,
		module, account, plugin, role, after, limit)
	return found, at("store.AccountUsers", err, nil)
}

func (db *DB) ReceiveAppEvent(ctx context.Context, e *integration.AppEvent, copies []integration.Copy, maxWaiting, keep int) (existed bool, err error) {
	data, err := asJSON(e.Data).Value()
	if err != nil {
		return false, err
	}
	id := e.ID
	err = db.Write(ctx, func(tx *Tx) error {
		var err error
		if id, existed, err = putAppEvent(tx, e, data.(string)); err != nil || existed {
			return err
		}
		for _, c := range copies {
			if err := copyEvent(tx, id, e, c, len(data.(string)), maxWaiting); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(`UPDATE app_events SET state = $1 WHERE id = $2`, e.State, id); err != nil {
			return err
		}
		if e.State != integration.Unrouted && e.State != integration.Ambiguous {
			return nil
		}
		_, err = tx.Exec(`DELETE FROM app_events WHERE plugin = $1 AND state = $2 AND id <= (
			SELECT id FROM app_events WHERE plugin = $1 AND state = $2 ORDER BY id DESC LIMIT 1 OFFSET $3)
			AND NOT EXISTS (SELECT 1 FROM events WHERE app_event = app_events.id)`, e.Plugin, e.State, keep)
		return err
	})
	if err == nil {
		e.ID = id
	}
	return existed, at("store.ReceiveAppEvent", err, nil)
}

// putAppEvent saves e or finds the one that is there, and reports whether that was routed.
func putAppEvent(tx *Tx, e *integration.AppEvent, data string) (id integration.EventID, routed bool, err error) {
	err = forget(tx, `UPDATE app_events SET dedupe = id WHERE plugin = $1 AND webhook = $2 AND dedupe = $3 AND received_at < $4`,
		e.DedupeSince, e.Plugin, e.Webhook, e.Dedupe)
	if err != nil {
		return "", false, err
	}
	n, err := tx.Exec(`INSERT INTO app_events (id, plugin, webhook, account, dedupe, state, data, received_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT DO NOTHING`, e.ID, e.Plugin, e.Webhook, e.Account, e.Dedupe, e.State, data, micros(&e.ReceivedAt))
	if err != nil || n == 1 {
		return e.ID, false, err
	}
	was, err := One(tx, scanAppEvent, `SELECT `+appEventColumns+` FROM app_events WHERE plugin = $1 AND webhook = $2 AND dedupe = $3`, e.Plugin, e.Webhook, e.Dedupe)
	if err != nil {
		return "", false, err
	}
	return was.ID, was.State == integration.Routed, nil
}

// copyEvent gives an event of an application to a record, once. A record that is gone gets none.
func copyEvent(tx *Tx, id integration.EventID, e *integration.AppEvent, c integration.Copy, bytes, maxWaiting int) error {
	waiting, err := waitingIn(tx, c.Then.Owner, c.Then.Lane)
	if err != nil {
		return err
	}
	jid := c.Then.ID
	if waiting >= maxWaiting {
		jid = ""
	}
	n, err := tx.Exec(`INSERT INTO events (id, integration_id, owner, webhook, dedupe, event, bytes, app_event, received_at, job_id)
		SELECT $1, id, owner, $2, $3, $4, $5, $3, $6, $7 FROM integrations WHERE owner = $8 AND id = $9
		ON CONFLICT (integration_id, webhook, dedupe) DO NOTHING`,
		c.Event, e.Webhook, id, optional(&e.Data.Event), bytes, micros(&e.ReceivedAt), optional(&jid), c.Owner, c.Integration)
	if err != nil || n == 0 {
		return err
	}
	if jid != "" {
		if _, _, err := enqueue(tx, c.Then); err != nil {
			return err
		}
	}
	return tellReceived(tx, c.Owner, event.Webhook{IntegrationID: string(c.Integration), Webhook: e.Webhook, EventID: string(c.Event), Event: e.Data.Event}, e.ReceivedAt)
}

const appEventColumns = `id, plugin, webhook, account, dedupe, state, received_at`

func scanAppEvent(row Row) (*integration.AppEvent, error) {
	e := new(integration.AppEvent)
	return e, row.Scan(&e.ID, &e.Plugin, &e.Webhook, &e.Account, &e.Dedupe, &e.State, micros(&e.ReceivedAt))
}

func (db *DB) AppEventByID(ctx context.Context, id integration.EventID) (*integration.AppEvent, error) {
	e, err := One(db.reader(ctx), func(row Row) (*integration.AppEvent, error) {
		e := new(integration.AppEvent)
		return e, row.Scan(&e.ID, &e.Plugin, &e.Webhook, &e.Account, &e.Dedupe, &e.State, micros(&e.ReceivedAt), asJSON(&e.Data))
	}, `SELECT `+appEventColumns+`, data FROM app_events WHERE id = $1`, id)
	return e, at("store.AppEventByID", err, noSuchEvent)
}

func (db *DB) AppEvents(ctx context.Context, states []integration.AppEventState, before integration.EventID, limit int) ([]*integration.AppEvent, error) {
	found, err := Many(db.reader(ctx), scanAppEvent, `SELECT `+appEventColumns+` FROM app_events
		WHERE state IN (SELECT value FROM json_each($1)) AND ($2 = '' OR id < $2) ORDER BY id DESC LIMIT $3`, asJSON(states), before, limit)
	return found, at("store.AppEvents", err, nil)
}

func (db *DB) EventByID(ctx context.Context, o account.Owner, id integration.EventID) (*integration.Event, error) {
	e := new(integration.Event)
	_, err := One(db.reader(ctx), func(row Row) (any, error) {
		return nil, row.Scan(&e.ID, &e.Integration, &e.Owner, &e.Webhook, &e.Dedupe, asJSON(&e.Data), micros(&e.ReceivedAt))
	}, `SELECT e.id, e.integration_id, e.owner, e.webhook, e.dedupe, coalesce(e.data, a.data), e.received_at
		FROM events AS e LEFT JOIN app_events AS a ON a.id = e.app_event WHERE e.owner = $1 AND e.id = $2`, o, id)
	return e, at("store.EventByID", err, noSuchEvent)
}

// receipts are the columns of an integration.Receipt; what a redelivery is known by is the vendor's id unless the host made it.
const receipts = `SELECT e.id, e.integration_id, e.webhook, e.event, e.bytes, e.received_at, e.job_id, e.app_event IS NOT NULL,
	CASE WHEN e.job_id IS NULL THEN 'held' ELSE coalesce(j.state, 'done') END AS state,
	CASE WHEN coalesce(a.dedupe, e.dedupe) IN (e.id, a.id) OR coalesce(a.dedupe, e.dedupe) LIKE 'body:%' THEN NULL ELSE coalesce(a.dedupe, e.dedupe) END
	FROM events AS e LEFT JOIN app_events AS a ON a.id = e.app_event LEFT JOIN jobs AS j ON j.id = e.job_id `

func scanReceipt(row Row) (*integration.Receipt, error) {
	r := new(integration.Receipt)
	return r, row.Scan(&r.ID, &r.Integration, &r.Webhook, optional(&r.Event), &r.Bytes, micros(&r.ReceivedAt), optional(&r.Job), &r.Application,
		&r.State, optional(&r.Delivery))
}

func (db *DB) Receipts(ctx context.Context, o account.Owner, f integration.ReceiptFilter, limit int) ([]*integration.Receipt, error) {
	found, err := Many(db.reader(ctx), scanReceipt, receipts+`WHERE e.owner = $1 AND ($2 = '' OR e.integration_id = $2) AND ($3 = '' OR e.webhook = $3)
		AND ($4 = '' OR CASE WHEN e.job_id IS NULL THEN 'held' ELSE coalesce(j.state, 'done') END = $4)
		AND ($5 = '' OR e.id < $5) ORDER BY e.id DESC LIMIT $6`, o, f.Integration, f.Webhook, f.State, f.Before, limit)
	return found, at("store.Receipts", err, nil)
}

func (db *DB) ReceiptByID(ctx context.Context, o account.Owner, id integration.EventID) (*integration.Receipt, error) {
	r, err := One(db.reader(ctx), scanReceipt, receipts+`WHERE e.owner = $1 AND e.id = $2`, o, id)
	return r, at("store.ReceiptByID", err, noSuchEvent)
}

func (db *DB) ReplayEvent(ctx context.Context, o account.Owner, id integration.EventID, then job.New) error {
	err := db.Write(ctx, func(tx *Tx) error {
		r, err := One(tx, scanReceipt, receipts+`WHERE e.owner = $1 AND e.id = $2`, o, id)
		if err != nil {
			return err
		}
		switch r.State {
		case integration.Held, job.Done, job.Halted, job.Dead, job.Canceled:
		default:
			return fault.New(fault.Conflict, "store.ReplayEvent", "the event is being worked off by job %s, which is %s", r.Job, r.State)
		}
		if err := tx.ExecOne(`UPDATE events SET job_id = $1 WHERE owner = $2 AND id = $3`, then.ID, o, id); err != nil {
			return err
		}
		_, _, err = enqueue(tx, then)
		return err
	})
	return at("store.ReplayEvent", err, noSuchEvent)
}

func (db *DB) PruneEvents(ctx context.Context, before time.Time, limit int) (n int, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		n, err = tx.Exec(`DELETE FROM events WHERE id IN (SELECT id FROM events WHERE received_at < $1
			AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = events.job_id AND jobs.state <> 'done')
			ORDER BY received_at LIMIT $2)`, micros(&before), limit)
		if err != nil {
			return err
		}
		_, err = tx.Exec(`DELETE FROM app_events WHERE id IN (SELECT id FROM app_events WHERE received_at < $1
			AND NOT EXISTS (SELECT 1 FROM events WHERE app_event = app_events.id) ORDER BY received_at LIMIT $2)`, micros(&before), limit)
		return err
	})
	return n, at("store.PruneEvents", err, nil)
}
