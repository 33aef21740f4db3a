package sim_test

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// number reads a number from the environment.
func number(t *testing.T, variable string, usual int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	must(t, err)
	return n
}

// The promises of the host hold in worlds that follow from a seed: clock, clients, faults of vendors, crashes, power cuts.
// FRIGG_SEEDS says how many, FRIGG_SEED plays a single one and tells its story.
func TestSim_HostsKeepTheirPromises(t *testing.T) {
	made := prepare(t)
	if seed := number(t, "FRIGG_SEED", 0); seed != 0 {
		w := made.play(t, uint64(seed), right)
		for _, line := range slices.Concat(w.trace, w.problems) {
			t.Log(line)
		}
		if len(w.problems) > 0 {
			t.Fail()
		}
		return
	}
	began, n := time.Now(), number(t, "FRIGG_SEEDS", usualSeeds)
	var crashes, decisions atomic.Int64
	t.Run("seeds", func(t *testing.T) {
		var next atomic.Int64
		for range runtime.GOMAXPROCS(0) {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				for seed := next.Add(1); seed <= int64(n); seed = next.Add(1) {
					w := made.play(t, uint64(seed), right)
					crashes.Add(int64(w.crashes))
					decisions.Add(int64(w.decisions))
					for _, p := range w.problems {
						t.Errorf("FRIGG_SEED=%d: %s", seed, p)
					}
				}
			})
		}
	})
	took := time.Since(began)
	t.Logf("%d seeds in %s, %.0f a second: %d crashes and power cuts, %d decisions of a person",
		n, took.Round(time.Millisecond), float64(n)/took.Seconds(), crashes.Load(), decisions.Load())
	if crashes.Load() == 0 || decisions.Load() == 0 {
		t.Error("the worlds are too kind")
	}
}

// A seed gives the same story each time, so a failure can be looked at. FRIGG_REPEATS says how many are told twice.
func TestSim_ASeedReproduces(t *testing.T) {
	made := prepare(t)
	for seed := range uint64(number(t, "FRIGG_REPEATS", usualSeeds/50+2)) {
		first, second := made.play(t, seed, right), made.play(t, seed, right)
		if len(first.trace) == 0 || !slices.Equal(first.trace, second.trace) {
			t.Errorf("FRIGG_SEED=%d:\n%q\n%q", seed, first.trace, second.trace)
		}
	}
}

// Hosts that are wrong on purpose are caught.
func TestSim_CatchesWrongHosts(t *testing.T) {
	if raced {
		t.Skip("takes long with the race detector, and make test runs it without")
	}
	made := prepare(t)
	for name, how := range map[string]wrong{
		"acknowledge before the commit": acknowledgesFirst, "resend blindly": resendsBlindly, "recover without epoch": ignoresEpochs,
	} {
		t.Run(name, func(t *testing.T) {
			for seed := uint64(1); seed <= 1000; seed++ {
				if w := made.play(t, seed, how); len(w.problems) > 0 {
					t.Logf("by seed %d: %s", seed, w.problems[0])
					return
				}
			}
			t.Error("1000 seeds see nothing")
		})
	}
}
