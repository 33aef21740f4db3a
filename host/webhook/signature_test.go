package webhook_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	stripe "github.com/stripe/stripe-go/v82/webhook"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/frigg-host/frigg-host/host/webhook"
)

// delivery is a signed request.
type delivery struct {
	name   string
	scheme abi.SignatureScheme
	key    string
	url    string
	header map[string]string
	body   string
	now    time.Time // when it was signed
}

func (d delivery) signature() abi.Signature { return abi.Signature{Scheme: d.scheme}.Expanded() }

func (d delivery) request() *webhook.Request {
	r := &webhook.Request{Method: http.MethodPost, URL: d.url, Header: http.Header{}, Body: []byte(d.body)}
	for name, value := range d.header {
		r.Header.Set(name, value)
	}
	if u, err := url.Parse(d.url); err == nil {
		r.Query = u.Query()
	}
	return r
}

func (d delivery) verify(r *webhook.Request, now time.Time, keys ...string) error {
	var all []secret.Text
	for _, k := range keys {
		all = append(all, secret.NewText(k))
	}
	return webhook.Verify(d.signature(), all, r, now)
}

// published are deliveries with signatures that their vendors published.
func published() []delivery {
	return []delivery{
		{
			name: "GitHub, docs.github.com, Validating webhook deliveries", scheme: abi.SignatureSchemeGithub,
			key:    "It's a Secret to Everybody",
			header: map[string]string{"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
			body:   "Hello, World!",
		},
		{
			name: "Slack, api.slack.com, Verifying requests from Slack", scheme: abi.SignatureSchemeSlack,
			key:    "8f742231b10e8888abcd99yyyzzz85a5",
			header: map[string]string{"X-Slack-Request-Timestamp": "1531420618", "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"},
			body:   "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
			now:    time.Unix(1531420618, 0),
		},
		{
			name: "Twilio form, TwilioDevEd/api-snippets, security/signature_validation", scheme: abi.SignatureSchemeTwilio,
			key: "12345", url: "https://mycompany.com/myapp.php?foo=1&bar=2",
			header: map[string]string{"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8", "X-Twilio-Signature": "GvWf1cFY/Q7PnoempGyD5oXAezc="},
			body:   "To=%2B18005551212&CallSid=CA1234567890ABCDE&Caller=%2B14158675310&Digits=1234&From=%2B14158675310",
		},
		{
			name: "Twilio JSON, twilio-python, tests/unit/test_request_validator.py", scheme: abi.SignatureSchemeTwilio,
			key: "12345", url: "https://mycompany.com/myapp.php?foo=1&bar=2&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620",
			header: map[string]string{"Content-Type": "application/json", "X-Twilio-Signature": "a9nBmqA0ju/hNViExpshrM61xv4="},
			body:   `{"property": "value", "boolean": true}`,
		},
		{
			name: "Standard Webhooks, standard-webhooks/standard-webhooks, libraries/go", scheme: abi.SignatureSchemeStandardWebhooks,
			key: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
			header: map[string]string{
				"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
				"webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
			},
			body: `{"test": 2432232314}`,
			now:  time.Unix(1614265330, 0),
		},
	}
}

var at = time.UnixMilli(1_778_051_289_000)

// mac signs without the code under test.
func mac(h func() hash.Hash, key, text string) []byte {
	m := hmac.New(h, []byte(key))
	m.Write([]byte(text))
	return m.Sum(nil)
}

// made are deliveries of vendors who publish how they sign and no example.
func made() []delivery {
	const key, body, address = "key-1", `{"id":"e1","webhookTimestamp":1778051289000}`, "https://hooks.example.com/api/a-integration/webhooks"
	seconds, millis := fmt.Sprint(at.Unix()), fmt.Sprint(at.UnixMilli())
	inHex := func(text string) string { return hex.EncodeToString(mac(sha256.New, key, text)) }
	in64 := func(text string) string { return base64.StdEncoding.EncodeToString(mac(sha256.New, key, text)) }
	public, private, _ := ed25519.GenerateKey(strings.NewReader(strings.Repeat("seed", 8)))
	st := stripe.GenerateTestSignedPayload(&stripe.UnsignedPayload{Payload: []byte(body), Secret: "whsec_stripe", Timestamp: at})
	return []delivery{
		{name: "stripe", scheme: abi.SignatureSchemeStripe, key: "whsec_stripe", header: map[string]string{"Stripe-Signature": st.Header}, body: body, now: at},
		{name: "gitea", scheme: abi.SignatureSchemeGitea, key: key, header: map[string]string{"X-Gitea-Signature": inHex(body)}, body: body},
		{name: "asana", scheme: abi.SignatureSchemeAsana, key: key, header: map[string]string{"X-Hook-Signature": inHex(body)}, body: body},
		{name: "shopify", scheme: abi.SignatureSchemeShopify, key: key, header: map[string]string{"X-Shopify-Hmac-Sha256": in64(body)}, body: body},
		{name: "quickbooks", scheme: abi.SignatureSchemeQuickbooks, key: key, header: map[string]string{"Intuit-Signature": in64(body)}, body: body},
		{name: "linear", scheme: abi.SignatureSchemeLinear, key: key, header: map[string]string{"Linear-Signature": inHex(body)}, body: body, now: at},
		{
			name: "zoom", scheme: abi.SignatureSchemeZoom, key: key, body: body, now: at,
			header: map[string]string{"x-zm-request-timestamp": seconds, "x-zm-signature": "v0=" + inHex("v0:"+seconds+":"+body)},
		},
		{
			name: "hubspot", scheme: abi.SignatureSchemeHubspotV3, key: key, url: address, body: body, now: at,
			header: map[string]string{"X-HubSpot-Request-Timestamp": millis, "X-HubSpot-Signature-v3": in64("POST" + address + body + millis)},
		},
		{
			name: "discord", scheme: abi.SignatureSchemeDiscord, key: hex.EncodeToString(public), body: body, now: at,
			header: map[string]string{"X-Signature-Timestamp": seconds, "X-Signature-Ed25519": hex.EncodeToString(ed25519.Sign(private, []byte(seconds+body)))},
		},
	}
}

func all() []delivery { return append(published(), made()...) }

func TestVerify_EverySchemeIsTried(t *testing.T) {
	t.Parallel()
	tried := map[string]bool{}
	for _, d := range all() {
		tried[string(d.scheme)] = true
	}
	want := abi.SignatureScheme("").Values()
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(tried))); diff != "" {
		t.Error(diff)
	}
}

