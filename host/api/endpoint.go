package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/event"
	"github.com/frigg-host/frigg-host/host/outbound"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/labstack/echo/v4"
)

// Outbound is what this room needs of the outbound room.
type Outbound interface {
	CreateEndpoint(ctx context.Context, o account.Owner, c outbound.Settings) (*outbound.Endpoint, secret.Text, error)
	Endpoint(ctx context.Context, o account.Owner, id outbound.EndpointID) (*outbound.Endpoint, error)
	Endpoints(ctx context.Context, o account.Owner) ([]*outbound.Endpoint, error)
	UpdateEndpoint(ctx context.Context, o account.Owner, id outbound.EndpointID, c outbound.Settings) (*outbound.Endpoint, error)
	RemoveEndpoint(ctx context.Context, o account.Owner, id outbound.EndpointID) error
	RotateSecret(ctx context.Context, o account.Owner, id outbound.EndpointID) (*outbound.Endpoint, secret.Text, error)
	TestEndpoint(ctx context.Context, o account.Owner, id outbound.EndpointID) (outbound.Answer, error)
	Deliveries(ctx context.Context, o account.Owner, id outbound.EndpointID, states []outbound.Progress, before outbound.DeliveryID, limit int) ([]*outbound.Delivery, error)
	Redeliver(ctx context.Context, o account.Owner, id outbound.EndpointID, d outbound.DeliveryID) error
}

// told is the gate of what a user does for itself, and the product's own server, naming no user, for all of them.
type told struct{ owner account.Owner }

func (t *told) admit(a *API, c echo.Context) error {
	h := c.Request().Header
	if h.Get(headerBackendKey) != "" && h.Get(headerAppUserID) == "" && h.Get(headerAppOrgID) == "" {
		if !a.isBackend(h.Get(headerBackendKey)) {
			return wrongBackendKey()
		}
		t.owner = outbound.Operator
		return nil
	}
	var s signedIn
	if err := s.admit(a, c); err != nil {
		return err
	}
	t.owner = s.actor.Owner
	return nil
}

func (*told) security() []map[string][]string { return (*signedIn)(nil).security() }

// Endpoint is where somebody is told what happened.
type Endpoint struct {
	ID           outbound.EndpointID `json:"id" example:"whe_0198c0de-0000-7000-8000-000000000000"`
	URL          string              `json:"url" example:"https://app.example.com/hooks/frigg"`
	Description  string              `json:"description"`
	Events       []event.Pattern     `json:"events" doc:"Which events it gets." example:"[\"integration.*\",\"notify.DEAL_WON\"]"`
	State        outbound.State      `json:"state" enum:"enabled,disabled,failing,gone" doc:"disabled: paused by a person. failing: every try of days failed. gone: it answered 410."`
	Reason       string              `json:"reason,omitempty" doc:"Why it is not enabled." example:"it answered 410 Gone: it wants nothing any more"`
	FailingSince *time.Time          `json:"failingSince,omitempty" doc:"First failure after the last success."`
	OldSecretEnd *time.Time          `json:"oldSecretUntil,omitempty" doc:"Until then messages are also signed with the secret before."`
	CreatedAt    time.Time           `json:"createdAt"`
	UpdatedAt    time.Time           `json:"updatedAt"`
}

// EndpointWithSecret is an endpoint at the only moment at which its secret is shown.
type EndpointWithSecret struct {
	Endpoint
	Secret string `json:"secret" doc:"Verifies the signatures (Standard Webhooks). It is shown this once." example:"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"`
}

// EndpointList lists endpoints by age.
type EndpointList struct {
	Endpoints []Endpoint `json:"endpoints"`
}

// Delivery is one event for one endpoint.
type Delivery struct {
	ID        outbound.DeliveryID `json:"id" example:"whd_0198c0de-0000-7000-8000-000000000000"`
	EventID   event.ID            `json:"eventId" doc:"The header webhook-id, the same in every try." example:"fact_0198c0de-0000-7000-8000-000000000000"`
	Type      event.Name          `json:"type" example:"integration.enabled"`
	State     outbound.Progress   `json:"state" enum:"waiting,held,done,failed" doc:"held: until the endpoint is enabled again."`
	Attempt   int                 `json:"attempt" doc:"Tries so far." example:"3"`
	NextAt    *time.Time          `json:"nextAt,omitempty" doc:"When the next try is due."`
	Status    int                 `json:"status,omitempty" doc:"HTTP status of the last try." example:"503"`
	Error     string              `json:"error,omitempty" doc:"Why the last try failed." example:"it answered 503 Service Unavailable"`
	CreatedAt time.Time           `json:"createdAt"`
	UpdatedAt time.Time           `json:"updatedAt"`
}

