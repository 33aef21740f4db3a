package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/host/api"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/secret"
)

// broken measures what is broken.
type broken struct{ database, encryption error }

func (b broken) Database(context.Context) error             { return b.database }
func (b broken) Encryption(context.Context) (string, error) { return "aes-256-gcm", b.encryption }

var duration = regexp.MustCompile(`"responseTime": \d+`)

func TestHealth_HasFriggsShapes(t *testing.T) {
	t.Parallel()
	key := map[string]string{"x-api-key": healthKey}
	well := newHouse(t)
	waiting := newHouse(t)
	waiting.plugins[0].State, waiting.plugins[0].Problem = plugin.NeedsApproval, "it asks for a host: approve it"
	ill := newHouse(t, func(c *api.Config) {
		c.Health = broken{errors.New("planted cause"), errors.New("planted cause")}
	})
	for _, p := range ill.plugins {
		p.State, p.Problem = plugin.Broken, "it does not compile"
	}
	oneBad := newHouse(t)
	oneBad.plugins[3].State, oneBad.plugins[3].Problem = plugin.Broken, "it does not compile"
	var text bytes.Buffer
	for _, c := range []struct {
		name, path string
		house      *house
		want       int
	}{
		{"well", "/health", well, 200},
		{"well", "/health/live", well, 200},
		{"well", "/health/ready", well, 200},
		{"well", "/health/detailed", well, 200},
		{"a plugin waits for approval", "/health/detailed", waiting, 200},
		{"a plugin waits for approval", "/health/ready", waiting, 200},
		{"one plugin is broken", "/health/detailed", oneBad, 503},
		{"one plugin is broken", "/health/ready", oneBad, 200},
		{"everything is broken", "/health", ill, 200},
		{"everything is broken", "/health/live", ill, 200},
		{"everything is broken", "/health/ready", ill, 503},
		{"everything is broken", "/health/detailed", ill, 503},
	} {
		res := get(t, c.house, c.path, key)
		if res.Code != c.want {
			t.Errorf("%s: GET %s is answered %d, want %d", c.name, c.path, res.Code, c.want)
		}
		text.WriteString(c.name + ": GET " + c.path + "\n-> " + res.Result().Status + "\n")
		if err := json.Indent(&text, bytes.TrimSpace(res.Body.Bytes()), "", "  "); err != nil {
			t.Fatal(err)
		}
		text.WriteString("\n\n")
	}
	golden(t, "health.golden.txt", duration.ReplaceAll(text.Bytes(), []byte(`"responseTime": 0`)))
	if strings.Contains(text.String(), "planted") || strings.Count(ill.log.String(), "planted cause") != 3 {
		t.Errorf("the cause belongs into the log only: %s", ill.log)
	}
}

func TestHealth_DetailsNeedTheKey(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	closed := newHouse(t, func(c *api.Config) { c.HealthKey = secret.Text{} })
	for _, path := range []string{"/health/live", "/health/ready", "/health/detailed"} {
		for _, key := range []string{"", "wrong", backendKey} {
			if res := get(t, h, path, map[string]string{"x-api-key": key}); res.Code != 401 {
				t.Errorf("%s with %q: %d", path, key, res.Code)
			}
		}
		if res := get(t, closed, path, map[string]string{"x-api-key": healthKey}); res.Code != 401 || !strings.Contains(res.Body.String(), "start the host with a health key") {
			t.Errorf("%s of a host without a key: %d %s", path, res.Code, res.Body)
		}
	}
}
