package secret_test

import (
	"strings"
	"testing"
)

func TestFingerprints_CompareWithinOneOwnerAndPurposeOnly(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	seen := map[string]string{}
	for _, who := range []struct{ owner, purpose string }{{"usr_a", "x"}, {"usr_a", "y"}, {"usr_b", "x"}} {
		hash, err := v.Fingerprints(t.Context(), who.owner, who.purpose)
		if err != nil {
			t.Fatal(err)
		}
		again, err := v.Fingerprints(t.Context(), who.owner, who.purpose)
		if err != nil {
			t.Fatal(err)
		}
		h := hash("ada@example.org")
		if h != again("ada@example.org") || h == hash("ada@example.orh") || strings.Contains(h, "ada") || len(h) != 43 {
			t.Errorf("%+v: %s", who, h)
		}
		if other, ok := seen[h]; ok {
			t.Errorf("%+v has the hash of %s", who, other)
		}
		seen[h] = who.owner + who.purpose
	}
	before, err := v.Fingerprints(t.Context(), "usr_a", "x")
	if err != nil {
		t.Fatal(err)
	}
	was := before("ada@example.org")
	if err := v.Shred(t.Context(), "usr_a"); err != nil {
		t.Fatal(err)
	}
	after, err := v.Fingerprints(t.Context(), "usr_a", "x")
	if err != nil || after("ada@example.org") == was {
		t.Errorf("hashes of a shredded owner come again: %v", err)
	}
	for _, who := range [][2]string{{"", "x"}, {"usr_a", ""}} {
		if _, err := v.Fingerprints(t.Context(), who[0], who[1]); err == nil {
			t.Errorf("%q are no owner and purpose", who)
		}
	}
}
