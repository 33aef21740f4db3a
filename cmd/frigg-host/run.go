package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/frigg-host/frigg-host/host"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/api"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/journal"
)

type runCmd struct {
	List   runListCmd   `cmd:"" help:"List runs of all users."`
	Show   runShowCmd   `cmd:"" help:"Show what a run did, step by step."`
	Decide runDecideCmd `cmd:"" help:"Say what became of a step of which nobody knows."`
	Replay runReplayCmd `cmd:"" help:"Queue a run that failed again."`
	Export runExportCmd `cmd:"" help:"Write a run into a file, for frigg-host replay."`
	Import runImportCmd `cmd:"" help:"Keep the run of a file, for looking at only."`
}

// ofRun are the flags of a command on one run.
type ofRun struct {
	dataFlags `embed:""`

	ID job.ID `arg:"" name:"run" help:"Id of the run (job_...)."`
}

// opened finds the run, whomever it belongs to, and acts for its owner.
func (o *ofRun) opened(ctx context.Context, s streams, do func(h *host.Host, a account.Actor, r *journal.Run) error) error {
	return o.dataFlags.opened(ctx, s, func(h *host.Host) error {
		r, err := h.Runs.Any(ctx, o.ID)
		if err != nil {
			return err
		}
		return do(h, account.Actor{User: account.ID(operator()), Owner: r.Owner}, r)
	})
}

type runListCmd struct {
	dataFlags `embed:""`

	Plugin      string      `help:"Only runs of this plugin."`
	Integration string      `help:"Only runs of this integration (int_...)."`
	State       []job.State `help:"Only runs in these states: ${enum}." enum:"queued,running,parked,done,halted,dead,canceled"`
	Before      job.ID      `help:"Only runs older than this one."`
	Limit       int         `help:"At most so many." default:"50"`
	JSON        bool        `help:"Print as JSON." name:"json"`
}

// Help has the examples of `run list --help`.
func (runListCmd) Help() string {
	return `A run is one event as a plugin worked it off. Newest first. The host may be running.

Examples:
  frigg-host run list --state parked
  frigg-host run list --plugin tidepool-welcome --state halted,dead --json`
}

func (c *runListCmd) Run(ctx context.Context, s streams) error {
	return c.opened(ctx, s, func(h *host.Host) error {
		found, err := h.Runs.All(ctx, journal.Filter{Plugin: c.Plugin, Integration: c.Integration, States: c.State, Before: c.Before}, c.Limit)
		if err != nil {
			return err
		}
		runs := make([]api.Run, 0, len(found))
		for _, r := range found {
			runs = append(runs, api.NewRun(r))
		}
		if c.JSON {
			return printJSON(s.out, runs)
		}
		return printRuns(s.out, runs)
	})
}

func printRuns(w io.Writer, runs []api.Run) error {
	if len(runs) == 0 {
		_, err := fmt.Fprintln(w, "no runs")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RUN\tSTATE\tPLUGIN\tEVENT\tSTEPS\tTRIES\tSTARTED\tNOTE")
	for _, r := range runs {
		note := r.LastError
		if r.Decide != "" {
			note = "step " + string(r.Decide) + " needs a decision: " + note
		}
		fmt.Fprintf(t, "%s\t%s\t%s %s\t%s\t%d\t%d\t%s\t%s\n", r.ID, r.State, plain(r.Plugin), plain(r.Version), plain(r.Event), r.Steps, r.Attempt,
			r.StartedAt.UTC().Format(time.RFC3339), brief(plain(note)))
	}
	return t.Flush()
}

type runShowCmd struct {
	ofRun `embed:""`

	JSON bool `help:"Print as JSON, with requests and answers." name:"json"`
}

// Help has the examples of `run show --help`.
func (runShowCmd) Help() string {
	return `Every host call since the last checkpoint, of each try. The host may be running.

Examples:
  frigg-host run show job_0198c0de-0000-7000-8000-000000000000
  frigg-host run show job_0198c0de-0000-7000-8000-000000000000 --json`
}

func (c *runShowCmd) Run(ctx context.Context, s streams) error {
	return c.opened(ctx, s, func(h *host.Host, a account.Actor, r *journal.Run) error {
		log, err := h.Runs.Log(ctx, a, r.ID)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, api.NewRunDetail(r, log, 0, 1<<30))
		}
		fmt.Fprintf(s.out, "%s  %s of %s %s for %s, %s\n", r.ID, plain(r.Event), plain(r.Plugin), plain(r.Version), plain(r.Integration), r.State)
		if r.LastError != "" {
			fmt.Fprintf(s.out, "  %s\n", plain(r.LastError))
		}
		for n, t := range log.Tries {
			fmt.Fprintf(s.out, "try %d, begun %s\n", n+1, t.Start.At.Format(time.RFC3339))
			if err := printSteps(s.out, t); err != nil {
				return err
			}
		}
		return nil
	})
}

// printSteps prints a line for each host call, and how it ended.
func printSteps(w io.Writer, t *journal.Try) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, e := range t.Entries {
		fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\n", e.Path, plain(string(e.Class)), plain(e.Title()), plain(answerText(e)))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "  %s\n", plain(endText(t.End)))
	return err
}

// answerText is the answer of a host call in a few words.
func answerText(e *journal.Entry) string {
	switch f := e.Fault(); {
	case e.IsSleep():
		return "until " + e.Until.Format(time.RFC3339)
	case !e.Known() && e.Decision != nil:
		return "decided: " + string(e.Decision.Choice)
	case !e.Known():
		return "not known whether it happened"
	case f != nil:
		return fmt.Sprintf("failed (%s): %s", f.Kind, f.Message)
	case e.Recalled:
		return "not repeated: an earlier try did it"
	}
	took := e.At.Sub(e.Asked).Round(time.Millisecond)
	return fmt.Sprintf("%d bytes after %s", len(e.Answer), max(0, took))
}

