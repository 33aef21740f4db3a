package tck

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/abi"
)

func TestAnswers_PlayTheVectors(t *testing.T) {
	t.Parallel()
	Answers(t, open)
}

func TestMessages_PlayTheVectors(t *testing.T) {
	t.Parallel()
	Messages(t)
}

// good is a guest that does as it should.
func good(_ string, input []byte) ([]byte, error) {
	var in struct {
		Connection  *abi.Connection
		Integration *abi.Integration
		Webhook     *abi.WebhookEvent
		Request     *abi.HTTPRequest
		Event       string
		Method      string
		Action      string
		From        string
		Sync        string
		Records     []abi.RecordWrite
	}
	if json.Unmarshal(input, &in) != nil {
		return []byte(`{"fault":{"kind":"invalid","message":"no"}}`), nil
	}
	return []byte(`{"value":{}}`), nil
}

func every() []string {
	var names []string
	for _, e := range abi.Exports {
		names = append(names, e.Name)
	}
	return names
}

func TestGuest_AcceptsAGoodGuest(t *testing.T) {
	t.Parallel()
	Guest(t, every(), good)
}

// bad are guests that the kit must catch.
var bad = map[string]func(export string, input []byte) ([]byte, error){
	"traps":            func(string, []byte) ([]byte, error) { return nil, errors.New("unreachable") },
	"says nothing":     func(string, []byte) ([]byte, error) { return nil, nil },
	"has no envelope":  func(string, []byte) ([]byte, error) { return []byte(`{"accounts":[]}`), nil },
	"accepts anything": func(string, []byte) ([]byte, error) { return []byte(`{"value":1}`), nil },
	"refuses wrongly": func(e string, in []byte) ([]byte, error) {
		out, err := good(e, in)
		return []byte(strings.Replace(string(out), "invalid", "internal", 1)), err
	},
	"is strict where it must not be": func(e string, in []byte) ([]byte, error) {
		if strings.Contains(string(in), "from_the_future") {
			return []byte(`{"fault":{"kind":"invalid","message":"unknown field"}}`), nil
		}
		return good(e, in)
	},
}

// The kit fails a test when it catches something, so each bad guest gets a process of its own, which must fail.
func TestGuest_CatchesBadGuests(t *testing.T) {
	t.Parallel()
	if name := os.Getenv("FRIGG_TCK_BAD_GUEST"); name != "" {
		Guest(t, []string{abi.ExportHandleEvent}, bad[name])
		return
	}
	for name := range bad {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			self := exec.Command(os.Args[0], "-test.run=^TestGuest_CatchesBadGuests$")
			self.Env = append(os.Environ(), "FRIGG_TCK_BAD_GUEST="+name)
			out, err := self.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestGuest_CatchesBadGuests/frigg_handle_event") {
				t.Errorf("not caught: %s", out)
			}
		})
	}
}
