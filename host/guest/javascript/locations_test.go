package javascript

import (
	"strings"
	"testing"
)

func TestLocations_AreThoseOfTheMap(t *testing.T) {
	t.Parallel()
	// Lines 1, 3 and 4 of the program are lines 1 and 8 of a.ts and line 2 of b.ts.
	l := readMap(`{"version":3,"sources":["a.ts","b.ts"],"names":[],"mappings":"AAAA,IAAI;;AAOJ,GAAG;ACNH"}`)
	got := l.in("at f (plugin.js:1:9)\nat g (plugin.js:3)\nat h (plugin.js:4:1) at plugin.js:2:1 plugin.js:99 plugin.js:0 frigg.js:1:1 plugin.js:99999999999")
	want := "at f (a.ts:1)\nat g (a.ts:8)\nat h (b.ts:2) at plugin.js:2:1 plugin.js:99 plugin.js:0 frigg.js:1:1 plugin.js:99999999999"
	if got != want {
		t.Error(got)
	}
}

func TestLocations_OfAMapThatIsWrongAreUnknown(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "{", "null", `{"mappings":"AAAA"}`, `{"sources":["a"],"mappings":"AADA"}`, `{"sources":["a"],"mappings":"ACAA"}`, `{"sources":["a"],"mappings":"AA!A"}`,
		`{"sources":["a"],"mappings":"ggggggggggA"}`, `{"sources":["a"],"mappings":"g"}`, `{"sources":["a"],"mappings":"AAAAAAAA"}`, `{"sources":{},"mappings":7}`,
	} {
		if got := readMap(text).in("plugin.js:1:1"); got != "plugin.js:1:1" {
			t.Errorf("%s: %s", text, got)
		}
	}
	if l := readMap(`{"sources":["a"],"mappings":"` + strings.Repeat("AAAA;", maxLines+9) + `"}`); len(l.lines) != maxLines {
		t.Error(len(l.lines), "lines")
	}
}

func FuzzLocations(f *testing.F) {
	f.Add(`{"version":3,"sources":["a.ts","b.ts"],"mappings":"AAAA,IAAI;;AAOJ,GAAG;ACNH"}`, "at f (plugin.js:3:9)")
	f.Fuzz(func(_ *testing.T, text, stack string) { readMap(text).in(stack) })
}
