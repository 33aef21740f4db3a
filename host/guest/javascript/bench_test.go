package javascript

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// BenchmarkCall is what a call costs without putting the memory back.
func BenchmarkCall(b *testing.B) {
	const source = `export const noop = () => {};
		export const echo = (input) => input;
		export const ask = async (input) => { await null; return JSON.parse(frigg.call("storage", "get", JSON.stringify(input))) };`
	g, err := load(b, fast(), source, "noop", "echo", "ask")
	if err != nil {
		b.Fatal(err)
	}
	item := `{"id":"con_12345","name":"Ada Lovelace","tags":["a","b"],"n":42.5}`
	for _, tc := range []struct{ name, export, input string }{
		{"noop", "noop", "{}"},
		{"echo200B", "echo", "[" + item + "," + item + "," + item + "]"},
		{"echo1KiB", "echo", "[" + item + strings.Repeat(","+item, 14) + "]"},
		{"ask", "ask", item},
	} {
		b.Run(tc.name, func(b *testing.B) {
			b.SetBytes(int64(len(tc.input)))
			b.ReportAllocs()
			g.restore()
			c := &call{Context: b.Context(), instance: g.in, input: tc.input, random: rand.NewChaCha8([32]byte{1})}
			for b.Loop() {
				c.asked = c.asked[:0]
				if err := g.program.Call(c, g.in, tc.export); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
