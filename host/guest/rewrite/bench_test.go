package rewrite

import (
	"os"
	"testing"
)

// BenchmarkRewrite is what loading a module costs before it is compiled. REWRITE_MODULE names a file, for example a large
// one; else it is the largest of the corpus.
func BenchmarkRewrite(b *testing.B) {
	var module []byte
	if file := os.Getenv("REWRITE_MODULE"); file != "" {
		module = read(b, file)
	} else {
		for _, m := range corpus(b) {
			if len(m) > len(module) {
				module = m
			}
		}
	}
	m, err := Rewrite(module, allOptions[3])
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(module)))
	b.ReportAllocs()
	for b.Loop() {
		if m, err = Rewrite(module, allOptions[3]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(100*float64(len(m.Wasm))/float64(len(module)), "%size") // without data
}
