package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
)

// Integrations is what this room needs of the integration room.
type Integrations interface {
	Options() []integration.Option
	Create(ctx context.Context, a account.Actor, entities []connection.EntityID, config json.RawMessage) (*integration.Integration, error)
	Integration(ctx context.Context, a account.Actor, id integration.ID) (*integration.Integration, error)
	Integrations(ctx context.Context, a account.Actor) ([]*integration.Integration, error)
	Messages(ctx context.Context, a account.Actor, id integration.ID) ([]integration.Message, error)
	PublicConfig(ctx context.Context, a account.Actor, in *integration.Integration) (json.RawMessage, error)
	Update(ctx context.Context, a account.Actor, id integration.ID, c integration.Change) (*integration.Integration, error)
	Delete(ctx context.Context, a account.Actor, id integration.ID) error
	TestAuth(ctx context.Context, a account.Actor, id integration.ID) ([]integration.Problem, error)
	ConfigForm(ctx context.Context, a account.Actor, id integration.ID) (abi.Form, error)
	RefreshConfigForm(ctx context.Context, a account.Actor, id integration.ID, input json.RawMessage) (abi.Form, error)
	Actions(ctx context.Context, a account.Actor, id integration.ID, kind abi.ActionKind) ([]abi.Action, error)
	ActionForm(ctx context.Context, a account.Actor, id integration.ID, action string) (abi.Form, error)
	RefreshActionForm(ctx context.Context, a account.Actor, id integration.ID, action string, input json.RawMessage) (abi.Form, error)
	RunAction(ctx context.Context, a account.Actor, id integration.ID, action string, input json.RawMessage) (json.RawMessage, error)
	SampleData(ctx context.Context, a account.Actor, id integration.ID) (json.RawMessage, error)
	Receive(ctx context.Context, plugin string, id integration.ID, webhook string, in integration.Inbound) (abi.HTTPReply, error)
	ReceiveApp(ctx context.Context, plugin, webhook string, in integration.Inbound) (abi.HTTPReply, error)
	Receipts(ctx context.Context, a account.Actor, f integration.ReceiptFilter, limit int) ([]*integration.Receipt, error)
	Receipt(ctx context.Context, a account.Actor, id integration.EventID) (*integration.Receipt, abi.WebhookEvent, error)
	ReplayReceipt(ctx context.Context, a account.Actor, id integration.EventID) (job.ID, error)
	Hooks(ctx context.Context, a account.Actor, id integration.ID) ([]integration.HookState, error)
	FindRoute(plugin, method, path string) (integration.RouteMatch, error)
	AnswerRoute(ctx context.Context, a account.Actor, m integration.RouteMatch, q integration.RouteRequest) (abi.HTTPReply, error)
}

// Option is an integration that a user may create.
type Option struct {
	Type              string  `json:"type" doc:"What config.type of a new integration names; it may be given as entityType too, and means its first account then." example:"crm-to-issues"`
	HasUserConfig     bool    `json:"hasUserConfig"`
	IsMany            bool    `json:"isMany" doc:"A user may have several."`
	RequiresNewEntity bool    `json:"requiresNewEntity" doc:"Each needs an account of its own."`
	Display           Display `json:"display"`
	Roles             []Role  `json:"roles" doc:"The accounts that take part. *Own addition.*"`
}

// Display is how people see an integration.
type Display struct {
	Name        string `json:"name" example:"CRM to issues"`
	Description string `json:"description" example:"Opens an issue for every new contact."`
	DetailsURL  string `json:"detailsUrl" example:"https://example.com/docs"`
	Icon        string `json:"icon" doc:"Address or data URI of an image." example:"https://example.com/icon.png"`
}

// Role is an account that takes part in an integration.
type Role struct {
	Name     string `json:"name" example:"crm"`
	Type     string `json:"type" doc:"The API module: give it as entityType." example:"demo-crm"`
	Optional bool   `json:"optional"`
}

// OptionList are all integrations that a user may create.
type OptionList struct {
	Options []Option `json:"options"`
}

