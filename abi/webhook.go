package abi

import (
	"encoding/json"
	"slices"
	"strings"
)

// signatureOf gives the fields of a scheme. Sources are the vendors' own pages on how to verify webhooks.
func signatureOf(s SignatureScheme) Signature {
	switch s {
	case SignatureSchemeGithub:
		return Signature{Header: "X-Hub-Signature-256", Prefix: "sha256="}
	case SignatureSchemeGitea:
		return Signature{Header: "X-Gitea-Signature"}
	case SignatureSchemeStripe:
		return Signature{Header: "Stripe-Signature", PairKey: "v1", TimePairKey: "t", Payload: "{ts}.{body}"}
	case SignatureSchemeSlack:
		return Signature{Header: "X-Slack-Signature", Prefix: "v0=", TimeHeader: "X-Slack-Request-Timestamp", Payload: "v0:{ts}:{body}"}
	case SignatureSchemeShopify:
		return Signature{Header: "X-Shopify-Hmac-Sha256", Encoding: SignatureEncodingBase64}
	case SignatureSchemeHubspotV3:
		return Signature{
			Header: "X-HubSpot-Signature-v3", Encoding: SignatureEncodingBase64, TimeHeader: "X-HubSpot-Request-Timestamp",
			TimeUnit: TimeUnitMS, Payload: "{method}{url}{body}{ts}",
		}
	case SignatureSchemeTwilio:
		return Signature{Header: "X-Twilio-Signature", Hash: SignatureHashSha1, Encoding: SignatureEncodingBase64, Payload: "{url}{params}"}
	case SignatureSchemeZoom:
		return Signature{Header: "x-zm-signature", Prefix: "v0=", TimeHeader: "x-zm-request-timestamp", Payload: "v0:{ts}:{body}"}
	case SignatureSchemeLinear:
		return Signature{Header: "Linear-Signature", TimePointer: "/webhookTimestamp", TimeUnit: TimeUnitMS}
	case SignatureSchemeQuickbooks:
		return Signature{Header: "intuit-signature", Encoding: SignatureEncodingBase64}
	case SignatureSchemeAsana:
		return Signature{Header: "X-Hook-Signature"}
	case SignatureSchemeDiscord:
		return Signature{
			Header: "X-Signature-Ed25519", Algorithm: SignatureAlgorithmEd25519, TimeHeader: "X-Signature-Timestamp", Payload: "{ts}{body}",
		}
	case SignatureSchemeStandardWebhooks:
		return Signature{
			Header: "webhook-signature", Encoding: SignatureEncodingBase64, Prefix: "v1,", ListSeparator: " ", TimeHeader: "webhook-timestamp",
			Payload: "{header:webhook-id}.{ts}.{body}", SecretPrefix: "whsec_",
		}
	}
	return Signature{}
}

// handshakeOf gives the fields of a scheme.
func handshakeOf(s HandshakeScheme) Handshake {
	switch s {
	case HandshakeSchemeSlack:
		return Handshake{When: "/type", Equals: "url_verification", Reply: "/challenge"}
	case HandshakeSchemeMicrosoftGraph:
		return Handshake{When: "query:validationToken", Reply: "query:validationToken", Unsigned: true}
	case HandshakeSchemeZoom:
		return Handshake{When: "/event", Equals: "endpoint.url_validation", Fields: map[string]string{
			"plainToken": "/payload/plainToken", "encryptedToken": "hmac:/payload/plainToken",
		}}
	case HandshakeSchemeAsana:
		return Handshake{When: "header:X-Hook-Secret", Reply: "header:X-Hook-Secret", ReplyHeader: "X-Hook-Secret", KeepSecret: true, Unsigned: true}
	case HandshakeSchemeDiscord:
		return Handshake{When: "/type", Equals: "1", Fields: map[string]string{"type": "json:1"}}
	}
	return Handshake{}
}

// Expanded returns the signature with the fields of its scheme and all defaults.
func (s Signature) Expanded() Signature {
	s = over(signatureOf(s.Scheme), s)
	or(&s.Algorithm, SignatureAlgorithmHMAC)
	or(&s.Hash, SignatureHashSha256)
	or(&s.Encoding, SignatureEncodingHex)
	or(&s.TimeUnit, TimeUnitS)
	or(&s.ToleranceS, 300)
	or(&s.Payload, "{body}")
	return s
}

// Timed reports that a delivery says when it was sent.
func (s Signature) Timed() bool {
	return s.TimeHeader != "" || s.TimePairKey != "" || s.TimePointer != ""
}

// Expanded returns the handshake with the fields of its scheme and all defaults.
func (h Handshake) Expanded() Handshake {
	h = over(handshakeOf(h.Scheme), h)
	if len(h.Fields) > 0 {
		h.ContentType = contentJSON
	}
	or(&h.ContentType, contentText)
	return h
}

// What the host answers to a handshake: nothing that a browser would run.
const (
	contentText = "text/plain"
	contentJSON = "application/json"
)

