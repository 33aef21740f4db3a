package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/guest"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/plugin/wasm"
	"github.com/frigg-host/frigg-host/host/testdata/guests"
)

// hasty is the flow with little time.
func hasty(t *testing.T, tags string) []byte {
	t.Helper()
	manifest := guests.Manifest(t, "flow/manifest.yaml")
	short := bytes.Replace(manifest, []byte("timeout_ms: 20000"), []byte("timeout_ms: 8000"), 1)
	if bytes.Equal(manifest, short) {
		t.Fatal("the manifest of flow says nothing of time")
	}
	packed, err := plugin.Pack(guests.Module(t, "flow", tags), short)
	must(t, err)
	return packed
}

// attack is what a guest does and how that must end.
type attack struct {
	name   string
	steps  []step
	kind   fault.Kind
	side   fault.Side
	says   []string // in the error
	status int      // of the API
}

var attacks = []attack{
	{"loops", []step{{"do": "loop"}}, fault.Timeout, fault.Guest, []string{"guest flow: deadline exceeded (8s) in frigg_run_action"}, 504},
	{"eats memory", []step{{"do": "eat_memory"}}, fault.Exhausted, fault.Guest, []string{"guest flow: memory limit of 64 MiB reached"}, 502},
	{"traps", []step{{"do": "trap"}}, fault.Internal, fault.Guest, []string{"guest flow: trap: out of bounds memory access"}, 502},
	{"panics", []step{{"do": "panic", "text": "boom"}}, fault.Internal, fault.Guest, []string{"guest flow: frigg_run_action: panic: boom"}, 502},
	{"exits", []step{{"do": "exit", "number": 7}}, fault.Internal, fault.Guest, []string{"guest flow: exited with code 7"}, 502},
	{"exits as if all were well", []step{{"do": "exit"}}, fault.Internal, fault.Guest, []string{"guest flow: frigg_run_action answered something else than an Answer: nothing"}, 502},
	{"floods the log", []step{{"do": "flood", "number": 10_000}}, fault.Exhausted, fault.Guest, []string{"guest flow: flooded the log: "}, 502},
	{"floods its console", []step{{"do": "print", "text": "all work and no play", "number": 100_000_000}}, fault.Timeout, fault.Guest, []string{"guest flow: deadline exceeded"}, 504},
	{"returns 50 MB", []step{{"do": "huge_output", "number": 50 << 20}}, fault.TooLarge, fault.Guest, []string{"guest flow: output of 50 MiB is over the limit of 16 MiB"}, 502},
	{"asks a host it did not declare", []step{{"do": "send", "role": "key", "url": "https://example.com/"}}, fault.Forbidden, fault.Guest, []string{"guest flow: the plugin asked for https://example.com, which is not granted to it"}, 403},
	{"is redirected to one", []step{{"do": "send", "role": "key", "url": "/redirect?to=https://example.com/"}}, fault.Forbidden, fault.Guest, []string{"guest flow: the plugin was redirected by 127.0.0.1 to https://example.com, which is not granted to it"}, 403},
	{"calls a role that nobody plays", []step{{"do": "call", "role": "oauth", "method": "do"}}, fault.NotFound, fault.Guest, []string{"guest flow: ", `no account plays the role "oauth"`}, 404},
	{"calls a method that does not exist", []step{{"do": "call", "role": "key", "method": "undo"}}, fault.Invalid, fault.Guest, []string{"guest flow: ", `module probe-key declares no method "undo"`}, 400},
	{"calls a module that loops", []step{{"do": "call", "role": "key", "method": "do", "body": order(step{"do": "loop"})}}, fault.Timeout, fault.Guest, []string{"guest flow: deadline exceeded"}, 504},
	{"calls a module that traps", []step{{"do": "call", "role": "key", "method": "do", "body": order(step{"do": "trap"})}}, fault.Internal, fault.Guest, []string{"guest flow: guest probe-key: trap: out of bounds memory access"}, 502},
	{"gives a module what it does not expect", []step{{"do": "call", "role": "key", "method": "do", "body": map[string]any{"steps": 7}}}, fault.Invalid, fault.Guest, []string{"guest flow: guest probe-key: ", "steps must be array"}, 400},
	{"does what it does not know", []step{{"do": "sing"}}, fault.Unsupported, fault.Guest, []string{`guest flow: there is no step "sing"`}, 422},
}

