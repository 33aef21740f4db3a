package integration

import (
	"net/http"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
)

// vector is a signature that its vendor published.
type vector struct {
	name   string
	sig    abi.Signature
	secret string
	header map[string]string
	body   string
	now    time.Time
}

func published() []vector {
	return []vector{
		{ // docs.github.com, "Validating webhook deliveries", testing the webhook payload validation
			name:   "GitHub",
			sig:    abi.Signature{Header: "X-Hub-Signature-256", Prefix: "sha256="},
			secret: "It's a Secret to Everybody",
			header: map[string]string{"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
			body:   "Hello, World!",
		},
		{ // standard-webhooks/standard-webhooks, Go library's test
			name: "StandardWebhooks",
			sig: abi.Signature{
				Header: "webhook-signature", Encoding: abi.SignatureEncodingBase64, Prefix: "v1,", ListSeparator: " ", TimeHeader: "webhook-timestamp",
				Payload: "{header:webhook-id}.{ts}.{body}", SecretPrefix: "whsec_",
			},
			secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
			header: map[string]string{
				"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
				"webhook-signature": "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2,xyz v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
			},
			body: `{"test": 2432232314}`,
			now:  time.Unix(1614265330, 0),
		},
		{ // api.slack.com, "Verifying requests from Slack"
			name:   "Slack",
			sig:    abi.Signature{Header: "X-Slack-Signature", Prefix: "v0=", TimeHeader: "X-Slack-Request-Timestamp", Payload: "v0:{ts}:{body}"},
			secret: "8f742231b10e8888abcd99yyyzzz85a5",
			header: map[string]string{"X-Slack-Request-Timestamp": "1531420618", "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"},
			body:   "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
			now:    time.Unix(1531420618, 0),
		},
		{ // docs.stripe.com, "Verify webhook signatures manually"; the signature was computed with OpenSSL
			name:   "Stripe",
			sig:    abi.Signature{Header: "Stripe-Signature", PairKey: "v1", TimePairKey: "t", Payload: "{ts}.{body}"},
			secret: "whsec_test_secret",
			header: map[string]string{"Stripe-Signature": "t=1492774577,v1=799c4ba7bb339f3c8601adfd112f0e477c930a268be1243d341abb8286501c2f,v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39"},
			body:   `{"id":"evt_1"}`,
			now:    time.Unix(1492774577, 0),
		},
	}
}

func (v vector) inbound() Inbound {
	h := http.Header{}
	for k, val := range v.header {
		h.Set(k, val)
	}
	return Inbound{Method: http.MethodPost, Header: h, Body: []byte(v.body)}
}

func TestVerify_PublishedVectors(t *testing.T) {
	t.Parallel()
	for _, v := range published() {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			key := secret.NewText(v.secret)
			if err := verify(v.sig, key, v.inbound(), v.now); err != nil {
				t.Fatalf("refused: %v", err)
			}
			refused := func(what string, key secret.Text, in Inbound, now time.Time) {
				t.Helper()
				if err := verify(v.sig, key, in, now); !fault.Is(err, fault.Unauthorized) {
					t.Errorf("%s: %v, want unauthorized", what, err)
				}
			}
			flipped := v.inbound()
			flipped.Body[0] ^= 1
			refused("one flipped bit in the body", key, flipped, v.now)
			other := v.secret + "x"
			if v.sig.SecretPrefix != "" {
				other = v.sig.SecretPrefix + "AAAA"
			}
			refused("another secret", secret.NewText(other), v.inbound(), v.now)
			bare := v.inbound()
			bare.Header.Del(v.sig.Header)
			refused("no signature", key, bare, v.now)
			if v.sig.TimeHeader != "" || v.sig.TimePairKey != "" {
				refused("ten minutes old", key, v.inbound(), v.now.Add(10*time.Minute))
				refused("ten minutes early", key, v.inbound(), v.now.Add(-10*time.Minute))
			}
			if v.sig.TimeHeader != "" {
				undated := v.inbound()
				undated.Header.Del(v.sig.TimeHeader)
				refused("no timestamp", key, undated, v.now)
			}
		})
	}
}

func FuzzVerify(f *testing.F) {
	for _, v := range published() {
		f.Add(v.header[v.sig.Header], v.body, v.sig.Payload)
	}
	f.Fuzz(func(t *testing.T, header, body, payload string) {
		for _, v := range published() {
			v.sig.Payload, v.body, v.header = payload, body, map[string]string{v.sig.Header: header}
			if err := verify(v.sig, secret.NewText(v.secret), v.inbound(), time.Unix(0, 0)); err != nil && !fault.Is(err, fault.Unauthorized) {
				t.Errorf("not a refusal: %v", err)
			}
		}
	})
}