// DeliveryList is a page of deliveries.
type DeliveryList struct {
	Deliveries []Delivery `json:"deliveries"`
}

// EndpointTest is what became of a test.
type EndpointTest struct {
	OK     bool   `json:"ok"`
	Status int    `json:"status,omitempty" doc:"HTTP status of the answer." example:"204"`
	Error  string `json:"error,omitempty" doc:"Why it failed." example:"app.example.com cannot be reached (connection refused)"`
	TookMS int64  `json:"tookMs" example:"87"`
}

type newEndpointInput struct {
	told
	Body struct {
		URL         string          `json:"url" doc:"Where messages are sent; https." example:"https://app.example.com/hooks/frigg"`
		Description string          `json:"description,omitempty"`
		Events      []event.Pattern `json:"events,omitempty" doc:"Which events it gets: names, groups such as integration.*, or * for all, which is the default."`
	}
}

type endpointInput struct {
	told
	ID outbound.EndpointID `path:"id" doc:"Id of a webhook endpoint." example:"whe_0198c0de-0000-7000-8000-000000000000"`
}

type endpointChange struct {
	endpointInput
	Body struct {
		URL         *string         `json:"url,omitempty"`
		Description *string         `json:"description,omitempty"`
		Events      []event.Pattern `json:"events,omitempty"`
		Enabled     *bool           `json:"enabled,omitempty" doc:"false pauses it: what happens meanwhile is not sent. true enables it again; after failures what was held goes on."`
	}
}

type deliveriesInput struct {
	endpointInput
	State  string `query:"state" doc:"Only deliveries in these states, separated by commas." example:"failed,held"`
	Before string `query:"before" doc:"Only deliveries older than the one with this id."`
	Limit  int    `query:"limit" doc:"At most so many, 1 to 200." default:"50"`
}

type deliveryInput struct {
	endpointInput
	Delivery outbound.DeliveryID `path:"delivery" doc:"Id of a delivery." example:"whd_0198c0de-0000-7000-8000-000000000000"`
}

const aboutEndpoints = "Messages are signed and shaped as Standard Webhooks says, and tried over three days. With the backend key and no user " +
	"these are the operator's endpoints, which hear of all users. *Own addition.*"

func (a *API) endpoints() {
	const path = "/api/v2/webhook-endpoints"
	tags := []string{tagEvents}
	operation(a, huma.Operation{
		OperationID: "createWebhookEndpoint", Method: http.MethodPost, Path: path, Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Create a webhook endpoint", Description: "Answers with its secret, which is shown this once. 409 beyond 20. " + aboutEndpoints, Errors: []int{http.StatusConflict},
	}, a.createEndpoint)
	operation(a, huma.Operation{OperationID: "listWebhookEndpoints", Method: http.MethodGet, Path: path, Tags: tags, Summary: "List webhook endpoints", Description: aboutEndpoints}, a.listEndpoints)
	operation(a, huma.Operation{OperationID: "getWebhookEndpoint", Method: http.MethodGet, Path: path + "/{id}", Tags: tags, Summary: "Get a webhook endpoint", Description: "*Own addition.*"}, a.getEndpoint)
	operation(a, huma.Operation{
		OperationID: "updateWebhookEndpoint", Method: http.MethodPatch, Path: path + "/{id}", Tags: tags,
		Summary: "Change, pause or enable a webhook endpoint", Description: "Fields that are left out stay. *Own addition.*",
	}, a.updateEndpoint)
	operation(a, huma.Operation{OperationID: "deleteWebhookEndpoint", Method: http.MethodDelete, Path: path + "/{id}", Tags: tags, Summary: "Delete a webhook endpoint", Description: "What waits for it is dropped. *Own addition.*"}, a.deleteEndpoint)
	operation(a, huma.Operation{
		OperationID: "rotateWebhookSecret", Method: http.MethodPost, Path: path + "/{id}/rotate", Tags: tags,
		Summary: "Give a webhook endpoint a new secret", Description: "Answers with the new secret, which is shown this once. For 24 hours messages are signed with both. *Own addition.*",
		Errors: []int{http.StatusConflict},
	}, a.rotateEndpoint)
	operation(a, huma.Operation{
		OperationID: "testWebhookEndpoint", Method: http.MethodPost, Path: path + "/{id}/test", Tags: tags,
		Summary: "Send a test message", Description: "Sends an endpoint.test at once and answers with what became of it. *Own addition.*", Errors: []int{http.StatusTooManyRequests},
	}, a.testEndpoint)
	operation(a, huma.Operation{OperationID: "listWebhookDeliveries", Method: http.MethodGet, Path: path + "/{id}/deliveries", Tags: tags, Summary: "List deliveries of a webhook endpoint", Description: "Newest first. *Own addition.*"}, a.listDeliveries)
	operation(a, huma.Operation{
		OperationID: "redeliverWebhook", Method: http.MethodPost, Path: path + "/{id}/deliveries/{delivery}/redeliver", Tags: tags, DefaultStatus: http.StatusAccepted,
		Summary: "Send a delivery again", Description: "From the first try, with the same webhook-id; 409 while it waits. *Own addition.*", Errors: []int{http.StatusConflict},
	}, a.redeliver)
}

