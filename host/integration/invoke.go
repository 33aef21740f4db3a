package integration

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/journal"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// Owned returns a record with its plugin, for rooms that work for it without a person. Errors: NotFound (also for a record that
// is being removed), Unavailable (the plugin cannot run now).
func (s *Service) Owned(ctx context.Context, o account.Owner, id ID) (*Integration, *plugin.Plugin, error) {
	in, err := s.Store.IntegrationByID(ctx, o, id)
	if err != nil {
		return nil, nil, err
	}
	if in.Status == abi.StatusInDeletion {
		return nil, nil, notFound()
	}
	p, err := s.integrationPlugin(in.Plugin)
	if err != nil {
		return nil, nil, fault.New(fault.Unavailable, "integration.Owned", "the plugin %s cannot run: %s", in.Plugin, fault.PublicMessage(err)).With(err)
	}
	return in, p, nil
}

// Invoke calls an export of a record's guest, which may reach all that the record may, to read something: nothing of it goes on
// record. input gets the record as the guest is told of it.
func (s *Service) Invoke(ctx context.Context, in *Integration, export string, input func(abi.Integration) any) (json.RawMessage, error) {
	p, err := s.integrationPlugin(in.Plugin)
	if err != nil {
		return nil, err
	}
	r, record, err := s.newRun(ctx, p, in, 0)
	if err != nil {
		return nil, err
	}
	return plugin.Invoke[json.RawMessage](ctx, s.Guests, r.call(export), input(record))
}

// Refusal is what the record gets when err comes of a credential that is no longer good; nil if it does not.
func (s *Service) Refusal(ctx context.Context, in *Integration, err error) *Settled {
	if !s.refusedAccount(ctx, in, err) {
		return nil
	}
	return &Settled{
		Owner: in.Owner, Integration: in.ID, Status: abi.StatusError, From: working, IfRefused: true,
		Messages: []Message{{Level: abi.MessageLevelError, Title: "Authorise again", Message: fault.PublicMessage(err), At: s.now()}},
	}
}

// Perform calls an export of a record's guest on the record of job j, under the name of an event: a try that was cut short or
// failed goes on where its record ends. It returns the guest's value, what becomes of the job, and what becomes of the record
// once the job is settled; nil if that is nothing.
func (s *Service) Perform(ctx context.Context, j *job.Job, in *Integration, event, export string, input func(abi.Integration) any) (json.RawMessage, job.Outcome, func(job.Settlement) *Settled) {
	rec, err := s.Runs.Open(ctx, j, string(in.ID), event)
	if err != nil {
		return nil, job.Outcome{Err: err}, nil
	}
	value, err := s.perform(ctx, j, in, rec, export, input)
	o := outcomeOf(err)
	refusal := s.Refusal(ctx, in, o.Err)
	if refusal != nil {
		o.Defer = waiting // authorising again makes it due
	}
	closing, err := rec.Close(err)
	if err != nil {
		return nil, job.Outcome{Err: err}, nil
	}
	return value, o, func(st job.Settlement) *Settled {
		out := &Settled{Owner: in.Owner, Integration: in.ID}
		if refusal != nil && !st.State.Ended() {
			out = refusal
		}
		if st.State == job.Parked {
			out.Messages = []Message{{Level: abi.MessageLevelWarning, Title: event + " needs a decision", Message: clip(fault.PublicMessage(o.Err), 4000), At: s.now()}}
		}
		out.Record = closing
		return out
	}
}

func (s *Service) perform(ctx context.Context, j *job.Job, in *Integration, rec *journal.Recorder, export string, input func(abi.Integration) any) (json.RawMessage, error) {
	start := rec.Resume()
	if start == nil {
		var err error
		if start, err = s.beginCall(ctx, j, in, rec, export, input); err != nil {
			return nil, err
		}
	}
	value, err := s.onRecord(ctx, j, in, rec, start, nil, nil)
	var c *journal.Checkpoint
	if errors.As(err, &c) {
		return nil, guestFault(fault.Unsupported, "%s has no checkpoints", export)
	}
	return value, err
}
