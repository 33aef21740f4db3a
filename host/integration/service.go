package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/journal"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/secret"
)

// syncTimeout bounds guest calls that a person or a vendor waits for.
const syncTimeout = abi.LimitSyncTimeoutMS * time.Millisecond

// Connections is what this room needs of the connection room.
type Connections interface {
	Entity(ctx context.Context, a account.Actor, id connection.EntityID) (*connection.Entity, error)
	TestEntity(ctx context.Context, a account.Actor, id connection.EntityID) (abi.TestAuthOutput, error)
	OwnedEntity(ctx context.Context, o account.Owner, id connection.EntityID) (*connection.Entity, error)
	Send(ctx context.Context, o account.Owner, id connection.EntityID, r abi.HTTPRequest, opt connection.CallOptions) (abi.HTTPResponse, error)
	CallMethod(ctx context.Context, o account.Owner, id connection.EntityID, method string, args json.RawMessage, opt connection.CallOptions) (json.RawMessage, error)
	Subscribe(ctx context.Context, o account.Owner, id connection.EntityID, w connection.Webhook, opt connection.CallOptions) (connection.Subscription, error)
	RenewSubscription(ctx context.Context, o account.Owner, id connection.EntityID, w connection.Webhook, opt connection.CallOptions) (connection.Subscription, error)
	Unsubscribe(ctx context.Context, o account.Owner, id connection.EntityID, w connection.Webhook, opt connection.CallOptions) error
}

// Schedules is what this room needs of the schedule room.
type Schedules interface {
	PutSchedule(ctx context.Context, o account.Owner, id ID, q abi.SchedulePut) error
	DeleteSchedule(ctx context.Context, o account.Owner, id ID, name string) error
	RecordSchedules(ctx context.Context, o account.Owner, id ID) ([]abi.ScheduleEntry, error)
}

// Settings says what the operator has set for a plugin.
type Settings interface {
	Settings(ctx context.Context, p *plugin.Plugin) (map[string]secret.Text, error)
}

// Vault seals secrets for an owner.
type Vault interface {
	Seal(ctx context.Context, owner string, place secret.Place, plain secret.Text) (string, error)
	Open(ctx context.Context, owner string, place secret.Place, sealed string) (secret.Text, error)
}

// Service is what people, vendors and jobs may do with integrations.
type Service struct {
	Store       Store
	Plugins     plugin.Catalog
	Guests      plugin.Caller
	Connections Connections
	Settings    Settings
	Vault       Vault
	Runs        *journal.Service
	// Schedules may be nil: then guests have none.
	Schedules Schedules
	Now       func() time.Time
	Log       *slog.Logger
	// PublicURL is the address under which vendors reach this host, without a trailing slash.
	PublicURL string
	// Wake tells the workers that a job is due; nil tells nobody.
	Wake func()
	// Syncs gives the capabilities of the room of syncs, for a call that works for in. Nil grants none.
	Syncs func(in *Integration) (plugin.ProcessCapability, plugin.SyncCapability)

	tables sync.Map // *routeTable by name of the plugin
}

func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Microsecond) }

func (s *Service) wake() {
	if s.Wake != nil {
		s.Wake()
	}
}

// integrationPlugin finds the plugin behind `config.type`.
func (s *Service) integrationPlugin(name string) (*plugin.Plugin, error) {
	p, err := s.Plugins.Plugin(name)
	if err != nil {
		return nil, err
	}
	if p.Kind != abi.PluginKindIntegration {
		return nil, fault.New(fault.Invalid, "integration.Create", "%s is an API module; give the name of an integration in config.type", name)
	}
	return p, nil
}

// Create makes an integration of the actor's entities. config.type names the plugin; entities play the roles whose module
// they belong to, in order. The record is born IN_CREATION, and ON_CREATE is enqueued with it.
// Errors: Invalid (config, a missing role, too many entities), NotFound (an entity), Conflict (one per user, exists).
func (s *Service) Create(ctx context.Context, a account.Actor, entities []connection.EntityID, config json.RawMessage) (*Integration, error) {
	const op = "integration.Create"
	if err := a.Valid(); err != nil {
		return nil, err
	}
	if len(config) > maxConfig {
		return nil, fault.New(fault.TooLarge, op, "config has %d bytes, at most %d are allowed", len(config), maxConfig)
	}
	patch, err := decodeObject(op, config)
	if err != nil {
		return nil, err
	}
	var name string
	if err := json.Unmarshal(patch[typeField], &name); err != nil || name == "" {
		return nil, fault.New(fault.Invalid, op, "Missing Parameter: config.type is required.")
	}
	delete(patch, typeField)
	p, err := s.integrationPlugin(name)
	if err != nil {
		return nil, err
	}
	if err := s.mayHaveAnother(ctx, a, p); err != nil {
		return nil, err
	}
	members, err := s.cast(ctx, a, p, entities)
	if err != nil {
		return nil, err
	}
	now := s.now()
	in := &Integration{
		ID: NewID(), Owner: a.Owner, Plugin: p.Name, Version: p.Version, Status: abi.StatusInCreation,
		Config: json.RawMessage(`{}`), Members: members, CreatedAt: now, UpdatedAt: now,
	}
	if err := s.configure(ctx, p, in, patch); err != nil {
		return nil, err
	}
	if err := s.Store.CreateIntegration(ctx, in, s.eventJob(in, abi.EventOnCreate, payload{})); err != nil {
		return nil, err
	}
	s.wake()
	return in, nil
}

