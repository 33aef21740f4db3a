package javascript_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/host/guest/javascript"
	"github.com/frigg-host/frigg-host/host/guest/javascript/javascripttest"
	"github.com/frigg-host/frigg-host/host/guest/javascript/quickjs"
)

func booted(t testing.TB, source string, exports ...string) *javascripttest.Guest {
	t.Helper()
	return javascripttest.Boot(t, quickjs.New(exports, source))
}

func TestCall_AnswersWhatTheExportReturns(t *testing.T) {
	g := booted(t, `
		export const frigg_plain = (input) => ({ got: input.x + 1 });
		export async function frigg_async(input) { await null; return input }
		export function frigg_nothing() {}
		export const frigg_list = () => [1, "\u0000", null];`,
		"frigg_plain", "frigg_async", "frigg_nothing", "frigg_list")
	for _, tc := range []struct{ export, input, want string }{
		{"frigg_plain", `{"x":1}`, `{"value":{"got":2}}`},
		{"frigg_async", `{"x":"é€😀\u0000"}`, `{"value":{"x":"é€😀\u0000"}}`},
		{"frigg_nothing", `{}`, `{"value":{}}`},
		{"frigg_list", `null`, `{"value":[1,"\u0000",null]}`},
	} {
		if got := g.Said(tc.export, tc.input); got != tc.want {
			t.Errorf("%s: %s", tc.export, got)
		}
	}
}

func TestCall_AnswersFaultsThatAreThrown(t *testing.T) {
	g := booted(t, `
		class FriggError extends Error { constructor(fault) { super(fault.message); this.fault = fault } }
		export async function frigg_a() { throw new FriggError({ kind: "not_found", message: "gone" }) }`, "frigg_a")
	if got := g.Said("frigg_a", `{}`); got != `{"fault":{"kind":"not_found","message":"gone"}}` {
		t.Error(got)
	}
}

