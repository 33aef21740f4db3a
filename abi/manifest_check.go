package abi

import (
	"encoding/json"
	"slices"
	"strings"
)

// ValidateManifest judges what a manifest says: names, references, addresses, what its kind may declare. The error is a
// *ManifestError. It says nothing of the module's code, which the host compares with it.
func ValidateManifest(m *Manifest) error {
	c := &checker{m: m}
	c.learn()
	c.identity()
	c.asks()
	if m.Kind == PluginKindModule {
		c.module()
	} else {
		c.integration()
	}
	return c.err()
}

// checker walks a manifest. Of each place where a template may refer to, it knows the names and which are secret.
type checker struct {
	problems
	m          *Manifest
	settings   map[string]bool // true: secret
	form       map[string]bool
	credential map[string]bool
	redirect   bool // the person comes back from the vendor with callback parameters
	hosts      []hostPattern
}

var (
	pluginName  = &pattern{text: `^[a-z][a-z0-9-]{0,63}$`}
	settingName = &pattern{text: `^[a-z][a-z0-9_]{0,63}$`}
	eventName   = &pattern{text: `^[A-Z][A-Z0-9_]{0,63}$`}
	plainName   = &pattern{text: `^[A-Za-z0-9_-]{1,64}$`}
	semver      = &pattern{text: `^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`}
)

// Rules of names, as said to people.
const (
	pluginNameRule  = "must be a lower-case letter, then lower-case letters, digits and dashes, at most 64"
	settingNameRule = "must be a lower-case letter, then lower-case letters, digits and underscores, at most 64"
	eventNameRule   = "must be an upper-case letter, then upper-case letters, digits and underscores, at most 64"
	plainNameRule   = "must be 1 to 64 letters, digits, dashes and underscores"
	semverRule      = "must be a semantic version such as 1.2.3"
)

func (c *checker) match(path, text string, form *pattern, rule string) {
	if len(text) > 256 || !form.MatchString(text) {
		c.add(path, "%q %s", clip(text), rule)
	}
}

// said reports a text for people that is empty.
func (c *checker) said(path, text, what string) {
	if strings.TrimSpace(text) == "" {
		c.add(path, "is empty; say %s", what)
	}
}

// once reports a repeated name. seen belongs to one list.
func (c *checker) once(path, name string, seen map[string]bool) {
	if seen[name] {
		c.add(path, "%q appears twice; names are unique", clip(name))
	}
	seen[name] = true
}

func (c *checker) identity() {
	m := c.m
	if m.ABI != Version {
		c.add("abi", "this host speaks version %d of the contract, the plugin %d", Version, m.ABI)
	}
	c.match("name", m.Name, pluginName, pluginNameRule)
	c.match("version", m.Version, semver, semverRule)
	c.said("display.name", m.Display.Name, "how people know it")
	if u := m.Display.DetailsURL; u != "" {
		c.webAddress("display.details_url", u)
	}
	if i := m.Display.Icon; i != "" && !strings.HasPrefix(i, "data:image/") {
		c.webAddress("display.icon", i)
	}
}

// asks judges what the operator will be asked to grant or to set.
func (c *checker) asks() {
	seen := map[string]bool{}
	for i, claim := range c.m.Capabilities {
		path := nth("capabilities", i)
		c.once(at(path, "name"), claim.Name, seen)
		c.capability(at(path, "name"), claim.Name)
		c.said(at(path, "reason"), claim.Reason, "why, the operator decides by it")
	}
	seen = map[string]bool{}
	for i, claim := range c.m.Hosts {
		path := nth("hosts", i)
		c.once(at(path, "host"), claim.Host, seen)
		if h, ok := c.host(at(path, "host"), claim.Host); ok {
			c.hosts = append(c.hosts, h)
		}
		c.said(at(path, "reason"), claim.Reason, "why, the operator decides by it")
	}
	seen = map[string]bool{}
	for i, s := range c.m.Settings {
		path := nth("settings", i)
		c.match(at(path, "name"), s.Name, settingName, settingNameRule)
		c.once(at(path, "name"), s.Name, seen)
		if s.Secret && s.Default != "" {
			c.add(at(path, "default"), "a secret has no default: everybody could read it in the file")
		}
	}
	c.limits()
}

