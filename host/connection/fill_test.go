package connection_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/requester"
)

func TestFill_EscapesForThePlaceInAURL(t *testing.T) {
	t.Parallel()
	form := map[string]string{"base": "https://Example.com:8443/sub/", "sub": "acme-1", "odd": "a/b?c#d@e:f", "dots": "..", "port": "acme:1", "slash": "a/b"}
	for template, want := range map[string]string{
		"{{form.base}}/x":                    "https://example.com:8443/sub/x",
		"https://{{form.sub}}.example.com/":  "https://acme-1.example.com/",
		"https://{{form.port}}/x":            "https://acme:1/x",
		"https://x.example/{{form.odd}}/y":   "https://x.example/a%2Fb%3Fc%23d@e:f/y",
		"https://x.example/?a={{form.odd}}":  "https://x.example/?a=a%2Fb%3Fc%23d%40e%3Af",
		"https://x.example/#/{{form.odd}}":   "https://x.example/#/a%2Fb%3Fc%23d@e:f",
		"https://x.example/?q#/{{form.odd}}": "https://x.example/?q#/a%2Fb%3Fc%23d@e:f",
		"https://{{form.odd}}.example.com/":  "",
		"https://{{form.slash}}.example.com": "",
		"https://x.example/{{form.dots}}/y":  "",
		"{{form.sub}}/x":                     "",
		"{{form.missing}}/x":                 "",
		"https://{{credential.t}}.example/":  "",
		"https://x.example/{{credential.t}}": "",
		"{{credential.t}}":                   "",
	} {
		got, err := connection.FillURL(template, form, map[string]string{"t": "secret-1"})
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: got %q, %v; want %q", template, got, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret-1") {
			t.Errorf("%v shows a secret", err)
		}
	}
}

func TestHosts_KnowsWhichServersAPersonNamed(t *testing.T) {
	t.Parallel()
	form := map[string]string{"base": "https://git.example.com:3000/gitea", "sub": "acme", "star": "*", "host": "shop.example.org", "evil": "evil.com/", "wild": "https://*.com"}
	for claim, want := range map[string]map[string]bool{
		"api.example.com":             {"https://api.example.com": false},
		"*.example.com":               {"https://*.example.com": false},
		"http://127.0.0.1:3000":       {"http://127.0.0.1:3000": false},
		"{{form.base}}":               {"https://git.example.com:3000": true},
		"{{form.host}}":               {"https://shop.example.org": true},
		"{{form.sub}}.gorgias.com":    {"https://acme.gorgias.com": false},
		"api-{{form.sub}}.x.y.com:81": {"https://api-acme.x.y.com:81": false},
		"http://{{form.sub}}.local":   {"http://acme.local": true},
		"{{form.sub}}.1.2":            {},
		"{{form.evil}}.gorgias.com":   {},
		"{{form.star}}.gorgias.com":   {},
		"{{form.wild}}":               {},
		"{{form.missing}}":            {},
		"{{settings.client_secret}}":  {},
	} {
		if diff := cmp.Diff(want, connection.HostRules([]string{claim}, form)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", claim, diff)
		}
	}
}

