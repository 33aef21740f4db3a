package outbound

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/event"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
)

// JobDeliver is the kind of the jobs that Work works off.
const JobDeliver = "outbound.deliver"

const (
	batch       = 200
	defaultPoll = 5 * time.Second
	// stride is how many facts that nobody wants are passed before the cursor is saved.
	stride = 10_000
)

// payload is what a delivery job carries.
type payload struct {
	Delivery DeliveryID `json:"delivery"`
}

// job sends a delivery in the lane of its endpoint.
func (s *Service) job(o account.Owner, e EndpointID, d DeliveryID) job.New {
	now := s.now()
	raw, _ := json.Marshal(payload{d}) // a text always can
	return job.New{
		ID: job.NewID(), Owner: o, Lane: string(e), Kind: JobDeliver, Payload: raw, UniqueKey: JobDeliver + "|" + string(d),
		Deadline: now.Add(deadline), CreatedAt: now,
	}
}

// Run makes deliveries of new facts until ctx ends. Acts only write their facts down; what follows from them is done here,
// behind a cursor in the database, so a crash at any point loses nothing and doubles nothing: a delivery exists once for each
// fact and endpoint.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(cmp.Or(s.Poll, defaultPoll))
	defer tick.Stop()
	var at, saved int64 = -1, 0
	for {
		news := s.Store.NewFacts()
		more, err := s.round(ctx, &at, &saved)
		if err != nil && ctx.Err() == nil {
			s.Log.Error("deliveries of facts could not be made; it is tried again", "op", "outbound.Run", "err", err)
		}
		if more && err == nil && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-news:
		case <-tick.C:
		}
	}
}

// round works one batch off, behind at, and reports whether there may be more. saved is the cursor in the database.
func (s *Service) round(ctx context.Context, at, saved *int64) (more bool, err error) {
	if *at < 0 {
		if *saved, err = s.Store.Dispatched(ctx); err != nil {
			return false, err
		}
		*at = *saved
	}
	facts, err := s.Store.FactsBehind(ctx, *at, batch)
	if err != nil {
		return false, err
	}
	if len(facts) > 0 {
		last := facts[len(facts)-1].Seq
		deliveries, err := s.deliveriesOf(ctx, facts)
		if err != nil {
			return false, err
		}
		if len(deliveries) > 0 || last-*saved >= stride {
			if err := s.Store.Dispatch(ctx, last, deliveries); err != nil {
				return false, err
			}
			*saved = last
		}
		*at = last
		if len(deliveries) > 0 {
			s.wake()
		}
	}
	released, err := s.release(ctx)
	return len(facts) == batch || released == batch, err
}

// deliveriesOf says who is told of which facts.
func (s *Service) deliveriesOf(ctx context.Context, facts []*event.Fact) ([]NewDelivery, error) {
	owners := map[account.Owner]bool{Operator: true}
	for _, f := range facts {
		owners[f.Owner] = true
	}
	list := make([]account.Owner, 0, len(owners))
	for o := range owners {
		list = append(list, o)
	}
	endpoints, err := s.Store.EndpointsOf(ctx, list)
	if err != nil || len(endpoints) == 0 {
		return nil, err
	}
	var all []NewDelivery
	for _, f := range facts {
		for _, e := range endpoints {
			if !e.wants(f) {
				continue
			}
			d := NewDelivery{ID: newDeliveryID(), Owner: e.Owner, Endpoint: e.ID, Fact: f.Seq, At: s.now()}
			if e.State == Enabled {
				then := s.job(e.Owner, e.ID, d.ID)
				d.Job = &then
			}
			all = append(all, d)
		}
	}
	return all, nil
}

// release lets held deliveries of endpoints go on that were enabled again.
func (s *Service) release(ctx context.Context) (int, error) {
	held, err := s.Store.HeldDeliveries(ctx, batch)
	if err != nil {
		return 0, err
	}
	for _, d := range held {
		// Redelivered by a person meanwhile, or removed: fine.
		err := s.Store.ReleaseDelivery(ctx, d.Owner, d.ID, s.job(d.Owner, d.Endpoint, d.ID))
		if err != nil && !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.NotFound) {
			return 0, err
		}
	}
	if len(held) > 0 {
		s.wake()
	}
	return len(held), nil
}
