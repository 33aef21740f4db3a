package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
)

// Whoever interrupts a command in its first moment reads no internal words; only for a host that is no failure.
func TestRun_StoppedBeforeItBegan(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"serve", "--listen", "127.0.0.1:0"}, exitOK, ""},
		{[]string{"plugin", "list"}, exitFailed, "frigg-host: stopped before it was done\n"},
		{[]string{"user", "create", "ada"}, exitFailed, "frigg-host: stopped before it was done\n"},
	} {
		var out, err bytes.Buffer
		code := run(ctx, append(test.args, "--data", filepath.Join(t.TempDir(), "data")), streams{strings.NewReader("correct horse battery staple\n"), &out, &err})
		if code != test.code || err.String() != test.says || out.Len() > 0 {
			t.Errorf("%v: exit code %d, %q, %q", test.args, code, out.String(), err.String())
		}
	}
}
