package store

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"time"

	"github.com/frigg-host/frigg-host/host/secret"
)

// The columns below take a pointer and serve both as an argument and as a destination.

// micros is a time: INTEGER microseconds since 1970 UTC, NULL for the zero time.
func micros(t *time.Time) timeColumn { return timeColumn{t} }

type timeColumn struct{ t *time.Time }

func (c timeColumn) Value() (driver.Value, error) {
	if c.t.IsZero() {
		return nil, nil
	}
	return c.t.UnixMicro(), nil
}

func (c timeColumn) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*c.t = time.Time{}
	case int64:
		*c.t = time.UnixMicro(v).UTC()
	default:
		return fmt.Errorf("a time is stored as %T", v)
	}
	return nil
}

// optional is a TEXT that is NULL when empty.
func optional[T ~string](s *T) textColumn[T] { return textColumn[T]{s} }

type textColumn[T ~string] struct{ s *T }

func (c textColumn[T]) Value() (driver.Value, error) {
	if *c.s == "" {
		return nil, nil
	}
	return string(*c.s), nil
}

func (c textColumn[T]) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*c.s = ""
	case string:
		*c.s = T(v)
	default:
		return fmt.Errorf("a text is stored as %T", v)
	}
	return nil
}

// revealed is a TEXT that must not print, NULL when empty. It is for hashes and the like; what has to be read again is sealed.
func revealed(s *secret.Text) secretColumn { return secretColumn{s} }

type secretColumn struct{ s *secret.Text }

func (c secretColumn) Value() (driver.Value, error) {
	text := c.s.Reveal()
	return optional(&text).Value()
}

func (c secretColumn) Scan(v any) error {
	var text string
	if err := optional(&text).Scan(v); err != nil {
		return err
	}
	*c.s = secret.NewText(text)
	return nil
}

// keys is a TEXT with a JSON list of texts, NULL when empty.
func keys(v *[]string) keysColumn { return keysColumn{v} }

type keysColumn struct{ v *[]string }

func (c keysColumn) Value() (driver.Value, error) {
	if len(*c.v) == 0 {
		return nil, nil
	}
	return asJSON(*c.v).Value()
}

func (c keysColumn) Scan(v any) error {
	if v == nil {
		*c.v = nil
		return nil
	}
	return asJSON(c.v).Scan(v)
}

// asJSON is a TEXT with the JSON of what v points to.
func asJSON(v any) jsonColumn { return jsonColumn{v} }

type jsonColumn struct{ v any }

func (c jsonColumn) Value() (driver.Value, error) {
	text, err := json.Marshal(c.v)
	return string(text), err
}

func (c jsonColumn) Scan(v any) error {
	text, ok := v.(string)
	if !ok {
		return fmt.Errorf("JSON is stored as %T", v)
	}
	return json.Unmarshal([]byte(text), c.v)
}

// rawJSON is a TEXT with JSON that nobody here looks into, NULL when empty.
func rawJSON(v *json.RawMessage) rawColumn { return rawColumn{v} }

type rawColumn struct{ v *json.RawMessage }

func (c rawColumn) Value() (driver.Value, error) {
	if len(*c.v) == 0 {
		return nil, nil
	}
	return string(*c.v), nil
}

func (c rawColumn) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*c.v = nil
	case string:
		*c.v = json.RawMessage(v)
	default:
		return fmt.Errorf("JSON is stored as %T", v)
	}
	return nil
}
