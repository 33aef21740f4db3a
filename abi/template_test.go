package abi

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTemplate_FillsEscapedValuesBetweenLiteralText(t *testing.T) {
	t.Parallel()
	values := map[string]string{"settings.id": "a b", "form.domain": "acme/x", "credential.access_token": "{{form.domain}}"}
	value := func(scope, name string) (string, bool) {
		v, ok := values[scope+"."+name]
		return v, ok
	}
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", ""},
		{"literal", "https://example.com/", "https://example.com/"},
		{"one", "{{settings.id}}", "a+b"},
		{"between", "https://{{form.domain}}.example.com/{{settings.id}}?x", "https://acme%2Fx.example.com/a+b?x"},
		{"neighbours", "{{settings.id}}{{settings.id}}", "a+ba+b"},
		{"single braces", "{viewer{id}}", "{viewer{id}}"},
		{"JSON around", `{"a":{"b":"{{settings.id}}"}}`, `{"a":{"b":"a+b"}}`},
		{"values are not templates", "{{credential.access_token}}", "%7B%7Bform.domain%7D%7D"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tpl, err := ParseTemplate(c.text)
			if err != nil {
				t.Fatal(err)
			}
			got, err := tpl.Fill(value, url.QueryEscape)
			if err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if tpl.String() != c.text {
				t.Errorf("String gives %q, want the text %q", tpl.String(), c.text)
			}
		})
	}
}

func TestParseTemplate_RefusesWhatIsNotAReference(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"{{", "never closed"},
		{"a {{settings.x", "never closed"},
		{"{{}}", "not a reference"},
		{"{{settings}}", "not a reference"},
		{"{{settings.}}", "not a reference"},
		{"{{ settings.x }}", "not a reference"},
		{"{{settings.x }}", "without spaces"},
		{"{{settings.a.b}}", "not a reference"},
		{"{{secrets.x}}", `no scope "secrets"`},
		{"{{Settings.x}}", `no scope "Settings"`},
		{"{{{form.x}}", `no scope "{form"`},
		{"{{form." + strings.Repeat("x", 129) + "}}", "not a reference"},
	} {
		_, err := ParseTemplate(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got error %v, want one with %q", c.text, err, c.want)
		}
	}
}

func TestTemplate_NamesTheMissingValue(t *testing.T) {
	t.Parallel()
	tpl, err := ParseTemplate("{{form.domain}}")
	if err != nil {
		t.Fatal(err)
	}
	_, err = tpl.Fill(func(string, string) (string, bool) { return "", false }, nil)
	var missing *MissingError
	if !errors.As(err, &missing) || missing.Ref != (Ref{"form", "domain"}) {
		t.Fatalf("got %v, want a MissingError for {{form.domain}}", err)
	}
}

func TestTemplate_ListsReferencesInOrder(t *testing.T) {
	t.Parallel()
	tpl, err := ParseTemplate("{{form.b}}/{{settings.a}}/{{form.b}}")
	if err != nil {
		t.Fatal(err)
	}
	want := []Ref{{"form", "b"}, {"settings", "a"}, {"form", "b"}}
	if diff := cmp.Diff(want, tpl.Refs()); diff != "" {
		t.Error(diff)
	}
}

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"", "x", "{{settings.x}}", "{{", "}}", "{{{form.x}}}", "a{{credential.b-c}}d{{callback._}}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tpl, err := ParseTemplate(text)
		if err != nil {
			return
		}
		if tpl.String() != text {
			t.Fatalf("String gives %q for %q", tpl.String(), text)
		}
		filled, err := tpl.Fill(func(_, name string) (string, bool) { return name, true }, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(tpl.Refs()) == 0 && filled != text {
			t.Fatalf("a text without references changed from %q to %q", text, filled)
		}
	})
}
