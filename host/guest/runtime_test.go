package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/plugin/wasm"
	"github.com/frigg-host/frigg-host/host/plugin/wasm/wasmtest"
)

var (
	pointerAndLength = wasm.FuncType{Params: []wasm.ValType{wasm.I32, wasm.I32}}
	twoOffsets       = wasm.FuncType{Params: []wasm.ValType{wasm.I64, wasm.I64}}
)

// says is a module whose one export writes a text as its output.
func says(export, text string) []byte {
	return wasmtest.Module{
		Imports: []wasm.Import{{Module: abi.BulkModule, Name: "output_write", Type: pointerAndLength}},
		Funcs: []wasmtest.Func{{
			Export: export, Type: wasmtest.Entry,
			Code: cat(i32(0), i32(len(text)), call(0), i32(0)),
		}},
		Pages: 1, Data: text,
	}.Bytes()
}

// asks is a module whose one export sends a request to a host function and gives its answer as its own.
func asks(export, capability, function, request string) []byte {
	return wasmtest.Module{
		Imports: []wasm.Import{
			{Module: abi.BulkModule, Name: "write", Type: wasm.FuncType{Params: pointerAndLength.Params, Results: []wasm.ValType{wasm.I64}}},
			{Module: abi.ModulePrefix + capability, Name: function, Type: wasmtest.Door},
			{Module: abi.KernelModule, Name: "length", Type: wasmtest.Door},
			{Module: abi.KernelModule, Name: "output_set", Type: twoOffsets},
		},
		Funcs: []wasmtest.Func{{
			Export: export, Type: wasmtest.Entry, Locals: 1,
			Code: cat(i32(0), i32(len(request)), call(0), call(1), []byte{0x22, 0}, []byte{0x20, 0}, call(2), call(3), i32(0)),
		}},
		Pages: 1, Data: request,
	}.Bytes()
}

