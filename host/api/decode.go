package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/frigg-host/frigg-host/host/fault"
)

const (
	// maxBody is the largest JSON body in bytes.
	maxBody = 10 << 20
	// maxDepth is how deep objects and lists may be nested.
	maxDepth = 100
)

func refuse(format string, args ...any) error {
	return fault.New(fault.Invalid, "api.decode", format, args...)
}

// read returns the body of r as it came, at most limit bytes.
func read(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, fault.New(fault.TooLarge, "api.read", "the body is larger than %d bytes", limit)
	case err != nil:
		return nil, refuse("the body did not arrive whole")
	}
	return body, nil
}

// readJSON returns the body of r if it is empty or a JSON object.
func readJSON(w http.ResponseWriter, r *http.Request, limit int64) (json.RawMessage, error) {
	body, err := read(w, r, limit)
	if err != nil || len(body) == 0 {
		return nil, err
	}
	if kind := r.Header.Get("Content-Type"); kind != "" {
		media, _, err := mime.ParseMediaType(kind)
		if err != nil || media != "application/json" && !strings.HasSuffix(media, "+json") {
			return nil, refuse("the body must be JSON: send it with Content-Type: application/json")
		}
	}
	return body, checkObject(body)
}

// checkObject refuses all but one JSON object in UTF-8 in which no object names a field twice: which of the two counts would
// depend on who reads it. What it says never repeats the body.
func checkObject(body []byte) error {
	if !utf8.Valid(body) {
		return refuse("the body is not UTF-8")
	}
	var whole json.RawMessage
	if err := json.Unmarshal(body, &whole); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return refuse("the body is not JSON, see byte %d", syntax.Offset)
		}
		return refuse("the body is not JSON")
	}
	if first := bytes.TrimSpace(body); first[0] != '{' {
		return refuse("the body must be a JSON object")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	return fault.Wrap(checkValue(dec, maxDepth), fault.Invalid, "api.decode", "the body is not JSON")
}

// checkValue reads one value of valid JSON.
func checkValue(dec *json.Decoder, depth int) error {
	token, err := dec.Token()
	open, ok := token.(json.Delim)
	if err != nil || !ok {
		return err
	}
	if depth == 0 {
		return refuse("the body is nested more than %d deep", maxDepth)
	}
	names := map[json.Token]bool{}
	for dec.More() {
		if open == '{' {
			name, err := dec.Token()
			if err != nil {
				return err
			}
			if names[name] {
				return refuse("the body names a field twice, see byte %d", dec.InputOffset())
			}
			names[name] = true
		}
		if err := checkValue(dec, depth-1); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}

// decode puts a checked JSON object into v, a pointer to a struct. Fields that v does not have are ignored, as clients written for
// Frigg may send more.
func decode(body json.RawMessage, v any) error {
	if len(body) == 0 {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber() // what is only passed on stays as it came
	err := dec.Decode(v)
	var shape *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &shape) && shape.Field != "":
		return refuse("%s must be %s", shape.Field, inWords(shape.Type))
	}
	return refuse("the body does not have the expected shape")
}

// inWords is what JSON must be to fit a Go type.
func inWords(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	}
	return "a number"
}

// missing is Frigg's text for required fields that are not there.
func missing(names []string) error {
	if len(names) == 1 {
		return refuse("Missing Parameter: %s is required.", names[0])
	}
	return refuse("Missing Parameters: %s are required.", strings.Join(names, ", "))
}
