package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/host/fault"
)

type sample struct {
	Text   string         `json:"text"`
	Number int            `json:"number,omitempty"`
	Flag   bool           `json:"flag,omitempty"`
	List   []string       `json:"list,omitempty"`
	Data   map[string]any `json:"data,omitempty"`
	Inner  struct {
		Text string `json:"text"`
	} `json:"inner,omitempty"`
	Raw Object `json:"raw,omitempty"`
}

// parse reads a body as an operation does.
func parse(body, kind string) (sample, error) {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", kind)
	var out sample
	raw, err := readJSON(httptest.NewRecorder(), r, 1<<20)
	if err == nil {
		err = decode(raw, &out)
	}
	return out, err
}

func TestDecode_TakesWhatIsJSON(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"empty":                 ``,
		"empty object":          `{}`,
		"white space":           " \r\n\t{ \"text\" : \"a\" } \n",
		"unknown fields":        `{"text":"a","more":{"deep":[1,2]},"x":null}`,
		"null for a field":      `{"text":null}`,
		"escapes":               `{"text":"\u0061\ud834\udd1e\\\"\/\b\f\n\r\t"}`,
		"a lone surrogate":      `{"text":"\ud800"}`,
		"numbers":               `{"data":{"a":-0,"b":1e9,"c":0.1E-2,"d":123456789012345678901234567890}}`,
		"same name, deeper":     `{"text":"a","data":{"text":"b"}}`,
		"same name, in a list":  `{"data":{"l":[{"a":1},{"a":2}]}}`,
		"as deep as is allowed": `{"raw":` + strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1) + `}`,
	} {
		if _, err := parse(body, "application/json; charset=utf-8"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDecode_KeepsWhatIsPassedOn(t *testing.T) {
	t.Parallel()
	got, err := parse(`{"data":{"n":123456789012345678901234567890},"raw":{"n":1.0}}`, "application/merge-patch+json")
	if err != nil || fmt.Sprint(got.Data["n"]) != "123456789012345678901234567890" || string(got.Raw) != `{"n":1.0}` {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestDecode_RefusesGarbage(t *testing.T) {
	t.Parallel()
	const planted = "pl4nted"
	for body, want := range map[string]string{
		`{`:                             "not JSON, see byte 1",
		`{"text"`:                       "not JSON",
		`{"text":"` + planted:           "not JSON",
		`{"text":` + planted + `}`:      "not JSON, see byte 9",
		`{"text":"a",}`:                 "not JSON",
		`{"text":"a"}{`:                 "not JSON",
		`{"text":"a"} ` + planted:       "not JSON",
		`{"text":"a"}{"text":"b"}`:      "not JSON",
		`{text:"a"}`:                    "not JSON",
		`{'text':'a'}`:                  "not JSON",
		`{"text":"a" "b"}`:              "not JSON",
		`{"text":"a"/*c*/}`:             "not JSON",
		`{"number":01}`:                 "not JSON",
		`{"number":+1}`:                 "not JSON",
		`{"number":.5}`:                 "not JSON",
		`{"number":0x1}`:                "not JSON",
		`{"number":NaN}`:                "not JSON",
		`{"number":Infinity}`:           "not JSON",
		`{"text":True}`:                 "not JSON",
		`{"text":"\x00"}`:               "not JSON",
		"{\"text\":\"a\nb\"}":           "not JSON",
		"{\"text\":\"a\x00b\"}":         "not JSON",
		`{"text":"\u00g0"}`:             "not JSON",
		" ":                             "not JSON",
		"\x00":                          "not JSON",
		"\ufeff{}":                      "not JSON",
		`<a>` + planted + `</a>`:        "not JSON",
		`text=` + planted:               "not JSON",
		"{\"text\":\"\xff\"}":           "not UTF-8",
		"\xff\xfe{\x00}\x00":            "not UTF-8",
		`null`:                          "must be a JSON object",
		`[]`:                            "must be a JSON object",
		`[{"text":"a"}]`:                "must be a JSON object",
		`"` + planted + `"`:             "must be a JSON object",
		`17`:                            "must be a JSON object",
		`true`:                          "must be a JSON object",
		`{"text":17}`:                   "text must be a text",
		`{"text":["` + planted + `"]}`:  "text must be a text",
		`{"text":{}}`:                   "text must be a text",
		`{"number":"` + planted + `"}`:  "number must be a number",
		`{"number":1.5}`:                "number must be a number",
		`{"number":1e99}`:               "number must be a number",
		`{"flag":"true"}`:               "flag must be true or false",
		`{"list":{}}`:                   "list must be a list",
		`{"list":[1]}`:                  "list must be a text",
		`{"data":["` + planted + `"]}`:  "data must be an object",
		`{"data":"` + planted + `"}`:    "data must be an object",
		`{"inner":[]}`:                  "inner must be an object",
		`{"inner":{"text":1}}`:          "inner.text must be a text",
		`{"text":"a","text":"b"}`:       "a field twice, see byte",
		`{"text":"a","\u0074ext":"b"}`:  "a field twice, see byte",
		`{"data":{"x":{"a":1,"a":1}}}`:  "a field twice, see byte",
		`{"data":{"l":[{"a":1,"a":2}]}`: "not JSON",
		`{"more":[{"a":1,"a":2}]}`:      "a field twice, see byte",
		`{"raw":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}`: "nested more than",
		`{"raw":` + strings.Repeat("[", 100_000):                                        "not JSON",
		strings.Repeat(`{"a":`, maxDepth+1) + "1" + strings.Repeat(`}`, maxDepth+1):     "nested more than",
		strings.Repeat(`{"a":`, 20_000) + "1" + strings.Repeat(`}`, 20_000):             "not JSON",
		`{"text":"` + strings.Repeat("a", 2<<20) + `"}`:                                 "larger than 1048576 bytes",
	} {
		_, err := parse(body, "application/json")
		if err == nil || !strings.Contains(fault.PublicMessage(err), want) {
			t.Errorf("%.60q: got %v, want %q", body, err, want)
			continue
		}
		if strings.Contains(err.Error(), planted) {
			t.Errorf("%.60q: the error repeats the body: %v", body, err)
		}
		if kind := fault.KindOf(err); kind != fault.Invalid && kind != fault.TooLarge {
			t.Errorf("%.60q: kind %s", body, kind)
		}
	}
}

func TestDecode_RefusesOtherMediaTypes(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp", ";", "application/xml"} {
		if _, err := parse(`{}`, kind); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if _, err := parse(`{}`, ""); err != nil {
		t.Errorf("without a type: %v", err)
	}
}

func TestMissing_HasFriggsTexts(t *testing.T) {
	t.Parallel()
	if got := fault.PublicMessage(missing([]string{"a"})); got != "Missing Parameter: a is required." {
		t.Error(got)
	}
	if got := fault.PublicMessage(missing([]string{"a", "b"})); got != "Missing Parameters: a, b are required." {
		t.Error(got)
	}
}

// FuzzDecode looks for bodies that crash the decoder, and for ones that it takes although they are not one JSON object.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		``, `{}`, `{"text":"a","number":1,"flag":true,"list":["x"],"data":{"a":{"b":[1,null]}},"inner":{"text":"t"},"raw":{"x":1}}`,
		`{"a":1,"a":2}`, `[[]]`, `{"text":1}`, "{\"text\":\"\xff\"}", `{"raw":null}`, `{"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, err := parse(body, "application/json")
		if err != nil {
			if kind := fault.KindOf(err); kind != fault.Invalid && kind != fault.TooLarge {
				t.Fatalf("%q: kind %s", body, kind)
			}
			return
		}
		if body == "" {
			return
		}
		var whole map[string]json.RawMessage
		if err := json.Unmarshal([]byte(body), &whole); err != nil {
			t.Fatalf("%q was taken: %v", body, err)
		}
		if _, err := json.Marshal(got); err != nil {
			t.Fatalf("%q cannot be passed on: %v", body, err)
		}
	})
}
