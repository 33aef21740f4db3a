package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/integration"
)

// Action is something that a person can start.
type Action struct {
	Type           string         `json:"type" enum:"USER_ACTION"`
	Title          string         `json:"title" example:"Sync now"`
	Description    string         `json:"description" example:"Fetches what has changed since the last time."`
	UserActionType abi.ActionKind `json:"userActionType" enum:"USER_ACTION,QUICK_ACTION" doc:"A QUICK_ACTION is a button beside the integration."`
}

// Actions are actions by name, in the order in which the plugin declares them.
type Actions []abi.Action

// MarshalJSON writes an object.
func (l Actions) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range l {
		kind := m.Kind
		if kind == "" {
			kind = abi.ActionKindUserAction
		}
		name, err := json.Marshal(m.Name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(Action{"USER_ACTION", m.Title, m.Description, kind})
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// Schema describes the object.
func (Actions) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[map[string]Action](), true, "")
}

type actionsInput struct {
	integrationInput
	Query string `query:"actionType" doc:"Only actions of this kind." enum:"USER_ACTION,QUICK_ACTION"`
	Body  Object `doc:"May name actionType instead of the query."`
}

type actionInput struct {
	integrationInput
	Name string `path:"name" doc:"Name of an action." example:"SYNC_NOW"`
}

type runActionInput struct {
	actionInput
	Body Object `doc:"What the person filled in."`
}

// anyMethod are the methods under which Frigg answers reads of actions; the document names the first two.
var anyMethod = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

func (a *API) actions() {
	tags := []string{tagActions}
	for i, method := range anyMethod {
		suffix := ""
		if i > 0 {
			suffix = "By" + method
		}
		operation(a, huma.Operation{
			OperationID: "listActions" + suffix, Method: method, Path: "/api/integrations/{id}/actions", Tags: tags,
			Summary: "List actions", Description: "Actions by name: those that the plugin declares and those that it adds for this integration. Any method does the same.",
			Hidden: i > 1,
		}, a.listActions)
		operation(a, huma.Operation{
			OperationID: "readActionForm" + suffix, Method: method, Path: "/api/integrations/{id}/actions/{name}/options", Tags: tags,
			Summary: "Read the form of an action", Description: "An action that asks nothing has an empty form. Any method does the same.",
			Hidden: i > 1,
		}, a.actionForm)
	}
	operation(a, huma.Operation{
		OperationID: "refreshActionForm", Method: http.MethodPost, Path: "/api/integrations/{id}/actions/{name}/options/refresh", Tags: tags,
		Summary: "Read the form of an action after a field changed",
	}, a.refreshActionForm)
	operation(a, huma.Operation{
		OperationID: "runAction", Method: http.MethodPost, Path: "/api/integrations/{id}/actions/{name}", Tags: tags,
		Summary: "Run an action", Description: "Answers what the action answers.",
		Errors: []int{http.StatusConflict},
	}, a.runAction)
}

func (a *API) listActions(ctx context.Context, in *actionsInput) (Actions, error) {
	body := struct{ ActionType string }{in.Query}
	if err := decode(json.RawMessage(in.Body), &body); err != nil {
		return nil, err
	}
	kind := abi.ActionKind(body.ActionType)
	if kind != "" && !kind.Valid() {
		return nil, refuse("actionType must be USER_ACTION or QUICK_ACTION")
	}
	return a.Integrations.Actions(ctx, in.actor, in.ID, kind)
}

// declaredActions are those that a plugin declares; none if it is gone.
func (a *API) declaredActions(name string) Actions {
	p, err := a.Plugins.Plugin(name)
	if err != nil {
		return nil
	}
	return integration.DeclaredActions(p, "")
}

func (a *API) actionForm(ctx context.Context, in *actionInput) (Form, error) {
	f, err := a.Integrations.ActionForm(ctx, in.actor, in.ID, in.Name)
	return newForm(f), err
}

func (a *API) refreshActionForm(ctx context.Context, in *runActionInput) (Form, error) {
	f, err := a.Integrations.RefreshActionForm(ctx, in.actor, in.ID, in.Name, json.RawMessage(in.Body))
	return newForm(f), err
}

func (a *API) runAction(ctx context.Context, in *runActionInput) (json.RawMessage, error) {
	return a.Integrations.RunAction(ctx, in.actor, in.ID, in.Name, json.RawMessage(in.Body))
}
