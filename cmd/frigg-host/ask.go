package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// printAsk shows all that somebody consents to who approves a version. What is new comes last, right before the question.
func printAsk(w io.Writer, e plugin.Entry) {
	p := e.Plugin
	line := func(label, format string, args ...any) {
		fmt.Fprintf(w, "  %-11s %s\n", label, plain(fmt.Sprintf(format, args...)))
	}
	fmt.Fprintf(w, "%s %s asks for:\n", p.Name, p.Version)
	for _, c := range p.Manifest.Capabilities {
		line("capability", "%-12s %s", c.Name, brief(c.Reason))
	}
	ask := plugin.AskOf(&p.Manifest)
	for i, c := range p.Manifest.Hosts {
		line("host", "%-12s %s", ask.Hosts[i], brief(c.Reason))
	}
	for _, s := range p.Manifest.Settings {
		line("setting", "%-12s %s", s.Name, settingKind(s))
	}
	for _, r := range ask.OpenRoutes {
		line("open", "%-12s answers anybody", r)
	}
	line("limits", "%s: %s", limits(ask.Limits), brief(p.Manifest.Limits.Reason))
	line("file", "%s, %s", p.File, p.Digest)
	for _, r := range e.Rivals {
		line("careful", "%s says that it is plugin %s too", r, p.Name)
	}
	for _, x := range e.Missing.Exposed {
		line("careful", "%s was secret, this version reads it", x)
	}
	if !e.Missing.None() {
		line("not granted", "%s", e.Missing)
	}
}

// settingKind says who gets to see a value.
func settingKind(s abi.Setting) string {
	kind := "optional"
	if s.Required {
		kind = "required"
	}
	if s.Secret {
		return kind + ", secret: kept from the plugin"
	}
	return kind + ", the plugin reads it"
}

func limits(l plugin.Limits) string {
	return fmt.Sprintf("%s a call, %s of memory, %s of output", time.Duration(l.TimeoutMS)*time.Millisecond, size(l.MemoryBytes), size(l.OutputBytes))
}

// size writes a number of bytes in the largest unit that is exact.
func size(n int64) string {
	for _, u := range []struct {
		bytes int64
		name  string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n > 0 && n%u.bytes == 0 {
			return fmt.Sprintf("%d %s", n/u.bytes, u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// plain makes one harmless line of a text that a plugin's author wrote: no control of the terminal, no second line.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}

// brief cuts a text that would push the others off the screen.
func brief(text string) string {
	const most = 200
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "..."
	}
	return text
}
