package integration

import (
	"encoding/json"
	"log/slog"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/internal/wire"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/rest"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/storage"
)

// The record, the accounts that take part, and which try of an event a call is.
type (
	Record   = abi.Integration
	Entity   = abi.Entity
	Delivery = abi.Delivery
	Status   = abi.Status
)

// The states that an integration may set; the others belong to people and the host.
const (
	Enabled     = abi.StatusEnabled
	NeedsConfig = abi.StatusNeedsConfig
	Processing  = abi.StatusProcessing
	Error       = abi.StatusError
)

// Call is one call of the integration: the record it works for, and the way to the host.
type Call struct {
	Integration Record
	// Delivery is zero outside of events.
	Delivery   Delivery
	checkpoint json.RawMessage
	host       wire.Host
}

// Config reads the configuration. Give fields of secrets the type frigg.Handle.
func Config[T any](c *Call) (T, error) {
	var config T
	return config, frigg.Halt(wire.Decode(c.Integration.Config, &config, "the configuration"))
}

// Entity returns the account in a role.
func (c *Call) Entity(role string) (Entity, bool) {
	for _, e := range c.Integration.Entities {
		if e.Role == role {
			return e, true
		}
	}
	return Entity{}, false
}

// Log returns a logger whose lines the operator sees.
func (c *Call) Log() *slog.Logger { return wire.Logger(c.host) }

// HTTP returns the way to the vendor behind a role, for what its module has no method for.
func (c *Call) HTTP(role string) rest.Client { return rest.New(c.host, role) }

// Storage keeps values of this record.
func (c *Call) Storage() storage.Store { return storage.New(c.host) }

// CallModule calls a method of the module behind a role. A fault of the module or of the vendor comes back as it is.
//
//	issue, err := integration.CallModule(c, "gitea", gitea.CreateIssue, gitea.NewIssue{Title: "hello"})
func CallModule[In, Out any](c *Call, role string, method frigg.Method[In, Out], args In) (Out, error) {
	var out Out
	b, err := json.Marshal(args)
	if err != nil {
		return out, err
	}
	a, err := wire.ModuleCall(c.host, abi.ModuleCall{Role: role, Method: string(method), Args: b})
	if err != nil {
		return out, err
	}
	return out, wire.Decode(a.Value, &out, "the result of "+string(method))
}

// Endpoint is where a vendor shall send a webhook, and the secret it shall sign with.
type Endpoint struct {
	URL    string
	Secret frigg.Handle
}

// Webhook returns the address of a webhook of this record, as declared in the manifest. URL and secret stay the same.
func (c *Call) Webhook(name string) (Endpoint, error) {
	a, err := wire.WebhookEndpoint(c.host, abi.WebhookEndpoint{Webhook: name})
	return Endpoint{URL: a.URL, Secret: frigg.Handle(a.Secret)}, err
}

// Event is the name of an own event together with the type of its data; it must be declared in the manifest.
type Event[T any] string

// EnqueueOption changes how an event is enqueued.
type EnqueueOption func(*abi.QueueEnqueue)

// UniqueKey lets nothing be enqueued while an event with the same key waits. Without it the key is the delivery and the ordinal
// of the call, so that a handler that runs again enqueues once.
func UniqueKey(key string) EnqueueOption { return func(r *abi.QueueEnqueue) { r.UniqueKey = key } }

// Delay lets the event wait before it is worked off.
func Delay(d time.Duration) EnqueueOption {
	return func(r *abi.QueueEnqueue) { r.DelayMS = d.Milliseconds() }
}

// Priority lets the event go before those of this record with a lower one, from -100 to 100. Without it it is 0.
func Priority(n int) EnqueueOption { return func(r *abi.QueueEnqueue) { r.Priority = int64(n) } }

// Enqueue adds an event to the work of this record.
func Enqueue[T any](c *Call, event Event[T], data T, options ...EnqueueOption) error {
	r, err := enqueue(event, data, options)
	if err == nil {
		_, err = wire.QueueEnqueue(c.host, r)
	}
	return err
}

// EnqueueAll adds up to 100 events with the same options to the work of this record, all or none. It costs one call.
func EnqueueAll[T any](c *Call, event Event[T], data []T, options ...EnqueueOption) error {
	var batch abi.QueueEnqueueBatch
	for _, d := range data {
		r, err := enqueue(event, d, options)
		if err != nil {
			return err
		}
		batch.Events = append(batch.Events, r)
	}
	_, err := wire.QueueEnqueueBatch(c.host, batch)
	return err
}

func enqueue[T any](event Event[T], data T, options []EnqueueOption) (abi.QueueEnqueue, error) {
	b, err := json.Marshal(data)
	r := abi.QueueEnqueue{Event: string(event), Data: b}
	for _, o := range options {
		o(&r)
	}
	return r, err
}

// Notification is the name of something that the integration tells, together with the type of its data; it must be declared in
// the manifest's `notifications`.
type Notification[T any] string

// Notify tells the embedding product something. It becomes the event notify.NAME of the host's webhooks; a handler that runs
// again tells nothing twice.
func Notify[T any](c *Call, name Notification[T], data T) error {
	b, err := json.Marshal(data)
	if err != nil {
		return err
	}
	_, err = wire.NotifySend(c.host, abi.Notify{Name: string(name), Data: b})
	return err
}

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