// over lays the fields that more has over base.
func over[T any](base, more T) T {
	text, err := json.Marshal(more)
	if err == nil {
		err = json.Unmarshal(text, &base)
	}
	if err != nil {
		panic("abi: " + err.Error()) // plain fields of one type
	}
	return base
}

const (
	defaultDedupeWindow = 24 * 60 * 60
	maxDedupeWindow     = 30 * defaultDedupeWindow
)

func hookDefaults(h *VendorHook) {
	if h.Signature != nil {
		*h.Signature = h.Signature.Expanded()
	}
	if h.Handshake != nil {
		*h.Handshake = h.Handshake.Expanded()
	}
	or(&h.Dedupe, DedupeID)
	if h.Dedupe == DedupeBody {
		or(&h.DedupeWindowS, defaultDedupeWindow)
	}
	if s := h.Subscription; s != nil {
		or(&s.ID, "/id")
		for _, r := range []*SubscriptionRequest{&s.Create, s.Renew, s.Delete} {
			if r != nil {
				or(&r.Method, "POST")
			}
		}
	}
}

// HookOf finds the vendor hook that a webhook means: by name, or the module's first.
func HookOf(m *Manifest, w Webhook) *VendorHook {
	for i := range m.Hooks {
		if w.Hook == "" || m.Hooks[i].Name == w.Hook {
			return &m.Hooks[i]
		}
	}
	return nil
}

func (c *checker) hook(path string, h *VendorHook) {
	for _, s := range []struct{ field, text string }{{"event", h.Event}, {"event_id", h.EventID}, {"account", h.Account}} {
		if s.text != "" {
			c.source(at(path, s.field), s.text)
		}
	}
	if h.Signature != nil {
		s := h.Signature.Expanded()
		c.signature(at(path, "signature"), &s)
	}
	if h.Handshake != nil {
		shake := h.Handshake.Expanded()
		c.handshake(at(path, "handshake"), h, &shake)
	}
	if h.DedupeWindowS != 0 && h.Dedupe != DedupeBody {
		c.add(at(path, "dedupe_window_s"), "is only for `dedupe: body`")
	}
	if h.DedupeWindowS < 0 || h.DedupeWindowS > maxDedupeWindow {
		c.add(at(path, "dedupe_window_s"), "must be at most %d, which is 30 days", maxDedupeWindow)
	}
	if h.RenewBeforeS < 0 {
		c.add(at(path, "renew_before_s"), "must not be negative")
	}
	c.appHook(path, h)
	if h.Subscription != nil {
		c.subscription(at(path, "subscription"), h.Subscription)
	}
}

// appHook judges what lets one URL serve all accounts of an application.
func (c *checker) appHook(path string, h *VendorHook) {
	switch {
	case h.Account == "" && h.OneAccount:
		c.add(at(path, "account"), "is missing: one_account speaks of it")
	case h.Account == "" && h.AppSecret != "":
		c.add(at(path, "account"), "is missing: app_secret is for events that are routed by it")
	case h.Account != "" && h.AppSecret == "":
		c.add(at(path, "app_secret"), "is missing: name the setting with the secret that the vendor signs with for the application")
	}
	if _, declared := c.settings[h.AppSecret]; h.AppSecret != "" && !declared {
		c.add(at(path, "app_secret"), "%q is not declared; add it to `settings`", clip(h.AppSecret))
	}
	if h.Account == "" {
		return
	}
	for _, claim := range c.m.Hosts {
		if strings.Contains(claim.Host, "{{form.") {
			c.add(at(path, "account"), "accounts of servers that a person names (%s) prove nothing: another person's server could claim the same id", clip(claim.Host))
		}
	}
}

func (c *checker) signature(path string, s *Signature) {
	c.headerName(at(path, "header"), s.Header)
	if s.TimeHeader != "" {
		c.headerName(at(path, "time_header"), s.TimeHeader)
	}
	c.pointer(at(path, "time_pointer"), s.TimePointer)
	if s.TimePairKey != "" && s.PairKey == "" {
		c.add(at(path, "pair_key"), "is missing: time_pair_key says that the header holds pairs")
	}
	if s.TimePairKey != "" && s.TimeHeader != "" {
		c.add(at(path, "time_header"), "the timestamp is in `time_pair_key` already; keep one")
	}
	if s.TimePointer != "" && (s.TimeHeader != "" || s.TimePairKey != "") {
		c.add(at(path, "time_pointer"), "the timestamp is in the header already; keep one")
	}
	if s.ToleranceS < 0 {
		c.add(at(path, "tolerance_s"), "must not be negative")
	}
	c.payload(at(path, "payload"), s)
}

var placeholder = &pattern{text: `\{([^{}]*)\}`}

