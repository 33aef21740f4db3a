package abi

import (
	"maps"
	"slices"
	"strings"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// learn collects the names that templates may refer to.
func (c *checker) learn() {
	c.settings = map[string]bool{}
	for _, s := range c.m.Settings {
		c.settings[s.Name] = s.Secret
	}
	c.form, c.credential = map[string]bool{}, map[string]bool{}
	a := c.m.Auth
	if a == nil {
		return
	}
	maps.Copy(c.form, formFields(a.Form))
	for i := range a.FormSteps {
		maps.Copy(c.form, formFields(&a.FormSteps[i]))
	}
	if a.Kind == AuthKindOAuth2 {
		maps.Copy(c.credential, map[string]bool{"access_token": true, "refresh_token": true, "id_token": true, "scope": false})
		grant := OAuth2GrantAuthorizationCode
		if a.OAuth2 != nil && a.OAuth2.Grant != "" {
			grant = a.OAuth2.Grant
		}
		c.redirect = grant == OAuth2GrantAuthorizationCode || grant == OAuth2GrantImplicit
	}
	for _, step := range a.Login {
		c.remember(step.Keep)
	}
	c.remember(a.Keep)
}

func (c *checker) remember(keep []Keep) {
	for _, k := range keep {
		c.credential[k.Name] = c.credential[k.Name] || k.Secret
	}
}

// Values lists what the templates of a manifest may refer to, and whether each is a secret, which a guest never sees.
func Values(m *Manifest) map[Ref]bool {
	c := &checker{m: m}
	c.learn()
	values := map[Ref]bool{}
	for scope, names := range map[string]map[string]bool{ScopeSettings: c.settings, ScopeForm: c.form, ScopeCredential: c.credential} {
		for name, secret := range names {
			values[Ref{scope, name}] = secret
		}
	}
	return values
}

// module judges what only API modules declare.
func (c *checker) module() {
	m := c.m
	c.foreign(PluginKindIntegration, map[string]bool{
		"roles": m.Roles != nil, "options": m.Options != nil, "config": m.Config != nil, "dynamic_config": m.DynamicConfig,
		"actions": m.Actions != nil, "webhooks": m.Webhooks != nil, "events": m.Events != nil, "routes": m.Routes != nil,
		"schedules": m.Schedules != nil, "syncs": m.Syncs != nil, "notifications": m.Notifications != nil, "supported_versions": m.SupportedVersions != nil,
	})
	if m.Auth == nil {
		c.add("auth", "is missing; say how an account is authorised, `{\"kind\": \"none\"}` if the service asks for nothing")
	} else {
		c.auth("auth", m.Auth)
	}
	if m.API != nil {
		c.api("api", m.API)
	}
	seen := map[string]bool{}
	for i, method := range m.Methods {
		path := nth("methods", i)
		c.match(at(path, "name"), method.Name, settingName, settingNameRule)
		c.once(at(path, "name"), method.Name, seen)
		if len(method.Input) > 0 {
			c.objectSchema(at(path, "input"), method.Input)
		}
		if len(method.Output) > 0 && !isObject(method.Output) {
			c.add(at(path, "output"), "must be a JSON Schema, which is an object")
		}
	}
	seen = map[string]bool{}
	for i := range m.Hooks {
		c.match(at(nth("hooks", i), "name"), m.Hooks[i].Name, plainName, plainNameRule)
		c.once(at(nth("hooks", i), "name"), m.Hooks[i].Name, seen)
		c.hook(nth("hooks", i), &m.Hooks[i])
	}
}

func (c *checker) auth(path string, a *Auth) {
	c.authKind(path, a)
	if a.Form != nil {
		c.formCheck(at(path, "form"), a.Form)
	}
	for i := range a.FormSteps {
		c.formCheck(nth(at(path, "form_steps"), i), &a.FormSteps[i])
	}
	if a.OAuth2 != nil {
		c.oauth2(at(path, "oauth2"), a.OAuth2)
	}
	for i := range a.Login {
		c.login(nth(at(path, "login"), i), &a.Login[i])
	}
	for i := range a.Apply {
		c.placement(nth(at(path, "apply"), i), &a.Apply[i])
	}
	c.keeps(at(path, "keep"), a.Keep, a.Kind == AuthKindOAuth2)
	if a.Identify != nil {
		c.identify(at(path, "identify"), a)
	}
	if a.Test != nil {
		c.request(path+".test.request", &a.Test.Request)
		for i := range a.Test.InvalidWhen {
			c.predicate(nth(path+".test.invalid_when", i), &a.Test.InvalidWhen[i])
		}
	}
	for i, settings := range a.FallbackSettings {
		for _, name := range sortedKeys(settings) {
			if _, known := c.settings[name]; !known {
				c.add(at(nth(at(path, "fallback_settings"), i), name), "is not declared; add it to `settings`")
			}
		}
	}
}

// authKind judges which parts go with which kind of authorisation.
func (c *checker) authKind(path string, a *Auth) {
	needs := func(field string, have bool, why string) {
		if !have {
			c.add(at(path, field), "is missing: kind %s %s", a.Kind, why)
		}
	}
	without := func(field string, have bool) {
		if have {
			c.add(at(path, field), "does not go with kind %s; remove it or change the kind", a.Kind)
		}
	}
	without("oauth2", a.OAuth2 != nil && a.Kind != AuthKindOAuth2)
	without("login", a.Login != nil && a.Kind != AuthKindCustom)
	switch a.Kind {
	case AuthKindOAuth2:
		needs("oauth2", a.OAuth2 != nil, "needs the facts of the vendor")
	case AuthKindAPIKey:
		needs("form", a.Form != nil, "asks the person for the key")
		needs("apply", len(a.Apply) > 0, "has no default for where the key goes")
	case AuthKindBasic:
		needs("form", a.Form != nil, "asks the person for name and password")
		if _, username := c.form["username"]; len(a.Apply) == 0 && a.Form != nil && (!username || !c.form["password"]) {
			c.add(at(path, "form"), "needs the properties `username` and `password` (with format password), or say in `apply` what to send")
		}
	case AuthKindCustom:
		needs("form", a.Form != nil, "asks the person for what the exchange needs")
		needs("login", len(a.Login) > 0, "needs the requests of the exchange")
		needs("apply", len(a.Apply) > 0, "has no default for where the tokens go")
	case AuthKindNone:
		without("apply", a.Apply != nil)
	}
}

func (c *checker) oauth2(path string, o *OAuth2) {
	grant := o.Grant
	if grant == "" {
		grant = OAuth2GrantAuthorizationCode
	}
	switch {
	case c.redirect && o.AuthorizeURL == "":
		c.add(at(path, "authorize_url"), "is missing: grant %s sends the person there", grant)
	case c.redirect:
		c.address(at(path, "authorize_url"), o.AuthorizeURL, inRedirect)
	case o.AuthorizeURL != "":
		c.add(at(path, "authorize_url"), "does not go with grant %s", grant)
	}
	if grant != OAuth2GrantImplicit || o.TokenURL != "" {
		c.address(at(path, "token_url"), o.TokenURL, inToken)
	}
	if strings.Contains(o.TokenURL, "{{callback.") && o.RefreshURL == "" && (o.Refresh == nil || !o.Refresh.Never) {
		c.add(at(path, "refresh_url"), "is missing: token_url needs the callback, which is gone when tokens are renewed; keep its value and write {{credential.NAME}}")
	}
	for _, u := range []struct{ field, text string }{{"refresh_url", o.RefreshURL}, {"revoke_url", o.RevokeURL}} {
		if u.text != "" {
			c.address(at(path, u.field), u.text, inRenewal)
		}
	}
	c.client(path, o)
	c.tokenRequest(path, o)
	c.templates(at(path, "authorize_params"), o.AuthorizeParams, inRedirect)
	c.templates(at(path, "redirect_params"), o.RedirectParams, inRedirect)
	c.template(at(path, "issuer"), o.Issuer, inRedirect)
	for i, p := range o.OmitAuthorizeParams {
		if p != "response_type" && p != "state" && p != "scope" {
			c.add(nth(at(path, "omit_authorize_params"), i), "%q is none of response_type, state, scope", clip(p))
		}
	}
	seen := map[string]bool{}
	for i, s := range o.Scopes {
		c.said(nth(at(path, "scopes"), i), s, "which scope")
		c.once(nth(at(path, "scopes"), i), s, seen)
	}
	if r := o.Refresh; r != nil && r.Never && *r != (RefreshPolicy{Never: true}) {
		c.add(at(path, "refresh"), "`never` leaves nothing for the other fields to say; remove them")
	}
}

// client judges client id and secret, also where they are left to their defaults.
func (c *checker) client(path string, o *OAuth2) {
	public := o.ClientAuth == ClientAuthNone
	if public && o.ClientSecret != "" {
		c.add(at(path, "client_secret"), "does not go with client_auth none")
	}
	id, secret := o.ClientID, o.ClientSecret
	if id == "" {
		id = defaultClientID
	}
	if secret == "" && !public && o.Grant != OAuth2GrantImplicit {
		secret = defaultClientSecret
	}
	c.template(at(path, "client_id"), id, inRedirect)
	c.template(at(path, "client_secret"), secret, place{scopes: inRedirect.scopes, secrets: true})
}

func (c *checker) tokenRequest(path string, o *OAuth2) {
	before := place{scopes: inToken.scopes, secrets: true}
	c.templates(at(path, "token_params"), o.TokenParams, before)
	c.templates(at(path, "refresh_params"), o.RefreshParams, asSecret)
	c.headers(at(path, "token_headers"), o.TokenHeaders, place{scopes: inRedirect.scopes, secrets: true})
	switch {
	case o.TokenMethod != "" && o.TokenMethod != "POST" && o.TokenMethod != "GET":
		c.add(at(path, "token_method"), "%q must be POST or GET", clip(o.TokenMethod))
	case o.TokenBody == BodyKindNone:
		c.add(at(path, "token_body"), "none leaves no place for the code; use form, json, multipart or query")
	case o.TokenMethod == "GET" && o.TokenBody != "" && o.TokenBody != BodyKindQuery:
		c.add(at(path, "token_body"), "must be query: a GET has no body")
	}
	if r := o.TokenResponse; r != nil {
		if r.ExpiresIn != "" && r.ExpiresAt != "" {
			c.add(path+".token_response.expires_at", "stands instead of expires_in; keep one")
		}
		c.pointers(at(path, "token_response"), map[string]string{
			"access_token": r.AccessToken, "refresh_token": r.RefreshToken,
			"expires_in": r.ExpiresIn, "expires_at": r.ExpiresAt, "scope": r.Scope, "id_token": r.IDToken, "error": r.Error,
			"error_description": r.ErrorDescription,
		})
	}
}

func (c *checker) login(path string, step *LoginStep) {
	c.request(at(path, "request"), &step.Request)
	c.keeps(at(path, "keep"), step.Keep, false)
	c.pointer(at(path, "expires_in"), step.ExpiresIn)
	for i, k := range step.Keep {
		if strings.HasPrefix(k.From, "callback:") {
			c.add(at(nth(at(path, "keep"), i), "from"), "there is no callback with kind custom")
		}
	}
}

func (c *checker) keeps(path string, keep []Keep, oauth2 bool) {
	seen := map[string]bool{}
	for i, k := range keep {
		p := nth(path, i)
		c.match(at(p, "name"), k.Name, plainName, plainNameRule)
		c.once(at(p, "name"), k.Name, seen)
		if oauth2 && slices.Contains([]string{"access_token", "refresh_token", "id_token", "scope"}, k.Name) {
			c.add(at(p, "name"), "%s is kept anyway; say where it is in `token_response`", k.Name)
		}
		name, callback := strings.CutPrefix(k.From, "callback:")
		switch {
		case callback && !c.redirect:
			c.add(at(p, "from"), "there is no callback with this kind of authorisation")
		case callback:
			c.match(at(p, "from"), name, plainName, "names no query parameter: write callback:NAME")
		case k.From == "":
			c.add(at(p, "from"), "is empty; write a JSON pointer, callback:NAME or header:NAME")
		default:
			c.source(at(p, "from"), k.From)
		}
	}
}

func (c *checker) placement(path string, a *Placement) {
	c.template(at(path, "value"), a.Value, asSecret)
	c.template(at(path, "username"), a.Username, asSecret)
	c.template(at(path, "password"), a.Password, asSecret)
	if a.In == PlaceBasic {
		if a.Name != "" || a.Value != "" {
			c.add(path, "basic takes username and password, not name and value")
		}
		c.said(at(path, "username"), a.Username, "the user name as a template")
		return
	}
	if a.Username != "" || a.Password != "" {
		c.add(path, "username and password are for basic; use name and value")
	}
	c.said(at(path, "name"), a.Name, "the name of the header, query parameter or field")
	c.said(at(path, "value"), a.Value, "the value as a template")
	if a.In == PlaceHeader && a.Name != "" {
		c.headerName(at(path, "name"), a.Name)
	}
}

func (c *checker) identify(path string, a *Auth) {
	i := a.Identify
	answers := a.Kind == AuthKindOAuth2 || a.Kind == AuthKindCustom || i.Request != nil
	if i.Request != nil {
		c.request(at(path, "request"), i.Request)
	}
	pointers := map[string]string{"list": i.List, "sub_type": i.SubType, "name": i.Name}
	if strings.HasPrefix(i.ExternalID, "/") {
		pointers["external_id"] = i.ExternalID
	} else {
		c.said(at(path, "external_id"), i.ExternalID, "where the vendor's id of the account is")
		c.template(at(path, "external_id"), i.ExternalID, inHost)
	}
	c.pointers(path, pointers)
	c.pointers(at(path, "details"), i.Details)
	if answers {
		return
	}
	for _, field := range sortedKeys(pointers) {
		if pointers[field] != "" {
			c.add(at(path, field), "points into an answer, but kind %s has no token answer; add `request`", a.Kind)
		}
	}
}

// request judges a request as data.
func (c *checker) request(path string, r *RequestTemplate) {
	if r.Method != "" {
		c.method(at(path, "method"), r.Method)
	}
	c.requestURL(at(path, "url"), r.URL, inRenewal)
	c.headers(at(path, "headers"), r.Headers, asSecret)
	c.templates(at(path, "query"), r.Query, asSecret)
	c.templates(at(path, "fields"), r.Fields, asSecret)
	if len(r.Fields) > 0 && (r.Body == "" || r.Body == BodyKindNone) {
		c.add(at(path, "body"), "say how `fields` are written: form, json, multipart or query")
	}
}

// requestURL judges a path below the base URL or an absolute address.
func (c *checker) requestURL(path, text string, in place) {
	if strings.HasPrefix(text, "/") {
		c.relative(path, text, in)
	} else {
		c.address(path, text, in)
	}
}

func (c *checker) api(path string, a *API) {
	c.address(at(path, "base_url"), a.BaseURL, inRenewal)
	c.headers(at(path, "headers"), a.Headers, inRenewal)
	for i := range a.Faults {
		p := nth(at(path, "faults"), i)
		c.predicate(at(p, "when"), &a.Faults[i].When)
		c.pointer(at(p, "message"), a.Faults[i].Message)
	}
	if r := a.RateLimit; r != nil && (r.Requests == 0 || r.PerMS == 0) {
		c.add(at(path, "rate_limit"), "requests and per_ms must be at least 1")
	}
	if d := a.Idempotency; d != nil {
		p := at(path, "idempotency")
		if (d.Header == "") == (d.Field == "") {
			c.add(p, "say in which `header` or in which `field` the key goes, one of them")
		}
		if d.Header != "" {
			c.headerName(at(p, "header"), d.Header)
		}
		for i, m := range d.Methods {
			c.method(nth(at(p, "methods"), i), m)
		}
	}
	for i, s := range a.SecretResponses {
		c.pointer(at(nth(at(path, "secret_responses"), i), "pointer"), s.Pointer)
	}
}

func (c *checker) predicate(path string, p *Predicate) {
	if *p == (Predicate{}) {
		c.add(path, "is empty and would always hold; say status, pointer or header")
	}
	if p.Status != 0 && (p.Status < 100 || p.Status > 599) {
		c.add(at(path, "status"), "must be an HTTP status from 100 to 599")
	}
	if p.Equals != "" && p.Pointer == "" {
		c.add(at(path, "equals"), "compares the value at `pointer`, which is missing")
	}
	c.pointer(at(path, "pointer"), p.Pointer)
	if p.Header != "" {
		c.headerName(at(path, "header"), p.Header)
	}
}

var headerToken = &pattern{text: "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$"}

// Headers that belong to the transport; RFC 9110 7.6.1 and what net/http owns.
var hopHeaders = []string{
	"connection", "content-length", "host", "keep-alive", "proxy-authorization", "proxy-connection",
	"te", "trailer", "transfer-encoding", "upgrade",
}

func (c *checker) headerName(path, name string) {
	c.match(path, name, headerToken, "is not the name of a header")
}

// headers judges request headers.
func (c *checker) headers(path string, headers map[string]string, in place) {
	for _, name := range sortedKeys(headers) {
		c.headerName(at(path, name), name)
		if slices.Contains(hopHeaders, strings.ToLower(name)) {
			c.add(at(path, name), "belongs to the host; remove it")
		}
		if strings.ContainsAny(headers[name], "\n\t") {
			c.add(at(path, name), "a header is one line")
		}
	}
	c.templates(path, headers, in)
}

func (c *checker) method(path, method string) {
	if !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, method) {
		c.add(path, "%q is not an HTTP method; write GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS", clip(method))
	}
}

// source judges `header:NAME` or a JSON pointer.
func (c *checker) source(path, text string) {
	if name, ok := strings.CutPrefix(text, "header:"); ok {
		c.headerName(path, name)
		return
	}
	c.pointer(path, text)
}

func (c *checker) pointers(path string, pointers map[string]string) {
	for _, name := range sortedKeys(pointers) {
		c.pointer(at(path, name), pointers[name])
	}
}

var badEscape = &pattern{text: `~([^01]|$)`}

// pointer judges a JSON pointer (RFC 6901); empty is the whole document.
func (c *checker) pointer(path, text string) {
	if text != "" && !strings.HasPrefix(text, "/") || badEscape.MatchString(text) {
		c.add(path, "%q is not a JSON pointer; write /name/0 with ~0 for a tilde and ~1 for a slash in names", clip(text))
	}
}
