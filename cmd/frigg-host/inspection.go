package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// printInspection says what a file is, in words.
func printInspection(out io.Writer, file string, in *plugin.Inspection) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "file\t%s (%d bytes)\n", filepath.Base(file), in.Size)
	fmt.Fprintf(w, "digest\t%s\n", in.Digest)
	if m := in.Manifest; m != nil {
		printManifest(w, m)
	}
	fmt.Fprintf(w, "can\t%s\n", orNone(in.Capabilities))
	fmt.Fprintf(w, "exports\t%s\n", orNone(names(in.Exports)))
	if in.Memory != nil {
		fmt.Fprintf(w, "memory\tat least %d KiB\n", in.Memory.MinBytes>>10)
	}
	for _, p := range in.Problems {
		fmt.Fprintf(w, "problem\t%s\n", p)
	}
	for _, p := range in.Warnings {
		fmt.Fprintf(w, "warning\t%s\n", p)
	}
	return w.Flush()
}

func printManifest(w io.Writer, m *abi.Manifest) {
	fmt.Fprintf(w, "plugin\t%s %s, %s\n", m.Name, m.Version, m.Kind)
	fmt.Fprintf(w, "is\t%s\n", m.Display.Name)
	for _, c := range m.Capabilities {
		fmt.Fprintf(w, "asks\t%s: %s\n", c.Name, c.Reason)
	}
	for _, h := range m.Hosts {
		fmt.Fprintf(w, "reaches\t%s: %s\n", h.Host, h.Reason)
	}
	for _, s := range m.Settings {
		need := "optional"
		if s.Required {
			need = "required"
		}
		fmt.Fprintf(w, "setting\t%s (%s) %s\n", s.Name, need, s.Description)
	}
	for _, f := range m.Methods {
		fmt.Fprintf(w, "method\t%s: %s\n", f.Name, f.Description)
	}
	for _, r := range m.Roles {
		fmt.Fprintf(w, "needs\tan account of %s as %s\n", r.Module, r.Name)
	}
	for _, a := range m.Actions {
		fmt.Fprintf(w, "action\t%s: %s\n", a.Name, a.Title)
	}
}

func names(functions []plugin.Function) []string {
	out := make([]string, 0, len(functions))
	for _, f := range functions {
		out = append(out, f.Name)
	}
	return out
}

func orNone(all []string) string {
	if len(all) == 0 {
		return "nothing"
	}
	return strings.Join(all, ", ")
}
