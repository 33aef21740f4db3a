package javascript_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/guest/javascript"
	"github.com/frigg-host/frigg-host/host/guest/javascript/javascripttest"
)

// hostile are programs that try to break the host. Whatever they do, the call ends, and the next one finds a clean instance.
var hostile = map[string]string{
	"recursion":           `const f = () => f() + 1; f()`,
	"recursion by JSON":   `let a = []; for (let i = 0; i < 2000; i++) a = [a]; JSON.stringify(a)`,
	"recursion by RegExp": `new RegExp("(".repeat(1e5) + ")".repeat(1e5)).test("a")`,
	"recursion by eval":   `eval("[".repeat(1e6))`,
	"recursion by toJSON": `const a = { toJSON() { return JSON.stringify(a) } }; return a`,
	"recursion by proxy":  `let p = {}; for (let i = 0; i < 1e5; i++) p = new Proxy(p, {}); p.x`,
	"huge string":         `let s = "x"; for (;;) s += s`,
	"huge array":          `const a = []; for (;;) a.push(new Uint8Array(1 << 20).fill(1))`,
	"huge output":         `return "x".repeat(1 << 22)`,
	"huge request":        `frigg.call("x".repeat(1 << 20), "y", "z".repeat(1 << 22))`,
	"huge error":          `throw new Error("x".repeat(1 << 22))`,
	"huge randomness":     `crypto.getRandomValues(new Uint8Array(1 << 20))`,
	"hostile arguments":   `frigg.call({ toString() { return frigg.call("a", "b", { toString() { throw 1 } }) } }, Symbol(), null)`,
	"hostile request":     `let n = 0; const r = { toString() { return n++ < 1e5 ? frigg.call(r, r, r) : "x" } }; frigg.call(r, r, r)`,
	"hostile answer":      `return { get a() { throw { get message() { throw 1 } } } }`,
	"hostile thenable":    `return { then(f) { f({ then(g) { throw new Proxy(Error, {}) } }) } }`,
	"endless thenable":    `const t = { then(f) { f() } }; return { then() {} }`,
	"poisoned prototypes": `for (const k of ["then", "toJSON", "fault", "get", "set"]) Object.defineProperty(Object.prototype, k, { get() { throw k }, configurable: true }); throw new Error("x")`,
	"poisoned globals":    `for (const k of Object.getOwnPropertyNames(globalThis)) try { globalThis[k] = undefined } catch {}; return 1`,
	"poisoned promise":    `Promise.prototype.then = () => { throw 1 }; Promise.resolve = 1; Array.prototype.map = () => { throw 2 }; console.log(1); await 1; return 2`,
	"frozen world":        `for (const k of Object.getOwnPropertyNames(globalThis)) try { Object.freeze(globalThis[k]); Object.freeze(globalThis[k].prototype) } catch {}; return 1`,
	"revoked proxy":       `const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); throw proxy`,
	"detached buffer":     `const b = new ArrayBuffer(8); b.transfer(); crypto.getRandomValues(new Uint8Array(b))`,
	"growing buffer":      `const b = new ArrayBuffer(8, { maxByteLength: 1 << 20 }); const v = new Uint8Array(b); b.resize(1 << 20); new TextDecoder().decode(v); return v.length`,
	"lone surrogates":     `console.log("\ud800"); frigg.call("a", "b", "\udfff"); return "\ud800"`,
	"finalizers":          `const r = new FinalizationRegistry(() => { throw 1 }); for (let i = 0; i < 1e4; i++) r.register({}, 1); return 1`,
	"callers":             `Error.prepareStackTrace = (e, s) => { s[0].getFunction?.().call(); return s }; new Error().stack.x.y`,
	"many rejections":     `for (let i = 0; i < 70000; i++) Promise.reject(i)`,
	"workers":             `Atomics.wait(new Int32Array(new SharedArrayBuffer(8)), 0, 0)`,
	"import":              `await import("fs")`,
	"many logs":           `for (let i = 0; i < 3000; i++) console.log("x".repeat(1000))`,
}

func TestHostile_ProgramsHurtOnlyThemselves(t *testing.T) {
	for name, body := range hostile {
		t.Run(name, func(t *testing.T) {
			g := booted(t, `export const frigg_a = async () => {`+body+`}; let calls = 0;
				export const frigg_b = (input) => ({ calls: ++calls, ok: typeof Promise.prototype.then, x: {}.toJSON, n: [1].map((x) => x + input.n) })`, "frigg_a", "frigg_b")
			g.Restore()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			c := javascripttest.NewCall(ctx, `{}`)
			err := g.Run(c, "frigg_a")
			t.Logf("%.300v", err)
			if ctx.Err() != nil {
				t.Fatal("it did not end")
			}
			var e *javascript.Exception
			if errors.As(err, &e) && (len(e.Message) > javascript.MaxMessage || len(e.Stack) > javascript.MaxStack) {
				t.Error("the exception is too long")
			}
			if got := g.Said("frigg_b", `{"n":1}`); got != `{"value":{"calls":1,"ok":"function","n":[2]}}` {
				t.Error("the next call says", got)
			}
		})
	}
}

// The memory of the guest is not trusted: with any byte of what Boot left changed, a call ends without a panic of Go.
func TestHostile_CorruptMemoryIsNoPanic(t *testing.T) {
	g := booted(t, `export const frigg_a = (input) => { console.log(input); return frigg.call("a", "b", "{}") }`, "frigg_a")
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 600 {
		g.Restore()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		c := javascripttest.NewCall(ctx, `{"n":1}`)
		memory := g.Memory()
		if i < 100 {
			memory[g.Instance.Root()+uint32(random.IntN(javascript.RootBytes+4))] ^= byte(1 + random.IntN(255))
		} else {
			for range 100 {
				memory[1<<20+random.IntN(len(g.Image)-1<<20)] ^= byte(1 + random.IntN(255))
			}
		}
		_ = g.Run(c, "frigg_a")
		cancel()
		if ctx.Err() == context.DeadlineExceeded {
			return // the instance is closed
		}
	}
}
