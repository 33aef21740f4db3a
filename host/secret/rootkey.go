package secret

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"github.com/frigg-host/frigg-host/host/fault"
)

// keyBytes is the length of root keys and data keys: AES-256.
const keyBytes = 32

// Keyring wraps data keys under root keys. The root key itself may live elsewhere, so calls may take long and fail with
// fault.Unavailable. Associated data that went into Wrap must go into Unwrap.
type Keyring interface {
	// ID names the root key that Wrap uses.
	ID() string
	// Wrap seals a data key.
	Wrap(ctx context.Context, dataKey, associated []byte) ([]byte, error)
	// Unwrap opens what Wrap made under the root key named id.
	Unwrap(ctx context.Context, id string, wrapped, associated []byte) ([]byte, error)
}

// RootKey is a Keyring of one key in memory. It does not print.
type RootKey struct {
	id   string
	seal cipher.AEAD
}

var _ Keyring = (*RootKey)(nil)

// ParseRootKey reads a key as it is written in a file or a variable: 32 bytes in base64, standard or URL alphabet, with
// or without padding. White space around it is ignored.
func ParseRootKey(text Text) (*RootKey, error) {
	plain := strings.TrimRight(strings.TrimSpace(text.Reveal()), "=")
	plain = strings.NewReplacer("-", "+", "_", "/").Replace(plain)
	raw, err := base64.RawStdEncoding.DecodeString(plain)
	if err != nil {
		// The decoder's error is left out: it would quote a part of the key.
		return nil, fault.New(fault.Invalid, "secret.ParseRootKey", "the root key is not base64").On(fault.Host)
	}
	if len(raw) != keyBytes {
		return nil, fault.New(fault.Invalid, "secret.ParseRootKey", "the root key has %d bytes, it must have %d", len(raw), keyBytes).On(fault.Host)
	}
	return newRootKey(raw)
}

// GenerateRootKey makes a new key and the text that ParseRootKey reads.
func GenerateRootKey() (*RootKey, Text) {
	raw := randomKey()
	key, err := newRootKey(raw)
	if err != nil {
		panic(err) // only a wrong length could cause it
	}
	return key, NewText(base64.StdEncoding.EncodeToString(raw))
}

func newRootKey(raw []byte) (*RootKey, error) {
	seal, err := newAEAD(raw)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append([]byte("frigg-host root key\x00"), raw...))
	return &RootKey{id: "k_" + hex.EncodeToString(sum[:4]), seal: seal}, nil
}

// ID is "k_" and the beginning of a hash of the key. It may be shown to anybody.
func (k *RootKey) ID() string { return k.id }

// Wrap seals a data key.
func (k *RootKey) Wrap(_ context.Context, dataKey, associated []byte) ([]byte, error) {
	return k.seal.Seal(nil, nil, dataKey, associated), nil
}

// Unwrap opens what Wrap made. Returns fault.Unavailable if id is another key, fault.Internal if wrapped was changed.
func (k *RootKey) Unwrap(_ context.Context, id string, wrapped, associated []byte) ([]byte, error) {
	if id != k.id {
		return nil, fault.New(fault.Unavailable, "secret.Unwrap", "the data key needs root key %s, and this host has %s", id, k.id)
	}
	dataKey, err := k.seal.Open(nil, nil, wrapped, associated)
	if err != nil {
		return nil, fault.New(fault.Internal, "secret.Unwrap", "the data key does not open under root key %s: it was changed or belongs elsewhere", id).With(err)
	}
	return dataKey, nil
}

func randomKey() []byte {
	raw := make([]byte, keyBytes)
	rand.Read(raw) // never fails: the process ends instead
	return raw
}

// newAEAD returns AES-256-GCM that puts a random nonce before each ciphertext. One key is good for 2^32 of them.
func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fault.New(fault.Internal, "secret.Key", "a key has %d bytes", len(key)).With(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fault.New(fault.Internal, "secret.Key", "AES-GCM is not available").With(err)
	}
	return aead, nil
}
