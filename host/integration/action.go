package integration

import (
	"context"
	"encoding/json"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// actionSampleData is the action that answers sample data.
const actionSampleData = "GET_SAMPLE_DATA"

// ConfigForm is the configuration form of a record.
func (s *Service) ConfigForm(ctx context.Context, a account.Actor, id ID) (abi.Form, error) {
	in, p, err := s.open(ctx, a, id)
	if err != nil {
		return abi.Form{}, err
	}
	if !p.Manifest.DynamicConfig {
		return staticForm(p.Manifest.Config), nil
	}
	return s.guestForm(ctx, in, abi.ExportConfigForm, abi.FormInput{})
}

// RefreshConfigForm is the form after a person changed a field; input is what is filled in so far.
func (s *Service) RefreshConfigForm(ctx context.Context, a account.Actor, id ID, input json.RawMessage) (abi.Form, error) {
	in, p, err := s.open(ctx, a, id)
	if err != nil {
		return abi.Form{}, err
	}
	if !p.Manifest.DynamicConfig {
		return staticForm(p.Manifest.Config), nil
	}
	return s.guestForm(ctx, in, abi.ExportRefreshConfigForm, abi.FormInput{Input: input})
}

func staticForm(f *abi.Form) abi.Form {
	if f == nil {
		return emptyForm
	}
	return *f
}

var emptyForm = abi.Form{JSONSchema: json.RawMessage(`{"type":"object","properties":{}}`), UISchema: json.RawMessage(`{"type":"VerticalLayout","elements":[]}`)}

// Actions lists the declared actions of a record and those that its guest adds, of one kind if given.
func (s *Service) Actions(ctx context.Context, a account.Actor, id ID, kind abi.ActionKind) ([]abi.Action, error) {
	in, p, err := s.open(ctx, a, id)
	if err != nil {
		return nil, err
	}
	actions := DeclaredActions(p, kind)
	if !p.Has(abi.ExportListActions) || !actsIn(in.Status, "") {
		return actions, nil
	}
	r, record, err := s.newRun(ctx, p, in, "", syncTimeout)
	if err != nil {
		return nil, err
	}
	more, err := plugin.Invoke[abi.ListActionsOutput](ctx, s.Guests, r.call(abi.ExportListActions), abi.ListActionsInput{Integration: record, Kind: kind})
	if err != nil && !fault.Is(err, fault.Unsupported) {
		return nil, err
	}
	for _, m := range more.Actions {
		if kind == "" || actionKind(m) == kind {
			actions = append(actions, m)
		}
	}
	return actions, nil
}

// DeclaredActions lists the actions of a manifest, of one kind if given.
func DeclaredActions(p *plugin.Plugin, kind abi.ActionKind) []abi.Action {
	var out []abi.Action
	for _, m := range p.Manifest.Actions {
		if kind == "" || actionKind(m) == kind {
			out = append(out, m)
		}
	}
	return out
}

func actionKind(a abi.Action) abi.ActionKind {
	if a.Kind == "" {
		return abi.ActionKindUserAction
	}
	return a.Kind
}

// ActionForm is the form of an action; an action without one has an empty form.
func (s *Service) ActionForm(ctx context.Context, a account.Actor, id ID, action string) (abi.Form, error) {
	return s.actionForm(ctx, a, id, action, abi.ExportActionForm, nil)
}

// RefreshActionForm is the form of an action after a person changed a field.
func (s *Service) RefreshActionForm(ctx context.Context, a account.Actor, id ID, action string, input json.RawMessage) (abi.Form, error) {
	return s.actionForm(ctx, a, id, action, abi.ExportRefreshActionForm, input)
}

func (s *Service) actionForm(ctx context.Context, a account.Actor, id ID, action, export string, input json.RawMessage) (abi.Form, error) {
	in, p, err := s.open(ctx, a, id)
	if err != nil {
		return abi.Form{}, err
	}
	for _, m := range p.Manifest.Actions {
		if m.Name == action && !m.HasForm {
			return emptyForm, nil
		}
	}
	if !p.Has(export) {
		return abi.Form{}, fault.New(fault.NotFound, "integration.ActionForm", "%s has no action %s with a form", p.Name, action)
	}
	return s.guestForm(ctx, in, export, abi.FormInput{Action: action, Input: input})
}

// RunAction runs an action that a person started and returns what it answers.
func (s *Service) RunAction(ctx context.Context, a account.Actor, id ID, action string, input json.RawMessage) (json.RawMessage, error) {
	const op = "integration.RunAction"
	in, p, err := s.open(ctx, a, id)
	if err != nil {
		return nil, err
	}
	if !actsIn(in.Status, action) {
		return nil, fault.New(fault.Conflict, op, "the integration is %s; actions run when it is ENABLED", in.Status)
	}
	if !p.Has(abi.ExportRunAction) {
		return nil, fault.New(fault.NotFound, op, "%s has no action %s", p.Name, action)
	}
	r, record, err := s.newRun(ctx, p, in, "", 0)
	if err != nil {
		return nil, err
	}
	out, err := plugin.Invoke[abi.ActionOutput](ctx, s.Guests, r.call(abi.ExportRunAction), abi.ActionInput{Action: action, Input: input, Integration: record})
	return out.Value, err
}

// SampleData runs the action GET_SAMPLE_DATA.
func (s *Service) SampleData(ctx context.Context, a account.Actor, id ID) (json.RawMessage, error) {
	return s.RunAction(ctx, a, id, actionSampleData, nil)
}

// open reads a record and its plugin.
func (s *Service) open(ctx context.Context, a account.Actor, id ID) (*Integration, *plugin.Plugin, error) {
	in, err := s.Integration(ctx, a, id)
	if err != nil {
		return nil, nil, err
	}
	p, err := s.integrationPlugin(in.Plugin)
	return in, p, err
}

// guestForm asks the guest for a form.
func (s *Service) guestForm(ctx context.Context, in *Integration, export string, ask abi.FormInput) (abi.Form, error) {
	p, err := s.integrationPlugin(in.Plugin)
	if err != nil {
		return abi.Form{}, err
	}
	r, record, err := s.newRun(ctx, p, in, "", syncTimeout)
	if err != nil {
		return abi.Form{}, err
	}
	ask.Integration = record
	return plugin.Invoke[abi.Form](ctx, s.Guests, r.call(export), ask)
}
