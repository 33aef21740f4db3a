package integration_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/secret"
)

// upgrade gives the plugin sync another form and lets it have more exports.
func (h *house) upgrade(form string, exports ...string) {
	p := *h.s.Plugins.(catalog)["sync"]
	p.Exports = append(append([]string{}, p.Exports...), exports...)
	p.Manifest.Config, p.Manifest.DynamicConfig = &abi.Form{JSONSchema: json.RawMessage(form)}, form == ""
	if form == "" {
		p.Manifest.Config = nil
	}
	h.s.Plugins.(catalog)["sync"] = &p
}

func (h *house) patch(in *integration.Integration, patch string) error {
	_, err := h.s.Update(h.t.Context(), h.ada, in.ID, integration.Change{Config: json.RawMessage(patch)})
	return err
}

// public is what the owner sees, and stored what is kept in clear.
func (h *house) public(in *integration.Integration) (public, stored string) {
	h.t.Helper()
	record, err := h.s.Integration(h.t.Context(), h.ada, in.ID)
	if err != nil {
		h.t.Fatal(err)
	}
	config, err := h.s.PublicConfig(h.t.Context(), h.ada, record)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(config), string(record.Config)
}

// guestConfig is the configuration as the guest reads it, and the same with its handles hidden.
func (h *house) guestConfig(in *integration.Integration) (config, covered string) {
	h.t.Helper()
	h.guests[abi.ExportRunAction] = func(ctx context.Context, c plugin.Call) (any, error) {
		var q abi.ActionInput
		if err := json.Unmarshal(c.Input, &q); err != nil {
			return nil, err
		}
		config = string(q.Integration.Config)
		return abi.ActionOutput{}, nil
	}
	if _, err := h.s.RunAction(h.t.Context(), h.ada, in.ID, "GO", nil); err != nil {
		h.t.Fatal(err)
	}
	return config, secret.WithoutHandles(config)
}

const withAccounts = `{"type":"object","additionalProperties":false,"properties":{"days":{"type":"integer"},
	"key":{"type":"string","format":"password","minLength":9,"pattern":"^whsec_"},
	"auth":{"type":"object","properties":{"user":{"type":"string"},"token":{"$ref":"#/$defs/secret"}}},
	"accounts":{"type":"array","items":{"type":"object","properties":{"name":{"type":"string"},"token":{"$ref":"#/$defs/secret"}}}}},
	"$defs":{"secret":{"type":"string","format":"password"}}}`

func TestConfig_RealSecretsAreJudgedByTheForm(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.upgrade(withAccounts)
	in := h.enabled(`{"type":"sync","key":"whsec_12345"}`)
	for patch, want := range map[string]string{`{"key":"hunter2"}`: "config.key: needs at least 9 characters", `{"key":"hunter2hunter2"}`: "config.key: does not satisfy pattern"} {
		err := h.patch(in, patch)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.PublicMessage(err), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", patch, err)
		}
	}
	for _, patch := range []string{`{"key":"whsec_67890"}`, `{"key":"[secret]"}`, `{"days":3}`, `{"key":""}`} {
		if err := h.patch(in, patch); err != nil {
			t.Errorf("%s: %v", patch, err)
		}
	}
	if config, _ := h.public(in); strings.Contains(config, "key") {
		t.Errorf("an empty secret stays: %s", config)
	}
}

func TestConfig_NestedSecretsAreSealedHiddenAndHandles(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.upgrade(withAccounts)
	in := h.enabled(`{"type":"sync","auth":{"user":"ada","token":"` + planted + `"},"accounts":[{"name":"a","token":"` + planted + `-a"},{"name":"b","token":"` + planted + `-b"}]}`)
	const seen = `{"accounts":[{"name":"a","token":"[secret]"},{"name":"b","token":"[secret]"}],"auth":{"token":"[secret]","user":"ada"},"type":"sync"}`
	check := func(when string) {
		t.Helper()
		public, stored := h.public(in)
		guest, clear := h.guestConfig(in)
		if public != seen || clear != strings.Replace(seen, `,"type":"sync"`, "", 1) {
			t.Errorf("%s: the owner sees %s, the guest %s", when, public, guest)
		}
		if strings.Contains(stored+guest, planted) || strings.Count(guest, "frigg_secret_") != 3 {
			t.Errorf("%s: stored %s, the guest sees %s", when, stored, guest)
		}
	}
	check("created")
	if err := h.patch(in, strings.Replace(seen, `,"type":"sync"`, "", 1)); err != nil {
		t.Fatal(err)
	}
	check("sent back as it was seen")
	for name, patch := range map[string]string{
		"entries in another order": `{"accounts":[{"name":"b","token":"[secret]"},{"name":"a","token":"[secret]"}]}`,
		"an entry is gone":         `{"accounts":[{"name":"b","token":"[secret]"}]}`,
	} {
		if err := h.patch(in, patch); !fault.Is(err, fault.Invalid) || !strings.Contains(fault.PublicMessage(err), "give its secret again") {
			t.Errorf("%s: %v", name, err)
		}
	}
	check("refused")
	if err := h.patch(in, `{"auth":{"user":"bob","token":"[secret]"},"accounts":null}`); err != nil {
		t.Fatal(err)
	}
	if public, _ := h.public(in); public != `{"auth":{"token":"[secret]","user":"bob"},"type":"sync"}` {
		t.Errorf("changed: %s", public)
	}
	if err := h.patch(in, `{"auth":{"user":"bob"}}`); err != nil {
		t.Fatal(err)
	}
	if public, _ := h.public(in); public != `{"auth":{"user":"bob"},"type":"sync"}` {
		t.Errorf("replaced without the secret: %s", public)
	}
	if err := h.patch(in, `{"auth":{"token":{"x":"hunter2"}}}`); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "config.auth.token must be a text") {
		t.Errorf("a secret that is no text: %v", err)
	}
}

