package plugin

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
)

// Difference is what sets one version of a plugin apart from another.
type Difference struct {
	Old     Version  `json:"old"`
	New     Version  `json:"new"`
	Changes []Change `json:"changes"`
	// More is what the new version asks for beyond the old one: it would wait for approval. All that it asks for if it is
	// another plugin.
	More Missing `json:"asks_for_more"`
}

// Version names one version of a plugin.
type Version struct {
	Name    string         `json:"name"`
	Version string         `json:"version"`
	Kind    abi.PluginKind `json:"kind"`
	Digest  Digest         `json:"digest"`
	Size    int64          `json:"size"`
}

// Sign says what became of something.
type Sign string

const (
	Added   Sign = "added"
	Removed Sign = "removed"
	Changed Sign = "changed"
)

// Change is one difference, in words for people. Its texts may come from the plugin's author.
type Change struct {
	Sign Sign   `json:"sign"`
	What string `json:"what"` // for example "capability"
	Name string `json:"name"`
	Text string `json:"text,omitempty"` // the author's reason or description; for what changed: was -> is
	More bool   `json:"asks_for_more,omitempty"`
}

// Compare tells two versions apart by what they declare, import and export. Order is by what an operator decides about
// first. The error is Invalid when one of them has no usable manifest.
func Compare(before, after *Inspection) (*Difference, error) {
	if before.Manifest == nil || after.Manifest == nil {
		return nil, fault.New(fault.Invalid, "plugin.Compare", "only modules with a usable manifest can be compared; see `frigg-host plugin inspect`")
	}
	d := &Difference{Old: versionOf(before), New: versionOf(after), Changes: []Change{}}
	known := &Grant{Ask: AskOf(before.Manifest)}
	if d.Old.Name != d.New.Name {
		known = nil
	}
	d.More = MissingFrom(after.Manifest, known)
	was, is := tree(before.Manifest), tree(after.Manifest)
	for _, part := range parts {
		d.part(part.key, part.what, was[part.key], is[part.key])
	}
	d.functions("import", before.Imports, after.Imports)
	d.functions("export", before.Exports, after.Exports)
	d.mark(over(AskOf(after.Manifest).Limits, AskOf(before.Manifest).Limits))
	return d, nil
}

func versionOf(in *Inspection) Version {
	return Version{Name: in.Manifest.Name, Version: in.Manifest.Version, Kind: in.Manifest.Kind, Digest: in.Digest, Size: in.Size}
}

// parts are the fields of a manifest, and what one element of each is called. Name and version are the heading.
var parts = []struct{ key, what string }{
	{"abi", "contract"},
	{"kind", "kind"},
	{"capabilities", "capability"},
	{"hosts", "host"},
	{"limits", "limit"},
	{"settings", "setting"},
	{"auth", "auth"},
	{"api", "api"},
	{"roles", "role"},
	{"webhooks", "webhook"},
	{"hooks", "vendor hook"},
	{"routes", "route"},
	{"schedules", "schedule"},
	{"events", "event"},
	{"notifications", "notification"},
	{"actions", "action"},
	{"methods", "method"},
	{"config", "config"},
	{"dynamic_config", "config"},
	{"options", "option"},
	{"supported_versions", "supports"},
	{"display", "display"},
}

// tree is a manifest with its defaults as plain JSON values.
func tree(m *abi.Manifest) map[string]any {
	text, err := json.Marshal(abi.ManifestDefaults(m))
	if err != nil {
		return nil // a manifest that was decoded can be encoded
	}
	var fields map[string]any
	_ = json.Unmarshal(text, &fields)
	return fields
}

// part compares one field of the manifest: a list of things that have names by name, anything else leaf by leaf.
func (d *Difference) part(key, what string, was, is any) {
	old, oldNamed := byName(was)
	now, newNamed := byName(is)
	if !oldNamed || !newNamed {
		d.leaves(key, what, was, is)
		return
	}
	for _, name := range both(old, now) {
		before, had := old[name]
		after, has := now[name]
		switch {
		case !had:
			d.add(Added, what, name, describing(after))
		case !has:
			d.add(Removed, what, name, describing(before))
		default:
			if text := summary(before, after); text != "" {
				d.add(Changed, what, name, text)
			}
		}
	}
}

func (d *Difference) add(sign Sign, what, name, text string) {
	d.Changes = append(d.Changes, Change{Sign: sign, What: what, Name: name, Text: text})
}

// leaves compares values of no particular shape.
func (d *Difference) leaves(key, what string, was, is any) {
	old, now := map[string]string{}, map[string]string{}
	flatten("", was, old)
	flatten("", is, now)
	for _, path := range both(old, now) {
		before, had := old[path]
		after, has := now[path]
		name := cmp.Or(path, key)
		switch {
		case !had:
			d.add(Added, what, name, after)
		case !has:
			d.add(Removed, what, name, before)
		case before != after:
			d.add(Changed, what, name, before+" -> "+after)
		}
	}
}

