package typescript_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/guest/javascript/javascripttest"
	hostplugin "github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/plugin/bundle"
	"github.com/frigg-host/frigg-host/plugins/sdk/typescript"
)

// plugin bundles a program that imports the SDK, and boots it.
func plugin(t *testing.T, program string) *javascripttest.Guest {
	t.Helper()
	entry := filepath.Join(t.TempDir(), "app.ts")
	if err := os.WriteFile(entry, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := bundle.Build(entry)
	if err != nil {
		t.Fatal(err)
	}
	return javascripttest.Boot(t, *p)
}

func TestCapabilities_AskWhatTheContractSays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body   string   // of an async function
		answer []string // one after another
		asked  []string
		want   string // value
	}{
		"http get": {
			`return http.get("/v1/me", { role: "crm", query: { a: ["1"] } })`,
			[]string{`{"value":{"status":200,"text":"{\"id\":7}"}}`},
			[]string{`http.send {"role":"crm","query":{"a":["1"]},"method":"GET","url":"/v1/me"}`},
			`{"id":7}`,
		},
		"http post without an answer": {
			`return (await http.post("/v1/x", { a: 1 })) === undefined`,
			[]string{`{"value":{"status":204}}`},
			[]string{`http.send {"method":"POST","url":"/v1/x","json":{"a":1}}`},
			`true`,
		},
		"http send": {
			`return http.send({ url: "/", raw_status: true })`,
			[]string{`{"value":{"status":500}}`},
			[]string{`http.send {"url":"/","raw_status":true}`},
			`{"status":500}`,
		},
		"modules": {
			`return modules.call<number>("crm", "count", { of: "x" })`,
			[]string{`{"value":{"value":3}}`},
			[]string{`module.call {"role":"crm","method":"count","args":{"of":"x"}}`},
			`3`,
		},
		"storage": {
			`await storage.put("k", [1]); await storage.delete("l"); return [await storage.get("k"), (await storage.get("l")) === undefined]`,
			[]string{`{"value":{}}`, `{"value":{}}`, `{"value":{"found":true,"value":[1]}}`, `{"value":{"found":false}}`},
			[]string{`storage.put {"key":"k","value":[1]}`, `storage.delete {"key":"l"}`, `storage.get {"key":"k"}`, `storage.get {"key":"l"}`},
			`[[1],true]`,
		},
		"keys over pages": {
			`const all = []; for await (const key of storage.keys("a")) all.push(key); return all`,
			[]string{`{"value":{"keys":["a1","a2"],"more":true}}`, `{"value":{"keys":["a3"]}}`},
			[]string{`storage.list {"prefix":"a"}`, `storage.list {"prefix":"a","after":"a2"}`},
			`["a1","a2","a3"]`,
		},
		"mapping": {
			`const m = mapping("s"); await m.put("a", 1); await m.putAll(new Map([["b", 2], ["c", 3]])); await m.delete("d");
			 const all = []; for await (const e of m.entries()) all.push(e); return [await m.putIfAbsent("a", 2), await m.get("a"), all]`,
			[]string{`{"value":{"stored":true}}`, `{"value":{"stored":true}}`, `{"value":{}}`, `{"value":{"entries":[{"source_id":"a","value":1}],"more":true}}`, `{"value":{"entries":[]}}`, `{"value":{"stored":false}}`, `{"value":{"found":true,"value":1}}`},
			[]string{
				`mapping.put {"entries":[{"set":"s","source_id":"a","value":1}]}`,
				`mapping.put {"entries":[{"set":"s","source_id":"b","value":2},{"set":"s","source_id":"c","value":3}]}`,
				`mapping.delete {"set":"s","source_id":"d"}`, `mapping.list {"set":"s"}`, `mapping.list {"set":"s","after":"a"}`,
				`mapping.put {"entries":[{"set":"s","source_id":"a","value":2}],"if_absent":true}`, `mapping.get {"set":"s","source_id":"a"}`,
			},
			`[false,1,[["a",1]]]`,
		},
		"queue": {
			`return queue.enqueue("PAGE", "next", { delay_ms: 5, unique_key: "k" })`,
			[]string{`{"value":{"id":"job_1"}}`},
			[]string{`queue.enqueue {"delay_ms":5,"unique_key":"k","event":"PAGE","data":"next"}`},
			`{"id":"job_1"}`,
		},
		"schedules": {
			`await schedules.put("n", "TICK", { cron: "@daily", missed: "all" }, [1]); await schedules.delete("m"); return (await schedules.list())[0].name`,
			[]string{`{"value":{}}`, `{"value":{}}`, `{"value":{"schedules":[{"name":"n","event":"TICK","overlap":"skip","missed":"all"}]}}`},
			[]string{`schedule.put {"cron":"@daily","missed":"all","name":"n","event":"TICK","data":[1]}`, `schedule.delete {"name":"m"}`, `schedule.list {}`},
			`"n"`,
		},
		"record": {
			`await record.tell("warning", "Careful"); return (await record.update({ status: "ERROR" })).status`,
			[]string{`{"value":{}}`, `{"value":{"status":"ERROR"}}`},
			[]string{`integration.update {"messages":[{"level":"warning","title":"Careful"}]}`, `integration.update {"status":"ERROR"}`},
			`"ERROR"`,
		},
		"endpoint": {
			`return endpoint("shop")`, []string{`{"value":{"url":"u","secret":"h"}}`}, []string{`webhook.endpoint {"webhook":"shop"}`}, `{"url":"u","secret":"h"}`,
		},
		"hmac": {
			`return [Array.from(await hmac.sign("h", "é")), await hmac.verify("h", new Uint8Array([1]), new Uint8Array([255]), "sha1")]`,
			[]string{`{"value":{"signature":"/wA="}}`, `{"value":{"valid":true}}`},
			[]string{`crypto.hmac_sign {"secret":"h","message":"w6k="}`, `crypto.hmac_verify {"secret":"h","hash":"sha1","message":"AQ==","signature":"/w=="}`},
			`[[255,0],true]`,
		},
		"at once": {
			`return Promise.all([storage.get("a"), storage.get("b")])`,
			[]string{`{"value":{"found":true,"value":1}}`, `{"value":{"found":true,"value":2}}`},
			[]string{`storage.get {"key":"a"}`, `storage.get {"key":"b"}`},
			`[1,2]`,
		},
		"a fault": {
			`try { await storage.get("a") } catch (e) { if (!isFault(e, "timeout", "not_found") || isFault(e, "timeout")) throw e; return [e.kind, e.side, e.status, e.message, e.name] }`,
			[]string{`{"fault":{"kind":"not_found","side":"remote","status":404,"message":"no"}}`},
			[]string{`storage.get {"key":"a"}`},
			`["not_found","remote",404,"no","FriggError"]`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := plugin(t, `import { actions, endpoint, hmac, http, isFault, mapping, modules, queue, record, schedules, storage } from "@frigg-host/sdk";
				void [endpoint, hmac, http, isFault, mapping, modules, queue, record, schedules, storage];
				export const frigg_run_action = actions({ GO: async () => {`+c.body+`} });`)
			answers := c.answer
			call, err := g.Call(abi.ExportRunAction, `{"action":"GO","integration":{}}`, func(string, string) string {
				if len(answers) == 0 {
					return `{"fault":{"kind":"internal","message":"asked too often"}}`
				}
				next := answers[0]
				answers = answers[1:]
				return next
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.asked, call.Asked); diff != "" {
				t.Error(diff)
			}
			if want := `{"value":{"value":` + c.want + `}}`; call.Out != want {
				t.Errorf("%s, not %s", call.Out, want)
			}
		})
	}
}

