package guest

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestTrimCache_TheOldestGoesUntilAQuarterIsFree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder, apart := filepath.Join(dir, "wazero-v1"), filepath.Join(dir, "apart", "x", "wazero-v1")
	for _, f := range []string{folder, apart} {
		if err := os.MkdirAll(f, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	write := func(path string, age time.Duration) {
		if err := os.WriteFile(path, make([]byte, 100), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	for i, name := range []string{"a", "b", "c", "d", "e"} {
		write(filepath.Join(folder, name), time.Duration(i)*time.Hour)
	}
	write(filepath.Join(apart, "f"), 5*time.Hour)
	write(filepath.Join(dir, "somebody-elses"), 1000*time.Hour)
	left := func() (names string) {
		files, _ := filepath.Glob(filepath.Join(dir, "wazero-*", "*"))
		more, _ := filepath.Glob(filepath.Join(apart, "*"))
		for _, f := range append(files, more...) {
			names += filepath.Base(f)
		}
		return names
	}
	for _, c := range []struct {
		most uint64
		want string
	}{{600, "abcdef"}, {599, "abcd"}, {399, "ab"}, {0, ""}} {
		TrimCache(dir, c.most)
		if got := left(); got != c.want {
			t.Errorf("at most %d bytes: %q is left, want %q", c.most, got, c.want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "somebody-elses")); err != nil {
		t.Error("a file that is not ours was removed")
	}
}