func cat(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func i32(n int) []byte {
	b := []byte{0x41}
	for {
		c := byte(n & 0x7f)
		if n >>= 7; n == 0 && c&0x40 == 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func call(f byte) []byte { return []byte{0x10, f} }

// spins is a module whose one export never returns.
func spins(export string) []byte {
	return wasmtest.Module{Funcs: []wasmtest.Func{{Export: export, Type: wasmtest.Entry, Code: []byte{0x03, 0x40, 0x0c, 0, 0x0b, 0x41, 0}}}}.Bytes()
}

// runtimeOf opens a native engine that offers the whole contract, and a Runtime that finds modules by digest.
func runtimeOf(t *testing.T, modules ...[]byte) (*Runtime, *countingEngine) {
	t.Helper()
	return boundedRuntimeOf(t, 0, modules...)
}

// boundedRuntimeOf is runtimeOf with a budget of memory.
func boundedRuntimeOf(t *testing.T, budget uint64, modules ...[]byte) (*Runtime, *countingEngine) {
	t.Helper()
	e, err := OpenNative(t.Context(), Config{Imports: Imports()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	counting := &countingEngine{Engine: e}
	known := map[plugin.Digest][]byte{}
	for _, m := range modules {
		known[plugin.DigestOf(m)] = m
	}
	source := func(d plugin.Digest) ([]byte, error) {
		if m := known[d]; m != nil {
			return m, nil
		}
		return nil, fault.New(fault.NotFound, "test.Source", "no such module")
	}
	return NewRuntime(counting, RuntimeConfig{Source: source, MemoryBudget: budget}), counting
}

// countingEngine counts compilations and makes each wait for gate, if there is one.
type countingEngine struct {
	Engine
	compiled atomic.Int32
	gate     chan struct{}
	fail     atomic.Pointer[fault.Error]
}

func (e *countingEngine) Compile(ctx context.Context, module []byte) (Module, error) {
	e.compiled.Add(1)
	if e.gate != nil {
		<-e.gate
	}
	if err := e.fail.Swap(nil); err != nil {
		return nil, err
	}
	return e.Engine.Compile(ctx, module)
}

func pluginOf(module []byte) *plugin.Plugin {
	return &plugin.Plugin{Name: "crm", Digest: plugin.DigestOf(module), State: plugin.Ready, Kind: abi.PluginKindIntegration}
}

func event(module []byte) plugin.Call {
	return plugin.Call{Plugin: pluginOf(module), Export: abi.ExportHandleEvent, Input: json.RawMessage(`{}`)}
}

func TestRuntime_OpensTheEnvelope(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, output string
		value        string
		kind         fault.Kind
		side         fault.Side
		says         string
	}{
		{name: "value", output: `{"value":{"a":1}}`, value: `{"a":1}`},
		{name: "null is a value", output: `{"value":null}`, value: `null`},
		{name: "fields of a later version", output: `{"value":1,"trace":"x"}`, value: `1`},
		{name: "no fault", output: `{"value":1,"fault":null}`, value: `1`},
		{
			name: "fault", output: `{"fault":{"kind":"rate_limited","side":"remote","message":"slow down","retry_after_ms":1500}}`,
			kind: fault.RateLimited, side: fault.Remote, says: "guest crm: slow down",
		},
		{name: "fault without side", output: `{"fault":{"kind":"invalid","message":"no"}}`, kind: fault.Invalid, side: fault.Guest, says: "guest crm: no"},
		{
			name: "fault of a later version", output: `{"fault":{"kind":"teapot","message":"short and stout","handle":1}}`,
			kind: fault.Internal, side: fault.Guest, says: "short and stout",
		},
		{name: "nothing", output: "", kind: fault.Internal, side: fault.Guest, says: "guest crm: frigg_handle_event answered something else than an Answer: nothing"},
		{name: "garbage", output: "hello", kind: fault.Internal, side: fault.Guest, says: "not a JSON object"},
		{name: "trailing data", output: `{"value":1}{}`, kind: fault.Internal, side: fault.Guest, says: "not a JSON object"},
		{name: "a list", output: `[1]`, kind: fault.Internal, side: fault.Guest, says: "not a JSON object"},
		{name: "neither", output: `{"val":1}`, kind: fault.Internal, side: fault.Guest, says: "neither value nor fault"},
		{name: "both", output: `{"value":1,"fault":{"kind":"invalid","message":""}}`, kind: fault.Internal, side: fault.Guest, says: "both"},
		{name: "fault of another shape", output: `{"fault":"no"}`, kind: fault.Internal, side: fault.Guest, says: "contract's shape"},
		{name: "long message", output: `{"fault":{"kind":"invalid","message":"` + strings.Repeat("x", 5000) + `"}}`, kind: fault.Invalid, side: fault.Guest, says: "…"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			module := says(abi.ExportHandleEvent, c.output)
			r, _ := runtimeOf(t, module)
			value, err := r.Call(t.Context(), event(module))
			if string(value) != c.value || fault.KindOf(err) != c.kind || fault.SideOf(err) != c.side {
				t.Errorf("got %s and %v (%s, %s)", value, err, fault.KindOf(err), fault.SideOf(err))
			}
			if msg := fault.PublicMessage(err); err != nil && (!strings.Contains(msg, c.says) || len(msg) > 2000) {
				t.Errorf("got message %q, want %q", msg, c.says)
			}
		})
	}
}

// TestOpenAnswer_TakesNoMoreThanItsJSON does not run in parallel: it looks at what is allocated.
func TestOpenAnswer_TakesNoMoreThanItsJSON(t *testing.T) {
	output := []byte(`{"value":1`)
	for i := range 500_000 {
		output = fmt.Appendf(output, `,"%x":0`, i)
	}
	output = append(output, '}')
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := openAnswer(output)
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > uint64(len(output)) {
		t.Errorf("took %d bytes for %d of JSON: %v", got, len(output), err)
	}
}

func TestRuntime_PassesHaltStatusAndWait(t *testing.T) {
	t.Parallel()
	module := says(abi.ExportHandleEvent, `{"fault":{"kind":"conflict","message":"m","halt":true,"status":409,"retry_after_ms":9223372036854775807}}`)
	r, _ := runtimeOf(t, module)
	_, err := r.Call(t.Context(), event(module))
	var halt *plugin.Halt
	var status *plugin.Status
	if !errors.As(err, &halt) || !errors.As(err, &status) || status.Code != 409 {
		t.Errorf("got %v, want halt and status 409", err)
	}
	if wait := fault.RetryAfterOf(err); wait != 30*24*time.Hour {
		t.Errorf("got a wait of %s, want it bounded to 30 days", wait)
	}
}

// storageOf answers with the key that was asked for.
type storageOf struct{ plugin.StorageCapability }

func (storageOf) Get(_ context.Context, q abi.StorageGet) (abi.StorageValue, error) {
	if q.Key == "" {
		return abi.StorageValue{}, fault.New(fault.Invalid, "test.Get", "no key")
	}
	return abi.StorageValue{Found: true, Value: json.RawMessage(`"` + q.Key + `"`)}, nil
}

func TestRuntime_ServesCapabilitiesOfTheCall(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, capability, function, request string
		can                                 plugin.Capabilities
		value                               string
		kind                                fault.Kind
	}{
		{"granted", "storage", "get", `{"key":"k","later":1}`, plugin.Capabilities{Storage: storageOf{}}, `{"found":true,"value":"k"}`, ""},
		{"not granted", "storage", "get", `{"key":"k"}`, plugin.Capabilities{}, "", fault.Forbidden},
		{"failing", "storage", "get", `{"key":""}`, plugin.Capabilities{Storage: storageOf{}}, "", fault.Invalid},
		{"malformed request", "storage", "get", `{"key":1}`, plugin.Capabilities{Storage: storageOf{}}, "", fault.Invalid},
		{"reserved", "crypto", "jwt_verify", `{}`, plugin.Capabilities{}, "", fault.Unsupported},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			module := asks(abi.ExportHandleEvent, c.capability, c.function, c.request)
			r, _ := runtimeOf(t, module)
			in := event(module)
			in.Can = c.can
			value, err := r.Call(t.Context(), in)
			if string(value) != c.value || fault.KindOf(err) != c.kind {
				t.Errorf("got %s and %v, want %s and %q", value, err, c.value, c.kind)
			}
		})
	}
}

