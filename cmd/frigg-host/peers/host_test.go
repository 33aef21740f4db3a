//go:build peers && linux && amd64

package peers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/cmd/frigg-host/e2e/lab"
)

// host is a frigg-host as a user has it: the built program with its defaults, and a folder of data. All that differs is that
// plugins may call this machine, where the stub is.
type host struct {
	t      *testing.T
	env    []string
	dir    string
	server *lab.Server
	token  string
}

// startHost runs ours with one integration for each language, and returns each as a contender, and once more where a route
// asks who calls.
func startHost(t *testing.T, stub string) []contender {
	program, err := filepath.Abs(*ours)
	check(t, err)
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%v; run make build first", err)
	}
	h := &host{t: t, dir: t.TempDir()}
	plugins := filepath.Join(h.dir, "plugins")
	check(t, os.Mkdir(plugins, 0o700))
	h.env = append(os.Environ(), "FRIGG_DATA="+filepath.Join(h.dir, "data"), "FRIGG_PLUGINS="+plugins)

	pack := func(name, manifest, module string) {
		h.run("", program, "plugin", "pack", "--manifest", manifest, module, "-o", filepath.Join(plugins, name+".wasm"))
	}
	empty := filepath.Join(h.dir, "empty.wasm")
	check(t, os.WriteFile(empty, []byte("\x00asm\x01\x00\x00\x00"), 0o600)) // a module that is data only
	pack("peers-stub", "testdata/stub.yaml", empty)
	build := map[string]func() string{"go": h.buildGo, "c": h.buildC, "typescript": func() string { return "testdata/typescript/app.ts" }}
	languages := strings.Split(*guests, ",")
	for _, language := range languages {
		if build[language] == nil {
			t.Fatalf("there is no guest in %q", language)
		}
		pack("peers-"+language, "testdata/"+language+"/manifest.yaml", build[language]())
	}

	address := lab.FreeURL(t)
	u, err := url.Parse(address)
	check(t, err)
	cmd := exec.Command(program, "serve", "--listen", u.Host, "--allow-private", "127.0.0.0/8")
	cmd.Env = h.env
	h.server = lab.StartServer(t, "frigg-host", cmd, address, "/health")
	return h.settle(program, stub, languages)
}

// settle approves the plugins, connects the stub, and makes a record of each integration.
func (h *host) settle(program, stub string, languages []string) (all []contender) {
	approve := []string{"peers-stub"}
	for _, language := range languages {
		approve = append(approve, "peers-"+language)
	}
	for _, name := range approve {
		eventually(h.t, time.Minute, "plugin "+name, func() bool {
			return strings.Contains(h.run("", program, "plugin", "list", "--json"), `"`+name+`"`)
		})
		h.run("", program, "plugin", "approve", name, "--yes")
	}
	h.run("", program, "plugin", "set", "peers-stub", "base_url="+stub)
	var user struct{ Token string }
	check(h.t, json.Unmarshal([]byte(h.run("correct horse battery staple\n", program, "user", "create", "ada", "--json")), &user))
	h.token = user.Token
	var account struct {
		EntityID string `json:"entity_id"`
	}
	eventually(h.t, time.Minute, "account", func() bool {
		return h.call("POST", "/api/authorize", map[string]any{"entityType": "peers-stub", "data": map[string]any{"api_key": "k"}}, &account) == nil
	})
	for _, language := range languages {
		name, record := "peers-"+language, struct{ ID string }{}
		eventually(h.t, time.Minute, "record of "+name, func() bool {
			in := map[string]any{"entities": []string{account.EntityID}, "config": map[string]any{"type": name}}
			return h.call("POST", "/api/integrations", in, &record) == nil
		})
		at := "/api/" + name + "-integration"
		all = append(
			all,
			contender{name: "frigg-" + language, server: h.server, paths: map[string]string{"hello": at + "/hello", "json": at + "/json", "json1k": at + "/json"}},
			contender{name: "frigg-" + language + "-user", extra: " (asks who calls)", server: h.server, token: h.token, paths: map[string]string{
				"hello": at + "/hello-user", "sub": at + "/" + record.ID + "/sub",
			}},
		)
	}
	return all
}

// call asks the management API.
func (h *host) call(method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, h.server.URL+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+h.token)
	req.Header.Set("Content-Type", "application/json")
	res, err := patient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, text)
	}
	return json.Unmarshal(text, out)
}

// run runs a program to its end and returns what it printed.
func (h *host) run(stdin, program string, args ...string) string {
	h.t.Helper()
	cmd := exec.Command(program, args...)
	var out, complaints bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = h.env, strings.NewReader(stdin), &out, &complaints
	if err := cmd.Run(); err != nil {
		h.t.Fatalf("%s %s: %v\n%s%s", filepath.Base(program), strings.Join(args, " "), err, out.String(), complaints.String())
	}
	return out.String()
}

func (h *host) buildGo() string {
	out := filepath.Join(h.dir, "go.wasm")
	h.run("", "env", "GOOS=wasip1", "GOARCH=wasm", "go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", out, "./testdata/go")
	return out
}

// buildC needs clang with wasm-ld, which most systems call clang and lld.
func (h *host) buildC() string {
	out := filepath.Join(h.dir, "c.wasm")
	h.run("", "clang", "--target=wasm32-unknown-unknown", "-O2", "-nostdlib", "-ffreestanding", "-fno-builtin",
		"-Wl,--no-entry", "-Wl,--strip-debug", "-Wl,-z,stack-size=65536", "-o", out, "testdata/c/main.c")
	return out
}
