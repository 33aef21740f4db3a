package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/form"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/pointer"
	"github.com/frigg-host/frigg-host/host/secret"
)

// hiddenValue stands in answers where a configured secret is; sent back, it means unchanged.
const hiddenValue = "[secret]"

// typeField of a configuration names the integration plugin, as Frigg's clients send it.
const typeField = "type"

// object is a JSON object whose values are not looked into.
type object map[string]json.RawMessage

func decodeObject(op string, raw json.RawMessage) (object, error) {
	o := object{}
	if len(raw) == 0 {
		return o, nil
	}
	if err := json.Unmarshal(raw, &o); err != nil || o == nil {
		return nil, fault.New(fault.Invalid, op, "config must be a JSON object")
	}
	return o, nil
}

func (o object) encode() json.RawMessage {
	b, _ := json.Marshal(o) // values were decoded from JSON
	return b
}

// merge is RFC 7396 on the top level: null removes, all else replaces.
func (o object) merge(patch object) object {
	out := object{}
	for k, v := range o {
		out[k] = v
	}
	for k, v := range patch {
		if string(bytes.TrimSpace(v)) == "null" {
			delete(out, k)
			continue
		}
		out[k] = v
	}
	return out
}

// configure puts a patch into the configuration of in: checked, secrets sealed, guest asked. It changes only in.
func (s *Service) configure(ctx context.Context, p *plugin.Plugin, in *Integration, patch object) error {
	if p.Manifest.DynamicConfig && len(patch) == 0 {
		in.Complete = false // only the guest knows what is missing; it is asked when there is something to judge
		return nil
	}
	stored, err := s.openSecrets(ctx, in)
	if err != nil {
		return err
	}
	whole, err := patched(p, in, stored, patch)
	if err != nil {
		return err
	}
	input := form.NewInput(whole)
	input.Hide(places(stored)...)
	f, err := s.configForm(ctx, p, in, input)
	if err != nil {
		return err
	}
	secrets, err := takeSecrets(f, input.Secret(), whole, stored)
	if err != nil {
		return err
	}
	if in.Complete, err = f.CheckSoFar("config", whole); err != nil {
		return err
	}
	for at := range secrets {
		pointer.Remove(whole, at)
	}
	if err := s.sealSecrets(ctx, in, secrets); err != nil {
		return err
	}
	in.Config, _ = json.Marshal(whole) // was decoded from JSON
	return s.askGuest(ctx, p, in)
}

// configForm is the form that a record's configuration must fit: the manifest's, or the guest's for what is in input, which
// learns from it.
func (s *Service) configForm(ctx context.Context, p *plugin.Plugin, in *Integration, input *form.Input) (*form.Form, error) {
	f := p.Manifest.Config
	if p.Manifest.DynamicConfig {
		asked, err := s.asker(p, in, "").form(ctx, abi.ExportConfigForm, abi.ExportRefreshConfigForm, input)
		if err != nil {
			return nil, err
		}
		f = &asked
	}
	if _, err := input.Learn(f); err != nil {
		return nil, err
	}
	return form.Parse(f)
}

// patched is the whole configuration after a patch, in clear.
func patched(p *plugin.Plugin, in *Integration, stored map[string]secret.Text, patch object) (map[string]any, error) {
	whole, err := form.Decode(in.Config)
	if err != nil {
		return nil, err
	}
	fill(whole, stored)
	hidden, err := hiddenIn(p, whole, stored)
	if err != nil {
		return nil, err
	}
	change, err := form.Decode(patch.encode())
	if err != nil {
		return nil, err
	}
	if err := uncover(change, whole, hidden); err != nil {
		return nil, err
	}
	for name, v := range change {
		if whole[name] = v; v == nil {
			delete(whole, name)
		}
	}
	delete(whole, typeField)
	return whole, nil
}

// takeSecrets lists what is secret in a configuration: what forms call so, and what was sealed before and did not change. What
// the form no longer has is not kept, and an empty secret is none.
func takeSecrets(f *form.Form, asked []string, whole map[string]any, stored map[string]secret.Text) (map[string]secret.Text, error) {
	fields, err := f.Fields(whole)
	if err != nil {
		return nil, err
	}
	out := map[string]secret.Text{}
	for at, t := range stored {
		switch v, _ := pointer.At(whole, at); {
		case v != t.Reveal():
		case fields.Knows(at):
			out[at] = t
		default:
			pointer.Remove(whole, at)
		}
	}
	for _, at := range asked {
		v, ok := pointer.At(whole, at)
		text, isText := v.(string)
		switch {
		case !ok:
		case v == nil, text == "" && isText, text == hiddenValue:
			pointer.Remove(whole, at)
		case !isText:
			return nil, fault.New(fault.Invalid, "integration.config", "config%s must be a text", strings.ReplaceAll(at, "/", "."))
		default:
			out[at] = secret.NewText(text)
		}
	}
	return out, nil
}

// askGuest lets the plugin judge a configuration beyond its schema.
func (s *Service) askGuest(ctx context.Context, p *plugin.Plugin, in *Integration) error {
	if !p.Has(abi.ExportValidateConfig) {
		return nil
	}
	r, record, err := s.newRun(ctx, p, in, syncTimeout)
	if err != nil {
		return err
	}
	out, err := plugin.Invoke[abi.ValidateConfigOutput](ctx, s.Guests, r.call(abi.ExportValidateConfig), abi.ValidateConfigInput{Integration: record})
	switch {
	case fault.Is(err, fault.Unsupported):
		return nil
	case err != nil:
		return err
	case len(out.Problems) > 0 && !out.Missing: // what is not there yet is no error
		texts := make([]string, 0, len(out.Problems))
		for _, q := range out.Problems {
			texts = append(texts, strings.TrimPrefix(strings.ReplaceAll(q.Field, "/", "."), ".")+": "+q.Message)
		}
		return fault.New(fault.Invalid, "integration.config", "config.%s", strings.Join(texts, "; config."))
	}
	in.Complete = in.Complete && !out.Missing
	return nil
}
