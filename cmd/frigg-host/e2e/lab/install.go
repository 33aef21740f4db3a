//go:build linux || darwin

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// recipe is one server at one exact version: how to get it, and how to tell that a directory holds it.
type recipe struct {
	name    string
	version string
	cost    string // what the reader waits for: "building, about six minutes the first time"
	needs   func(context.Context) []tool
	build   func(ctx context.Context, dir string) error // fills the empty dir
	check   func(ctx context.Context, dir string) error // nil if dir holds exactly this version and it runs
}

// tool is a program that must be on the PATH.
type tool struct{ name, why string }

// recipes in the order of their cost.
var recipes = []recipe{opRecipe, stripeRecipe, giteaRecipe}

// Install makes sure that every server is in the cache and prints one line per step to progress. It names every missing
// tool before it builds anything.
func Install(ctx context.Context, progress io.Writer) error {
	var todo []recipe
	var missing []error
	for _, r := range recipes {
		dir, err := r.dir()
		if err != nil {
			return err
		}
		if r.check(ctx, dir) == nil {
			r.sayReady(progress, dir)
			continue
		}
		todo = append(todo, r)
		missing = append(missing, r.missing(ctx))
	}
	if err := errors.Join(missing...); err != nil {
		return err
	}
	for _, r := range todo {
		if _, err := r.ensure(ctx, progress); err != nil {
			return err
		}
	}
	return nil
}

func (r recipe) String() string { return r.name + " " + r.version }

func (r recipe) sayReady(progress io.Writer, dir string) {
	fmt.Fprintf(progress, "%s: ready in %s\n", r, dir)
}

func (r recipe) dir() (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, r.name+"-"+r.version), nil
}

// missing is nil or an error with one line per tool that is not there.
func (r recipe) missing(ctx context.Context) error {
	var errs []error
	for _, t := range r.needs(ctx) {
		if _, err := exec.LookPath(t.name); err != nil {
			errs = append(errs, fmt.Errorf("%s needs %s on the PATH: %s", r, t.name, t.why))
		}
	}
	return errors.Join(errs...)
}

// ensure returns the directory that holds the server and installs it first if need be. A half-built server is never
// seen: it is built next door and renamed once checked.
func (r recipe) ensure(ctx context.Context, progress io.Writer) (string, error) {
	dir, err := r.dir()
	if err != nil {
		return "", err
	}
	if r.check(ctx, dir) == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	unlock, err := lockFile(ctx, dir+".lock", func() {
		fmt.Fprintf(progress, "%s: another run is installing it, waiting\n", r.name)
	})
	if err != nil {
		return "", err
	}
	defer unlock()
	if r.check(ctx, dir) == nil {
		r.sayReady(progress, dir)
		return dir, nil
	}
	if err := r.missing(ctx); err != nil {
		return "", err
	}
	if err := r.install(ctx, dir, progress); err != nil {
		return "", fmt.Errorf("install %s: %w", r, err)
	}
	return dir, nil
}

func (r recipe) install(ctx context.Context, dir string, progress io.Writer) error {
	fmt.Fprintf(progress, "%s: %s\n", r.name, r.cost)
	begin := time.Now()
	stop := heartbeat(progress, r.name)
	defer stop()

	partial := dir + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return err
	}
	if err := os.MkdirAll(partial, 0o755); err != nil {
		return err
	}
	if err := r.build(ctx, partial); err != nil {
		return err
	}
	if err := r.check(ctx, partial); err != nil {
		return fmt.Errorf("built, but not what was asked for: %w", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Rename(partial, dir); err != nil {
		return err
	}
	fmt.Fprintf(progress, "%s: installed in %s after %s\n", r, dir, time.Since(begin).Round(time.Second))
	return nil
}

// heartbeat prints one line per minute, so that nobody takes a long build for a stuck one.
func heartbeat(progress io.Writer, name string) (stop func()) {
	begin, done, ended := time.Now(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Minute)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fmt.Fprintf(progress, "%s: still at it, %s\n", name, time.Since(begin).Round(time.Second))
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

// run executes a command in dir with env added to ours and returns its standard output; a failure carries the end of
// what it said.
func run(ctx context.Context, dir string, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s\n%s", strings.Join(append([]string{name}, args...), " "), err,
			tail(out.Bytes(), 20), tail(complaints.Bytes(), 40))
	}
	return out.Bytes(), nil
}

// tail returns the last n lines of text.
func tail(text []byte, n int) []byte {
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-n):], []byte("\n"))
}

// mustEnsure is ensure for tests.
func mustEnsure(t testing.TB, r recipe) string {
	t.Helper()
	dir, err := r.ensure(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
