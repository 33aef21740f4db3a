package integration

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"time"

	"github.com/google/uuid"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/pointer"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/frigg-host/frigg-host/host/webhook"
)

// HookSecretID names a secret of a webhook: "whs_" and a version 7 UUID.
type HookSecretID string

// SecretOrigin says who made a webhook's secret.
type SecretOrigin string

const (
	FromHost   SecretOrigin = "host"   // this host
	FromVendor SecretOrigin = "vendor" // the vendor, in a handshake or when it was subscribed to
)

// HookSecret is a sealed secret of a webhook of a record.
type HookSecret struct {
	ID        HookSecretID
	Webhook   string
	Origin    SecretOrigin
	Sealed    string
	CreatedAt time.Time
}

func (h HookSecret) place() secret.Place {
	return secret.Place{Table: "integration_webhooks", Column: "secret", Row: string(h.ID)}
}

// LiveSecrets is how many secrets of one origin count: the newest, and the one before it while a vendor still uses that.
const LiveSecrets = 2

// hookKeys are the secrets of a webhook in clear, newest first.
type hookKeys struct {
	live []secret.Text // that vendors may sign with
	own  []secret.Text // that the host made
}

// hookKeys opens the secrets of a webhook: those that a person typed in go before those that the vendor made, and these before
// the host's own.
func (s *Service) hookKeys(ctx context.Context, h hooked) (hookKeys, error) {
	var k hookKeys
	stored, err := s.Store.WebhookSecrets(ctx, h.record.Owner, h.record.ID, h.w.Name)
	if err != nil {
		return k, err
	}
	var vendors []secret.Text
	for _, one := range stored {
		text, err := s.Vault.Open(ctx, string(h.record.Owner), one.place(), one.Sealed)
		if err != nil {
			return k, err
		}
		if one.Origin == FromVendor {
			vendors = append(vendors, text)
		} else {
			k.own = append(k.own, text)
		}
	}
	typed, err := s.openSecrets(ctx, h.record)
	if err != nil {
		return k, err
	}
	field := h.w.SecretField
	if field == "" {
		field = h.w.Name + "_webhook_secret"
	}
	k.live = k.own
	if len(vendors) > 0 {
		k.live = vendors
	}
	if given := webhook.Keys(typed[pointer.Of(field)]); len(given) > 0 {
		k.live = given
	}
	if shake := h.handshake(); shake != nil && shake.KeepSecret && len(vendors) == 0 {
		k.live = nil // the host's own is the key of the address, and no vendor signs with it
	}
	return k, nil
}

// ownKeys are the keys of a webhook that has at least one of the host's, made on first use.
func (s *Service) ownKeys(ctx context.Context, h hooked) (hookKeys, error) {
	k, err := s.hookKeys(ctx, h)
	if err != nil || len(k.own) > 0 {
		return k, err
	}
	if err := s.keepSecret(ctx, h, FromHost, newWebhookSecret(h.hook)); err != nil {
		return k, err
	}
	return s.hookKeys(ctx, h)
}

func (s *Service) keepVendorSecret(ctx context.Context, h hooked, text secret.Text) error {
	return s.keepSecret(ctx, h, FromVendor, text)
}

// sealHookSecret makes a secret that can be stored.
func (s *Service) sealHookSecret(ctx context.Context, h hooked, from SecretOrigin, text secret.Text) (HookSecret, error) {
	one := HookSecret{ID: HookSecretID("whs_" + uuid.Must(uuid.NewV7()).String()), Webhook: h.w.Name, Origin: from, CreatedAt: s.now()}
	var err error
	one.Sealed, err = s.Vault.Seal(ctx, string(h.record.Owner), one.place(), text)
	return one, err
}

func (s *Service) keepSecret(ctx context.Context, h hooked, from SecretOrigin, text secret.Text) error {
	one, err := s.sealHookSecret(ctx, h, from, text)
	if err != nil {
		return err
	}
	keep := LiveSecrets
	if from == FromHost {
		keep = 0
	}
	return s.Store.KeepWebhookSecret(ctx, h.record.Owner, h.record.ID, one, keep)
}

// newWebhookSecret makes a secret in the form that the vendor's scheme expects.
func newWebhookSecret(h *abi.VendorHook) secret.Text {
	raw := make([]byte, 32)
	rand.Read(raw)
	if h != nil && h.Signature != nil && h.Signature.SecretPrefix != "" {
		return secret.NewText(h.Signature.SecretPrefix + base64.StdEncoding.EncodeToString(raw))
	}
	return secret.NewText(hex.EncodeToString(raw))
}

// hooks serves addresses of the record's webhooks.
type hooks run

func (c *hooks) Endpoint(ctx context.Context, q abi.WebhookEndpoint) (abi.WebhookAddress, error) {
	w, err := declaredWebhook(c.plugin, q.Webhook, false)
	if err != nil {
		return abi.WebhookAddress{}, err
	}
	if w.Subscribe {
		return abi.WebhookAddress{}, guestFault(fault.Invalid, "the host subscribes to webhook %s itself", w.Name)
	}
	h, err := c.s.hook(c.plugin, c.in, w)
	if err != nil {
		return abi.WebhookAddress{}, err
	}
	keys, err := c.s.ownKeys(ctx, h)
	if err != nil {
		return abi.WebhookAddress{}, err
	}
	given := keys.own[0]
	if len(keys.live) > 0 {
		given = keys.live[0]
	}
	address := c.s.hookAddress(h)
	if h.keyed() {
		address += "?" + keyParameter + "=" + c.handles.Issue(keys.addressKey(h))
	}
	return abi.WebhookAddress{URL: address, Secret: c.handles.Issue(given)}, nil
}

// addressKey is the key in the address: what a person typed where nothing is signed, otherwise the host's own.
func (k hookKeys) addressKey(h hooked) secret.Text {
	if h.handshake() != nil && h.handshake().KeepSecret {
		return k.own[0]
	}
	return k.live[0]
}

// hookAddress is the URL of a webhook, without keys.
func (s *Service) hookAddress(h hooked) string {
	address := s.PublicURL + "/api/" + h.plugin.Name + "-integration/webhooks"
	same := 0
	for _, w := range h.plugin.Manifest.Webhooks {
		if w.App == h.w.App {
			same++
		}
	}
	if !h.w.App {
		address += "/" + string(h.record.ID)
	}
	if same > 1 {
		address += "/" + h.w.Name
	}
	return address
}
