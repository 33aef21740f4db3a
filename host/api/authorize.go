package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/connection"
)

// Requirements is what authorising an account needs from a person: to go to an address, or to fill in a form first.
type Requirements struct {
	Type string `json:"type" doc:"How accounts of this module are authorised." enum:"oauth2,apiKey,basic,custom,none"`
	URL  string `json:"url,omitempty" doc:"Where to send the person. Good for ten minutes and one callback." example:"https://vendor.example.com/authorize?client_id=..."`
	Data *Form  `json:"data,omitempty" doc:"What to fill in."`
}

// Authorization is what became of a step of authorising an account: connected, or where to send the person next.
type Authorization struct {
	CredentialID connection.CredentialID `json:"credential_id,omitempty" example:"cred_0198c0de-0000-7000-8000-000000000000"`
	EntityID     connection.EntityID     `json:"entity_id,omitempty" doc:"The connected account. Without it the person must choose one: see /api/entity/options." example:"ent_0198c0de-0000-7000-8000-000000000000"`
	Type         string                  `json:"type" doc:"The module; with url how the account is authorised." example:"demo-crm"`
	URL          string                  `json:"url,omitempty" doc:"Where to send the person after the form."`
	Entities     []Entity                `json:"entities,omitempty" doc:"All accounts, where one authorisation opens several. *Own addition.*"`
}

type requirementsInput struct {
	signedIn
	EntityType string `query:"entityType" required:"true" doc:"Name of an API module, or of an integration, which means its first account." example:"demo-crm"`
	Connecting string `query:"connectingEntityType" doc:"Taken as Frigg's clients send it; changes nothing."`
}

type authorizeInput struct {
	signedIn
	Body Authorize
}

// Authorize is a filled-in form or the query of a callback.
type Authorize struct {
	EntityType string         `json:"entityType" example:"demo-crm"`
	Data       map[string]any `json:"data" doc:"The values of the form, or the whole query with which the vendor sent the person back." example:"{\"code\":\"...\",\"state\":\"...\"}"`
}

func (a *API) authorizing() {
	tags := []string{tagConnections}
	operation(a, huma.Operation{
		OperationID: "readAuthorization", Method: http.MethodGet, Path: "/api/authorize", Tags: tags,
		Summary: "Begin to connect an account", Description: "An unknown entityType is 400 with the list of modules.",
	}, a.requirements)
	operation(a, huma.Operation{
		OperationID: "authorize", Method: http.MethodPost, Path: "/api/authorize", Tags: tags,
		Summary: "Connect an account", Description: "Takes what the person filled in, or the callback.",
	}, a.authorize)
	a.redirects()
}

func (a *API) requirements(ctx context.Context, in *requirementsInput) (Requirements, error) {
	need, err := a.Connections.Requirements(ctx, in.actor, a.module(in.EntityType))
	if err != nil {
		return Requirements{}, err
	}
	out := Requirements{Type: authType(need.Type), URL: need.URL}
	if need.Form != nil {
		form := newForm(*need.Form)
		out.Data = &form
	}
	return out, nil
}

func (a *API) authorize(ctx context.Context, in *authorizeInput) (Authorization, error) {
	module := a.module(in.Body.EntityType)
	done, err := a.Connections.Authorize(ctx, in.actor, module, in.Body.Data)
	if err != nil {
		return Authorization{}, err
	}
	if done.URL != "" {
		return Authorization{Type: authType(done.Type), URL: done.URL}, nil
	}
	out := Authorization{CredentialID: done.CredentialID, EntityID: done.EntityID, Type: module}
	for _, e := range done.Entities {
		out.Entities = append(out.Entities, newEntity(e))
	}
	return out, nil
}

// module is the API module that an entityType means. Frigg's clients give the type of an integration option, whose account is
// that of its first role.
func (a *API) module(entityType string) string {
	p, err := a.Plugins.Plugin(entityType)
	if err != nil || p.Kind != abi.PluginKindIntegration || len(p.Manifest.Roles) == 0 {
		return entityType
	}
	return p.Manifest.Roles[0].Module
}

// authType is how Frigg writes a kind of authorisation.
func authType(k abi.AuthKind) string {
	if k == abi.AuthKindAPIKey {
		return "apiKey"
	}
	return string(k)
}
