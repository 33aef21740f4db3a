package integration

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/form"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/pointer"
	"github.com/frigg-host/frigg-host/host/secret"
)

func secretsPlace(id ID) secret.Place {
	return secret.Place{Table: "integrations", Column: "secrets", Row: string(id)}
}

// openSecrets returns the configured secrets by place, a JSON pointer into the configuration.
func (s *Service) openSecrets(ctx context.Context, in *Integration) (map[string]secret.Text, error) {
	out := map[string]secret.Text{}
	if in.Secrets == "" {
		return out, nil
	}
	sealed, err := s.Vault.Open(ctx, string(in.Owner), secretsPlace(in.ID), in.Secrets)
	if err != nil {
		return nil, err
	}
	var plain map[string]string
	if err := json.Unmarshal([]byte(sealed.Reveal()), &plain); err != nil {
		return nil, fault.Wrap(errors.New("sealed secrets are not an object"), fault.Internal, "integration.secrets", "the record's secrets cannot be read")
	}
	for k, v := range plain {
		out[k] = secret.NewText(v)
	}
	return out, nil
}

func (s *Service) sealSecrets(ctx context.Context, in *Integration, secrets map[string]secret.Text) error {
	if len(secrets) == 0 {
		in.Secrets = ""
		return nil
	}
	plain := make(map[string]string, len(secrets))
	for k, v := range secrets {
		plain[k] = v.Reveal()
	}
	text, err := json.Marshal(plain)
	if err != nil {
		return fault.Wrap(errors.New("secrets cannot be encoded"), fault.Internal, "integration.secrets", "the secrets cannot be saved")
	}
	in.Secrets, err = s.Vault.Seal(ctx, string(in.Owner), secretsPlace(in.ID), secret.NewText(string(text)))
	return err
}

// PublicConfig is the configuration as its owner may see it: secrets hidden, `type` present.
func (s *Service) PublicConfig(ctx context.Context, a account.Actor, in *Integration) (json.RawMessage, error) {
	if a.Owner != in.Owner {
		return nil, notFound()
	}
	stored, err := s.openSecrets(ctx, in)
	if err != nil {
		return nil, err
	}
	p, err := s.Plugins.Plugin(in.Plugin)
	if err != nil {
		p = nil // what was a secret when it was saved is sealed
	}
	config, err := shown(p, in, stored, func(string, secret.Text) string { return hiddenValue })
	if err != nil {
		config = map[string]any{} // the form is broken, so nobody knows what is secret
	}
	config[typeField] = in.Plugin
	return json.Marshal(config)
}

func notFound() error { return fault.New(fault.NotFound, "integration.Read", "no such integration") }

// shown is a configuration with something in place of each secret: of what is sealed, and of what stands in clear because its
// field became a password later.
func shown(p *plugin.Plugin, in *Integration, stored map[string]secret.Text, instead func(at string, t secret.Text) string) (map[string]any, error) {
	doc, _ := pointer.Decode(in.Config)
	config, ok := doc.(map[string]any)
	if !ok {
		config = map[string]any{}
	}
	fill(config, stored)
	hidden, err := hiddenIn(p, config, stored)
	if err != nil {
		return nil, err
	}
	for _, at := range hidden {
		if v, ok := pointer.At(config, at); ok {
			pointer.Set(config, at, instead(at, textOf(v)))
		}
	}
	return config, nil
}

func textOf(v any) secret.Text {
	text, ok := v.(string)
	if !ok {
		b, _ := json.Marshal(v) // was decoded from JSON
		text = string(b)
	}
	return secret.NewText(text)
}

func places(secrets map[string]secret.Text) []string { return slices.Sorted(maps.Keys(secrets)) }

// fill puts secrets where they belong; a place that is gone stays so.
func fill(config map[string]any, secrets map[string]secret.Text) {
	for _, at := range places(secrets) {
		pointer.Set(config, at, secrets[at].Reveal())
	}
}

// hiddenIn lists the places of a configuration in clear that its owner and guests do not see: what is sealed, and what a form of
// the manifest calls a password by now.
func hiddenIn(p *plugin.Plugin, config map[string]any, stored map[string]secret.Text) ([]string, error) {
	all := places(stored)
	if p == nil {
		return all, nil
	}
	parsed, err := form.Parse(p.Manifest.Config)
	if err != nil {
		return nil, err
	}
	fields, err := parsed.Fields(config)
	if err != nil {
		return nil, err
	}
	for _, at := range fields.Secret() {
		if v, ok := pointer.At(config, at); ok && v != nil && v != "" && !slices.Contains(all, at) {
			all = append(all, at)
		}
	}
	slices.Sort(all)
	return all, nil
}

// uncover puts what old has in place of the hidden values of a change. In a list another entry could stand there now, so the
// whole entry must be what its owner saw.
func uncover(change, old map[string]any, hidden []string) error {
	var kept []string
	for _, at := range hidden {
		if v, _ := pointer.At(change, at); v == hiddenValue {
			kept = append(kept, at)
		}
	}
	for _, at := range kept {
		if entry, ok := entryOf(change, at); ok && !sameEntry(change, old, entry, hidden) {
			return fault.New(fault.Invalid, "integration.config", "config%s: the entry is not what it was; give its secret again", strings.ReplaceAll(at, "/", "."))
		}
	}
	for _, at := range kept {
		v, _ := pointer.At(old, at)
		pointer.Set(change, at, v)
	}
	return nil
}

// entryOf is the outermost entry of a list on the way to a place.
func entryOf(doc any, at string) (entry string, ok bool) {
	steps, _ := pointer.Steps(at)
	for i := range steps {
		parent, _ := pointer.At(doc, pointer.Of(steps[:i]...))
		if _, isList := parent.([]any); isList {
			return pointer.Of(steps[:i+1]...), true
		}
	}
	return "", false
}

// sameEntry compares entries with their secrets hidden.
func sameEntry(change, old map[string]any, entry string, hidden []string) bool {
	b, _ := json.Marshal(old) // was decoded from JSON
	seen, _ := pointer.Decode(b)
	for _, at := range hidden {
		if at == entry || strings.HasPrefix(at, entry+"/") {
			pointer.Set(seen, at, hiddenValue)
		}
	}
	was, _ := pointer.At(seen, entry)
	is, _ := pointer.At(change, entry)
	return reflect.DeepEqual(was, is)
}

// secretNames are the names of the fields in which a record has or may have secrets.
func secretNames(p *plugin.Plugin, stored map[string]secret.Text) []string {
	var names []string
	for at := range stored {
		steps, _ := pointer.Steps(at)
		for len(steps) > 0 { // the entries of a list have its name
			last := steps[len(steps)-1]
			if _, err := strconv.Atoi(last); err != nil {
				names = append(names, last)
				break
			}
			steps = steps[:len(steps)-1]
		}
	}
	if f, err := form.Parse(p.Manifest.Config); err == nil {
		for name, field := range f.Properties() {
			if field["format"] == "password" {
				names = append(names, name)
			}
		}
	}
	return names
}
