package abi

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/quick"
)

// codecMessage is a message with its codec.
type codecMessage interface {
	Decodable
	AppendJSON([]byte) ([]byte, bool)
}

// byReflection is what encoding/json writes, without escapes for HTML.
func byReflection(t testing.TB, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// compareCodec reads and writes a message in both ways. It reports whether the codec could read it.
func compareCodec(t testing.TB, name string, text []byte) bool {
	t.Helper()
	fast, slow := travelling[name](), travelling[name]()
	if !fast.ReadJSON(text) {
		if !reflect.ValueOf(fast).Elem().IsZero() {
			t.Errorf("%s: something is left of %q: %+v", name, text, fast)
		}
		return false
	}
	if err := json.Unmarshal(text, slow); err != nil {
		t.Fatalf("%s: the codec reads %q, encoding/json: %v", name, text, err)
	}
	if !reflect.DeepEqual(fast, slow) {
		t.Fatalf("%s: of %q\nthe codec reads %+v\nencoding/json  %+v", name, text, fast, slow)
	}
	compareWriting(t, name, fast)
	return true
}

func compareWriting(t testing.TB, name string, m codecMessage) {
	t.Helper()
	const before = "before"
	b, ok := m.AppendJSON([]byte(before))
	if !ok || !bytes.HasPrefix(b, []byte(before)) {
		t.Fatalf("%s: %+v cannot be written: %q", name, m, b)
	}
	var got bytes.Buffer
	if err := json.Compact(&got, b[len(before):]); err != nil {
		t.Fatalf("%s: %q is not JSON: %v", name, b, err)
	}
	if want := byReflection(t, m); !bytes.Equal(got.Bytes(), want) {
		t.Fatalf("%s: the codec writes %q\nencoding/json    %q", name, got.Bytes(), want)
	}
}

// oddTexts are what random messages are made of.
var oddTexts = []string{
	"", "a", "plain text of more than one word", `"`, `\`, "\x00\x01\x1f\x7f", "\b\f\n\r\t", "<&>", "ü", "😀", "\u2028\u2029", "\xff", "a\xc3", "\xed\xa0\x80",
	strings.Repeat("long ", 100), "seven..\"", "eight...\"", "nine....\"\\", `{"a":"b"}`, "1234567\x1f", "12345678\u00e9",
}

func oddText(r *rand.Rand) string {
	return oddTexts[r.Intn(len(oddTexts))] + oddTexts[r.Intn(len(oddTexts))]
}

// fill sets v to something random.
func fill(r *rand.Rand, v reflect.Value, depth int) {
	if v.Type() == reflect.TypeFor[json.RawMessage]() {
		raws := []string{"null", "true", "false", "0", "-1.5e+3", `"\u00fc\ud83d\ude00\ud83d"`, "[]", "{}", `{ "a" : [ 1 , { } , "]" ] }`}
		if v.SetBytes([]byte(raws[r.Intn(len(raws))])); r.Intn(5) == 0 {
			v.SetZero()
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(oddText(r))
	case reflect.Bool:
		v.SetBool(r.Intn(2) == 0)
	case reflect.Int64:
		v.SetInt([]int64{0, 1, -1, 200, math.MaxInt64, math.MinInt64 + 1, r.Int63()}[r.Intn(7)])
	case reflect.Struct:
		for i := range v.NumField() {
			fill(r, v.Field(i), depth+1)
		}
	case reflect.Pointer:
		if depth < 3 && r.Intn(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem(), depth+1)
		}
	case reflect.Slice:
		if n := r.Intn(4); n < 3 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				if v.Type().Elem().Kind() == reflect.Uint8 {
					v.Index(i).SetUint(uint64(r.Intn(256)))
					continue
				}
				fill(r, v.Index(i), depth+1)
			}
		}
	case reflect.Map:
		if n := r.Intn(4); n < 3 {
			v.Set(reflect.MakeMap(v.Type()))
			for range n {
				entry := reflect.New(v.Type().Elem()).Elem()
				fill(r, entry, depth+1)
				v.SetMapIndex(reflect.ValueOf(oddText(r)), entry)
			}
		}
	default:
		panic("no value for " + v.Type().String())
	}
}

func TestCodec_WritesAndReadsWhatReflectionDoes(t *testing.T) {
	t.Parallel()
	if len(travelling) < 50 {
		t.Fatalf("only %d messages", len(travelling))
	}
	for name, make := range travelling {
		err := quick.Check(func(seed int64) bool {
			m := make()
			fill(rand.New(rand.NewSource(seed)), reflect.ValueOf(m).Elem(), 0)
			compareWriting(t, name, m)
			text := byReflection(t, m)
			if !compareCodec(t, name, text) {
				t.Errorf("%s: %q is not read", name, text)
			}
			indented, err := json.MarshalIndent(m, " ", "\t") // with escapes for HTML
			if err != nil || !compareCodec(t, name, indented) {
				t.Errorf("%s: %q is not read: %v", name, indented, err)
			}
			return !t.Failed()
		}, &quick.Config{MaxCount: 100})
		if err != nil {
			t.Error(err)
		}
	}
}

// oddJSON is text that is JSON, nearly JSON, or none.
var oddJSON = []string{
	``, ` `, `null`, ` null `, `nul`, `{}`, ` { } `, `{`, `}`, `[]`, `1`, `"a"`, `{}{}`, `{},`, `{"text":"a",}`, `{,}`, `{"text"}`, `{"text":}`, `{"text":"a" "path":"b"}`,
	`{"status":1}`, `{"status":01}`, `{"status":-0}`, `{"status":-}`, `{"status":1.0}`, `{"status":1e3}`, `{"status":"1"}`, `{"status":9223372036854775807}`,
	`{"status":9223372036854775808}`, `{"status":-9223372036854775808}`, `{"status":12345678901234567890}`, `{"status":null}`, `{"status":1x}`, `{"status":true}`,
	`{"text":null}`, `{"text":1}`, `{"text":"a` + "\n" + `b"}`, `{"text":"\u00fc\uD83D\uDE00\ud83d\u0041\udc00"}`, `{"text":"\x"}`, `{"text":"\u12g4"}`, `{"text":"\`, `{"text":"\"`, `{"text":"\u12`,
	`{"text":"` + "\xff\xc3(\xed\xa0\x80" + `"}`, `{"text":"` + "\xff" + `\n"}`, `{"te\u0078t":"a"}`, `{"` + "te\xff" + `xt":"a"}`,
	`{"bytes":"AP8="}`, `{"bytes":"AP8"}`, `{"bytes":"A\u0050\u00388="}`, `{"bytes":null}`, `{"bytes":""}`, `{"bytes":[0]}`, `{"bytes":"A` + `\n` + `P8="}`,
	`{"headers":{"a":"b","a":"c"}}`, `{"headers":{"a":null}}`, `{"headers":null}`, `{"headers":[]}`, `{"headers":{"a":1}}`, `{"headers":{}}`, `{"headers":{"a":["1","2"]}}`,
	`{"params":{"A":"1","a":"2"}}`, `{"query":{"a":[]}}`, `{"query":{"a":null}}`, `{"query":{"a":["x",null]}}`, `{"query":{"a":"b"}}`,
	`{"value":null}`, `{"value":{"a":[1,2,{"b":"c"}]},"fault":null}`, `{"value":1,"fault":{"kind":"x"}}`, `{"value":tru}`, `{"value":[1,]}`, `{"value":{"a" 1}}`, `{"value":-1.5E-7}`, `{"value":1.}`, `{"value":.5}`, `{"value":+1}`,
	`{"unknown":{"a":[true,false,null,"x",1e9]},"text":"a"}`, `{"unknown":truex}`, `{"Text":"a"}`, `{"TEXT":"a","text":"b"}`, `{"text":"a","text":"b"}`,
	`{"integration":{"id":"int_1","status":"NEW","config":{"a":1},"entities":[{"id":"1"},null]}}`, `{"integration":null}`, `{"integration":[]}`, `{"form":[{"name":"a"},null,{}]}`, `{"parts":[{"bytes":"AA=="}]}`,
	strings.Repeat(`{"value":`, 150) + `1` + strings.Repeat(`}`, 150), `{"value":` + strings.Repeat("[", 101) + strings.Repeat("]", 101) + `}`,
	`{"halt":true,"kind":"a","message":"b"}`, `{"halt":"true"}`, `{"halt":t}`, `{"halt":falsey}`, "\ufeff{}", "{\"a\":1}\x00", `{"a":"` + strings.Repeat("x", 100) + `"}`,
}

func TestCodec_ReadsNothingThatReflectionReadsOtherwise(t *testing.T) {
	t.Parallel()
	read := 0
	for _, text := range oddJSON {
		for name := range travelling {
			if compareCodec(t, name, []byte(text)) {
				read++
			}
		}
		compareAnswer(t, []byte(text))
	}
	if read < 1000 {
		t.Errorf("only %d texts were read", read)
	}
}

// compareOpening takes an envelope apart in both ways.
func compareOpening(t testing.TB, text []byte) {
	t.Helper()
	value, f, ok := OpenAnswer(text)
	if !ok {
		if value != nil || f != nil {
			t.Fatalf("something is left of %q: %s, %+v", text, value, f)
		}
		return
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatalf("the codec reads %q, encoding/json: %v", text, err)
	}
	var fault *Fault
	if err := json.Unmarshal(orElse(fields["fault"], "null"), &fault); err != nil || !reflect.DeepEqual(f, fault) || !bytes.Equal(value, fields["value"]) {
		t.Fatalf("of %q the codec takes %s and %+v\nencoding/json %s and %+v, %v", text, value, f, fields["value"], fault, err)
	}
}

func orElse(raw json.RawMessage, instead string) []byte {
	if len(raw) == 0 {
		return []byte(instead)
	}
	return raw
}

// compareAnswer reads an envelope in both ways.
func compareAnswer(t testing.TB, text []byte) {
	t.Helper()
	compareOpening(t, text)
	var reply HTTPReply
	f, ok := ReadAnswer(text, &reply)
	if !ok {
		if f != nil || !reflect.ValueOf(reply).IsZero() {
			t.Fatalf("something is left of %q: %+v, %+v", text, f, reply)
		}
		return
	}
	var a struct {
		Value *HTTPReply
		Fault *Fault
	}
	if err := json.Unmarshal(text, &a); err != nil {
		t.Fatalf("the codec reads %q, encoding/json: %v", text, err)
	}
	if !reflect.DeepEqual(f, a.Fault) || a.Value == nil == (f == nil) || a.Value != nil && !reflect.DeepEqual(*a.Value, reply) {
		t.Fatalf("of %q the codec reads %+v and %+v\nencoding/json %+v and %+v", text, f, reply, a.Fault, a.Value)
	}
}

func TestReadAnswer_TakesOneOfValueAndFault(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"value":{"text":"a"}}`: "a", ` { "later" : [1] , "value" : { "text" : "a" } , "fault" : null } `: "a", `{"fault":{"kind":"invalid","message":"m"}}`: "fault m", `{"value":{}}`: "",
		`{}`: "no", `null`: "no", `[]`: "no", `{"value":{"text":"a"},"fault":{}}`: "no", `{"value":null}`: "no", `{"value":1}`: "no", `{"value":{}}{}`: "no", `{"value":{},"value":{"text":"b"}}`: "no",
	} {
		var reply HTTPReply
		f, ok := ReadAnswer([]byte(text), &reply)
		got := reply.Text
		switch {
		case !ok:
			got = "no"
		case f != nil:
			got = "fault " + f.Message
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestOpenAnswer_TakesOneOfValueAndFault(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"value":null}`: "null", `{"value": {"a": 1} ,"later":[1],"fault":null}`: `{"a": 1}`, `{"fault":{"kind":"invalid","message":"m"}}`: "fault m", `{"fault":{}}`: "fault ",
		`{}`: "no", `null`: "no", `[]`: "no", ``: "no", `{"Value":1}`: "no", `{"value":1,"fault":{}}`: "no", `{"value":1,"value":2}`: "no", `{"value":1}{}`: "no", `{"fault":"no"}`: "no", `{"fault":null}`: "no",
	} {
		value, f, ok := OpenAnswer([]byte(text))
		got := string(value)
		switch {
		case !ok:
			got = "no"
		case f != nil:
			got = "fault " + f.Message
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestCodec_LeavesHugeMessagesToOthers(t *testing.T) {
	t.Parallel()
	text := `{"headers":{` + strings.Repeat(`"a":"",`, maxRead/entryRead) + `"a":""}}`
	var reply HTTPReply
	if reply.ReadJSON([]byte(text)) || reply.Headers != nil {
		t.Error("more entries were read than may be")
	}
	if _, ok := (ActionOutput{Value: json.RawMessage(`{"a":`)}).AppendJSON(nil); ok {
		t.Error("half a value was written")
	}
}

func TestCodec_KeepsNoPartOfTheText(t *testing.T) {
	t.Parallel()
	for name, make := range travelling {
		m := make()
		fill(rand.New(rand.NewSource(1)), reflect.ValueOf(m).Elem(), 0)
		text := byReflection(t, m)
		if !m.ReadJSON(text) {
			t.Fatalf("%s: %q is not read", name, text)
		}
		before := byReflection(t, m)
		for i := range text {
			text[i] = '?'
		}
		if after := byReflection(t, m); !bytes.Equal(before, after) {
			t.Errorf("%s was %s and is %s", name, before, after)
		}
	}
}

func FuzzCodec(f *testing.F) {
	all := slices.Sorted(func(yield func(string) bool) {
		for name := range travelling {
			if !yield(name) {
				return
			}
		}
	})
	for i, text := range oddJSON {
		f.Add(uint8(i), []byte(text))
	}
	f.Add(uint8(slices.Index(all, "RouteInput")), []byte(`{"event":"POST /x/:a","method":"POST","path":"/x/1","params":{"a":"1"},"query":{"q":["1","2"]},"headers":{"accept":"*/*"},"text":"\u00fc","integration":{"id":"int_1","status":"ENABLED","config":{},"entities":[]}}`))
	f.Add(uint8(slices.Index(all, "HTTPRequest")), []byte(`{"url":"/x","form":[{"name":"a[]","value":"1"}],"json":{"a":[1,2]},"timeout_ms":5,"raw_status":true}`))
	f.Fuzz(func(t *testing.T, which uint8, text []byte) {
		compareCodec(t, all[int(which)%len(all)], text)
		compareCodec(t, "RouteInput", text)
		compareCodec(t, "HTTPReply", text)
		compareCodec(t, "HTTPRequest", text)
		compareAnswer(t, text)
	})
}

// codecSamples are a short call and one with a body.
var codecSamples = map[string]RouteInput{
	"hello": {Event: "GET /hello", Method: "GET", Path: "/hello", Headers: map[string]string{"accept": "*/*", "user-agent": "test"}},
	"1KiB": {
		Event: "POST /json", Method: "POST", Path: "/json", Headers: map[string]string{"accept": "*/*", "content-type": "application/json"},
		Text: `{"items":[` + strings.Repeat(`{"id":"item_1","name":"Box","n":1},`, 28) + `{}]}`,
	},
	"64KiB": {Event: "POST /echo", Method: "POST", Path: "/echo", Text: strings.Repeat(`some plain text without quotes `, 2114)},
}

func BenchmarkCodec(b *testing.B) {
	for name, m := range codecSamples {
		text, _ := m.AppendJSON(nil)
		b.Run(name+"/read/codec", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				var in RouteInput
				in.ReadJSON(text)
			}
		})
		b.Run(name+"/read/reflection", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				var in RouteInput
				_ = json.Unmarshal(text, &in)
			}
		})
		b.Run(name+"/write/codec", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				m.AppendJSON(nil)
			}
		})
		b.Run(name+"/write/reflection", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				_, _ = json.Marshal(m)
			}
		})
	}
}
