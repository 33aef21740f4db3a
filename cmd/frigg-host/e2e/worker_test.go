//go:build e2e && (linux || darwin)

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"testing"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
)

// workerEnv holds a task in a process that is a worker and no test.
const workerEnv = "FRIGG_E2E_WORKER"

// task is what one worker does: use an account once, when it is told to.
type task struct {
	Data, Plugins string
	User          account.ID
	Entity        connection.EntityID
}

// work joins a host of its own over the data folder of a running one, says "ready", waits for a line, uses the account, and
// prints the outcome. It returns the exit code.
func work() int {
	if err := perform(context.Background(), os.Getenv(workerEnv), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func perform(ctx context.Context, text string, in io.Reader, out io.Writer) error {
	var do task
	if err := json.Unmarshal([]byte(text), &do); err != nil {
		return err
	}
	h, err := host.New(ctx, host.Config{
		DataDir: do.Data, PluginsDir: do.Plugins, Offline: true,
		AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	if err != nil {
		return err
	}
	defer h.Close()
	fmt.Fprintln(out, "ready")
	if _, err := bufio.NewReader(in).ReadString('\n'); err != nil {
		return err
	}
	found, err := h.Connections.TestEntity(ctx, account.Actor{User: do.User, Owner: account.Owner(do.User)}, do.Entity)
	if err == nil && found.Outcome != abi.AuthOutcomeOk {
		err = fmt.Errorf("%s: %s", found.Outcome, found.Message)
	}
	return err
}

// worker is a process that performs a task.
type worker struct {
	cmd   *exec.Cmd
	start io.WriteCloser
	out   *bufio.Reader
}

// startWorker returns a worker that is ready.
func startWorker(t *testing.T, do task) *worker {
	t.Helper()
	text, err := json.Marshal(do)
	check(t, err)
	w := &worker{cmd: exec.Command(os.Args[0])}
	w.cmd.Env, w.cmd.Stderr = append(os.Environ(), workerEnv+"="+string(text)), os.Stderr
	w.start, err = w.cmd.StdinPipe()
	check(t, err)
	out, err := w.cmd.StdoutPipe()
	check(t, err)
	w.out = bufio.NewReader(out)
	check(t, w.cmd.Start())
	t.Cleanup(func() { _ = w.cmd.Process.Kill() })
	return w
}

// ready waits until the worker has joined its host.
func (w *worker) ready(t *testing.T) {
	t.Helper()
	if _, err := w.out.ReadString('\n'); err != nil {
		t.Fatalf("a worker did not become ready: %v, %v", err, w.cmd.Wait())
	}
}

// perform tells the worker to begin and returns what it says.
func (w *worker) perform() error {
	if _, err := io.WriteString(w.start, "go\n"); err != nil {
		return err
	}
	return w.cmd.Wait()
}
