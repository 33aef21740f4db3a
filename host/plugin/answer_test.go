package plugin_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/abi/tck"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
)

func serve(t *testing.T, can plugin.Capabilities, capability, function, request string) abi.Answer {
	t.Helper()
	var a abi.Answer
	if err := json.Unmarshal(can.Serve(t.Context(), capability, function, []byte(request)), &a); err != nil {
		t.Fatal(err)
	}
	if (a.Value == nil) == (a.Fault == nil) {
		t.Fatalf("%s.%s answered %+v", capability, function, a)
	}
	return a
}

func TestServe_WithoutAGrantEveryFunctionIsAFault(t *testing.T) {
	t.Parallel()
	for _, f := range append(abi.Functions, abi.Function{Capability: "shell", Name: "run", Reserved: true}, abi.Function{Capability: "http", Name: "listen", Reserved: true}) {
		want := abi.FaultKindForbidden
		if f.Reserved {
			want = abi.FaultKindUnsupported
		}
		for _, request := range []string{"", "{}", "nope"} {
			a := serve(t, plugin.Capabilities{}, f.Capability, f.Name, request)
			if a.Fault == nil || a.Fault.Kind != want {
				t.Errorf("%s.%s of %q: got %+v, want %s", f.Capability, f.Name, request, a, want)
			}
		}
	}
}

// storageFunc is a storage of which only Get works.
type storageFunc struct {
	plugin.StorageCapability
	get func(abi.StorageGet) (abi.StorageValue, error)
}

func (s storageFunc) Get(_ context.Context, q abi.StorageGet) (abi.StorageValue, error) {
	return s.get(q)
}

func TestServe_AnswersWithValueOrFault(t *testing.T) {
	t.Parallel()
	can := plugin.Capabilities{Storage: storageFunc{get: func(q abi.StorageGet) (abi.StorageValue, error) {
		switch q.Key {
		case "slow":
			e := fault.New(fault.RateLimited, "test.Get", "not so fast").On(fault.Remote).With(&plugin.Status{Code: 429})
			e.RetryAfter = 2 * time.Second
			return abi.StorageValue{}, e
		case "bug":
			return abi.StorageValue{}, errors.New("SELECT secret FROM users")
		case "nan":
			return abi.StorageValue{Value: json.RawMessage("NaN")}, nil
		}
		return abi.StorageValue{Found: true, Value: json.RawMessage(`1`)}, nil
	}}}
	for _, c := range []struct {
		name, request string
		want          abi.Answer
	}{
		{"value", `{"key":"k"}`, abi.Answer{Value: json.RawMessage(`{"found":true,"value":1}`)}},
		{"fields of a later version", `{"key":"k","consistency":"strong"}`, abi.Answer{Value: json.RawMessage(`{"found":true,"value":1}`)}},
		{"fault", `{"key":"slow"}`, abi.Answer{Fault: &abi.Fault{Kind: "rate_limited", Side: "remote", Message: "not so fast", RetryAfterMS: 2000, Status: 429}}},
		{"a bug of ours says nothing of its reason", `{"key":"bug"}`, abi.Answer{Fault: &abi.Fault{Kind: "internal", Side: "host", Message: "Internal Server Error"}}},
		{"an answer that is no JSON", `{"key":"nan"}`, abi.Answer{Fault: &abi.Fault{Kind: "internal", Side: "host", Message: "Internal Server Error"}}},
		{"wrong type", `{"key":{"password":"hunter2"}}`, abi.Answer{Fault: &abi.Fault{Kind: "invalid", Side: "guest", Message: "the request does not have the contract's shape: field key must be string"}}},
		{"not JSON", `hunter2`, abi.Answer{Fault: &abi.Fault{Kind: "invalid", Side: "guest", Message: "the request does not have the contract's shape: it is not JSON"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, serve(t, can, "storage", "get", c.request)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestErrorOf_KeepsWhatAFaultSays(t *testing.T) {
	t.Parallel()
	in := abi.Fault{Kind: "unavailable", Side: "remote", Message: "down", RetryAfterMS: 1500, Status: 503, Halt: true}
	err := plugin.ErrorOf("test.Op", "crm", in)
	in.Message = "guest crm: down"
	if diff := cmp.Diff(in, plugin.FaultOf(err)); diff != "" {
		t.Error(diff)
	}
	for _, ms := range []int64{-1, math.MinInt64} {
		if wait := fault.RetryAfterOf(plugin.ErrorOf("test.Op", "crm", abi.Fault{RetryAfterMS: ms})); wait != 0 {
			t.Errorf("a wait of %d ms became %s", ms, wait)
		}
	}
}

// caller answers every call with the same text.
type caller string

func (c caller) Call(context.Context, plugin.Call) (json.RawMessage, error) {
	return json.RawMessage(c), nil
}

func TestInvoke_TypesInputAndOutput(t *testing.T) {
	t.Parallel()
	call := plugin.Call{Plugin: &plugin.Plugin{Name: "crm"}, Export: abi.ExportTestAuth}
	out, err := plugin.Invoke[abi.TestAuthOutput](t.Context(), caller(`{"outcome":"ok","later":1}`), call, abi.TestAuthInput{})
	if err != nil || out.Outcome != abi.AuthOutcomeOk {
		t.Errorf("got %+v and %v", out, err)
	}
	_, err = plugin.Invoke[abi.TestAuthOutput](t.Context(), caller(`{"outcome":1}`), call, abi.TestAuthInput{})
	if fault.SideOf(err) != fault.Guest || !strings.Contains(fault.PublicMessage(err), "guest crm: frigg_test_auth answered something else") {
		t.Errorf("got %v", err)
	}
	if _, err = plugin.Invoke[abi.Empty](t.Context(), caller(""), call, make(chan int)); fault.KindOf(err) != fault.Internal {
		t.Errorf("got %v for an input that is no JSON", err)
	}
}

func TestContract_MessagesPlayTheVectors(t *testing.T) {
	t.Parallel()
	tck.Messages(t)
}