func TestHostile_EachEndsInATypedErrorAndOthersGoOn(t *testing.T) {
	t.Parallel()
	for engine, tags := range map[string]string{guest.Native: "", guest.Extism: noBulk} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			files := plugins(t, tags)
			files["flow.wasm"] = hasty(t, tags)
			r := newRig(t, files, func(r *rig) { r.config.Engine = engine })
			mallory, ada := r.user("mallory", "correct horse"), r.user("ada", "battery staple")
			theirs, hers := mallory.keyFlow(nil), ada.keyFlow(nil)
			calls, done := goOn(ada, hers)
			for _, a := range attacks {
				before := calls.Load()
				begun := time.Now()
				a.run(t, r, mallory, theirs)
				if n := calls.Load() - before; time.Since(begun) > 6*time.Second && n < 1 {
					t.Errorf("%s: another's calls waited: %d went on meanwhile", a.name, n)
				}
			}
			done()
			if calls.Load() < 10 {
				t.Errorf("only %d calls of another went on", calls.Load())
			}
			const line = 512 // bytes at most that one call of another leaves
			if text := r.log.String(); int64(len(text)) > 2<<20+line*calls.Load() {
				t.Errorf("the log has grown to %d bytes, with %d calls of another", len(text), calls.Load())
			}
		})
	}
}

// goOn calls an integration over and over, each time with success, until done is called.
func goOn(c *client, id integration.ID) (calls *atomic.Int64, done func()) {
	calls, stop := new(atomic.Int64), make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			status, answer := c.do(http.MethodGet, "/api/demo/sample/"+string(id), nil)
			if want := `[{"id":"` + string(id) + `"}]`; status != http.StatusOK || strings.TrimSpace(string(answer)) != want {
				c.t.Errorf("another's call: %d %s", status, answer)
				return
			}
			calls.Add(1)
		}
	})
	return calls, func() { close(stop); running.Wait() }
}

func (a attack) run(t *testing.T, r *rig, c *client, id integration.ID) {
	t.Helper()
	input, err := json.Marshal(order(a.steps...))
	must(t, err)
	_, err = r.host.Integrations.RunAction(context.Background(), c.actor, id, "DO", input)
	if fault.KindOf(err) != a.kind || fault.SideOf(err) != a.side {
		t.Errorf("%s: %s on side %s, want %s on side %s: %v", a.name, fault.KindOf(err), fault.SideOf(err), a.kind, a.side, err)
	}
	for _, part := range a.says {
		if !strings.Contains(fault.PublicMessage(err), part) {
			t.Errorf("%s: %q does not say %q", a.name, fault.PublicMessage(err), part)
		}
	}
	if a.kind == fault.Timeout {
		return // once is long enough
	}
	status, answer := c.act(id, a.steps...)
	if status != a.status {
		t.Errorf("%s: the API answers %d, want %d: %s", a.name, status, a.status, answer)
	}
	if status < 500 && !strings.Contains(answer, quotedInside(a.says[0])) {
		t.Errorf("%s: the API answers %s", a.name, answer)
	}
	if status >= 500 && !r.log.hasLine("level=WARN", "request failed", quotedInside(a.says[0])) {
		t.Errorf("%s: the log does not say why", a.name)
	}
}

// quotedInside is a text as it stands inside quotes.
func quotedInside(s string) string {
	b, _ := json.Marshal(s)
	return string(b[1 : len(b)-1])
}

// Work that nobody waits for says the same, in its job and to the person who looks at the record.
func TestHostile_WorkThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	r := newRig(t, map[string][]byte{"flow.wasm": hasty(t, ""), "probe-key.wasm": plugins(t, "")["probe-key.wasm"]}, nil)
	c := r.user("mallory", "correct horse")
	id := c.keyFlow(map[string]any{"typed_webhook_secret": "webhook secret"})
	o := &ordeal{rig: r, haystack: newHaystack(), ada: c, flow: id}
	for _, test := range []struct {
		steps []step
		state job.State
		says  string
	}{
		{[]step{{"do": "trap"}}, job.Queued, "guest flow: trap: out of bounds memory access"},
		{[]step{{"do": "loop"}}, job.Queued, "guest flow: deadline exceeded (8s) in frigg_handle_event"},
		{[]step{{"do": "send", "role": "key", "url": "https://example.com/"}}, job.Halted, "guest flow: "},
	} {
		o.post(http.StatusOK, "typed", "webhook secret", test.says, test.steps...)
		o.await(test.says, func() bool {
			jobs, err := r.host.Jobs.Jobs(context.Background(), c.actor, []job.State{test.state}, "", 10)
			must(t, err)
			for _, j := range jobs {
				if strings.HasPrefix(j.LastError, test.says) {
					return true
				}
			}
			return false
		})
	}
	var record struct {
		Status   abi.Status
		Messages struct {
			Errors []struct{ Title, Message string }
		}
	}
	c.mustDo(http.StatusOK, http.MethodGet, "/api/integrations/"+string(id), nil, &record)
	if len(record.Messages.Errors) != 1 || record.Messages.Errors[0].Title != "ON_WEBHOOK failed" || !strings.Contains(record.Messages.Errors[0].Message, "example.com") {
		t.Errorf("messages: %+v", record.Messages.Errors)
	}
	if record.Status != abi.StatusEnabled {
		t.Errorf("the record is %s", record.Status)
	}
}

