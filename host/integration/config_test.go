package integration

import (
	"encoding/json"
	"testing"
)

func TestMerge_IsRFC7396OnTheTopLevel(t *testing.T) {
	t.Parallel()
	o := object{"a": json.RawMessage(`1`), "b": json.RawMessage(`{"x":1}`)}
	got := o.merge(object{"a": json.RawMessage(` null `), "b": json.RawMessage(`2`), "c": json.RawMessage(`3`)})
	if string(got.encode()) != `{"b":2,"c":3}` {
		t.Errorf("got %s", got.encode())
	}
	if len(o) != 2 {
		t.Error("merge changed its receiver")
	}
}
