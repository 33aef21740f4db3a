//go:build linux || darwin

package lab

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

const (
	startDeadline = time.Minute     // a loaded machine with two cores
	stopGrace     = 5 * time.Second // after SIGTERM, before SIGKILL
	logTail       = 80              // lines shown of a server whose test failed
)

// process is one running server, the leader of its own process group.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string        // path of the file with everything it printed
	done chan struct{} // closed once it has ended
}

// serve starts cmd, waits until ready answers below 500, and stops the whole group when t ends.
func serve(t testing.TB, name string, cmd *exec.Cmd, ready string) *process {
	t.Helper()
	p := &process{name: name, cmd: cmd, log: filepath.Join(t.TempDir(), name+".log"), done: make(chan struct{})}
	if err := p.start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", name, p.tail())
		}
	})
	if err := p.await(ready); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	return p
}

// start runs the command on a thread that lives as long as the server does: on Linux the death signal of ownGroup follows
// the thread that forked, not the process.
func (p *process) start() error {
	out, err := os.Create(p.log)
	if err != nil {
		return err
	}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		defer out.Close()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait()
		}
	}()
	return <-started
}

// await polls url until it answers, the server ends or the deadline passes.
func (p *process) await(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startDeadline)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.done:
			return fmt.Errorf("it ended at once: %v", p.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("no answer from %s within %s", url, startDeadline)
		case <-tick.C:
		}
		if answers(ctx, url) {
			return nil
		}
	}
}

func answers(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode < http.StatusInternalServerError
}

// stop ends the group, by force if it does not go by itself, and returns when the server has ended. A server that ended
// before is left alone: its number may belong to somebody else by now.
func (p *process) stop() {
	select {
	case <-p.done:
		return
	default:
	}
	group := -p.cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM)
	_ = syscall.Kill(group, syscall.SIGCONT) // one that is paused would not hear it
	select {
	case <-p.done:
	case <-time.After(stopGrace):
	}
	_ = syscall.Kill(group, syscall.SIGKILL)
	<-p.done
}

func (p *process) tail() []byte {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return []byte(err.Error())
	}
	return tail(text, logTail)
}

// freePort returns a port of 127.0.0.1 on which nobody listens.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