func (c *checker) capability(path, name string) {
	known, allowed, offered := false, false, false
	for _, f := range Functions {
		if f.Capability != name {
			continue
		}
		known = true
		allowed = allowed || slices.Contains(f.Kinds, c.m.Kind)
		offered = offered || !f.Reserved
	}
	switch {
	case !known:
		c.add(path, "there is no capability %q%s", clip(name), suggestion(name, Capabilities()))
	case !allowed:
		c.add(path, "capability %s is not for plugins of kind %s", name, c.m.Kind)
	case !offered:
		c.add(path, "capability %s is reserved for a later version and not offered yet", name)
	}
}

// Capabilities lists the names of all capabilities in the order of the contract.
func Capabilities() []string {
	var names []string
	for _, f := range Functions {
		if !slices.Contains(names, f.Capability) {
			names = append(names, f.Capability)
		}
	}
	return names
}

func (c *checker) limits() {
	l := c.m.Limits
	if l == nil {
		return
	}
	c.said("limits.reason", l.Reason, "why, the operator decides by it")
	if l.TimeoutMS+l.MemoryBytes+l.OutputBytes == 0 {
		c.add("limits", "asks for nothing; set timeout_ms, memory_bytes or output_bytes, or leave it out")
	}
	for _, x := range []struct {
		name        string
		value, most int64
	}{
		{"timeout_ms", l.TimeoutMS, LimitMaxTimeoutMS},
		{"memory_bytes", l.MemoryBytes, LimitMaxMemoryBytes},
		{"output_bytes", l.OutputBytes, LimitMaxOutputBytes},
	} {
		if x.value > x.most {
			c.add(at("limits", x.name), "is more than %d, the most that a host gives one call", x.most)
		}
	}
}

// foreign reports fields that belong to the other kind of plugin.
func (c *checker) foreign(kind PluginKind, declared map[string]bool) {
	for _, field := range sortedKeys(declared) {
		if declared[field] {
			c.add(field, "is only for plugins of kind %s", kind)
		}
	}
}

// formCheck judges a form.
func (c *checker) formCheck(path string, f *Form) {
	c.objectSchema(at(path, "json_schema"), f.JSONSchema)
	if len(f.UISchema) > 0 && !isObject(f.UISchema) {
		c.add(at(path, "ui_schema"), "must be an object")
	}
}

// objectSchema reports a JSON Schema that does not describe an object.
func (c *checker) objectSchema(path string, schema json.RawMessage) {
	if !isObject(schema) {
		c.add(path, "must be a JSON Schema, which is an object")
		return
	}
	var s struct {
		Type       json.RawMessage            `json:"type"`
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if json.Unmarshal(schema, &s) != nil {
		c.add(at(path, "properties"), "must be an object")
		return
	}
	if string(s.Type) != `"object"` {
		c.add(at(path, "type"), `must be "object"`)
	}
	for name, property := range s.Properties {
		if !isObject(property) {
			c.add(at(at(path, "properties"), name), "must be an object")
		}
	}
}

func isObject(raw json.RawMessage) bool {
	var o map[string]json.RawMessage
	return json.Unmarshal(raw, &o) == nil && o != nil
}

// formFields gives the fields of a form and whether each is a secret.
func formFields(f *Form) map[string]bool {
	var s struct {
		Properties map[string]struct {
			Format any `json:"format"`
		} `json:"properties"`
	}
	if f == nil || json.Unmarshal(f.JSONSchema, &s) != nil {
		return nil
	}
	fields := map[string]bool{}
	for name, p := range s.Properties {
		fields[name] = p.Format == "password"
	}
	return fields
}
