package integration

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
)

const testForm = `{"type":"object","required":["repo","token"],"properties":{
	"repo":{"type":"string","enum":["a/b","c/d"]},
	"days":{"type":"integer","minimum":1},
	"token":{"type":"string","format":"password"},
	"filter":{"type":"object","required":["label"],"properties":{"label":{"type":"string"}}}}}`

func TestForm_RefusesWhatDoesNotFitAndSeesWhatIsMissing(t *testing.T) {
	t.Parallel()
	f, err := parseForm(&abi.Form{JSONSchema: json.RawMessage(testForm)})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(f.secrets, ",") != "token" {
		t.Errorf("secret fields %v", f.secrets)
	}
	for _, row := range []struct {
		config   string
		complete bool
		problem  string
	}{
		{`{"repo":"a/b","token":"[secret]"}`, true, ""},
		{`{"repo":"a/b"}`, false, ""},
		{`{}`, false, ""},
		{`{"repo":"","token":"x"}`, false, "config.repo: does not satisfy enum"},
		{`{"repo":"hunter2","token":"x"}`, false, "config.repo: does not satisfy enum"},
		{`{"days":"3"}`, false, "config.days"},
		{`{"days":0}`, false, "config.days"},
		{`{"filter":{}}`, false, "config.filter"},
	} {
		config, err := decodeObject("test", json.RawMessage(row.config))
		if err != nil {
			t.Fatal(err)
		}
		complete, err := f.check(config)
		switch {
		case row.problem == "" && (err != nil || complete != row.complete):
			t.Errorf("%s: complete %v, %v", row.config, complete, err)
		case row.problem != "" && (!fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), row.problem)):
			t.Errorf("%s: %v, want %q", row.config, err, row.problem)
		case row.problem != "" && strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%s: the value is in the error: %v", row.config, err)
		}
	}
}

func TestForm_NeverReachesOutside(t *testing.T) {
	t.Parallel()
	for _, ref := range []string{"http://127.0.0.1:1/x", "file:///etc/passwd"} {
		_, err := parseForm(&abi.Form{JSONSchema: json.RawMessage(`{"type":"object","properties":{"a":{"$ref":"` + ref + `"}}}`)})
		if err == nil {
			t.Errorf("a form with a reference to %s was accepted", ref)
		}
	}
}

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
