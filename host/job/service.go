package job

import (
	"context"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
)

// Service is what people may do with jobs.
type Service struct {
	Store Store
	Now   func() time.Time
	// Wake tells the workers of this process that a job is due; nil tells nobody.
	Wake func()
}

// Job returns a job of the owner, else fault.NotFound.
func (s *Service) Job(ctx context.Context, a account.Actor, id ID) (*Job, error) {
	if err := a.Valid(); err != nil {
		return nil, err
	}
	return s.Store.JobByID(ctx, a.Owner, id)
}

// Jobs lists the owner's jobs in these states, newest first.
func (s *Service) Jobs(ctx context.Context, a account.Actor, states []State, before ID, limit int) ([]*Job, error) {
	if err := a.Valid(); err != nil {
		return nil, err
	}
	if limit < 1 || limit > 200 {
		return nil, fault.New(fault.Invalid, "job.Jobs", "limit must be between 1 and 200")
	}
	return s.Store.Jobs(ctx, a.Owner, states, before, limit)
}

// Replay queues a dead or halted job again from the start.
func (s *Service) Replay(ctx context.Context, a account.Actor, id ID) error {
	if err := a.Valid(); err != nil {
		return err
	}
	if err := s.Store.ReplayJob(ctx, a.Owner, id, s.Now()); err != nil {
		return err
	}
	if s.Wake != nil {
		s.Wake()
	}
	return nil
}
