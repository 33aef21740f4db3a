package guest

import (
	"context"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/guest/javascript/quickjs"
	"github.com/frigg-host/frigg-host/host/plugin/wasm"
)

// script packs a program as `plugin pack` does.
func script(t testing.TB, source string, exports ...string) []byte {
	t.Helper()
	section, err := quickjs.New(exports, source).Encode()
	if err != nil {
		t.Fatal(err)
	}
	module, err := wasm.SetCustom(quickjs.Engine(), quickjs.Section, section)
	if err != nil {
		t.Fatal(err)
	}
	return module
}

const program = `
let calls = 0;
globalThis.leak = [];
export async function count() { calls++; leak.push("x".repeat(1000)); return { calls, leaked: leak.length, at: Date.now() }; }
const send = async (capability, input) => JSON.parse(frigg.call(capability, "send", JSON.stringify(input)));
export async function ask(input) { const [a, b] = await Promise.all([send("http", input), send("nothing", input)]); return [a.value, b.fault.kind]; }
export function fail() { throw new TypeError("no luck"); }
export function spin() { for (;;); }
export function deep() { return deep() + 1; }
export function random() { return [...crypto.getRandomValues(new Uint8Array(16))]; }
`

func TestScript_IsCalledCleanEveryTime(t *testing.T) {
	t.Parallel()
	e := open(t, Config{Imports: []Import{sendImport}, Now: func() time.Time { return time.UnixMilli(1_777_000_000_123) }})
	m, err := e.Compile(context.Background(), script(t, program, "count", "ask", "fail", "spin", "deep", "random"))
	if err != nil {
		t.Fatal(err)
	}
	if d := m.Describe(); d.Isolation == Fresh {
		t.Fatalf("it is set up for each call: %s", d.Why)
	}
	call := func(export string) (Result, error) {
		return m.Call(context.Background(), Call{Plugin: "js", Export: export, Input: []byte(`{"a":1}`), Limits: Limits{Timeout: 2 * time.Second},
			Host: func(_ context.Context, im Import, request []byte) []byte {
				return []byte(`{"value":` + string(request) + `}`)
			}})
	}
	const clean = `{"value":{"calls":1,"leaked":1,"at":1777000000123}}`
	fuel := map[string]int64{}
	for range 3 {
		for export, want := range map[string]string{"count": clean, "ask": `{"value":[{"a":1},"unsupported"]}`} {
			r, err := call(export)
			if err != nil || string(r.Output) != want {
				t.Fatalf("%s: %s, %v", export, r.Output, err)
			}
			if fuel[export] != 0 && fuel[export] != r.Fuel {
				t.Errorf("%s spent %d and %d", export, fuel[export], r.Fuel)
			}
			fuel[export] = r.Fuel
		}
		_, err := call("fail")
		if err := wantStop(err, ReasonFailed, fault.Internal, fault.Guest, "guest js: TypeError: no luck"); err != nil {
			t.Error(err)
		}
		if _, err := call("spin"); ReasonOf(err) != ReasonDeadline {
			t.Errorf("spin: %v", err)
		}
		if _, err := call("deep"); ReasonOf(err) != ReasonTrap {
			t.Errorf("deep: %v", err)
		}
	}
	a, _ := call("random")
	b, _ := call("random")
	if len(a.Output) == 0 || string(a.Output) == string(b.Output) {
		t.Errorf("random: %s and %s", a.Output, b.Output)
	}
}