func TestVerify_TakesWhatVendorsSign(t *testing.T) {
	t.Parallel()
	for _, d := range all() {
		if err := d.verify(d.request(), d.now, d.key); err != nil {
			t.Errorf("%s: %v", d.name, err)
		}
	}
}

// refused fails unless a changed delivery is refused.
func refused(t *testing.T, d delivery, what string, now time.Time, keys []string, change func(*webhook.Request)) {
	t.Helper()
	r := d.request()
	change(r)
	if err := d.verify(r, now, keys...); !fault.Is(err, fault.Unauthorized) || fault.SideOf(err) != fault.Caller {
		t.Errorf("%s: %s: %v, want unauthorized", d.name, what, err)
	}
}

func TestVerify_RefusesEveryFlippedByte(t *testing.T) {
	t.Parallel()
	flips := 0
	for _, d := range all() {
		form, _ := url.ParseQuery(d.body)
		for i := range d.body {
			for bit := range 8 {
				body := []byte(d.body)
				body[i] ^= 1 << bit
				if same, err := url.ParseQuery(string(body)); d.scheme == abi.SignatureSchemeTwilio && err == nil && cmp.Equal(form, same) {
					continue // another spelling of the same form
				}
				flips++
				refused(t, d, fmt.Sprintf("bit %d of byte %d of the body", bit, i), d.now, []string{d.key}, func(r *webhook.Request) { r.Body = body })
			}
		}
		for name, value := range d.header {
			if name == "Content-Type" {
				continue
			}
			for i := range value {
				flips++
				changed := []byte(value)
				changed[i] ^= 1
				refused(t, d, fmt.Sprintf("byte %d of %s", i, name), d.now, []string{d.key}, func(r *webhook.Request) { r.Header.Set(name, string(changed)) })
			}
		}
	}
	if flips < 8000 {
		t.Errorf("only %d flips were tried", flips)
	}
}

