// Command frigg-host runs integrations from `.wasm` files: flags, environment, signals, exit codes and printing are here,
// everything else is in package host.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/frigg-host/frigg-host/host/fault"
)

// version is set by the linker.
var version = "dev"

// Exit codes. Those of `plugin call` are part of its promise to scripts.
const (
	exitOK       = 0
	exitFailed   = 1 // the command failed; for `plugin call`: the guest's own error
	exitUsage    = 2
	exitLimit    = 3 // `plugin call`: stopped by a limit
	exitUnusable = 4 // not a usable module
)

type cli struct {
	Serve   serveCmd   `cmd:"" help:"Run the host."`
	Demo    demoCmd    `cmd:"" help:"Run the host with a demo vendor, a connected account and live work."`
	Plugin  pluginCmd  `cmd:"" help:"Look at, pack, call and approve plugins."`
	Run     runCmd     `cmd:"" help:"Look at runs, decide, replay, export and import them."`
	Replay  replayCmd  `cmd:"" help:"Repeat a run from its file, here and without a host."`
	User    userCmd    `cmd:"" help:"Create users."`
	Webhook webhookCmd `cmd:"" help:"Look at webhooks of applications that went to nobody, and route them."`
	Doctor  doctorCmd  `cmd:"" help:"Look for what keeps an installation from working, and say what to do."`
	Version versionCmd `cmd:"" help:"Print the version."`
	Guest   guestCmd   `cmd:"" name:"guest-process" hidden:"" help:"Run the calls of one plugin for the host that started it."`
}

type versionCmd struct{}

func (versionCmd) Run(s streams) error {
	_, err := fmt.Fprintln(s.out, "frigg-host", version)
	return err
}

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// exitError ends the program with a code. An empty text prints nothing.
type exitError struct {
	code int
	text string
}

func (e *exitError) Error() string { return e.text }

func main() {
	log.SetOutput(io.Discard) // net/http writes what vendors send unasked to the standard logger, tokens included
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// run is the whole program but for the process around it.
func run(ctx context.Context, args []string, s streams) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("frigg-host"),
		kong.Description("A self-hosted integration host. Drop .wasm files into a folder and get integrations."),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.Writers(s.out, s.err),
		kong.Exit(func(code int) { exited = code }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(s),
	)
	if err != nil {
		fmt.Fprintln(s.err, "frigg-host:", err)
		return exitFailed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	k, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		fmt.Fprintf(s.err, "frigg-host: %v\nRun \"frigg-host --help\" to see what there is.\n", err)
		return exitUsage
	}
	err = k.Run()
	if ctx.Err() != nil && fault.Is(err, fault.Canceled) {
		err = &exitError{exitFailed, "stopped before it was done"}
	}
	return report(err, s)
}

// report prints why a command failed and returns its exit code.
func report(err error, s streams) int {
	if err == nil {
		return exitOK
	}
	var exit *exitError
	if errors.As(err, &exit) {
		if exit.text != "" {
			fmt.Fprintln(s.err, "frigg-host:", exit.text)
		}
		return exit.code
	}
	fmt.Fprintln(s.err, "frigg-host:", operatorText(err))
	return exitFailed
}

// operatorText is what the person at the terminal reads: the message of a fault, and its cause where that is the host's own.
func operatorText(err error) string {
	var f, inner *fault.Error
	if !errors.As(err, &f) {
		return err.Error()
	}
	if f.Err == nil || f.Side != fault.Host || errors.As(f.Err, &inner) {
		return f.Msg
	}
	return f.Msg + ": " + f.Err.Error()
}
