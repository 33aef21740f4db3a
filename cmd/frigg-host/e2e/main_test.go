//go:build e2e && (linux || darwin)

// Package e2e drives the built program against servers that nobody here wrote: Gitea, stripe-mock, oidc-provider, Radicale.
//
// The tests know what an operator and a client know: the command line and HTTP. What they see of the program beyond that is
// what it sends to vendors, through taps on loopback. One exception: the check of ten workers joins hosts of package host in
// processes of its own, since one data folder has one server. Every test has its own data folder, ports and vendors.
//
// With -update, a run of all tests writes docs/transcript.md. Without it, a transcript with other steps or checks than those
// that ran is an error.
package e2e

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

const (
	program        = "../../../bin/frigg-host"
	builtPlugins   = "../../../build/plugins"
	transcriptFile = "../../../docs/transcript.md"
)

var update = flag.Bool("update", false, "write docs/transcript.md")

func TestMain(m *testing.M) {
	if os.Getenv(workerEnv) != "" {
		os.Exit(work())
	}
	flag.Parse()
	code := m.Run()
	if code == 0 {
		if err := keepTranscript(*update); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
