package secret

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
)

func TestPlace_NoTwoAreAlike(t *testing.T) {
	t.Parallel()
	seen := map[string]Place{}
	for _, p := range []struct {
		place Place
		owner string
	}{
		{Place{"t", "c", "r"}, "o"},
		{Place{"t", "c", "r"}, "other"},
		{Place{"t", "c", "other"}, "o"},
		{Place{"t", "other", "r"}, "o"},
		{Place{"other", "c", "r"}, "o"},
		{Place{"c", "t", "r"}, "o"},
		{Place{"t", "r", "c"}, "o"},
		{Place{"o", "c", "r"}, "t"},
		{Place{"tc", "", "r"}, "o"},
		{Place{"", "tc", "r"}, "o"},
		{Place{"t|c", "", "r"}, "o"},
		{Place{"t", "c", "r|o"}, ""},
		{Place{"t", "c", ""}, "r|o"},
		{Place{"t\x01c", "", "r"}, "o"},
	} {
		key := string(p.place.associated(p.owner))
		if other, found := seen[key]; found {
			t.Errorf("%v and %v are bound to the same", p.place, other)
		}
		seen[key] = p.place
	}
}

func TestParseValue_RefusesWhatItWouldNotWrite(t *testing.T) {
	t.Parallel()
	good := value{key: "dek_1", box: make([]byte, gcmOverhead)}.String()
	if _, err := parseValue(good); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":            "",
		"plain text":       "my password",
		"other version":    strings.Replace(good, "v1", "v2", 1),
		"no key":           "v1.." + strings.Repeat("A", 40),
		"no box":           "v1.dek_1",
		"empty box":        "v1.dek_1.",
		"short box":        "v1.dek_1." + strings.Repeat("A", 36),
		"padding":          good + "=",
		"other alphabet":   good[:len(good)-1] + "+",
		"another spelling": value{key: "dek_1", box: make([]byte, gcmOverhead)}.String()[:len(good)-1] + "B",
		"line break":       good[:len(good)-1] + "\nA",
		"one more part":    good + ".A",
		"huge":             "v1.dek_1." + strings.Repeat("A", maxSealed),
	} {
		t.Run(name, func(t *testing.T) {
			v, err := parseValue(text)
			if !fault.Is(err, fault.Internal) {
				t.Errorf("read as %v, %v", v, err)
			}
		})
	}
}

func FuzzParseValue(f *testing.F) {
	f.Add(value{key: "dek_1", box: make([]byte, gcmOverhead)}.String())
	f.Add("v1.dek_1.")
	f.Add("v1..")
	f.Add(".\n.")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := parseValue(text)
		if err == nil && (v.String() != text || len(v.box) < gcmOverhead) {
			t.Errorf("%q is read as %q", text, v)
		}
	})
}

func FuzzJoinParts(f *testing.F) {
	f.Add("a", "b", "ab", "")
	f.Add("", "a", "a", "")
	f.Fuzz(func(t *testing.T, a1, a2, b1, b2 string) {
		alike := bytes.Equal(joinParts(a1, a2), joinParts(b1, b2))
		if alike != (a1 == b1 && a2 == b2) {
			t.Errorf("(%q, %q) and (%q, %q) are joined to the same", a1, a2, b1, b2)
		}
	})
}

func FuzzParseRootKey(f *testing.F) {
	_, text := GenerateRootKey()
	f.Add(text.Reveal())
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := ParseRootKey(NewText(text))
		if (key == nil) != (err != nil) {
			t.Errorf("got %v and %v", key, err)
		}
	})
}

func TestVault_KeepsABoundedNumberOfKeys(t *testing.T) {
	t.Parallel()
	root, _ := GenerateRootKey()
	v := NewVault(root, nil, time.Now)
	for range maxOpenKeys + 10 {
		key := &DataKey{ID: "dek_1", Owner: string(randomKey()), RootKey: root.ID()}
		key.Wrapped, _ = root.Wrap(t.Context(), randomKey(), key.associated())
		if _, err := v.unwrap(t.Context(), key, 0); err != nil {
			t.Fatal(err)
		}
	}
	if len(v.open) != maxOpenKeys {
		t.Errorf("%d keys are kept, want %d", len(v.open), maxOpenKeys)
	}
}