func TestRuntime_BoundsByManifestAndCall(t *testing.T) {
	t.Parallel()
	module := spins(abi.ExportHandleEvent)
	r, _ := runtimeOf(t, module)
	in := event(module)
	in.Plugin.Manifest.Limits = &abi.LimitClaim{TimeoutMS: 50}
	if _, err := r.Call(t.Context(), in); ReasonOf(err) != ReasonDeadline || !strings.Contains(fault.PublicMessage(err), "50ms") {
		t.Errorf("got %v, want the deadline of the manifest", err)
	}
	in.Timeout = 20 * time.Millisecond
	if _, err := r.Call(t.Context(), in); ReasonOf(err) != ReasonDeadline || !strings.Contains(fault.PublicMessage(err), "20ms") {
		t.Errorf("got %v, want the deadline of the call", err)
	}
}

func TestRuntime_RefusesWhatWasNotApproved(t *testing.T) {
	t.Parallel()
	module := says(abi.ExportHandleEvent, `{"value":1}`)
	r, engine := runtimeOf(t, module)
	in := event(module)
	in.Plugin.State, in.Plugin.Problem = plugin.NeedsApproval, "waits for approval"
	_, err := r.Call(t.Context(), in)
	if fault.KindOf(err) != fault.Forbidden || engine.compiled.Load() != 0 {
		t.Errorf("got %v after %d compilations", err, engine.compiled.Load())
	}
}

func TestRuntime_CompilesOnceForAllWhoCall(t *testing.T) {
	t.Parallel()
	module := says(abi.ExportHandleEvent, `{"value":1}`)
	r, engine := runtimeOf(t, module)
	engine.gate = make(chan struct{})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := r.Call(t.Context(), event(module)); err != nil {
				t.Error(err)
			}
		})
	}
	close(engine.gate)
	wg.Wait()
	if n := engine.compiled.Load(); n != 1 {
		t.Errorf("compiled %d times", n)
	}
}

