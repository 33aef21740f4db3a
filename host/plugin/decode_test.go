package plugin_test

import (
	"context"
	"encoding/json"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// many is a list of n times the same element.
func many(element string, n int) string {
	return "[" + strings.Repeat(element+",", n) + element + "]"
}

func TestDecode_RefusesWhatTakesFarMoreThanItsJSON(t *testing.T) {
	t.Parallel()
	const bomb = 1 << 20
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	for _, c := range []struct {
		name, text string
		into       any
		tooLarge   bool
	}{
		{"structs", `{"entries":` + many("{}", bomb) + `}`, new(abi.MappingPut), true},
		{"nulls", `{"entries":` + many("null", bomb) + `}`, new(abi.MappingPut), true},
		{"values of the wrong type", `{"entries":` + many("1", bomb) + `}`, new(abi.MappingPut), true},
		{"a key in other letters", `{"ENTRIES":` + many("{}", bomb) + `}`, new(abi.MappingPut), true},
		{"an escaped key", `{"entri\u0065s":` + many("{}", bomb) + `}`, new(abi.MappingPut), true},
		{"spaces", ` { "entries" : ` + many(" {} ", bomb) + ` } `, new(abi.MappingPut), true},
		{"after a value that is a string with brackets", `{"later":"]}\"","entries":` + many("{}", bomb) + `}`, new(abi.MappingPut), true},
		{"many lists", `{"entries":[],` + strings.Repeat(`"entries":`+many("{}", 1000)+",", 1000) + `"x":1}`, new(abi.MappingPut), true},
		{"empty texts", `{"keys":` + many(`""`, 2*bomb) + `}`, new(abi.StorageKeys), true},
		{"lists in maps", `{"url":"/","query":{` + strings.Repeat(`"":[],`, bomb) + `"a":[]}}`, new(abi.HTTPRequest), true},
		{"not to its end", `{"entries":` + many("{}", bomb), new(abi.MappingPut), true},
		{"depth", `{"value":` + deep + `}`, new(abi.StoragePut), true},
		{"depth of what is ignored", `{"later":` + deep + `}`, new(abi.StoragePut), true},
		{"raw values take no more than their JSON", `{"key":"k","value":` + many("{}", bomb) + `}`, new(abi.StoragePut), false},
		{"what is ignored takes nothing", `{"later":` + many("{}", bomb) + `}`, new(abi.MappingPut), false},
		{"bytes take no more than their JSON", `{"message":"` + strings.Repeat("AAAA", bomb) + `"}`, new(abi.HMACSign), false},
		{"a thousand entries", `{"entries":` + many(`{"source_id":"1","value":2}`, 999) + `}`, new(abi.MappingPut), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := plugin.Decode([]byte(c.text), c.into)
			if fault.Is(err, fault.TooLarge) != c.tooLarge || !c.tooLarge && err != nil {
				t.Errorf("got %v", err)
			}
			if c.tooLarge && !reflect.ValueOf(c.into).Elem().IsZero() {
				t.Error("it was decoded all the same")
			}
		})
	}
}

// TestDecode_RefusesWithoutAllocating does not run in parallel: it looks at what is allocated.
func TestDecode_RefusesWithoutAllocating(t *testing.T) {
	text := []byte(`{"entries":` + many("{}", 4<<20) + `}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := plugin.Decode(text, new(abi.MappingPut))
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; !fault.Is(err, fault.TooLarge) || got > 1<<20 {
		t.Errorf("took %d bytes to say %v", got, err)
	}
}

// FuzzDecode: what is decoded is what encoding/json decodes, whatever the text, and what is refused is large or deep.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{
		"", "null", "{}", "[", `{"entries":[{"source_id":"a","value":[1,{"b":"\\\""}]},null]}`, `{"entries":{}}`,
		`{"entries":[{]}`, `{"a" 1}`, `{"entries":[,]}`, `{"\u0065ntries":[1 2]}`, `"\`, "\xff", `{"entries":[{}],}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var got, want abi.MappingPut
		err := plugin.Decode(text, &got)
		if fault.Is(err, fault.TooLarge) {
			if len(text) < 200 {
				t.Errorf("refused %q", text)
			}
			return
		}
		wantErr := json.Unmarshal(text, &want)
		if (err == nil) != (wantErr == nil) || !cmp.Equal(got, want) {
			t.Errorf("%q: got %v and %v, want %v and %v", text, got, err, want, wantErr)
		}
	})
}

type putsMapping struct{ plugin.MappingCapability }

func (putsMapping) Put(context.Context, abi.MappingPut) (abi.MappingPutResult, error) {
	return abi.MappingPutResult{Stored: true}, nil
}

type putsStorage struct{ plugin.StorageCapability }

func (putsStorage) Put(context.Context, abi.StoragePut) (abi.Empty, error) { return abi.Empty{}, nil }

func TestServe_BoundsRequestsByFunction(t *testing.T) {
	t.Parallel()
	can := plugin.Capabilities{Storage: putsStorage{}, Mapping: putsMapping{}}
	value := func(n int) string { return `"` + strings.Repeat("x", n) + `"` }
	for _, c := range []struct {
		name, capability, request string
		want                      string // in the message of the fault; "" for success
	}{
		{"within the limit of all", "storage", `{"key":"k","value":` + value(1<<20-100) + `}`, ""},
		{"over the limit of all", "storage", `{"key":"k","value":` + value(1<<20) + `}`, "takes at most 1048576"},
		{"within a limit of its own", "mapping", `{"entries":[{"source_id":"k","value":` + value(2<<20) + `}]}`, ""},
		{"over a limit of its own", "mapping", `{"entries":[{"source_id":"k","value":` + value(4<<20) + `}]}`, "takes at most 4194304"},
		{"a million empty entries", "mapping", `{"entries":` + many("{}", 1<<20) + `}`, "the request is too large: it has so many elements"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := serve(t, can, c.capability, "put", c.request)
			switch {
			case c.want == "" && a.Fault != nil:
				t.Errorf("got %+v", a.Fault)
			case c.want != "" && (a.Fault == nil || a.Fault.Kind != abi.FaultKindTooLarge || a.Fault.Side != abi.FaultSideGuest || !strings.Contains(a.Fault.Message, c.want)):
				t.Errorf("got %+v, want %s", a.Fault, c.want)
			}
		})
	}
}

func TestInvoke_RefusesAnswersThatTakeFarMoreThanTheirJSON(t *testing.T) {
	t.Parallel()
	call := plugin.Call{Plugin: &plugin.Plugin{Name: "crm"}, Export: abi.ExportListActions}
	_, err := plugin.Invoke[abi.ListActionsOutput](t.Context(), caller(`{"actions":`+many("{}", 1<<20)+`}`), call, abi.Empty{})
	if !fault.Is(err, fault.TooLarge) || fault.SideOf(err) != fault.Guest ||
		!strings.Contains(fault.PublicMessage(err), "guest crm: the answer of frigg_list_actions is too large") {
		t.Errorf("got %v", err)
	}
}
