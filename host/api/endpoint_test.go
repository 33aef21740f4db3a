package api_test

import (
	"github.com/frigg-host/frigg-host/host/api"
	"github.com/frigg-host/frigg-host/host/outbound"
	"github.com/google/uuid"
)

// endpointVisits has a row for every route about what happened and who is told.
func endpointVisits(h *house, token string) map[string]visit {
	endpoint, delivery := h.heldDelivery(token)
	const all = "/api/v2/webhook-endpoints"
	return map[string]visit{
		"GET /api/v2/events":             {path: "/api/v2/events", own: 200, foreign: 200, why: "lists what is the caller's"},
		"GET " + all:                     {path: all, own: 200, foreign: 200, why: "lists what is the caller's"},
		"POST " + all:                    {path: all, body: `{"url":"nowhere"}`, own: 400, foreign: 400, why: "names no record"},
		"GET " + all + "/:id":            {path: endpoint, own: 200},
		"PATCH " + all + "/:id":          {path: endpoint, body: `{"enabled":true}`, own: 200},
		"POST " + all + "/:id/rotate":    {path: endpoint + "/rotate", own: 200},
		"POST " + all + "/:id/test":      {path: endpoint + "/test", own: 200},
		"GET " + all + "/:id/deliveries": {path: endpoint + "/deliveries", own: 200},

		"POST " + all + "/:id/deliveries/:delivery/redeliver": {path: delivery + "/redeliver", own: 202},
		"DELETE " + all + "/:id":                              {path: endpoint, own: 200},
	}
}

// heldDelivery makes an endpoint of the token's user, and a delivery for it that waits for a person.
func (h *house) heldDelivery(token string) (endpoint, delivery string) {
	h.t.Helper()
	made := must[api.EndpointWithSecret](h, 201, "POST", "/api/v2/webhook-endpoints", `{"url":"http://127.0.0.1:1/hooks"}`, token)
	facts, err := h.db.FactsBehind(h.t.Context(), 0, 1)
	if err != nil || len(facts) != 1 {
		h.t.Fatalf("%d facts: %v", len(facts), err)
	}
	d := outbound.NewDelivery{ID: "whd_" + outbound.DeliveryID(uuid.NewString()), Owner: h.actor(token).Owner, Endpoint: made.ID, Fact: facts[0].Seq, At: h.now}
	if err := h.db.Dispatch(h.t.Context(), 0, []outbound.NewDelivery{d}); err != nil {
		h.t.Fatal(err)
	}
	endpoint = "/api/v2/webhook-endpoints/" + string(made.ID)
	return endpoint, endpoint + "/deliveries/" + string(d.ID)
}