func TestSyncs_OneBadRecordDoesNotHoldOthersUp(t *testing.T) {
	t.Parallel()
	g := plugin(t, `
		import { events, FriggError, syncs } from "@frigg-host/sdk";
		export const frigg_handle_event = events({});
		export const { frigg_fetch_page, frigg_write_batch } = syncs({ people: {
			fetch: ({ cursor, limit }) => ({ records: [{ external_id: "a", data: { limit } }], cursor: cursor ? "" : "next" }),
			write: ({ data, key }) => {
				if (data.kind) throw new FriggError(data.kind, "no");
				return { target_id: key };
			},
		} });`)
	record := func(id, kind string) string {
		return `{"external_id":"` + id + `","op":"create","key":"k` + id + `","data":{"kind":"` + kind + `"}}`
	}
	for _, c := range []struct{ export, input, want string }{
		{abi.ExportFetchPage, `{"sync":"people","side":"source","mode":"initial","limit":5}`, `{"value":{"records":[{"external_id":"a","data":{"limit":5}}],"cursor":"next"}}`},
		{abi.ExportFetchPage, `{"sync":"others","side":"source","mode":"initial","limit":5}`, `{"fault":{"kind":"unsupported","message":"the sync others has no handler"}}`},
		{
			abi.ExportWriteBatch, `{"sync":"people","side":"target","records":[` + record("a", "") + `,` + record("b", "invalid") + `,` + record("c", "") + `]}`,
			`{"value":{"results":[{"external_id":"a","target_id":"ka"},{"external_id":"b","failure":"no"},{"external_id":"c","target_id":"kc"}]}}`,
		},
		{abi.ExportWriteBatch, `{"sync":"people","side":"target","records":[` + record("a", "") + `,` + record("b", "rate_limited") + `]}`, `{"fault":{"kind":"rate_limited","message":"no"}}`},
	} {
		var got, want any
		if err := json.Unmarshal([]byte(g.Said(c.export, c.input)), &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s %s:\n%s", c.export, c.input, diff)
		}
	}
}

