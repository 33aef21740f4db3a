package abi

import "encoding/json"

const (
	defaultClientID     = "{{settings.client_id}}"
	defaultClientSecret = "{{settings.client_secret}}"
)

// ManifestDefaults returns a copy of a valid manifest in which everything that it leaves out, and the contract has a
// default for, is filled in. Readers of the copy need no defaults of their own. Two fields stay empty because their
// default is another value: oauth2.refresh_url (token_url) and oauth2.issuer.
func ManifestDefaults(m *Manifest) *Manifest {
	d := clone(m)
	if d.Limits == nil {
		d.Limits = &LimitClaim{Reason: "the defaults"}
	}
	or(&d.Limits.TimeoutMS, LimitTimeoutMS)
	or(&d.Limits.MemoryBytes, LimitMemoryBytes)
	or(&d.Limits.OutputBytes, LimitOutputBytes)
	if d.Auth != nil {
		authDefaults(d.Auth)
	}
	if d.API != nil {
		apiDefaults(d.API)
	}
	for i := range d.Hooks {
		hookDefaults(&d.Hooks[i])
	}
	for i := range d.Roles {
		or(&d.Roles[i].Scope, EntityScopeUser)
	}
	for i := range d.Actions {
		or(&d.Actions[i].Kind, ActionKindUserAction)
	}
	for i := range d.Webhooks {
		or(&d.Webhooks[i].Event, EventOnWebhook)
	}
	for i := range d.Routes {
		or(&d.Routes[i].Event, d.Routes[i].Name())
	}
	for i := range d.Syncs {
		syncDefaults(&d.Syncs[i])
	}
	for i := range d.Schedules {
		or(&d.Schedules[i].TimeZone, "UTC")
		or(&d.Schedules[i].Overlap, OverlapSkip)
		or(&d.Schedules[i].Missed, MissedTicksOne)
	}
	return d
}

// clone copies deeply.
func clone(m *Manifest) *Manifest {
	var d Manifest
	text, err := json.Marshal(m)
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil { // only a RawMessage that is not JSON can do this, and a valid manifest has none
		panic("abi: ManifestDefaults of a manifest that was never validated: " + err.Error())
	}
	return &d
}

// or sets what is still zero.
func or[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func authDefaults(a *Auth) {
	if a.OAuth2 != nil {
		oauth2Defaults(a.OAuth2)
	}
	if len(a.Apply) == 0 {
		switch a.Kind {
		case AuthKindOAuth2:
			a.Apply = []Placement{{In: PlaceHeader, Name: "Authorization", Value: "Bearer {{credential.access_token}}"}}
		case AuthKindBasic:
			a.Apply = []Placement{{In: PlaceBasic, Username: "{{form.username}}", Password: "{{form.password}}"}}
		}
	}
	for i := range a.Login {
		requestDefaults(&a.Login[i].Request)
	}
	if a.Identify != nil && a.Identify.Request != nil {
		requestDefaults(a.Identify.Request)
	}
	if a.Test != nil {
		requestDefaults(&a.Test.Request)
	}
}

func oauth2Defaults(o *OAuth2) {
	or(&o.Grant, OAuth2GrantAuthorizationCode)
	or(&o.ClientID, defaultClientID)
	or(&o.ClientAuth, ClientAuthBasic)
	if o.ClientAuth != ClientAuthNone && o.Grant != OAuth2GrantImplicit {
		or(&o.ClientSecret, defaultClientSecret)
	}
	or(&o.ScopeSeparator, " ")
	or(&o.PKCE, PKCEMethodS256)
	or(&o.TokenMethod, "POST")
	if o.TokenMethod == "GET" {
		or(&o.TokenBody, BodyKindQuery)
	}
	or(&o.TokenBody, BodyKindForm)
	if o.TokenResponse == nil {
		o.TokenResponse = &TokenResponse{}
	}
	r := o.TokenResponse
	or(&r.AccessToken, "/access_token")
	or(&r.RefreshToken, "/refresh_token")
	if r.ExpiresAt == "" {
		or(&r.ExpiresIn, "/expires_in")
	}
	or(&r.Scope, "/scope")
	or(&r.IDToken, "/id_token")
	or(&r.Error, "/error")
	or(&r.ErrorDescription, "/error_description")
	if o.Refresh == nil {
		o.Refresh = &RefreshPolicy{}
	}
	if !o.Refresh.Never {
		or(&o.Refresh.MarginS, 60)
	}
}

func requestDefaults(r *RequestTemplate) {
	or(&r.Method, "GET")
	or(&r.Body, BodyKindNone)
}

func apiDefaults(a *API) {
	or(&a.TimeoutMS, 30_000)
	or(&a.ResponseBytes, 10<<20)
	if a.RateLimit != nil {
		or(&a.RateLimit.Burst, a.RateLimit.Requests)
	}
	if a.Idempotency != nil && len(a.Idempotency.Methods) == 0 {
		a.Idempotency.Methods = []string{"POST", "PATCH"}
	}
}
