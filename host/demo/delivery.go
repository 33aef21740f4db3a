package demo

import (
	"slices"
	"time"
)

// The states of a delivery.
const (
	pending   = "pending"
	delivered = "delivered"
	failed    = "failed"
)

const (
	keepFinished = 200    // finished deliveries that stay to be looked at and sent again
	maxPending   = 10_000 // waiting deliveries; the oldest beyond that fail
)

// delivery is one event on its way to one subscription. Its ID is the webhook-id, the same at each attempt.
type delivery struct {
	ID             deliveryID     `json:"id"`
	SubscriptionID subscriptionID `json:"subscription_id"`
	Event          string         `json:"event"`
	Body           string         `json:"body"`
	State          string         `json:"state"`
	Attempts       int            `json:"attempts"`
	LastStatus     int            `json:"last_status"`
	LastError      string         `json:"last_error"`
	CreatedAt      time.Time      `json:"created_at"`
	NextAttemptAt  *time.Time     `json:"next_attempt_at"`
	FinishedAt     *time.Time     `json:"finished_at"`
}

// deliveryView is what the API shows.
type deliveryView struct {
	ID            deliveryID `json:"id"`
	Event         string     `json:"event"`
	State         string     `json:"state"`
	Attempts      int        `json:"attempts"`
	LastStatus    int        `json:"last_status"`
	LastError     string     `json:"last_error"`
	CreatedAt     time.Time  `json:"created_at"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
	FinishedAt    *time.Time `json:"finished_at"`
}

func (d delivery) view() deliveryView {
	return deliveryView{d.ID, d.Event, d.State, d.Attempts, d.LastStatus, d.LastError, d.CreatedAt, d.NextAttemptAt, d.FinishedAt}
}

func (d deliveryView) stamp() stamp { return stamp{d.CreatedAt, string(d.ID)} }

func (d *delivery) finish(state string, at time.Time) {
	d.State, d.FinishedAt, d.NextAttemptAt = state, &at, nil
}

// nextDelivery is what the subscription's receiver has to get next.
func (s *state) nextDelivery(id subscriptionID) (subscription, delivery, bool) {
	sub := s.Subscriptions[id]
	i := slices.IndexFunc(s.Deliveries, func(d delivery) bool { return d.SubscriptionID == id && d.State == pending })
	if i < 0 || !sub.Active {
		return subscription{}, delivery{}, false
	}
	return sub, s.Deliveries[i], true
}

// trimDeliveries bounds the queue and the history.
func (a *act) trimDeliveries() {
	waiting := 0
	for i := len(a.Deliveries) - 1; i >= 0; i-- {
		d := &a.Deliveries[i]
		if d.State != pending {
			continue
		}
		if waiting++; waiting > maxPending {
			d.LastError = "too many deliveries were waiting"
			d.finish(failed, a.now)
		}
	}
	excess := len(a.Deliveries) - min(waiting, maxPending) - keepFinished
	a.Deliveries = slices.DeleteFunc(a.Deliveries, func(d delivery) bool {
		if excess <= 0 || d.State == pending {
			return false
		}
		excess--
		return true
	})
}

func (c *CRM) listDeliveries(r *request) (reply, error) {
	var rows []deliveryView
	var err error
	c.store.view(func(s *state) {
		var sub subscription
		if sub, err = s.subscriptionOf(r, c.now()); err != nil {
			return
		}
		for _, d := range s.Deliveries {
			if d.SubscriptionID == sub.ID {
				rows = append(rows, d.view())
			}
		}
	})
	if err != nil {
		return reply{}, err
	}
	return page(r, rows)
}

// redeliver sends a delivery again, with the same webhook-id, after those that wait already.
func (c *CRM) redeliver(r *request) (reply, error) {
	var d delivery
	err := c.change(r.token.Client, func(a *act) error {
		sub, err := a.subscriptionOf(r, a.now)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(a.Deliveries, func(d delivery) bool {
			return d.SubscriptionID == sub.ID && d.ID == deliveryID(r.PathValue("delivery"))
		})
		if i < 0 {
			return notFound("delivery")
		}
		if d = a.Deliveries[i]; d.State == pending {
			return nil
		}
		d.State, d.Attempts, d.FinishedAt = pending, 0, nil
		a.Deliveries = append(slices.Delete(a.Deliveries, i, i+1), d)
		a.woken = append(a.woken, sub.ID)
		return nil
	})
	return reply{status: 202, body: d.view()}, err
}
