package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
)

// Connections is what this room needs of the connection room.
type Connections interface {
	Requirements(ctx context.Context, a account.Actor, module string) (connection.Requirements, error)
	Authorize(ctx context.Context, a account.Actor, module string, data map[string]any) (connection.Authorization, error)
	CreateEntity(ctx context.Context, a account.Actor, module string, data map[string]any) (*connection.Entity, error)
	CredentialForm(ctx context.Context, a account.Actor, id connection.CredentialID) (abi.Form, error)
	Entity(ctx context.Context, a account.Actor, id connection.EntityID) (*connection.Entity, error)
	Entities(ctx context.Context, a account.Actor) ([]*connection.Entity, error)
	EntityForm(ctx context.Context, a account.Actor, id connection.EntityID, input json.RawMessage) (abi.Form, error)
	RefreshEntityForm(ctx context.Context, a account.Actor, id connection.EntityID, input json.RawMessage) (abi.Form, error)
	TestEntity(ctx context.Context, a account.Actor, id connection.EntityID) (abi.TestAuthOutput, error)
	DeauthorizeEntity(ctx context.Context, a account.Actor, id connection.EntityID) error
	DeauthorizeCredential(ctx context.Context, a account.Actor, id connection.CredentialID) error
}

// Entity is a connected account.
type Entity struct {
	ID           connection.EntityID     `json:"id" example:"ent_0198c0de-0000-7000-8000-000000000000"`
	Type         string                  `json:"type" doc:"The API module." example:"demo-crm"`
	Name         string                  `json:"name" example:"Ada's CRM"`
	ExternalID   string                  `json:"externalId" doc:"The vendor's id of the account." example:"4711"`
	SubType      string                  `json:"subType,omitempty"`
	CredentialID connection.CredentialID `json:"credentialId,omitempty" example:"cred_0198c0de-0000-7000-8000-000000000000"`
	Status       connection.Status       `json:"status,omitempty" enum:"ok,invalid" doc:"Whether the vendor still takes the credential."`
	Details      Object                  `json:"details,omitempty" doc:"What the module keeps of the account."`
	CreatedAt    *time.Time              `json:"createdAt,omitempty"`
	UpdatedAt    *time.Time              `json:"updatedAt,omitempty"`
}

func newEntity(e *connection.Entity) Entity {
	return Entity{e.ID, e.Module, e.Name, e.ExternalID, e.SubType, e.Credential, e.Status, Object(e.Details), &e.CreatedAt, &e.UpdatedAt}
}

// Working says that a test found nothing wrong.
type Working struct {
	Status string `json:"status" enum:"ok"`
}

var works = Working{"ok"}

type createEntityInput struct {
	signedIn
	Body CreateEntity
}

// CreateEntity is the choice of an account that a credential opens.
type CreateEntity struct {
	EntityType string         `json:"entityType" example:"demo-crm"`
	Data       map[string]any `json:"data" doc:"The credential_id, and what the person chose." example:"{\"credential_id\":\"cred_0198c0de-0000-7000-8000-000000000000\",\"external_id\":\"4711\"}"`
}

type credentialFormInput struct {
	credentialInput
	EntityType string `query:"entityType" required:"true" doc:"Name of the API module." example:"demo-crm"`
}

type credentialInput struct {
	signedIn
	ID connection.CredentialID `path:"id" doc:"Id of a credential." example:"cred_0198c0de-0000-7000-8000-000000000000"`
}

type entityInput struct {
	signedIn
	ID connection.EntityID `path:"id" doc:"Id of a connected account." example:"ent_0198c0de-0000-7000-8000-000000000000"`
}

type entityFormInput struct {
	entityInput
	Body Object `doc:"What is filled in so far."`
}

