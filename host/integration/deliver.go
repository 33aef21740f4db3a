package integration

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/journal"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// JobDeliver is the kind of the jobs that Work works off.
const JobDeliver = "integration.deliver"

// waiting is how long an event of a record that cannot work is put aside; a change of the record makes it due at once.
const waiting = 5 * time.Minute

// eventAge is how long stored events are kept, and with them the memory of what was delivered.
const eventAge = 30 * 24 * time.Hour

// Prune forgets old events, a bounded number in one call, and returns how many.
func (s *Service) Prune(ctx context.Context) (int, error) {
	return s.Store.PruneEvents(ctx, s.now().Add(-eventAge), 1000)
}

// payload is what a delivery job carries.
type payload struct {
	Integration ID              `json:"integration"`
	Event       string          `json:"event"`
	Data        json.RawMessage `json:"data,omitempty"`
	Stored      EventID         `json:"stored,omitempty"` // the data is in the events table
}

// eventJob is a job that delivers an event to a record, in the record's own lane.
func (s *Service) eventJob(in *Integration, event string, p payload) job.New {
	p.Integration, p.Event = in.ID, event
	raw, _ := json.Marshal(p) // Data was checked to be JSON
	return job.New{ID: job.NewID(), Owner: in.Owner, Lane: string(in.ID), Limits: limitsOf(in), Kind: JobDeliver, Payload: raw, CreatedAt: s.now()}
}

// payloadOf is the payload of a delivery job, with the input that a person gave for its replay as the event's data.
func payloadOf(j *job.Job) (payload, error) {
	var p payload
	if err := json.Unmarshal(j.Payload, &p); err != nil {
		return p, fault.Wrap(err, fault.Internal, "integration.Work", "the job's payload cannot be read")
	}
	if len(j.Replay.Input) > 0 {
		p.Data, p.Stored = j.Replay.Input, ""
	}
	return p, nil
}

// Tick is one moment of a schedule of a record.
type Tick struct {
	Integration     ID
	Schedule, Event string
	Data            json.RawMessage // as put with the schedule, may be nil
	At              time.Time       // that the schedule means
	Key             string          // of this tick and no other
	// Beside lets it run beside other work of the record; otherwise it waits for its turn.
	Beside bool
}

// TickJob is the job that delivers a tick to a record of the owner. However often it is enqueued, it is worked off once.
func (s *Service) TickJob(o account.Owner, t Tick) job.New {
	data, _ := json.Marshal(abi.ScheduleTick{Schedule: t.Schedule, AtMS: t.At.UnixMilli(), Data: t.Data}) // Data was checked to be JSON
	n := s.eventJob(&Integration{ID: t.Integration, Owner: o}, t.Event, payload{Data: data})
	n.UniqueKey, n.Once = t.Key, true
	if t.Beside {
		n.Lane += "|" + t.Key
	}
	return n
}

// Work delivers one event to its guest. It is the job.Handler of JobDeliver.
func (s *Service) Work(ctx context.Context, j *job.Job) job.Outcome {
	p, err := payloadOf(j)
	if err != nil {
		return job.Outcome{Err: err, Halt: true}
	}
	in, err := s.Store.IntegrationByID(ctx, j.Owner, p.Integration)
	if fault.Is(err, fault.NotFound) {
		return job.Outcome{} // removed meanwhile
	}
	if err != nil {
		return job.Outcome{Err: err}
	}
	switch Decide(in.Status, p.Event) {
	case Discard:
		return job.Outcome{}
	case Wait:
		return job.Outcome{Defer: waiting}
	}
	if p.Event == abi.EventOnDelete {
		if err := s.unsubscribeAll(ctx, in, j.Last()); err != nil {
			return job.Outcome{Err: err}
		}
	}
	rec, err := s.Runs.Open(ctx, j, string(in.ID), p.Event)
	if err != nil {
		return job.Outcome{Err: err}
	}
	told := &limited{}
	err = s.deliver(ctx, j, in, p, rec, told)
	o := s.settle(ctx, in, p.Event, rec, err)
	o.Pause = told.pauses()
	return o
}

// event makes the data of an event that was stored when it came.
func (s *Service) eventData(ctx context.Context, o account.Owner, p *payload) error {
	if p.Stored == "" {
		return nil
	}
	e, err := s.Store.EventByID(ctx, o, p.Stored)
	if err != nil {
		return err
	}
	if p.Data, err = json.Marshal(e.Data); err != nil {
		return fault.Wrap(err, fault.Internal, "integration.deliver", "the stored event cannot be read")
	}
	return nil
}

