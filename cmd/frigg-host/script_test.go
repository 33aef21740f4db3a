package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/plugin/wasm/wasmtest"
)

// program is the built binary, as people run it.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "frigg-host")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "frigg-host")
		build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the program: %v\n%s", err, text)
			return 1
		}
		return m.Run()
	}())
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Setup:               setUp,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "serve": serve, "await": await, "http": request, "stop": stop, "busy": busy, "digest": digest,
		},
	})
}

// setUp puts the program into the path and small modules into the folder: fixtures of the engine, and two that need a manifest.
func setUp(env *testscript.Env) error {
	home := filepath.Join(env.WorkDir, "home")
	env.Setenv("HOME", home)
	env.Setenv("PATH", filepath.Dir(program)+string(filepath.ListSeparator)+env.Getenv("PATH"))
	env.Values[running{}] = &hosts{byName: map[string]*started{}}
	files := map[string][]byte{
		"event.wasm": wasmtest.Module{Funcs: wasmtest.Exports("frigg_handle_event")}.Bytes(),
		"empty.wasm": wasmtest.Module{}.Bytes(),
	}
	for _, name := range []string{"good.wasm", "hostile.wasm", "bulk.wasm", "unknown_import.wasm"} {
		content, err := os.ReadFile(filepath.Join("..", "..", "host", "guest", "testdata", name))
		if err != nil {
			return err
		}
		files[name] = content
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(env.WorkDir, name), content, 0o600); err != nil {
			return err
		}
	}
	return os.Mkdir(home, 0o700)
}

// exits runs a program and wants an exit code: exits 3 frigg-host plugin call ...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code program arguments...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code, err := 0, ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

// running is the key of the hosts of a script.
type running struct{}

type hosts struct{ byName map[string]*started }

// started is a host in the background.
type started struct {
	cmd  *exec.Cmd
	log  *lines
	done chan error
}

// lines is what a program says, and tells who waits for it.
type lines struct {
	mu    sync.Mutex
	text  bytes.Buffer
	fresh chan struct{}
}

func newLines() *lines { return &lines{fresh: make(chan struct{}, 1)} }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.fresh <- struct{}{}:
	default:
	}
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// wait returns the groups of the first match.
func (l *lines) wait(pattern *regexp.Regexp) ([]string, error) {
	late := time.After(time.Minute)
	for {
		if found := pattern.FindStringSubmatch(l.String()); found != nil {
			return found, nil
		}
		select {
		case <-l.fresh:
		case <-late:
			return nil, fmt.Errorf("it never says %s, but\n%s", pattern, l)
		}
	}
}

var address = regexp.MustCompile(`serves (http://\S+)`)

// serve starts a host in the background on any port and puts its address into a variable: serve HOST --data d
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: serve VARIABLE arguments...")
	}
	log := newLines()
	cmd := exec.Command(program, append([]string{"serve", "--listen", "127.0.0.1:0"}, args[1:]...)...)
	cmd.Dir, cmd.Stderr = ts.MkAbs("."), log
	cmd.Env = append(os.Environ(), "HOME="+ts.Getenv("HOME"))
	ts.Check(cmd.Start())
	s := &started{cmd, log, make(chan error, 1)}
	go func() { s.done <- cmd.Wait() }()
	ts.Defer(func() { _ = cmd.Process.Kill() })
	ts.Value(running{}).(*hosts).byName[args[0]] = s
	found, err := log.wait(address)
	ts.Check(err)
	ts.Setenv(args[0], found[1])
}

func hostOf(ts *testscript.TestScript, name string) *started {
	s := ts.Value(running{}).(*hosts).byName[name]
	if s == nil {
		ts.Fatalf("%s was not started", name)
	}
	return s
}

// await waits until a host logs what a pattern says: await HOST 'plugin serves'
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await VARIABLE pattern")
	}
	_, err := hostOf(ts, args[0]).log.wait(regexp.MustCompile(args[1]))
	ts.Check(err)
}

// stop interrupts a host, wants a clean end, and leaves its log in the file VARIABLE.log.
func stop(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: stop VARIABLE")
	}
	s := hostOf(ts, args[0])
	ts.Check(s.cmd.Process.Signal(os.Interrupt))
	select {
	case err := <-s.done:
		ts.Check(err)
	case <-time.After(30 * time.Second):
		ts.Fatalf("it does not stop:\n%s", s.log)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".log"), []byte(s.log.String()), 0o600))
}

// request sends a request with a JSON body and wants a status and a pattern in the answer:
// http 201 'token' POST $HOST/user/login '{"username":"ada"}'
func request(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: http status pattern method url [body]")
	}
	body := strings.Join(args[4:], " ")
	r, err := http.NewRequest(args[2], args[3], strings.NewReader(body))
	ts.Check(err)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	ts.Check(err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	ts.Check(err)
	if strconv.Itoa(res.StatusCode) != args[0] || !regexp.MustCompile(args[1]).Match(answer) {
		ts.Fatalf("%s: %s", res.Status, answer)
	}
}

// digest puts the digest of a file into a variable: digest VARIABLE crm.wasm
func digest(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: digest VARIABLE file")
	}
	ts.Setenv(args[0], string(plugin.DigestOf([]byte(ts.ReadFile(args[1])))))
}

// busy takes a port for the time of the script and puts its address into a variable.
func busy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: busy VARIABLE")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}