func (s *Service) mayHaveAnother(ctx context.Context, a account.Actor, p *plugin.Plugin) error {
	if p.Manifest.Options == nil || p.Manifest.Options.IsMany {
		return nil
	}
	n, err := s.Store.CountIntegrations(ctx, a.Owner, p.Name)
	if err != nil {
		return err
	}
	if n > 0 {
		return fault.New(fault.Conflict, "integration.Create", "there is an integration %s already, and a user may have only one", p.Name)
	}
	return nil
}

// cast gives each entity the first free role of its module.
func (s *Service) cast(ctx context.Context, a account.Actor, p *plugin.Plugin, entities []connection.EntityID) ([]Member, error) {
	const op = "integration.Create"
	var members []Member
	taken := map[string]bool{}
	for _, id := range entities {
		e, err := s.Connections.Entity(ctx, a, id)
		if err != nil {
			return nil, err
		}
		role := ""
		for _, r := range p.Manifest.Roles {
			if r.Module == e.Module && !taken[r.Name] {
				role = r.Name
				break
			}
		}
		if role == "" {
			return nil, fault.New(fault.Invalid, op, "entity %s is an account of %s, for which %s has no free role", id, e.Module, p.Name)
		}
		taken[role] = true
		members = append(members, Member{Role: role, Entity: e.ID})
	}
	for _, r := range p.Manifest.Roles {
		if !r.Optional && !taken[r.Name] {
			return nil, fault.New(fault.Invalid, op, "%s needs an account of %s: connect one and give its id in entities", p.Name, r.Module)
		}
	}
	return members, nil
}

// Integration returns one of the actor's integrations, else fault.NotFound.
func (s *Service) Integration(ctx context.Context, a account.Actor, id ID) (*Integration, error) {
	if err := a.Valid(); err != nil {
		return nil, err
	}
	in, err := s.Store.IntegrationByID(ctx, a.Owner, id)
	if err != nil {
		return nil, err
	}
	if in.Status == abi.StatusInDeletion {
		return nil, notFound()
	}
	return in, nil
}

// Integrations lists the actor's integrations by age.
func (s *Service) Integrations(ctx context.Context, a account.Actor) ([]*Integration, error) {
	if err := a.Valid(); err != nil {
		return nil, err
	}
	return s.Store.Integrations(ctx, a.Owner)
}

// Messages lists the messages of one of the actor's integrations, oldest first.
func (s *Service) Messages(ctx context.Context, a account.Actor, id ID) ([]Message, error) {
	if err := a.Valid(); err != nil {
		return nil, err
	}
	return s.Store.MessagesOf(ctx, a.Owner, id)
}

// Change is what Update may change; nil leaves a part as it is.
type Change struct {
	Config json.RawMessage // merged, RFC 7396
	// Status DISABLED pauses the record, ENABLED lifts a pause or an error.
	Status *abi.Status
}

// maxConfig bounds what one change of a configuration may bring, in bytes.
const maxConfig = 256 << 10

// Update changes configuration or status; after a change of configuration ON_UPDATE is enqueued with it. A change that
// somebody else makes at the same time is taken in.
func (s *Service) Update(ctx context.Context, a account.Actor, id ID, c Change) (*Integration, error) {
	if len(c.Config) > maxConfig {
		return nil, fault.New(fault.TooLarge, "integration.Update", "config has %d bytes, at most %d are allowed", len(c.Config), maxConfig)
	}
	tries := quick
	if c.Config != nil {
		tries = 5 // each asks the guest
	}
	return s.persist(tries, func() (*Integration, error) { return s.update(ctx, a, id, c) })
}

// quick is how often a change is tried that only reads and writes: a guest that keeps changing its record shall not keep
// people from pausing or deleting it.
const quick = 100

