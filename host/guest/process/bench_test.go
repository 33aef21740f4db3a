package process

import (
	"bytes"
	"context"
	"testing"

	"github.com/frigg-host/frigg-host/host/guest"
)

// BenchmarkCall compares calls in this process with calls in a child.
func BenchmarkCall(b *testing.B) {
	for _, c := range []struct {
		name, module, export string
		input                int
	}{
		{"noop", "good", "noop", 0},
		{"echo_1KiB", "bulk", "echo", 1 << 10},
		{"echo_64KiB", "bulk", "echo", 64 << 10},
		{"host_call", "good", "send", 64},
	} {
		for _, isolate := range []string{"none", "process"} {
			b.Run(c.name+"/"+isolate, func(b *testing.B) {
				var e guest.Engine = open(b, Config{})
				if isolate == "none" {
					var err error
					if e, err = guest.OpenNative(context.Background(), guest.Config{Imports: []guest.Import{send}}); err != nil {
						b.Fatal(err)
					}
					defer e.Close(context.Background())
				}
				m, err := e.Compile(context.Background(), fixture(b, c.module))
				if err != nil {
					b.Fatal(err)
				}
				input := bytes.Repeat([]byte("x"), c.input)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := m.Call(context.Background(), guest.Call{Plugin: "p", Export: c.export, Input: input, Host: echo}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
