package sim_test

import (
	"context"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/secret"
)

// The vendors: one recognises a repeated request by its key, the other acts on each.
const (
	keyed = "keyed"
	plain = "plain"
)

const flowManifest = `{"abi":1,"kind":"integration","name":"flow-NAME","version":"1.0.0","display":{"name":"Flow"},
	"capabilities":[{"name":"http","reason":"r"},{"name":"storage","reason":"r"}],
	"roles":[{"name":"crm","module":"NAME"}],"options":{"is_many":true},
	"config":{"json_schema":{"type":"object","properties":{"in_webhook_secret":{"type":"string","format":"password"}}}},
	"webhooks":[{"name":"in","role":"crm","hook":"in"}]}`

const moduleManifest = `{"abi":1,"kind":"module","name":"NAME","version":"1.0.0","display":{"name":"Vendor"},
	"hosts":[{"host":"https://NAME.example","reason":"The vendor."}],
	"auth":{"kind":"api_key","form":{"json_schema":{"type":"object","required":["key"],"properties":{"key":{"type":"string","format":"password"}}}},
		"apply":[{"in":"header","name":"x-key","value":"{{form.key}}"}],"identify":{"request":{"url":"/me"},"external_id":"/id"},"test":{"request":{"url":"/me"}}},
	"api":{"base_url":"https://NAME.example"IDEMPOTENCY},
	"hooks":[{"name":"in","signature":{"header":"x-signature","prefix":"sha256="},"event":"header:x-event","event_id":"header:x-delivery"}]}`

// catalog is a fixed set of plugins.
type catalog map[string]*plugin.Plugin

func (c catalog) Plugin(name string) (*plugin.Plugin, error) {
	if p, ok := c[name]; ok {
		return p, nil
	}
	return nil, fault.New(fault.NotFound, "sim", "no plugin %s", name)
}

func (c catalog) ByDigest(d plugin.Digest) (*plugin.Plugin, error) {
	for _, p := range c {
		if p.Digest == d {
			return p, nil
		}
	}
	return nil, fault.New(fault.NotFound, "sim", "no plugin")
}

func (c catalog) Plugins() (all []*plugin.Plugin) {
	for _, p := range c {
		all = append(all, p)
	}
	return all
}

func (catalog) Settings(context.Context, *plugin.Plugin) (map[string]secret.Text, error) {
	return nil, nil
}

// installed are an integration and a module for each vendor.
func installed() catalog {
	c := catalog{}
	for name, idempotency := range map[string]string{keyed: `,"idempotency":{"header":"Idempotency-Key"}`, plain: ""} {
		c.add(flowManifest, name, "", abi.ExportHandleEvent)
		c.add(moduleManifest, name, idempotency)
	}
	return c
}

func (c catalog) add(manifest, name, idempotency string, exports ...string) {
	m, err := abi.DecodeManifest([]byte(replace(manifest, "NAME", name, "IDEMPOTENCY", idempotency)))
	if err != nil {
		panic(err)
	}
	c[m.Name] = &plugin.Plugin{
		Name: m.Name, Version: m.Version, Digest: plugin.Digest("sha256:" + m.Name), Kind: m.Kind,
		Manifest: *abi.ManifestDefaults(m), State: plugin.Ready, Exports: exports,
	}
}
