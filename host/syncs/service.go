package syncs

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/secret"
)

// Integrations is what this room needs of the integration room.
type Integrations interface {
	Integration(ctx context.Context, a account.Actor, id integration.ID) (*integration.Integration, error)
	Integrations(ctx context.Context, a account.Actor) ([]*integration.Integration, error)
	// Owned returns a record with its plugin, for work without a person.
	Owned(ctx context.Context, o account.Owner, id integration.ID) (*integration.Integration, *plugin.Plugin, error)
	// Invoke calls an export of the record's guest, to read something.
	Invoke(ctx context.Context, in *integration.Integration, export string, input func(abi.Integration) any) (json.RawMessage, error)
	// Perform calls an export of the record's guest on the record of j: what was done in an earlier try is not done again. It
	// returns what becomes of the job, and of the record once that is settled.
	Perform(ctx context.Context, j *job.Job, in *integration.Integration, event, export string, input func(abi.Integration) any) (json.RawMessage, job.Outcome, func(job.Settlement) *integration.Settled)
	// Refusal is what the record gets when err comes of a credential that is no longer good; nil if it does not.
	Refusal(ctx context.Context, in *integration.Integration, err error) *integration.Settled
}

// Vault seals what is kept of records, and hashes them.
type Vault interface {
	Seal(ctx context.Context, owner string, place secret.Place, plain secret.Text) (string, error)
	Open(ctx context.Context, owner string, place secret.Place, sealed string) (secret.Text, error)
	Fingerprints(ctx context.Context, owner, purpose string) (func(text string) string, error)
}

// Service is what people, plugins and jobs may do with syncs and processes.
type Service struct {
	Store        Store
	Integrations Integrations
	Vault        Vault
	Now          func() time.Time
	Log          *slog.Logger
	// Wake tells the workers that a job is due; nil tells nobody.
	Wake func()
}

func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Microsecond) }

func (s *Service) wake() {
	if s.Wake != nil {
		s.Wake()
	}
}

// hashes are those of a sync of a record: equal content elsewhere has another hash.
func (s *Service) hashes(ctx context.Context, r *Run) (hashes, error) {
	of, err := s.Vault.Fingerprints(ctx, string(r.Owner), "syncs|"+string(r.Integration)+"|"+r.Spec.Name)
	return hashes{of}, err
}

// Process returns a process of the actor, else fault.NotFound.
func (s *Service) Process(ctx context.Context, a account.Actor, id ProcessID) (*Process, error) {
	if err := a.Valid(); err != nil {
		return nil, err
	}
	return s.Store.ProcessByID(ctx, a.Owner, id)
}

// Processes lists processes of the actor, newest first.
func (s *Service) Processes(ctx context.Context, a account.Actor, f Filter) ([]*Process, error) {
	if err := a.Valid(); err != nil {
		return nil, err
	}
	if f.Limit < 1 || f.Limit > 200 {
		return nil, fault.New(fault.Invalid, "syncs.Processes", "limit must be between 1 and 200")
	}
	return s.Store.Processes(ctx, a.Owner, f)
}

// Cancel ends a process. No page is read and no batch begun any more; what is being written is finished, so that it is known.
// Canceling what has ended changes nothing.
func (s *Service) Cancel(ctx context.Context, a account.Actor, id ProcessID) (*Process, error) {
	if err := a.Valid(); err != nil {
		return nil, err
	}
	if err := s.Store.CancelProcess(ctx, a.Owner, id, s.now()); err != nil {
		return nil, err
	}
	return s.Store.ProcessByID(ctx, a.Owner, id)
}

// Declared is a sync of an integration, with its newest process, if any.
type Declared struct {
	Integration integration.ID
	abi.Sync
	Last *Process
}

// Syncs lists the syncs of the actor's integrations, or of one.
func (s *Service) Syncs(ctx context.Context, a account.Actor, only integration.ID) ([]Declared, error) {
	records, err := s.records(ctx, a, only)
	if err != nil {
		return nil, err
	}
	all := []Declared{}
	for _, in := range records {
		_, p, err := s.Integrations.Owned(ctx, a.Owner, in.ID)
		if err != nil {
			continue // its plugin cannot run now, or it was removed meanwhile
		}
		for _, spec := range p.Manifest.Syncs {
			d := Declared{Integration: in.ID, Sync: spec}
			last, err := s.Store.Processes(ctx, a.Owner, Filter{Integration: in.ID, Type: TypeSync, Name: spec.Name, Limit: 1})
			if err != nil {
				return nil, err
			}
			if len(last) > 0 {
				d.Last = last[0]
			}
			all = append(all, d)
		}
	}
	return all, nil
}

func (s *Service) records(ctx context.Context, a account.Actor, only integration.ID) ([]*integration.Integration, error) {
	if only == "" {
		return s.Integrations.Integrations(ctx, a)
	}
	in, err := s.Integrations.Integration(ctx, a, only)
	return []*integration.Integration{in}, err
}

// Start starts a sync of one of the actor's integrations and returns its process. One that runs already is returned instead, and
// one that failed goes on where it was, unless fresh. Errors: NotFound (integration, sync), Conflict (the integration cannot
// work now).
func (s *Service) Start(ctx context.Context, a account.Actor, id integration.ID, sync string, fresh bool) (*Process, error) {
	in, err := s.Integrations.Integration(ctx, a, id)
	if err != nil {
		return nil, err
	}
	if integration.Decide(in.Status, sync) != integration.Run {
		return nil, fault.New(fault.Conflict, "syncs.Start", "the integration is %s; a sync needs one that is %s", in.Status, abi.StatusEnabled)
	}
	process, _, err := s.start(ctx, in.Owner, in.ID, sync, fresh)
	if err != nil {
		return nil, err
	}
	return s.Store.ProcessByID(ctx, a.Owner, process)
}

func (s *Service) start(ctx context.Context, o account.Owner, id integration.ID, sync string, fresh bool) (ProcessID, bool, error) {
	_, plug, err := s.Integrations.Owned(ctx, o, id)
	if err != nil {
		return "", false, err
	}
	spec, ok := declared(plug, sync)
	if !ok {
		return "", false, fault.New(fault.NotFound, "syncs.Start", "%s has no sync %q", plug.Name, clip(sync, 64))
	}
	now := s.now()
	p := &Process{
		ID: NewProcessID(), Owner: o, Integration: id, Name: spec.Name, Type: TypeSync, State: Processing,
		Context: json.RawMessage(`{}`), CreatedAt: now, UpdatedAt: now,
	}
	process, existed, err := s.Store.StartRun(ctx, Run{Process: p.ID, Owner: o, Integration: id, Spec: spec, Active: true}, p, fresh, now)
	if err == nil {
		s.wake()
	}
	return process, existed, err
}

func declared(p *plugin.Plugin, name string) (abi.Sync, bool) {
	for _, spec := range p.Manifest.Syncs {
		if spec.Name == name {
			return spec, true
		}
	}
	return abi.Sync{}, false
}

// kept is how long processes that have ended are kept.
const kept = 90 * 24 * time.Hour

// Prune forgets processes that ended long ago, a bounded number in one call, and returns how many.
func (s *Service) Prune(ctx context.Context) (int, error) {
	return s.Store.PruneProcesses(ctx, s.now().Add(-kept), 1000)
}