// persist repeats a change of a record that met another one.
func (s *Service) persist(tries int, change func() (*Integration, error)) (in *Integration, err error) {
	for range tries {
		if in, err = change(); !fault.Is(err, fault.Conflict) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	s.wake()
	return in, nil
}

func (s *Service) update(ctx context.Context, a account.Actor, id ID, c Change) (*Integration, error) {
	in, err := s.Integration(ctx, a, id)
	if err != nil {
		return nil, err
	}
	var then *job.New
	if c.Config != nil {
		if err := s.reconfigure(ctx, in, c.Config); err != nil {
			return nil, err
		}
		n := s.eventJob(in, abi.EventOnUpdate, payload{})
		then = &n
	}
	if c.Status != nil {
		if err := in.set(*c.Status); err != nil {
			return nil, err
		}
	}
	in.UpdatedAt = s.now()
	return in, s.Store.SaveIntegration(ctx, in, nil, then)
}

// reconfigure puts a patch into the configuration of in.
func (s *Service) reconfigure(ctx context.Context, in *Integration, config json.RawMessage) error {
	p, err := s.integrationPlugin(in.Plugin)
	if err != nil {
		return err
	}
	patch, err := decodeObject("integration.Update", config)
	if err != nil {
		return err
	}
	delete(patch, typeField)
	if err := s.configure(ctx, p, in, patch); err != nil {
		return err
	}
	in.Status = configured(in.Status, in.Complete)
	return nil
}

// set is a person's change of status.
func (in *Integration) set(to abi.Status) error {
	if !personMaySet(in.Status, to) {
		return fault.New(fault.Invalid, "integration.Update", "status cannot go from %s to %s: DISABLED pauses an integration, ENABLED lifts a pause or an error", in.Status, to)
	}
	if to == abi.StatusEnabled && in.Status != to {
		to = born(in.Complete)
	}
	in.Status = to
	return nil
}

// deletion is how long ON_DELETE may be put aside and tried before the record is removed without it.
const deletion = time.Hour

// Delete takes the record out of sight at once and removes it after ON_DELETE was worked off or cannot be.
func (s *Service) Delete(ctx context.Context, a account.Actor, id ID) error {
	_, err := s.persist(quick, func() (*Integration, error) {
		in, err := s.Integration(ctx, a, id)
		if err != nil {
			return nil, err
		}
		in.Status, in.UpdatedAt = abi.StatusInDeletion, s.now()
		n := s.eventJob(in, abi.EventOnDelete, payload{})
		n.MaxAttempts, n.Deadline = 5, n.CreatedAt.Add(deletion)
		return in, s.Store.SaveIntegration(ctx, in, nil, &n)
	})
	return err
}

// Problem is an account that does not work.
type Problem struct {
	Title, Message string
	At             time.Time
}

// TestAuth really tests every account that takes part and returns what does not work.
func (s *Service) TestAuth(ctx context.Context, a account.Actor, id ID) ([]Problem, error) {
	in, err := s.Integration(ctx, a, id)
	if err != nil {
		return nil, err
	}
	var found []Problem
	for _, m := range in.Members {
		out, err := s.Connections.TestEntity(ctx, a, m.Entity)
		switch {
		case err != nil:
			found = append(found, Problem{"Authentication Error", fmt.Sprintf("There was an error with your %s account: %s", m.Role, fault.PublicMessage(err)), s.now()})
		case out.Outcome != abi.AuthOutcomeOk:
			found = append(found, Problem{"Authentication Error", fmt.Sprintf("The %s account is %s. %s", m.Role, out.Outcome, out.Message), s.now()})
		}
	}
	return found, nil
}

// Reauthorized lifts the error of records in which a freshly authorised entity takes part, so that what waited goes on.
func (s *Service) Reauthorized(ctx context.Context, o account.Owner, e connection.EntityID) error {
	records, err := s.Store.IntegrationsWith(ctx, o, e)
	if err != nil {
		return err
	}
	for _, in := range records {
		_, err := s.persist(quick, func() (*Integration, error) { return s.lift(ctx, o, in.ID) })
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	return nil
}

// lift ends the error of a record.
func (s *Service) lift(ctx context.Context, o account.Owner, id ID) (*Integration, error) {
	in, err := s.Store.IntegrationByID(ctx, o, id)
	if err != nil || in.Status != abi.StatusError {
		return in, err
	}
	in.Status, in.UpdatedAt = born(in.Complete), s.now()
	note := Message{Level: abi.MessageLevelInfo, Title: "Authorised again", Message: "Work goes on.", At: s.now()}
	return in, s.Store.SaveIntegration(ctx, in, []Message{note}, nil)
}

// Option is what a user may create.
type Option struct {
	Type                                     string
	HasUserConfig, IsMany, RequiresNewEntity bool
	Display                                  abi.Display
	Roles                                    []abi.Role
}

// Options lists the integrations that can be created.
func (s *Service) Options() []Option {
	var out []Option
	for _, p := range s.Plugins.Plugins() {
		if p.Kind != abi.PluginKindIntegration || p.State != plugin.Ready {
			continue
		}
		o := Option{Type: p.Name, Display: p.Manifest.Display, Roles: p.Manifest.Roles}
		if f := p.Manifest.Options; f != nil {
			o.HasUserConfig, o.IsMany, o.RequiresNewEntity = f.HasUserConfig, f.IsMany, f.RequiresNewEntity
		}
		out = append(out, o)
	}
	return out
}
