package api

import (
	"context"
	"encoding/base64"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
)

// WebhookEvent is a webhook in the inbox.
type WebhookEvent struct {
	ID            integration.EventID `json:"id" example:"evt_0198c0de-0000-7000-8000-000000000000"`
	IntegrationID integration.ID      `json:"integrationId" example:"int_0198c0de-0000-7000-8000-000000000000"`
	Webhook       string              `json:"webhook" doc:"As the integration declares it." example:"crm"`
	Event         string              `json:"event,omitempty" doc:"The vendor's name of it." example:"contact.created"`
	DeliveryID    string              `json:"deliveryId,omitempty" doc:"The vendor's id of it." example:"d-1"`
	Application   bool                `json:"application" doc:"It came to the URL of the application and was routed by its account."`
	Bytes         int                 `json:"bytes" doc:"Size as it is stored." example:"512"`
	ReceivedAt    time.Time           `json:"receivedAt"`
	State         job.State           `json:"state" doc:"Of the job that works it off. held: too much of the integration waited; replay it." example:"done"`
	JobID         job.ID              `json:"jobId,omitempty" example:"job_0198c0de-0000-7000-8000-000000000000"`
}

// WebhookEventList is a page of the inbox.
type WebhookEventList struct {
	Events []WebhookEvent `json:"events"`
}

// WebhookEventDetail is a webhook with what came.
type WebhookEventDetail struct {
	WebhookEvent
	Headers map[string]string `json:"headers" doc:"Lower case, without credentials and signatures."`
	Query   map[string]string `json:"query"`
	Text    string            `json:"text,omitempty" doc:"The body as it came, when it is UTF-8."`
	Base64  string            `json:"base64,omitempty" doc:"The body otherwise."`
}

// ReplayedEvent names the job that works an event off again.
type ReplayedEvent struct {
	JobID job.ID `json:"jobId" example:"job_0198c0de-0000-7000-8000-000000000000"`
}

type webhookEventsInput struct {
	signedIn
	Integration integration.ID `query:"integrationId" doc:"Only of this integration."`
	Webhook     string         `query:"webhook" doc:"Only of this webhook."`
	State       string         `query:"state" doc:"Only in this state." example:"dead"`
	Before      string         `query:"before" doc:"Only events older than the one with this id."`
	Limit       int            `query:"limit" doc:"At most so many, 1 to 200." default:"50"`
}

type webhookEventInput struct {
	signedIn
	ID integration.EventID `path:"id" doc:"Id of an event." example:"evt_0198c0de-0000-7000-8000-000000000000"`
}

// Webhook is a webhook of an integration.
type Webhook struct {
	Name         string               `json:"name" example:"crm"`
	URL          string               `json:"url" doc:"Where the vendor sends to. Keys that an address may carry are not shown." example:"https://hooks.example.com/api/crm-to-issues-integration/webhooks/int_0198c0de-0000-7000-8000-000000000000"`
	Application  bool                 `json:"application" doc:"One URL for all integrations; events are routed by account."`
	Subscribe    bool                 `json:"subscribe" doc:"The host subscribes at the vendor."`
	Topics       []string             `json:"topics,omitempty" doc:"What is subscribed to."`
	Subscription *WebhookSubscription `json:"subscription,omitempty" doc:"Absent until the host has tried for the first time."`
}

// WebhookSubscription is what the host keeps at a vendor.
type WebhookSubscription struct {
	State     integration.SubscriptionState `json:"state" enum:"subscribing,active,failed"`
	VendorID  string                        `json:"vendorId,omitempty" example:"wh_1"`
	ExpiresAt *time.Time                    `json:"expiresAt,omitempty" doc:"Absent when it does not end."`
	DueAt     *time.Time                    `json:"dueAt,omitempty" doc:"When it is renewed, or tried again."`
	Problem   string                        `json:"problem,omitempty" doc:"Why the last try failed."`
	UpdatedAt time.Time                     `json:"updatedAt"`
}

// WebhookList are the webhooks of an integration.
type WebhookList struct {
	Webhooks []Webhook `json:"webhooks"`
}

