package guest_test

import (
	"context"
	"os"
	"testing"

	"github.com/frigg-host/frigg-host/host/guest"
	"github.com/frigg-host/frigg-host/host/guest/process"
)

// init makes a child of this program when it is started as one.
func init() {
	if len(os.Args) == 2 && os.Args[1] == process.Argument {
		if err := process.Serve(os.Stdin, os.Stdout); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
}

func TestProcess(t *testing.T) {
	guest.Suite(t, func(ctx context.Context, c guest.Config) (guest.Engine, error) {
		return process.Open(ctx, process.Config{Config: c})
	})
}
