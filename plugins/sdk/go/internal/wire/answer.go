package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"slices"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
)

// exports are the functions that the host may call, by name.
var exports = map[string]func(Host, []byte) (any, error){}

// Export registers the function behind an export of the contract. Call it from variable declarations or init only.
func Export[In, Out any](name string, f func(Host, In) (Out, error)) {
	exports[name] = func(h Host, input []byte) (any, error) {
		var in In
		if err := Decode(input, &in, name); err != nil {
			return nil, err
		}
		return f(h, in)
	}
}

// Declared are the names that handlers were registered for, by what they name ("method", "event"...).
var Declared = map[string][]string{}

// Declare notes a registration and panics if there is one already, which only a programming mistake can cause.
func Declare(what, name string) {
	if slices.Contains(Declared[what], name) {
		panic("frigg: the " + what + " " + name + " has two handlers")
	}
	Declared[what] = append(Declared[what], name)
}

// Answer runs an export and returns the bytes of its abi.Answer. It never panics: a panic becomes a fault, its stack goes to
// the standard error.
func Answer(h Host, export string, input []byte) (answer []byte) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(os.Stderr, "panic: %v\n\n%s", p, debug.Stack())
			answer = Encode(nil, &frigg.Fault{Kind: frigg.KindInternal, Side: frigg.SideGuest, Message: fmt.Sprintf("%s: panic: %v", export, p)})
		}
	}()
	f, ok := exports[export]
	if !ok {
		return Encode(nil, frigg.Unsupported("this plugin does not offer %s", export))
	}
	return Encode(f(h, input))
}

// appender is a value that writes itself, as messages of the contract do; false leaves it to encoding/json.
type appender interface {
	AppendJSON(b []byte) ([]byte, bool)
}

// reader is a value that reads itself; false leaves it to encoding/json.
type reader interface {
	ReadJSON(text []byte) bool
}

// Marshal writes v as JSON.
func Marshal(v any) ([]byte, error) {
	if m, ok := v.(appender); ok {
		if b, ok := m.AppendJSON(nil); ok {
			return b, nil
		}
	}
	return json.Marshal(v)
}

// Encode writes value, or the fault in err, as an abi.Answer.
func Encode(value any, err error) []byte {
	if m, ok := value.(appender); ok && err == nil {
		if b, ok := m.AppendJSON([]byte(`{"value":`)); ok {
			return append(b, '}')
		}
	}
	var a abi.Answer
	if err == nil {
		a.Value, err = json.Marshal(value)
	}
	if err != nil {
		f := faultMessage(err)
		a = abi.Answer{Fault: &f}
	}
	b, err := json.Marshal(a)
	if err != nil {
		panic(err) // a.Value came from json.Marshal, a.Fault holds texts and numbers
	}
	return b
}

func faultMessage(err error) abi.Fault {
	f := frigg.FaultOf(err)
	return abi.Fault{Kind: f.Kind, Side: f.Side, Message: f.Message, RetryAfterMS: f.RetryAfter.Milliseconds(), Halt: f.Halt, Status: int64(f.Status)}
}

// DecodeAnswer reads an abi.Answer: its value, or its fault as an error.
func DecodeAnswer[T any](b []byte) (T, error) {
	var a abi.Answer
	var value T
	if m, isMessage := any(&value).(abi.Decodable); isMessage {
		if f, ok := abi.ReadAnswer(b, m); ok && f == nil {
			return value, nil
		}
	}
	if err := Decode(b, &a, "the host's answer"); err != nil {
		return value, err
	}
	if f := a.Fault; f != nil {
		return value, &frigg.Fault{
			Kind: f.Kind, Side: f.Side, Message: f.Message,
			RetryAfter: time.Duration(f.RetryAfterMS) * time.Millisecond, Halt: f.Halt, Status: int(f.Status),
		}
	}
	if len(a.Value) == 0 {
		return value, &frigg.Fault{Kind: frigg.KindInternal, Side: frigg.SideHost, Message: "the host answered neither a value nor a fault"}
	}
	return value, Decode(a.Value, &value, "the host's answer")
}

// Decode reads JSON into v; nothing and null leave v alone. The fault names the field that is wrong and repeats no value.
func Decode(b []byte, v any, what string) error {
	if len(b) == 0 {
		return nil
	}
	switch v := v.(type) {
	case reader:
		if v.ReadJSON(b) {
			return nil
		}
	case *json.RawMessage:
		if json.Valid(b) {
			*v = bytes.Clone(bytes.Trim(b, " \t\r\n"))
			return nil
		}
	case *any:
		if value, ok := abi.ReadAny(b); ok && *v == nil {
			*v = value
			return nil
		}
	case *map[string]any:
		if value, ok := abi.ReadAny(b); ok && *v == nil {
			if object, ok := value.(map[string]any); ok {
				*v = object
				return nil
			}
		}
	}
	err := json.Unmarshal(b, v)
	if err == nil {
		return nil
	}
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return frigg.Invalid("%s: %s must be %s, not %s", what, fieldName(t.Field), typeName(t.Type), t.Value)
	}
	if _, ok := errors.AsType[*json.SyntaxError](err); ok {
		return frigg.Invalid("%s: not JSON: %w", what, err)
	}
	return frigg.Invalid("%s: a value is not written as expected", what) // err quotes it
}

// DecodeLoosely reads what a person has typed so far: a value of the wrong type is left out.
func DecodeLoosely(b []byte, v any) {
	if len(b) > 0 {
		_ = json.Unmarshal(b, v) // fields that fit are set, also when another one fails
	}
}

func fieldName(field string) string {
	if field == "" {
		return "it"
	}
	return field
}

// typeName is the JSON name of what was expected.
func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "bool"
	case reflect.Slice, reflect.Array:
		return "array"
	case reflect.Struct, reflect.Map:
		return "object"
	}
	return "number"
}
