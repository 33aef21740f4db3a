package account

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/host/secret"
)

const (
	tokenPrefix = "fht_" // lets secret scanners recognise ours
	tokenBytes  = 32
)

// TokenHash is the SHA-256 of a token's text. A token has 256 random bits, so a plain hash is as good as a slow one.
type TokenHash [sha256.Size]byte

// Token is what is kept of a token. Its text is shown once, to the client that it was made for.
type Token struct {
	Hash      TokenHash
	User      ID
	IssuedAt  time.Time
	ExpiresAt time.Time
}

// newToken makes a token for user and its text.
func newToken(user ID, now time.Time, ttl time.Duration) (*Token, secret.Text) {
	var raw [tokenBytes]byte
	rand.Read(raw[:]) // never fails: the process ends instead
	text := secret.NewText(tokenPrefix + base64.RawURLEncoding.EncodeToString(raw[:]))
	hash, _ := hashToken(text)
	return &Token{Hash: hash, User: user, IssuedAt: now, ExpiresAt: now.Add(ttl)}, text
}

// hashToken returns what token is stored under, and false if it cannot be one of ours.
func hashToken(token secret.Text) (TokenHash, bool) {
	text := token.Reveal()
	if len(text) != len(tokenPrefix)+base64.RawURLEncoding.EncodedLen(tokenBytes) || !strings.HasPrefix(text, tokenPrefix) {
		return TokenHash{}, false
	}
	return sha256.Sum256([]byte(text)), true
}
