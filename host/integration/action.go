package integration

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/form"
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
	return s.asker(p, in, "").ask(ctx, abi.ExportConfigForm, nil, false)
}

// RefreshConfigForm is the form after a person changed a field; input is what is filled in so far. The guest gets handles of
// fields that its forms call passwords.
func (s *Service) RefreshConfigForm(ctx context.Context, a account.Actor, id ID, input json.RawMessage) (abi.Form, error) {
	in, p, err := s.open(ctx, a, id)
	if err != nil {
		return abi.Form{}, err
	}
	if !p.Manifest.DynamicConfig {
		return staticForm(p.Manifest.Config), nil
	}
	filled, err := form.ReadInput(input)
	if err != nil {
		return abi.Form{}, err
	}
	return s.asker(p, in, "").form(ctx, abi.ExportConfigForm, abi.ExportRefreshConfigForm, filled)
}

func staticForm(f *abi.Form) abi.Form {
	if f == nil {
		return form.Empty()
	}
	return *f
}

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
	r, record, err := s.newRun(ctx, p, in, syncTimeout)
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
	in, p, err := s.open(ctx, a, id)
	if err != nil {
		return abi.Form{}, err
	}
	if hasNoForm(p, action) {
		return form.Empty(), nil
	}
	if !p.Has(abi.ExportActionForm) {
		return abi.Form{}, noActionForm(p, action)
	}
	return s.asker(p, in, action).ask(ctx, abi.ExportActionForm, nil, false)
}

// RefreshActionForm is the form of an action after a person changed a field. The guest gets handles of fields that its forms
// call passwords.
func (s *Service) RefreshActionForm(ctx context.Context, a account.Actor, id ID, action string, input json.RawMessage) (abi.Form, error) {
	in, p, err := s.open(ctx, a, id)
	if err != nil {
		return abi.Form{}, err
	}
	if hasNoForm(p, action) {
		return form.Empty(), nil
	}
	if !p.Has(abi.ExportRefreshActionForm) {
		return abi.Form{}, noActionForm(p, action)
	}
	filled, err := form.ReadInput(input)
	if err != nil {
		return abi.Form{}, err
	}
	return s.asker(p, in, action).form(ctx, abi.ExportActionForm, abi.ExportRefreshActionForm, filled)
}

func noActionForm(p *plugin.Plugin, action string) error {
	return fault.New(fault.NotFound, "integration.ActionForm", "%s has no action %s with a form", p.Name, action)
}

// hasNoForm reports that the manifest declares an action and no form of it; of other actions only the guest knows.
func hasNoForm(p *plugin.Plugin, action string) bool {
	return slices.ContainsFunc(p.Manifest.Actions, func(m abi.Action) bool { return m.Name == action && !m.HasForm })
}

// RunAction runs an action that a person started and returns what it answers. The guest gets handles of fields that the
// action's form calls passwords, and of those that no form has and whose name is that of a secret in the configuration;
// the hidden value in such a field is the configured secret.
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
	filled, err := s.actionInput(ctx, p, in, action, input)
	if err != nil {
		return nil, err
	}
	r, record, err := s.newRun(ctx, p, in, 0)
	if err != nil {
		return nil, err
	}
	out, err := plugin.Invoke[abi.ActionOutput](ctx, s.Guests, r.call(abi.ExportRunAction), abi.ActionInput{Action: action, Input: filled.Told(true, r.issue), Integration: record})
	return out.Value, err
}

// actionInput reads what an action is given, and asks for the action's form to know what is secret in it.
func (s *Service) actionInput(ctx context.Context, p *plugin.Plugin, in *Integration, action string, input json.RawMessage) (*form.Input, error) {
	filled, err := form.ReadInput(input)
	if err != nil || filled.Empty() {
		return filled, err
	}
	if p.Has(abi.ExportActionForm) && !hasNoForm(p, action) {
		_, err = s.asker(p, in, action).form(ctx, abi.ExportActionForm, abi.ExportRefreshActionForm, filled)
		if err != nil && !fault.Is(err, fault.Unsupported) && !fault.Is(err, fault.NotFound) {
			return nil, err
		}
	}
	stored, err := s.openSecrets(ctx, in)
	if err != nil {
		return nil, err
	}
	filled.HideNamed(secretNames(p, stored))
	return filled, nil
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

// asker asks a record's guest for forms.
type asker struct {
	s      *Service
	plugin *plugin.Plugin
	in     *Integration
	action string
}

func (s *Service) asker(p *plugin.Plugin, in *Integration, action string) asker {
	return asker{s, p, in, action}
}

// ask asks once; input may be nil.
func (a asker) ask(ctx context.Context, export string, input *form.Input, all bool) (abi.Form, error) {
	r, record, err := a.s.newRun(ctx, a.plugin, a.in, syncTimeout)
	if err != nil {
		return abi.Form{}, err
	}
	q := abi.FormInput{Integration: record, Action: a.action}
	if input != nil {
		q.Input = input.Told(all, r.issue)
	}
	f, err := plugin.Invoke[abi.Form](ctx, a.s.Guests, r.call(export), q)
	if err != nil {
		return abi.Form{}, err
	}
	return f, form.Bounded(f)
}

// form asks for the form that fits an input, which learns what is secret in it: first without the input, then with more and
// more of it.
func (a asker) form(ctx context.Context, first, again string, input *form.Input) (abi.Form, error) {
	stored, err := a.s.openSecrets(ctx, a.in)
	if err != nil {
		return abi.Form{}, err
	}
	var f abi.Form
	if a.plugin.Has(first) {
		if f, err = a.ask(ctx, first, nil, false); err != nil {
			return abi.Form{}, err
		}
		if _, err := input.Learn(&f); err != nil {
			return abi.Form{}, err
		}
	}
	if !a.plugin.Has(again) {
		return f, nil
	}
	input.HideNamed(secretNames(a.plugin, stored))
	return input.Settle(func(all bool) (abi.Form, error) { return a.ask(ctx, again, input, all) })
}
