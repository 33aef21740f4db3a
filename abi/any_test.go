package abi

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
)

// anySeeds are texts that ReadAny must read as encoding/json does, or leave to it.
var anySeeds = []string{
	`null`, ` true `, `false`, `""`, `"a\"\\\/\b\f\n\r\t\u00fc\ud83d\ude00\ud83d"`, "\"\xff\"", `0`, `-0`, `-0.0`, `1e400`, `1.5e-3`, `123456789012345678`, `999999999999999`,
	`1000000000000000`, `9007199254740993`, `-12`, `01`, `-`, `1.`, `1e`, `{}`, `[]`, `{"a":1,"a":2}`, `{"a":{"b":[1,"x",null,{"c":false}]}}`, `{"ü":"日本"}`, `[1,]`, `{"a":}`, `{"a" 1}`,
	`{"a":1,}`, `[`, `{`, `"`, ``, ` `, `nul`, `truex`, `1 2`, `{1:2}`, `{"\u0061":1,"a":2}`, "[\"a\nb\"]", strings.Repeat("[", 99) + strings.Repeat("]", 99), strings.Repeat("[", 20_000),
}

// checkAny compares ReadAny with encoding/json, and reports whether it read text.
func checkAny(t *testing.T, text string) bool {
	t.Helper()
	got, ok := ReadAny([]byte(text))
	if !ok {
		return false
	}
	var want any
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatalf("%.80q was read as %v, encoding/json says %v", text, got, err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%.80q was read as %#v, want %#v", text, got, want)
	}
	if f, isNumber := got.(float64); isNumber && math.Signbit(f) != math.Signbit(want.(float64)) {
		t.Fatalf("%q has another sign", text)
	}
	return true
}

func TestReadAny_ReadsWhatReflectionDoes(t *testing.T) {
	t.Parallel()
	read := 0
	for _, text := range anySeeds {
		if checkAny(t, text) {
			read++
		}
	}
	if read < 20 {
		t.Errorf("only %d of %d texts were read", read, len(anySeeds))
	}
}

func TestReadAny_LeavesHugeTextsToOthers(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`[` + strings.Repeat(`0,`, 1<<20) + `0]`, `{` + strings.Repeat(`"a":[],`, 1<<20) + `"a":0}`} {
		if _, ok := ReadAny([]byte(text)); ok {
			t.Errorf("%.20s was read", text)
		}
	}
}

func FuzzReadAny(f *testing.F) {
	for _, text := range anySeeds {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { checkAny(t, text) })
}
