package integration

import (
	"context"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
)

// Receipt is an event in the inbox, without what came.
type Receipt struct {
	ID          EventID
	Integration ID
	Webhook     string
	Event       string // the vendor's name
	Delivery    string // the vendor's id; may be empty
	Bytes       int    // of the stored request
	ReceivedAt  time.Time
	Job         job.ID // that works it off; empty while it is held back
	// State of that job; Held without one, job.Done when it is forgotten.
	State job.State
	// Application says that it came to the URL of the application.
	Application bool
}

// Held is the state of an event that was kept without work, because too much of its record waited. Replay works it off.
const Held job.State = "held"

// ReceiptFilter chooses events of the inbox; what is empty does not count.
type ReceiptFilter struct {
	Integration ID
	Webhook     string
	State       job.State
	Before      EventID // only older ones
}

// maxReceipts bounds a page of the inbox.
const maxReceipts = 200

// Receipts lists the events that the actor's records received, newest first.
func (s *Service) Receipts(ctx context.Context, a account.Actor, f ReceiptFilter, limit int) ([]*Receipt, error) {
	if err := a.Valid(); err != nil {
		return nil, err
	}
	if limit < 1 || limit > maxReceipts {
		return nil, fault.New(fault.Invalid, "integration.Receipts", "limit must be between 1 and %d", maxReceipts)
	}
	return s.Store.Receipts(ctx, a.Owner, f, limit)
}

// Receipt returns an event of the actor's inbox with what came: headers without credentials, and the body as it was.
func (s *Service) Receipt(ctx context.Context, a account.Actor, id EventID) (*Receipt, abi.WebhookEvent, error) {
	if err := a.Valid(); err != nil {
		return nil, abi.WebhookEvent{}, err
	}
	r, err := s.Store.ReceiptByID(ctx, a.Owner, id)
	if err != nil {
		return nil, abi.WebhookEvent{}, err
	}
	e, err := s.Store.EventByID(ctx, a.Owner, id)
	if err != nil {
		return nil, abi.WebhookEvent{}, err
	}
	return r, e.Data, nil
}

// ReplayReceipt works an event of the actor's inbox off once more, as a new delivery, and returns its job. Errors: NotFound;
// Conflict while it is being worked off, or when its record takes no events.
func (s *Service) ReplayReceipt(ctx context.Context, a account.Actor, id EventID) (job.ID, error) {
	if err := a.Valid(); err != nil {
		return "", err
	}
	e, err := s.Store.EventByID(ctx, a.Owner, id)
	if err != nil {
		return "", err
	}
	in, err := s.Integration(ctx, a, e.Integration)
	if err != nil {
		return "", err
	}
	event := s.eventName(in, e.Webhook)
	if Decide(in.Status, event) == Discard {
		return "", fault.New(fault.Conflict, "integration.ReplayReceipt", "the integration is %s and takes no events; enable it first", in.Status)
	}
	then := s.eventJob(in, event, payload{Stored: id})
	if err := s.Store.ReplayEvent(ctx, a.Owner, id, then); err != nil {
		return "", err
	}
	s.wake()
	return then.ID, nil
}

// eventName is the event that the guest gets of a webhook.
func (s *Service) eventName(in *Integration, webhook string) string {
	p, err := s.integrationPlugin(in.Plugin)
	if err != nil {
		return abi.EventOnWebhook
	}
	for _, w := range p.Manifest.Webhooks {
		if w.Name == webhook && w.Event != "" {
			return w.Event
		}
	}
	return abi.EventOnWebhook
}
