package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/guest"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// inspection is what --json prints.
type inspection struct {
	*plugin.Inspection
	Calls *apart `json:"calls,omitempty"`
}

// apart is how calls of a module are kept apart.
type apart struct {
	Isolation string `json:"isolation,omitempty"` // known only when its start was run
	Why       string `json:"why,omitempty"`       // it is not the fastest
	Image     uint64 `json:"image_bytes,omitempty"`
}

// calls finds out how calls of a module are kept apart, as far as that can be known.
func (c *pluginInspectCmd) calls(ctx context.Context, module []byte) (*apart, error) {
	if !c.Start {
		why, err := guest.Unrestorable(module)
		return &apart{Why: why}, err
	}
	engine, err := guest.OpenNative(ctx, guest.Config{Imports: guest.Imports(), CacheDir: compileCache()})
	if err != nil {
		return nil, err
	}
	defer engine.Close(context.WithoutCancel(ctx))
	m, err := engine.Compile(ctx, module)
	if err != nil {
		return nil, err
	}
	d := m.Describe()
	return &apart{string(d.Isolation), d.Why, d.ImageBytes}, nil
}

// String is for people.
func (a *apart) String() string {
	switch {
	case a.Isolation == "" && a.Why == "":
		return "start from an image, if its start allows it; see --start"
	case a.Isolation == "" || a.Isolation == string(guest.Fresh):
		return "set the plugin up anew each time, which is slow: " + a.Why
	case a.Why != "":
		return fmt.Sprintf("start from an image (%s): %s", a.Isolation, a.Why)
	}
	return fmt.Sprintf("start from an image of %d KiB (%s)", a.Image>>10, a.Isolation)
}

// printInspection says what a file is, in words.
func printInspection(out io.Writer, file string, in inspection) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(label, format string, args ...any) {
		fmt.Fprintf(t, "%s\t%s\n", label, plain(fmt.Sprintf(format, args...)))
	}
	line("file", "%s (%d bytes)", filepath.Base(file), in.Size)
	line("digest", "%s", in.Digest)
	if m := in.Manifest; m != nil {
		printManifest(line, m)
	}
	if in.JavaScript {
		line("code", "a program for the JavaScript engine, which can use what the manifest asks for and nothing else")
	}
	line("can", "%s", orNone(in.Capabilities))
	line("exports", "%s", orNone(names(in.Exports)))
	if in.Memory != nil {
		line("memory", "at least %d KiB", in.Memory.MinBytes>>10)
	}
	if in.Calls != nil {
		line("calls", "%s", in.Calls)
	}
	for _, p := range in.Problems {
		line("problem", "%s", p)
	}
	for _, p := range in.Warnings {
		line("warning", "%s", p)
	}
	return t.Flush()
}

func printManifest(line func(label, format string, args ...any), m *abi.Manifest) {
	line("plugin", "%s %s, %s", m.Name, m.Version, m.Kind)
	line("is", "%s", m.Display.Name)
	for _, c := range m.Capabilities {
		line("asks", "%s: %s", c.Name, c.Reason)
	}
	ask := plugin.AskOf(m)
	for i, h := range m.Hosts {
		line("reaches", "%s: %s", ask.Hosts[i], h.Reason)
	}
	if l := m.Limits; l != nil {
		line("limits", "%s: %s", limits(ask.Limits), l.Reason)
	}
	for _, s := range m.Settings {
		need := "optional"
		if s.Required {
			need = "required"
		}
		line("setting", "%s (%s) %s", s.Name, need, s.Description)
	}
	for _, f := range m.Methods {
		line("method", "%s: %s", f.Name, f.Description)
	}
	for _, r := range m.Roles {
		line("needs", "an account of %s as %s", r.Module, r.Name)
	}
	for _, r := range m.Routes {
		who := "for users"
		if r.Auth == abi.RouteAuthNone {
			who = "answers anybody"
		}
		line("route", "%s %s: %s", r.Method, r.Path, strings.TrimSpace(who+" "+r.Summary))
	}
	for _, a := range m.Actions {
		line("action", "%s: %s", a.Name, a.Title)
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