// Integration is one user's use of an integration.
type Integration struct {
	ID          integration.ID `json:"id" example:"int_0198c0de-0000-7000-8000-000000000000"`
	Status      abi.Status     `json:"status" enum:"IN_CREATION,NEEDS_CONFIG,ENABLED,PROCESSING,DISABLED,ERROR,IN_DELETION"`
	Config      Object         `json:"config" doc:"The configuration. Secrets stand there as [secret]; sent back like that they stay." example:"{\"type\":\"crm-to-issues\",\"labels\":true}"`
	Entities    []Member       `json:"entities"`
	Version     string         `json:"version" example:"1.0.0"`
	Messages    Messages       `json:"messages"`
	UserActions Actions        `json:"userActions"`
	CreatedAt   time.Time      `json:"createdAt"`
	UpdatedAt   time.Time      `json:"updatedAt"`
}

// Member is an account that takes part in an integration.
type Member struct {
	Role string `json:"role" example:"crm"`
	Entity
}

// Messages are notes for people, oldest first.
type Messages struct {
	Errors   []Message `json:"errors"`
	Warnings []Message `json:"warnings"`
	Info     []Message `json:"info"`
	Logs     []Message `json:"logs"`
}

// Message is a note for people.
type Message struct {
	Title     string    `json:"title" example:"ON_WEBHOOK failed"`
	Message   string    `json:"message" example:"the other system does not answer"`
	Timestamp time.Time `json:"timestamp" example:"2026-01-02T15:04:05Z"`
}

// Overview is what a user has and may create.
type Overview struct {
	Entities     OverviewEntities `json:"entities"`
	Integrations []Integration    `json:"integrations"`
}

// OverviewEntities is what a user may create, and the accounts for it.
type OverviewEntities struct {
	Options    []Option `json:"options" doc:"Integrations that can be created."`
	Authorized []Entity `json:"authorized" doc:"Connected accounts."`
}

type overviewInput struct{ signedIn }

type createIntegrationInput struct {
	signedIn
	Body CreateIntegration
}

// CreateIntegration is what an integration is made of.
type CreateIntegration struct {
	Entities []connection.EntityID `json:"entities" doc:"Accounts that take part; each plays the first free role of its module." example:"[\"ent_0198c0de-0000-7000-8000-000000000000\"]"`
	Config   Object                `json:"config" doc:"An object. Its type names the integration, all else is configuration." example:"{\"type\":\"crm-to-issues\"}"`
}

type integrationInput struct {
	signedIn
	ID integration.ID `path:"id" doc:"Id of an integration." example:"int_0198c0de-0000-7000-8000-000000000000"`
}

type updateIntegrationInput struct {
	integrationInput
	Body UpdateIntegration
}

// UpdateIntegration is what may be changed of an integration.
type UpdateIntegration struct {
	Config Object      `json:"config,omitempty" doc:"Merged into the configuration: null removes a field." example:"{\"labels\":false}"`
	Status *abi.Status `json:"status,omitempty" doc:"DISABLED pauses, ENABLED lifts a pause or an error. *Own addition.*" enum:"ENABLED,DISABLED"`
}

type refreshFormInput struct {
	integrationInput
	Body Object `doc:"What is filled in so far."`
}

