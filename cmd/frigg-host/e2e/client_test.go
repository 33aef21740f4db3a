//go:build e2e && (linux || darwin)

package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// client is an application that calls the management API for one user. With a page it also writes down what was said.
type client struct {
	base, token string
	page        *page
}

var patient = &http.Client{Timeout: time.Minute}

// answer is what the host said.
type answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// call sends in as JSON and returns the answer whatever its status. in may be nil.
func (c *client) call(t *testing.T, method, path string, in any) answer {
	t.Helper()
	a, err := c.try(method, path, in)
	check(t, err)
	c.page.exchange(method, path, in, a)
	return a
}

// try is call for goroutines and for hosts that may be gone. It writes nothing down.
func (c *client) try(method, path string, in any) (answer, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return answer{}, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, c.base+path, body)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return send(req)
}

func send(req *http.Request) (answer, error) {
	res, err := patient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, body}, err
}

// must is call with an answer of this status, decoded into out unless that is nil.
func (c *client) must(t *testing.T, status int, method, path string, in, out any) {
	t.Helper()
	a := c.call(t, method, path, in)
	if a.Status != status {
		t.Fatalf("%s %s: %d %s, want %d", method, path, a.Status, a.Body, status)
	}
	if out != nil {
		check(t, json.Unmarshal(a.Body, out))
	}
}

// refused is call with an error of this status whose text says all of these.
func (c *client) refused(t *testing.T, status int, method, path string, in any, says ...string) {
	t.Helper()
	a := c.call(t, method, path, in)
	if a.Status != status {
		t.Fatalf("%s %s: %d %s, want %d", method, path, a.Status, a.Body, status)
	}
	for _, text := range says {
		if !strings.Contains(string(a.Body), text) {
			t.Errorf("%s %s: %s does not say %q", method, path, a.Body, text)
		}
	}
}

// silent is the client without a page: what it asks again and again is not worth writing down.
func (c *client) silent() *client { return &client{base: c.base, token: c.token} }

// The shapes of the API, as far as the tests look at them.
type (
	requirements struct {
		Type, URL string
		Data      struct{ JSONSchema schema }
	}
	schema struct {
		Required   []string
		Properties map[string]struct {
			Format string
			Enum   []any
			OneOf  []struct{ Const, Title string }
		}
	}
	authorization struct {
		CredentialID string `json:"credential_id"`
		EntityID     string `json:"entity_id"`
		URL          string
	}
	record struct {
		ID, Status string
		Config     map[string]any
		Messages   struct {
			Errors, Warnings []struct{ Title, Message string }
		}
	}
	jobList struct {
		Jobs []struct{ ID, State, LastError string }
	}
)

// options are the values among which a field lets a person choose.
func (s schema) options(field string) []string {
	var all []string
	for _, v := range s.Properties[field].Enum {
		if text, ok := v.(string); ok {
			all = append(all, text)
		}
	}
	for _, o := range s.Properties[field].OneOf {
		all = append(all, o.Const)
	}
	return all
}

// read returns a record as it is now.
func (c *client) read(t *testing.T, id string) record {
	t.Helper()
	var r record
	c.silent().must(t, http.StatusOK, http.MethodGet, "/api/integrations/"+id, nil, &r)
	return r
}

// becomes waits for a status of a record.
func (c *client) becomes(t *testing.T, id, status string) {
	t.Helper()
	var last record
	eventually(t, workDeadline, "status "+status, func() bool {
		last = c.read(t, id)
		if last.Status == "ERROR" && status != "ERROR" {
			t.Fatalf("the integration is in ERROR: %+v", last.Messages)
		}
		return last.Status == status
	})
}

// workDeadline is how long the host may take for work that waits for nothing: Gitea delivers webhooks after a second or two.
const workDeadline = 30 * time.Second

// quiet waits until every job of the user has ended, and fails t if one ended badly.
func (c *client) quiet(t *testing.T) {
	t.Helper()
	eventually(t, workDeadline, "end of all jobs", func() bool {
		return len(c.jobs(t, "queued,running")) == 0
	})
	if bad := c.jobs(t, "halted,dead"); len(bad) > 0 {
		t.Fatalf("jobs failed: %+v", bad)
	}
}

func (c *client) jobs(t *testing.T, states string) []struct{ ID, State, LastError string } {
	t.Helper()
	var list jobList
	c.silent().must(t, http.StatusOK, http.MethodGet, "/api/jobs?state="+states, nil, &list)
	return list.Jobs
}