func lifecycle(event string) bool {
	return event == abi.EventOnCreate || event == abi.EventOnUpdate || event == abi.EventOnDelete
}

// settle says what a try means for the job and for the record.
func (s *Service) settle(ctx context.Context, in *Integration, event string, rec *journal.Recorder, err error) job.Outcome {
	o := outcomeOf(err)
	refused := s.refusedAccount(ctx, in, o.Err)
	if refused && event != abi.EventOnDelete {
		o.Defer = waiting // authorising again makes it due
	}
	closing, cerr := rec.Close(err)
	if cerr != nil {
		return job.Outcome{Err: cerr}
	}
	o.With = func(st job.Settlement) any { return s.settled(in, event, o.Err, refused, st, closing) }
	return o
}

// outcomeOf says what becomes of the job of a run that ended, or that the host ended.
func outcomeOf(err error) job.Outcome {
	var (
		sleeps    *journal.Suspended
		begins    *journal.Checkpoint
		undecided *journal.Undecided
		diverged  *journal.Diverged
	)
	switch {
	case errors.As(err, &sleeps):
		return job.Outcome{Until: sleeps.Until}
	case errors.As(err, &begins):
		return job.Outcome{Until: time.Unix(0, 1)} // at once, when it is its turn
	case errors.As(err, &undecided):
		return job.Outcome{Park: true, Err: undecided.Fault()}
	case errors.As(err, &diverged):
		return job.Outcome{Halt: true, Err: diverged.Fault()}
	}
	return job.Outcome{Err: err, Halt: asksToHalt(err) || errors.Is(err, journal.ErrFull)}
}

func asksToHalt(err error) bool {
	var h *plugin.Halt
	return errors.As(err, &h)
}

// refusedAccount reports whether a failure comes of a credential that is no longer good. A vendor may also refuse a single
// thing; that is an ordinary failure.
func (s *Service) refusedAccount(ctx context.Context, in *Integration, err error) bool {
	if !fault.Is(err, fault.Unauthorized) || fault.SideOf(err) != fault.Remote {
		return false
	}
	for _, m := range in.Members {
		e, err := s.Connections.OwnedEntity(ctx, in.Owner, m.Entity)
		if err == nil && e.Status == connection.Invalid {
			return true
		}
	}
	return false
}

var working = []abi.Status{abi.StatusEnabled, abi.StatusProcessing, abi.StatusNeedsConfig, abi.StatusInCreation}

// settled is what the record gets in the act that settles the job.
func (s *Service) settled(in *Integration, event string, err error, refused bool, st job.Settlement, record *journal.Closing) any {
	out := &Settled{Owner: in.Owner, Integration: in.ID, Record: record}
	final := st.State.Ended()
	switch {
	case final && event == abi.EventOnDelete:
		out.Remove = true
	case err == nil && final && event == abi.EventOnCreate:
		out.Born, out.From, out.Then = true, []abi.Status{abi.StatusInCreation, abi.StatusError}, s.subscribeJobs(in)
	case err == nil:
	case refused && !final:
		out.Status, out.From, out.IfRefused = abi.StatusError, working, true
		out.Messages = []Message{{Level: abi.MessageLevelError, Title: "Authorise again", Message: fault.PublicMessage(err), At: s.now()}}
	case final:
		if event == abi.EventOnCreate {
			out.Status, out.From = abi.StatusError, []abi.Status{abi.StatusInCreation}
		}
		out.Messages = []Message{{Level: abi.MessageLevelError, Title: event + " failed", Message: clip(fault.PublicMessage(err), 4000), At: s.now()}}
	case st.State == job.Parked:
		out.Messages = []Message{{Level: abi.MessageLevelWarning, Title: event + " needs a decision", Message: clip(fault.PublicMessage(err), 4000), At: s.now()}}
	}
	return out
}

// EventOf says which event a delivery job of the actor carries, and the vendor's name for it when it is a webhook.
func (s *Service) EventOf(ctx context.Context, a account.Actor, j *job.Job) (event, vendor string, err error) {
	if err := a.Valid(); err != nil {
		return "", "", err
	}
	var p payload
	if j.Kind != JobDeliver || json.Unmarshal(j.Payload, &p) != nil {
		return "", "", fault.New(fault.Invalid, "integration.EventOf", "the job delivers no event")
	}
	if p.Stored == "" {
		return p.Event, "", nil
	}
	e, err := s.Store.EventByID(ctx, a.Owner, p.Stored)
	if err != nil {
		return p.Event, "", err
	}
	return p.Event, e.Data.Event, nil
}