func newEndpoint(e *outbound.Endpoint) Endpoint {
	return Endpoint{
		ID: e.ID, URL: e.URL, Description: e.Description, Events: e.Events, State: e.State, Reason: e.Reason,
		FailingSince: unlessZero(e.FailingSince), OldSecretEnd: unlessZero(e.OldUntil), CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt,
	}
}

func unlessZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (a *API) createEndpoint(ctx context.Context, in *newEndpointInput) (EndpointWithSecret, error) {
	c := outbound.Settings{URL: &in.Body.URL, Description: &in.Body.Description, Events: in.Body.Events}
	return shownOnce(a.Outbound.CreateEndpoint(ctx, in.owner, c))
}

func shownOnce(e *outbound.Endpoint, key secret.Text, err error) (EndpointWithSecret, error) {
	if err != nil {
		return EndpointWithSecret{}, err
	}
	return EndpointWithSecret{newEndpoint(e), key.Reveal()}, nil
}

func (a *API) listEndpoints(ctx context.Context, in *told) (EndpointList, error) {
	found, err := a.Outbound.Endpoints(ctx, in.owner)
	list := EndpointList{Endpoints: []Endpoint{}}
	for _, e := range found {
		list.Endpoints = append(list.Endpoints, newEndpoint(e))
	}
	return list, err
}

func (a *API) getEndpoint(ctx context.Context, in *endpointInput) (Endpoint, error) {
	e, err := a.Outbound.Endpoint(ctx, in.owner, in.ID)
	if err != nil {
		return Endpoint{}, err
	}
	return newEndpoint(e), nil
}

func (a *API) updateEndpoint(ctx context.Context, in *endpointChange) (Endpoint, error) {
	e, err := a.Outbound.UpdateEndpoint(ctx, in.owner, in.ID, outbound.Settings{
		URL: in.Body.URL, Description: in.Body.Description, Events: in.Body.Events, Enabled: in.Body.Enabled,
	})
	if err != nil {
		return Endpoint{}, err
	}
	return newEndpoint(e), nil
}

func (a *API) deleteEndpoint(ctx context.Context, in *endpointInput) (Nothing, error) {
	return Nothing{}, a.Outbound.RemoveEndpoint(ctx, in.owner, in.ID)
}

func (a *API) rotateEndpoint(ctx context.Context, in *endpointInput) (EndpointWithSecret, error) {
	return shownOnce(a.Outbound.RotateSecret(ctx, in.owner, in.ID))
}

func (a *API) testEndpoint(ctx context.Context, in *endpointInput) (EndpointTest, error) {
	answer, err := a.Outbound.TestEndpoint(ctx, in.owner, in.ID)
	return EndpointTest{OK: err == nil && answer.Error == "", Status: answer.Status, Error: answer.Error, TookMS: answer.Took.Milliseconds()}, err
}

var allProgress = []outbound.Progress{outbound.Waiting, outbound.Held, outbound.Done, outbound.Failed}

func (a *API) listDeliveries(ctx context.Context, in *deliveriesInput) (DeliveryList, error) {
	var states []outbound.Progress
	if in.State != "" {
		for name := range strings.SplitSeq(in.State, ",") {
			if !slices.Contains(allProgress, outbound.Progress(name)) {
				return DeliveryList{}, refuse("state must be of waiting, held, done, failed, separated by commas")
			}
			states = append(states, outbound.Progress(name))
		}
	}
	if in.Limit == 0 {
		in.Limit = 50
	}
	found, err := a.Outbound.Deliveries(ctx, in.owner, in.ID, states, outbound.DeliveryID(in.Before), in.Limit)
	list := DeliveryList{Deliveries: []Delivery{}}
	for _, d := range found {
		list.Deliveries = append(list.Deliveries, Delivery{
			ID: d.ID, EventID: d.Fact.ID, Type: d.Fact.Name, State: d.Progress, Attempt: d.Attempt, NextAt: unlessZero(d.NextAt), Status: d.Status,
			Error: d.Error, CreatedAt: d.CreatedAt, UpdatedAt: d.UpdatedAt,
		})
	}
	return list, err
}

func (a *API) redeliver(ctx context.Context, in *deliveryInput) (Nothing, error) {
	return Nothing{}, a.Outbound.Redeliver(ctx, in.owner, in.ID, in.Delivery)
}
