package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
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

// form is what a configuration must fit.
type form struct {
	schema  *jsonschema.Schema // without the top level's `required`; nil accepts all
	needed  []string
	secrets []string // names of `format: password` fields
}

func parseForm(f *abi.Form) (*form, error) {
	if f == nil || len(f.JSONSchema) == 0 {
		return &form{}, nil
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(f.JSONSchema))
	root, ok := doc.(map[string]any)
	if err != nil || !ok {
		return nil, badForm(errors.New("not an object"))
	}
	out := &form{}
	if needed, ok := root["required"].([]any); ok {
		for _, n := range needed {
			if name, ok := n.(string); ok {
				out.needed = append(out.needed, name)
			}
		}
	}
	delete(root, "required")
	if properties, ok := root["properties"].(map[string]any); ok {
		for name, p := range properties {
			if field, ok := p.(map[string]any); ok && field["format"] == "password" {
				out.secrets = append(out.secrets, name)
			}
		}
	}
	slices.Sort(out.secrets)
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	if err := c.AddResource("form.json", root); err != nil {
		return nil, badForm(err)
	}
	if out.schema, err = c.Compile("form.json"); err != nil {
		return nil, badForm(err)
	}
	return out, nil
}

// noLoader keeps schemas from reaching files or the network.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s: references must stay inside the form", url)
}

func badForm(err error) error {
	return &fault.Error{Kind: fault.Internal, Side: fault.Guest, Op: "integration.form", Msg: "the integration's configuration form is not a JSON Schema of an object", Err: err}
}

// check returns fault.Invalid if a value does not fit, and whether something required is missing.
func (f *form) check(config object) (complete bool, err error) {
	complete = true
	for _, n := range f.needed {
		if v, ok := config[n]; !ok || string(v) == `""` {
			complete = false
		}
	}
	if f.schema == nil {
		return complete, nil
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(config.encode()))
	if err != nil {
		return false, fault.New(fault.Invalid, "integration.config", "config must be a JSON object")
	}
	if err := f.schema.Validate(value); err != nil {
		return false, fault.New(fault.Invalid, "integration.config", "%s", problems(err))
	}
	return complete, nil
}

// problems says which fields do not fit and why, without repeating their values.
func problems(err error) string {
	var v *jsonschema.ValidationError
	if !errors.As(err, &v) {
		return "config does not fit the form"
	}
	print := message.NewPrinter(language.English)
	var texts []string
	var walk func(e *jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		if len(e.Causes) == 0 && len(texts) < 10 {
			texts = append(texts, "config."+strings.Join(e.InstanceLocation, ".")+": "+kindText(e, print))
		}
		for _, c := range e.Causes {
			walk(c)
		}
	}
	walk(v)
	return strings.Join(texts, "; ")
}

// kindText is the reason by the schema's keyword; the library's text would quote values of enum, const and pattern.
func kindText(e *jsonschema.ValidationError, print *message.Printer) string {
	path := e.ErrorKind.KeywordPath()
	switch keyword := path[len(path)-1]; keyword {
	case "enum", "const", "pattern", "format", "not", "uniqueItems", "contains":
		return "does not satisfy " + keyword
	}
	return e.ErrorKind.LocalizedString(print)
}

// formOf is the form that a record's configuration must fit: the manifest's, or the guest's.
func (s *Service) formOf(ctx context.Context, p *plugin.Plugin, in *Integration) (*form, error) {
	if !p.Manifest.DynamicConfig {
		return parseForm(p.Manifest.Config)
	}
	f, err := s.guestForm(ctx, in, abi.ExportConfigForm, abi.FormInput{})
	if err != nil {
		return nil, err
	}
	return parseForm(&f)
}

// configure puts a patch into the configuration of in: checked, secrets sealed, guest asked. It changes only in.
func (s *Service) configure(ctx context.Context, p *plugin.Plugin, in *Integration, patch object) error {
	const op = "integration.config"
	old, err := decodeObject(op, in.Config)
	if err != nil {
		return err
	}
	secrets, err := s.openSecrets(ctx, in)
	if err != nil {
		return err
	}
	if p.Manifest.DynamicConfig && len(patch) == 0 {
		in.Complete = false // only the guest knows what is missing; it is asked when there is something to judge
		return nil
	}
	f, err := s.formOf(ctx, p, in)
	if err != nil {
		return err
	}
	for _, name := range f.secrets {
		if err := takeSecret(patch, secrets, name); err != nil {
			return err
		}
	}
	config := old.merge(patch)
	whole := config.merge(nil)
	for name := range secrets {
		whole[name] = json.RawMessage(`"` + hiddenValue + `"`)
	}
	checked := whole.merge(nil)
	delete(checked, typeField)
	if in.Complete, err = f.check(checked); err != nil {
		return err
	}
	if err := s.sealSecrets(ctx, in, secrets); err != nil {
		return err
	}
	in.Config = config.encode()
	return s.askGuest(ctx, p, in)
}

// takeSecret moves a secret field out of the patch: a text replaces it, null or "" removes it, the hidden value keeps it.
func takeSecret(patch object, secrets map[string]secret.Text, name string) error {
	raw, ok := patch[name]
	if !ok {
		return nil
	}
	delete(patch, name)
	if string(raw) == "null" {
		delete(secrets, name)
		return nil
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return fault.New(fault.Invalid, "integration.config", "config.%s must be a text", name)
	}
	switch text {
	case hiddenValue:
	case "":
		delete(secrets, name)
	default:
		secrets[name] = secret.NewText(text)
	}
	return nil
}

// askGuest lets the plugin judge a configuration beyond its schema.
func (s *Service) askGuest(ctx context.Context, p *plugin.Plugin, in *Integration) error {
	if !p.Has(abi.ExportValidateConfig) {
		return nil
	}
	r, record, err := s.newRun(ctx, p, in, "", syncTimeout)
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

func secretsPlace(id ID) secret.Place {
	return secret.Place{Table: "integrations", Column: "secrets", Row: string(id)}
}

// openSecrets returns the configured secrets by field.
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
	config, err := decodeObject("integration.config", in.Config)
	if err != nil {
		return nil, err
	}
	secrets, err := s.openSecrets(ctx, in)
	if err != nil {
		return nil, err
	}
	for name := range secrets {
		config[name] = json.RawMessage(`"` + hiddenValue + `"`)
	}
	config[typeField], _ = json.Marshal(in.Plugin)
	return config.encode(), nil
}

func notFound() error { return fault.New(fault.NotFound, "integration.Read", "no such integration") }
