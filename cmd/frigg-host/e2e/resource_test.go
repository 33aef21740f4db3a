//go:build e2e && (linux || darwin)

package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/cmd/frigg-host/e2e/lab"
)

// resource is an API that asks the authorization server about every token (RFC 7662), so that its judgement and not ours
// decides who gets in.
//
//	/fine     200
//	/limited  429 with Retry-After: 2 the first time, then 200
//	/silent   never answers
type resource struct {
	URL string
	op  *lab.OP

	mu    sync.Mutex
	token string // the last that came
	calls map[string][]time.Time
}

func startResource(t *testing.T, op *lab.OP) *resource {
	t.Helper()
	r := &resource{op: op, calls: map[string][]time.Time{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /fine", func(w http.ResponseWriter, q *http.Request) { _, _ = io.WriteString(w, "fine") })
	mux.HandleFunc("GET /limited", func(w http.ResponseWriter, q *http.Request) {
		if len(r.callsOf("/limited")) == 1 {
			w.Header().Set("Retry-After", "2")
			http.Error(w, "slow down", http.StatusTooManyRequests)
		}
	})
	mux.HandleFunc("GET /silent", func(_ http.ResponseWriter, q *http.Request) { <-q.Context().Done() })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		token, _ := strings.CutPrefix(q.Header.Get("Authorization"), "Bearer ")
		r.mu.Lock()
		r.token = token
		r.calls[q.URL.Path] = append(r.calls[q.URL.Path], time.Now())
		r.mu.Unlock()
		active, err := r.active(token)
		if err != nil {
			http.Error(w, "the authorization server cannot be asked: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		if !active {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, q)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections() // ends what is silent
		server.Close()
	})
	r.URL = server.URL
	return r
}

// active asks the authorization server, each time on a new connection: the server closes those that were idle for five
// seconds, and a question that is lost with one says nothing about the token.
func (r *resource) active(token string) (bool, error) {
	req, err := http.NewRequest(http.MethodPost, r.op.IntrospectURL, strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		return false, err
	}
	req.Close = true
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(r.op.M2M.ID, r.op.M2M.Secret)
	a, err := send(req)
	if err != nil {
		return false, err
	}
	var said struct{ Active bool }
	err = json.Unmarshal(a.Body, &said)
	return said.Active, err
}

// awaitExpiry waits until the last token that came is good no more.
func (r *resource) awaitExpiry(t *testing.T) {
	t.Helper()
	token := r.lastToken()
	if token == "" {
		t.Fatal("no token came yet")
	}
	eventually(t, workDeadline, "end of the access token", func() bool {
		active, err := r.active(token)
		check(t, err)
		return !active
	})
}

func (r *resource) lastToken() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.token
}

func (r *resource) callsOf(path string) []time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls[path]
}