// payload judges what is signed.
func (c *checker) payload(path string, s *Signature) {
	var names []string
	for _, m := range placeholder.regexp().FindAllStringSubmatch(s.Payload, -1) {
		names = append(names, m[1])
		if header, isHeader := strings.CutPrefix(m[1], "header:"); isHeader {
			c.headerName(path, header)
		} else if !slices.Contains([]string{"body", "params", "ts", "method", "url"}, m[1]) {
			c.add(path, "%q is none of {body} {params} {ts} {method} {url} {header:NAME}", clip(m[0]))
		}
	}
	inHeader := s.TimeHeader != "" || s.TimePairKey != ""
	switch signed := slices.Contains(names, "ts"); {
	case signed && !inHeader:
		c.add(path, "{ts} has no value; say `time_header` or `time_pair_key`")
	case !signed && inHeader:
		c.add(path, "must hold {ts}; a timestamp that is not signed can be changed")
	}
	if !slices.Contains(names, "body") && !slices.Contains(names, "params") {
		c.add(path, "must hold {body} or {params}; what is not signed cannot be trusted")
	}
	if slices.Contains(names, "params") && !slices.Contains(names, "body") && !slices.Contains(names, "url") {
		c.add(path, "must hold {url} beside {params}: the hash of other bodies is there")
	}
}

func (c *checker) handshake(path string, h *VendorHook, s *Handshake) {
	if s.When == "" {
		c.add(at(path, "when"), "is empty; say what shows a handshake, or name a scheme")
	} else {
		c.placeIn(at(path, "when"), s.When)
	}
	switch {
	case (s.Reply == "") == (len(s.Fields) == 0):
		c.add(at(path, "reply"), "say where the text to answer is, in `reply` or in `fields`, one of them")
	case s.Reply != "":
		c.placeIn(at(path, "reply"), s.Reply)
	}
	for _, name := range sortedKeys(s.Fields) {
		from := s.Fields[name]
		if value, literal := strings.CutPrefix(from, "json:"); literal {
			if !json.Valid([]byte(value)) {
				c.add(at(at(path, "fields"), name), "%q is not JSON", clip(value))
			}
			continue
		}
		c.placeIn(at(at(path, "fields"), name), strings.TrimPrefix(from, "hmac:"))
	}
	if s.ReplyHeader != "" {
		c.match(at(path, "reply_header"), s.ReplyHeader, replyHeader, "must begin with X-")
	}
	if s.KeepSecret && s.Reply == "" {
		c.add(at(path, "keep_secret"), "keeps the text at `reply`, which is missing")
	}
	if s.KeepSecret && (h.Account != "" || !s.Unsigned) {
		c.add(at(path, "keep_secret"), "is for hooks of one account whose handshake is `unsigned`: a signed one has its secret already")
	}
	if s.ContentType != contentText && s.ContentType != contentJSON {
		c.add(at(path, "content_type"), "%q must be %s or %s", clip(s.ContentType), contentText, contentJSON)
	}
}

var replyHeader = &pattern{text: `^[Xx]-[A-Za-z0-9-]{1,64}$`}

// placeIn judges `query:NAME`, `header:NAME` or a JSON pointer.
func (c *checker) placeIn(path, text string) {
	if name, ok := strings.CutPrefix(text, "query:"); ok {
		c.match(path, name, plainName, "names no query parameter: write query:NAME")
		return
	}
	c.source(path, text)
}

func (c *checker) subscription(path string, s *HookSubscription) {
	for _, p := range []struct{ field, text string }{{"id", s.ID}, {"expires_at", s.ExpiresAt}, {"secret", s.Secret}} {
		c.pointer(at(path, p.field), p.text)
	}
	if s.LifetimeS < 0 {
		c.add(at(path, "lifetime_s"), "must not be negative")
	}
	if s.Renew != nil && s.ExpiresAt == "" && s.LifetimeS == 0 {
		c.add(at(path, "expires_at"), "is missing: `renew` needs to know when; say it here or in `lifetime_s`")
	}
	c.subscriptionRequest(at(path, "create"), &s.Create)
	if s.Renew != nil {
		c.subscriptionRequest(at(path, "renew"), s.Renew)
	}
	if s.Delete != nil {
		c.subscriptionRequest(at(path, "delete"), s.Delete)
	}
}

func (c *checker) subscriptionRequest(path string, r *SubscriptionRequest) {
	if r.Method != "" {
		c.method(at(path, "method"), r.Method)
	}
	c.requestURL(at(path, "url"), r.URL, inHookURL)
	c.headers(at(path, "headers"), r.Headers, inHook)
	c.templates(at(path, "query"), r.Query, inHook)
	c.templates(at(path, "form"), r.Form, inHook)
	if len(r.Form) > 0 && len(r.JSON) > 0 {
		c.add(at(path, "form"), "a request has one body, `form` or `json`")
	}
	eachText(r.JSON, func(text string) { c.template(at(path, "json"), text, inHook) })
}

// webhookValues are the names in ScopeWebhook and whether each is a secret: an address may carry a key.
var webhookValues = map[string]bool{
	"url": true, "secret": true, "topics": false, "id": false, "until": false, "until_ms": false,
}

// eachText visits the texts in a JSON value that are not names of fields.
func eachText(raw json.RawMessage, visit func(string)) {
	var v any
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil {
		return
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			visit(v)
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for _, name := range sortedKeys(v) {
				walk(v[name])
			}
		}
	}
	walk(v)
}
