package integration_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/secret"
)

// delivered is how often events were worked off after deliveries were received and acknowledged, and with what ids.
func delivered(t *testing.T, eventID string, deliveries ...[2]string) (ids []string, log string) {
	t.Helper()
	h := newHouse(t)
	h.s.Plugins.(catalog)["crm"].Manifest.Hooks[0].EventID = eventID
	h.guests[abi.ExportHandleEvent] = func(_ context.Context, c plugin.Call) (any, error) {
		var in abi.EventInput
		err := json.Unmarshal(c.Input, &in)
		if in.Event == abi.EventOnWebhook {
			var e abi.WebhookEvent
			err = json.Unmarshal(in.Data, &e)
			ids = append(ids, e.ID)
		}
		return abi.EventOutput{}, err
	}
	in := h.enabled(`{"type":"sync"}`)
	for _, d := range deliveries {
		reply, err := h.s.Receive(t.Context(), "sync", in.ID, "", h.signed(in, d[0], d[1]))
		if err != nil || reply.Status != http.StatusOK {
			t.Fatalf("reply %+v, %v", reply, err)
		}
	}
	for range h.due() {
		h.work()
	}
	return ids, h.log.String()
}

func TestReceive_EventsAreOneOnlyWhereTheVendorGivesOneID(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	for name, row := range map[string]struct {
		eventID    string
		deliveries [][2]string // header and body
		want       int
		logged     bool
	}{
		"no id is declared, equal bodies": {"", [][2]string{{"", `{"a":1}`}, {"", `{"a":1}`}}, 2, false},
		"the declared header is absent":   {"header:X-Id", [][2]string{{"", `{}`}, {"", `{}`}}, 2, true},
		"the declared field is absent":    {"/id", [][2]string{{"", `{}`}, {"", `{}`}}, 2, true},
		"the body is no JSON":             {"/id", [][2]string{{"", `ping`}, {"", `ping`}}, 2, true},
		"an id is null":                   {"/id", [][2]string{{"", `{"id":null}`}, {"", `{"id":null}`}}, 2, true},
		"numbers are ids":                 {"/id", [][2]string{{"", `{"id":42,"try":1}`}, {"", `{"id":42,"try":2}`}, {"", `{"id":43}`}}, 2, false},
		"large numbers keep their digits": {"/id", [][2]string{{"", `{"id":9007199254740993}`}, {"", `{"id":9007199254740992}`}}, 2, false},
		"ids in lists":                    {"/events/0/id", [][2]string{{"", `{"events":[{"id":"a"}],"try":1}`}, {"", `{"events":[{"id":"a"}],"try":2}`}}, 1, false},
		"the same header":                 {"header:X-Id", [][2]string{{"d", `{"try":1}`}, {"d", `{"try":2}`}}, 1, false},
		"long ids that differ at the end": {"header:X-Id", [][2]string{{long + "1", `{}`}, {long + "2", `{}`}, {long + "2", `{}`}}, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ids, log := delivered(t, row.eventID, row.deliveries...)
			if len(ids) != row.want {
				t.Errorf("%d of %d deliveries were worked off, want %d", len(ids), len(row.deliveries), row.want)
			}
			if got := strings.Contains(log, "no delivery id"); got != row.logged {
				t.Errorf("logged %v: %s", got, log)
			}
			for _, id := range ids {
				if len(id) > 200 {
					t.Errorf("an id of %d bytes is stored", len(id))
				}
			}
		})
	}
}

// vendorHook replaces how the vendor of the role crm sends webhooks.
func (h *house) vendorHook(v abi.VendorHook) {
	v.Name = "crm"
	m := &h.s.Plugins.(catalog)["crm"].Manifest
	m.Hooks = []abi.VendorHook{v}
	*m = *abi.ManifestDefaults(m)
}

// address is where the vendor sends to, with handles replaced as on the wire.
func (h *house) address(in *integration.Integration) *url.URL {
	h.t.Helper()
	var address string
	h.guests[abi.ExportRunAction] = func(ctx context.Context, c plugin.Call) (any, error) {
		a, err := c.Can.Webhook.Endpoint(ctx, abi.WebhookEndpoint{})
		address = a.URL
		return abi.ActionOutput{}, err
	}
	if _, err := h.s.RunAction(h.t.Context(), h.ada, in.ID, "GO", nil); err != nil {
		h.t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		h.t.Fatal(err)
	}
	return u
}

func inHex(key, text string) string {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(text))
	return hex.EncodeToString(m.Sum(nil))
}

// post sends a request with headers, given as names and values.
func (h *house) post(in *integration.Integration, query url.Values, body string, headers ...string) (abi.HTTPReply, error) {
	h.t.Helper()
	r := integration.Inbound{Method: http.MethodPost, Header: http.Header{}, Query: query, Body: []byte(body)}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return h.s.Receive(h.t.Context(), "sync", in.ID, "", r)
}

