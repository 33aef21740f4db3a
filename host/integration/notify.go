package integration

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/event"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
)

const (
	maxNotification = 16 << 10 // bytes of its data
	maxNotified     = 1000     // of a record within an hour
)

// notification serves what the integration tells the embedding product.
type notification run

func (c *notification) Send(ctx context.Context, q abi.Notify) (abi.Empty, error) {
	declared := false
	for _, n := range c.plugin.Manifest.Notifications {
		declared = declared || n.Name == q.Name
	}
	if !declared {
		return abi.Empty{}, guestFault(fault.Invalid, "notification %.64q is not declared in the manifest", q.Name)
	}
	if len(q.Data) > maxNotification {
		return abi.Empty{}, guestFault(fault.TooLarge, "data of a notification has at most %d bytes", maxNotification)
	}
	if len(q.Data) > 0 && !json.Valid(q.Data) {
		return abi.Empty{}, guestFault(fault.Invalid, "data of a notification must be JSON")
	}
	now := c.s.now()
	f := event.New(c.in.Owner, event.Notify(q.Name), string(c.in.ID), event.Notification{IntegrationID: string(c.in.ID), Type: c.in.Plugin, Data: q.Data}, now)
	return abi.Empty{}, c.s.Store.Notify(ctx, f, c.once(ctx), maxNotified, now.Add(-time.Hour))
}

// once lets a repeated try of a delivery tell nothing twice. What a person waits for is always new.
func (c *notification) once(ctx context.Context) string {
	key := rand.Text()
	if recorded := plugin.HostCallOf(ctx); recorded != nil {
		key = recorded.Key
	}
	return string(c.in.ID) + "|" + key
}