func TestConfig_AFieldThatBecomesAPasswordIsHiddenAtOnceAndSealedAtTheNextSave(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.upgrade(`{"type":"object","properties":{"token":{"type":"string"},"days":{}}}`)
	in := h.enabled(`{"type":"sync","token":"` + planted + `"}`)
	if public, _ := h.public(in); !strings.Contains(public, planted) {
		t.Fatalf("a plain field is hidden: %s", public)
	}
	h.upgrade(`{"type":"object","properties":{"token":{"type":"string","format":"password"},"days":{}}}`)
	public, _ := h.public(in)
	if guest, _ := h.guestConfig(in); strings.Contains(public+guest, planted) || !strings.Contains(public, `"token":"[secret]"`) || !secret.HasHandle(guest) {
		t.Errorf("after the upgrade the owner sees %s, the guest %s", public, guest)
	}
	if err := h.patch(in, `{"token":"[secret]","days":1}`); err != nil {
		t.Fatal(err)
	}
	public, stored := h.public(in)
	if stored != `{"days":1}` || !strings.Contains(public, `"token":"[secret]"`) {
		t.Errorf("after a save the owner sees %s, stored is %s", public, stored)
	}
	h.upgrade(`{"type":"object","properties":{"token":{"type":"string"},"days":{}}}`)
	if err := h.patch(in, `{"days":2}`); err != nil {
		t.Fatal(err)
	}
	if public, stored := h.public(in); strings.Contains(public+stored, planted) {
		t.Errorf("a secret came to light when its field was a password no more: %s, %s", public, stored)
	}
}

func TestConfig_ASecretThatTheFormNoLongerHasIsDropped(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	in := h.enabled(`{"type":"sync","key":"` + planted + `"}`)
	h.upgrade(`{"type":"object","additionalProperties":false,"properties":{"days":{"type":"integer"}}}`)
	if err := h.patch(in, `{"days":2}`); err != nil {
		t.Fatal(err)
	}
	if public, _ := h.public(in); public != `{"days":2,"type":"sync"}` {
		t.Errorf("the owner sees %s", public)
	}
}

func TestConfig_SchemasWithoutAKeywordPathDoNotPanic(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.upgrade(`{"type":"object","properties":{"no":false,"other":{"not":{"const":"hunter2"}}}}`)
	in := h.enabled(`{"type":"sync"}`)
	for _, patch := range []string{`{"no":"hunter2"}`, `{"other":"hunter2"}`} {
		if err := h.patch(in, patch); !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", patch, err)
		}
	}
}

func TestPublicConfig_AFormThatCannotBeJudgedShowsNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	in := h.enabled(`{"type":"sync","key":"` + planted + `","days":3}`)
	for _, form := range []string{`[]`, `{"$ref":"#"}`} {
		h.upgrade(form)
		if public, _ := h.public(in); public != `{"type":"sync"}` {
			t.Errorf("%s: the owner sees %s", form, public)
		}
		if _, err := h.s.RunAction(t.Context(), h.ada, in.ID, "GO", nil); !fault.Is(err, fault.Internal) || fault.SideOf(err) != fault.Guest {
			t.Errorf("%s: an action runs: %v", form, err)
		}
	}
}

// forms plays a guest whose forms grow: mode asks for auth, and says which inputs the guest read.
func (h *house) forms(read *[]string, exports ...string) {
	for _, export := range exports {
		h.guests[export] = func(ctx context.Context, c plugin.Call) (any, error) {
			var q struct {
				Input       json.RawMessage `json:"input"`
				Integration abi.Integration `json:"integration"`
			}
			if err := json.Unmarshal(c.Input, &q); err != nil {
				return nil, err
			}
			*read = append(*read, string(c.Input))
			properties := `"mode":{"type":"string"}`
			if strings.Contains(string(q.Input), `"mode"`) || strings.Contains(string(q.Integration.Config), `"mode"`) {
				properties += `,"auth":{"type":"object","properties":{"token":{"type":"string","format":"password"}}}`
			}
			if export == abi.ExportRunAction {
				return abi.ActionOutput{Value: q.Input}, nil
			}
			return abi.Form{JSONSchema: json.RawMessage(`{"type":"object","properties":{` + properties + `}}`)}, nil
		}
	}
}

