package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
)

type asked struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

func init() {
	Export("test_echo", func(_ Host, in asked) (asked, error) { return in, nil })
	Export("test_panic", func(Host, asked) (asked, error) { panic("out of ideas") })
	Export("test_plain", func(Host, asked) (asked, error) { return asked{}, errors.New("no disk") })
	Export("test_nan", func(Host, asked) (float64, error) { return math.NaN(), nil })
	Export("test_fault", func(Host, asked) (asked, error) {
		inner := &frigg.Fault{Kind: frigg.KindNotFound, Side: frigg.SideRemote, Message: "no such issue", Status: 404}
		return asked{}, frigg.Halt(fmt.Errorf("closing the issue: %w", inner))
	})
	Export("test_later", func(Host, asked) (asked, error) { return asked{}, frigg.RetryAfter(90*time.Second, nil) })
}

func TestAnswer_IsAlwaysAValueOrAFault(t *testing.T) {
	for _, c := range []struct {
		name, export, input string
		want                abi.Answer
	}{
		{"value", "test_echo", `{"name":"a","count":2,"unknown":true}`, abi.Answer{Value: json.RawMessage(`{"name":"a","count":2}`)}},
		{"no input", "test_echo", ``, abi.Answer{Value: json.RawMessage(`{"name":"","count":0}`)}},
		{"null", "test_echo", `null`, abi.Answer{Value: json.RawMessage(`{"name":"","count":0}`)}},
		{"wrong type", "test_echo", `{"count":"many"}`, fault(abi.Fault{Kind: "invalid", Message: "test_echo: count must be number, not string"})},
		{"not an object", "test_echo", `[1]`, fault(abi.Fault{Kind: "invalid", Message: "test_echo: it must be object, not array"})},
		{"unknown export", "test_none", ``, fault(abi.Fault{Kind: "unsupported", Message: "this plugin does not offer test_none"})},
		{"panic", "test_panic", ``, fault(abi.Fault{Kind: "internal", Side: "guest", Message: "test_panic: panic: out of ideas"})},
		{"plain error", "test_plain", ``, fault(abi.Fault{Kind: "internal", Side: "guest", Message: "no disk"})},
		{"value that JSON has not", "test_nan", ``, fault(abi.Fault{Kind: "internal", Side: "guest", Message: "json: unsupported value: NaN"})},
		{"fault", "test_fault", ``, fault(abi.Fault{Kind: "not_found", Side: "remote", Message: "closing the issue: no such issue", Halt: true, Status: 404})},
		{"later", "test_later", ``, fault(abi.Fault{Kind: "rate_limited", Message: "not yet; try again in 1m30s", RetryAfterMS: 90000})},
	} {
		var got abi.Answer
		if err := json.Unmarshal(Answer(Host{}, c.export, []byte(c.input)), &got); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func fault(f abi.Fault) abi.Answer { return abi.Answer{Fault: &f} }

func TestAnswer_RepeatsNoValueOfBrokenInput(t *testing.T) {
	Export("test_time", func(_ Host, in time.Time) (time.Time, error) { return in, nil })
	for export, input := range map[string]string{"test_echo": `{"name": "geheim", "count": "geheim"}`, "test_time": `"geheim"`} {
		answer := string(Answer(Host{}, export, []byte(input)))
		if strings.Contains(answer, "geheim") || !strings.Contains(answer, `"invalid"`) {
			t.Errorf("%s: %s", export, answer)
		}
	}
}

func TestDecodeAnswer_GivesFaultsBackWhole(t *testing.T) {
	_, err := DecodeAnswer[asked]([]byte(`{"fault":{"kind":"rate_limited","side":"remote","message":"slow down","retry_after_ms":1500,"status":429}}`))
	want := &frigg.Fault{Kind: frigg.KindRateLimited, Side: frigg.SideRemote, Message: "slow down", RetryAfter: 1500 * time.Millisecond, Status: 429}
	if diff := cmp.Diff(error(want), err); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeAnswer_RefusesWhatIsNoAnswer(t *testing.T) {
	for _, text := range []string{``, `{}`, `null`, `[]`, `{"value":[1]}`, `{"value":`} {
		if _, err := DecodeAnswer[asked]([]byte(text)); err == nil {
			t.Errorf("%q is taken for an answer", text)
		}
	}
}

func TestHostFunctions_WithoutAHostSayWhatToDo(t *testing.T) {
	_, err := StorageGet(Host{}, abi.StorageGet{Key: "k"})
	if !frigg.Is(err, frigg.KindUnsupported) || !strings.Contains(err.Error(), "friggtest") {
		t.Errorf("%v", err)
	}
}

func TestDeclare_RefusesASecondHandler(t *testing.T) {
	Declare("thing", "x")
	defer func() {
		if recover() == nil {
			t.Error("two handlers for one name")
		}
	}()
	Declare("thing", "x")
}

func FuzzAnswer(f *testing.F) {
	f.Add("test_echo", []byte(`{"name":"a"}`))
	f.Add("test_fault", []byte(`{`))
	f.Fuzz(func(t *testing.T, export string, input []byte) {
		var a abi.Answer
		if err := json.Unmarshal(Answer(Host{}, export, input), &a); err != nil || (a.Fault == nil) == (a.Value == nil) {
			t.Errorf("%+v, %v", a, err)
		}
	})
}

// decoded is what Decode and encoding/json make of a text.
func decoded[T any](text string) (got, want T, err error) {
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		return got, want, err
	}
	return got, want, Decode([]byte(text), &got, "it")
}

func TestDecode_ReadsLooseValuesAsReflectionDoes(t *testing.T) {
	for _, text := range []string{`null`, ` {"a": [1, "\u00fc", null]} `, "\n{}\t", `{"a":1,"a":2}`} {
		raw, wantRaw, err := decoded[json.RawMessage](text)
		if err != nil || string(raw) != string(wantRaw) {
			t.Errorf("%q as it is: %q, %v, want %q", text, raw, err, wantRaw)
		}
		object, wantObject, err := decoded[map[string]any](text)
		if diff := cmp.Diff(wantObject, object); err != nil || diff != "" {
			t.Errorf("%q as an object: %v %s", text, err, diff)
		}
		value, wantValue, err := decoded[any](text)
		if diff := cmp.Diff(wantValue, value); err != nil || diff != "" {
			t.Errorf("%q as anything: %v %s", text, err, diff)
		}
	}
	given := map[string]any{"a": 1}
	if err := Decode([]byte(`{"b":2}`), &given, "it"); err != nil || len(given) != 2 {
		t.Errorf("what was there is gone: %v, %v", given, err)
	}
	var raw json.RawMessage
	if err := Decode([]byte(`{`), &raw, "it"); err == nil {
		t.Errorf("half an object was read: %s", raw)
	}
}
