package pointer_test

import (
	"encoding/json"
	"testing"

	"github.com/frigg-host/frigg-host/host/pointer"
	"github.com/google/go-cmp/cmp"
)

func TestText_FindsScalarsAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	const doc = `{"id":42,"big":9007199254740993,"on":true,"name":"x","none":null,"list":[{"id":"a"},1.50],"a/b":{"~":"t"},"":"empty","~1":"tilde"}`
	v, ok := pointer.Decode([]byte(doc))
	if !ok {
		t.Fatal("not decoded")
	}
	for at, want := range map[string]string{
		"/id": "42", "/big": "9007199254740993", "/on": "true", "/name": "x", "/list/0/id": "a", "/list/1": "1.50",
		"/a~1b/~0": "t", "/": "empty", "/~01": "tilde",
	} {
		if got, ok := pointer.Text(v, at); !ok || got != want {
			t.Errorf("%s: %q, %v, want %q", at, got, ok, want)
		}
	}
	for _, at := range []string{"", "/none", "/list", "/list/2", "/list/-1", "/list/00", "/list/+1", "/list/-", "/nope", "/id/x", "id", "/name/0"} {
		if got, ok := pointer.Text(v, at); ok {
			t.Errorf("%q gives %q", at, got)
		}
	}
}

func TestDecode_TakesOneValueOnly(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{``, `{`, `1 2`, `{}}`, "\xff"} {
		if v, ok := pointer.Decode([]byte(bad)); ok {
			t.Errorf("%q gives %v", bad, v)
		}
	}
}

func TestSetAndRemove_ChangeOnlyPlacesThatAreThere(t *testing.T) {
	t.Parallel()
	v, _ := pointer.Decode([]byte(`{"a":{"b":1},"l":["x","y"]}`))
	for at, want := range map[string]bool{"/a/c": true, "/l/1": true, "/new": true, "": false, "/l/2": false, "/no/x": false, "/a/b/c": false, "a": false} {
		if got := pointer.Set(v, at, "set"); got != want {
			t.Errorf("set %q: %v", at, got)
		}
	}
	for _, at := range []string{"/a/b", "/l/0", "/no/x", "", "x"} {
		pointer.Remove(v, at)
	}
	want := map[string]any{"a": map[string]any{"c": "set"}, "l": []any{nil, "set"}, "new": "set"}
	if d := cmp.Diff(want, v); d != "" {
		t.Error(d)
	}
}

func FuzzPointer(f *testing.F) {
	f.Add(`{"a":[1,{"b":"c"}]}`, "/a/1/b")
	f.Add(`[[]]`, "/0/0")
	f.Add(`{"~":1}`, "/~0")
	f.Fuzz(func(t *testing.T, doc, at string) {
		v, ok := pointer.Decode([]byte(doc))
		if !ok {
			return
		}
		if steps, ok := pointer.Steps(at); ok {
			again, _ := pointer.Steps(pointer.Of(steps...))
			if d := cmp.Diff(steps, again); d != "" {
				t.Error(d)
			}
		}
		if _, found := pointer.At(v, at); found && at != "" {
			if !pointer.Set(v, at, json.Number("7")) {
				t.Fatalf("%q was found and cannot be set", at)
			}
			if text, _ := pointer.Text(v, at); text != "7" {
				t.Errorf("%q holds %q after it was set", at, text)
			}
		}
	})
}