func (a *API) inbox() {
	operation(a, huma.Operation{
		OperationID: "listIntegrationWebhooks", Method: http.MethodGet, Path: "/api/v2/integrations/{id}/webhooks", Tags: []string{tagWebhooks},
		Summary: "List the webhooks of an integration", Description: "With the state of the subscriptions that the host keeps at vendors. *Own addition.*",
	}, a.listHooks)
	operation(a, huma.Operation{
		OperationID: "listWebhookEvents", Method: http.MethodGet, Path: "/api/v2/webhook-events", Tags: []string{tagWebhooks},
		Summary: "List received webhooks", Description: "The inbox of the user's integrations, newest first. *Own addition.*",
	}, a.listWebhookEvents)
	operation(a, huma.Operation{
		OperationID: "getWebhookEvent", Method: http.MethodGet, Path: "/api/v2/webhook-events/{id}", Tags: []string{tagWebhooks},
		Summary: "Read a received webhook", Description: "With headers and body, without credentials and signatures. *Own addition.*",
	}, a.getWebhookEvent)
	operation(a, huma.Operation{
		OperationID: "replayWebhookEvent", Method: http.MethodPost, Path: "/api/v2/webhook-events/{id}/replay", Tags: []string{tagWebhooks},
		Summary:       "Replay a received webhook",
		Description:   "Works the event off once more, as a new job; 409 while it is being worked off or when the integration is paused. *Own addition.*",
		DefaultStatus: http.StatusAccepted, Errors: []int{http.StatusConflict},
	}, a.replayWebhookEvent)
}

func (a *API) listWebhookEvents(ctx context.Context, in *webhookEventsInput) (WebhookEventList, error) {
	if in.Limit == 0 {
		in.Limit = defaultJobs
	}
	found, err := a.Integrations.Receipts(ctx, in.actor, integration.ReceiptFilter{
		Integration: in.Integration, Webhook: in.Webhook, State: job.State(in.State), Before: integration.EventID(in.Before),
	}, in.Limit)
	list := WebhookEventList{Events: []WebhookEvent{}}
	for _, r := range found {
		list.Events = append(list.Events, newWebhookEvent(r))
	}
	return list, err
}

func newWebhookEvent(r *integration.Receipt) WebhookEvent {
	return WebhookEvent{
		ID: r.ID, IntegrationID: r.Integration, Webhook: r.Webhook, Event: r.Event, DeliveryID: r.Delivery, Application: r.Application,
		Bytes: r.Bytes, ReceivedAt: r.ReceivedAt, State: r.State, JobID: r.Job,
	}
}

func (a *API) getWebhookEvent(ctx context.Context, in *webhookEventInput) (WebhookEventDetail, error) {
	r, came, err := a.Integrations.Receipt(ctx, in.actor, in.ID)
	if err != nil {
		return WebhookEventDetail{}, err
	}
	out := WebhookEventDetail{WebhookEvent: newWebhookEvent(r), Headers: came.Headers, Query: came.Query, Text: came.Text}
	if len(came.Bytes) > 0 {
		out.Base64 = base64.StdEncoding.EncodeToString(came.Bytes)
	}
	return out, nil
}

func (a *API) replayWebhookEvent(ctx context.Context, in *webhookEventInput) (ReplayedEvent, error) {
	id, err := a.Integrations.ReplayReceipt(ctx, in.actor, in.ID)
	return ReplayedEvent{JobID: id}, err
}

func (a *API) listHooks(ctx context.Context, in *integrationInput) (WebhookList, error) {
	found, err := a.Integrations.Hooks(ctx, in.actor, in.ID)
	list := WebhookList{Webhooks: []Webhook{}}
	for _, h := range found {
		w := Webhook{Name: h.Webhook.Name, URL: h.URL, Application: h.Webhook.App, Subscribe: h.Webhook.Subscribe, Topics: h.Webhook.Topics}
		if s := h.Subscription; s != nil {
			w.Subscription = &WebhookSubscription{
				State: s.State, VendorID: s.VendorID, ExpiresAt: optionalTime(s.ExpiresAt), DueAt: optionalTime(s.DueAt), Problem: s.Problem, UpdatedAt: s.UpdatedAt,
			}
		}
		list.Webhooks = append(list.Webhooks, w)
	}
	return list, err
}

// optionalTime is nil for the zero time.
func optionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
