package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/frigg-host/frigg-host/host"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
)

type pluginDiffCmd struct {
	dataFlags `embed:""`

	Old  string `arg:"" help:"A .wasm file, the name of a plugin (its version that serves) or a digest (sha256:...)."`
	New  string `arg:"" optional:"" help:"The same; left out: the version of OLD that waits in the plugins folder."`
	JSON bool   `help:"Print as JSON." name:"json"`
}

// Help has the examples of `plugin diff --help`.
func (pluginDiffCmd) Help() string {
	return `What sets two versions of a plugin apart. Nothing of them is run. Lines with ! ask for more than the old version was granted.

Exit codes: 0 the new version asks for no more, 1 it asks for more and would wait for approval, 2 usage, 4 not a usable module.

Examples:
  frigg-host plugin diff crm-1.0.0.wasm crm-1.1.0.wasm
  frigg-host plugin diff crm
  frigg-host plugin diff crm ~/Downloads/crm.wasm --json`
}

func (c *pluginDiffCmd) Run(ctx context.Context, s streams) error {
	d, err := c.compare(ctx, s)
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(s.out, d)
	} else {
		err = printDifference(s.out, d)
	}
	if err == nil && !d.More.None() {
		err = &exitError{code: exitFailed}
	}
	return err
}

// compare opens the installation only when something installed is compared.
func (c *pluginDiffCmd) compare(ctx context.Context, s streams) (d *plugin.Difference, err error) {
	if isFile(c.Old) && isFile(c.New) {
		return compareVersions(ctx, nil, c.Old, c.New)
	}
	if isFile(c.Old) && c.New == "" {
		return nil, &exitError{exitUsage, "name a second version to compare " + c.Old + " with"}
	}
	err = c.opened(ctx, s, func(h *host.Host) error {
		if c.New == "" {
			d, err = h.Plugins.Upgrade(ctx, c.Old, "")
			return unfound(err)
		}
		d, err = compareVersions(ctx, h, c.Old, c.New)
		return err
	})
	return d, err
}

func compareVersions(ctx context.Context, h *host.Host, before, after string) (*plugin.Difference, error) {
	old, err := inspectVersion(ctx, h, before)
	if err != nil {
		return nil, err
	}
	latest, err := inspectVersion(ctx, h, after)
	if err != nil {
		return nil, err
	}
	return plugin.Compare(old, latest)
}

func inspectVersion(ctx context.Context, h *host.Host, name string) (*plugin.Inspection, error) {
	if !isFile(name) {
		in, err := h.Plugins.Look(ctx, name)
		return in, unfound(err)
	}
	module, err := os.ReadFile(name)
	if err != nil {
		return nil, &exitError{exitUsage, err.Error()}
	}
	in, err := plugin.Inspect(module)
	if err != nil {
		return nil, &exitError{exitUnusable, filepath.Base(name) + ": " + operatorText(err)}
	}
	return in, nil
}

// isFile tells a file from the name of a plugin, which has no dot and no slash, and from a digest.
func isFile(name string) bool { return strings.ContainsAny(name, "./"+string(filepath.Separator)) }

// unfound says that a name was wrong, which is no verdict on any plugin.
func unfound(err error) error {
	switch {
	case fault.Is(err, fault.NotFound):
		return &exitError{exitUsage, operatorText(err)}
	case fault.Is(err, fault.Invalid):
		return &exitError{exitUnusable, operatorText(err)}
	}
	return err
}

// printUpgrade shows what sets a version that waits apart from the one that serves, if one does.
func printUpgrade(ctx context.Context, w io.Writer, h *host.Host, p *plugin.Plugin) error {
	d, err := h.Plugins.Upgrade(ctx, p.Name, p.Digest)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return printDifference(w, d)
}

// printDifference says what sets two versions apart, what asks for more first.
func printDifference(w io.Writer, d *plugin.Difference) error {
	fmt.Fprintf(w, "%s -> %s\n", plain(versionText(d.Old)), plain(versionText(d.New)))
	if d.Old.Name != d.New.Name {
		fmt.Fprintln(w, "These are different plugins: nothing that one was granted goes over to the other.")
	}
	if d.Old.Digest == d.New.Digest {
		fmt.Fprintln(w, "They are the same file.")
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range d.Changes {
		mark := " "
		if c.More {
			mark = "!"
		}
		fmt.Fprintf(t, "%s %s %s\t%s\t%s\n", mark, signs[c.Sign], c.What, brief(plain(c.Name)), brief(plain(c.Text)))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(d.Changes) == 0 {
		fmt.Fprintln(w, "They declare, import and export the same.")
	}
	if d.More.None() {
		_, err := fmt.Fprintln(w, "It asks for no more than before.")
		return err
	}
	_, err := fmt.Fprintf(w, "It asks for more: %s.\n", plain(d.More.String()))
	return err
}

var signs = map[plugin.Sign]string{plugin.Added: "+", plugin.Removed: "-", plugin.Changed: "~"}

func versionText(v plugin.Version) string {
	return fmt.Sprintf("%s %s (%s, %s)", v.Name, v.Version, approximate(v.Size), v.Digest[:19])
}

// approximate writes a number of bytes for people.
func approximate(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}
