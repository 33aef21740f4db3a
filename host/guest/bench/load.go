package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/frigg-host/frigg-host/host/guest"
	"github.com/frigg-host/frigg-host/host/guest/bench/order"
)

// What load measures: calls that come at fixed times, while nothing else happens and while a guest spins on every core.
const (
	phases   = 8 // idle and spinning, in turns
	phase    = time.Second
	arrivals = 2 * time.Millisecond
	spinTime = 150 * time.Millisecond // deadline of a spinning call
	gcEvery  = 50 * time.Millisecond
)

// state is what was seen in the phases of one kind.
type state struct {
	mu       sync.Mutex
	latency  []float64 // of calls, from when they should have come, in nanoseconds
	duration []float64 // of the same calls, from when they came
	gc       []float64 // runtime.GC, in nanoseconds
	late     []float64 // from a deadline to the end of the guest, in nanoseconds
}

func (s *state) note(to *[]float64, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*to = append(*to, float64(d))
}

// load prints how calls fare while guests spin.
func load(ctx context.Context, w io.Writer, all []sample, _ options) error {
	s := &all[0]
	imports, err := s.capabilities()
	if err != nil {
		return err
	}
	e, err := guest.OpenNative(ctx, guest.Config{Imports: imports})
	if err != nil {
		return err
	}
	defer e.Close(context.Background())
	m, err := e.Compile(ctx, s.wasm)
	if err != nil {
		return err
	}
	spinner, err := e.Compile(ctx, variant(s.wasm, 1))
	if err != nil {
		return err
	}
	var idle, spinning state
	for n := range phases {
		if n%2 == 0 {
			err = onePhase(ctx, m, &idle)
		} else {
			err = spinBeside(ctx, spinner, &spinning, func() error { return onePhase(ctx, m, &spinning) })
		}
		if err != nil {
			return err
		}
	}
	writeLoad(w, &idle, &spinning)
	fmt.Fprintf(w, "\n%d instances are idle in the end; the spinning ones had at most %d, for %d calls.\n", e.Report().Idle, runtime.GOMAXPROCS(0), len(spinning.late))
	return nil
}

// onePhase lets calls come for the time of a phase, and collects garbage meanwhile.
func onePhase(ctx context.Context, m guest.Module, s *state) error {
	var all sync.WaitGroup
	failed := make(chan error, 1)
	start := time.Now()
	all.Go(func() {
		for at := gcEvery; at < phase; at += gcEvery {
			time.Sleep(time.Until(start.Add(at)))
			began := time.Now()
			runtime.GC()
			s.note(&s.gc, time.Since(began))
		}
	})
	input := order.Example()
	for at := time.Duration(0); at < phase; at += arrivals {
		due := start.Add(at)
		time.Sleep(time.Until(due))
		all.Go(func() {
			came := time.Now()
			if _, err := m.Call(ctx, guest.Call{Plugin: "quick", Export: "json", Input: input}); err != nil {
				select {
				case failed <- err:
				default:
				}
			}
			s.note(&s.duration, time.Since(came))
			s.note(&s.latency, time.Since(due))
		})
	}
	all.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// spinBeside keeps every core busy with a guest that never comes back, while do runs.
func spinBeside(ctx context.Context, m guest.Module, s *state, do func() error) error {
	done := make(chan struct{})
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				r, err := m.Call(ctx, guest.Call{Plugin: "spinning", Export: "spin", Limits: guest.Limits{Timeout: spinTime}})
				if guest.ReasonOf(err) == guest.ReasonDeadline {
					s.note(&s.late, r.Duration-spinTime)
				}
			}
		})
	}
	err := do()
	close(done)
	all.Wait()
	return err
}

func writeLoad(w io.Writer, idle, spinning *state) {
	rows := []struct {
		name, key string
		of        func(*state) []float64
	}{
		{"call, from when it was due", "due", func(s *state) []float64 { return s.latency }},
		{"call, from when it began", "began", func(s *state) []float64 { return s.duration }},
		{"runtime.GC", "gc", func(s *state) []float64 { return s.gc }},
	}
	for _, q := range []float64{0.5, 0.99} {
		for _, r := range rows {
			fmt.Fprintf(w, "BenchmarkLoad/what=%s/p=%g/state=idle 1 %.0f ns/op\n", r.key, q*100, quantile(r.of(idle), q))
			fmt.Fprintf(w, "BenchmarkLoad/what=%s/p=%g/state=spinning 1 %.0f ns/op\n", r.key, q*100, quantile(r.of(spinning), q))
		}
	}
	fmt.Fprintf(w, "\nA guest that spins on every core, against idle (%d calls each; milliseconds)\n\n| what | idle p50 | spinning p50 | idle p99 | spinning p99 | ratio of p99 | spinning max |\n|---|---|---|---|---|---|---|\n", len(idle.latency))
	for _, r := range rows {
		i, s := r.of(idle), r.of(spinning)
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %sx | %s |\n", r.name, ms(i, 0.5), ms(s, 0.5), ms(i, 0.99), ms(s, 0.99), number(quantile(s, 0.99)/quantile(i, 0.99)), ms(s, 1))
	}
	fmt.Fprintf(w, "| from a deadline to the end of the guest | | %s | | %s | | %s |\n", ms(spinning.late, 0.5), ms(spinning.late, 0.99), ms(spinning.late, 1))
}

func ms(ns []float64, q float64) string { return number(quantile(ns, q) / 1e6) }
