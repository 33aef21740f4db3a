//go:build peers && linux && amd64

package peers

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"
)

const (
	connections = "16"
	warmUp      = "1s"
	slowTurn    = 10 * time.Second // at least, for servers that answer some in a second
)

// sample is one turn of a server.
type sample struct {
	rate     float64 // answers per second
	p50, p99 time.Duration
	cpu      time.Duration // of the server, for one answer
	rss      uint64
	failed   int // answers that were not 2xx, and broken connections
}

// series are the turns of one contender at one question.
type series struct {
	contender
	samples []sample
}

type results []*series

// measure asks a question of those who answer it, in rounds.
func measure(t *testing.T, q question, all []contender, wanted func(contender) bool) results {
	t.Helper()
	script := filepath.Join(t.TempDir(), "wrk.lua")
	check(t, os.WriteFile(script, fmt.Appendf(nil, "wrk.method = %q\nwrk.body = %q\n", q.method, q.body), 0o600))
	var out results
	for _, c := range all {
		if c.paths[q.name] != "" && wanted(c) {
			out = append(out, &series{contender: c})
		}
	}
	for round := range *rounds {
		for _, s := range out {
			got := s.turn(t, q, script)
			s.samples = append(s.samples, got)
			fmt.Printf("%s %d/%d %-12s %8.0f/s p50 %-9v p99 %-9v %v each, %d MiB, %d failed, load %s\n",
				q.name, round+1, *rounds, s.name, got.rate, got.p50, got.p99, got.cpu.Round(time.Microsecond), got.rss>>20, got.failed, load())
		}
	}
	return out
}

// load is what the machine has to do, which others may share.
func load() string { return find("/proc/loadavg", `(\S+)`) }

// turn lets one server answer, and stops it again.
func (s *series) turn(t *testing.T, q question, script string) sample {
	t.Helper()
	check(t, s.server.Resume())
	defer func() { check(t, s.server.Pause()) }()
	s.wrk(t, q, script, warmUp)
	before, err := s.server.Usage()
	check(t, err)
	length := *turn
	if s.slow {
		length = max(length, slowTurn)
	}
	text := s.wrk(t, q, script, length.String())
	after, err := s.server.Usage()
	check(t, err)
	got, n := readWrk(t, text)
	got.cpu, got.rss = (after.CPU-before.CPU)/time.Duration(max(n, 1)), after.RSS
	return got
}

func (s *series) wrk(t *testing.T, q question, script, duration string) string {
	t.Helper()
	args := []string{"-t1", "-c" + connections, "-d" + duration, "--timeout", "30s", "--latency", "-s", script}
	for name, value := range s.headers(q) {
		args = append(args, "-H", name+": "+value)
	}
	out, err := exec.Command("wrk", append(args, s.server.URL+s.paths[q.name])...).Output()
	check(t, err)
	return string(out)
}

var (
	wrkRate     = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	wrkRequests = regexp.MustCompile(`(\d+) requests in`)
	wrkP50      = regexp.MustCompile(`\n\s+50%\s+(\S+)`)
	wrkP99      = regexp.MustCompile(`\n\s+99%\s+(\S+)`)
	wrkBad      = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
	wrkBroken   = regexp.MustCompile(`Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
)

// readWrk reads what wrk prints, and how many answers there were.
func readWrk(t *testing.T, text string) (s sample, n int) {
	t.Helper()
	find := func(r *regexp.Regexp) string {
		m := r.FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("wrk did not say %s:\n%s", r, text)
		}
		return m[1]
	}
	var errs [4]error
	s.rate, errs[0] = strconv.ParseFloat(find(wrkRate), 64)
	n, errs[1] = strconv.Atoi(find(wrkRequests))
	s.p50, errs[2] = time.ParseDuration(find(wrkP50))
	s.p99, errs[3] = time.ParseDuration(find(wrkP99))
	for _, err := range errs {
		check(t, err)
	}
	for _, r := range []*regexp.Regexp{wrkBad, wrkBroken} {
		if m := r.FindStringSubmatch(text); m != nil {
			for _, digits := range m[1:] {
				k, _ := strconv.Atoi(digits)
				s.failed += k
			}
		}
	}
	return s, n
}

// median is that of what each turn says.
func median[T cmp.Ordered](s *series, of func(sample) T) T {
	all := make([]T, len(s.samples))
	for i, one := range s.samples {
		all[i] = of(one)
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func (s *series) rate() float64 { return median(s, func(s sample) float64 { return s.rate }) }

func (s *series) cpu() time.Duration { return median(s, func(s sample) time.Duration { return s.cpu }) }

func (s *series) p99() time.Duration { return median(s, func(s sample) time.Duration { return s.p99 }) }

// find is the series of a server, nil if it was not measured.
func (r results) find(name string) *series {
	for _, s := range r {
		if s.name == name {
			return s
		}
	}
	return nil
}

// ratio writes how many times a is b, or nothing if b was not measured.
func ratio(a float64, b *series, of func(*series) float64) string {
	if b == nil || of(b) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/of(b))
}

// print writes a table, ratios first.
func (r results) print(w io.Writer, q question) {
	workerd, slow := r.find("workerd"), r.find("n8n")
	p99 := func(s *series) float64 { return float64(s.p99()) }
	cpu := func(s *series) float64 { return float64(s.cpu()) }
	fmt.Fprintf(w, "### %s\n\n", q.title)
	fmt.Fprintln(w, "| server | rate / workerd | CPU / workerd | p99 / workerd | rate / n8n | req/s | lowest - highest | p50 | p99 | CPU for one | RSS | failed |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|---|---|")
	for _, s := range r {
		rates, failed := make([]float64, 0, len(s.samples)), 0
		for _, one := range s.samples {
			rates, failed = append(rates, one.rate), failed+one.failed
		}
		fmt.Fprintf(w, "| %s%s | %s | %s | %s | %s | %.0f | %.0f - %.0f | %v | %v | %v | %d MiB | %d |\n", s.name, s.extra,
			ratio(s.rate(), workerd, (*series).rate), ratio(cpu(s), workerd, cpu), ratio(p99(s), workerd, p99), ratio(s.rate(), slow, (*series).rate),
			s.rate(), slices.Min(rates), slices.Max(rates),
			median(s, func(s sample) time.Duration { return s.p50 }), s.p99(),
			s.cpu().Round(time.Microsecond),
			median(s, func(s sample) uint64 { return s.rss })>>20, failed)
	}
	fmt.Fprintln(w)
}
