package secret

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"

	"github.com/frigg-host/frigg-host/host/fault"
)

// Fingerprints returns a function that gives equal texts equal hashes: HMAC-SHA-256 under a key of owner and purpose (RFC 5869
// from the data key), base64url. Whoever reads the database learns nothing of the texts, not even by guessing them; hashes of
// different owners or purposes cannot be compared, and after Shred they mean nothing. The function is safe for concurrent use.
func (v *Vault) Fingerprints(ctx context.Context, owner, purpose string) (func(text string) string, error) {
	if owner == "" || purpose == "" {
		return nil, fault.New(fault.Internal, "secret.Fingerprints", "owner and purpose must be named")
	}
	key, err := v.key(ctx, owner, "")
	if fault.Is(err, fault.NotFound) {
		key, err = v.newKey(ctx, owner)
	}
	if err != nil {
		return nil, err
	}
	derived, err := hkdf.Expand(sha256.New, key.mac, purpose, sha256.Size)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "secret.Fingerprints", "the key cannot be derived")
	}
	return func(text string) string {
		h := hmac.New(sha256.New, derived)
		h.Write([]byte(text))
		return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
	}, nil
}

// macKey is the part of an open key that fingerprints come from; it cannot be turned back into the data key.
func macKey(raw []byte) ([]byte, error) {
	key, err := hkdf.Extract(sha256.New, raw, []byte(version+" fingerprints"))
	return key, fault.Wrap(err, fault.Internal, "secret.Key", "the key cannot be derived")
}