func TestForms_NoPasswordReachesAGuestInClear(t *testing.T) {
	t.Parallel()
	all := []string{abi.ExportConfigForm, abi.ExportRefreshConfigForm, abi.ExportActionForm, abi.ExportRefreshActionForm}
	for name, act := range map[string]func(h *house, in *integration.Integration, input json.RawMessage) (string, error){
		"config refresh": func(h *house, in *integration.Integration, input json.RawMessage) (string, error) {
			f, err := h.s.RefreshConfigForm(t.Context(), h.ada, in.ID, input)
			return string(f.JSONSchema), err
		},
		"config save": func(h *house, in *integration.Integration, input json.RawMessage) (string, error) {
			err := h.patch(in, string(input))
			public, _ := h.public(in)
			return public, err
		},
		"action refresh": func(h *house, in *integration.Integration, input json.RawMessage) (string, error) {
			f, err := h.s.RefreshActionForm(t.Context(), h.ada, in.ID, "ASK", input)
			return string(f.JSONSchema), err
		},
		"action": func(h *house, in *integration.Integration, input json.RawMessage) (string, error) {
			v, err := h.s.RunAction(t.Context(), h.ada, in.ID, "ASK", input)
			return string(v), err
		},
		"action of a guest without refresh": func(h *house, in *integration.Integration, input json.RawMessage) (string, error) {
			p := h.s.Plugins.(catalog)["sync"]
			p.Exports = []string{abi.ExportRunAction, abi.ExportActionForm}
			h.guests[abi.ExportActionForm] = func(context.Context, plugin.Call) (any, error) {
				return abi.Form{JSONSchema: json.RawMessage(`{"properties":{"auth":{"properties":{"token":{"format":"password"}}}}}`)}, nil
			}
			v, err := h.s.RunAction(t.Context(), h.ada, in.ID, "ASK", input)
			return string(v), err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.upgrade("", all...)
			p := h.s.Plugins.(catalog)["sync"]
			p.Manifest.Actions = append(append([]abi.Action{}, p.Manifest.Actions...), abi.Action{Name: "ASK", HasForm: true})
			var read []string
			h.forms(&read, append(all, abi.ExportRunAction)...)
			in := h.create(`{"type":"sync"}`)
			h.guests[abi.ExportHandleEvent] = func(context.Context, plugin.Call) (any, error) { return abi.EventOutput{}, nil }
			h.work()
			got, err := act(h, in, json.RawMessage(`{"mode":"token","auth":{"token":"`+planted+`","n":1}}`))
			if err != nil || !strings.Contains(got, "token") || strings.Contains(got, planted) {
				t.Errorf("%s, %v", got, err)
			}
			if len(read) == 0 || !secret.HasHandle(fmt.Sprint(read)) {
				t.Errorf("guests read %s", read)
			}
			for _, r := range read {
				if strings.Contains(r, planted) {
					t.Errorf("a guest reads %s", r)
				}
			}
		})
	}
}

func TestRunAction_TheHiddenValueAndTheNamesOfSecretsBecomeHandles(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	in := h.enabled(`{"type":"sync","key":"` + planted + `"}`)
	var input, configured string
	h.guests[abi.ExportRunAction] = func(ctx context.Context, c plugin.Call) (any, error) {
		var q abi.ActionInput
		if err := json.Unmarshal(c.Input, &q); err != nil {
			return nil, err
		}
		var record struct{ Key string }
		err := json.Unmarshal(q.Integration.Config, &record)
		input, configured = string(q.Input), record.Key
		return abi.ActionOutput{}, err
	}
	for filled, want := range map[string]string{
		`{"key":"[secret]","n":12345678901234567890}`: `{"key":"CONFIGURED","n":12345678901234567890}`,
		`{"key":"` + planted + `"}`:                   `{"key":"CONFIGURED"}`,
		`{"deep":[{"key":"hunter2"}],"other":"x"}`:    `{"deep":[{"key":"[secret]"}],"other":"x"}`,
		`{"other":"[secret]"}`:                        `{"other":"[secret]"}`,
	} {
		if _, err := h.s.RunAction(t.Context(), h.ada, in.ID, "GO", json.RawMessage(filled)); err != nil {
			t.Fatal(err)
		}
		if got := secret.WithoutHandles(strings.ReplaceAll(input, configured, "CONFIGURED")); got != want {
			t.Errorf("%s: the guest reads %s", filled, got)
		}
	}
	if _, err := h.s.RunAction(t.Context(), h.ada, in.ID, "GO", json.RawMessage(`["`+planted+`"]`)); !fault.Is(err, fault.Invalid) {
		t.Errorf("an input that is no object: %v", err)
	}
}
