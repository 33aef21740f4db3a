package secret_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"strings"
	"testing"
	"text/template"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
)

// planted must not appear in anything that is printed.
const planted = "hunter2-planted"

type exported struct{ Token secret.Text }

type unexported struct{ token secret.Text }

type deep struct {
	Name  string
	inner *unexported
	list  []unexported
	byKey map[string]exported
	any   any
}

func shapes() map[string]any {
	s := secret.NewText(planted)
	return map[string]any{
		"bare":               s,
		"pointer":            &s,
		"exported field":     exported{s},
		"unexported field":   unexported{s},
		"pointer to struct":  &unexported{s},
		"slice":              []secret.Text{s},
		"array":              [1]secret.Text{s},
		"map":                map[string]secret.Text{"k": s},
		"map key":            map[secret.Text]int{s: 1},
		"interface":          []any{s, unexported{s}},
		"deep":               deep{"n", &unexported{s}, []unexported{{s}}, map[string]exported{"k": {s}}, unexported{s}},
		"pointer to deep":    &deep{"n", &unexported{s}, []unexported{{s}}, map[string]exported{"k": {s}}, &s},
		"error":              fmt.Errorf("cannot use %v", s),
		"error with struct":  fmt.Errorf("cannot use %+v", unexported{s}),
		"fault":              fault.New(fault.Invalid, "test", "cannot use %s", s),
		"joined errors":      errors.Join(fmt.Errorf("%q", s), fmt.Errorf("%x", s)),
		"function's closure": func() secret.Text { return s },
	}
}

func TestText_PrintsUnderNoVerb(t *testing.T) {
	t.Parallel()
	for name, v := range shapes() {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%#q", "%d", "%t", "%p", "%T", "%e", "%08v", "%-20s", "%c", "%U"} {
			hides(t, name+" "+verb, fmt.Sprintf(verb, v))
		}
		hides(t, name+" Sprint", fmt.Sprint(v)+fmt.Sprintln(v))
	}
	if got := fmt.Sprint(secret.NewText(planted)); got != "[secret]" {
		t.Errorf("got %q", got)
	}
}

func TestText_PassesNoEncoder(t *testing.T) {
	t.Parallel()
	for name, v := range shapes() {
		text, _ := json.Marshal(v)
		hides(t, name+" json", string(text))
		text, _ = xml.Marshal(v)
		hides(t, name+" xml", string(text))
		var b bytes.Buffer
		_ = template.Must(template.New("").Parse("{{.}}")).Execute(&b, v)
		hides(t, name+" template", b.String())
	}
	text, err := json.Marshal(exported{secret.NewText(planted)})
	if err != nil || string(text) != `{"Token":"[secret]"}` {
		t.Errorf("got %s, %v", text, err)
	}
}

func TestText_PassesNoLogger(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	loggers := map[string]*slog.Logger{
		"text": slog.New(slog.NewTextHandler(&b, nil)),
		"json": slog.New(slog.NewJSONHandler(&b, nil)),
	}
	for name, v := range shapes() {
		for kind, l := range loggers {
			b.Reset()
			l.Info("m", "v", v, slog.Group("g", slog.Any("v", v)))
			l.With("w", v).Info("m")
			hides(t, name+" slog "+kind, b.String())
		}
		b.Reset()
		log.New(&b, "", 0).Print(v)
		hides(t, name+" log", b.String())
	}
}

func TestText_IsNotReadFromJSON(t *testing.T) {
	t.Parallel()
	var got exported
	if err := json.Unmarshal([]byte(`{"Token":"x"}`), &got); err == nil {
		t.Error("a secret may come in by accident as [secret]")
	}
}

func TestText_RevealsAndCompares(t *testing.T) {
	t.Parallel()
	var zero secret.Text
	s := secret.NewText(planted)
	if s.Reveal() != planted || zero.Reveal() != "" {
		t.Error("Reveal gives something else")
	}
	if s.IsZero() || !zero.IsZero() || !secret.NewText("").IsZero() {
		t.Error("IsZero is wrong")
	}
	if !s.Equal(secret.NewText(planted)) || s.Equal(zero) || !zero.Equal(secret.NewText("")) {
		t.Error("Equal is wrong")
	}
}

func hides(t *testing.T, where, text string) {
	t.Helper()
	for _, form := range []string{planted, fmt.Sprintf("%x", planted), fmt.Sprintf("%X", planted), fmt.Sprintf("% x", planted)} {
		if strings.Contains(text, form) {
			t.Errorf("%s shows the secret: %s", where, text)
		}
	}
}
