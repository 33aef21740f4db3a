// Package event names what happened: facts that are written in the act that made them true.
//
// A fact exists exactly when the change that it tells of was committed. It says which record it is about and what became of
// it; who wants to know more asks the API. Facts hold no secret. The room does not know who listens, nor how facts are
// kept. Everything here is safe for concurrent use.
package event

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/google/uuid"
)

// ID names a fact: "fact_" and a version 7 UUID. It stays the same however often the fact is told.
type ID string

// NewID returns an ID that sorts after earlier ones.
func NewID() ID { return ID("fact_" + uuid.Must(uuid.NewV7()).String()) }

// Fact is something that happened. It is immutable.
type Fact struct {
	// Seq counts facts in the order in which they were committed: the cursor of whoever reads on. Zero until it is stored.
	Seq   int64
	ID    ID
	Owner account.Owner // whose data it is about
	Name  Name
	// Subject is the id of the record that it is about.
	Subject string
	Data    json.RawMessage // an object; see the types below
	At      time.Time
}

// New makes a fact; data is one of the types below.
func New(o account.Owner, name Name, subject string, data any, at time.Time) *Fact {
	body, err := json.Marshal(data)
	if err != nil {
		panic(fmt.Sprintf("event.New: %T cannot be written as JSON: %v", data, err)) // a bug: the types below can
	}
	return &Fact{ID: NewID(), Owner: o, Name: name, Subject: subject, Data: body, At: at.UTC().Truncate(time.Microsecond)}
}

// Integration is the data of the facts integration.*.
type Integration struct {
	ID     string `json:"integration_id"`
	Type   string `json:"type"` // name of the integration plugin
	Status string `json:"status,omitempty"`
}

// Connection is the data of the facts connection.*.
type Connection struct {
	EntityID     string `json:"entity_id"`
	CredentialID string `json:"credential_id"`
	Module       string `json:"module"`
}

// Job is the data of the facts job.*.
type Job struct {
	ID      string `json:"job_id"`
	Kind    string `json:"kind"`
	Lane    string `json:"lane"` // for events of an integration: its id
	Attempt int    `json:"attempt"`
	Error   string `json:"error,omitempty"` // for people
}

// Webhook is the data of webhook.received.
type Webhook struct {
	IntegrationID string `json:"integration_id"`
	Webhook       string `json:"webhook"`
	EventID       string `json:"event_id"`
	Event         string `json:"event,omitempty"` // the vendor's name for it
}

// Notification is the data of the facts notify.*.
type Notification struct {
	IntegrationID string          `json:"integration_id"`
	Type          string          `json:"type"` // name of the integration plugin
	Data          json.RawMessage `json:"data,omitempty"`
}

// Endpoint is the data of the facts endpoint.*.
type Endpoint struct {
	ID     string `json:"endpoint_id"`
	Reason string `json:"reason,omitempty"` // for people
}
