package guest

import (
	"bytes"
	"context"
	"testing"
)

// BenchmarkCall measures whole calls: a new instance, the export, closing.
func BenchmarkCall(b *testing.B) {
	for _, c := range []struct {
		engine, module, export string
		input                  int
	}{
		{Native, "good", "noop", 0},
		{Native, "good", "echo", 1 << 10},
		{Native, "bulk", "echo", 1 << 10},
		{Extism, "good", "noop", 0},
		{Extism, "good", "echo", 1 << 10},
	} {
		b.Run(c.engine+"/"+c.module+"_"+c.export, func(b *testing.B) {
			e, err := Open(context.Background(), c.engine, Config{Imports: []Import{sendImport}})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close(context.Background())
			m := compiled(b, e, c.module)
			input := bytes.Repeat([]byte("x"), c.input)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Call(context.Background(), Call{Plugin: c.module, Export: c.export, Input: input}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
