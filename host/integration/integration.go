// Package integration keeps what happens between services: the integration records of users, their status, configuration,
// actions, mappings and inbound webhooks, and builds what each guest call may reach.
//
// It knows no secret in clear, no SQL, no HTTP framework and no engine. Guests never run inside a transaction; every change
// is one act of the Store. A foreign id is not found. Everything here is safe for concurrent use.
package integration

import (
	"encoding/json"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/google/uuid"
)

// ID names an integration: "int_" and a version 7 UUID.
type ID string

// NewID returns an ID that sorts after earlier ones.
func NewID() ID { return ID("int_" + uuid.Must(uuid.NewV7()).String()) }

// Integration is one user's use of an integration plugin.
type Integration struct {
	ID      ID
	Owner   account.Owner
	Plugin  string // name of the integration plugin; `config.type` for Frigg's clients
	Version string // of the plugin when the record was made or migrated
	Status  abi.Status
	// Config is an object without its secret fields. Secrets holds those, sealed; empty when there are none.
	Config  json.RawMessage
	Secrets string
	// Complete says that nothing required is missing from the configuration.
	Complete  bool
	Members   []Member
	CreatedAt time.Time
	UpdatedAt time.Time
	// Revision counts changes of status and configuration; a change names the one it saw.
	Revision int64
}

// Member is an entity that takes part in a role.
type Member struct {
	Role   string
	Entity connection.EntityID
}

// entity returns who plays a role.
func (in *Integration) entity(role string) (connection.EntityID, bool) {
	for _, m := range in.Members {
		if m.Role == role {
			return m.Entity, true
		}
	}
	return "", false
}

// Message is a note for people on a record.
type Message struct {
	Level   abi.MessageLevel
	Title   string
	Message string
	At      time.Time
}

// EventID names a stored inbound event: "evt_" and a version 7 UUID.
type EventID string

func newEventID() EventID { return EventID("evt_" + uuid.Must(uuid.NewV7()).String()) }

// Event is a webhook as it was received.
type Event struct {
	ID          EventID
	Integration ID
	Owner       account.Owner
	Webhook     string
	// Dedupe is the vendor's id of the delivery, "body:" and a hash, or the event's own ID; one per integration and webhook.
	Dedupe string
	// DedupeSince ends the memory: an earlier event with this Dedupe is another one. Zero means that none is.
	DedupeSince time.Time
	Data        abi.WebhookEvent
	ReceivedAt  time.Time
}

// Mapping is one entry of a mapping.
type Mapping struct {
	Set, SourceID string
	Value         json.RawMessage
}
