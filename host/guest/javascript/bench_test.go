package javascript_test

import (
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/host/guest/javascript/javascripttest"
	"github.com/frigg-host/frigg-host/host/guest/javascript/quickjs"
)

// BenchmarkCall is what a call costs without putting the memory back.
func BenchmarkCall(b *testing.B) {
	const source = `export const noop = () => {};
		export const echo = (input) => input;
		export const ask = async (input) => { await null; return JSON.parse(frigg.call("storage", "get", JSON.stringify(input))) };`
	g, err := javascripttest.Load(b, javascripttest.Fast(), quickjs.New([]string{"noop", "echo", "ask"}, source))
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
			g.Restore()
			c := javascripttest.NewCall(b.Context(), tc.input)
			for b.Loop() {
				c.Asked = c.Asked[:0]
				if err := g.Run(c, tc.export); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
