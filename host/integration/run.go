package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/secret"
)

// run is one guest call for one record: what it may reach, and the handles that it was given. It serves the guest's
// capability calls and is not reused.
type run struct {
	s       *Service
	in      *Integration
	plugin  *plugin.Plugin
	timeout time.Duration
	handles *secret.Handles
	secrets map[string]secret.Text // of the configuration, by place
	limited *limited               // nil when there is no job to wait
	log     *slog.Logger
}

// newRun prepares a call that somebody waits for, and describes the record to the guest: secret fields of the configuration
// as handles.
func (s *Service) newRun(ctx context.Context, p *plugin.Plugin, in *Integration, timeout time.Duration) (*run, abi.Integration, error) {
	return s.newRunWith(ctx, p, in, timeout, secret.NewHandles())
}

func (s *Service) newRunWith(ctx context.Context, p *plugin.Plugin, in *Integration, timeout time.Duration, handles *secret.Handles) (*run, abi.Integration, error) {
	r := &run{
		s: s, in: in, plugin: p, timeout: timeout, handles: handles,
		log: s.Log.With("owner", string(in.Owner), "integration", string(in.ID), "plugin", p.Name),
	}
	record, err := r.record(ctx, in)
	return r, record, err
}

// record describes in to the guest.
func (r *run) record(ctx context.Context, in *Integration) (abi.Integration, error) {
	secrets, err := r.s.openSecrets(ctx, in)
	if err != nil {
		return abi.Integration{}, err
	}
	config, err := shown(r.plugin, in, secrets, func(_ string, t secret.Text) string { return r.handles.Issue(t) })
	if err != nil {
		return abi.Integration{}, err
	}
	text, err := json.Marshal(config)
	if err != nil {
		return abi.Integration{}, fault.Wrap(err, fault.Internal, "integration.run", "the configuration cannot be read")
	}
	r.secrets = secrets
	out := abi.Integration{ID: string(in.ID), Status: in.Status, Version: in.Version, Config: text, Entities: []abi.Entity{}}
	for _, m := range in.Members {
		e, err := r.s.Connections.OwnedEntity(ctx, in.Owner, m.Entity)
		if fault.Is(err, fault.NotFound) {
			continue // disconnected meanwhile; calls in that role say so
		}
		if err != nil {
			return abi.Integration{}, err
		}
		out.Entities = append(out.Entities, abi.Entity{ID: string(e.ID), Role: m.Role, Module: e.Module, ExternalID: e.ExternalID, Name: e.Name, Details: e.Details})
	}
	return out, nil
}

// issue gives the handle of a secret that a person filled in; the hidden value is the one that is configured there.
func (r *run) issue(at string, t secret.Text) string {
	if configured, ok := r.secrets[at]; ok && t.Reveal() == hiddenValue {
		t = configured
	}
	return r.handles.Issue(t)
}

// call is the guest call with everything this record may reach.
func (r *run) call(export string) plugin.Call {
	can := plugin.Capabilities{
		HTTP: (*remote)(r), Module: (*remote)(r), Storage: (*storage)(r), Mapping: (*mapping)(r), Queue: (*queue)(r),
		Integration: (*record)(r), Webhook: (*hooks)(r), Crypto: connection.NewCrypto(r.handles), Notify: (*notification)(r),
	}
	if r.s.Schedules != nil {
		can.Schedule = (*schedules)(r)
	}
	if r.s.Syncs != nil {
		can.Process, can.Sync = r.s.Syncs(r.in)
	}
	return plugin.Call{Plugin: r.plugin, Export: export, Timeout: r.timeout, Log: r.logLine, Can: can}
}

func (r *run) logLine(level, message string) { logTo(r.log)(level, message) }

// logTo takes the lines of a guest.
func logTo(log *slog.Logger) func(level, message string) {
	return func(level, message string) {
		var l slog.Level
		if l.UnmarshalText([]byte(level)) != nil {
			l = slog.LevelInfo
		}
		log.Log(context.Background(), l, "guest: "+message)
	}
}

func (r *run) options() connection.CallOptions {
	return connection.CallOptions{Handles: r.handles, Log: r.logLine, Timeout: r.timeout}
}

// remote serves http and module.
type remote run

func (c *remote) entity(role string) (connection.EntityID, error) {
	id, ok := c.in.entity(role)
	if !ok {
		return "", &fault.Error{Kind: fault.NotFound, Side: fault.Guest, Op: "integration.call", Msg: fmt.Sprintf("no account plays the role %q", role)}
	}
	return id, nil
}

func (c *remote) Send(ctx context.Context, q abi.HTTPRequest) (abi.HTTPResponse, error) {
	id, err := c.entity(q.Role)
	if err != nil {
		return abi.HTTPResponse{}, err
	}
	answer, err := c.s.Connections.Send(ctx, c.in.Owner, id, q, (*run)(c).options())
	c.limited.note(id, err, c.s.now())
	return answer, err
}

func (c *remote) Call(ctx context.Context, q abi.ModuleCall) (abi.ModuleValue, error) {
	id, err := c.entity(q.Role)
	if err != nil {
		return abi.ModuleValue{}, err
	}
	value, err := c.s.Connections.CallMethod(ctx, c.in.Owner, id, q.Method, q.Args, (*run)(c).options())
	c.limited.note(id, err, c.s.now())
	return abi.ModuleValue{Value: value}, err
}
