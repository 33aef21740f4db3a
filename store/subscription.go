package store

import (
	"context"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
)

const subscriptionColumns = `s.integration_id, i.owner, s.webhook, s.state, s.vendor_id, s.token, s.pending, s.previous, s.expires_at, s.due_at, s.problem, s.updated_at
	FROM webhook_subscriptions AS s JOIN integrations AS i ON i.id = s.integration_id WHERE i.owner = $1 AND i.id = $2`

func scanSubscription(row Row) (*integration.HookSubscription, error) {
	s := new(integration.HookSubscription)
	return s, row.Scan(&s.Integration, &s.Owner, &s.Webhook, &s.State, optional(&s.VendorID), optional(&s.Token), optional(&s.Pending), optional(&s.Previous),
		micros(&s.ExpiresAt), micros(&s.DueAt), optional(&s.Problem), micros(&s.UpdatedAt))
}

func (db *DB) SubscriptionOf(ctx context.Context, o account.Owner, id integration.ID, webhook string) (*integration.HookSubscription, error) {
	s, err := One(db.reader(ctx), scanSubscription, `SELECT `+subscriptionColumns+` AND s.webhook = $3`, o, id, webhook)
	return s, at("store.SubscriptionOf", err, says{fault.NotFound: "there is no subscription"})
}

func (db *DB) SubscriptionsOf(ctx context.Context, o account.Owner, id integration.ID) ([]*integration.HookSubscription, error) {
	found, err := Many(db.reader(ctx), scanSubscription, `SELECT `+subscriptionColumns+` ORDER BY s.webhook`, o, id)
	return found, at("store.SubscriptionsOf", err, nil)
}

func (db *DB) PutSubscription(ctx context.Context, s *integration.HookSubscription) error {
	return db.writeOwned(ctx, "store.PutSubscription", s.Owner, s.Integration, func(tx *Tx) error { return putSubscription(tx, s) })
}

func putSubscription(tx *Tx, s *integration.HookSubscription) error {
	_, err := tx.Exec(`INSERT INTO webhook_subscriptions (integration_id, webhook, state, vendor_id, token, pending, previous, expires_at, due_at, problem, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (integration_id, webhook) DO UPDATE SET state = excluded.state, vendor_id = excluded.vendor_id, token = excluded.token,
		pending = excluded.pending, previous = excluded.previous, expires_at = excluded.expires_at, due_at = excluded.due_at,
		problem = excluded.problem, updated_at = excluded.updated_at`,
		s.Integration, s.Webhook, s.State, optional(&s.VendorID), optional(&s.Token), optional(&s.Pending), optional(&s.Previous),
		micros(&s.ExpiresAt), micros(&s.DueAt), optional(&s.Problem), micros(&s.UpdatedAt))
	return err
}

func (db *DB) DropSubscription(ctx context.Context, o account.Owner, id integration.ID, webhook string) error {
	return db.writeOwned(ctx, "store.DropSubscription", o, id, func(tx *Tx) error {
		_, err := tx.Exec(`DELETE FROM webhook_subscriptions WHERE integration_id = $1 AND webhook = $2`, id, webhook)
		return err
	})
}

func (db *DB) Unsubscribed(ctx context.Context, plugin, role, webhook string, now time.Time, limit int) ([]integration.User, error) {
	found, err := Many(db.reader(ctx), scanAccountUser, `SELECT i.id, i.owner, i.status, m.entity_id FROM integrations AS i
		JOIN integration_members AS m ON m.integration_id = i.id AND m.role = $1
		LEFT JOIN webhook_subscriptions AS s ON s.integration_id = i.id AND s.webhook = $2
		WHERE i.plugin = $3 AND i.status IN ('ENABLED', 'PROCESSING') AND (s.integration_id IS NULL OR s.state = 'subscribing' OR s.due_at <= $4)
		AND NOT EXISTS (SELECT 1 FROM jobs WHERE unique_key = 'subscribe|' || i.id || '|' || $2 AND state NOT IN ('done', 'halted', 'dead', 'canceled'))
		LIMIT $5`, role, webhook, plugin, micros(&now), limit)
	return found, at("store.Unsubscribed", err, nil)
}

// settleSubscription changes nothing when the record was removed meanwhile.
func settleSubscription(tx *Tx, s *integration.SettledSubscription) error {
	err := ownedBy(tx, s.Subscription.Owner, s.Subscription.Integration)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if s.Secret != nil {
		if err := keepHookSecret(tx, s.Subscription.Integration, *s.Secret, integration.LiveSecrets); err != nil {
			return err
		}
	}
	return putSubscription(tx, &s.Subscription)
}
