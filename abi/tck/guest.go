package tck

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/frigg-host/frigg-host/abi"
)

// guestVectors is guests.json.
type guestVectors struct {
	Doc       string `json:"doc"`
	Malformed []struct {
		Name string `json:"name"`
		Text string `json:"text"`
	} `json:"malformed"`
	Exports map[string]struct {
		Input json.RawMessage `json:"input"`
		Wrong json.RawMessage `json:"wrong"`
	} `json:"exports"`
}

// Guest plays the vectors of guests against a guest that has these exports. Call runs one in a fresh instance, with or
// without capabilities, and returns its output; an error of call is a trap or a limit, which no input may cause.
func Guest(t *testing.T, exports []string, call func(export string, input []byte) (answer []byte, err error)) {
	var v guestVectors
	load(t, "guests.json", &v)
	for _, e := range abi.Exports {
		if _, ok := v.Exports[e.Name]; !ok {
			t.Fatalf("guests.json has no case for %s", e.Name)
		}
	}
	if len(v.Malformed) == 0 || len(exports) == 0 {
		t.Fatal("there is nothing to play")
	}
	for _, export := range exports {
		c, ok := v.Exports[export]
		if !ok {
			t.Errorf("%s is not in the contract", export)
			continue
		}
		t.Run(export, func(t *testing.T) {
			t.Parallel()
			ask := func(input string) (value json.RawMessage, f *abi.Fault) {
				t.Helper()
				output, err := call(export, []byte(input))
				if err != nil {
					t.Fatalf("input %.100s ended the guest: %v", input, err)
				}
				value, f, err = open(output)
				if err != nil {
					t.Fatalf("input %.100s was answered by something else than an Answer: %v", input, err)
				}
				return value, f
			}
			for _, m := range v.Malformed {
				if value, f := ask(m.Text); f == nil || kindOf(f) != abi.FaultKindInvalid {
					t.Errorf("%s: got %s and %v, want a fault of kind invalid", m.Name, value, f)
				}
			}
			if value, f := ask(string(c.Wrong)); f == nil || kindOf(f) != abi.FaultKindInvalid {
				t.Errorf("a field of the wrong type: got %s and %v, want a fault of kind invalid", value, f)
			}
			_, now := ask(string(c.Input))
			_, later := ask(string(fromTheFuture(t, c.Input)))
			if (now == nil) != (later == nil) || now != nil && kindOf(now) != kindOf(later) {
				t.Errorf("with fields of a later version it answers %v instead of %v", later, now)
			}
		})
	}
}

// open reads an envelope as strictly as the vectors of answers ask for.
func open(output []byte) (json.RawMessage, *abi.Fault, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(output, &fields); err != nil {
		return nil, nil, err
	}
	value, hasValue := fields["value"]
	var f *abi.Fault
	if text, ok := fields["fault"]; ok {
		if err := json.Unmarshal(text, &f); err != nil {
			return nil, nil, err
		}
	}
	if hasValue == (f != nil) {
		return nil, nil, fmt.Errorf("it must have either value or fault: %.200s", output)
	}
	return value, f, nil
}

// anybodys are fields whose objects are anybody's data, or maps by name.
var anybodys = []string{"config", "data", "args", "input", "callback", "headers", "query", "params"}

// fromTheFuture adds an unknown field to every object of the contract; what is anybody's data stays as it is.
func fromTheFuture(t *testing.T, text json.RawMessage) json.RawMessage {
	var add func(v any, field string)
	add = func(v any, field string) {
		object, ok := v.(map[string]any)
		if !ok || slices.Contains(anybodys, field) {
			return
		}
		for name, inner := range object {
			add(inner, name)
		}
		object["from_the_future"] = map[string]any{"a": []any{1, nil}}
	}
	v := decoded(t, text)
	add(v, "")
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