func TestHandlers_AreFoundByName(t *testing.T) {
	t.Parallel()
	g := plugin(t, `
		import { actions, events, FriggError, halt, methods, reply, retryAfter, routes, webhooks } from "@frigg-host/sdk";
		export const frigg_handle_event = events({
			PING: (data: number, event) => [data + 1, event.delivery.attempt],
			HALT: () => { throw halt(new FriggError("timeout", "slow", { status: 504 })) },
			LATER: () => { throw retryAfter(1500.2, new Error("busy")) },
			BUG: () => { throw new TypeError("bug") },
			ON_WEBHOOK: webhooks({ shop: { "order.paid": (order, hook) => [order.id, hook.id], "*": (body) => [body ?? "no JSON"] } }),
		});
		export const frigg_run_action = actions({ GO: (input) => input });
		export const frigg_call_method = methods({ add: ({ a, b }: { a: number; b: number }) => a + b });
		export const frigg_handle_route = routes({ "POST /x": (body, request) => reply(201, { body, id: request.params?.id }) });`)
	for _, c := range []struct{ export, input, want string }{
		{abi.ExportHandleEvent, `{"event":"PING","data":1,"delivery":{"attempt":2}}`, `{"value":{"value":[2,2]}}`},
		{abi.ExportHandleEvent, `{"event":"OTHER"}`, `{"value":{}}`},
		{abi.ExportHandleEvent, `{"event":"constructor"}`, `{"value":{}}`},
		{abi.ExportHandleEvent, `{"event":"HALT"}`, `{"fault":{"status":504,"halt":true,"kind":"timeout","message":"slow"}}`},
		{abi.ExportHandleEvent, `{"event":"LATER"}`, `{"fault":{"kind":"rate_limited","retry_after_ms":1501,"message":"Error: busy"}}`},
		{abi.ExportHandleEvent, `{"event":"ON_WEBHOOK","data":{"webhook":"shop","event":"order.paid","id":"m","text":"{\"id\":7}"}}`, `{"value":{"value":[7,"m"]}}`},
		{abi.ExportHandleEvent, `{"event":"ON_WEBHOOK","data":{"webhook":"shop","text":"<xml>"}}`, `{"value":{"value":["no JSON"]}}`},
		{abi.ExportHandleEvent, `{"event":"ON_WEBHOOK","data":{"webhook":"none","text":"{}"}}`, `{"value":{}}`},
		{abi.ExportRunAction, `{"action":"GO","input":{"a":1}}`, `{"value":{"value":{"a":1}}}`},
		{abi.ExportRunAction, `{"action":"NO"}`, `{"fault":{"kind":"unsupported","message":"the action NO has no handler"}}`},
		{abi.ExportCallMethod, `{"method":"add","args":{"a":1,"b":2}}`, `{"value":{"value":3}}`},
		{abi.ExportHandleRoute, `{"event":"POST /x","method":"POST","path":"/x","params":{"id":"9"},"text":"[1]"}`, `{"value":{"status":201,"headers":{"content-type":"application/json"},"text":"{\"body\":[1],\"id\":\"9\"}"}}`},
	} {
		var got, want any
		if err := json.Unmarshal([]byte(g.Said(c.export, c.input)), &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s %s:\n%s", c.export, c.input, diff)
		}
	}
	if _, err := g.Call(abi.ExportHandleEvent, `{"event":"BUG"}`, nil); err == nil || !strings.Contains(err.Error(), "TypeError: bug") {
		t.Error(err)
	}
}

