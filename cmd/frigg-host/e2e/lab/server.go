//go:build linux

package lab

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Server is a running server that is measured: it can be stilled while others have their turn, and its use of the machine
// read. Its processes are those of its group.
type Server struct {
	URL string // "http://127.0.0.1:PORT"
	p   *process
}

// StartServer runs cmd until t ends, once ready, a path of url, answers. It gets a process group of its own.
func StartServer(t testing.TB, name string, cmd *exec.Cmd, url, ready string) *Server {
	t.Helper()
	cmd.SysProcAttr = ownGroup()
	return &Server{URL: url, p: serve(t, name, cmd, url+ready)}
}

// FreeURL is an address of this machine on which nobody listens.
func FreeURL(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("http://127.0.0.1:%d", freePort(t))
}

// Pause stops all processes of the server where they are.
func (s *Server) Pause() error { return syscall.Kill(-s.p.cmd.Process.Pid, syscall.SIGSTOP) }

// Resume lets them go on.
func (s *Server) Resume() error { return syscall.Kill(-s.p.cmd.Process.Pid, syscall.SIGCONT) }

// Usage is what a server has taken of the machine.
type Usage struct {
	CPU time.Duration // user and system, since the start
	RSS uint64        // bytes in memory now
}

// tick is the unit of /proc/PID/stat, which is the same on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// Usage reads what the server has taken so far.
func (s *Server) Usage() (Usage, error) {
	var u Usage
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return u, err
	}
	found := false
	for _, name := range all {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended meanwhile
		}
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // from the state on, the third of proc(5)
		if len(fields) < 22 || fields[2] != strconv.Itoa(s.p.cmd.Process.Pid) {
			continue
		}
		found = true
		var ticks, pages uint64
		for _, f := range fields[11:13] {
			n, _ := strconv.ParseUint(f, 10, 64)
			ticks += n
		}
		pages, _ = strconv.ParseUint(fields[21], 10, 64)
		u.CPU += time.Duration(ticks) * tick
		u.RSS += pages * uint64(os.Getpagesize())
	}
	if !found {
		return u, fmt.Errorf("%s has ended: %v", s.p.name, s.p.cmd.ProcessState)
	}
	return u, nil
}