// forged puts a manifest into a module whatever the two say of each other.
func forged(t *testing.T, module []byte, manifest string) []byte {
	t.Helper()
	out, err := wasm.SetCustom(module, abi.ManifestSection, []byte(manifest))
	must(t, err)
	return out
}

// What a module can do and what it says that it does must be the same.
func TestHostile_ClaimsAreComparedWithTheCodeAtLoad(t *testing.T) {
	t.Parallel()
	files := plugins(t, "")
	read := func(packed []byte) map[string]any {
		in, err := plugin.Inspect(packed)
		must(t, err)
		text, err := json.Marshal(in.Manifest)
		must(t, err)
		var m map[string]any
		must(t, json.Unmarshal(text, &m))
		return m
	}
	write := func(m map[string]any) string {
		text, err := json.Marshal(m)
		must(t, err)
		return string(text)
	}
	over := read(files["flow.wasm"])
	over["name"] = "over"
	over["capabilities"] = append(over["capabilities"].([]any), map[string]string{"name": "crypto", "reason": "For no reason."})
	under := read(files["flow.wasm"])
	under["name"] = "under"
	under["capabilities"] = under["capabilities"].([]any)[1:]
	module := guests.Module(t, "flow", "")
	r := newRig(t, map[string][]byte{
		"over.wasm": forged(t, module, write(over)), "under.wasm": forged(t, module, write(under)), "flow.wasm": files["flow.wasm"],
		"probe-key.wasm": files["probe-key.wasm"],
	}, func(r *rig) { r.config.HealthKey = keyOfHealth })
	for name, want := range map[string]string{
		"over":  "claims crypto, but the code imports nothing of frigg:host/crypto; remove the claim",
		"under": "does not claim http, but the code imports frigg:host/http; add the claim with a reason, or do not use it",
	} {
		p := installed(t, r.host, name)
		if p.State != plugin.Broken || !strings.Contains(p.Problem, want) {
			t.Errorf("%s is %s: %s", name, p.State, p.Problem)
		}
		if !r.log.hasLine("level=WARN", "plugin cannot be used", "plugin="+name, "file="+name+".wasm", want) {
			t.Errorf("the log does not say why %s cannot be used", name)
		}
	}
	c := r.user("ada", "correct horse")
	status, answer := c.do(http.MethodPost, "/api/integrations", map[string]any{"entities": []string{}, "config": map[string]string{"type": "over"}})
	if status != http.StatusServiceUnavailable {
		t.Errorf("an integration of a broken plugin: %d %s", status, answer)
	}
	c.header.Set("X-Api-Key", keyOfHealth.Reveal())
	status, answer = c.do(http.MethodGet, "/health/detailed", nil)
	if status != http.StatusServiceUnavailable || !bytes.Contains(answer, []byte(`"name":"over","state":"broken"`)) {
		t.Errorf("health: %d %s", status, answer)
	}
	if status, answer := c.act(c.keyFlow(nil), step{"do": "say", "text": "still here"}); status != http.StatusOK {
		t.Errorf("a good plugin beside broken ones: %d %s", status, answer)
	}
}

// installed is the first version of a name.
func installed(t *testing.T, h *host.Host, name string) *plugin.Plugin {
	t.Helper()
	all, err := h.Plugins.List(context.Background())
	must(t, err)
	for _, e := range all {
		if e.Plugin.Name == name {
			return e.Plugin
		}
	}
	t.Fatal(errors.New("there is no plugin " + name))
	return nil
}
