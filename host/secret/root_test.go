package secret_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/frigg-host/frigg-host/store"
)

func openRoot(t *testing.T, db secret.Store, from secret.Source) (*secret.Root, error) {
	t.Helper()
	return secret.OpenRoot(t.Context(), db, from, time.Now)
}

func TestOpenRoot_MakesAKeyOnTheFirstStartOnly(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	file := filepath.Join(t.TempDir(), "keys", "root.key")
	first, err := openRoot(t, db, secret.Source{File: file})
	noError(t, err)
	if first.Created != file {
		t.Errorf("created %q, want %q", first.Created, file)
	}
	if !regexp.MustCompile(`^k_[0-9a-f]{8}$`).MatchString(first.Key.ID()) {
		t.Errorf("id is %q", first.Key.ID())
	}
	for path, want := range map[string]os.FileMode{file: 0o600, filepath.Dir(file): 0o700 | os.ModeDir} {
		info, err := os.Stat(path)
		noError(t, err)
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
	}
	left, err := os.ReadDir(filepath.Dir(file))
	noError(t, err)
	if len(left) != 1 {
		t.Errorf("the folder holds %v", left)
	}
	second, err := openRoot(t, db, secret.Source{File: file})
	noError(t, err)
	if second.Created != "" || second.Key.ID() != first.Key.ID() {
		t.Errorf("the second start made %q with %s, the first had %s", second.Created, second.Key.ID(), first.Key.ID())
	}
}

func TestOpenRoot_OpensWhatWasSealedBefore(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	from := secret.Source{File: filepath.Join(t.TempDir(), "root.key")}
	first, err := openRoot(t, db, from)
	noError(t, err)
	sealed := seal(t, secret.NewVault(first.Key, db, time.Now), "usr_1", planted)

	text, err := os.ReadFile(from.File)
	noError(t, err)
	for name, from := range map[string]secret.Source{
		"file":     from,
		"variable": {Variable: secret.NewText(string(text)), File: filepath.Join(t.TempDir(), "none")},
		"variable before file": {
			Variable: secret.NewText(strings.TrimSpace(string(text))),
			File:     writeKey(t, generated()),
		},
	} {
		t.Run(name, func(t *testing.T) {
			root, err := openRoot(t, db, from)
			noError(t, err)
			got, err := secret.NewVault(root.Key, db, time.Now).Open(t.Context(), "usr_1", here, sealed)
			if err != nil || got.Reveal() != planted {
				t.Errorf("got %q, %v", got.Reveal(), err)
			}
		})
	}
}

func TestOpenRoot_RefusesAMissingOrWrongKeyAndSaysWhichIsWanted(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	right, err := openRoot(t, db, secret.Source{File: filepath.Join(t.TempDir(), "root.key")})
	noError(t, err)
	gone := filepath.Join(t.TempDir(), "gone.key")
	wrongKey, wrongText := secret.GenerateRootKey()
	for name, c := range map[string]struct {
		from  secret.Source
		found string
	}{
		"missing":        {secret.Source{File: gone}, "no key was found"},
		"wrong file":     {secret.Source{File: writeKey(t, wrongText.Reveal())}, wrongKey.ID()},
		"wrong variable": {secret.Source{Variable: wrongText, File: gone}, wrongKey.ID()},
	} {
		t.Run(name, func(t *testing.T) {
			root, err := openRoot(t, db, c.from)
			wantKind(t, err, fault.Unavailable)
			for _, want := range []string{right.Key.ID(), c.found, "FRIGG_KEY", c.from.File} {
				if !strings.Contains(fault.PublicMessage(err), want) {
					t.Errorf("%q does not name %q", fault.PublicMessage(err), want)
				}
			}
			if root != nil {
				t.Errorf("got %v", root)
			}
		})
	}
	if _, err := os.Stat(gone); !os.IsNotExist(err) {
		t.Error("a key was made")
	}
}

// Whoever empties the table of checks must not get a new key over old data.
func TestOpenRoot_MakesNoKeyWhileThereAreDataKeys(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	file := filepath.Join(t.TempDir(), "root.key")
	root, err := openRoot(t, db, secret.Source{File: file})
	noError(t, err)
	seal(t, secret.NewVault(root.Key, db, time.Now), "usr_1", planted)
	noError(t, db.Write(t.Context(), func(tx *store.Tx) error { return tx.ExecOne(`DELETE FROM key_checks`) }))

	gone := filepath.Join(t.TempDir(), "gone.key")
	_, err = openRoot(t, db, secret.Source{File: gone})
	wantKind(t, err, fault.Unavailable)
	if !strings.Contains(err.Error(), root.Key.ID()) {
		t.Errorf("%v does not name %s", err, root.Key.ID())
	}
	if _, err := os.Stat(gone); !os.IsNotExist(err) {
		t.Error("a key was made")
	}
}

func TestOpenRoot_RefusesAChangedCheck(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	from := secret.Source{File: filepath.Join(t.TempDir(), "root.key")}
	_, err := openRoot(t, db, from)
	noError(t, err)
	noError(t, db.Write(t.Context(), func(tx *store.Tx) error { return tx.ExecOne(`UPDATE key_checks SET wrapped = zeroblob(48)`) }))
	_, err = openRoot(t, db, from)
	wantKind(t, err, fault.Unavailable)
}