func TestRuntime_ACallerWhoLeavesDoesNotEndTheCompilation(t *testing.T) {
	t.Parallel()
	module := says(abi.ExportHandleEvent, `{"value":1}`)
	r, engine := runtimeOf(t, module)
	engine.gate = make(chan struct{})
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := r.Call(gone, event(module)); fault.KindOf(err) != fault.Canceled {
		t.Errorf("got %v, want Canceled", err)
	}
	close(engine.gate)
	if _, err := r.Call(t.Context(), event(module)); err != nil {
		t.Error(err)
	}
	if n := engine.compiled.Load(); n != 1 {
		t.Errorf("compiled %d times", n)
	}
}

func TestRuntime_TriesAgainOnlyWhatMayPass(t *testing.T) {
	t.Parallel()
	module := says(abi.ExportHandleEvent, `{"value":1}`)
	r, engine := runtimeOf(t, module)
	engine.fail.Store(fault.New(fault.Internal, "test.Compile", "the disk is full"))
	if _, err := r.Call(t.Context(), event(module)); err == nil {
		t.Error("want the failure")
	}
	if _, err := r.Call(t.Context(), event(module)); err != nil {
		t.Errorf("the failure has passed: %v", err)
	}

	broken := []byte("\x00asm\x01\x00\x00\x00\x0e\x00")
	p := pluginOf(broken)
	for range 3 {
		if err := r.Load(t.Context(), p, broken); ReasonOf(err) != ReasonModule {
			t.Errorf("got %v, want an unusable module", err)
		}
	}
	if n := engine.compiled.Load(); n != 3 {
		t.Errorf("compiled %d times, want twice the good and once the broken module", n)
	}
	if _, err := r.Call(t.Context(), event([]byte("unknown"))); fault.KindOf(err) != fault.NotFound {
		t.Errorf("got %v, want NotFound of the source", err)
	}
}

func TestRuntime_UnloadsWithoutBreakingCalls(t *testing.T) {
	t.Parallel()
	module := says(abi.ExportHandleEvent, `{"value":1}`)
	r, engine := runtimeOf(t, module)
	p := pluginOf(module)
	if err := r.Load(t.Context(), p, module); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if _, err := r.Call(t.Context(), event(module)); err != nil && ReasonOf(err) != ReasonClosed {
					t.Error(err)
				}
			}
		})
	}
	for range 20 {
		r.Unload(t.Context(), p.Digest)
	}
	wg.Wait()
	if _, err := r.Call(t.Context(), event(module)); err != nil {
		t.Error(err)
	}
	if engine.compiled.Load() < 2 {
		t.Error("nothing was ever unloaded")
	}
	r.Unload(t.Context(), "sha256:unknown")
}

func TestRuntime_PassesTheLog(t *testing.T) {
	t.Parallel()
	text := "hello"
	module := wasmtest.Module{
		Imports: []wasm.Import{
			{Module: abi.BulkModule, Name: "write", Type: wasm.FuncType{Params: pointerAndLength.Params, Results: []wasm.ValType{wasm.I64}}},
			{Module: abi.KernelModule, Name: "log_warn", Type: wasm.FuncType{Params: []wasm.ValType{wasm.I64}}},
		},
		Funcs: []wasmtest.Func{{Export: abi.ExportHandleEvent, Type: wasmtest.Entry, Code: cat(i32(0), i32(len(text)), call(0), call(1), i32(0))}},
		Pages: 1, Data: text,
	}.Bytes()
	r, _ := runtimeOf(t, module)
	in := event(module)
	var lines []string
	in.Log = func(level, msg string) { lines = append(lines, level+": "+msg) }
	_, _ = r.Call(t.Context(), in)
	if len(lines) != 1 || lines[0] != "warn: hello" {
		t.Errorf("got %q", lines)
	}
}
