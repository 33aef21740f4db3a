package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/frigg-host/frigg-host/host"
)

type doctorCmd struct {
	dataFlags `embed:""`

	JSON bool `help:"Print as JSON." name:"json"`
}

// Help has the examples of `doctor --help`.
func (doctorCmd) Help() string {
	return `Looks at the machine and at an installation, and changes nothing. The host may be running. The database is read as a whole.

Exit codes: 0 fine, 1 something needs action, 2 usage.

Examples:
  frigg-host doctor --data /var/lib/frigg
  frigg-host doctor --json`
}

func (c *doctorCmd) Run(ctx context.Context, s streams) error {
	findings, err := host.Examine(ctx, c.config())
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(s.out, findings)
	} else {
		err = printFindings(s.out, findings)
	}
	if err != nil {
		return err
	}
	for _, f := range findings {
		if f.State == host.NeedsAction {
			return &exitError{code: exitFailed}
		}
	}
	return nil
}

// printFindings prints a line for each, and below it what to do.
func printFindings(w io.Writer, findings []host.Finding) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	actions := 0
	for _, f := range findings {
		fmt.Fprintf(t, "%s\t%s\t%s\n", f.State, f.Area, plain(f.Text))
		if f.Do != "" {
			fmt.Fprintf(t, "\t\t-> %s\n", plain(f.Do))
		}
		if f.State == host.NeedsAction {
			actions++
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	switch actions {
	case 0:
		_, err := fmt.Fprintln(w, "Nothing needs action.")
		return err
	case 1:
		_, err := fmt.Fprintln(w, "One thing needs action.")
		return err
	}
	_, err := fmt.Fprintf(w, "%d things need action.\n", actions)
	return err
}
