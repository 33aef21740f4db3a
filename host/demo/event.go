package demo

import (
	"encoding/json"
	"slices"
	"time"
)

// What a subscription can ask for. A deal that is won sends deal.updated and then deal.won.
const (
	contactCreated = "contact.created"
	contactUpdated = "contact.updated"
	contactDeleted = "contact.deleted"
	dealCreated    = "deal.created"
	dealUpdated    = "deal.updated"
	dealWon        = "deal.won"
)

var eventTypes = []string{contactCreated, contactUpdated, contactDeleted, dealCreated, dealUpdated, dealWon}

// event is the body of a webhook. Data is the row after the change, or the last one before it was deleted.
type event struct {
	ID        eventID   `json:"id"`
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	AccountID accountID `json:"account_id"`
	Actor     string    `json:"actor"` // the client that did it, so that it can tell its own echo; "demo" for the person
	Data      any       `json:"data"`
}

// emit queues one delivery for each subscription that wants the event, in the same commit as the change.
func (a *act) emit(kind string, data any) error {
	at := a.tick() // later than any other event, also of the same change
	body, err := json.Marshal(event{
		ID: eventID(a.id("evt_")), Type: kind, Timestamp: at, AccountID: a.Account.ID,
		Actor: a.actor, Data: data,
	})
	if err != nil {
		return err
	}
	for id, sub := range a.Subscriptions {
		if !sub.Active || sub.expired(at) || !slices.Contains(sub.Events, kind) {
			continue
		}
		a.Deliveries = append(a.Deliveries, delivery{
			ID: deliveryID(a.id("msg_")), SubscriptionID: id, Event: kind,
			Body: string(body), State: pending, CreatedAt: at,
		})
		a.woken = append(a.woken, id)
	}
	a.trimDeliveries()
	return nil
}
