package module

import (
	"log/slog"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/internal/wire"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/rest"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/storage"
)

// Connection is the account that a call is about. No secret is in it.
type Connection = abi.Connection

// Call is one call of the module: the account it is about, and the way to the host.
type Call struct {
	Connection Connection
	host       wire.Host
}

// Value returns a value of the connection that is not secret: what the person typed, or what was kept of a token answer.
func (c *Call) Value(name string) string { return c.Connection.Values[name] }

// Details reads the details kept with the account.
func Details[T any](c *Call) (T, error) {
	var details T
	return details, wire.Decode(c.Connection.Details, &details, "the account's details")
}

// Log returns a logger whose lines the operator sees.
func (c *Call) Log() *slog.Logger { return wire.Logger(c.host) }

// HTTP returns the way to the vendor for what Get, Post and the others do not cover.
func (c *Call) HTTP() rest.Client { return rest.New(c.host, "") }

// Storage keeps values of this account.
func (c *Call) Storage() storage.Store { return storage.New(c.host) }

// Sign returns the HMAC-SHA256 of message under a secret that the plugin knows by handle only.
func (c *Call) Sign(secret frigg.Handle, message []byte) ([]byte, error) {
	a, err := wire.CryptoHMACSign(c.host, abi.HMACSign{Secret: string(secret), Message: message})
	return a.Signature, err
}

// Verify compares signature with what Sign returns, in constant time.
func (c *Call) Verify(secret frigg.Handle, message, signature []byte) (bool, error) {
	a, err := wire.CryptoHMACVerify(c.host, abi.HMACVerify{Secret: string(secret), Message: message, Signature: signature})
	return a.Valid, err
}

// Path fills the verbs of format with segments that are escaped; see rest.Path.
func Path(format string, segments ...any) string { return rest.Path(format, segments...) }

// Get asks for path below the API's base URL and decodes the JSON of the answer.
func Get[Out any](c *Call, path string, options ...rest.Option) (Out, error) {
	return rest.Get[Out](c.HTTP(), path, options...)
}

// Post sends body: a value for JSON, or one of the bodies of package rest.
func Post[Out any](c *Call, path string, body any, options ...rest.Option) (Out, error) {
	return rest.Post[Out](c.HTTP(), path, body, options...)
}

// Put puts body at path.
func Put[Out any](c *Call, path string, body any, options ...rest.Option) (Out, error) {
	return rest.Put[Out](c.HTTP(), path, body, options...)
}

// Patch changes what is at path.
func Patch[Out any](c *Call, path string, body any, options ...rest.Option) (Out, error) {
	return rest.Patch[Out](c.HTTP(), path, body, options...)
}

// Delete removes what is at path.
func Delete(c *Call, path string, options ...rest.Option) error {
	return rest.Delete(c.HTTP(), path, options...)
}
