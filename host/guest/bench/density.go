package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/frigg-host/frigg-host/host/guest"
)

// population is a number of plugins of one guest, each with its own digest, and idle instances of each.
type population struct {
	of      *sample
	plugins int
}

// instancesEach is how many idle instances each plugin has: 5,000 for 200 plugins.
const instancesEach = 25

// density prints what many plugins and many idle instances take.
func density(ctx context.Context, w io.Writer, all []sample, _ options) error {
	std, c := &all[0], &all[2]
	fmt.Fprintf(w, "\nMemory of this process (PSS), MiB\n\n| plugins | idle instances | before | plugins compiled | with instances | a plugin, KiB | an instance, KiB |\n|---|---|---|---|---|---|---|\n")
	for _, mix := range [][]population{{{c, 200}}, {{std, 10}}, {{std, 10}, {c, 190}}} {
		if err := populate(ctx, w, mix); err != nil {
			return err
		}
	}
	return nil
}

// populate makes one row of the table.
func populate(ctx context.Context, w io.Writer, mix []population) error {
	e, err := openFor(ctx, mix, "")
	if err != nil {
		return err
	}
	defer e.Close(context.Background())
	before, err := pss()
	if err != nil {
		return err
	}
	var modules []guest.Module
	var names []string
	for _, p := range mix {
		names = append(names, fmt.Sprintf("%d %s", p.plugins, p.of.name))
		for n := range p.plugins {
			m, err := e.Compile(ctx, variant(p.of.wasm, n))
			if err != nil {
				return err
			}
			modules = append(modules, m)
		}
	}
	compiled, err := pss()
	if err != nil {
		return err
	}
	for _, m := range modules {
		if err := fill(ctx, m, instancesEach); err != nil {
			return err
		}
	}
	full, err := pss()
	if err != nil {
		return err
	}
	idle := e.Report().Idle
	if idle != len(modules)*instancesEach {
		return fmt.Errorf("%d instances are idle, not %d", idle, len(modules)*instancesEach)
	}
	fmt.Fprintf(w, "| %s | %d | %d | %d | %d | %d | %d |\n", strings.Join(names, ", "), idle, before>>20, compiled>>20, full>>20,
		(compiled-before)/int64(len(modules))>>10, (full-compiled)/int64(idle)>>10)
	return nil
}

// openFor opens an engine that keeps every instance.
func openFor(ctx context.Context, mix []population, cacheDir string) (guest.Engine, error) {
	var imports []guest.Import
	seen := map[guest.Import]bool{}
	for _, p := range mix {
		of, err := p.of.capabilities()
		if err != nil {
			return nil, err
		}
		for _, im := range of {
			if !seen[im] {
				seen[im] = true
				imports = append(imports, im)
			}
		}
	}
	return guest.OpenNative(ctx, guest.Config{Imports: imports, CacheDir: cacheDir, IdleInstances: instancesEach, IdleBytes: 1 << 40, IdleTime: time.Hour})
}

// fill makes n calls that wait for each other inside of the guest, so that there are n instances.
func fill(ctx context.Context, m guest.Module, n int) error {
	var inside, all sync.WaitGroup
	inside.Add(n)
	failed := make(chan error, n)
	for range n {
		all.Go(func() {
			_, err := m.Call(ctx, guest.Call{Plugin: "density", Export: "ask", Input: question, Host: func(context.Context, guest.Import, []byte) []byte {
				inside.Done()
				inside.Wait()
				return answer
			}})
			failed <- err
		})
	}
	all.Wait()
	close(failed)
	for err := range failed {
		if err != nil {
			return err
		}
	}
	return nil
}

// pss is what this process has of the machine's memory, pages that it shares counted by their share (proc_pid_smaps(5)),
// after garbage was given back.
func pss() (int64, error) {
	debug.FreeOSMemory()
	f, err := os.Open("/proc/self/smaps_rollup")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) == 3 && fields[0] == "Pss:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("smaps_rollup has no Pss")
}
