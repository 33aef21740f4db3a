package store

import (
	"context"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/integration"
)

func scanHookSecret(row Row) (s integration.HookSecret, err error) {
	return s, row.Scan(&s.ID, &s.Webhook, &s.Origin, &s.Sealed, micros(&s.CreatedAt))
}

func (db *DB) WebhookSecrets(ctx context.Context, o account.Owner, id integration.ID, webhook string) ([]integration.HookSecret, error) {
	found, err := Many(db.reader(ctx), scanHookSecret, `SELECT id, webhook, origin, secret, created_at FROM integration_webhooks`+ofRecord+
		`AND webhook = $3 ORDER BY id DESC`, o, id, webhook)
	return found, at("store.WebhookSecrets", err, nil)
}

func (db *DB) KeepWebhookSecret(ctx context.Context, o account.Owner, id integration.ID, one integration.HookSecret, keep int) error {
	return db.writeOwned(ctx, "store.KeepWebhookSecret", o, id, func(tx *Tx) error {
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
	})
}

// forgetDelivery lets an event be taken again whose like came before its window.
func forgetDelivery(tx *Tx, e *integration.Event) error {
	if e.DedupeSince.IsZero() {
		return nil
	}
	_, err := tx.Exec(`UPDATE events SET dedupe = id WHERE integration_id = $1 AND webhook = $2 AND dedupe = $3 AND received_at < $4`,
		e.Integration, e.Webhook, e.Dedupe, micros(&e.DedupeSince))
	return err
}
