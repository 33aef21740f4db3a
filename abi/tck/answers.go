package tck

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/frigg-host/frigg-host/abi"
)

// answerVectors is answers.json.
type answerVectors struct {
	Doc               string `json:"doc"`
	Accepted, Refused []struct {
		Name  string          `json:"name"`
		Text  string          `json:"text"`
		Value json.RawMessage `json:"value"`
		Fault abi.FaultKind   `json:"fault"`
	}
}

// Answers plays the vectors of envelopes against a reader of them: it returns the value or the fault, or an error when the
// text is no Answer. An unknown kind of fault may be left as it is or turned into internal.
func Answers(t *testing.T, read func(answer []byte) (json.RawMessage, *abi.Fault, error)) {
	var v answerVectors
	load(t, "answers.json", &v)
	if len(v.Accepted) == 0 || len(v.Refused) == 0 {
		t.Fatal("answers.json has no cases")
	}
	for _, c := range v.Accepted {
		t.Run("accepts "+c.Name, func(t *testing.T) {
			t.Parallel()
			value, f, err := read([]byte(c.Text))
			switch {
			case err != nil:
				t.Fatal(err)
			case c.Fault == "" && (f != nil || !sameJSON(t, value, c.Value)):
				t.Errorf("got %s and %v, want %s", value, f, c.Value)
			case c.Fault != "" && (f == nil || kindOf(f) != c.Fault):
				t.Errorf("got %s and %v, want a fault of kind %s", value, f, c.Fault)
			}
		})
	}
	for _, c := range v.Refused {
		t.Run("refuses "+c.Name, func(t *testing.T) {
			t.Parallel()
			if value, f, err := read([]byte(c.Text)); err == nil {
				t.Errorf("got %s and %v, want an error", value, f)
			}
		})
	}
}

// kindOf is the kind as readers take it.
func kindOf(f *abi.Fault) abi.FaultKind {
	if f.Kind.Valid() {
		return f.Kind
	}
	return abi.FaultKindInternal
}

func sameJSON(t *testing.T, a, b json.RawMessage) bool {
	return len(a) > 0 && reflect.DeepEqual(decoded(t, a), decoded(t, b))
}

// messageVectors is messages.json.
type messageVectors struct {
	Doc      string `json:"doc"`
	Messages []struct {
		Message    string          `json:"message"`
		Text, Want json.RawMessage `json:",omitempty"`
	}
}

// messages makes the Go types of the messages that have vectors.
var messages = map[string]func() any{
	"Connection":     func() any { return new(abi.Connection) },
	"Fault":          func() any { return new(abi.Fault) },
	"HTTPReply":      func() any { return new(abi.HTTPReply) },
	"HTTPRequest":    func() any { return new(abi.HTTPRequest) },
	"HTTPResponse":   func() any { return new(abi.HTTPResponse) },
	"Integration":    func() any { return new(abi.Integration) },
	"MappingEntries": func() any { return new(abi.MappingEntries) },
	"QueueJob":       func() any { return new(abi.QueueJob) },
	"RouteInput":     func() any { return new(abi.RouteInput) },
	"StorageValue":   func() any { return new(abi.StorageValue) },
	"WebhookEvent":   func() any { return new(abi.WebhookEvent) },
}

// Messages plays the vectors of messages against the Go types of the contract.
func Messages(t *testing.T) {
	var v messageVectors
	load(t, "messages.json", &v)
	if len(v.Messages) == 0 {
		t.Fatal("messages.json has no cases")
	}
	for _, c := range v.Messages {
		t.Run(c.Message, func(t *testing.T) {
			t.Parallel()
			make, ok := messages[c.Message]
			if !ok {
				t.Fatalf("the message %s is not known here", c.Message)
			}
			m := make()
			if err := json.Unmarshal(c.Text, m); err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if !sameJSON(t, got, c.Want) {
				t.Errorf("got  %s\nwant %s", got, c.Want)
			}
		})
	}
}
