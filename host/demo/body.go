package demo

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
)

const maxBody = 1 << 20

// readBody reads the JSON text of a request that may have one; no body is an empty one.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, &problem{status: 413, Code: "body_too_large", Message: "A request body may have 1 MiB."}
	case err != nil:
		return nil, &problem{status: 400, Code: "body_unreadable", Message: "The request body ended early."}
	case len(body) > 0 && !isJSON(r.Header.Get("Content-Type")):
		return nil, &problem{status: 415, Code: "unsupported_media_type", Message: "Send application/json."}
	}
	return body, nil
}

func isJSON(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	return err == nil && (t == "application/json" || t == "application/merge-patch+json")
}

// merge applies a JSON merge patch (RFC 7396) to current, a flat struct without omitempty, and is strict: a field that
// current does not have is an error. Creating is merging into the zero value.
func merge[T any](current T, patch []byte) (T, error) {
	var merged T
	before, err := json.Marshal(current)
	if err != nil {
		return merged, err
	}
	var known, doc, delta map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(before, &known), json.Unmarshal(before, &doc)); err != nil {
		return merged, err
	}
	if err := json.Unmarshal(patch, &delta); err != nil || delta == nil {
		return merged, &problem{status: 400, Code: "invalid_json", Message: "The request body must be one JSON object."}
	}
	f := fields{}
	for name, value := range delta {
		_, ok := known[name]
		f.require(name, ok, "is not a field")
		doc[name] = value
		if bytes.Equal(value, []byte("null")) {
			delete(doc, name)
		}
	}
	if err := f.err(); err != nil {
		return merged, err
	}
	after, err := json.Marshal(doc)
	if err != nil {
		return merged, err
	}
	return merged, typeProblem(json.Unmarshal(after, &merged))
}

// typeProblem names the field that has the wrong JSON type.
func typeProblem(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fields{wrong.Field: "must be a " + jsonName(wrong.Type.Kind())}.err()
	}
	return err
}

func jsonName(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "string"
	case reflect.Slice:
		return "list of strings"
	case reflect.Bool:
		return "boolean"
	}
	return "whole number"
}