func TestOpenRoot_RefusesABadKey(t *testing.T) {
	t.Parallel()
	b64 := func(n int) string { return base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", n))) }
	open := writeKey(t, b64(32))
	noError(t, os.Chmod(open, 0o640))
	world := writeKey(t, b64(32))
	noError(t, os.Chmod(world, 0o604))
	for name, c := range map[string]struct {
		from secret.Source
		kind fault.Kind
		want string
	}{
		"empty file":      {secret.Source{File: writeKey(t, "")}, fault.Invalid, "0 bytes, it must have 32"},
		"short file":      {secret.Source{File: writeKey(t, b64(31))}, fault.Invalid, "31 bytes, it must have 32"},
		"long file":       {secret.Source{File: writeKey(t, b64(33))}, fault.Invalid, "33 bytes, it must have 32"},
		"huge file":       {secret.Source{File: writeKey(t, b64(4096))}, fault.Invalid, "too large"},
		"not base64":      {secret.Source{File: writeKey(t, planted+"!")}, fault.Invalid, "not base64"},
		"group reads":     {secret.Source{File: open}, fault.Forbidden, "chmod 600"},
		"world reads":     {secret.Source{File: world}, fault.Forbidden, "mode 0604"},
		"folder":          {secret.Source{File: t.TempDir()}, fault.Invalid, "not a file"},
		"device":          {secret.Source{File: os.DevNull}, fault.Invalid, "not a file"},
		"below a file":    {secret.Source{File: filepath.Join(open, "key")}, fault.Unavailable, "cannot be read"},
		"short variable":  {secret.Source{Variable: secret.NewText(b64(16))}, fault.Invalid, "FRIGG_KEY"},
		"broken variable": {secret.Source{Variable: secret.NewText(planted + "!")}, fault.Invalid, "FRIGG_KEY"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openStore(t)
			_, err := openRoot(t, db, c.from)
			wantKind(t, err, c.kind)
			if !strings.Contains(fault.PublicMessage(err), c.want) || !strings.Contains(err.Error(), c.from.File) {
				t.Errorf("%q does not say %q and where", fault.PublicMessage(err), c.want)
			}
			hides(t, name, err.Error())
			if used, err := db.RootKeysInUse(t.Context()); err != nil || len(used) > 0 {
				t.Errorf("something is sealed: %v, %v", used, err)
			}
		})
	}
}

func TestParseRootKey_TakesEverySpellingOfBase64(t *testing.T) {
	t.Parallel()
	raw := []byte(strings.Repeat("\xfb\xff", 16))
	var ids []string
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		key, err := secret.ParseRootKey(secret.NewText(" " + e.EncodeToString(raw) + "\r\n"))
		noError(t, err)
		ids = append(ids, key.ID())
	}
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("one key has the ids %v", ids)
		}
	}
}

func TestRootKey_DoesNotPrint(t *testing.T) {
	t.Parallel()
	raw := strings.Repeat(planted, 3)[:32]
	key, err := secret.ParseRootKey(secret.NewText(base64.StdEncoding.EncodeToString([]byte(raw))))
	noError(t, err)
	for _, v := range []any{
		key, *key,
		secret.Root{Key: key},
		struct{ k *secret.RootKey }{key},
		struct{ k secret.RootKey }{*key},
		secret.Source{Variable: secret.NewText(planted)},
		struct{ s secret.Source }{secret.Source{Variable: secret.NewText(planted)}},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			text := fmt.Sprintf(verb, v)
			hides(t, verb, text)
			if bytes := fmt.Sprint([]byte(planted)); strings.Contains(text, bytes[1:len(bytes)-1]) {
				t.Errorf("%s shows the bytes: %s", verb, text)
			}
		}
	}
}

func TestOpenRoot_FirstStartsAtTheSameTimeAgree(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	from := secret.Source{File: filepath.Join(t.TempDir(), "root.key")}
	roots := make([]*secret.Root, 16)
	var all sync.WaitGroup
	for i := range roots {
		all.Go(func() {
			var err error
			if roots[i], err = openRoot(t, db, from); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	created := 0
	for _, root := range roots {
		if root == nil {
			continue
		}
		if root.Created != "" {
			created++
		}
		if root.Key.ID() != roots[0].Key.ID() {
			t.Errorf("two keys: %s and %s", root.Key.ID(), roots[0].Key.ID())
		}
	}
	if created != 1 {
		t.Errorf("%d starts say that they made the file, want one", created)
	}
}

func TestOpenRoot_OnlyOneOfTwoKeysWins(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	errs := make([]error, 8)
	var all sync.WaitGroup
	for i := range errs {
		file := filepath.Join(t.TempDir(), "root.key") // each host has a file of its own
		all.Go(func() { _, errs[i] = openRoot(t, db, secret.Source{File: file}) })
	}
	all.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		wantKind(t, err, fault.Unavailable)
	}
	if won != 1 {
		t.Errorf("%d hosts started, want one", won)
	}
}

// dyingStore fails where the process could die: between the key file and the check.
type dyingStore struct{ secret.Store }

func (dyingStore) AddFirstKeyCheck(context.Context, *secret.KeyCheck) error { return errDisk }

func TestOpenRoot_GoesOnWithTheFileOfAStartThatDied(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	from := secret.Source{File: filepath.Join(t.TempDir(), "root.key")}
	_, err := openRoot(t, dyingStore{db}, from)
	wantKind(t, err, fault.Unavailable)
	root, err := openRoot(t, db, from)
	noError(t, err)
	if root.Created != "" {
		t.Error("a second key was made")
	}
}

func TestOpenRoot_PassesOnThatTheStoreFailed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "root.key")
	_, err := openRoot(t, brokenStore{}, secret.Source{File: file})
	wantKind(t, err, fault.Unavailable)
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Error("a key was made without knowing whether something is sealed")
	}
}

func writeKey(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "root.key")
	noError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func generated() string {
	_, text := secret.GenerateRootKey()
	return text.Reveal()
}
