package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "plugin" {
		servePlugin()
		return
	}
	var o options
	flag.StringVar(&o.guests, "guests", "../../../build/bench", "directory of the guests")
	flag.StringVar(&o.parts, "parts", "calls", "what to measure, with commas between")
	flag.StringVar(&o.by, "by", "", "columns of the calls, with commas between; all of them without")
	flag.StringVar(&o.of, "of", "", "guests of the calls, with commas between; all of them without")
	flag.StringVar(&o.rows, "rows", "", "rows of the calls, with commas between; all of them without")
	flag.StringVar(&o.profile, "cpuprofile", "", "file for a profile of everything")
	flag.IntVar(&o.rounds, "rounds", 60, "how often each row is measured")
	flag.Parse()
	if err := run(context.Background(), os.Stdout, o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type options struct {
	guests, parts, by, of, rows, profile string
	rounds                               int
}

func run(ctx context.Context, w io.Writer, o options) error {
	all, err := samples(o.guests)
	if err != nil {
		return err
	}
	if o.profile != "" {
		f, err := os.Create(o.profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	for part := range strings.SplitSeq(o.parts, ",") {
		measure, ok := parts[part]
		if !ok {
			return fmt.Errorf("there is nothing to measure called %q", part)
		}
		if err := measure(ctx, w, all, o); err != nil {
			return err
		}
	}
	return nil
}

var parts = map[string]func(context.Context, io.Writer, []sample, options) error{
	"calls":   calls,
	"load":    load,
	"density": density,
	"cold":    cold,
}

func calls(ctx context.Context, w io.Writer, all []sample, o options) error {
	var done []*series
	for _, s := range all {
		if !listed(o.of, s.name) {
			continue
		}
		s.rows = slices.DeleteFunc(slices.Clone(s.rows), func(r row) bool { return !listed(o.rows, r.name) })
		of, err := measureCalls(ctx, &s, func(column string) bool { return listed(o.by, column) }, o.rounds)
		if err != nil {
			return err
		}
		writeLines(w, of)
		done = append(done, of...)
	}
	writeTables(w, done)
	return nil
}

// listed reports whether a name is in a list with commas; everything is in the empty one.
func listed(list, name string) bool {
	return list == "" || slices.Contains(strings.Split(list, ","), name)
}
