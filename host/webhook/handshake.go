package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
)

// maxAnswer bounds what a handshake answers, in bytes.
const maxAnswer = 4096

// Greets reports that a request is a vendor's check of the URL and no event. h must be expanded.
func Greets(h *abi.Handshake, r *Request) bool {
	if h == nil {
		return false
	}
	text, found := r.Find(h.When)
	return found && (h.Equals == "" || text == h.Equals)
}

// Answer is what a handshake is answered with, and the secret that it brought, zero if none is kept. The caller has checked the
// signature unless h.Unsigned; the first of keys signs what is answered. Error: Invalid when the request lacks what the vendor
// wants back.
func Answer(h *abi.Handshake, keys []secret.Text, r *Request) (abi.HTTPReply, secret.Text, error) {
	reply := abi.HTTPReply{Status: http.StatusOK, Headers: map[string]string{"content-type": h.ContentType + "; charset=utf-8"}}
	if len(h.Fields) > 0 {
		text, err := object(h.Fields, keys, r)
		reply.Text = text
		return reply, secret.Text{}, err
	}
	text, err := wanted(h.Reply, r)
	if err != nil {
		return reply, secret.Text{}, err
	}
	if h.ReplyHeader == "" {
		reply.Text = text
	} else if !fitsHeader(text) {
		return reply, secret.Text{}, incomplete(h.Reply)
	} else {
		reply.Headers[h.ReplyHeader] = text
	}
	if h.KeepSecret {
		return reply, secret.NewText(text), nil
	}
	return reply, secret.Text{}, nil
}

// object answers a JSON object.
func object(fields map[string]string, keys []secret.Text, r *Request) (string, error) {
	out := make(map[string]json.RawMessage, len(fields))
	for name, from := range fields {
		if value, literal := strings.CutPrefix(from, "json:"); literal {
			out[name] = json.RawMessage(value)
			continue
		}
		where, sign := strings.CutPrefix(from, "hmac:")
		text, err := wanted(where, r)
		if err != nil {
			return "", err
		}
		if sign {
			if len(keys) == 0 {
				return "", Refused("no secret is set for it")
			}
			mac := hmac.New(sha256.New, []byte(keys[0].Reveal()))
			mac.Write([]byte(text))
			text = hex.EncodeToString(mac.Sum(nil))
		}
		out[name], _ = json.Marshal(text) // a text
	}
	text, err := json.Marshal(out)
	if err != nil {
		return "", fault.Wrap(err, fault.Internal, "webhook.Answer", "the answer that the manifest declares is no JSON")
	}
	return string(text), nil
}

// wanted is a text that the vendor wants back.
func wanted(where string, r *Request) (string, error) {
	text, found := r.Find(where)
	if !found || text == "" || len(text) > maxAnswer || !utf8.ValidString(text) {
		return "", incomplete(where)
	}
	return text, nil
}

func incomplete(where string) error {
	return fault.New(fault.Invalid, "webhook.Answer", "the handshake has no text at %s that can be answered", where)
}

// fitsHeader reports that a text can stand in a header.
func fitsHeader(text string) bool {
	return strings.IndexFunc(text, func(c rune) bool { return c < ' ' || c > '~' }) < 0
}
