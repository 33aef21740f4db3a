package integration

import (
	"encoding/json"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/internal/wire"
)

// Problem is one thing wrong with a configuration.
type Problem struct {
	Field   string // name of the field; empty for the whole
	Message string // what to do
	// Missing means that it is not there yet: the configuration is saved and the record waits as NEEDS_CONFIG, instead of being
	// refused with Message.
	Missing bool
}

var (
	configForm  func(*Call, json.RawMessage) (frigg.Form, error)
	validate    func(*Call) ([]Problem, error)
	moreActions func(*Call) ([]abi.Action, error)
	actionForms = map[string]func(*Call, json.RawMessage) (frigg.Form, error){}
	actions     = map[string]func(*Call, json.RawMessage) (any, error){}
)

// ConfigForm registers the configuration form, for manifests with dynamic_config. In is the configuration with what the
// person has typed since; the form is asked for again when a field changed.
func ConfigForm[In any](f func(*Call, In) (frigg.Form, error)) {
	wire.Declare("export", abi.ExportConfigForm)
	wire.Prepare[In]()
	configForm = func(c *Call, typed json.RawMessage) (frigg.Form, error) {
		var in In
		wire.DecodeLoosely(c.Integration.Config, &in)
		wire.DecodeLoosely(typed, &in)
		return f(c, in)
	}
}

// ValidateConfig registers the judge of a configuration beyond its schema. An error means that it could not be judged.
func ValidateConfig[T any](f func(*Call, T) ([]Problem, error)) {
	wire.Declare("export", abi.ExportValidateConfig)
	wire.Prepare[T]()
	validate = func(c *Call) ([]Problem, error) {
		config, err := Config[T](c)
		if err != nil {
			return []Problem{{Message: err.Error()}}, nil
		}
		return f(c, config)
	}
}

// Action registers what an action of the manifest does. Sample data is a list of objects, one per row.
func Action[In, Out any](name string, f func(*Call, In) (Out, error)) {
	wire.Declare("action", name)
	wire.Prepare[In]()
	wire.Prepare[Out]()
	actions[name] = func(c *Call, input json.RawMessage) (any, error) {
		var in In
		if err := wire.Decode(input, &in, "the input of "+name); err != nil {
			return nil, err
		}
		return f(c, in)
	}
}

// ActionForm registers the form of an action with has_form. In is what the person has typed so far.
func ActionForm[In any](action string, f func(*Call, In) (frigg.Form, error)) {
	wire.Declare("action form", action)
	wire.Prepare[In]()
	actionForms[action] = func(c *Call, typed json.RawMessage) (frigg.Form, error) {
		var in In
		wire.DecodeLoosely(typed, &in)
		return f(c, in)
	}
}

// MoreActions registers actions known only at run time, beside those of the manifest. Each needs a handler.
func MoreActions(f func(*Call) ([]abi.Action, error)) {
	wire.Declare("export", abi.ExportListActions)
	moreActions = f
}

func askConfig(h wire.Host, in abi.FormInput) (abi.Form, error) {
	if configForm == nil {
		return abi.Form{}, frigg.Unsupported("this integration has no handler for ConfigForm")
	}
	return answerForm(h, in, configForm)
}

func askAction(h wire.Host, in abi.FormInput) (abi.Form, error) {
	f, ok := actionForms[in.Action]
	if !ok {
		return abi.Form{}, frigg.Unsupported("the action %s has no form", in.Action)
	}
	return answerForm(h, in, f)
}

func answerForm(h wire.Host, in abi.FormInput, f func(*Call, json.RawMessage) (frigg.Form, error)) (abi.Form, error) {
	form, err := f(&Call{Integration: in.Integration, host: h}, in.Input)
	if err != nil {
		return abi.Form{}, err
	}
	return form.Message()
}

func judgeConfig(h wire.Host, in abi.ValidateConfigInput) (abi.ValidateConfigOutput, error) {
	var out abi.ValidateConfigOutput
	if validate == nil {
		return out, nil
	}
	problems, err := validate(&Call{Integration: in.Integration, host: h})
	for _, p := range problems {
		if p.Missing {
			out.Missing = true
			continue
		}
		out.Problems = append(out.Problems, abi.ConfigProblem{Field: pointer(p.Field), Message: p.Message})
	}
	return out, err
}

func pointer(field string) string {
	if field == "" {
		return ""
	}
	return "/" + field
}

func listActions(h wire.Host, in abi.ListActionsInput) (abi.ListActionsOutput, error) {
	out := abi.ListActionsOutput{Actions: []abi.Action{}}
	if moreActions == nil {
		return out, nil
	}
	list, err := moreActions(&Call{Integration: in.Integration, host: h})
	for _, a := range list {
		if in.Kind == "" || in.Kind == a.Kind || in.Kind == abi.ActionKindUserAction && a.Kind == "" {
			out.Actions = append(out.Actions, a)
		}
	}
	return out, err
}

func runAction(h wire.Host, in abi.ActionInput) (abi.ActionOutput, error) {
	f, ok := actions[in.Action]
	if !ok {
		return abi.ActionOutput{}, frigg.Unsupported("the action %s has no handler", in.Action)
	}
	out, err := f(&Call{Integration: in.Integration, host: h}, in.Input)
	if err != nil {
		return abi.ActionOutput{}, err
	}
	value, err := json.Marshal(out)
	return abi.ActionOutput{Value: value}, err
}
