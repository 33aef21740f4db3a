package storetest

import (
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/store"
)

func runPlugin(t *testing.T, open func(t *testing.T) *store.DB) {
	for name, test := range map[string]func(t *testing.T, s plugin.Store){
		"GrantsComeBackAsSaved":       grantsComeBackAsSaved,
		"RevokedGrantsAreGone":        revokedGrantsAreGone,
		"InstallAndItsGrantAreOneAct": installAndItsGrantAreOneAct,
		"LastInstallOfANameCounts":    lastInstallOfANameCounts,
		"SettingsAreOfOnePlugin":      settingsAreOfOnePlugin,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func grantOf(digest plugin.Digest) *plugin.Grant {
	return &plugin.Grant{Name: "crm", Digest: digest, By: "ada", At: noon, Ask: plugin.Ask{
		Capabilities: []string{"http"}, Hosts: []plugin.Host{{Pattern: "{{settings.url}}", Default: "https://a.example", WithoutCredential: true}},
		Limits: plugin.Limits{TimeoutMS: 1, MemoryBytes: 1 << 40, OutputBytes: 3}, Secrets: []string{"settings.key"},
	}}
}

func grantsComeBackAsSaved(t *testing.T, s plugin.Store) {
	none, err := s.PluginGrants(t.Context())
	must(t, err)
	same(t, len(none), 0)
	a, b := grantOf("sha256:a"), grantOf("sha256:b")
	must(t, s.PluginApproved(t.Context(), b))
	must(t, s.PluginApproved(t.Context(), a))
	a.By, a.Hosts = "bob", nil
	must(t, s.PluginApproved(t.Context(), a))
	got, err := s.PluginGrants(t.Context())
	must(t, err)
	same(t, got, []*plugin.Grant{a, b})
}

func revokedGrantsAreGone(t *testing.T, s plugin.Store) {
	other := grantOf("sha256:c")
	other.Name = "pay"
	for _, g := range []*plugin.Grant{grantOf("sha256:a"), grantOf("sha256:b"), other} {
		must(t, s.PluginApproved(t.Context(), g))
	}
	for _, want := range []int{2, 0} {
		n, err := s.PluginRevoked(t.Context(), "crm")
		must(t, err)
		same(t, n, want)
	}
	got, err := s.PluginGrants(t.Context())
	must(t, err)
	same(t, got, []*plugin.Grant{other})
}

func installAndItsGrantAreOneAct(t *testing.T, s plugin.Store) {
	in := &plugin.Install{Name: "crm", Digest: "sha256:a", File: "crm.wasm", At: noon}
	must(t, s.PluginInstalled(t.Context(), in, grantOf("sha256:a")))
	installs, err := s.PluginInstalls(t.Context())
	must(t, err)
	same(t, installs, []*plugin.Install{in})
	grants, err := s.PluginGrants(t.Context())
	must(t, err)
	same(t, grants, []*plugin.Grant{grantOf("sha256:a")})
}

func lastInstallOfANameCounts(t *testing.T, s plugin.Store) {
	other := &plugin.Install{Name: "pay", Digest: "sha256:c", File: "pay.wasm", At: noon}
	last := &plugin.Install{Name: "crm", Digest: "sha256:b", File: "crm-2.wasm", At: noon.Add(time.Hour)}
	for _, in := range []*plugin.Install{{Name: "crm", Digest: "sha256:a", File: "crm.wasm", At: noon}, other, last} {
		must(t, s.PluginInstalled(t.Context(), in, nil))
	}
	installs, err := s.PluginInstalls(t.Context())
	must(t, err)
	same(t, installs, []*plugin.Install{last, other})
	must(t, s.PluginRemoved(t.Context(), "crm"))
	must(t, s.PluginRemoved(t.Context(), "crm"))
	installs, err = s.PluginInstalls(t.Context())
	must(t, err)
	same(t, installs, []*plugin.Install{other})
}

func settingsAreOfOnePlugin(t *testing.T, s plugin.Store) {
	url := &plugin.StoredSetting{Plugin: "crm", Name: "url", Value: "https://a.example", At: noon}
	key := &plugin.StoredSetting{Plugin: "crm", Name: "key", Value: "v1.sealed", Sealed: true, At: noon}
	other := &plugin.StoredSetting{Plugin: "crm-2", Name: "key", Value: "plain", At: noon}
	for _, row := range []*plugin.StoredSetting{{Plugin: "crm", Name: "key", Value: "old", At: noon.Add(-time.Hour)}, url, key, other} {
		must(t, s.PluginSettingSet(t.Context(), row))
	}
	got, err := s.PluginSettings(t.Context(), "crm")
	must(t, err)
	same(t, got, []*plugin.StoredSetting{key, url})
	must(t, s.PluginSettingCleared(t.Context(), "crm", "key"))
	must(t, s.PluginSettingCleared(t.Context(), "crm", "key"))
	got, err = s.PluginSettings(t.Context(), "crm")
	must(t, err)
	same(t, got, []*plugin.StoredSetting{url})
	got, err = s.PluginSettings(t.Context(), "crm-2")
	must(t, err)
	same(t, got, []*plugin.StoredSetting{other})
}
