//go:build e2e && (linux || darwin)

package e2e

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	startDeadline = 30 * time.Second // a loaded machine, and plugins to compile
	stopDeadline  = 30 * time.Second
	logTail       = 60 // lines shown when a test fails
)

// installation is a frigg-host as an operator has it: the program, a data folder, an address that stays.
type installation struct {
	program, data, plugins, address, log string

	cmd  *exec.Cmd
	done chan error // gets what Wait said, once
}

// install prepares a data folder with an empty plugins folder. Nothing runs yet.
func install(t *testing.T) *installation {
	t.Helper()
	path, err := filepath.Abs(program)
	check(t, err)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v; run make build wasm first", err)
	}
	dir := t.TempDir()
	in := &installation{
		program: path, data: filepath.Join(dir, "data"), plugins: filepath.Join(dir, "plugins"),
		log: filepath.Join(dir, "log"), address: freeAddress(t),
	}
	check(t, os.Mkdir(in.plugins, 0o700))
	t.Cleanup(func() {
		in.end()
		if t.Failed() {
			t.Logf("the end of the log of frigg-host:\n%s", in.tail())
		}
	})
	return in
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	return l.Addr().String()
}

func (in *installation) url() string { return "http://" + in.address }

func (in *installation) env() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(in.data), "FRIGG_DATA=" + in.data, "FRIGG_PLUGINS=" + in.plugins}
}

// start serves, and returns once the host answers.
func (in *installation) start(t *testing.T) {
	t.Helper()
	out, err := os.OpenFile(in.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	check(t, err)
	defer out.Close()
	in.cmd = exec.Command(in.program, "serve", "--listen", in.address, "--public-url", in.url(), "--allow-private", "127.0.0.0/8",
		"--log-level", "debug")
	in.cmd.Env, in.cmd.Stdout, in.cmd.Stderr = in.env(), out, out
	check(t, in.cmd.Start())
	in.done = make(chan error, 1)
	go func(cmd *exec.Cmd, done chan error) { done <- cmd.Wait() }(in.cmd, in.done)
	eventually(t, startDeadline, "an answer of the host", func() bool {
		if in.ended() {
			t.Fatalf("the host ended at once: %v", in.cmd.ProcessState)
		}
		res, err := http.Get(in.url() + "/health")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

func (in *installation) ended() bool {
	select {
	case err := <-in.done:
		in.done <- err
		return true
	default:
		return false
	}
}

// kill ends the host where it stands.
func (in *installation) kill(t *testing.T) {
	t.Helper()
	check(t, in.cmd.Process.Signal(syscall.SIGKILL))
	<-in.done
	in.cmd = nil
}

// stop asks the host to end, which it must do by itself and without an error.
func (in *installation) stop(t *testing.T) {
	t.Helper()
	check(t, in.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-in.done:
		check(t, err)
	case <-time.After(stopDeadline):
		t.Fatalf("the host did not stop within %s", stopDeadline)
	}
	in.cmd = nil
}

func (in *installation) end() {
	if in.cmd != nil && !in.ended() {
		_ = in.cmd.Process.Kill()
		<-in.done
	}
}

func (in *installation) tail() string {
	text, _ := os.ReadFile(in.log)
	lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(string(text)), "\n"), func(line string) bool {
		return strings.Contains(line, "msg=request ") && strings.Contains(line, "status=2") // mostly our own polling
	})
	return strings.Join(lines[max(0, len(lines)-logTail):], "\n")
}

// run runs a subcommand beside the host and returns what it printed for programs and for people. Anything but success
// fails t.
func (in *installation) run(t *testing.T, stdin string, args ...string) (output, notes string) {
	t.Helper()
	cmd := exec.Command(in.program, args...)
	var out, errors bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = in.env(), strings.NewReader(stdin), &out, &errors
	if err := cmd.Run(); err != nil {
		t.Fatalf("frigg-host %s: %v\n%s%s", strings.Join(args, " "), err, out.String(), errors.String())
	}
	return out.String(), errors.String()
}

// drop puts a built plugin into the plugins folder, as cp does.
func (in *installation) drop(t *testing.T, name string) {
	t.Helper()
	module, err := os.ReadFile(filepath.Join(builtPlugins, name+".wasm"))
	check(t, err)
	check(t, os.WriteFile(filepath.Join(in.plugins, name+".wasm"), module, 0o600))
}

// listed is a line of `plugin list --json`.
type listed struct {
	Name, State string
	Serving     bool
}

func (in *installation) list(t *testing.T) map[string]listed {
	t.Helper()
	var all []listed
	output, _ := in.run(t, "", "plugin", "list", "--json")
	check(t, json.Unmarshal([]byte(output), &all))
	byName := map[string]listed{}
	for _, p := range all {
		byName[p.Name] = p
	}
	return byName
}

// createUser creates a user on the command line and returns its id and token.
func (in *installation) createUser(t *testing.T, name string) (id, token string) {
	t.Helper()
	var user struct{ ID, Token string }
	output, _ := in.run(t, "correct horse battery staple\n", "user", "create", name, "--json")
	check(t, json.Unmarshal([]byte(output), &user))
	return user.ID, user.Token
}

// everything is what the host has written: its data folder and its log, by file.
func (in *installation) everything(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	check(t, filepath.WalkDir(filepath.Dir(in.data), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, filepath.Dir(in.data))] = text
		return err
	}))
	return all
}

// eventually polls until ok is true, and fails t after the deadline.
func eventually(t *testing.T, deadline time.Duration, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(deadline); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("no %s within %s", what, deadline)
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
