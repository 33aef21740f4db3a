package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/outbound"
	"github.com/frigg-host/frigg-host/host/syncs"
	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
)

// operation serves and describes one route. Of In, fields tagged `path` and `query` come from there, Body from the JSON body, and
// what an embedded gate finds from the headers. Out is the JSON answer.
//
// Huma describes and echo serves: in its own handling huma repeats rejected values, answers in other shapes than Frigg's, and
// panics when a client leaves while it is answered.
func operation[In, Out any](a *API, op huma.Operation, use func(context.Context, *In) (Out, error)) {
	if op.DefaultStatus == 0 {
		op.DefaultStatus = http.StatusOK
	}
	if op.MaxBodyBytes == 0 {
		op.MaxBodyBytes = maxBody
	}
	shape := shapeOf(reflect.TypeFor[In]())
	g, _ := any(new(In)).(gate)
	a.describe(op, shape, g, reflect.TypeFor[Out]())
	a.echo.Add(op.Method, routerPath(op.Path), func(c echo.Context) error {
		in := new(In)
		if err := admit(a, c, in); err != nil {
			return err
		}
		if err := shape.fill(c, op.MaxBodyBytes, reflect.ValueOf(in).Elem()); err != nil {
			return err
		}
		out, err := use(c.Request().Context(), in)
		if err != nil {
			return err
		}
		status := op.DefaultStatus
		if v, ok := any(out).(varying); ok {
			status = v.status()
		}
		return c.JSON(status, out)
	})
}

// plainJSON writes JSON for programs and terminals: & stays &, which is safe where no browser takes the answer for a page.
type plainJSON struct{ echo.DefaultJSONSerializer }

func (plainJSON) Serialize(c echo.Context, v any, _ string) error {
	enc := json.NewEncoder(c.Response())
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// varying is an answer that has 503 as its status when it says that something is wrong.
type varying interface{ status() int }

// gate is embedded in the input of an operation that is not open to everybody.
type gate interface {
	// admit checks the headers of a request, before its body is read, and keeps what it finds.
	admit(a *API, c echo.Context) error
	// security is what the document says of it.
	security() []map[string][]string
}

func admit(a *API, c echo.Context, in any) error {
	if g, ok := in.(gate); ok {
		return g.admit(a, c)
	}
	return nil
}

// routerPath writes {name} as echo does.
func routerPath(path string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(path)
}

// shape is how a request becomes an input.
type shape struct {
	params []param
	body   *reflect.StructField // nil without one
}

// param is a field that comes from the path or the query.
type param struct {
	field    reflect.StructField
	in, name string
	required bool
}

func shapeOf(t reflect.Type) shape {
	var s shape
	for _, f := range reflect.VisibleFields(t) {
		if name, ok := f.Tag.Lookup("path"); ok {
			s.params = append(s.params, param{f, "path", name, true})
		}
		if name, ok := f.Tag.Lookup("query"); ok {
			s.params = append(s.params, param{f, "query", name, f.Tag.Get("required") == "true"})
		}
		if f.Name == "Body" {
			s.body = &f
		}
	}
	return s
}

// fill reads a request into v: first the path, since what does not exist takes no body.
func (s shape) fill(c echo.Context, limit int64, v reflect.Value) error {
	var absent []string
	for _, p := range s.params {
		text, err := p.read(c)
		if err != nil {
			return err
		}
		if text == "" && p.required {
			absent = append(absent, p.name)
		}
		if err := p.set(v.FieldByIndex(p.field.Index), text); err != nil {
			return err
		}
	}
	if s.body != nil {
		body, err := readJSON(c.Response().Writer, c.Request(), limit)
		if err != nil {
			return err
		}
		field := v.FieldByIndex(s.body.Index)
		if whole, ok := field.Addr().Interface().(*Object); ok {
			*whole = Object(body)
		} else {
			if err := decode(body, field.Addr().Interface()); err != nil {
				return err
			}
			absent = append(absent, absentFields(field)...)
		}
	}
	if len(absent) > 0 {
		return missing(absent)
	}
	return nil
}

func (p param) read(c echo.Context) (string, error) {
	if p.in == "query" {
		return c.QueryParam(p.name), nil
	}
	text, err := url.PathUnescape(c.Param(p.name))
	if err != nil || !validID(p.field.Type, text) {
		return "", fault.New(fault.NotFound, "api.path", "no such %s", nounOf(p.field.Type))
	}
	return text, nil
}

func (p param) set(field reflect.Value, text string) error {
	if field.Kind() == reflect.String {
		field.SetString(text)
		return nil
	}
	if text == "" {
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return refuse("%s must be a whole number", p.name)
	}
	field.SetInt(int64(n))
	return nil
}

// absentFields names the fields of a body that are required, as the document says it too: those without omitempty.
func absentFields(body reflect.Value) []string {
	var absent []string
	for _, f := range reflect.VisibleFields(body.Type()) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || options == "omitempty" {
			continue
		}
		value := body.FieldByIndex(f.Index)
		object, isObject := value.Interface().(Object)
		if value.IsZero() || isObject && bytes.Equal(object, []byte("null")) {
			absent = append(absent, name)
		}
	}
	return absent
}

// idKind is how ids of a type look. One that looks different belongs to nobody.
type idKind struct{ prefix, noun string }

var idKinds = map[reflect.Type]idKind{
	reflect.TypeFor[connection.EntityID]():     {"ent_", "entity"},
	reflect.TypeFor[connection.CredentialID](): {"cred_", "credential"},
	reflect.TypeFor[integration.ID]():          {"int_", "integration"},
	reflect.TypeFor[integration.EventID]():     {"evt_", "event"},
	reflect.TypeFor[job.ID]():                  {"job_", "job"},
	reflect.TypeFor[outbound.EndpointID]():     {"whe_", "webhook endpoint"},
	reflect.TypeFor[outbound.DeliveryID]():     {"whd_", "delivery"},
	reflect.TypeFor[syncs.ProcessID]():         {"prc_", "process"},
}

func validID(t reflect.Type, text string) bool {
	kind, ok := idKinds[t]
	if !ok {
		return true
	}
	rest, ok := strings.CutPrefix(text, kind.prefix)
	return ok && len(rest) == 36 && uuid.Validate(rest) == nil
}

func nounOf(t reflect.Type) string {
	if kind, ok := idKinds[t]; ok {
		return kind.noun
	}
	return "resource"
}
