package demo

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"sync"
)

type (
	accountID      string
	contactID      string
	dealID         string
	noteID         string
	taskID         string
	eventID        string
	subscriptionID string
	deliveryID     string
	grantID        string
)

// ids makes ids and secrets; a plain io.Reader need not be safe for concurrent use, this is.
type ids struct {
	mu   sync.Mutex
	rand io.Reader
}

// id returns prefix and 20 hexadecimal digits.
func (i *ids) id(prefix string) string { return prefix + hex.EncodeToString(i.bytes(10)) }

// secret returns 43 URL-safe characters that nobody can guess.
func (i *ids) secret() string { return base64.RawURLEncoding.EncodeToString(i.bytes(32)) }

func (i *ids) bytes(n int) []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	b := make([]byte, n)
	if _, err := io.ReadFull(i.rand, b); err != nil {
		panic("demo: the source of randomness failed: " + err.Error())
	}
	return b
}

// hash is how codes and tokens are kept: they are random, so one round is enough.
func hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