// Every capability and export of the contract is in the types, since they are made of it.
func TestContract_IsComplete(t *testing.T) {
	t.Parallel()
	text, err := typescript.Files.ReadFile("contract_gen.ts")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range abi.Exports {
		if !regexp.MustCompile(`\n  ` + e.Name + `: \{ input: `).Match(text) {
			t.Errorf("%s is missing", e.Name)
		}
	}
	for _, f := range abi.Functions {
		if !regexp.MustCompile(`\n  ` + f.Capability + `: \{(?:\n    .*)*\n    ` + f.Name + `: \{ request: `).Match(text) {
			t.Errorf("%s.%s is missing", f.Capability, f.Name)
		}
	}
}

// The plugin of the guide is typed off by strangers: it has to be packed and to work, as printed.
func TestGuide_PluginWorksAsPrinted(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/plugins.md")
	if err != nil {
		t.Fatal(err)
	}
	program := regexp.MustCompile("(?s)\n```ts\n(.*?)```").FindSubmatch(page)
	manifest := regexp.MustCompile("(?s)\n```json\n(.*?)```").FindSubmatch(page)
	if program == nil || manifest == nil {
		t.Fatal("the guide has no program")
	}
	entry := filepath.Join(t.TempDir(), "app.ts")
	if err := os.WriteFile(entry, program[1], 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := bundle.Build(entry)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hostplugin.PackProgram(*p, manifest[1]); err != nil {
		t.Fatal(err)
	}
	event := `{"event":"ON_WEBHOOK","data":{"webhook":"tidepool","event":"contact.created","text":"{\"data\":{\"id\":\"c1\",\"name\":\"Ada\"}}"}}`
	call, err := javascripttest.Boot(t, *p).Call(abi.ExportHandleEvent, event, func(function, _ string) string {
		if function == "module.call" {
			return `{"value":{"value":{"id":"note_1"}}}`
		}
		return `{"value":{"found":false}}`
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`mapping.get {"set":"greeted","source_id":"c1"}`,
		`module.call {"role":"crm","method":"create_note","args":{"contact_id":"c1","body":"Hello Ada!","key":"hello-c1"}}`,
		`mapping.put {"entries":[{"set":"greeted","source_id":"c1","value":"note_1"}]}`,
	}
	if diff := cmp.Diff(want, call.Asked); diff != "" {
		t.Error(diff)
	}
}

// The type checker is somebody else's program: where it is missing, the types are not checked.
func TestTypes_AreRight(t *testing.T) {
	t.Parallel()
	tsc, err := exec.LookPath("tsc")
	if err != nil {
		t.Skip("tsc is not installed")
	}
	if out, err := exec.Command(tsc, "-p", ".").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
