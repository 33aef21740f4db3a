package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/frigg-host/frigg-host/host"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/plugin/wasm"
	"github.com/frigg-host/frigg-host/host/secret"
)

type pluginCmd struct {
	List     pluginListCmd     `cmd:"" help:"List installed plugins."`
	Inspect  pluginInspectCmd  `cmd:"" help:"Say what a .wasm file is and can do, without running it."`
	Pack     pluginPackCmd     `cmd:"" help:"Make a plugin of a .wasm file or a program in TypeScript, and its manifest."`
	Call     callCmd           `cmd:"" help:"Call an export of any .wasm file, without any capability."`
	Rehearse pluginRehearseCmd `cmd:"" help:"Repeat recorded runs with a new version, and say what it does otherwise."`
	Diff     pluginDiffCmd     `cmd:"" help:"Say what sets two versions of a plugin apart."`
	Approve  pluginApproveCmd  `cmd:"" help:"Grant a plugin what it asks for."`
	Revoke   pluginRevokeCmd   `cmd:"" help:"Take back what a plugin was granted."`
	Set      pluginSetCmd      `cmd:"" help:"Set values that a plugin needs from its operator."`
}

type pluginListCmd struct {
	dataFlags `embed:""`

	JSON bool `help:"Print as JSON." name:"json"`
}

// Help has the examples of `plugin list --help`.
func (pluginListCmd) Help() string {
	return `Which version of each plugin serves, and what keeps the others from it. The host may be running.

Examples:
  frigg-host plugin list --data /var/lib/frigg
  frigg-host plugin list --json`
}

type listedPlugin struct {
	Name    string        `json:"name"`
	Version string        `json:"version"`
	Kind    string        `json:"kind"`
	State   plugin.State  `json:"state"`
	Serving bool          `json:"serving"`
	File    string        `json:"file"`
	Digest  plugin.Digest `json:"digest"`
	Size    int64         `json:"size"`
	Problem string        `json:"problem,omitempty"`
	Asks    string        `json:"asks,omitempty"`
	Missing []string      `json:"missing_settings,omitempty"`
}

func (c *pluginListCmd) Run(ctx context.Context, s streams) error {
	return c.opened(ctx, s, func(h *host.Host) error {
		entries, err := h.Plugins.List(ctx)
		if err != nil {
			return err
		}
		out := make([]listedPlugin, 0, len(entries))
		for _, e := range entries {
			p := e.Plugin
			l := listedPlugin{
				Name: p.Name, Version: p.Version, Kind: string(p.Kind), State: p.State, Serving: e.Serving, File: p.File,
				Digest: p.Digest, Size: p.Size, Problem: p.Problem, Asks: e.Missing.String(),
			}
			if p.State != plugin.Broken {
				if l.Missing, err = h.Plugins.MissingSettings(ctx, p); err != nil {
					return err
				}
			}
			out = append(out, l)
		}
		if c.JSON {
			return printJSON(s.out, out)
		}
		return printPlugins(s.out, out)
	})
}

func printPlugins(w io.Writer, all []listedPlugin) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "no plugins; drop .wasm files into the plugins folder")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tVERSION\tKIND\tSTATE\tFILE\tNOTE")
	for _, p := range all {
		var notes []string
		if p.Problem != "" {
			notes = append(notes, p.Problem)
		}
		if len(p.Missing) > 0 {
			notes = append(notes, "needs settings: "+wanted(p.Name, p.Missing))
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", p.Name, p.Version, p.Kind, p.State, plain(p.File), plain(strings.Join(notes, "; ")))
	}
	return t.Flush()
}

// wanted lists settings with the variables that can hold them.
func wanted(name string, settings []string) string {
	list := make([]string, 0, len(settings))
	for _, s := range settings {
		if v := plugin.Variable(name, s); v != "" {
			s += " (" + v + ")"
		}
		list = append(list, s)
	}
	return strings.Join(list, ", ")
}

type pluginInspectCmd struct {
	File  string `arg:"" help:"The .wasm file." type:"existingfile"`
	Start bool   `help:"Compile the file too and run its start, sandboxed and without any capability, to see how its calls are kept apart."`
	JSON  bool   `help:"Print as JSON." name:"json"`
}

// Help has the examples of `plugin inspect --help`.
func (pluginInspectCmd) Help() string {
	return `Without --start nothing of the file is run. Exit codes: 0 a plugin that this host takes, 1 a module with problems, 4 not a usable module.

Examples:
  frigg-host plugin inspect gitea.wasm --json
  frigg-host plugin inspect gitea.wasm --start`
}

