//go:build peers && linux && amd64

package peers

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/cmd/frigg-host/e2e/lab"
)

const addressEnv = "FRIGG_PEERS_ADDRESS"

// startGo runs a server of serveGo as a process of its own.
func startGo(t *testing.T, what string) *lab.Server {
	t.Helper()
	program, err := os.Executable()
	check(t, err)
	address := lab.FreeURL(t)
	u, err := url.Parse(address)
	check(t, err)
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), workerEnv+"="+what, addressEnv+"="+u.Host)
	name, _, _ := strings.Cut(what, "=")
	return lab.StartServer(t, name, cmd, address, "/me")
}

// serveGo is the stub that endpoints with an outbound call ask, or bare net/http: what nobody in Go can be quicker than.
func serveGo(what string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /me", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"stub-1","name":"Ada","plan":"pro"}`)
	})
	if _, stub, ok := strings.Cut(what, "="); ok {
		answer(mux, stub)
	}
	server := &http.Server{Addr: os.Getenv(addressEnv), Handler: mux, ReadHeaderTimeout: time.Minute}
	return server.ListenAndServe()
}

// answer adds the questions.
func answer(mux *http.ServeMux, stub string) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	reply := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello\n") })
	mux.HandleFunc("POST /json", func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		reply(w, map[string]any{"ok": true, "n": len(body)})
	})
	mux.HandleFunc("GET /sub", func(w http.ResponseWriter, r *http.Request) {
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, stub+"/me", nil)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		req.Header.Set("X-Api-Key", "k")
		res, err := client.Do(req)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer res.Body.Close()
		var up any
		if err := json.NewDecoder(res.Body).Decode(&up); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		reply(w, map[string]any{"ok": true, "up": up})
	})
}
