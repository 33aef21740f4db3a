package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// cold prints how long it takes from nothing to an engine with n modules that can be called, whose code is in the cache.
func cold(ctx context.Context, w io.Writer, all []sample, o options) error {
	fmt.Fprintf(w, "\nStart of the engine with cached modules, two at a time; milliseconds, least of three\n\n| guest | modules | compiled before | from the cache | for each |\n|---|---|---|---|---|\n")
	for _, s := range []*sample{&all[2], &all[0]} {
		dir, err := os.MkdirTemp("", "bench-cache-")
		if err != nil {
			return err
		}
		err = coldTable(ctx, w, s, dir)
		if rest := os.RemoveAll(dir); err == nil {
			err = rest
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func coldTable(ctx context.Context, w io.Writer, s *sample, dir string) error {
	done := 0
	for _, n := range []int{1, 10, 50} {
		compiling, err := startWith(ctx, s, dir, n)
		if err != nil {
			return err
		}
		least := time.Hour
		for range 3 {
			d, err := startWith(ctx, s, dir, n)
			if err != nil {
				return err
			}
			least = min(least, d)
		}
		fmt.Fprintf(w, "| %s | %d | %s (%d new) | %s | %s |\n", s.name, n, number(millis(compiling)), n-done, number(millis(least)), number(millis(least)/float64(n)))
		done = n
	}
	return nil
}

func millis(d time.Duration) float64 { return float64(d) / 1e6 }

// startWith opens an engine and compiles n modules in two workers.
func startWith(ctx context.Context, s *sample, dir string, n int) (time.Duration, error) {
	variants := make(chan []byte, n)
	for i := range n {
		variants <- variant(s.wasm, i)
	}
	close(variants)
	start := time.Now()
	e, err := openFor(ctx, []population{{s, n}}, dir)
	if err != nil {
		return 0, err
	}
	defer e.Close(context.Background())
	var workers sync.WaitGroup
	failed := make(chan error, n)
	for range 2 {
		workers.Go(func() {
			for wasm := range variants {
				if _, err := e.Compile(ctx, wasm); err != nil {
					failed <- err
				}
			}
		})
	}
	workers.Wait()
	d := time.Since(start)
	select {
	case err := <-failed:
		return 0, err
	default:
		return d, nil
	}
}
