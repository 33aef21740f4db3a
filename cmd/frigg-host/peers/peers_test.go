//go:build peers && linux && amd64

// Package peers measures routes of the built program over HTTP beside other servers on the same machine in the same run: bare
// net/http, workerd, Node-RED and n8n.
//
// Everybody is up for the whole run, but only one has its turn, and the others are stopped where they are (SIGSTOP). Turns go
// round: each round has every server answer every question for some seconds, and what is printed is the median over the
// rounds. The load comes from wrk on the same machine. Every answer is checked before the clock runs.
//
//	go test -tags peers -count=1 -timeout 2h -v ./cmd/frigg-host/peers -args -rounds 5 -turn 4s
package peers

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/cmd/frigg-host/e2e/lab"
)

var (
	rounds = flag.Int("rounds", 5, "rounds; the median over them is printed")
	turn   = flag.Duration("turn", 4*time.Second, "how long a server answers one question in a round")
	n8n    = flag.Bool("n8n", true, "with n8n, whose installation takes ten minutes and 3 GB")
	only   = flag.String("only", "", "questions and servers to measure, by name and separated by commas; default all")
	report = flag.String("report", "", "file that gets the tables, too")
	guests = flag.String("guests", "go,c,typescript", "languages of the integrations that answer for us")
	ours   = flag.String("program", "../../../bin/frigg-host", "the frigg-host to measure")
)

// workerEnv makes this program one of the two servers in Go instead of a test.
const workerEnv = "FRIGG_PEERS_SERVER"

func TestMain(m *testing.M) {
	if what := os.Getenv(workerEnv); what != "" {
		fmt.Fprintln(os.Stderr, serveGo(what))
		os.Exit(1)
	}
	flag.Parse()
	os.Exit(m.Run())
}

// question is one thing that servers are asked for.
type question struct {
	name, title string
	method      string
	body        string
	want        any // the JSON of the answer; a string is the text as it is
}

var questions = []question{
	{name: "hello", title: "hello: a short text", method: "GET", want: "hello\n"},
	{name: "json", title: fmt.Sprintf("JSON in and out, %d bytes", len(small)), method: "POST", body: small, want: map[string]any{"ok": true, "n": 7.0}},
	{name: "json1k", title: fmt.Sprintf("JSON in and out, %d bytes", len(large)), method: "POST", body: large, want: map[string]any{"ok": true, "n": 10.0}},
	{name: "sub", title: "one outbound call", method: "GET", want: map[string]any{"ok": true, "up": map[string]any{"id": "stub-1", "name": "Ada", "plan": "pro"}}},
}

// contender is a server, or one way to have ours answer, with where it answers which question.
type contender struct {
	name   string
	server *lab.Server
	paths  map[string]string // by question
	token  string            // bearer of the paths that ask who calls
	extra  string            // what the row says beside the name
	slow   bool              // it answers some in a second, and has longer turns
}

func TestPeers(t *testing.T) {
	if _, err := exec.LookPath("wrk"); err != nil {
		t.Fatal("the load comes from wrk, which is not on the PATH; the package of most systems is called wrk")
	}
	stub := startGo(t, "stub")
	all := contenders(t, stub.URL)
	for _, c := range all {
		c.verify(t)
	}
	for _, c := range all {
		check(t, c.server.Pause())
	}
	wanted := func(name string) bool {
		return *only == "" || strings.Contains(","+*only+",", ","+name+",")
	}
	var b bytes.Buffer
	describe(&b)
	for _, q := range questions {
		if wanted(q.name) || !anyQuestion(wanted) {
			measure(t, q, all, func(c contender) bool { return wanted(c.name) || !anyServer(all, wanted) }).print(&b, q)
		}
	}
	fmt.Println(b.String())
	if *report != "" {
		check(t, os.WriteFile(*report, b.Bytes(), 0o644))
	}
}

func anyQuestion(wanted func(string) bool) bool {
	for _, q := range questions {
		if wanted(q.name) {
			return true
		}
	}
	return false
}

func anyServer(all []contender, wanted func(string) bool) bool {
	for _, c := range all {
		if wanted(c.name) {
			return true
		}
	}
	return false
}

// contenders starts everybody.
func contenders(t *testing.T, stub string) []contender {
	plain := map[string]string{"hello": "/hello", "json": "/json", "json1k": "/json", "sub": "/sub"}
	hooks := map[string]string{"hello": "/webhook/hello", "json": "/webhook/json", "json1k": "/webhook/json", "sub": "/webhook/sub"}
	all := startHost(t, stub)
	all = append(
		all,
		contender{name: "net/http", server: startGo(t, "nethttp="+stub), paths: plain},
		contender{name: "workerd", server: lab.StartWorkerd(t, stub), paths: plain},
		contender{name: "node-red", server: lab.StartNodeRED(t, stub), paths: plain},
	)
	if !*n8n {
		fmt.Println("n8n is left out: -n8n=false")
		return all
	}
	return append(all, contender{name: "n8n", server: lab.StartN8N(t, stub), paths: hooks, slow: true})
}

// verify asks every question once, and fails t unless the answers are right. Some servers need a moment after their start.
func (c contender) verify(t *testing.T) {
	t.Helper()
	for _, q := range questions {
		if c.paths[q.name] == "" {
			continue
		}
		var err error
		eventually(t, time.Minute, fmt.Sprintf("right answer of %s to %s (%v)", c.name, q.name, &err), func() bool {
			err = c.ask(q)
			return err == nil
		})
	}
}

var patient = &http.Client{Timeout: time.Minute}

func (c contender) ask(q question) error {
	req, err := http.NewRequest(q.method, c.server.URL+c.paths[q.name], strings.NewReader(q.body))
	if err != nil {
		return err
	}
	for name, value := range c.headers(q) {
		req.Header.Set(name, value)
	}
	res, err := patient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	var got any = string(text)
	if _, isText := q.want.(string); !isText {
		if err := json.Unmarshal(text, &got); err != nil {
			return fmt.Errorf("%s: %q", res.Status, text)
		}
	}
	if res.StatusCode != http.StatusOK || !reflect.DeepEqual(got, q.want) {
		return fmt.Errorf("%s: %q", res.Status, text)
	}
	return nil
}

func (c contender) headers(q question) map[string]string {
	h := map[string]string{}
	if q.body != "" {
		h["Content-Type"] = "application/json"
	}
	if c.token != "" {
		h["Authorization"] = "Bearer " + c.token
	}
	return h
}

// eventually polls until ok is true, and fails t after the deadline.
func eventually(t *testing.T, deadline time.Duration, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
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