func TestForm_ReadsWhatAPersonFilledIn(t *testing.T) {
	t.Parallel()
	schema := json.RawMessage(`{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","required":["name"],"properties":{
		"name":{"type":"string","maxLength":5},"pass":{"type":"string","format":"password"},"n":{"type":"integer"},"on":{"type":"boolean","default":true},
		"url":{"type":"string","format":"uri"},"kind":{"enum":["a","b"]},"opt":{"type":"string","minLength":1},
		"list":{"type":"array","items":{"type":"object","properties":{"key":{"type":"string","format":"password"}}}}}}`)
	texts, secrets, err := connection.ReadForm(schema, map[string]any{
		"name": "Ada", "pass": " p ", "n": float64(1e9), "url": " https://x.example/a/ ",
		"kind": "a", "opt": "", "list": []any{map[string]any{"key": "k"}}, "unknown": "x",
	})
	check(t, err)
	want := map[string]string{"name": "Ada", "pass": " p ", "n": "1000000000", "on": "true", "url": "https://x.example/a", "kind": "a", "list": `[{"key":"k"}]`}
	if diff := cmp.Diff(want, texts); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !secrets["pass"] || !secrets["list"] || secrets["name"] {
		t.Errorf("secret: %v", secrets)
	}
	for name, data := range map[string]map[string]any{
		"too long":    {"name": "plant-7f3a"},
		"not in list": {"name": "Ada", "kind": "plant-7f3a"},
		"type":        {"name": "Ada", "n": "plant-7f3a"},
		"fraction":    {"name": "Ada", "n": 1.5},
		"missing":     {},
	} {
		_, _, err := connection.ReadForm(schema, data)
		wants(t, err, fault.Invalid, fault.Caller)
		if strings.Contains(fault.PublicMessage(err), "plant") {
			t.Errorf("%s: %v repeats a value", name, err)
		}
	}
	for _, broken := range []string{``, `7`, `{"type":7}`, `{"$ref":"file:///etc/passwd"}`, `{"$ref":"http://127.0.0.1:1/x"}`} {
		_, _, err := connection.ReadForm(json.RawMessage(broken), nil)
		wants(t, err, fault.Internal, fault.Guest)
	}
}

func TestPointer_FollowsRFC6901(t *testing.T) {
	t.Parallel()
	doc := `{"foo":["bar",1.50,true,null],"":0,"a/b":1,"m~n":8,"big":12345678901234567890}`
	for pointer, want := range map[string]string{
		"/foo/0": "bar", "/foo/1": "1.50", "/foo/2": "true", "/": "0", "/a~1b": "1", "/m~0n": "8", "/big": "12345678901234567890",
		"": "", "/foo": "", "/foo/3": "", "/foo/4": "", "/foo/-": "", "/foo/00": "", "/foo/-1": "", "/nope": "", "/foo/0/x": "",
	} {
		got, ok := connection.TextAt(doc, pointer)
		if got != want || ok != (want != "") {
			t.Errorf("%q: got %q, %v; want %q", pointer, got, ok, want)
		}
	}
}

func TestValue_CannotPrint(t *testing.T) {
	t.Parallel()
	v := connection.Value("plant-7f3a")
	text, _ := json.Marshal(map[string]any{"v": v})
	if all := fmt.Sprintf("%v %+v %#v %s %q %s", v, v, v, v, v, text); strings.Contains(all, "plant-7f3a") {
		t.Errorf("printed %s", all)
	}
}

func FuzzAddress_StaysBelowTheBase(f *testing.F) {
	for _, raw := range []string{"/a", "a?b=c", "../x", "/%2e%2e/x", "/..%2fx", `\x`, "//x", "?x", "#x", "/a%00", "/%c0%ae%c0%ae/x", "/.%2e/", "/a;x/..;/b", "/%252e%252e/x"} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if scheme, _, absolute := strings.Cut(raw, "://"); absolute && !strings.ContainsAny(scheme, "/?#") {
			return // goes through the policy as it is
		}
		got, err := connection.Address("https://api.example.com/v1", raw)
		if err != nil {
			return
		}
		target, err := requester.ParseTarget(got)
		if err != nil {
			return
		}
		u := target.URL()
		if u.Host != "api.example.com" || !strings.HasPrefix(u.EscapedPath(), "/v1") {
			t.Errorf("%q leads to %s", raw, got)
		}
		clean := (&url.URL{Scheme: "https", Host: "x", Path: "/"}).ResolveReference(&url.URL{Path: u.Path})
		if clean.Path != "/v1" && !strings.HasPrefix(clean.Path, "/v1/") {
			t.Errorf("%q leads to %s, which is %s", raw, got, clean.Path)
		}
	})
}
