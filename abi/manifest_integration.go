package abi

import (
	"slices"
	"strings"
)

// integration judges what only integrations declare.
func (c *checker) integration() {
	m := c.m
	c.foreign(PluginKindModule, map[string]bool{
		"auth": m.Auth != nil, "api": m.API != nil, "methods": m.Methods != nil, "hooks": m.Hooks != nil,
	})
	if m.Config != nil {
		c.formCheck("config", m.Config)
		if m.DynamicConfig {
			c.add("dynamic_config", "asks the guest for the form that `config` already is; keep one")
		}
	}
	c.roles()
	c.actions()
	c.webhooks()
	c.claims("events", m.Events)
	c.claims("notifications", m.Notifications)
	c.routes()
	c.schedules()
	c.syncs()
	seen := map[string]bool{}
	for i, v := range m.SupportedVersions {
		c.match(nth("supported_versions", i), v, semver, semverRule)
		c.once(nth("supported_versions", i), v, seen)
	}
}

func (c *checker) roles() {
	seen := map[string]bool{}
	for i, r := range c.m.Roles {
		path := nth("roles", i)
		c.match(at(path, "name"), r.Name, plainName, plainNameRule)
		c.once(at(path, "name"), r.Name, seen)
		c.match(at(path, "module"), r.Module, pluginName, pluginNameRule)
		if r.Version != "" {
			c.match(at(path, "version"), r.Version, semver, semverRule)
		}
	}
}

func (c *checker) actions() {
	seen := map[string]bool{}
	for i, a := range c.m.Actions {
		path := nth("actions", i)
		c.match(at(path, "name"), a.Name, eventName, eventNameRule)
		c.once(at(path, "name"), a.Name, seen)
		c.said(at(path, "title"), a.Title, "what people read on the button")
	}
}

func (c *checker) webhooks() {
	seen := map[string]bool{}
	for i, w := range c.m.Webhooks {
		path := nth("webhooks", i)
		c.match(at(path, "name"), w.Name, plainName, plainNameRule)
		c.once(at(path, "name"), w.Name, seen)
		if w.Event != EventOnWebhook && w.Event != "" {
			c.event(at(path, "event"), w.Event)
		}
		isRole := func(r Role) bool { return r.Name == w.Role }
		switch {
		case w.Hook != "" && w.Role == "":
			c.add(at(path, "role"), "is missing: `hook` is one of a role's module")
		case w.Role != "" && !slices.ContainsFunc(c.m.Roles, isRole):
			c.add(at(path, "role"), "%q is not declared; add it to `roles`", clip(w.Role))
		}
		if w.App && w.Role == "" {
			c.add(at(path, "role"), "is missing: `app` finds the account in the vendor hook of a role's module")
		}
		if w.App && (w.Verify || w.Subscribe || w.SecretField != "") {
			c.add(at(path, "app"), "does not go with verify, subscribe or secret_field, which are of one record")
		}
		if w.Subscribe && w.Role == "" {
			c.add(at(path, "role"), "is missing: `subscribe` asks the vendor of a role's module")
		}
		for j, topic := range w.Topics {
			c.said(nth(at(path, "topics"), j), topic, "what to subscribe to")
		}
		if w.SecretField != "" && !c.m.DynamicConfig && !formFields(c.m.Config)[w.SecretField] {
			c.add(at(path, "secret_field"), "%q is not a field with `format: password` of `config`; add it there", clip(w.SecretField))
		}
	}
}

// event reports a name that is malformed or that the host itself sends.
func (c *checker) event(path, name string) {
	c.match(path, name, eventName, eventNameRule)
	if slices.Contains([]string{EventOnCreate, EventOnUpdate, EventOnDelete, EventOnWebhook}, name) {
		c.add(path, "%s is an event of the host; choose another name", name)
	}
}

func (c *checker) claims(path string, claims []EventClaim) {
	seen := map[string]bool{}
	for i, e := range claims {
		c.event(at(nth(path, i), "name"), e.Name)
		c.once(at(nth(path, i), "name"), e.Name, seen)
	}
}

// RouteIntegrationID is the path parameter that names the caller's record.
const RouteIntegrationID = "integrationId"

// routeMethods are those that a route may declare.
var routeMethods = []string{"GET", "POST", "PUT", "PATCH", "DELETE"}

var routePath = &pattern{text: `^(/:?[A-Za-z0-9_.~-]+)+$|^/$`}

// Name is what a guest knows a route by that declares no event.
func (r Route) Name() string { return r.Method + " " + r.Path }

// Segments are the parts of the path, none of "/". A parameter begins with a colon.
func (r Route) Segments() []string {
	if r.Path == "/" {
		return nil
	}
	return strings.Split(r.Path[1:], "/")
}

// shape is the path without the names of its parameters: what a request can tell apart.
func (r Route) shape() string {
	segments := r.Segments()
	for i, s := range segments {
		if s[0] == ':' {
			segments[i] = ":"
		}
	}
	return r.Method + " /" + strings.Join(segments, "/")
}

func (c *checker) routes() {
	seen := map[string]bool{}
	for i, r := range c.m.Routes {
		path := nth("routes", i)
		if !slices.Contains(routeMethods, r.Method) {
			c.add(at(path, "method"), "%q cannot be declared; write %s", clip(r.Method), strings.Join(routeMethods, ", "))
		}
		c.match(at(path, "path"), r.Path, routePath, "must be a path such as /orders/:id")
		if routePath.MatchString(r.Path) {
			c.routeSegments(path, r)
			c.once(path, r.shape(), seen)
		}
		if r.Event != "" && r.Event != r.Name() {
			c.event(at(path, "event"), r.Event)
		}
	}
}

func (c *checker) routeSegments(path string, r Route) {
	segments, names := r.Segments(), map[string]bool{}
	if len(segments) > 0 && segments[0] == "webhooks" {
		c.add(at(path, "path"), "/webhooks is where webhooks come in; choose another path")
	}
	for _, s := range segments {
		if s == "." || s == ".." {
			c.add(at(path, "path"), "%q is no segment that a client can send", s)
		}
		if s[0] == ':' {
			c.once(at(path, "path"), s, names)
		}
	}
	if names[":"+RouteIntegrationID] && r.Auth != RouteAuthUser {
		c.add(at(path, "auth"), "must be user: `:%s` is a record of whoever calls", RouteIntegrationID)
	}
}
