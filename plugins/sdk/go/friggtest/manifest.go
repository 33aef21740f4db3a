//go:build !wasip1

package friggtest

import (
	"cmp"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/internal/wire"
)

// CheckManifest reads a manifest as strictly as the host does, and fails the test unless everything that it declares has a
// handler and every handler is declared.
func CheckManifest(t testing.TB, file string) *abi.Manifest {
	t.Helper()
	m, err := readManifest(file)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	same(t, "method", names(m.Methods, func(x abi.Method) string { return x.Name }))
	same(t, "action", names(m.Actions, func(x abi.Action) string { return x.Name }))
	forms := slices.DeleteFunc(slices.Clone(m.Actions), func(a abi.Action) bool { return !a.HasForm })
	same(t, "action form", names(forms, func(x abi.Action) string { return x.Name }))
	same(t, "event", declaredEvents(m))
	same(t, "sync", names(m.Syncs, func(x abi.Sync) string { return x.Name }))
	same(t, "route", names(m.Routes, func(x abi.Route) string { return cmp.Or(x.Event, x.Name()) }))
	for _, w := range m.Webhooks {
		if !slices.Contains(wire.Declared["event"], w.Event) && len(wire.Declared["event of webhook "+w.Name]) == 0 {
			t.Errorf("%s: the webhook %s has no handler", file, w.Name)
		}
		if verified := slices.Contains(wire.Declared["receiver"], w.Name); verified != w.Verify {
			t.Errorf("%s: the webhook %s has verify %v and a receiver %v", file, w.Name, w.Verify, verified)
		}
	}
	for export, needed := range neededExports(m) {
		if handled := slices.Contains(wire.Declared["export"], export); handled != needed {
			t.Errorf("%s: %s is needed: %v; it has a handler: %v", file, export, needed, handled)
		}
	}
	return m
}

// neededExports are those that the host calls only if the manifest does not say it as data.
func neededExports(m *abi.Manifest) map[string]bool {
	if m.Auth == nil {
		return map[string]bool{abi.ExportConfigForm: m.DynamicConfig}
	}
	return map[string]bool{
		abi.ExportIdentifyAccount: m.Auth.Identify == nil,
		abi.ExportTestAuth:        m.Auth.Test == nil && m.Auth.Kind != abi.AuthKindNone,
		abi.ExportEntityForm:      m.Auth.ChooseEntity,
	}
}

func readManifest(file string) (*abi.Manifest, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		return nil, err
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return abi.DecodeManifest(data)
}

// declaredEvents are the events that need a handler of their own: not those of webhooks, and those of the host only if
// there is one.
func declaredEvents(m *abi.Manifest) []string {
	events := names(m.Events, func(x abi.EventClaim) string { return x.Name })
	for _, s := range m.Schedules {
		events = append(events, s.Event)
	}
	for _, w := range m.Webhooks {
		if slices.Contains(wire.Declared["event"], w.Event) {
			events = append(events, w.Event)
		}
	}
	for _, e := range []string{abi.EventOnCreate, abi.EventOnUpdate, abi.EventOnDelete} {
		if slices.Contains(wire.Declared["event"], e) {
			events = append(events, e)
		}
	}
	slices.Sort(events)
	return slices.Compact(events)
}

func same(t testing.TB, what string, declared []string) {
	t.Helper()
	for _, name := range declared {
		if !slices.Contains(wire.Declared[what], name) {
			t.Errorf("the %s %s is in the manifest and has no handler", what, name)
		}
	}
	for _, name := range wire.Declared[what] {
		if !slices.Contains(declared, name) {
			t.Errorf("the %s %s has a handler and is not in the manifest", what, name)
		}
	}
}

func names[T any](list []T, name func(T) string) []string {
	var out []string
	for _, x := range list {
		out = append(out, name(x))
	}
	return out
}
