package guest

import (
	"context"
	"math/rand/v2"
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
		return m.Call(context.Background(), Call{
			Plugin: "js", Export: export, Input: []byte(`{"a":1}`), Limits: Limits{Timeout: 2 * time.Second},
			Host: func(_ context.Context, im Import, request []byte) []byte {
				return []byte(`{"value":` + string(request) + `}`)
			},
		})
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

const messy = `
let calls = 0;
export function state() { calls++; return { calls, poisoned: "tenant" in Object.prototype, parse: typeof JSON.parse }; }
export function poison() { Object.prototype.tenant = "secret of a tenant"; JSON.parse = null; globalThis.console = undefined; Promise.prototype.then = 1; return {}; }
export function grow() { globalThis.kept = Array.from({ length: 200 }, (_, i) => "secret of a tenant ".repeat(1000) + i); return {}; }
export function fail() { throw new Error("no luck"); }
export function spin() { for (;;); }
export function deep() { return deep() + 1; }
export async function ask() { return { said: frigg.call("http", "send", "{}").length }; }
export async function reject() { Promise.reject(new Error("nobody looks")); return {}; }
export function never() { return new Promise(() => {}); }
export function random() { return [Math.random(), ...crypto.getRandomValues(new Uint8Array(8)), Date.now()]; }
`

// TestIsolation_NothingOfAScriptIsLeft: as for compiled guests.
func TestIsolation_NothingOfAScriptIsLeft(t *testing.T) {
	t.Parallel()
	if underRace {
		t.Skip("the race detector watches the compiler, too")
	}
	e := open(t, Config{Imports: []Import{sendImport}, CacheDir: cacheDir()}).(*native)
	m := compiledBytes(t, e, script(t, messy, "state", "poison", "grow", "fail", "spin", "deep", "ask", "reject", "never", "random"))
	if m.template == nil {
		t.Fatal(m.why)
	}
	mix := []struct {
		export string
		limits Limits
		host   HostFunc
		want   Reason
	}{
		{export: "state"},
		{export: "poison"},
		{export: "grow"},
		{export: "grow", limits: Limits{MemoryBytes: m.template.image.Size()}, want: ReasonMemory},
		{export: "fail", want: ReasonFailed},
		{export: "spin", limits: Limits{Fuel: 100_000}, want: ReasonFuel},
		{export: "spin", limits: instant, want: ReasonDeadline},
		{export: "deep", want: ReasonTrap},
		{export: "ask", host: answering},
		{export: "ask", host: panicking, want: ReasonHost},
		{export: "reject", want: ReasonFailed},
		{export: "never", want: ReasonFailed},
		{export: "random"},
	}
	input := []byte(`{"tenant":"` + string(answering(context.Background(), Import{}, nil)) + `"}`)
	pick := rand.New(rand.NewPCG(3, 4))
	looked := 0
	for n := range times(t, 300) {
		c := mix[pick.IntN(len(mix))]
		_, err := m.Call(context.Background(), Call{Plugin: "js", Export: c.export, Input: input, Limits: c.limits, Host: c.host})
		if ReasonOf(err) != c.want {
			t.Fatalf("call %d: %s ended with %q and not %q: %v", n, c.export, ReasonOf(err), c.want, err)
		}
		if n%7 != 0 {
			continue
		}
		for _, i := range e.pool.idleOf(m) {
			looked++
			if err := i.traces(); err != nil {
				t.Fatalf("after call %d of %s: %v", n, c.export, err)
			}
		}
		r, err := m.Call(context.Background(), Call{Plugin: "js", Export: "state", Input: []byte(`{}`)})
		if err != nil || string(r.Output) != `{"value":{"calls":1,"poisoned":false,"parse":"function"}}` {
			t.Fatalf("after call %d of %s: %s, %v", n, c.export, r.Output, err)
		}
	}
	if looked == 0 {
		t.Error("no instance was looked at")
	}
}
