//go:build unix

package journal_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/frigg-host/frigg-host/host/guest"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/journal"
)

// suicidal is a store under which the process is killed at one of its writes, before or after the commit.
type suicidal struct{ *mortal }

func (s suicidal) die(err error) error {
	if errors.Is(err, errDead) {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	return err
}

func (s suicidal) AppendJournal(ctx context.Context, r *journal.Run, epoch int64, c *journal.Chunk, restart bool) error {
	return s.die(s.mortal.AppendJournal(ctx, r, epoch, c, restart))
}

func (s suicidal) Together(ctx context.Context, f func(context.Context) error) error {
	return s.die(s.mortal.Together(ctx, f))
}

const killedEnv = "FRIGG_TEST_KILLED"

// TestResume_Killed is the process of the next test that is killed.
func TestResume_Killed(t *testing.T) {
	path := os.Getenv(killedEnv)
	if path == "" {
		t.Skip("nobody asks")
	}
	n, _ := strconv.Atoi(os.Getenv(killedEnv + "_AT"))
	r := openRig(t, path)
	r.id = job.ID(os.Getenv(killedEnv + "_ID"))
	e := newEngine(t, guest.Config{CacheDir: filepath.Dir(path)})
	_, err := r.try(e, steps(250), suicidal{&mortal{DB: r.db, left: n, after: n%2 == 0}})
	t.Fatal("it lives on", err)
}

// TestResume_AfterSIGKILLAtEachWriteTheRunEndsTheSame: FRIGG_KILLS=all kills at every write, otherwise at a few.
func TestResume_AfterSIGKILLAtEachWriteTheRunEndsTheSame(t *testing.T) {
	t.Parallel()
	if raceDetector {
		t.Skip("compiling the guest in each process takes too long")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "frigg.db")
	engines := []*engine{newEngine(t, guest.Config{CacheDir: dir}), newEngine(t, guest.Config{Interpreter: true})}
	r := openRig(t, path).again()
	counting := &mortal{DB: r.db, left: 1 << 30}
	want, err := r.try(engines[0], steps(250), counting)
	if err != nil || want.Err != "" {
		t.Fatal(err, want.Err)
	}
	stride := 29
	if os.Getenv("FRIGG_KILLS") == "all" {
		stride = 1
	}
	for n := 1; n <= 1<<30-counting.left; n += stride {
		r.again()
		r.kill(path, n)
		got, err := r.try(engines[n%8/7], steps(250), r.db)
		if err != nil {
			t.Fatalf("resumed after a kill at write %d: %v", n, err)
		}
		if got != want {
			t.Fatalf("resumed after a kill at write %d:\n got %+v\nwant %+v", n, got, want)
		}
	}
}

// kill runs the guest in a process that is killed at its n-th write.
func (r *rig) kill(path string, n int) {
	r.t.Helper()
	c := exec.Command(os.Args[0], "-test.run=^TestResume_Killed$")
	c.Env = append(os.Environ(), killedEnv+"="+path, killedEnv+"_AT="+strconv.Itoa(n), killedEnv+"_ID="+string(r.id))
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		r.t.Fatalf("the process was not killed: %v\n%s", err, out)
	}
}