func TestCall_CapabilitiesAreAnsweredToPromises(t *testing.T) {
	g := booted(t, `
		const ask = async (verb, request) => JSON.parse(frigg.call("storage", verb, JSON.stringify(request))).value;
		export async function frigg_a(input) {
			const first = await ask("get", { key: input.key });
			const both = await Promise.all([ask("put", { key: "b", value: first.n }), ask("list", {})]);
			return { first, both };
		}`, "frigg_a")
	c, err := g.Call("frigg_a", `{"key":"ä"}`, func(function, request string) string {
		return fmt.Sprintf(`{"value":{"n":%d}}`, len(function)+1+len(request))
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`storage.get {"key":"ä"}`, `storage.put {"key":"b","value":24}`, `storage.list {}`}
	if diff := cmp.Diff(want, c.Asked); diff != "" {
		t.Error(diff)
	}
	if c.Out != `{"value":{"first":{"n":24},"both":[{"n":34},{"n":15}]}}` {
		t.Error(c.Out)
	}
}

func TestCall_ExceptionsHaveMessageAndStack(t *testing.T) {
	g := booted(t, `
		function inner() { return undefined.x }
		export async function frigg_type() { await null; inner() }
		export function frigg_text() { throw "plain" }
		export function frigg_object() { throw { code: 7 } }
		export function frigg_hostile() { throw new Proxy({}, { get() { throw 1 }, getPrototypeOf() { throw 2 } }) }
		export function frigg_circle() { const a = {}; a.a = a; return a }
		export function frigg_function() { return () => 1 }
		export function frigg_microtask() { queueMicrotask(() => { throw new RangeError("late") }); return {} }
		export function frigg_fault() { throw Object.assign(new Error("x"), { fault: { kind: "invalid", toJSON() { throw 1 } } }) }`,
		"frigg_type", "frigg_text", "frigg_object", "frigg_hostile", "frigg_circle", "frigg_function", "frigg_microtask", "frigg_fault")
	for _, tc := range []struct{ export, message, stack string }{
		{"frigg_type", "TypeError: cannot read property 'x' of undefined", "inner (plugin.js:2:"},
		{"frigg_text", "thrown: plain", ""},
		{"frigg_object", `thrown: {"code":7}`, ""},
		{"frigg_hostile", "an exception that cannot be shown", ""},
		{"frigg_circle", "TypeError: circular reference", ""},
		{"frigg_function", "TypeError: the export returned something that JSON cannot say", ""},
		{"frigg_microtask", "RangeError: late", "plugin.js:9"},
		{"frigg_fault", "Error: x", ""},
	} {
		c, err := g.Call(tc.export, `{}`, nil)
		var e *javascript.Exception
		if !errors.As(err, &e) || e.Message != tc.message || !strings.Contains(e.Stack, tc.stack) {
			t.Errorf("%s: %v", tc.export, err)
		}
		if c.Out != "" && tc.export != "frigg_microtask" {
			t.Errorf("%s: answered %s", tc.export, c.Out)
		}
	}
}

func TestCall_RejectionsThatNobodyHandlesAreErrors(t *testing.T) {
	g := booted(t, `
		const later = async () => { await null; throw new Error("forgotten") };
		export function frigg_lost() { later(); later(); return 1 }
		export async function frigg_late() { const p = Promise.reject(new Error("seen")); await null; await null; return p.catch((e) => e.message) }
		export async function frigg_many() { return (await Promise.allSettled(Array.from({ length: 5000 }, later))).length }`,
		"frigg_lost", "frigg_late", "frigg_many")
	_, err := g.Call("frigg_lost", `{}`, nil)
	var e *javascript.Exception
	if !errors.As(err, &e) || e.Message != "Error: forgotten" {
		t.Errorf("lost: %v", err)
	}
	if got := g.Said("frigg_late", `{}`); got != `{"value":"seen"}` {
		t.Error(got)
	}
	if got := g.Said("frigg_many", `{}`); got != `{"value":5000}` {
		t.Error(got)
	}
}

func TestCall_APromiseThatNeverSettlesIsAnError(t *testing.T) {
	g := booted(t, `export const frigg_a = () => new Promise(() => {})`, "frigg_a")
	_, err := g.Call("frigg_a", `{}`, nil)
	var e *javascript.Exception
	if !errors.As(err, &e) || !strings.Contains(e.Message, "frigg_a never settles") {
		t.Error(err)
	}
}

func TestCall_TakesLargeInputs(t *testing.T) {
	g := booted(t, `export const frigg_a = (input) => ({ n: input.text.length, text: input.text })`, "frigg_a")
	text := strings.Repeat("aß", 1<<19)
	got := g.Said("frigg_a", `{"text":"`+text+`"}`)
	if want := fmt.Sprintf(`{"value":{"n":%d,"text":"%s"}}`, 1<<20, text); got != want {
		t.Errorf("%d bytes, not %d", len(got), len(want))
	}
}

func TestCall_InputThatIsNotJSONIsAnError(t *testing.T) {
	g := booted(t, `export const frigg_a = () => 1`, "frigg_a")
	for _, input := range []string{"", "{", "\xff"} {
		if _, err := g.Call("frigg_a", input, nil); err == nil {
			t.Errorf("%q is taken", input)
		}
	}
	if _, err := g.Call("frigg_b", "{}", nil); err == nil || !strings.Contains(err.Error(), `does not export "frigg_b"`) {
		t.Error(err)
	}
}

func TestConsole_GoesToTheLog(t *testing.T) {
	g := booted(t, `export function frigg_a() {
		console.log("a", 1, { b: [2] }, null, undefined, Symbol("s"));
		console.debug("d"); console.warn("w"); console.error(new Error("e"));
		console.info(new Proxy({}, { get() { throw 1 } }));
	}`, "frigg_a")
	c, err := g.Call("frigg_a", `{}`, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Logged[3], _, _ = strings.Cut(c.Logged[3], "\n")
	want := []string{`1 a 1 {"b":[2]} null undefined Symbol(s)`, "0 d", "2 w", "3 Error: e", "1 [a value that cannot be shown]"}
	if diff := cmp.Diff(want, c.Logged); diff != "" {
		t.Error(diff)
	}
}

func TestClockAndRandomness_AreTheHosts(t *testing.T) {
	g := booted(t, `const early = Math.random();
		export const frigg_a = () => ({ now: Date.now(), x: Math.random(), early, id: crypto.randomUUID(), hex: crypto.getRandomValues(new Uint8Array(4)).toHex() })`, "frigg_a")
	one, two := g.Said("frigg_a", `{}`), g.Said("frigg_a", `{}`)
	if one != two || !strings.Contains(one, `"now":1700000000000,`) {
		t.Error(one, two)
	}
	other := javascripttest.NewCall(t.Context(), `{}`)
	other.Source = rand.NewChaCha8([32]byte{9})
	g.Restore()
	if err := g.Run(other, "frigg_a"); err != nil || other.Out == one {
		t.Error(err, other.Out)
	}
}

func TestText_IsCodedAsOnTheWeb(t *testing.T) {
	g := booted(t, `
		const hex = (text) => new TextEncoder().encode(text).toHex();
		const text = (hex, options) => new TextDecoder("utf-8", options).decode(Uint8Array.fromHex(hex));
		const fails = (f) => { try { f(); return false } catch (e) { return e instanceof TypeError } };
		export const frigg_a = () => ({
			encoded: hex("aß€😀\ud800"), decoded: text("efbbbf61c39fe282acf09f9880"), mark: text("efbbbf61", { ignoreBOM: true }).length,
			// the examples of the Unicode standard for replacing maximal subparts
			parts: text("c0afe080bff08182416142"), parts2: text("eda080edbfbfedaf41"), parts3: text("f4919293ff4180bf42"), parts4: text("e180e2f09192f1bf41"),
			fatal: fails(() => text("ff", { fatal: true })), cut: text("f09f98"), long: text("61".repeat(10000)).length, base64: btoa("hi"),
		})`, "frigg_a")
	got := g.Said("frigg_a", `{}`)
	r := "\ufffd"
	want := `{"value":{"encoded":"61c39fe282acf09f9880efbfbd","decoded":"aß€😀","mark":2,` +
		`"parts":"` + strings.Repeat(r, 8) + `AaB","parts2":"` + strings.Repeat(r, 8) + `A","parts3":"` + strings.Repeat(r, 5) + `A` + r + r + `B","parts4":"` + strings.Repeat(r, 4) + `A",` +
		`"fatal":true,"cut":"` + r + `","long":10000,"base64":"aGk="}}`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestURLSearchParams_IsThatOfTheWeb(t *testing.T) {
	g := booted(t, `
		const text = (...x) => new URLSearchParams(...x).toString();
		export const frigg_a = () => {
			const p = new URLSearchParams("?a=1&b=%C3%A9+x&a=2&&c&d=%zz%&e=%ff");
			const q = new URLSearchParams(p);
			q.set("a", 3); q.delete("c"); q.append("f", "&=+ ~*'()!"); q.sort();
			return [[...p], p.get("a"), p.getAll("a"), p.get("none"), p.has("c", ""), p.has("a", "9"), p.size, q.toString(),
				text({ x: 1, y: "ü" }), text([["k", "v"], ["k", "w"]]), text(new Map([["m", 1]])), text(), Array.from(p.keys()).length];
		}`, "frigg_a")
	got := g.Said("frigg_a", `{}`)
	want := `{"value":[[["a","1"],["b","é x"],["a","2"],["c",""],["d","%zz%"],["e","\ufffd"]],"1",["1","2"],null,true,false,6,` +
		`"a=3&b=%C3%A9+x&d=%25zz%25&e=%EF%BF%BD&f=%26%3D%2B+%7E*%27%28%29%21","x=1&y=%C3%BC","k=v&k=w","m=1","",6]}`
	if diff := cmp.Diff(strings.ReplaceAll(want, `\ufffd`, "\ufffd"), got); diff != "" {
		t.Error(diff)
	}
}

func TestBoot_IsDeterministic(t *testing.T) {
	program := quickjs.New([]string{"frigg_a"}, `const now = Date.now(), x = Math.random(), id = crypto.randomUUID(), m = new Map([[{}, 1]]);
		export const frigg_a = async () => ({ now, x, id, all: [Math.random(), m.size] })`)
	first := javascripttest.Boot(t, program)
	said := first.Said("frigg_a", "{}")
	for name, machine := range map[string]*javascripttest.Machine{
		"again": javascripttest.Stoppable(), "another compiler": javascripttest.Fast(), "interpreter": javascripttest.Interpreter(),
	} {
		g, err := javascripttest.Load(t, machine, program)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Image, g.Image) || first.Stack != g.Stack {
			t.Errorf("%s: another memory", name)
		}
		if got := g.Said("frigg_a", "{}"); got != said {
			t.Errorf("%s: %s, not %s", name, got, said)
		}
		if !bytes.Equal(first.Memory(), g.Memory()) {
			t.Errorf("%s: another memory after a call", name)
		}
	}
}

func TestBoot_SaysWhatIsWrongWithAProgram(t *testing.T) {
	for name, tc := range map[string]struct{ source, want string }{
		"syntax":     {"export const frigg_a = ;", "SyntaxError"},
		"throws":     {"throw new TypeError('no'); export const frigg_a = 1", "TypeError: no"},
		"no export":  {"export const frigg_b = () => 1", "does not export a function frigg_a"},
		"no func":    {"export const frigg_a = 1", "does not export a function frigg_a"},
		"import":     {"import 'x'; export const frigg_a = () => 1", "'x'"},
		"waits":      {"await new Promise(() => {}); export const frigg_a = () => 1", "never settles"},
		"capability": {"frigg.call('http', 'send', '{}'); export const frigg_a = () => 1", "cannot be used while the plugin is loaded"},
		"rejects":    {"Promise.reject(new Error('lost')); export const frigg_a = () => 1", "Error: lost"},
	} {
		_, err := javascripttest.Load(t, javascripttest.Stoppable(), quickjs.New([]string{"frigg_a"}, tc.source))
		var e *javascript.Exception
		if !errors.As(err, &e) || !strings.Contains(e.Message, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBoot_KnowsTopLevelAwait(t *testing.T) {
	g := booted(t, "const x = await Promise.resolve(7); export const frigg_a = () => x", "frigg_a")
	if got := g.Said("frigg_a", `{}`); got != `{"value":7}` {
		t.Error(got)
	}
}

func TestCall_WorksOnAnInstanceBootedElsewhere(t *testing.T) {
	const source = `export const frigg_a = () => 7`
	g := booted(t, source, "frigg_a")
	g.Renew()
	if got := g.Said("frigg_a", `{}`); got != `{"value":7}` {
		t.Error(got)
	}
	never := booted(t, source, "frigg_a")
	clear(never.Image)
	never.Renew()
	if _, err := never.Call("frigg_a", `{}`, nil); err == nil {
		t.Error("an instance that was never booted is taken")
	}
}
