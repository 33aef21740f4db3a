package plugin_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/secret"
)

// settingRig has the plugin my-crm with the settings url (a default) and key (secret, required).
func settingRig(t *testing.T) (*rig, *plugin.Plugin) {
	t.Helper()
	r := newRig(t)
	r.drop("crm.wasm", module("my-crm", "1.0.0"), old)
	r.rescan()
	r.approve("my-crm")
	p, err := r.registry.Plugin("my-crm")
	if err != nil {
		t.Fatal(err)
	}
	return r, p
}

func (r *rig) settings(p *plugin.Plugin) map[string]string {
	r.t.Helper()
	values, err := r.service.Settings(r.t.Context(), p)
	if err != nil {
		r.t.Fatal(err)
	}
	plain := map[string]string{}
	for name, v := range values {
		plain[name] = v.Reveal()
	}
	return plain
}

func (r *rig) set(name, value string) {
	r.t.Helper()
	if err := r.service.SetSetting(r.t.Context(), "my-crm", name, secret.NewText(value)); err != nil {
		r.t.Fatal(err)
	}
}

func TestSettings_TakeTheFirstSource(t *testing.T) {
	t.Parallel()
	r, p := settingRig(t)
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	step := func(want map[string]string) {
		t.Helper()
		if diff := cmp.Diff(want, r.settings(p)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	step(map[string]string{"url": "https://a.example"})
	missing, err := r.service.MissingSettings(t.Context(), p)
	if err != nil || len(missing) != 1 || missing[0] != "key" {
		t.Errorf("got %v and %v, want key to be missing", missing, err)
	}
	r.set("key", "stored")
	r.set("url", "https://b.example")
	step(map[string]string{"key": "stored", "url": "https://b.example"})
	r.env["FRIGG_MY_CRM_KEY_FILE"] = file
	step(map[string]string{"key": "from-file", "url": "https://b.example"})
	r.env["FRIGG_MY_CRM_KEY"] = "from-variable"
	step(map[string]string{"key": "from-variable", "url": "https://b.example"})
	r.env["FRIGG_MY_CRM_KEY"] = "" // set to nothing is not set
	delete(r.env, "FRIGG_MY_CRM_KEY_FILE")
	step(map[string]string{"key": "stored", "url": "https://b.example"})
	r.set("key", "")
	r.set("url", "")
	step(map[string]string{"url": "https://a.example"})
}

func TestSettings_SecretsAreSealedAtRestAndNeverShown(t *testing.T) {
	t.Parallel()
	r, _ := settingRig(t)
	r.set("key", "hunter2")
	rows, err := r.db.PluginSettings(t.Context(), "my-crm")
	if err != nil || len(rows) != 1 || !rows[0].Sealed || strings.Contains(rows[0].Value, "hunter2") {
		t.Errorf("stored %+v, %v", rows, err)
	}
	list, err := r.service.SettingsOf(t.Context(), "my-crm")
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || list[0].Value != "https://a.example" || list[0].Source != plugin.FromDefault ||
		list[1].Value != "" || list[1].Source != plugin.FromStore || list[1].Variable != "FRIGG_MY_CRM_KEY" {
		t.Errorf("got %+v", list)
	}
}

func TestSettings_WhatWasSecretIsNeverGivenAsLess(t *testing.T) {
	t.Parallel()
	r, _ := settingRig(t)
	r.set("key", "hunter2")
	r.drop("crm.wasm", moduleWith("my-crm", "1.1.0", `"settings":[{"name":"key"}]`), old)
	r.rescan()
	r.wantState("crm.wasm my-crm 1.0.0 ready serving", "crm.wasm my-crm 1.1.0 needs_approval")
	r.approve("my-crm")
	p, err := r.registry.Plugin("my-crm")
	if err != nil || p.Version != "1.1.0" {
		t.Fatalf("got %+v and %v", p, err)
	}
	if got := r.settings(p); got["key"] != "" {
		t.Errorf("the new version reads %q", got["key"])
	}
}

func TestSetSetting_Refuses(t *testing.T) {
	t.Parallel()
	r, _ := settingRig(t)
	for _, c := range []struct {
		name, plugin, setting, value string
		kind                         fault.Kind
		says                         string
	}{
		{"an unknown plugin", "none", "key", "x", fault.NotFound, "no plugin"},
		{"an unknown setting", "my-crm", "token", "x", fault.Invalid, "it has: url, key"},
		{"a long value", "my-crm", "key", strings.Repeat("x", 64<<10+1), fault.Invalid, "at most 65536 bytes"},
		{"a value that is no text", "my-crm", "key", "\xff", fault.Invalid, "must be text"},
		{"a NUL", "my-crm", "url", "a\x00b", fault.Invalid, "must be text"},
	} {
		err := r.service.SetSetting(t.Context(), c.plugin, c.setting, secret.NewText(c.value))
		if fault.KindOf(err) != c.kind || !strings.Contains(fault.PublicMessage(err), c.says) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
	r.env["FRIGG_MY_CRM_KEY_FILE"] = "/does/not/exist"
	if _, err := r.service.SettingsOf(t.Context(), "my-crm"); err == nil || strings.Contains(fault.PublicMessage(err), "/does") {
		t.Errorf("got %v, want an error that does not name the path to everybody", err)
	}
}

func TestSettings_CanBeSetBeforeApproval(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.drop("crm.wasm", module("my-crm", "1.0.0"), old)
	r.rescan()
	r.set("key", "x")
}
