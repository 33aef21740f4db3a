package outbound

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
)

const secretPrefix = "whsec_"

// newSecret makes a symmetric secret as Standard Webhooks writes it.
func newSecret() secret.Text {
	key := make([]byte, 32)
	rand.Read(key)
	return secret.NewText(secretPrefix + base64.StdEncoding.EncodeToString(key))
}

// signed returns the headers of a message: https://github.com/standard-webhooks/standard-webhooks, "Webhook headers". There is
// one signature for each secret.
func signed(secrets []secret.Text, id string, at time.Time, body []byte) (http.Header, error) {
	seconds := strconv.FormatInt(at.Unix(), 10)
	var signatures []string
	for _, s := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s.Reveal(), secretPrefix))
		if err != nil {
			return nil, fault.New(fault.Internal, "outbound.sign", "the secret of a webhook endpoint is not base64")
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + seconds + "."))
		mac.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return http.Header{
		"Content-Type":      {"application/json"},
		"Webhook-Id":        {id},
		"Webhook-Timestamp": {seconds},
		"Webhook-Signature": {strings.Join(signatures, " ")},
	}, nil
}