func (a *API) integrations() {
	tags := []string{tagIntegrations}
	operation(a, huma.Operation{
		OperationID: "listIntegrations", Method: http.MethodGet, Path: "/api/integrations", Tags: tags,
		Summary: "List integrations", Description: "What the user has and may create.",
	}, a.listIntegrations)
	operation(a, huma.Operation{
		OperationID: "listIntegrationOptions", Method: http.MethodGet, Path: "/api/integrations/options", Tags: tags,
		Summary: "List what can be created",
	}, a.listOptions)
	operation(a, huma.Operation{
		OperationID: "createIntegration", Method: http.MethodPost, Path: "/api/integrations", Tags: tags,
		Summary: "Create an integration", Description: "It is IN_CREATION until its ON_CREATE was worked off.",
		DefaultStatus: http.StatusCreated, Errors: []int{http.StatusNotFound, http.StatusConflict},
	}, a.createIntegration)
	operation(a, huma.Operation{
		OperationID: "readIntegration", Method: http.MethodGet, Path: "/api/integrations/{id}", Tags: tags,
		Summary: "Read an integration",
	}, a.readIntegration)
	operation(a, huma.Operation{
		OperationID: "updateIntegration", Method: http.MethodPatch, Path: "/api/integrations/{id}", Tags: tags,
		Summary: "Configure, pause or resume an integration", Description: "After a change of the configuration ON_UPDATE is worked off.",
	}, a.updateIntegration)
	operation(a, huma.Operation{
		OperationID: "deleteIntegration", Method: http.MethodDelete, Path: "/api/integrations/{id}", Tags: tags,
		Summary: "Remove an integration", Description: "It is out of sight at once, and gone after its ON_DELETE was worked off.",
		DefaultStatus: http.StatusCreated,
	}, a.deleteIntegration)
	operation(a, huma.Operation{
		OperationID: "readConfigForm", Method: http.MethodGet, Path: "/api/integrations/{id}/config/options", Tags: tags,
		Summary: "Read the configuration form",
	}, a.configForm)
	operation(a, huma.Operation{
		OperationID: "refreshConfigForm", Method: http.MethodPost, Path: "/api/integrations/{id}/config/options/refresh", Tags: tags,
		Summary: "Read the configuration form after a field changed",
	}, a.refreshConfigForm)
	operation(a, huma.Operation{
		OperationID: "testIntegration", Method: http.MethodGet, Path: "/api/integrations/{id}/test-auth", Tags: tags,
		Summary: "Test the accounts of an integration", Description: "Every account is really tested.", Responses: a.unwellResponse(),
	}, a.testIntegration)
	operation(a, huma.Operation{
		OperationID: "readSampleData", Method: http.MethodGet, Path: "/api/demo/sample/{id}", Tags: []string{tagActions},
		Summary: "Read sample data of an integration", Description: "What its action GET_SAMPLE_DATA answers.",
	}, a.sampleData)
}

func (a *API) listOptions(_ context.Context, _ *overviewInput) (OptionList, error) {
	return OptionList{newOptions(a.Integrations.Options())}, nil
}

func newOptions(all []integration.Option) []Option {
	list := []Option{}
	for _, o := range all {
		option := Option{
			Type: o.Type, HasUserConfig: o.HasUserConfig, IsMany: o.IsMany, RequiresNewEntity: o.RequiresNewEntity, Roles: []Role{},
			Display: Display{o.Display.Name, o.Display.Description, o.Display.DetailsURL, o.Display.Icon},
		}
		for _, r := range o.Roles {
			option.Roles = append(option.Roles, Role{r.Name, r.Module, r.Optional})
		}
		list = append(list, option)
	}
	return list
}

func (a *API) listIntegrations(ctx context.Context, in *overviewInput) (Overview, error) {
	var out Overview
	out.Entities.Options = newOptions(a.Integrations.Options())
	found, err := a.Connections.Entities(ctx, in.actor)
	if err != nil {
		return Overview{}, err
	}
	out.Entities.Authorized = []Entity{}
	for _, e := range found {
		out.Entities.Authorized = append(out.Entities.Authorized, newEntity(e))
	}
	records, err := a.Integrations.Integrations(ctx, in.actor)
	if err != nil {
		return Overview{}, err
	}
	out.Integrations = []Integration{}
	for _, r := range records {
		shown, err := a.show(ctx, in.actor, r, found)
		if err != nil {
			return Overview{}, err
		}
		out.Integrations = append(out.Integrations, shown)
	}
	return out, nil
}

func (a *API) createIntegration(ctx context.Context, in *createIntegrationInput) (Integration, error) {
	return a.shown(ctx, in.actor)(a.Integrations.Create(ctx, in.actor, in.Body.Entities, json.RawMessage(in.Body.Config)))
}

func (a *API) readIntegration(ctx context.Context, in *integrationInput) (Integration, error) {
	return a.shown(ctx, in.actor)(a.Integrations.Integration(ctx, in.actor, in.ID))
}

