//go:build linux || darwin

package lab

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// toy is a recipe that writes one file; built counts how often.
func toy(built *atomic.Int32, build error) recipe {
	return recipe{
		name: "toy", version: "1", cost: "building, no time",
		needs: func(context.Context) []tool { return nil },
		build: func(_ context.Context, dir string) error {
			built.Add(1)
			return errors.Join(os.WriteFile(filepath.Join(dir, "toy"), []byte("1"), 0o600), build)
		},
		check: func(_ context.Context, dir string) error {
			text, err := os.ReadFile(filepath.Join(dir, "toy"))
			if err == nil && string(text) != "1" {
				err = errors.New("another version")
			}
			return err
		},
	}
}

// progress may be written by several goroutines.
type progress struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func TestEnsure_BuildsOnceWhenManyRace(t *testing.T) {
	t.Setenv(CacheEnv, t.TempDir())
	var built atomic.Int32
	var said progress
	r := toy(&built, nil)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			dir, err := r.ensure(t.Context(), &said)
			if err != nil {
				t.Error(err)
				return
			}
			if err := r.check(t.Context(), dir); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if built.Load() != 1 {
		t.Errorf("built %d times, want once", built.Load())
	}
	if !strings.Contains(said.text.String(), "toy: building, no time\n") {
		t.Errorf("it says %q", said.text.String())
	}
}

func TestEnsure_NeverShowsAHalfBuiltServer(t *testing.T) {
	t.Setenv(CacheEnv, t.TempDir())
	var built atomic.Int32
	broken := errors.New("the compiler is unwell")
	if _, err := toy(&built, broken).ensure(t.Context(), &progress{}); !errors.Is(err, broken) {
		t.Fatalf("err = %v, want %v", err, broken)
	}
	dir, _ := toy(&built, nil).dir()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is there: %v", err)
	}
	if _, err := toy(&built, nil).ensure(t.Context(), &progress{}); err != nil {
		t.Errorf("a second try: %v", err)
	}
}

func TestEnsure_ReplacesAServerThatIsNotTheVersion(t *testing.T) {
	t.Setenv(CacheEnv, t.TempDir())
	var built atomic.Int32
	r := toy(&built, nil)
	dir, err := r.ensure(t.Context(), &progress{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "toy"), []byte("2"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ensure(t.Context(), &progress{}); err != nil {
		t.Fatal(err)
	}
	if built.Load() != 2 {
		t.Errorf("built %d times, want 2", built.Load())
	}
}

func TestEnsure_StopsWaitingWhenCanceled(t *testing.T) {
	t.Setenv(CacheEnv, t.TempDir())
	var built atomic.Int32
	r := toy(&built, nil)
	dir, _ := r.dir()
	unlock, err := lockFile(t.Context(), dir+".lock", func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	_, err = r.ensure(ctx, writer(func(b []byte) { cancel() }))
	if !errors.Is(err, context.Canceled) || built.Load() != 0 {
		t.Errorf("err = %v after %d builds", err, built.Load())
	}
}

// writer is called with each line of progress.
type writer func([]byte)

func (w writer) Write(b []byte) (int, error) { w(b); return len(b), nil }

func TestInstall_NamesEveryMissingTool(t *testing.T) {
	t.Setenv(CacheEnv, t.TempDir())
	t.Setenv("PATH", t.TempDir())
	err := Install(t.Context(), &progress{})
	if err == nil {
		t.Fatal("it installs without tools")
	}
	for _, want := range []string{
		"oidc-provider " + opVersion + " needs node on the PATH",
		"oidc-provider " + opVersion + " needs npm on the PATH",
		"stripe-mock " + stripeVersion + " needs go on the PATH",
		"gitea " + giteaVersion + " needs gcc on the PATH",
		"gitea " + giteaVersion + " needs git on the PATH",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in\n%v", want, err)
		}
	}
}

func TestCheckNode_RefusesOldAndUnknown(t *testing.T) {
	t.Parallel()
	for version, ok := range map[string]bool{"v20.20.2\n": true, "v24.1.0": true, "v18.19.0\n": false, "": false, "node": false} {
		if err := checkNode(version); (err == nil) != ok {
			t.Errorf("%q: %v", version, err)
		}
	}
}
