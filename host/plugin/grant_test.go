package plugin_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/plugin"
)

func manifest() *abi.Manifest {
	return &abi.Manifest{
		Capabilities: []abi.CapabilityClaim{{Name: "http"}},
		Hosts:        []abi.HostClaim{{Host: "{{settings.url}}"}, {Host: "files.example", WithoutCredential: true}},
		Settings:     []abi.Setting{{Name: "url", Default: "https://a.example"}, {Name: "key", Secret: true}},
		Limits:       &abi.LimitClaim{MemoryBytes: 256 << 20, Reason: "r"},
		Auth: &abi.Auth{
			Kind: abi.AuthKindAPIKey, Keep: []abi.Keep{{Name: "session", Secret: true}},
			Form: &abi.Form{JSONSchema: []byte(`{"type":"object","properties":{"token":{"type":"string","format":"password"}}}`)},
		},
	}
}

func TestMissingFrom_NamesWhatGrew(t *testing.T) {
	t.Parallel()
	granted := &plugin.Grant{Ask: plugin.AskOf(manifest())}
	for _, c := range []struct {
		name   string
		change func(*abi.Manifest)
		want   string
	}{
		{"nothing", func(*abi.Manifest) {}, ""},
		{"less of all", func(m *abi.Manifest) { *m = abi.Manifest{} }, ""},
		{"only a reason", func(m *abi.Manifest) { m.Capabilities[0].Reason = "another" }, ""},
		{"a capability", func(m *abi.Manifest) { m.Capabilities = append(m.Capabilities, abi.CapabilityClaim{Name: "crypto"}) }, "capability crypto"},
		{"a host", func(m *abi.Manifest) { m.Hosts = append(m.Hosts, abi.HostClaim{Host: "b.example"}) }, "host b.example"},
		{"a wider host", func(m *abi.Manifest) { m.Hosts[1].Host = "*.files.example" }, "host *.files.example without credential"},
		{"the credential to a host that had none", func(m *abi.Manifest) { m.Hosts[1].WithoutCredential = false }, "host files.example"},
		{"no credential any more", func(m *abi.Manifest) { m.Hosts[0].WithoutCredential = true }, ""},
		{
			"another address behind a setting", func(m *abi.Manifest) { m.Settings[0].Default = "https://evil.example" },
			"host {{settings.url}} (https://evil.example unless set otherwise)",
		},
		{"more memory", func(m *abi.Manifest) { m.Limits.MemoryBytes = 512 << 20 }, "536870912 bytes of memory"},
		{"less memory", func(m *abi.Manifest) { m.Limits = nil }, ""},
		{"more time", func(m *abi.Manifest) { m.Limits.TimeoutMS = 60_000 }, "60000 ms for a call"},
		{"a secret setting to read", func(m *abi.Manifest) { m.Settings[1].Secret = false }, "to read settings.key, which was secret"},
		{
			"a secret field to read", func(m *abi.Manifest) { m.Auth.Form.JSONSchema = []byte(`{"type":"object","properties":{"token":{}}}`) },
			"to read form.token, which was secret",
		},
		{"a secret token to read", func(m *abi.Manifest) { m.Auth.Keep[0].Secret = false }, "to read credential.session, which was secret"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := manifest()
			c.change(m)
			missing := plugin.MissingFrom(m, granted)
			if missing.String() != c.want || missing.None() != (c.want == "") {
				t.Errorf("got %q, want %q", missing, c.want)
			}
		})
	}
}

func TestMissingFrom_WithoutAGrantIsAllThatIsAskedFor(t *testing.T) {
	t.Parallel()
	want := plugin.Missing{
		Capabilities: []string{"http"}, Limits: []string{"268435456 bytes of memory"},
		Hosts: []plugin.Host{{Pattern: "{{settings.url}}", Default: "https://a.example"}, {Pattern: "files.example", WithoutCredential: true}},
	}
	if diff := cmp.Diff(want, plugin.MissingFrom(manifest(), nil)); diff != "" {
		t.Error(diff)
	}
}
