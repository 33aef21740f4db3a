//go:build linux || darwin

// Command install gets the third-party servers of the end-to-end tests into the cache and says what it does.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/frigg-host/frigg-host/cmd/frigg-host/e2e/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := lab.Install(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "e2e lab:", err)
		os.Exit(1)
	}
}