func TestVerify_RefusesReplays(t *testing.T) {
	t.Parallel()
	timed := 0
	for _, d := range all() {
		refused(t, d, "no signature", d.now, []string{d.key}, func(r *webhook.Request) { r.Header.Del(d.signature().Header) })
		refused(t, d, "a long signature", d.now, []string{d.key}, func(r *webhook.Request) { r.Header.Set(d.signature().Header, strings.Repeat("a", 5000)) })
		refused(t, d, "no secret", d.now, nil, func(*webhook.Request) {})
		if !d.signature().Timed() {
			continue
		}
		timed++
		for what, age := range map[string]time.Duration{"ten minutes old": 10 * time.Minute, "ten minutes early": -10 * time.Minute, "of last year": 365 * 24 * time.Hour} {
			refused(t, d, what, d.now.Add(age), []string{d.key}, func(*webhook.Request) {})
		}
		if h := d.signature().TimeHeader; h != "" {
			for _, stamp := range []string{"", "x", "99999999999999999999", "-1", "9223372036854775807"} {
				refused(t, d, "timestamp "+stamp, d.now, []string{d.key}, func(r *webhook.Request) { r.Header.Set(h, stamp) })
			}
		}
	}
	if timed < 6 {
		t.Errorf("only %d schemes have a timestamp", timed)
	}
}

func TestVerify_TakesAnyOfSeveralSecrets(t *testing.T) {
	t.Parallel()
	for _, d := range all() {
		other := "another"
		switch d.scheme {
		case abi.SignatureSchemeStandardWebhooks:
			other = "whsec_AAAA"
		case abi.SignatureSchemeDiscord:
			other = strings.Repeat("ab", ed25519.PublicKeySize)
		}
		for _, keys := range [][]string{{other, d.key}, {d.key, other}} {
			if err := d.verify(d.request(), d.now, keys...); err != nil {
				t.Errorf("%s: %v", d.name, err)
			}
		}
		refused(t, d, "another secret", d.now, []string{other, other}, func(*webhook.Request) {})
		if err := d.verify(d.request(), d.now, ""); err == nil {
			t.Errorf("%s: the empty secret is taken", d.name)
		}
	}
}

func TestVerify_RefusesWhatTheEmptySecretSigns(t *testing.T) {
	t.Parallel()
	d := delivery{name: "gitea", scheme: abi.SignatureSchemeGitea, body: "{}", header: map[string]string{"X-Gitea-Signature": hex.EncodeToString(mac(sha256.New, "", "{}"))}}
	for _, keys := range [][]string{nil, {""}, {"other"}, {"", "other"}} {
		if err := d.verify(d.request(), d.now, keys...); err == nil {
			t.Errorf("taken with the secrets %q", keys)
		}
	}
}

func TestVerify_TakesOneOfSeveralSignatures(t *testing.T) {
	t.Parallel()
	for _, d := range all() {
		s := d.signature()
		r := d.request()
		header := r.Header.Get(s.Header)
		switch {
		case s.ListSeparator != "": // of the published example: one of another key and one of a later scheme before it
			r.Header.Set(s.Header, "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2,xyz "+header)
		case s.PairKey != "":
			r.Header.Set(s.Header, "v0=12,"+s.PairKey+"=ab,"+header)
		default:
			continue
		}
		if err := d.verify(r, d.now, d.key); err != nil {
			t.Errorf("%s: %v", d.name, err)
		}
	}
}

func TestVerify_SaysThatASecretHasTheWrongForm(t *testing.T) {
	t.Parallel()
	for _, d := range all() {
		if s := d.signature(); s.SecretPrefix == "" && s.Algorithm != abi.SignatureAlgorithmEd25519 {
			continue
		}
		if err := d.verify(d.request(), d.now, "no-base64!"); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", d.name, err)
		}
	}
}

func TestKeys_AreLines(t *testing.T) {
	t.Parallel()
	var got []string
	for _, k := range webhook.Keys(secret.NewText("It's a Secret\r\n\nnew one\n")) {
		got = append(got, k.Reveal())
	}
	if diff := cmp.Diff([]string{"It's a Secret", "new one"}, got); diff != "" {
		t.Error(diff)
	}
	if n := len(webhook.Keys(secret.Text{})); n != 0 {
		t.Errorf("%d keys of nothing", n)
	}
}

func FuzzVerify(f *testing.F) {
	for _, d := range all() {
		f.Add(d.header[d.signature().Header], d.body, d.header["Content-Type"], d.url)
	}
	f.Fuzz(func(t *testing.T, header, body, kind, address string) {
		for _, d := range all() {
			fine := d.body == body
			d.header = maps.Clone(d.header)
			d.header[d.signature().Header], d.header["Content-Type"] = header, kind
			d.body, d.url = body, address
			if form, _ := url.ParseQuery(body); len(form) > 0 {
				fine = fine || d.scheme == abi.SignatureSchemeTwilio
			}
			err := d.verify(d.request(), d.now, d.key)
			if err == nil && !fine || err != nil && !fault.Is(err, fault.Unauthorized) {
				t.Errorf("%s: %v", d.name, err)
			}
		}
	})
}
