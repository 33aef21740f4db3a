package integration

import (
	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/internal/wire"
)

// Reply answers a vendor at once.
type Reply = abi.HTTPReply

// Receipt says what becomes of a webhook.
type Receipt struct {
	// Reply is the answer to the vendor; nil is 202.
	Reply *Reply
	// Drop stores nothing: a handshake.
	Drop bool
	// Event is the vendor's name of the event.
	Event string
	// ID tells a redelivery.
	ID string
}

var receivers = map[string]func(*Call, Webhook[string], frigg.Handle) (Receipt, error){}

// Receive registers the judge of a webhook with verify in the manifest, before it is stored. It has to be quick: the vendor
// waits. Secret is the webhook's; use Call.Verify. A fault refuses the webhook.
func Receive(webhook string, f func(c *Call, w Webhook[string], secret frigg.Handle) (Receipt, error)) {
	wire.Declare("receiver", webhook)
	receivers[webhook] = f
}

func receiveWebhook(h wire.Host, in abi.WebhookInput) (abi.WebhookOutput, error) {
	e := in.Webhook
	f, ok := receivers[e.Webhook]
	if !ok {
		return abi.WebhookOutput{}, frigg.Unsupported("the webhook %s has no handler for Receive", e.Webhook)
	}
	w, err := webhookOf[string](e)
	if err != nil {
		return abi.WebhookOutput{}, err
	}
	r, err := f(&Call{Integration: in.Integration, host: h}, w, frigg.Handle(in.Secret))
	return abi.WebhookOutput{Reply: r.Reply, Drop: r.Drop, Event: r.Event, ID: r.ID}, err
}
