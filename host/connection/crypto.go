package connection

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/secret"
)

// NewCrypto is the capability `crypto` over the secrets that a guest knows by handle.
func NewCrypto(h *secret.Handles) plugin.CryptoCapability { return crypto{h} }

type crypto struct{ handles *secret.Handles }

// HMACSign implements plugin.CryptoCapability.
func (c crypto) HMACSign(_ context.Context, r abi.HMACSign) (abi.HMACSignature, error) {
	sum, err := c.sum(r.Secret, r.Hash, r.Message)
	return abi.HMACSignature{Signature: sum}, err
}

// HMACVerify implements plugin.CryptoCapability.
func (c crypto) HMACVerify(_ context.Context, r abi.HMACVerify) (abi.HMACVerdict, error) {
	sum, err := c.sum(r.Secret, r.Hash, r.Message)
	return abi.HMACVerdict{Valid: err == nil && hmac.Equal(sum, r.Signature)}, err
}

func (c crypto) sum(handle string, algorithm abi.HashAlgorithm, message []byte) ([]byte, error) {
	key, err := c.handles.Lookup(handle)
	if err != nil {
		return nil, err
	}
	var h func() hash.Hash
	switch algorithm {
	case "", abi.HashAlgorithmSha256:
		h = sha256.New
	case abi.HashAlgorithmSha1:
		h = sha1.New
	case abi.HashAlgorithmSha512:
		h = sha512.New
	default:
		return nil, fault.New(fault.Invalid, "connection.HMAC", "hash must be sha256, sha1 or sha512").On(fault.Guest)
	}
	mac := hmac.New(h, []byte(key.Reveal()))
	mac.Write(message)
	return mac.Sum(nil), nil
}