func (c *pluginInspectCmd) Run(ctx context.Context, s streams) error {
	module, err := os.ReadFile(c.File)
	if err != nil {
		return &exitError{exitUnusable, err.Error()}
	}
	in, err := plugin.Inspect(module)
	view := inspection{Inspection: in}
	if err == nil {
		view.Calls, err = c.calls(ctx, module)
	}
	if c.JSON {
		if printed := printJSON(s.out, view); printed != nil {
			return printed
		}
	} else if printed := printInspection(s.out, c.File, view); printed != nil {
		return printed
	}
	if err != nil {
		return &exitError{inspectCode(err), filepath.Base(c.File) + ": " + operatorText(err)}
	}
	return nil
}

// inspectCode tells a file that no host can run from a module that is no plugin of this one.
func inspectCode(err error) int {
	for _, unusable := range []error{wasm.ErrNotWasm, wasm.ErrTruncated, wasm.ErrComponent, wasm.ErrMalformed} {
		if errors.Is(err, unusable) {
			return exitUnusable
		}
	}
	return exitFailed
}

type pluginApproveCmd struct {
	dataFlags `embed:""`

	Name   string        `arg:"" help:"Name of the plugin."`
	Digest plugin.Digest `help:"Approve only these bytes (sha256:...)."`
	Yes    bool          `short:"y" help:"Do not ask."`
}

// Help has the examples of `plugin approve --help`.
func (pluginApproveCmd) Help() string {
	return `Shows what the plugin asks for and why, and grants it after a yes: to exactly the bytes that were shown. A running host
notices within seconds. Where nobody can answer, use --yes.

Examples:
  frigg-host plugin approve gitea
  frigg-host plugin approve gitea --yes --digest sha256:...`
}

func (c *pluginApproveCmd) Run(ctx context.Context, s streams) error {
	return c.opened(ctx, s, func(h *host.Host) error {
		e, err := h.Plugins.Waiting(ctx, c.Name, c.Digest)
		if err != nil {
			return err
		}
		if e.Serving {
			_, err = fmt.Fprintf(s.out, "%s %s (%s) is approved already; nothing waits\n", e.Plugin.Name, e.Plugin.Version, e.Plugin.Digest)
			return err
		}
		missing, err := h.Plugins.MissingSettings(ctx, e.Plugin)
		if err != nil {
			return err
		}
		if !c.Yes {
			printAsk(s.err, e)
			if err := printUpgrade(ctx, s.err, h, e.Plugin); err != nil {
				return err
			}
			if err := confirm(s); err != nil {
				return err
			}
		}
		p, err := h.Plugins.Approve(ctx, c.Name, e.Plugin.Digest, operator())
		if err != nil {
			return err
		}
		if len(missing) > 0 {
			fmt.Fprintf(s.err, "%s needs settings before it can work: %s\n", p.Name, wanted(p.Name, missing))
		}
		_, err = fmt.Fprintf(s.out, "approved %s %s (%s)\n", p.Name, p.Version, p.Digest)
		return err
	})
}

// confirm wants a yes.
func confirm(s streams) error {
	fmt.Fprint(s.err, "Grant this? [y/N] ")
	line, err := bufio.NewReader(io.LimitReader(s.in, 1<<10)).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	if err != nil && line == "" {
		fmt.Fprintln(s.err)
		return &exitError{exitFailed, "nothing was granted: nobody is there to answer; use --yes to approve without being asked"}
	}
	return &exitError{exitFailed, "nothing was granted"}
}

// operator is who is at the terminal.
func operator() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "operator"
}

type pluginSetCmd struct {
	dataFlags `embed:""`

	Name   string            `arg:"" help:"Name of the plugin."`
	Values map[string]string `arg:"" help:"Values, for example client_id=abc. A value - is read from standard input."`
}

// Help has the examples of `plugin set --help`.
func (pluginSetCmd) Help() string {
	return `Secret values are sealed. The environment goes before what is set here: FRIGG_PLUGIN_<PLUGIN>__<SETTING> has the value,
FRIGG_PLUGIN_<PLUGIN>__<SETTING>__FILE names a file with it. Upper case, dashes as underscores: FRIGG_PLUGIN_MY_CRM__API_KEY.

Examples:
  frigg-host plugin set tidepool client_id=8c3c1b...
  frigg-host plugin set tidepool client_secret=- < secret.txt`
}

func (c *pluginSetCmd) Run(ctx context.Context, s streams) error {
	return c.opened(ctx, s, func(h *host.Host) error {
		for key, value := range c.Values {
			if value == "-" {
				text, err := io.ReadAll(io.LimitReader(s.in, 1<<20))
				if err != nil {
					return err
				}
				value = strings.TrimRight(string(text), "\r\n")
			}
			if err := h.Plugins.SetSetting(ctx, c.Name, key, secret.NewText(value)); err != nil {
				return err
			}
			fmt.Fprintf(s.err, "set %s of %s\n", key, c.Name)
		}
		return nil
	})
}