func TestReceive_HandshakesThatMustBeSignedAreVerifiedFirst(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.vendorHook(abi.VendorHook{
		Signature: &abi.Signature{Header: "X-Signature"}, Handshake: &abi.Handshake{Scheme: abi.HandshakeSchemeSlack},
	})
	in := h.enabled(`{"type":"sync"}`)
	const body = `{"type":"url_verification","challenge":"c-1"}`
	good := h.signed(in, "", body)
	reply, err := h.s.Receive(t.Context(), "sync", in.ID, "", good)
	if err != nil || reply.Text != "c-1" || !strings.HasPrefix(reply.Headers["content-type"], "text/plain") {
		t.Errorf("answered %+v, %v", reply, err)
	}
	for name, signature := range map[string]string{"unsigned": "", "forged": inHex("x", body)} {
		if reply, err := h.post(in, nil, body, "X-Signature", signature); !fault.Is(err, fault.Unauthorized) {
			t.Errorf("%s: %+v, %v", name, reply, err)
		}
	}
	if h.due() != 0 {
		t.Error("a handshake is stored as an event")
	}
}

func TestReceive_AHandshakeBringsTheSecretOnlyToTheAddressWithItsKey(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.vendorHook(abi.VendorHook{
		Signature: &abi.Signature{Scheme: abi.SignatureSchemeAsana}, Handshake: &abi.Handshake{Scheme: abi.HandshakeSchemeAsana},
	})
	in := h.enabled(`{"type":"sync"}`)
	if h.address(in).Query().Get("key") == "" {
		t.Fatal("the address has no key")
	}
	key := h.ownSecret(in)
	event := func(secret string) error {
		_, err := h.post(in, nil, `{"events":[]}`, "X-Hook-Signature", inHex(secret, `{"events":[]}`))
		return err
	}
	if err := event(key); !fault.Is(err, fault.Unauthorized) {
		t.Errorf("before the handshake, signed with the key of the address: %v", err)
	}
	for _, wrong := range []url.Values{nil, {"key": {""}}, {"key": {"x"}}} {
		if _, err := h.post(in, wrong, `{}`, "X-Hook-Secret", "evil"); !fault.Is(err, fault.Unauthorized) {
			t.Errorf("handshake with %v: %v", wrong, err)
		}
	}
	for _, secret := range []string{"first", "second", "third"} {
		reply, err := h.post(in, url.Values{"key": {key}}, `{}`, "X-Hook-Secret", secret)
		if err != nil || reply.Headers["X-Hook-Secret"] != secret {
			t.Fatalf("handshake: %+v, %v", reply, err)
		}
	}
	for secret, taken := range map[string]bool{"evil": false, "first": false, "second": true, "third": true} {
		if err := event(secret); (err == nil) != taken {
			t.Errorf("signed with %s: %v", secret, err)
		}
	}
	if strings.Contains(h.log.String(), "third") {
		t.Error("the secret is in the log")
	}
}

// ownSecret is the secret that the host made for the record's webhook.
func (h *house) ownSecret(in *integration.Integration) string {
	h.t.Helper()
	all, err := h.db.WebhookSecrets(h.t.Context(), in.Owner, in.ID, "crm")
	if err != nil || len(all) == 0 {
		h.t.Fatalf("%d secrets, %v", len(all), err)
	}
	own := all[len(all)-1]
	text, err := h.s.Vault.Open(h.t.Context(), string(in.Owner), secret.Place{Table: "integration_webhooks", Column: "secret", Row: string(own.ID)}, own.Sealed)
	if err != nil {
		h.t.Fatal(err)
	}
	return text.Reveal()
}

func TestReceive_OldAndNewSecretOfAPersonCountWhileItIsRotated(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	crm := h.s.Plugins.(catalog)["sync"]
	crm.Manifest.Webhooks[0].SecretField = "key"
	in := h.enabled(`{"type":"sync","key":"old\nnew"}`)
	for key, taken := range map[string]bool{"old": true, "new": true, "other": false, "old\nnew": false} {
		if _, err := h.post(in, nil, `{}`, "X-Signature", inHex(key, `{}`)); (err == nil) != taken {
			t.Errorf("signed with %q: %v", key, err)
		}
	}
}

func TestReceive_EqualBodiesAreOneEventWhereTheManifestSaysSo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.vendorHook(abi.VendorHook{Signature: &abi.Signature{Header: "X-Signature"}, Dedupe: abi.DedupeBody, DedupeWindowS: 60})
	in := h.enabled(`{"type":"sync"}`)
	for _, row := range []struct {
		body string
		wait time.Duration
		want int
	}{{`{"a":1}`, 0, 1}, {`{"a":1}`, time.Minute, 1}, {`{"a":2}`, 0, 2}, {`{"a":1}`, time.Second, 3}, {`{"a":1}`, 0, 3}} {
		h.now = h.now.Add(row.wait)
		if _, err := h.s.Receive(t.Context(), "sync", in.ID, "", h.signed(in, "", row.body)); err != nil {
			t.Fatal(err)
		}
		if n := h.due(); n != row.want {
			t.Errorf("%d events after %s, want %d", n, row.body, row.want)
		}
	}
}

func TestReceive_WritesNothingForARequestThatProvesNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	in := h.enabled(`{"type":"sync"}`)
	if _, err := h.post(in, nil, `{}`, "X-Signature", inHex("", `{}`)); !fault.Is(err, fault.Unauthorized) {
		t.Errorf("signed with the empty secret: %v", err)
	}
	if all, err := h.db.WebhookSecrets(t.Context(), in.Owner, in.ID, "crm"); err != nil || len(all) != 0 {
		t.Errorf("a stranger made %d secrets, %v", len(all), err)
	}
}
