package webhook_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/frigg-host/frigg-host/host/webhook"
)

func asking(query, body string, header ...string) *webhook.Request {
	r := &webhook.Request{Method: http.MethodPost, Header: http.Header{}, Body: []byte(body)}
	r.Query, _ = url.ParseQuery(query)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// handshakes are requests and what their vendors want to hear.
var handshakes = []struct {
	name   string
	h      abi.Handshake
	r      *webhook.Request
	reply  abi.HTTPReply
	secret string
}{
	{ // https://api.slack.com/events/url_verification
		name: "Slack", h: abi.Handshake{Scheme: abi.HandshakeSchemeSlack},
		r:     asking("", `{"token":"Jhj5dZrVaK7ZwHHjRyZWjbDl","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}`),
		reply: abi.HTTPReply{Status: 200, Text: "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P", Headers: map[string]string{"content-type": "text/plain; charset=utf-8"}},
	},
	{ // https://learn.microsoft.com/graph/change-notifications-delivery-webhooks
		name: "Graph", h: abi.Handshake{Scheme: abi.HandshakeSchemeMicrosoftGraph}, r: asking("validationToken=Validation%3A+a%3Cb%3E", ""),
		reply: abi.HTTPReply{Status: 200, Text: "Validation: a<b>", Headers: map[string]string{"content-type": "text/plain; charset=utf-8"}},
	},
	{ // https://developers.zoom.us/docs/api/webhooks, Validate your webhook endpoint
		name: "Zoom", h: abi.Handshake{Scheme: abi.HandshakeSchemeZoom}, r: asking("", `{"payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1654503849680,"event":"endpoint.url_validation"}`),
		reply: abi.HTTPReply{
			Status: 200, Headers: map[string]string{"content-type": "application/json; charset=utf-8"},
			Text: `{"encryptedToken":"ENCRYPTED","plainToken":"qgg8vlvZRS6UYooatFL8Aw"}`,
		},
	},
	{ // https://developers.asana.com/docs/webhooks-guide
		name: "Asana", h: abi.Handshake{Scheme: abi.HandshakeSchemeAsana}, r: asking("", `{}`, "X-Hook-Secret", "b537207f20cbfa02357cf448134da559e8bd39d61597dcd5631b8012eae53e81"),
		reply: abi.HTTPReply{Status: 200, Headers: map[string]string{
			"content-type": "text/plain; charset=utf-8", "X-Hook-Secret": "b537207f20cbfa02357cf448134da559e8bd39d61597dcd5631b8012eae53e81",
		}},
		secret: "b537207f20cbfa02357cf448134da559e8bd39d61597dcd5631b8012eae53e81",
	},
	{ // https://discord.com/developers/docs/interactions/overview
		name: "Discord", h: abi.Handshake{Scheme: abi.HandshakeSchemeDiscord}, r: asking("", `{"type":1}`),
		reply: abi.HTTPReply{Status: 200, Text: `{"type":1}`, Headers: map[string]string{"content-type": "application/json; charset=utf-8"}},
	},
	{
		name: "of its own", h: abi.Handshake{When: "query:hub.challenge", Reply: "query:hub.challenge", ContentType: "application/json"}, r: asking("hub.challenge=1", ""),
		reply: abi.HTTPReply{Status: 200, Text: "1", Headers: map[string]string{"content-type": "application/json; charset=utf-8"}},
	},
}

func TestAnswer_IsWhatVendorsWant(t *testing.T) {
	t.Parallel()
	const key = "zoom-secret"
	encrypted := hex.EncodeToString(mac(sha256.New, key, "qgg8vlvZRS6UYooatFL8Aw"))
	for _, row := range handshakes {
		h := row.h.Expanded()
		if !webhook.Greets(&h, row.r) {
			t.Errorf("%s is no handshake", row.name)
			continue
		}
		reply, kept, err := webhook.Answer(&h, []secret.Text{secret.NewText(key), secret.NewText("old")}, row.r)
		row.reply.Text = strings.Replace(row.reply.Text, "ENCRYPTED", encrypted, 1)
		if diff := cmp.Diff(row.reply, reply); err != nil || diff != "" || kept.Reveal() != row.secret {
			t.Errorf("%s: %v, keeps %q\n%s", row.name, err, kept.Reveal(), diff)
		}
	}
}

func TestGreets_LeavesEventsAlone(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]*webhook.Request{
		"an event": asking("", `{"type":"event_callback","challenge":"x","event":"meeting.started"}`), "no JSON": asking("", "type=url_verification"),
		"nothing": asking("", ""), "a list": asking("", `["url_verification"]`), "another type": asking("", `{"type":2}`),
	} {
		for _, row := range handshakes {
			if h := row.h.Expanded(); webhook.Greets(&h, r) {
				t.Errorf("%s is a handshake of %s", name, row.name)
			}
		}
	}
	if webhook.Greets(nil, asking("", "{}")) {
		t.Error("a hook without a handshake has one")
	}
}

func TestAnswer_RefusesWhatItCannotEcho(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 5000)
	for _, row := range []struct {
		name string
		h    abi.Handshake
		r    *webhook.Request
		keys []secret.Text
		kind fault.Kind
	}{
		{"no challenge", abi.Handshake{Scheme: abi.HandshakeSchemeSlack}, asking("", `{"type":"url_verification"}`), nil, fault.Invalid},
		{"an empty one", abi.Handshake{Scheme: abi.HandshakeSchemeSlack}, asking("", `{"type":"url_verification","challenge":""}`), nil, fault.Invalid},
		{"a long one", abi.Handshake{Scheme: abi.HandshakeSchemeSlack}, asking("", `{"type":"url_verification","challenge":"`+long+`"}`), nil, fault.Invalid},
		{"an object", abi.Handshake{Scheme: abi.HandshakeSchemeSlack}, asking("", `{"type":"url_verification","challenge":{}}`), nil, fault.Invalid},
		{"no text", abi.Handshake{Scheme: abi.HandshakeSchemeMicrosoftGraph}, asking("validationToken=%ff", ""), nil, fault.Invalid},
		{"two lines for a header", abi.Handshake{Scheme: abi.HandshakeSchemeAsana}, asking("", "{}", "X-Hook-Secret", "a\tb"), nil, fault.Invalid},
		{"nothing to sign with", abi.Handshake{Scheme: abi.HandshakeSchemeZoom}, asking("", `{"payload":{"plainToken":"a"},"event":"endpoint.url_validation"}`), nil, fault.Unauthorized},
	} {
		h := row.h.Expanded()
		if _, kept, err := webhook.Answer(&h, row.keys, row.r); !fault.Is(err, row.kind) || !kept.IsZero() {
			t.Errorf("%s: %v, want %s", row.name, err, row.kind)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add("validationToken=a", `{"type":"url_verification","challenge":"a"}`, "b")
	f.Fuzz(func(t *testing.T, query, body, header string) {
		for _, row := range handshakes {
			h, r := row.h.Expanded(), asking(query, body)
			r.Header["X-Hook-Secret"] = []string{header}
			if !webhook.Greets(&h, r) {
				continue
			}
			reply, _, err := webhook.Answer(&h, []secret.Text{secret.NewText("k")}, r)
			if err == nil && (len(reply.Text) > 3*4096 || strings.ContainsAny(reply.Headers["X-Hook-Secret"], "\r\n")) {
				t.Errorf("answered %+v", reply)
			}
			if strings.Contains(reply.Headers["content-type"], "html") {
				t.Errorf("answered as %s", reply.Headers["content-type"])
			}
		}
	})
}