func (a *API) updateIntegration(ctx context.Context, in *updateIntegrationInput) (Integration, error) {
	if in.Body.Config == nil && in.Body.Status == nil {
		return Integration{}, missing([]string{"config"})
	}
	if in.Body.Status != nil && !in.Body.Status.Valid() {
		return Integration{}, refuse("status must be ENABLED or DISABLED")
	}
	change := integration.Change{Config: json.RawMessage(in.Body.Config), Status: in.Body.Status}
	return a.shown(ctx, in.actor)(a.Integrations.Update(ctx, in.actor, in.ID, change))
}

func (a *API) deleteIntegration(ctx context.Context, in *integrationInput) (Nothing, error) {
	return Nothing{}, a.Integrations.Delete(ctx, in.actor, in.ID)
}

func (a *API) configForm(ctx context.Context, in *integrationInput) (Form, error) {
	f, err := a.Integrations.ConfigForm(ctx, in.actor, in.ID)
	return newForm(f), err
}

func (a *API) refreshConfigForm(ctx context.Context, in *refreshFormInput) (Form, error) {
	f, err := a.Integrations.RefreshConfigForm(ctx, in.actor, in.ID, json.RawMessage(in.Body))
	return newForm(f), err
}

func (a *API) testIntegration(ctx context.Context, in *integrationInput) (Working, error) {
	found, err := a.Integrations.TestAuth(ctx, in.actor, in.ID)
	if err != nil {
		return Working{}, err
	}
	var problems unwell
	for _, p := range found {
		problems = append(problems, Problem{p.Title, p.Message, p.At})
	}
	if len(problems) > 0 {
		return Working{}, problems
	}
	return works, nil
}

func (a *API) sampleData(ctx context.Context, in *integrationInput) (json.RawMessage, error) {
	return a.Integrations.SampleData(ctx, in.actor, in.ID)
}

// shown shows a record that a use case returned.
func (a *API) shown(ctx context.Context, actor account.Actor) func(*integration.Integration, error) (Integration, error) {
	return func(r *integration.Integration, err error) (Integration, error) {
		if err != nil {
			return Integration{}, err
		}
		var members []*connection.Entity
		for _, m := range r.Members {
			e, err := a.Connections.Entity(ctx, actor, m.Entity)
			if err == nil {
				members = append(members, e)
			} else if !fault.Is(err, fault.NotFound) { // disconnected meanwhile
				return Integration{}, err
			}
		}
		return a.show(ctx, actor, r, members)
	}
}

// show is a record as its owner sees it; entities are at least those that take part and exist.
func (a *API) show(ctx context.Context, actor account.Actor, r *integration.Integration, entities []*connection.Entity) (Integration, error) {
	config, err := a.Integrations.PublicConfig(ctx, actor, r)
	if err != nil {
		return Integration{}, err
	}
	notes, err := a.Integrations.Messages(ctx, actor, r.ID)
	if err != nil {
		return Integration{}, err
	}
	return Integration{
		ID: r.ID, Status: r.Status, Config: Object(config), Entities: newMembers(r.Members, entities), Version: r.Version,
		Messages: newMessages(notes), UserActions: a.declaredActions(r.Plugin), CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}, nil
}

func newMembers(members []integration.Member, entities []*connection.Entity) []Member {
	list := []Member{}
	for _, m := range members {
		member := Member{Role: m.Role, Entity: Entity{ID: m.Entity}}
		for _, e := range entities {
			if e.ID == m.Entity {
				member.Entity = newEntity(e)
			}
		}
		list = append(list, member)
	}
	return list
}

func newMessages(notes []integration.Message) Messages {
	out := Messages{[]Message{}, []Message{}, []Message{}, []Message{}}
	for _, n := range notes {
		list := &out.Logs
		switch n.Level {
		case abi.MessageLevelError:
			list = &out.Errors
		case abi.MessageLevelWarning:
			list = &out.Warnings
		case abi.MessageLevelInfo:
			list = &out.Info
		}
		*list = append(*list, Message{n.Title, n.Message, n.At})
	}
	return out
}
