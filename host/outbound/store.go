package outbound

import (
	"context"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/event"
	"github.com/frigg-host/frigg-host/host/job"
)

// Store is what this room keeps. Every method is one act, all or nothing. Ids that are unknown or somebody else's are
// fault.NotFound.
type Store interface {
	// CreateEndpoint saves e, which gets facts from then on. Returns fault.Conflict if its owner has max endpoints already.
	CreateEndpoint(ctx context.Context, e *Endpoint, max int) error
	EndpointByID(ctx context.Context, o account.Owner, id EndpointID) (*Endpoint, error)
	// Endpoints lists an owner's endpoints by age.
	Endpoints(ctx context.Context, o account.Owner) ([]*Endpoint, error)
	// ChangeEndpoint lets change have its way with the endpoint as it is; newest is the Seq of the newest fact. An error of
	// change is returned, and nothing is changed.
	ChangeEndpoint(ctx context.Context, o account.Owner, id EndpointID, change func(e *Endpoint, newest int64) error) (*Endpoint, error)
	// RemoveEndpoint deletes an endpoint with its deliveries.
	RemoveEndpoint(ctx context.Context, o account.Owner, id EndpointID) error

	// NewFacts returns a channel that is closed after the next commit of a fact by this process.
	NewFacts() <-chan struct{}
	// Dispatched returns the cursor: deliveries were made of all facts up to it.
	Dispatched(ctx context.Context) (int64, error)
	// FactsBehind lists facts of all owners behind a cursor in the order in which they were committed.
	FactsBehind(ctx context.Context, after int64, limit int) ([]*event.Fact, error)
	// EndpointsOf lists the endpoints of these owners.
	EndpointsOf(ctx context.Context, owners []account.Owner) ([]*Endpoint, error)
	// Dispatch saves deliveries with their jobs, but those that exist or whose endpoint is gone, and moves the cursor on to
	// upTo. A delivery without a job is held.
	Dispatch(ctx context.Context, upTo int64, deliveries []NewDelivery) error
	// HeldDeliveries lists up to limit held deliveries of enabled endpoints, oldest first.
	HeldDeliveries(ctx context.Context, limit int) ([]*Delivery, error)
	// ReleaseDelivery lets a delivery of the owner that does not wait begin anew with a job. Returns fault.Conflict if it waits
	// already.
	ReleaseDelivery(ctx context.Context, o account.Owner, id DeliveryID, then job.New) error

	// DeliveryToSend returns a delivery with its fact, where it goes, and by what names the product knows the fact's owner.
	DeliveryToSend(ctx context.Context, o account.Owner, id DeliveryID) (*Delivery, *Endpoint, Names, error)
	// Deliveries lists the deliveries of an endpoint of the owner in these states, newest first, from before an id (empty: the
	// newest).
	Deliveries(ctx context.Context, o account.Owner, id EndpointID, states []Progress, before DeliveryID, limit int) ([]*Delivery, error)
	// ForgetOldSecrets removes replaced secrets that were good until before now.
	ForgetOldSecrets(ctx context.Context, now time.Time) error
}

// Names are those by which the embedding product knows an owner, as far as it has given any.
type Names struct{ AppUserID, AppOrgID string }

// NewDelivery is a fact for an endpoint, and the job that works it off.
type NewDelivery struct {
	ID       DeliveryID
	Owner    account.Owner // of the endpoint
	Endpoint EndpointID
	Fact     int64
	Job      *job.New // nil: held
	At       time.Time
}

// Settled is what a try changes, in the act that settles its job (job.Settlement.With).
type Settled struct {
	Owner    account.Owner // of the endpoint
	Endpoint EndpointID
	Delivery DeliveryID
	Progress Progress
	Attempt  int
	NextAt   time.Time
	Status   int
	Error    string
	// OK ends the endpoint's failures; otherwise one is added.
	OK bool
	// Untried means that nothing was sent: the endpoint stays as it is.
	Untried bool
	// Disable takes the endpoint out of service if it is enabled; empty leaves it.
	Disable State
	Reason  string
}
