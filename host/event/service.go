package event

import (
	"context"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
)

// Store is what this room keeps. Facts are written by the acts that make them true.
type Store interface {
	// FactsAfter lists facts of an owner behind a cursor in the order in which they were committed.
	FactsAfter(ctx context.Context, o account.Owner, after int64, limit int) ([]*Fact, error)
	// NewFacts returns a channel that is closed after the next commit of a fact by this process.
	NewFacts() <-chan struct{}
	// PruneFacts removes up to limit facts that happened before a time and that nobody waits for any more, and returns how many.
	PruneFacts(ctx context.Context, before time.Time, limit int) (int, error)
}

// Age is how long facts are kept.
const Age = 30 * 24 * time.Hour

// MaxPage is the most that FactsAfter answers at once.
const MaxPage = 200

// Service is what people may do with facts.
type Service struct {
	Store Store
	Now   func() time.Time
}

// FactsAfter lists up to limit of the actor's facts behind a cursor, which is the Seq of the last one seen, zero for the
// oldest that is kept.
func (s *Service) FactsAfter(ctx context.Context, a account.Actor, after int64, limit int) ([]*Fact, error) {
	if err := a.Valid(); err != nil {
		return nil, err
	}
	if limit < 1 || limit > MaxPage || after < 0 {
		return nil, fault.New(fault.Invalid, "event.FactsAfter", "limit must be between 1 and %d, and after not negative", MaxPage)
	}
	return s.Store.FactsAfter(ctx, a.Owner, after, limit)
}

// Prune forgets old facts, a bounded number in one call, and returns how many.
func (s *Service) Prune(ctx context.Context) (int, error) {
	return s.Store.PruneFacts(ctx, s.Now().UTC().Add(-Age), 1000)
}
