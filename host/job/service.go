package job

import (
	"context"
	"encoding/json"
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
	// Stop tells them that a job which may run there was canceled; nil leaves it to their heartbeat.
	Stop func(ID)
	// TakesInput says of which kinds of jobs the input can be replaced; nil says of none.
	TakesInput func(kind string) bool
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
	return s.Find(ctx, a, Filter{States: states, Before: before, Limit: limit})
}

// Find lists the owner's jobs, newest first.
func (s *Service) Find(ctx context.Context, a account.Actor, f Filter) ([]*Job, error) {
	if err := a.Valid(); err != nil {
		return nil, err
	}
	if f.Limit < 1 || f.Limit > MaxListed {
		return nil, fault.New(fault.Invalid, "job.Find", "limit must be between 1 and %d", MaxListed)
	}
	return s.Store.FindJobs(ctx, a.Owner, f)
}

// Replay queues a job that failed or was canceled again. Returns fault.Conflict for jobs in other states.
func (s *Service) Replay(ctx context.Context, a account.Actor, id ID, how ReplayOptions) error {
	j, err := s.Job(ctx, a, id)
	if err != nil {
		return err
	}
	if how.From == "" {
		how.From = Start
	}
	if err := s.check(j, how); err != nil {
		return err
	}
	if err := s.Store.ReplayJob(ctx, a.Owner, id, s.Now(), how); err != nil {
		return err
	}
	if s.Wake != nil {
		s.Wake()
	}
	return nil
}

func (s *Service) check(j *Job, how ReplayOptions) error {
	switch {
	case how.From != Start && how.From != FailedStep:
		return fault.New(fault.Invalid, "job.Replay", "a job is replayed from %s or from %s", Start, FailedStep)
	case len(how.Input) == 0:
		return nil
	case how.From != Start:
		return fault.New(fault.Invalid, "job.Replay", "what was done with the old input cannot go on with another one; replay from %s", Start)
	case len(how.Input) > MaxInput:
		return fault.New(fault.TooLarge, "job.Replay", "the input of a job has at most %d bytes", MaxInput)
	case !json.Valid(how.Input):
		return fault.New(fault.Invalid, "job.Replay", "the input is no JSON")
	case s.TakesInput == nil || !s.TakesInput(j.Kind):
		return fault.New(fault.Unsupported, "job.Replay", "the input of jobs of kind %s cannot be replaced", j.Kind).On(fault.Caller)
	}
	return nil
}

// Cancel ends a job that waits, and stops one that runs within about a second. Returns fault.Conflict if it has ended.
func (s *Service) Cancel(ctx context.Context, a account.Actor, id ID) error {
	if err := a.Valid(); err != nil {
		return err
	}
	running, err := s.Store.CancelJob(ctx, a.Owner, id, s.Now())
	if running && s.Stop != nil {
		s.Stop(id)
	}
	return err
}