func (a *API) entities() {
	tags := []string{tagConnections}
	operation(a, huma.Operation{
		OperationID: "createEntity", Method: http.MethodPost, Path: "/api/entity", Tags: tags,
		Summary: "Choose an account of a credential", Description: "An account that is connected already keeps its id.",
		Errors: []int{http.StatusNotFound},
	}, a.createEntity)
	operation(a, huma.Operation{
		OperationID: "readEntityOptions", Method: http.MethodGet, Path: "/api/entity/options/{id}", Tags: tags,
		Summary: "Read which accounts a credential opens", Description: "A form; its answer goes to /api/entity.",
	}, a.credentialForm)
	operation(a, huma.Operation{
		OperationID: "readEntity", Method: http.MethodGet, Path: "/api/entities/{id}", Tags: tags,
		Summary: "Read a connected account", Description: "Never its secrets.",
	}, a.readEntity)
	operation(a, huma.Operation{
		OperationID: "deleteEntity", Method: http.MethodDelete, Path: "/api/entities/{id}", Tags: tags,
		Summary: "Disconnect an account", Description: "Takes the access back at the vendor if nothing else needs it; 409 while an integration uses it. *Own addition.*",
		DefaultStatus: http.StatusCreated, Errors: []int{http.StatusConflict},
	}, a.deleteEntity)
	operation(a, huma.Operation{
		OperationID: "deleteCredential", Method: http.MethodDelete, Path: "/api/credentials/{id}", Tags: tags,
		Summary: "Disconnect all accounts of a credential", Description: "Takes the access back at the vendor; 409 while an integration uses one. *Own addition.*",
		DefaultStatus: http.StatusCreated, Errors: []int{http.StatusConflict},
	}, a.deleteCredential)
	operation(a, huma.Operation{
		OperationID: "testEntity", Method: http.MethodGet, Path: "/api/entities/{id}/test-auth", Tags: tags,
		Summary: "Test a connected account", Description: "Asks the vendor.", Responses: a.unwellResponse(),
	}, a.testEntity)
	operation(a, huma.Operation{
		OperationID: "readEntityForm", Method: http.MethodPost, Path: "/api/entities/{id}/options", Tags: tags,
		Summary: "Read the form of a connected account",
	}, a.entityForm)
	operation(a, huma.Operation{
		OperationID: "refreshEntityForm", Method: http.MethodPost, Path: "/api/entities/{id}/options/refresh", Tags: tags,
		Summary: "Read the form of a connected account after a field changed",
	}, a.refreshEntityForm)
}

func (a *API) unwellResponse() map[string]*huma.Response {
	return map[string]*huma.Response{"400": a.failure("An account does not work; errors says which and why.")}
}

func (a *API) createEntity(ctx context.Context, in *createEntityInput) (Entity, error) {
	if id, _ := in.Body.Data["credential_id"].(string); id == "" {
		return Entity{}, missing([]string{"credential_id"})
	}
	e, err := a.Connections.CreateEntity(ctx, in.actor, a.module(in.Body.EntityType), in.Body.Data)
	if err != nil {
		return Entity{}, err
	}
	return newEntity(e), nil
}

func (a *API) credentialForm(ctx context.Context, in *credentialFormInput) (Form, error) {
	f, err := a.Connections.CredentialForm(ctx, in.actor, in.ID)
	return newForm(f), err
}

func (a *API) readEntity(ctx context.Context, in *entityInput) (Entity, error) {
	e, err := a.Connections.Entity(ctx, in.actor, in.ID)
	if err != nil {
		return Entity{}, err
	}
	return newEntity(e), nil
}

func (a *API) deleteEntity(ctx context.Context, in *entityInput) (Nothing, error) {
	return Nothing{}, a.Connections.DeauthorizeEntity(ctx, in.actor, in.ID)
}

func (a *API) deleteCredential(ctx context.Context, in *credentialInput) (Nothing, error) {
	return Nothing{}, a.Connections.DeauthorizeCredential(ctx, in.actor, in.ID)
}

func (a *API) testEntity(ctx context.Context, in *entityInput) (Working, error) {
	found, err := a.Connections.TestEntity(ctx, in.actor, in.ID)
	if err != nil {
		return Working{}, err
	}
	if found.Outcome != abi.AuthOutcomeOk {
		text := strings.TrimSpace("There was an error with your account. " + found.Message)
		return Working{}, unwell{{authenticationError, text, a.now()}}
	}
	return works, nil
}

func (a *API) entityForm(ctx context.Context, in *entityFormInput) (Form, error) {
	f, err := a.Connections.EntityForm(ctx, in.actor, in.ID, json.RawMessage(in.Body))
	return newForm(f), err
}

func (a *API) refreshEntityForm(ctx context.Context, in *entityFormInput) (Form, error) {
	f, err := a.Connections.RefreshEntityForm(ctx, in.actor, in.ID, json.RawMessage(in.Body))
	return newForm(f), err
}
