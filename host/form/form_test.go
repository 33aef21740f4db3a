package form_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/form"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/google/go-cmp/cmp"
)

func parse(t testing.TB, schema string) *form.Form {
	t.Helper()
	f, err := form.Parse(&abi.Form{JSONSchema: json.RawMessage(schema)})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func decode(t testing.TB, text string) map[string]any {
	t.Helper()
	v, err := form.Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestCheck_SaysWhereAndWhyAndNeverWhat(t *testing.T) {
	t.Parallel()
	f := parse(t, `{"type":"object","required":["repo","token"],"additionalProperties":false,
		"properties":{"repo":{"type":"string","enum":["a/b"]},"days":{"type":"integer","minimum":1,"maximum":7},"token":{"type":"string","format":"password","minLength":12,"pattern":"^whsec_"},
		"filter":{"type":"object","required":["label"],"properties":{"label":{"type":"string"}}},"no":false,"other":{"not":{"const":"hunter2"}},"n":{"multipleOf":5}}}`)
	for _, row := range []struct{ values, problem string }{
		{`{"repo":"a/b","token":"whsec_123456"}`, ""},
		{`{"repo":"hunter2"}`, "config.repo: does not satisfy enum"},
		{`{"token":"hunter2"}`, "config.token: needs at least 12 characters"},
		{`{"token":"hunter2hunter2"}`, "config.token: does not satisfy pattern"},
		{`{"days":4711}`, "config.days: must be at most 7"},
		{`{"days":-4711}`, "config.days: must be at least 1"},
		{`{"days":"4711"}`, "config.days: got string, want integer"},
		{`{"n":4711}`, "config.n: does not satisfy multipleOf"},
		{`{"filter":{}}`, "config.filter: missing property 'label'"},
		{`{"no":"hunter2"}`, "config.no: does not fit the form"},
		{`{"other":"hunter2"}`, "config.other: does not fit the form"},
		{`{"extra":"hunter2"}`, "config: the form has no field extra"},
		{`{"` + strings.Repeat("x", 5000) + `":1}`, "the form has no field xxx"},
	} {
		_, err := f.CheckSoFar("config", decode(t, row.values))
		if row.problem == "" {
			if err != nil {
				t.Errorf("%s: %v", row.values, err)
			}
			continue
		}
		msg := fault.PublicMessage(err)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(msg, row.problem) {
			t.Errorf("%.80s: %v, want %q", row.values, err, row.problem)
		}
		if all := err.Error(); strings.Contains(all, "hunter2") || strings.Contains(all, "4711") || len(msg) > 500 {
			t.Errorf("%.80s: the value is in the error: %s", row.values, all)
		}
	}
}

func TestCheckSoFar_SeesWhatIsMissing(t *testing.T) {
	t.Parallel()
	f := parse(t, `{"type":"object","required":["a"],"properties":{"a":{"type":"string"}}}`)
	for values, want := range map[string]bool{`{"a":"x"}`: true, `{"a":""}`: false, `{}`: false} {
		if complete, err := f.CheckSoFar("", decode(t, values)); err != nil || complete != want {
			t.Errorf("%s: %v, %v", values, complete, err)
		}
	}
	if err := f.Check("", map[string]any{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a whole form without what is required: %v", err)
	}
	everything, _ := form.Parse(nil)
	if complete, err := everything.CheckSoFar("", decode(t, `{"x":1}`)); err != nil || !complete {
		t.Errorf("no form: %v, %v", complete, err)
	}
}

func TestFields_SecretsAreFoundWhereverTheyAre(t *testing.T) {
	t.Parallel()
	const pw = `{"type":"string","format":"password"}`
	for name, row := range map[string]struct {
		schema, values string
		want           []string
	}{
		"top":                  {`{"properties":{"a":` + pw + `,"b":{}}}`, `{"a":"x","b":"y"}`, []string{"/a"}},
		"absent":               {`{"properties":{"a":` + pw + `}}`, `{}`, nil},
		"nested":               {`{"properties":{"o":{"properties":{"p/q":` + pw + `}}}}`, `{"o":{"p/q":"x","r":"y"}}`, []string{"/o/p~1q"}},
		"in a list":            {`{"properties":{"l":{"items":{"properties":{"t":` + pw + `}}}}}`, `{"l":[{"t":"x"},{"u":1},{"t":"y"}]}`, []string{"/l/0/t", "/l/2/t"}},
		"a list of them":       {`{"properties":{"l":{"items":` + pw + `}}}`, `{"l":["x"]}`, []string{"/l/0"}},
		"in a tuple":           {`{"properties":{"l":{"prefixItems":[{},` + pw + `]}}}`, `{"l":["x","y","z"]}`, []string{"/l/1"}},
		"by reference":         {`{"$defs":{"t d":` + pw + `},"properties":{"a":{"$ref":"#/$defs/t%20d"}}}`, `{"a":"x"}`, []string{"/a"}},
		"in a branch":          {`{"oneOf":[{"properties":{"a":` + pw + `}},{"properties":{"b":{}}}]}`, `{"a":"x","b":"y"}`, []string{"/a"}},
		"under a condition":    {`{"if":{"required":["a"]},"then":{"allOf":[{"properties":{"a":` + pw + `}}]}}`, `{"a":"x"}`, []string{"/a"}},
		"depending":            {`{"dependentSchemas":{"b":{"properties":{"a":` + pw + `}}}}`, `{"a":"x","b":1}`, []string{"/a"}},
		"additional":           {`{"properties":{"a":{}},"additionalProperties":` + pw + `}`, `{"a":"x","b":"y"}`, []string{"/b"}},
		"by pattern":           {`{"patternProperties":{"_key$":` + pw + `}}`, `{"a_key":"x","b":"y"}`, []string{"/a_key"}},
		"through a recursion":  {`{"properties":{"t":` + pw + `,"next":{"$ref":"#"}}}`, `{"t":"x","next":{"t":"y"}}`, []string{"/next/t", "/t"}},
		"a name is no secret":  {`{"propertyNames":{"format":"password"},"properties":{"a":{}}}`, `{"a":"x"}`, nil},
		"the whole":            {`{"format":"password","properties":{"a":{}}}`, `{"a":"x"}`, nil},
		"an escaped format":    {`{"properties":{"a":{"format":"p\u0061ssword"}}}`, `{"a":"x"}`, []string{"/a"}},
		"a field named format": {`{"properties":{"format":{"type":"string"}}}`, `{"format":"password"}`, nil},
	} {
		fields, err := parse(t, row.schema).Fields(decode(t, row.values))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := cmp.Diff(row.want, fields.Secret()); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestParse_RefusesWhatReachesOutsideOrIsTooLarge(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"not":`, 100) + `{}` + strings.Repeat(`}`, 100)
	for name, row := range map[string]struct {
		schema string
		kind   fault.Kind
	}{
		"a list":          {`[]`, fault.Internal},
		"no JSON":         {`{`, fault.Internal},
		"a remote schema": {`{"properties":{"a":{"$ref":"http://127.0.0.1:1/x"}}}`, fault.Internal},
		"a file":          {`{"properties":{"a":{"$ref":"file:///etc/passwd"}}}`, fault.Internal},
		"an anchor":       {`{"properties":{"a":{"$ref":"#here"}},"$defs":{"b":{"$anchor":"here","format":"password"}}}`, fault.Internal},
		"another base":    {`{"properties":{"a":{"$id":"http://x/"}}}`, fault.Internal},
		"deep":            {deep, fault.Internal},
		"a huge number":   {`{"properties":{"a":{"minimum":1e999999999}}}`, fault.Internal},
		"many values":     {`{"enum":[` + strings.Repeat("0,", 60_000) + `0]}`, fault.Internal},
		"many bytes":      {`{"title":"` + strings.Repeat("x", 1<<20) + `"}`, fault.TooLarge},
	} {
		_, err := form.Parse(&abi.Form{JSONSchema: json.RawMessage(row.schema)})
		if !fault.Is(err, row.kind) || fault.SideOf(err) != fault.Guest {
			t.Errorf("%s: %v, want %s on side guest", name, err, row.kind)
		}
	}
}

func TestCheck_HostileFormsEndInTime(t *testing.T) {
	t.Parallel()
	twice := func(what string) string { return strings.ReplaceAll(`{"allOf":[X,X]}`, "X", what) }
	deep := `{}`
	for range 25 {
		deep = `{"a":` + deep + `}`
	}
	long := `{"a":"` + strings.Repeat("a", 200_000) + `!"}`
	list := `{"a":[` + strings.Repeat("1,", 40_000) + `1]}`
	chain := map[string]any{"end": map[string]any{}}
	for i := range 2000 {
		chain["d"+string(rune('A'+i%26))+strings.Repeat("x", i/26)] = map[string]any{"$ref": "#/$defs/d" + string(rune('A'+(i+1)%26)) + strings.Repeat("x", (i+1)/26)}
	}
	chained, _ := json.Marshal(map[string]any{"$ref": "#/$defs/dA", "$defs": chain})
	for name, row := range map[string]struct{ schema, values string }{
		"doubling with depth":   {`{"$defs":{"n":` + twice(`{"properties":{"a":{"$ref":"#/$defs/n"}}}`) + `},"$ref":"#/$defs/n"}`, deep},
		"doubling in a not":     {`{"$defs":{"n":` + strings.Replace(twice(`{"properties":{"a":{"$ref":"#/$defs/n"}},"required":["b"]}`), "allOf", "anyOf", 1) + `},"not":{"$ref":"#/$defs/n"}}`, deep},
		"itself":                {`{"$ref":"#"}`, `{}`},
		"two in a circle":       {`{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"}`, `{}`},
		"a long chain":          {string(chained), `{}`},
		"a large program":       {`{"properties":{"a":{"pattern":"` + strings.Repeat("(abcdefghij){1000}", 30) + `"}}}`, long},
		"many programs":         {`{"anyOf":[` + strings.Repeat(`{"properties":{"a":{"pattern":"^(a|b|ab|[ab]{1,900})+$"}}},`, 200) + `{}]}`, long},
		"a pattern that is bad": {`{"properties":{"a":{"pattern":"("}}}`, long},
		"a type that is none":   {`{"properties":{"a":{"type":"nope"}}}`, `{}`},
		"large lists to scan":   {`{"properties":{"a":{"items":{"enum":[` + strings.Repeat("0,", 2000) + `1]}}}}`, list},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			err := parse(t, row.schema).Check("", decode(t, row.values))
			if !fault.Is(err, fault.Internal) || fault.SideOf(err) != fault.Guest {
				t.Errorf("%.200v, want internal on side guest", err)
			}
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("took %s", d)
			}
		})
	}
}

func TestDecode_BoundsWhatIsFilledIn(t *testing.T) {
	t.Parallel()
	for text, kind := range map[string]fault.Kind{
		``: "", `null`: "", `{}`: "", `{"a":1.5e10}`: "", `[1]`: fault.Invalid, `"x"`: fault.Invalid, `{`: fault.Invalid, `{"a":1e999999999}`: fault.Invalid, `{"a":1e-999999999}`: fault.Invalid,
		`{"a":"` + strings.Repeat("x", 256<<10) + `"}`: fault.TooLarge, `{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`: fault.Invalid,
	} {
		if _, err := form.Decode([]byte(text)); fault.KindOf(err) != kind {
			t.Errorf("%.60s: %v, want %q", text, err, kind)
		}
	}
}

// tell is what a guest reads of an input when handles are written as H(secret).
func tell(in *form.Input, all bool) string {
	return strings.ReplaceAll(string(in.Told(all, func(_ string, t secret.Text) string { return "H(" + t.Reveal() + ")" })), `\"`, `'`)
}

func TestInput_NoSecretIsToldInClearWhateverFormNamesIt(t *testing.T) {
	t.Parallel()
	// The guest's form grows: the mode brings the token, the token brings a choice.
	grow := func(told string) abi.Form {
		properties := `"mode":{"type":"string"}`
		if strings.Contains(told, `"mode"`) {
			properties += `,"auth":{"type":"object","properties":{"token":{"type":"string","format":"password"}}}`
		}
		if strings.Contains(told, `"auth"`) {
			properties += `,"team":{"type":"string"}`
		}
		return abi.Form{JSONSchema: json.RawMessage(`{"type":"object","properties":{` + properties + `}}`)}
	}
	in, err := form.ReadInput(json.RawMessage(`{"mode":"token","auth":{"token":"s3cr3t","n":1},"team":"red","key":"s3cr3t-too","more":"m"}`))
	if err != nil {
		t.Fatal(err)
	}
	first := grow("")
	if _, err := in.Learn(&first); err != nil {
		t.Fatal(err)
	}
	in.HideNamed([]string{"key"})
	var said []string
	f, err := in.Settle(func(all bool) (abi.Form, error) {
		told := tell(in, all)
		said = append(said, told)
		return grow(told), nil
	})
	if err != nil || !strings.Contains(string(f.JSONSchema), "team") {
		t.Errorf("the last form is %s, %v", f.JSONSchema, err)
	}
	want := []string{
		`{"mode":"token"}`, `{"auth":{"n":1,"token":"H(s3cr3t)"},"mode":"token"}`, `{"auth":{"n":1,"token":"H(s3cr3t)"},"mode":"token","team":"red"}`,
		`{"auth":{"n":1,"token":"H(s3cr3t)"},"key":"H(s3cr3t-too)","mode":"token","more":"m","team":"red"}`,
	}
	if d := cmp.Diff(want, said); d != "" {
		t.Error(d)
	}
}

func TestInput_SecretsThatAreNoTextsAreHidden(t *testing.T) {
	t.Parallel()
	in, err := form.ReadInput(json.RawMessage(`{"a":7,"b":{"c":"x"},"d":null,"e":"","f":["x"],"g":{"h":[{"key":"x"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	f := abi.Form{JSONSchema: json.RawMessage(`{"properties":{` +
		strings.TrimSuffix(strings.Repeat(`"a":{"format":"password"},"b":{"format":"password","properties":{"c":{"format":"password"}}},"d":{"format":"password"},"e":{"format":"password"},`, 1), ",") + `}}`)}
	if _, err := in.Learn(&f); err != nil {
		t.Fatal(err)
	}
	in.HideNamed([]string{"f", "key"})
	if got := tell(in, true); got != `{"a":"H(7)","b":"H({'c':'x'})","d":null,"e":"","f":["H(x)"],"g":{"h":[{"key":"H(x)"}]}}` {
		t.Errorf("got %s", got)
	}
}

func TestInput_AnEmptyObjectIsToldAndNothingIsNot(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{`{}`: `{}`, ``: ``, `null`: ``} {
		in, err := form.ReadInput(json.RawMessage(raw))
		if err != nil || tell(in, true) != want || !in.Empty() {
			t.Errorf("%q: %q, %v", raw, tell(in, true), err)
		}
	}
}

func TestInput_AGuestWhoseFormsNeverEndIsAskedAFewTimes(t *testing.T) {
	t.Parallel()
	values := map[string]string{}
	for c := 'a'; c <= 'z'; c++ {
		values[string(c)] = "x"
	}
	raw, _ := json.Marshal(values)
	in, err := form.ReadInput(raw)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	_, err = in.Settle(func(bool) (abi.Form, error) {
		asked++
		return abi.Form{JSONSchema: json.RawMessage(`{"properties":{"` + string(rune('a'+asked)) + `":{}}}`)}, nil
	})
	if err != nil || asked > 10 {
		t.Errorf("asked %d times, %v", asked, err)
	}
}

func FuzzForm(f *testing.F) {
	for _, schema := range []string{
		`{"type":"object","properties":{"a":{"format":"password","pattern":"^x"}}}`, `{"$ref":"#/$defs/a","$defs":{"a":{"items":{"$ref":"#"}}}}`,
		`{"patternProperties":{"(":{}}}`, `{"$schema":"http://json-schema.org/draft-07/schema#","properties":{"a":{"format":"regex"}}}`, `{"oneOf":[false,{"not":{}}]}`, `{"allOf":{}}`, `{"enum":3}`,
	} {
		f.Add(schema, `{"a":"x","b":[1,{"c":null}]}`)
	}
	f.Fuzz(func(t *testing.T, schema, filled string) {
		parsed, err := form.Parse(&abi.Form{JSONSchema: json.RawMessage(schema)})
		if err != nil {
			return
		}
		values, err := form.Decode([]byte(filled))
		if err != nil {
			return
		}
		before, _ := json.Marshal(values)
		start := time.Now()
		fields, err := parsed.Fields(values)
		_ = parsed.Check("", values)
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("took %s", d)
		}
		if after, _ := json.Marshal(values); string(after) != string(before) {
			t.Error("judging changed what was filled in")
		}
		if err != nil {
			return
		}
		for _, at := range fields.Secret() {
			if !fields.Knows(at) {
				t.Errorf("%q is secret and not known", at)
			}
		}
	})
}
