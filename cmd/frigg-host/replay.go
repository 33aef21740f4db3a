package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/guest"
	"github.com/frigg-host/frigg-host/host/journal"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// Exit codes of replay and of plugin rehearse.
const (
	exitSame      = 0
	exitDifferent = 1
	exitCannot    = 2
)

type replayCmd struct {
	File        string `arg:"" help:"File of run export." type:"existingfile"`
	Plugin      string `help:"The plugin's .wasm; default: the one in the file." type:"existingfile"`
	Try         int    `help:"Which try; default: the last." placeholder:"N"`
	Step        bool   `help:"Show each step's request and answer, and wait for the Enter key."`
	Interpreter bool   `help:"Do not compile the plugin: slower, with the same result."`
	JSON        bool   `help:"Print as JSON." name:"json"`
}

// Help has the examples of `replay --help`.
func (replayCmd) Help() string {
	return `Runs the plugin against the record of a run, here, without a host, a database or a network: every host call is answered from
the record. With another version of the plugin it shows where that first behaves otherwise.

Exit codes: 0 the same, 1 different, 2 it cannot be repeated.

Examples:
  frigg-host replay failed.run --plugin tidepool-welcome.wasm
  frigg-host replay failed.run --plugin fixed.wasm --json`
}

// replayed is what --json prints.
type replayed struct {
	Verdict     string        `json:"verdict"` // same or different
	Run         string        `json:"run"`
	Plugin      string        `json:"plugin"`
	Version     string        `json:"version"`
	Digest      plugin.Digest `json:"digest"`
	SamePlugin  bool          `json:"same_plugin"` // as recorded, byte for byte
	Masked      []string      `json:"masked,omitempty"`
	Steps       []step        `json:"steps"`
	RecordEnded bool          `json:"record_ended"` // false: what there is was repeated
	Difference  *difference   `json:"difference,omitempty"`
	Output      string        `json:"output,omitempty"`
	Fault       *abi.Fault    `json:"fault,omitempty"`
	Fuel        int64         `json:"fuel"`
}

// step is a host call that is as on record.
type step struct {
	Path  journal.Path `json:"path"`
	Title string       `json:"title"`
}

type difference struct {
	Path     journal.Path `json:"path,omitempty"` // none: at the end
	Recorded string       `json:"recorded"`
	Now      string       `json:"now"`
}

func (c *replayCmd) Run(ctx context.Context, s streams) error {
	f, t, p, caller, err := c.open(ctx)
	if err != nil {
		return &exitError{exitCannot, operatorText(err)}
	}
	defer caller.Close()
	out := replayed{
		Verdict: "same", Run: f.Run.ID, Plugin: p.Name, Version: p.Version, Digest: p.Digest, SamePlugin: p.Digest == t.Start.Digest,
		Masked: t.Start.Masked, Steps: []step{},
	}
	keys := bufio.NewReader(s.in)
	got, err := journal.Repeat(ctx, caller, p, t, func(e *journal.Entry) {
		out.Steps = append(out.Steps, step{e.Path, e.Title()})
		if !c.JSON {
			fmt.Fprintf(s.out, "  %-4s %s: %s\n", e.Path, plain(e.Title()), plain(answerText(e)))
		}
		if c.Step {
			fmt.Fprintf(s.err, "       asked    %s\n       answered %s\n[Enter] ", plain(string(e.Request)), plain(string(e.Answer)))
			_, _ = keys.ReadString('\n')
		}
	})
	if err != nil {
		return &exitError{exitCannot, operatorText(err)}
	}
	out.RecordEnded, out.Output, out.Fault, out.Fuel = !got.Open, string(got.Output), got.Fault, got.Fuel
	if d := got.Difference; d != nil {
		out.Verdict, out.Difference = "different", &difference{d.Path, d.Recorded, d.Now}
	}
	if c.JSON {
		err = printJSON(s.out, out)
	} else {
		err = out.print(s.out, t)
	}
	if err == nil && out.Difference != nil {
		err = &exitError{code: exitDifferent}
	}
	return err
}

// open reads the file and makes its plugin ready to run.
func (c *replayCmd) open(ctx context.Context) (*journal.File, *journal.Try, *plugin.Plugin, *bare, error) {
	f, err := readRun(c.File)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	t := f.Log.Last()
	if c.Try != 0 {
		if c.Try < 1 || c.Try > len(f.Log.Tries) {
			return nil, nil, nil, nil, fmt.Errorf("there are %d tries in %s", len(f.Log.Tries), c.File)
		}
		t = f.Log.Tries[c.Try-1]
	}
	module := f.Module
	if c.Plugin != "" {
		if module, err = os.ReadFile(c.Plugin); err != nil {
			return nil, nil, nil, nil, err
		}
	}
	if module == nil {
		return nil, nil, nil, nil, fmt.Errorf("the plugin is not in the file: give %s %s (%s) with --plugin", plain(t.Start.Plugin), plain(t.Start.Version), t.Start.Digest)
	}
	p, err := plugin.Open(module)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	if p.Name != t.Start.Plugin {
		return nil, nil, nil, nil, fmt.Errorf("this is a run of %s; the plugin given is %s", plain(t.Start.Plugin), p.Name)
	}
	caller, err := openBare(ctx, module, c.Interpreter)
	return f, t, p, caller, err
}

// bare runs one plugin that nobody installed.
type bare struct {
	*guest.Runtime
	engine guest.Engine
}

func openBare(ctx context.Context, module []byte, interpreter bool) (*bare, error) {
	engine, err := guest.Open(ctx, guest.Native, guest.Config{Imports: guest.Imports(), CacheDir: compileCache(), Interpreter: interpreter})
	if err != nil {
		return nil, err
	}
	source := func(plugin.Digest) ([]byte, error) { return module, nil }
	return &bare{guest.NewRuntime(engine, guest.RuntimeConfig{Source: source}), engine}, nil
}

// Close frees the plugin.
func (b *bare) Close() { _ = b.engine.Close(context.Background()) }

// print says the verdict.
func (r replayed) print(w io.Writer, t *journal.Try) error {
	if !r.SamePlugin {
		fmt.Fprintf(w, "the run was recorded with version %s, this is %s\n", plain(t.Start.Version), plain(r.Version))
	}
	if len(r.Masked) > 0 {
		fmt.Fprintf(w, "masked, so the plugin may behave otherwise: %s\n", plain(strings.Join(r.Masked, ", ")))
	}
	switch d := r.Difference; {
	case d != nil && d.Path != "":
		_, err := fmt.Fprintf(w, "different at step %s\n  on record: %s\n  now:       %s\n", d.Path, plain(d.Recorded), plain(d.Now))
		return err
	case d != nil:
		_, err := fmt.Fprintf(w, "different at the end\n  on record: %s\n  now:       %s\n", plain(d.Recorded), plain(d.Now))
		return err
	case !r.RecordEnded:
		_, err := fmt.Fprintf(w, "the same, as far as the record goes: %d steps\n", len(r.Steps))
		return err
	case r.Fault != nil:
		_, err := fmt.Fprintf(w, "the same: %d steps, then it fails (%s): %s\n", len(r.Steps), plain(string(r.Fault.Kind)), plain(r.Fault.Message))
		return err
	}
	_, err := fmt.Fprintf(w, "the same: %d steps, output %s, %d units of fuel\n", len(r.Steps), brief(plain(r.Output)), r.Fuel)
	return err
}
