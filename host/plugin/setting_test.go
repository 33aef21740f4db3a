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
	r.env["FRIGG_PLUGIN_MY_CRM__KEY__FILE"] = file
	step(map[string]string{"key": "from-file", "url": "https://b.example"})
	r.env["FRIGG_PLUGIN_MY_CRM__KEY"] = "from-variable"
	step(map[string]string{"key": "from-variable", "url": "https://b.example"})
	r.env["FRIGG_PLUGIN_MY_CRM__KEY"] = "" // set to nothing is not set
	delete(r.env, "FRIGG_PLUGIN_MY_CRM__KEY__FILE")
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
		list[1].Value != "" || list[1].Source != plugin.FromStore || list[1].Variable != "FRIGG_PLUGIN_MY_CRM__KEY" {
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
	r.env["FRIGG_PLUGIN_MY_CRM__KEY__FILE"] = "/does/not/exist"
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

func TestVariable_IsOfOneSettingOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ plugin, setting, want string }{
		{"crm", "key", "FRIGG_PLUGIN_CRM__KEY"},
		{"gitea-client", "secret", "FRIGG_PLUGIN_GITEA_CLIENT__SECRET"},
		{"gitea", "client_secret", "FRIGG_PLUGIN_GITEA__CLIENT_SECRET"},
		{"crm", "key_file", "FRIGG_PLUGIN_CRM__KEY_FILE"},
		{"a--b", "c", ""},
		{"a", "b__c", ""},
		{"a-", "b", ""},
		{"a", "b_", ""},
		{"a", "b__file", ""},
	} {
		if got := plugin.Variable(c.plugin, c.setting); got != c.want {
			t.Errorf("%s of %s: got %q, want %q", c.setting, c.plugin, got, c.want)
		}
	}
}

// Every pair of short legal names, and the file variables too.
func TestVariable_NeverCollides(t *testing.T) {
	t.Parallel()
	words := func(joint string) []string {
		all, last := []string{"a", "file"}, []string{"a"}
		for range 4 {
			var longer []string
			for _, w := range last {
				longer = append(longer, w+"a", w+joint, w+joint+"file")
			}
			all, last = append(all, longer...), longer
		}
		return all
	}
	owners := map[string]string{}
	for _, p := range words("-") {
		for _, s := range words("_") {
			name := plugin.Variable(p, s)
			if name == "" {
				continue
			}
			for _, v := range []string{name, name + "__FILE"} {
				if owner := owners[v]; owner != "" && owner != p+" "+s {
					t.Fatalf("%s is of %s and of %s %s", v, owner, p, s)
				}
				owners[v] = p + " " + s
			}
		}
	}
	if len(owners) < 1000 {
		t.Errorf("looked at %d names only", len(owners))
	}
}

func TestSettings_NeverReadTheHostsOwnVariablesNorThoseOfOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.drop("backend.wasm", moduleWith("backend", "1.0.0", `"settings":[{"name":"key"}]`), old)
	r.drop("gitea.wasm", moduleWith("gitea", "1.0.0", `"settings":[{"name":"client_secret"},{"name":"x_file"},{"name":"x"}]`), old)
	r.rescan()
	r.approve("backend")
	r.approve("gitea")
	for _, name := range []string{"FRIGG_BACKEND_KEY", "FRIGG_KEY", "FRIGG_GITEA_CLIENT_SECRET", "FRIGG_PLUGIN_GITEA_CLIENT__SECRET"} {
		r.env[name] = "not for this plugin"
	}
	r.env["FRIGG_PLUGIN_GITEA__X_FILE"] = "a value"
	for name, want := range map[string]map[string]string{"backend": {}, "gitea": {"x_file": "a value"}} {
		p, err := r.registry.Plugin(name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, r.settings(p)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}
