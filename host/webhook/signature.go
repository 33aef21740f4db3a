package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"mime"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
)

// maxHeader bounds a header with signatures, in bytes.
const maxHeader = 4096

// Refused is the fault of a request that does not prove where it comes from.
func Refused(why string) error {
	return &fault.Error{Kind: fault.Unauthorized, Side: fault.Caller, Op: "webhook.Verify", Msg: "the webhook's signature was refused: " + why}
}

// Keys reads a text with one secret per line: while a secret is rotated, the old and the new one count.
func Keys(text secret.Text) []secret.Text {
	var keys []secret.Text
	for line := range strings.Lines(text.Reveal()) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			keys = append(keys, secret.NewText(line))
		}
	}
	return keys
}

// Verify checks a vendor's signature over the raw bytes of a request, in constant time, and how old it is. s must be expanded
// (abi.Signature.Expanded). One of keys must have made it; none at all, or an empty one, refuses. Errors: Unauthorized on side
// Caller for the request; Invalid on side Host when no key has the form that the scheme wants.
func Verify(s abi.Signature, keys []secret.Text, r *Request, now time.Time) error {
	header := r.Header.Get(s.Header)
	switch {
	case header == "":
		return Refused("header " + s.Header + " is missing")
	case len(header) > maxHeader:
		return Refused("header " + s.Header + " is too long")
	}
	candidates, stamp := signatures(s, header)
	if s.TimeHeader != "" {
		stamp = r.Header.Get(s.TimeHeader)
	}
	if s.TimeHeader != "" || s.TimePairKey != "" {
		if err := fresh(s, stamp, now); err != nil {
			return err
		}
	}
	payload, err := signed(s.Payload, stamp, r)
	if err != nil {
		return err
	}
	if err := match(s, keys, payload, candidates); err != nil {
		return err
	}
	if s.TimePointer != "" { // is believed only now
		return fresh(s, r.Text(s.TimePointer), now)
	}
	return nil
}

// match reports whether one of the keys made one of the signatures.
func match(s abi.Signature, keys []secret.Text, payload []byte, candidates []string) error {
	usable := 0
	for _, k := range keys {
		raw, ok := keyBytes(s, k)
		if !ok {
			continue
		}
		usable++
		check := checker(s, raw, payload)
		for _, c := range candidates {
			if got, ok := decode(s.Encoding, c); ok && check(got) {
				return nil
			}
		}
	}
	if usable == 0 && len(keys) > 0 {
		return fault.New(fault.Invalid, "webhook.Verify", "the webhook's secret does not have the form that its scheme wants: %s", form(s)).On(fault.Host)
	}
	return Refused("it does not match what came and this webhook's secret")
}

func form(s abi.Signature) string {
	if s.Algorithm == abi.SignatureAlgorithmEd25519 {
		return "a public key of 32 bytes in hex or base64"
	}
	return s.SecretPrefix + " and base64"
}

// checker compares with what the key makes of the payload.
func checker(s abi.Signature, key, payload []byte) func(signature []byte) bool {
	if s.Algorithm == abi.SignatureAlgorithmEd25519 {
		return func(signature []byte) bool {
			return len(signature) == ed25519.SignatureSize && ed25519.Verify(key, payload, signature)
		}
	}
	mac := hmac.New(hashOf(s.Hash), key)
	mac.Write(payload)
	want := mac.Sum(nil)
	return func(signature []byte) bool { return hmac.Equal(signature, want) }
}