func endText(e *journal.Ending) string {
	switch {
	case e == nil:
		return "the record ends here: the run was cut short, or goes on later"
	case e.Fault != nil:
		return fmt.Sprintf("failed (%s): %s", e.Fault.Kind, e.Fault.Message)
	}
	return fmt.Sprintf("ended well after %s, %d units of fuel", e.Took.Round(time.Millisecond), e.Fuel)
}

type runDecideCmd struct {
	ofRun `embed:""`

	Choice journal.Choice `arg:"" help:"happened, resend or give_up." enum:"happened,resend,give_up"`
	Answer string         `help:"For happened: the answer that the plugin gets, as JSON."`
}

// Help has the examples of `run decide --help`.
func (runDecideCmd) Help() string {
	return `A run is parked when a request was sent that changes something, no answer came, and neither the vendor nor its module can tell
whether it happened. Look at the vendor, then say: it happened, with the answer that it had; it did not, resend it; or give up.
A running host goes on within a second.

Examples:
  frigg-host run decide job_0198c0de-... happened --answer '{"status": 201, "text": "{\"id\": 7}"}'
  frigg-host run decide job_0198c0de-... resend`
}

func (c *runDecideCmd) Run(ctx context.Context, s streams) error {
	return c.opened(ctx, s, func(h *host.Host, a account.Actor, r *journal.Run) error {
		if err := h.Runs.Decide(ctx, a, r.ID, c.Choice, json.RawMessage(c.Answer), operator()); err != nil {
			return err
		}
		_, err := fmt.Fprintf(s.out, "decided step %s of %s: %s\n", r.Doubt, r.ID, c.Choice)
		return err
	})
}

type runReplayCmd struct {
	ofRun `embed:""`

	From  job.ReplayFrom `help:"Where to begin: ${enum}." enum:"start,failed_step" default:"start"`
	Input string         `help:"JSON that takes the place of the event's data; only from the start."`
}

// Help has the examples of `run replay --help`.
func (runReplayCmd) Help() string {
	return `Queues a run that failed or was canceled again; it works on the vendors once more. From the failed step, what went well is
not done again. To look at a run without doing anything, see frigg-host replay.

Examples:
  frigg-host run replay job_0198c0de-... --from failed_step
  frigg-host run replay job_0198c0de-... --input '{"id": "7"}'`
}

func (c *runReplayCmd) Run(ctx context.Context, s streams) error {
	return c.opened(ctx, s, func(h *host.Host, a account.Actor, r *journal.Run) error {
		if r.Owner == journal.Imported {
			return &exitError{exitFailed, "this run was imported for looking at: it cannot go on here"}
		}
		if err := h.Jobs.Replay(ctx, a, r.ID, job.ReplayOptions{From: c.From, Input: json.RawMessage(c.Input)}); err != nil {
			return err
		}
		_, err := fmt.Fprintf(s.out, "queued %s from %s\n", r.ID, c.From)
		return err
	})
}

type runExportCmd struct {
	ofRun `embed:""`

	Out        string   `short:"o" required:"" help:"File to write; - is standard output." placeholder:"FILE"`
	WithPlugin bool     `help:"Put the plugin itself into the file."`
	Mask       []string `help:"Fields whose values are replaced, by name or JSON pointer, for example email,/data/phone."`
}

// Help has the examples of `run export --help`.
func (runExportCmd) Help() string {
	return `One file with all that is on record of a run. There is no secret in it: a plugin never sees one. Values of masked fields are
replaced by a hash, wherever they stand; what was equal stays equal. A run with masked fields may behave otherwise.

Examples:
  frigg-host run export job_0198c0de-... -o failed.run
  frigg-host run export job_0198c0de-... -o failed.run --with-plugin --mask email,phone`
}

func (c *runExportCmd) Run(ctx context.Context, s streams) error {
	return c.opened(ctx, s, func(h *host.Host, a account.Actor, r *journal.Run) error {
		f, err := h.Runs.Export(ctx, a, r.ID, c.WithPlugin)
		if err == nil && len(c.Mask) > 0 {
			err = f.Mask(c.Mask)
		}
		if err != nil {
			return err
		}
		if c.Out == "-" {
			return f.Write(s.out)
		}
		if err := writeRun(c.Out, f); err != nil {
			return err
		}
		_, err = fmt.Fprintf(s.out, "wrote %s: %d tries, %d steps\n", c.Out, len(f.Log.Tries), len(f.Log.Last().Entries))
		return err
	})
}

// writeRun writes a file whole or not at all.
func writeRun(path string, f *journal.File) error {
	out, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	err = f.Write(out)
	if closed := out.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(out.Name(), path)
	}
	if err != nil {
		_ = os.Remove(out.Name())
	}
	return err
}

func readRun(path string) (*journal.File, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return journal.Read(in)
}

type runImportCmd struct {
	dataFlags `embed:""`

	File string `arg:"" help:"File of run export." type:"existingfile"`
	JSON bool   `help:"Print the run as JSON." name:"json"`
}

// Help has the examples of `run import --help`.
func (runImportCmd) Help() string {
	return `The run is there for run list, run show and plugin rehearse. It belongs to nobody and does not go on.

Example:
  frigg-host run import failed.run --data ./looking`
}

func (c *runImportCmd) Run(ctx context.Context, s streams) error {
	f, err := readRun(c.File)
	if err != nil {
		return err
	}
	return c.opened(ctx, s, func(h *host.Host) error {
		r, err := h.Runs.Import(ctx, f)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, api.NewRun(r))
		}
		_, err = fmt.Fprintf(s.out, "imported %s\n", r.ID)
		return err
	})
}