// summary is what changed inside a thing, "" if nothing did.
func summary(was, is any) string {
	var inner Difference
	inner.leaves("", "", was, is)
	texts := make([]string, len(inner.Changes))
	for i, c := range inner.Changes {
		switch c.Sign {
		case Added:
			texts[i] = fmt.Sprintf("%s: now %s", c.Name, cmp.Or(c.Text, "there"))
		case Removed:
			texts[i] = fmt.Sprintf("%s: no longer %s", c.Name, cmp.Or(c.Text, "there"))
		default:
			texts[i] = c.Name + ": " + c.Text
		}
	}
	return strings.Join(texts, "; ")
}

// byName reads a list of things that have names; no list at all is an empty one.
func byName(v any) (map[string]any, bool) {
	things := map[string]any{}
	list, isList := v.([]any)
	if v != nil && !isList {
		return nil, false
	}
	for _, thing := range list {
		name := nameOf(thing)
		if name == "" || things[name] != nil {
			return nil, false
		}
		things[name] = thing
	}
	return things, true
}

// nameOf is by what people know a thing, "" if it has no name.
func nameOf(thing any) string {
	fields, _ := thing.(map[string]any)
	for _, key := range []string{"name", "host"} {
		if name, _ := fields[key].(string); name != "" {
			return name
		}
	}
	method, _ := fields["method"].(string)
	path, _ := fields["path"].(string)
	if path == "" {
		return ""
	}
	return strings.TrimSpace(method + " " + path)
}

// describing is what an author says of a thing.
func describing(thing any) string {
	fields, _ := thing.(map[string]any)
	for _, key := range []string{"reason", "description", "title", "summary", "module", "event"} {
		if text, _ := fields[key].(string); text != "" {
			return text
		}
	}
	return ""
}

// flatten notes each leaf under its path. Members of a list of texts are leaves of their own, whatever their order.
func flatten(path string, v any, into map[string]string) {
	switch v := v.(type) {
	case nil:
	case map[string]any:
		for key, value := range v {
			flatten(strings.TrimPrefix(path+"."+key, "."), value, into)
		}
	case []any:
		for i, value := range v {
			switch value := value.(type) {
			case string:
				into[strings.TrimSpace(path+" "+value)] = ""
			default:
				flatten(fmt.Sprintf("%s[%s]", path, cmp.Or(nameOf(value), fmt.Sprint(i+1))), value, into)
			}
		}
	case string:
		into[path] = v
	default:
		text, _ := json.Marshal(v)
		into[path] = string(text)
	}
}

// both are the keys of two maps, sorted.
func both[V any](a, b map[string]V) []string {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]V{}
	}
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}

// functions compares imports or exports by module and name.
func (d *Difference) functions(what string, was, is []Function) {
	old, now := map[string]string{}, map[string]string{}
	for _, f := range was {
		old[strings.TrimPrefix(f.Module+" "+f.Name, " ")] = f.Type
	}
	for _, f := range is {
		now[strings.TrimPrefix(f.Module+" "+f.Name, " ")] = f.Type
	}
	for _, name := range both(old, now) {
		before, had := old[name]
		after, has := now[name]
		switch {
		case !had:
			d.add(Added, what, name, after)
		case !has:
			d.add(Removed, what, name, before)
		case before != after:
			d.add(Changed, what, name, before+" -> "+after)
		}
	}
}

// mark finds the changes that ask for more, and adds those that show nowhere else: a host whose meaning follows from the
// default of a setting, a value that is no longer secret.
func (d *Difference) mark(limits []limit) {
	more := func(what, name, text string) {
		for i, c := range d.Changes {
			if c.What == what && c.Name == name && c.Sign != Removed {
				d.Changes[i].More = true
				return
			}
		}
		d.Changes = append([]Change{{Sign: Changed, What: what, Name: name, Text: text, More: true}}, d.Changes...)
	}
	for _, name := range d.More.Exposed {
		more("secret", name, "was kept from the plugin, which reads it now")
	}
	for _, l := range limits {
		more("limit", l.field, fmt.Sprintf("%d -> %d", l.granted, l.asked))
	}
	for _, r := range d.More.OpenRoutes {
		more("route", r, "answers anybody")
	}
	for _, h := range d.More.Hosts {
		more("host", h.Pattern, "is now "+h.String())
	}
	for _, c := range d.More.Capabilities {
		more("capability", c, "")
	}
	slices.SortStableFunc(d.Changes, func(a, b Change) int {
		switch {
		case a.More == b.More:
			return 0
		case a.More:
			return -1
		}
		return 1
	})
}
