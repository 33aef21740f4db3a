// Package outbound tells other systems what happened: webhooks out, signed as Standard Webhooks.
//
// An owner has endpoints, which choose facts by name. Each fact becomes one delivery for each endpoint that wants it, and each
// delivery one durable job in a lane of the endpoint; it is tried over days until the endpoint takes it. The room does not know
// how facts come to be nor how jobs are kept, and it reaches the network through the requester only. Everything here is safe
// for concurrent use, also by several hosts on one database.
package outbound

import (
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/event"
	"github.com/google/uuid"
)

// Operator owns endpoints that hear the facts of all owners.
const Operator account.Owner = "operator"

// EndpointID names an endpoint: "whe_" and a version 7 UUID.
type EndpointID string

// DeliveryID names a delivery: "whd_" and a version 7 UUID.
type DeliveryID string

func newEndpointID() EndpointID { return EndpointID("whe_" + uuid.Must(uuid.NewV7()).String()) }
func newDeliveryID() DeliveryID { return DeliveryID("whd_" + uuid.Must(uuid.NewV7()).String()) }

// State of an endpoint.
type State string

const (
	Enabled  State = "enabled"
	Disabled State = "disabled" // paused by a person: it gets nothing of what happens meanwhile
	Failing  State = "failing"  // failed for days: what happens meanwhile is held until a person enables it again
	Gone     State = "gone"     // answered 410: it wants nothing any more
)

// Endpoint is where somebody wants to be told.
type Endpoint struct {
	ID          EndpointID
	Owner       account.Owner
	URL         string
	Description string
	Events      []event.Pattern

	// Secret is sealed; SecretNo counts its changes and is part of where it is sealed. The one before is good until OldUntil.
	Secret    string
	SecretNo  int
	OldSecret string
	OldUntil  time.Time

	State  State
	Reason string // for people, unless it is enabled
	// From is the Seq of the last fact that it does not get.
	From int64
	// FailingSince is the first failure after the last success; zero when the last try went well. Failures counts since then.
	FailingSince time.Time
	Failures     int

	CreatedAt time.Time
	UpdatedAt time.Time
}

// wants reports whether e is told of f.
func (e *Endpoint) wants(f *event.Fact) bool {
	if f.Seq <= e.From || (e.Owner != f.Owner && e.Owner != Operator) || (e.State != Enabled && e.State != Failing) {
		return false
	}
	for _, p := range e.Events {
		if p.Matches(f.Name) {
			return true
		}
	}
	return false
}

// Progress of a delivery.
type Progress string

const (
	Waiting Progress = "waiting" // its job waits for its turn or for the next try
	Held    Progress = "held"    // the endpoint is not enabled; enabling it lets the delivery go on
	Done    Progress = "done"    // the endpoint answered 2xx
	Failed  Progress = "failed"  // every try failed
)

// Delivery is one fact for one endpoint.
type Delivery struct {
	ID        DeliveryID
	Owner     account.Owner // of the endpoint
	Endpoint  EndpointID
	Fact      *event.Fact
	Progress  Progress
	Attempt   int       // tries so far
	NextAt    time.Time // of the next try, zero unless it failed and waits
	Status    int       // HTTP status of the last try, 0 without an answer
	Error     string    // for people, of the last try if it failed
	CreatedAt time.Time
	UpdatedAt time.Time
}
