package integration

import (
	"encoding/json"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/internal/wire"
)

// Webhook is a webhook that was verified and stored. Body is its JSON; with a Body of type string it is the text as it came.
type Webhook[T any] struct {
	Name       string            // as declared in the manifest
	Event      string            // the vendor's name of the event
	ID         string            // the vendor's id of the delivery
	Header     map[string]string // lower case, without credentials and signatures
	Query      map[string]string
	ReceivedAt time.Time
	Body       T
}

// AnyEvent stands for every event of a webhook that has no handler of its own.
const AnyEvent = "*"

type hookKey struct{ webhook, event string }

var (
	events = map[string]func(*Call, json.RawMessage) error{}
	hooks  = map[hookKey]func(*Call, abi.WebhookEvent) error{}
)

// OnCreate registers what is done after a person connected everything; the record becomes enabled when it succeeds.
func OnCreate(f func(*Call) error) { On(abi.EventOnCreate, ignoreData(f)) }

// OnUpdate registers what is done after the configuration changed.
func OnUpdate(f func(*Call) error) { On(abi.EventOnUpdate, ignoreData(f)) }

// OnDelete registers what is done before the record goes: remove here what was left at vendors.
func OnDelete(f func(*Call) error) { On(abi.EventOnDelete, ignoreData(f)) }

func ignoreData(f func(*Call) error) func(*Call, json.RawMessage) error {
	return func(c *Call, _ json.RawMessage) error { return f(c) }
}

// On registers what works an own event or a schedule's event off.
func On[T any](event Event[T], f func(*Call, T) error) {
	wire.Declare("event", string(event))
	wire.Prepare[T]()
	events[string(event)] = func(c *Call, data json.RawMessage) error {
		var v T
		if err := wire.Decode(data, &v, "the data of "+string(event)); err != nil {
			return frigg.Halt(err)
		}
		return f(c, v)
	}
}

// OnWebhook registers what works off one of the vendor's events of a webhook, or AnyEvent. Events without a handler are
// done at once.
func OnWebhook[T any](webhook, event string, f func(*Call, Webhook[T]) error) {
	wire.Declare("event of webhook "+webhook, event)
	wire.Prepare[T]()
	hooks[hookKey{webhook, event}] = func(c *Call, e abi.WebhookEvent) error {
		w, err := webhookOf[T](e)
		if err != nil {
			return frigg.Halt(err)
		}
		return f(c, w)
	}
}

func webhookOf[T any](e abi.WebhookEvent) (Webhook[T], error) {
	w := Webhook[T]{Name: e.Webhook, Event: e.Event, ID: e.ID, Header: e.Headers, Query: e.Query, ReceivedAt: time.UnixMilli(e.ReceivedAtMS).UTC()}
	text := []byte(e.Text)
	if len(text) == 0 {
		text = e.Bytes
	}
	if s, ok := any(&w.Body).(*string); ok {
		*s = string(text)
		return w, nil
	}
	return w, wire.Decode(text, &w.Body, "the body of the webhook "+e.Webhook)
}

func handleEvent(h wire.Host, in abi.EventInput) (abi.EventOutput, error) {
	c := &Call{Integration: in.Integration, Delivery: in.Delivery, checkpoint: in.Checkpoint, host: h}
	if f, ok := events[in.Event]; ok {
		return abi.EventOutput{}, f(c, in.Data)
	}
	switch in.Event {
	case abi.EventOnCreate, abi.EventOnUpdate, abi.EventOnDelete:
		return abi.EventOutput{}, nil // nothing to do
	}
	var e abi.WebhookEvent
	if json.Unmarshal(in.Data, &e) == nil && e.Webhook != "" {
		return abi.EventOutput{}, handleWebhook(c, e)
	}
	return abi.EventOutput{}, frigg.Unsupported("the event %s has no handler", in.Event)
}

func handleWebhook(c *Call, e abi.WebhookEvent) error {
	for _, event := range []string{e.Event, AnyEvent} {
		if f, ok := hooks[hookKey{e.Webhook, event}]; ok {
			return f(c, e)
		}
	}
	for k := range hooks {
		if k.webhook == e.Webhook {
			c.Log().Debug("webhook without a handler is done", "webhook", e.Webhook, "event", e.Event)
			return nil
		}
	}
	return frigg.Unsupported("the webhook %s has no handler", e.Webhook)
}
