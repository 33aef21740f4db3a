package integration

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
)

const defaultTolerance = 300 // seconds

func badSignature(why string) error {
	return &fault.Error{Kind: fault.Unauthorized, Side: fault.Caller, Op: "integration.verify", Msg: "the webhook's signature was refused: " + why}
}

// verify checks a vendor's HMAC over the raw bytes of a request, in constant time, and the age of its timestamp.
func verify(sig abi.Signature, key secret.Text, in Inbound, now time.Time) error {
	header := in.Header.Get(sig.Header)
	if header == "" {
		return badSignature("header " + sig.Header + " is missing")
	}
	if len(header) > 4096 {
		return badSignature("header " + sig.Header + " is too long")
	}
	candidates, stamp := signatures(sig, header)
	if sig.TimeHeader != "" {
		stamp = in.Header.Get(sig.TimeHeader)
	}
	if sig.TimeHeader != "" || sig.TimePairKey != "" {
		if err := fresh(sig, stamp, now); err != nil {
			return err
		}
	}
	raw, err := rawKey(sig, key)
	if err != nil {
		return err
	}
	mac := hmac.New(hashOf(sig.Hash), raw)
	mac.Write(signedPayload(sig.Payload, stamp, in))
	want := mac.Sum(nil)
	for _, c := range candidates {
		if got, ok := decodeSignature(sig.Encoding, c); ok && hmac.Equal(got, want) {
			return nil
		}
	}
	return badSignature("it does not match the body and this webhook's secret")
}

// signatures takes a header apart: the signatures in it, and the timestamp if it is there too.
func signatures(sig abi.Signature, header string) (candidates []string, stamp string) {
	parts := []string{header}
	if sig.ListSeparator != "" {
		parts = strings.Split(header, sig.ListSeparator)
	} else if sig.PairKey != "" {
		parts = strings.Split(header, ",")
	}
	for _, p := range parts {
		p = strings.TrimSpace(p)
		if sig.PairKey != "" {
			k, v, ok := strings.Cut(p, "=")
			switch {
			case ok && k == sig.TimePairKey:
				stamp = v
			case ok && k == sig.PairKey:
				candidates = append(candidates, v)
			}
			continue
		}
		if v, ok := strings.CutPrefix(p, sig.Prefix); ok {
			candidates = append(candidates, v)
		}
	}
	return candidates, stamp
}

func fresh(sig abi.Signature, stamp string, now time.Time) error {
	n, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return badSignature("its timestamp is missing or not a number")
	}
	at := time.Unix(n, 0)
	if sig.TimeUnit == abi.TimeUnitMS {
		at = time.UnixMilli(n)
	}
	tolerance := time.Duration(sig.ToleranceS) * time.Second
	if tolerance <= 0 {
		tolerance = defaultTolerance * time.Second
	}
	if age := now.Sub(at); age > tolerance || age < -tolerance {
		return badSignature("its timestamp is too old or in the future; an old delivery must be sent anew")
	}
	return nil
}

func rawKey(sig abi.Signature, key secret.Text) ([]byte, error) {
	if sig.SecretPrefix == "" {
		return []byte(key.Reveal()), nil
	}
	text, _ := strings.CutPrefix(key.Reveal(), sig.SecretPrefix)
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fault.New(fault.Invalid, "integration.verify", "the webhook's secret must be %s and base64", sig.SecretPrefix)
	}
	return raw, nil
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

// signedPayload fills `{body} {ts} {method} {url} {header:NAME}` of a payload text. The body is put in as it came.
func signedPayload(text, stamp string, in Inbound) []byte {
	if text == "" || text == "{body}" {
		return in.Body
	}
	var out []byte
	for text != "" {
		open := strings.IndexByte(text, '{')
		end := strings.IndexByte(text, '}')
		if open < 0 || end < open {
			return append(out, text...)
		}
		out = append(out, text[:open]...)
		name := text[open+1 : end]
		text = text[end+1:]
		switch name {
		case "body":
			out = append(out, in.Body...)
		case "ts":
			out = append(out, stamp...)
		case "method":
			out = append(out, in.Method...)
		case "url":
			out = append(out, in.URL...)
		default:
			if h, ok := strings.CutPrefix(name, "header:"); ok {
				out = append(out, in.Header.Get(h)...)
			}
		}
	}
	return out
}

func decodeSignature(e abi.SignatureEncoding, text string) ([]byte, bool) {
	if e == abi.SignatureEncodingBase64 {
		b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
		return b, err == nil
	}
	b, err := hex.DecodeString(text)
	return b, err == nil
}

// headerText reads `header:NAME` or a JSON pointer from a request.
func headerName(where string) (string, bool) {
	name, ok := strings.CutPrefix(where, "header:")
	return http.CanonicalHeaderKey(name), ok
}
