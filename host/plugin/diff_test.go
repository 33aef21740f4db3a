package plugin_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/plugin/wasm/wasmtest"
)

func inspect(t *testing.T, module []byte) *plugin.Inspection {
	t.Helper()
	in, err := plugin.Inspect(module)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// lines writes changes one to a line, as people read them.
func lines(d *plugin.Difference) []string {
	out := []string{}
	for _, c := range d.Changes {
		mark := ""
		if c.More {
			mark = "! "
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s%s %s %s: %s", mark, c.Sign, c.What, c.Name, c.Text)))
	}
	return out
}

func TestCompare_SaysWhatChangedAndWhatAsksForMore(t *testing.T) {
	t.Parallel()
	const more = settings + `,"hosts":[{"host":"a.example","reason":"Records."}],"events":[{"name":"SYNC","description":"Sync now"}]`
	base := moduleWith("crm", "1.0.0", more, "storage")
	for _, c := range []struct {
		name string
		next []byte
		want []string
		asks string
	}{
		{"nothing but the version", moduleWith("crm", "1.1.0", more, "storage"), []string{}, ""},
		{
			"a capability", moduleWith("crm", "1.1.0", more, "storage", "mapping"),
			[]string{"! added capability mapping: r", "added import frigg:host/mapping get: (i64) -> i64"},
			"capability mapping",
		},
		{
			"one capability less", moduleWith("crm", "1.1.0", more),
			[]string{"removed capability storage: r", "removed import frigg:host/storage get: (i64) -> i64"},
			"",
		},
		{
			"another host, and an event less",
			moduleWith("crm", "1.1.0", settings+`,"hosts":[{"host":"*.a.example","reason":"Files.","without_credential":true}]`, "storage"),
			[]string{"! added host *.a.example: Files.", "removed host a.example: Records.", "removed event SYNC: Sync now"},
			"host *.a.example without credential",
		},
		{
			"another reason", moduleWith("crm", "1.1.0", strings.Replace(more, "Records.", "All records.", 1), "storage"),
			[]string{"changed host a.example: reason: Records. -> All records."},
			"",
		},
		{
			"a secret that is none any more", moduleWith("crm", "1.1.0", strings.Replace(more, `"secret":true,`, "", 1), "storage"),
			[]string{"! changed secret settings.key: was kept from the plugin, which reads it now", "changed setting key: secret: no longer true"},
			"to read settings.key, which was secret",
		},
		{
			"memory", moduleWith("crm", "1.1.0", more+`,"limits":{"memory_bytes":268435456,"reason":"Large files."}`, "storage"),
			[]string{"! changed limit memory_bytes: 134217728 -> 268435456", "changed limit reason: the defaults -> Large files."},
			"268435456 bytes of memory",
		},
		{
			"a route that anybody may call",
			withManifest(wasmtest.Module{Imports: doors("storage.get"), Funcs: wasmtest.Exports("frigg_handle_event", "frigg_handle_route")},
				integration("crm", "1.1.0", more+`,"capabilities":[{"name":"storage","reason":"r"}],"routes":[{"method":"GET","path":"/x","auth":"none","summary":"Shows x."}]`)),
			[]string{"! added route GET /x: Shows x.", "added export frigg_handle_route: () -> i32"},
			"to answer anybody at GET /x",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d, err := plugin.Compare(inspect(t, base), inspect(t, c.next))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, lines(d)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if got := d.More.String(); got != c.asks {
				t.Errorf("asks for %q more, want %q", got, c.asks)
			}
		})
	}
}

func TestCompare_AHostThatMeansAnotherPlaceByDefaultAsksForMore(t *testing.T) {
	t.Parallel()
	with := func(url string) *plugin.Inspection {
		return inspect(t, moduleWith("crm", "1.0.0", `"settings":[{"name":"url","default":"`+url+`"}],"hosts":[{"host":"{{settings.url}}","reason":"r"}]`))
	}
	d, err := plugin.Compare(with("https://a.example"), with("https://b.example"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"! changed host {{settings.url}}: is now {{settings.url}} (https://b.example unless set otherwise)",
		"changed setting url: default: https://a.example -> https://b.example",
	}
	if diff := cmp.Diff(want, lines(d)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestCompare_AnotherPluginAsksForAllThatItAsksFor(t *testing.T) {
	t.Parallel()
	d, err := plugin.Compare(inspect(t, module("crm", "1.0.0", "storage")), inspect(t, module("pay", "1.0.0", "storage")))
	if err != nil || d.More.String() != "capability storage" {
		t.Errorf("got %+v and %v", d, err)
	}
}

func TestCompare_NeedsManifests(t *testing.T) {
	t.Parallel()
	broken, _ := plugin.Inspect(wasmtest.Module{}.Bytes())
	if _, err := plugin.Compare(broken, inspect(t, module("crm", "1.0.0"))); !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v", err)
	}
}

func TestRevoke_StopsAPluginUntilItIsApprovedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.drop("crm.wasm", module("crm", "1.0.0", "storage"), old)
	r.rescan()
	r.approve("crm")
	r.drop("crm.wasm", module("crm", "1.1.0", "storage"), old) // what carried over goes too
	r.rescan()
	r.wantServing("crm", "1.1.0")
	if err := r.service.Revoke(t.Context(), "crm"); err != nil {
		t.Fatal(err)
	}
	r.wantState("crm.wasm crm 1.1.0 needs_approval")
	if err := r.service.Revoke(t.Context(), "crm"); !fault.Is(err, fault.NotFound) {
		t.Errorf("again: %v", err)
	}
	r.start()
	r.rescan()
	r.wantState("crm.wasm crm 1.1.0 needs_approval")
	r.approve("crm")
	r.wantServing("crm", "1.1.0")
}

func TestUpgrade_ComparesWhatServesWithWhatWaits(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.drop("crm.wasm", module("crm", "1.0.0", "storage"), old)
	r.rescan()
	r.approve("crm")
	if _, err := r.service.Upgrade(t.Context(), "crm", ""); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v, want that nothing waits", err)
	}
	r.drop("crm.wasm", module("crm", "2.0.0", "storage", "queue"), old)
	d, err := r.service.Upgrade(t.Context(), "crm", "")
	if err != nil || d.Old.Version != "1.0.0" || d.New.Version != "2.0.0" || d.More.String() != "capability queue" {
		t.Errorf("got %+v and %v", d, err)
	}
	if in, err := r.service.Look(t.Context(), string(d.Old.Digest)); err != nil || in.Manifest.Version != "1.0.0" {
		t.Errorf("got %+v and %v", in, err)
	}
	if _, err := r.service.Look(t.Context(), "nothing"); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
}
