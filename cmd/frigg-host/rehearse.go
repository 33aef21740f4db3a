package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/frigg-host/frigg-host/host"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/journal"
	"github.com/frigg-host/frigg-host/host/plugin"
)

type pluginRehearseCmd struct {
	dataFlags `embed:""`

	File        string `arg:"" help:"The new .wasm file." type:"existingfile"`
	Last        int    `help:"How many runs." default:"100"`
	Interpreter bool   `help:"Do not compile the plugin: slower, with the same result."`
	JSON        bool   `help:"Print as JSON." name:"json"`
}

// Help has the examples of `plugin rehearse --help`.
func (pluginRehearseCmd) Help() string {
	return `Repeats the last runs that ended well of the plugin with this name with the new file, against what is on record: nothing is
sent and nothing is written. The host may be running. Says for which runs the new file behaves as before, and where it first does not.

Exit codes: 0 all the same, 1 some differ, 2 it cannot be rehearsed.

Examples:
  frigg-host plugin rehearse tidepool-welcome-1.1.0.wasm --last 100
  frigg-host plugin rehearse tidepool-welcome-1.1.0.wasm --json`
}

// rehearsed is what --json prints.
type rehearsed struct {
	Plugin  string   `json:"plugin"`
	Version string   `json:"version"`
	Runs    int      `json:"runs"`
	Same    int      `json:"same"`
	Unlike  []unlike `json:"different"`
	// Unreadable are runs whose record is damaged.
	Unreadable []job.ID `json:"unreadable,omitempty"`
}

// unlike are runs that first differ in the same way.
type unlike struct {
	difference
	Runs []job.ID `json:"runs"`
}

func (c *pluginRehearseCmd) Run(ctx context.Context, s streams) error {
	r, p, err := c.rehearse(ctx, s)
	if err != nil {
		return &exitError{exitCannot, operatorText(err)}
	}
	out := rehearsed{p.Name, p.Version, r.Runs, r.Same, []unlike{}, r.Unreadable}
	for _, u := range r.Unlike {
		out.Unlike = append(out.Unlike, unlike{difference{u.Path, u.Recorded, u.Now}, u.Runs})
	}
	if c.JSON {
		err = printJSON(s.out, out)
	} else {
		err = out.print(s.out)
	}
	if err == nil && out.Same < out.Runs {
		err = &exitError{code: exitDifferent}
	}
	return err
}

func (c *pluginRehearseCmd) rehearse(ctx context.Context, s streams) (r *journal.Rehearsal, p *plugin.Plugin, err error) {
	module, err := os.ReadFile(c.File)
	if err != nil {
		return nil, nil, err
	}
	if p, err = plugin.Open(module); err != nil {
		return nil, nil, err
	}
	caller, err := openBare(ctx, module, c.Interpreter)
	if err != nil {
		return nil, nil, err
	}
	defer caller.Close()
	err = c.opened(ctx, s, func(h *host.Host) error {
		r, err = h.Runs.Rehearse(ctx, caller, p, c.Last)
		return err
	})
	if err == nil && r.Runs == 0 {
		err = fmt.Errorf("no run of %s that ended well is on record", p.Name)
	}
	return r, p, err
}

func (r rehearsed) print(w io.Writer) error {
	for _, u := range r.Unlike {
		at := "at the end"
		if u.Path != "" {
			at = "at step " + string(u.Path)
		}
		fmt.Fprintf(w, "%d differ %s, for example %s\n  on record: %s\n  now:       %s\n", len(u.Runs), at, u.Runs[0], plain(u.Recorded), plain(u.Now))
	}
	if n := len(r.Unreadable); n > 0 {
		fmt.Fprintf(w, "the records of %d runs are damaged and were left out, for example %s\n", n, r.Unreadable[0])
	}
	_, err := fmt.Fprintf(w, "%s %s does the same in %d of %d runs\n", plain(r.Plugin), plain(r.Version), r.Same, r.Runs)
	return err
}
