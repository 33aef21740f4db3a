package api

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/labstack/echo/v4"
)

// Names of the security schemes in the document.
const (
	securityBearer  = "bearer"
	securityBackend = "backendKey"
	securityHealth  = "healthKey"
)

const mediaJSON = "application/json"

const aboutTheAPI = `Users connect accounts of external services and make integrations of them.

The paths, fields and statuses are those of Frigg's management API, so that clients written for Frigg work unchanged. What this
host adds is marked *own addition*.

Every failure is answered as {"error": "..."}. A failure of the host, a plugin or a vendor (5xx) says nothing of its cause;
the X-Request-Id header leads an operator to the log. Records of other users are not found (404).`

// newDocument is the OpenAPI document before any operation.
func newDocument() *huma.OpenAPI {
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info:    &huma.Info{Title: "frigg-host management API", Version: "1", Description: aboutTheAPI},
		Tags: []*huma.Tag{
			{Name: tagUsers, Description: "Users and the tokens with which they call."},
			{Name: tagConnections, Description: "Accounts at external services: authorise, test, choose, disconnect."},
			{Name: tagIntegrations, Description: "Integrations: create, configure, pause, remove."},
			{Name: tagActions, Description: "What a person can start on an integration."},
			{Name: tagWebhooks, Description: "What vendors send."},
			{Name: tagRoutes, Description: "What integrations answer over HTTP."},
			{Name: tagJobs, Description: "Durable work and its failures."},
			{Name: tagRuns, Description: "What plugins did, step by step: look, decide, replay, export."},
			{Name: tagSchedules, Description: "What time starts."},
			{Name: tagEvents, Description: "What happened, and who is told of it."},
			{Name: tagSyncs, Description: "Records kept in step between two accounts, and processes by which people follow long work."},
			{Name: tagHealth, Description: "Whether the host works."},
		},
		Components: &huma.Components{
			Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
			SecuritySchemes: map[string]*huma.SecurityScheme{
				securityBearer:  {Type: "http", Scheme: "bearer", Description: "The token of /user/login."},
				securityBackend: {Type: "apiKey", In: "header", Name: headerBackendKey, Description: "For the embedding product's own server, which names its user by X-Frigg-AppUserId and its organisation by X-Frigg-AppOrgId."},
				securityHealth:  {Type: "apiKey", In: "header", Name: headerHealthKey, Description: "The health key that the operator set."},
			},
		},
	}
}

const (
	tagUsers        = "Users"
	tagConnections  = "Connections"
	tagIntegrations = "Integrations"
	tagActions      = "Actions"
	tagWebhooks     = "Webhooks"
	tagRoutes       = "Routes"
	tagJobs         = "Jobs"
	tagRuns         = "Runs"
	tagSchedules    = "Schedules"
	tagEvents       = "Events"
	tagSyncs        = "Syncs"
	tagHealth       = "Health"
)

// describe adds an operation to the document.
func (a *API) describe(op huma.Operation, s shape, g gate, out reflect.Type) {
	if op.Hidden {
		return
	}
	if g != nil {
		op.Security = g.security()
	}
	a.describeRequest(&op, s)
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	a.describeSuccess(&op, out)
	texts := failures(s, op.Security != nil)
	for _, status := range op.Errors {
		texts[status] = http.StatusText(status) + "."
	}
	for status, text := range texts {
		if code := strconv.Itoa(status); op.Responses[code] == nil {
			op.Responses[code] = a.failure(text)
		}
	}
	op.Responses["default"] = a.failure("Any other failure.")
	a.document.AddOperation(&op)
}

func (a *API) describeRequest(op *huma.Operation, s shape) {
	schemas := a.document.Components.Schemas
	for _, p := range s.params {
		schema := huma.SchemaFromField(schemas, p.field, p.field.Name)
		text := schema.Description
		schema.Description = ""
		op.Parameters = append(op.Parameters, &huma.Param{Name: p.name, In: p.in, Required: p.required, Description: text, Schema: schema})
	}
	if s.body == nil || op.Method == http.MethodGet { // a body of a GET is taken, as Frigg does, and nothing to recommend
		return
	}
	op.RequestBody = &huma.RequestBody{
		Required: s.body.Type.Kind() == reflect.Struct, Description: s.body.Tag.Get("doc"),
		Content: map[string]*huma.MediaType{mediaJSON: {Schema: schemas.Schema(s.body.Type, true, op.OperationID+"Request")}},
	}
}

func (a *API) describeSuccess(op *huma.Operation, out reflect.Type) {
	schema := a.document.Components.Schemas.Schema(out, true, op.OperationID+"Response")
	content := map[string]*huma.MediaType{mediaJSON: {Schema: schema}}
	op.Responses[strconv.Itoa(op.DefaultStatus)] = &huma.Response{Description: http.StatusText(op.DefaultStatus), Content: content}
	if out.Implements(reflect.TypeFor[varying]()) {
		op.Responses["503"] = &huma.Response{Description: "The same, when something is wrong.", Content: content}
	}
}

// failures are the statuses that follow from the shape of a request.
func failures(s shape, secured bool) map[int]string {
	texts := map[int]string{}
	if secured {
		texts[http.StatusUnauthorized] = "The token or key is missing, wrong or expired."
	}
	for _, p := range s.params {
		if p.in == "path" {
			texts[http.StatusNotFound] = "There is no such record, or it belongs to somebody else."
		} else {
			texts[http.StatusBadRequest] = "A parameter is missing or wrong."
		}
	}
	if s.body != nil {
		texts[http.StatusBadRequest] = "The body is not JSON of this shape, or something in it is missing or wrong."
		texts[http.StatusRequestEntityTooLarge] = "The body is too large."
	}
	return texts
}

func (a *API) failure(text string) *huma.Response {
	schema := a.document.Components.Schemas.Schema(reflect.TypeFor[Error](), true, "")
	return &huma.Response{Description: text, Content: map[string]*huma.MediaType{mediaJSON: {Schema: schema}}}
}

// serveDocument serves the document, which is complete by then and made when somebody asks.
func (a *API) serveDocument() {
	for _, s := range a.document.Components.Schemas.Map() {
		s.AdditionalProperties = nil // fields may be added, and are ignored where they are not known
		for _, field := range s.Properties {
			field.Nullable = false // an empty list is []
		}
	}
	a.serveText("/openapi.json", "application/openapi+json", func() ([]byte, error) { return json.Marshal(a.document) })
	a.serveText("/openapi.yaml", "application/openapi+yaml", a.document.YAML)
}

func (a *API) serveText(path, media string, make func() ([]byte, error)) {
	made := sync.OnceValues(make)
	a.echo.GET(path, func(c echo.Context) error {
		text, err := made()
		if err != nil {
			return err
		}
		return c.Blob(http.StatusOK, media, text)
	})
}
