package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// series are the measurements of one row by one column: one per round, in nanoseconds per call.
type series struct {
	guest, row, column string
	calls              int       // of a batch
	ns, cpu            []float64 // cpu is time of this process on a core, garbage collection and wazero's threads included
	bytes, allocs      float64   // of the host's heap, per call
}

// batch is how long the calls of one turn take together, about.
const batch = 3 * time.Millisecond

// measureCalls lets all columns take turns at each row of a guest, in another order in each round.
func measureCalls(ctx context.Context, s *sample, wanted func(column string) bool, rounds int) (all []*series, err error) {
	callers := map[string]caller{}
	defer func() {
		for _, c := range callers {
			_ = c.close()
		}
	}()
	var names []string
	for _, c := range columns {
		if !wanted(c.name) || s.lacks(c.name) {
			continue
		}
		if callers[c.name], err = c.open(ctx, s); err != nil {
			delete(callers, c.name)
			return nil, fmt.Errorf("%s of guest %s: %w", c.name, s.name, err)
		}
		names = append(names, c.name)
	}
	for _, r := range s.rows {
		of := map[string]*series{}
		var want []byte
		for _, name := range names {
			m, output, err := calibrate(callers[name], r)
			if err != nil {
				return nil, fmt.Errorf("%s of guest %s, %s: %w", name, s.name, r.name, err)
			}
			if output = s.said(output); want == nil {
				want = output
			}
			if !bytes.Equal(want, output) {
				return nil, fmt.Errorf("%s of guest %s, %s: it answers %d bytes, others %d", name, s.name, r.name, len(output), len(want))
			}
			m.guest, m.row, m.column = s.name, r.name, name
			of[name], all = m, append(all, m)
		}
		for range rounds {
			rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
			for _, name := range names {
				m, before := of[name], processorTime()
				d, err := repeat(callers[name], r, m.calls)
				if err != nil {
					return nil, err
				}
				m.cpu = append(m.cpu, float64(processorTime()-before)/float64(m.calls))
				m.ns = append(m.ns, float64(d)/float64(m.calls))
			}
		}
	}
	return all, nil
}

// processorTime is how long this process was on a core. Other work on the machine does not count in it.
func processorTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t) // this clock is always there
	return time.Duration(t.Nano())
}

// repeat makes n calls.
func repeat(c caller, r row, n int) (time.Duration, error) {
	start := time.Now()
	for range n {
		if _, err := c.call(r.export, r.input); err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

// calibrate finds out how many calls make a batch, and what they leave to the garbage collector.
func calibrate(c caller, r row) (*series, []byte, error) {
	output, err := c.call(r.export, r.input)
	if err != nil {
		return nil, nil, err
	}
	output = bytes.Clone(output)
	n := 1
	for {
		d, err := repeat(c, r, n)
		if err != nil {
			return nil, nil, err
		}
		if d >= batch/2 {
			n = max(1, int(float64(n)*float64(batch)/float64(d)))
			break
		}
		n *= 2
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := repeat(c, r, n); err != nil {
		return nil, nil, err
	}
	runtime.ReadMemStats(&after)
	return &series{
		calls:  n,
		bytes:  float64(after.TotalAlloc-before.TotalAlloc) / float64(n),
		allocs: float64(after.Mallocs-before.Mallocs) / float64(n),
	}, output, nil
}

// median of at least one number.
func median(numbers []float64) float64 { return quantile(numbers, 0.5) }

func quantile(numbers []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(numbers))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// relation is the median of f over the rounds of two series.
func relation(a, b []float64, f func(a, b float64) float64) float64 {
	all := make([]float64, len(a))
	for i := range all {
		all[i] = f(a[i], b[i])
	}
	return median(all)
}

func ratio(a, b float64) float64 { return a / b }

func difference(a, b float64) float64 { return a - b }