// keyBytes is the key in the form that it is used in.
func keyBytes(s abi.Signature, key secret.Text) ([]byte, bool) {
	text, _ := strings.CutPrefix(key.Reveal(), s.SecretPrefix)
	if s.Algorithm == abi.SignatureAlgorithmEd25519 {
		raw, err := hex.DecodeString(text)
		if err != nil {
			raw, err = base64.StdEncoding.DecodeString(text)
		}
		return raw, err == nil && len(raw) == ed25519.PublicKeySize
	}
	if s.SecretPrefix == "" {
		return []byte(text), text != ""
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	return raw, err == nil && len(raw) > 0
}

// signatures takes a header apart: the signatures in it, and the timestamp if it is there too.
func signatures(s abi.Signature, header string) (candidates []string, stamp string) {
	parts := []string{header}
	if s.ListSeparator != "" {
		parts = strings.Split(header, s.ListSeparator)
	} else if s.PairKey != "" {
		parts = strings.Split(header, ",")
	}
	for _, p := range parts {
		p = strings.TrimSpace(p)
		if s.PairKey != "" {
			k, v, ok := strings.Cut(p, "=")
			switch {
			case ok && k == s.TimePairKey:
				stamp = v
			case ok && k == s.PairKey:
				candidates = append(candidates, v)
			}
			continue
		}
		if v, ok := strings.CutPrefix(p, s.Prefix); ok {
			candidates = append(candidates, v)
		}
	}
	return candidates, stamp
}

func fresh(s abi.Signature, stamp string, now time.Time) error {
	n, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return Refused("its timestamp is missing or not a number")
	}
	at := time.Unix(n, 0)
	if s.TimeUnit == abi.TimeUnitMS {
		at = time.UnixMilli(n)
	}
	tolerance := time.Duration(s.ToleranceS) * time.Second
	if at.Before(now.Add(-tolerance)) || at.After(now.Add(tolerance)) {
		return Refused("its timestamp is too old or in the future; an old delivery must be sent anew")
	}
	return nil
}

func hashOf(h abi.SignatureHash) func() hash.Hash {
	switch h {
	case abi.SignatureHashSha1:
		return sha1.New
	case abi.SignatureHashSha512:
		return sha512.New
	}
	return sha256.New
}

// signed fills `{body} {params} {ts} {method} {url} {header:NAME}` of a payload text. The body is put in as it came.
func signed(text, stamp string, r *Request) ([]byte, error) {
	if text == "{body}" {
		return r.Body, nil
	}
	var out []byte
	for text != "" {
		open := strings.IndexByte(text, '{')
		end := strings.IndexByte(text, '}')
		if open < 0 || end < open {
			return append(out, text...), nil
		}
		out = append(out, text[:open]...)
		name := text[open+1 : end]
		text = text[end+1:]
		switch name {
		case "body":
			out = append(out, r.Body...)
		case "params":
			params, err := parameters(r)
			if err != nil {
				return nil, err
			}
			out = append(out, params...)
		case "ts":
			out = append(out, stamp...)
		case "method":
			out = append(out, r.Method...)
		case "url":
			out = append(out, r.URL...)
		default:
			if h, ok := strings.CutPrefix(name, "header:"); ok {
				out = append(out, r.Header.Get(h)...)
			}
		}
	}
	return out, nil
}

// bodyHash is the query parameter in which Twilio sends the hash of a body that is no form.
const bodyHash = "bodySHA256"

// parameters are names and values of a form, sorted, one behind the other: https://www.twilio.com/docs/usage/security. Any other
// body must have the hash that the URL, which is signed too, says.
func parameters(r *Request) (string, error) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind != "application/x-www-form-urlencoded" {
		sum := sha256.Sum256(r.Body)
		want := strings.ToLower(r.Query.Get(bodyHash))
		if len(r.Body) > 0 && subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(want)) != 1 {
			return "", Refused("the hash of the body is not the one in " + bodyHash)
		}
		return "", nil
	}
	form, err := url.ParseQuery(string(r.Body))
	if err != nil {
		return "", Refused("its form cannot be read")
	}
	names := make([]string, 0, len(form))
	for name := range form {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		values := form[name]
		slices.Sort(values)
		for _, v := range slices.Compact(values) {
			b.WriteString(name)
			b.WriteString(v)
		}
	}
	return b.String(), nil
}

// decode is strict: bits that mean nothing must be zero, so that a signature has one spelling but for the case of hex.
func decode(e abi.SignatureEncoding, text string) ([]byte, bool) {
	if e == abi.SignatureEncodingBase64 {
		b, err := base64.RawStdEncoding.Strict().DecodeString(strings.TrimRight(text, "="))
		return b, err == nil
	}
	b, err := hex.DecodeString(text)
	return b, err == nil
}
