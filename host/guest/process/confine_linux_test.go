package process

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/frigg-host/frigg-host/host/guest"
)

func openFileCount() int {
	files, _ := os.ReadDir("/proc/self/fd")
	return len(files)
}

// children are the processes that this one has started.
func children() []string {
	var all []string
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, task := range tasks {
		b, _ := os.ReadFile(task)
		all = append(all, strings.Fields(string(b))...)
	}
	return all
}

// pause stops a child and returns when it stands still: a signal is on its way for a while, in which a child still answers.
func pause(p *os.Process) error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for {
		err := unix.Waitid(unix.P_PID, p.Pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return err
		}
	}
}

// tryEverything is a child that somebody has taken over. Its output says what it could do.
func tryEverything() {
	var paths struct{ Cache, Secret string }
	if err := json.NewDecoder(os.Stdin).Decode(&paths); err != nil {
		panic(err)
	}
	shut, open := confine(paths.Cache)
	if err := hide(); err != nil {
		open = append(open, err.Error())
	}
	could := map[string]bool{}
	try := func(what string, err error) { could[what] = err == nil }
	_, err := os.ReadFile(paths.Secret)
	try("read a file", err)
	try("write a file", os.WriteFile(paths.Secret+".new", nil, 0o600))
	_, err = os.ReadDir("/")
	try("list a folder", err)
	_, err = os.ReadFile(fmt.Sprintf("/proc/%d/environ", os.Getppid()))
	try("read the parent's environment", err)
	try("use the cache", os.WriteFile(filepath.Join(paths.Cache, "x"), []byte("x"), 0o600))
	_, err = os.ReadFile("/proc/self/status")
	try("know itself", err)
	_, err = net.Listen("tcp", "127.0.0.1:0")
	try("listen", err)
	_, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	try("open a socket", err)
	_, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	try("open a local socket", err)
	try("start a program", exec.Command("/bin/true").Run())
	try("fork", fork())
	try("signal the parent", unix.Kill(os.Getppid(), 0))
	try("signal a thread of the parent", unix.Tgkill(os.Getppid(), os.Getppid(), 0))
	try("signal itself", unix.Tgkill(os.Getpid(), os.Getpid(), 0))
	try("trace the parent", unix.PtraceAttach(os.Getppid()))
	try("have a namespace", unix.Unshare(unix.CLONE_NEWUSER))
	try("see an environment", map[bool]error{true: nil, false: errors.New("it is empty")}[len(os.Environ()) > 0])
	done := make(chan struct{}) // a new thread still starts
	go func() { defer close(done); time.Sleep(time.Millisecond) }()
	<-done
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"could": could, "shut": shut, "open": open})
}

// fork starts a process as the C library does.
func fork() error {
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	switch {
	case errno != 0:
		return errno
	case pid == 0:
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	return nil
}

func TestConfine_AChildThatWasTakenOverReachesNothing(t *testing.T) {
	t.Setenv("FRIGG_KEY", "not for children")
	cache, secret := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, apart := range []bool{false, true} {
		t.Run(fmt.Sprint("apart ", apart), func(t *testing.T) {
			in, _ := json.Marshal(map[string]string{"Cache": cache, "Secret": secret})
			cmd := exec.Command("/proc/self/exe", "try")
			cmd.Env, cmd.Dir, cmd.Stdin, cmd.SysProcAttr = []string{}, neutral, strings.NewReader(string(in)), attributes(apart)
			cmd.SysProcAttr.Pdeathsig = 0 // this thread may end
			said, err := cmd.Output()
			if err != nil && apart {
				t.Skip("no namespaces here: ", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				Could      map[string]bool
				Shut, Open []string
			}
			if err := json.Unmarshal(said, &got); err != nil {
				t.Fatalf("%v: %s", err, said)
			}
			open := strings.Join(got.Open, "; ")
			t.Log("shut:", got.Shut, "open:", open)
			byFiles := map[string]bool{"read a file": true, "write a file": true, "list a folder": true, "read the parent's environment": true}
			for what, could := range got.Could {
				wanted := what == "use the cache" || what == "know itself" || what == "signal itself"
				if byFiles[what] && strings.Contains(open, "files: ") {
					continue // this kernel, or this build, cannot
				}
				if strings.Contains(open, "system calls: ") && !byFiles[what] {
					continue
				}
				if could != wanted {
					t.Errorf("%s: %v", what, could)
				}
			}
			if len(got.Could) < 17 {
				t.Errorf("only %d things were tried", len(got.Could))
			}
		})
	}
}

// What the kernel says of a real child: nothing inherited, nothing to gain.
func TestChild_StartsWithNothing(t *testing.T) {
	t.Setenv("FRIGG_BACKEND_KEY", "not for children")
	file, err := os.Open("process.go")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	inherited, err := unix.Dup(int(file.Fd())) // as from whoever started this program: without close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(inherited)
	e := open(t, Config{Config: guest.Config{CacheDir: t.TempDir()}})
	m := compile(t, e, "good")
	dir := fmt.Sprintf("/proc/%d/", m.child.cmd.Process.Pid)
	environ, err := os.ReadFile(dir + "environ")
	if err != nil {
		t.Skip("this user may not look: ", err)
	}
	if len(environ) != 0 {
		t.Errorf("environment %q", environ)
	}
	if cwd, _ := os.Readlink(dir + "cwd"); cwd != neutral {
		t.Errorf("folder %s", cwd)
	}
	fds, _ := os.ReadDir(dir + "fd")
	for _, fd := range fds {
		to, _ := os.Readlink(dir + "fd/" + fd.Name())
		if strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "/memfd:") && !strings.HasPrefix(to, "/proc/") && !strings.HasPrefix(to, "/sys/fs/cgroup") {
			t.Errorf("it has %s", to)
		}
	}
	tasks, _ := filepath.Glob(dir + "task/*/status")
	if len(tasks) == 0 {
		t.Fatal("it has no threads")
	}
	for _, task := range tasks {
		status, _ := os.ReadFile(task)
		for _, want := range []string{"NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
			if !strings.Contains(string(status), want) {
				t.Errorf("%s lacks %q", task, want)
			}
		}
		if e.apart.Load() && !strings.Contains(string(status), "CapEff:\t0000000000000000\n") {
			t.Errorf("%s has capabilities", task)
		}
	}
}

// beParent has a child that spins, says its process id, and waits to be killed.
func beParent() {
	e, err := Open(context.Background(), Config{Config: guest.Config{Imports: []guest.Import{send}}})
	if err != nil {
		panic(err)
	}
	wasm, err := os.ReadFile(filepath.Join("..", "testdata", "hostile.wasm"))
	if err != nil {
		panic(err)
	}
	m, err := e.Compile(context.Background(), wasm)
	if err != nil {
		panic(err)
	}
	fmt.Println(m.(*module).child.cmd.Process.Pid)
	_, err = m.Call(context.Background(), guest.Call{Plugin: "p", Export: "loop", Limits: guest.Limits{Timeout: time.Hour}})
	panic(err)
}

func TestChild_EndsWithItsParent(t *testing.T) {
	t.Parallel()
	parent := exec.Command("/proc/self/exe", "parent")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	_ = parent.Process.Kill()
	_ = parent.Wait()
	for late := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(late) {
			t.Fatal("the child lives on")
		}
	}
}
