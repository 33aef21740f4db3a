package secret_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/frigg-host/frigg-host/store"
)

var here = secret.Place{Table: "credentials", Column: "tokens", Row: "cred_1"}

func openStore(t *testing.T) *store.DB {
	t.Helper()
	return openStoreAt(t, filepath.Join(t.TempDir(), "frigg.db"))
}

func openStoreAt(t *testing.T, path string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{DSN: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func newVault(t *testing.T) *secret.Vault {
	t.Helper()
	key, _ := secret.GenerateRootKey()
	return secret.NewVault(key, openStore(t), time.Now)
}

func seal(t *testing.T, v *secret.Vault, owner, plain string) string {
	t.Helper()
	sealed, err := v.Seal(t.Context(), owner, here, secret.NewText(plain))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestOpen_ReturnsWhatWasSealed(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	for name, plain := range map[string]string{
		"text": planted, "empty": "", "bytes": "\x00\xff\n", "large": strings.Repeat("x", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := v.Open(t.Context(), "usr_1", here, seal(t, v, "usr_1", plain))
			if err != nil || got.Reveal() != plain {
				t.Errorf("got %d bytes, %v", len(got.Reveal()), err)
			}
		})
	}
}

func TestSeal_RefusesMoreThanItsLimit(t *testing.T) {
	t.Parallel()
	_, err := newVault(t).Seal(t.Context(), "usr_1", here, secret.NewText(strings.Repeat("x", 1<<20+1)))
	wantKind(t, err, fault.TooLarge)
}

func TestSeal_NeverRepeats(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	if a, b := seal(t, v, "usr_1", planted), seal(t, v, "usr_1", planted); a == b {
		t.Errorf("twice %s", a)
	}
}

func TestVault_RefusesWhatIsBoundToNothing(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	sealed := seal(t, v, "usr_1", planted)
	for name, c := range map[string]struct {
		owner string
		place secret.Place
	}{
		"no owner":  {"", here},
		"no table":  {"usr_1", secret.Place{Column: "c", Row: "r"}},
		"no column": {"usr_1", secret.Place{Table: "t", Row: "r"}},
		"no row":    {"usr_1", secret.Place{Table: "t", Column: "c"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := v.Seal(t.Context(), c.owner, c.place, secret.NewText(planted))
			wantKind(t, err, fault.Internal)
			_, err = v.Open(t.Context(), c.owner, c.place, sealed)
			wantKind(t, err, fault.Internal)
		})
	}
	wantKind(t, v.Shred(t.Context(), ""), fault.Internal)
}

func TestOpen_RefusesAMovedValue(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	sealed := seal(t, v, "usr_1", planted)
	seal(t, v, "usr_2", "so that this owner has a key")
	for name, c := range map[string]struct {
		owner string
		place secret.Place
	}{
		"row":           {"usr_1", secret.Place{Table: "credentials", Column: "tokens", Row: "cred_2"}},
		"column":        {"usr_1", secret.Place{Table: "credentials", Column: "form", Row: "cred_1"}},
		"table":         {"usr_1", secret.Place{Table: "integrations", Column: "tokens", Row: "cred_1"}},
		"owner":         {"usr_2", here},
		"shifted parts": {"usr_1", secret.Place{Table: "credentialst", Column: "okens", Row: "cred_1"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := v.Open(t.Context(), c.owner, c.place, sealed)
			wantKind(t, err, fault.Internal)
			if !got.IsZero() {
				t.Error("something is opened")
			}
			if msg := fault.PublicMessage(err); msg != "Internal Server Error" {
				t.Errorf("the client reads %q", msg)
			}
		})
	}
	_, err := v.Open(t.Context(), "usr_3", here, sealed)
	wantKind(t, err, fault.NotFound) // an owner for whom nothing was ever sealed
}

func TestOpen_RefusesAChangedValue(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	sealed := seal(t, v, "usr_1", planted)
	for i := range sealed {
		for bit := range 8 {
			changed := []byte(sealed)
			changed[i] ^= 1 << bit
			if got, err := v.Open(t.Context(), "usr_1", here, string(changed)); err == nil {
				t.Fatalf("bit %d of byte %d is changed and %q opens", bit, i, got.Reveal())
			}
		}
		if _, err := v.Open(t.Context(), "usr_1", here, sealed[:i]); err == nil {
			t.Fatalf("the first %d bytes open", i)
		}
	}
}

func TestVault_RefusesASwappedDataKey(t *testing.T) {
	t.Parallel()
	for name, swap := range map[string]string{
		"key":   `UPDATE data_keys SET wrapped = (SELECT wrapped FROM data_keys WHERE owner = 'usr_2') WHERE owner = 'usr_1'`,
		"owner": `UPDATE data_keys SET owner = CASE owner WHEN 'usr_1' THEN 'usr_3' ELSE 'usr_1' END`,
		"id":    `UPDATE data_keys SET id = 'dek_other' WHERE owner = 'usr_1'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key, _ := secret.GenerateRootKey()
			db := openStore(t)
			v := secret.NewVault(key, db, time.Now)
			sealed := seal(t, v, "usr_1", planted)
			seal(t, v, "usr_2", planted)
			noError(t, db.Write(t.Context(), func(tx *store.Tx) error { return tx.ExecOne(swap) }))
			v = secret.NewVault(key, db, time.Now)
			_, err := v.Open(t.Context(), "usr_1", here, sealed)
			wantKind(t, err, fault.Internal)
			_, err = v.Seal(t.Context(), "usr_1", here, secret.NewText(planted))
			wantKind(t, err, fault.Internal)
		})
	}
}

func TestOpen_NamesTheRootKeyItNeeds(t *testing.T) {
	t.Parallel()
	right, _ := secret.GenerateRootKey()
	wrong, _ := secret.GenerateRootKey()
	db := openStore(t)
	sealed := seal(t, secret.NewVault(right, db, time.Now), "usr_1", planted)
	_, err := secret.NewVault(wrong, db, time.Now).Open(t.Context(), "usr_1", here, sealed)
	wantKind(t, err, fault.Unavailable)
	if !strings.Contains(err.Error(), right.ID()) || !strings.Contains(err.Error(), wrong.ID()) {
		t.Errorf("%v does not name %s and %s", err, right.ID(), wrong.ID())
	}
}

func TestShred_EndsOneOwnerOnly(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	mine, theirs := seal(t, v, "usr_1", planted), seal(t, v, "usr_2", planted)
	for range 2 {
		noError(t, v.Shred(t.Context(), "usr_1"))
	}
	_, err := v.Open(t.Context(), "usr_1", here, mine)
	wantKind(t, err, fault.NotFound)
	_, err = v.Open(t.Context(), "usr_2", here, theirs)
	noError(t, err)

	again := seal(t, v, "usr_1", "new")
	_, err = v.Open(t.Context(), "usr_1", here, again)
	noError(t, err)
	_, err = v.Open(t.Context(), "usr_1", here, mine)
	wantKind(t, err, fault.Internal)
}

func TestShred_ReachesAnotherHost(t *testing.T) {
	t.Parallel()
	key, _ := secret.GenerateRootKey()
	db := openStore(t)
	now := time.Now()
	here1 := secret.NewVault(key, db, time.Now)
	there := secret.NewVault(key, db, func() time.Time { return now })
	sealed := seal(t, there, "usr_1", planted)
	noError(t, here1.Shred(t.Context(), "usr_1"))

	fresh := seal(t, here1, "usr_1", "new") // a new key, which the other host must take up at once
	got, err := there.Open(t.Context(), "usr_1", here, fresh)
	if err != nil || got.Reveal() != "new" {
		t.Errorf("got %q, %v", got.Reveal(), err)
	}
	noError(t, here1.Shred(t.Context(), "usr_1"))
	now = now.Add(5 * time.Minute)
	for _, text := range []string{sealed, fresh} {
		_, err = there.Open(t.Context(), "usr_1", here, text)
		wantKind(t, err, fault.NotFound)
	}
}

// slowStore stops between reading a data key and returning it.
type slowStore struct {
	secret.Store
	read, goOn chan struct{}
}

func (s slowStore) DataKey(ctx context.Context, owner string) (*secret.DataKey, error) {
	key, err := s.Store.DataKey(ctx, owner)
	s.read <- struct{}{}
	<-s.goOn
	return key, err
}

func TestShred_IsNotUndoneByAReadThatBeganBefore(t *testing.T) {
	t.Parallel()
	key, _ := secret.GenerateRootKey()
	db := openStore(t)
	sealed := seal(t, secret.NewVault(key, db, time.Now), "usr_1", planted)
	slow := slowStore{db, make(chan struct{}), make(chan struct{})}
	v := secret.NewVault(key, slow, time.Now)
	open := func() error { _, err := v.Open(t.Context(), "usr_1", here, sealed); return err }

	before := make(chan error)
	go func() { before <- open() }()
	<-slow.read
	noError(t, v.Shred(t.Context(), "usr_1"))
	slow.goOn <- struct{}{}
	noError(t, <-before) // it had read the key while that was there

	go func() { before <- open() }()
	select {
	case <-slow.read:
		slow.goOn <- struct{}{}
		wantKind(t, <-before, fault.NotFound)
	case err := <-before:
		t.Errorf("the shredded key was kept: %v", err)
	}
}

func TestSeal_FirstUseAtTheSameTimeMakesOneKey(t *testing.T) {
	t.Parallel()
	key, _ := secret.GenerateRootKey()
	db := openStore(t)
	sealed := make([]string, 32)
	var all sync.WaitGroup
	for i := range sealed {
		v := secret.NewVault(key, db, time.Now) // each a host of its own
		all.Go(func() { sealed[i] = seal(t, v, "usr_1", planted) })
	}
	all.Wait()
	v := secret.NewVault(key, db, time.Now)
	for _, text := range sealed {
		got, err := v.Open(t.Context(), "usr_1", here, text)
		if err != nil || got.Reveal() != planted {
			t.Errorf("got %q, %v", got.Reveal(), err)
		}
	}
}

func TestSeal_LeavesNothingReadableOnDisk(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	root, text := secret.GenerateRootKey()
	db := openStoreAt(t, filepath.Join(folder, "frigg.db"))
	sealed := seal(t, secret.NewVault(root, db, time.Now), "usr_1", planted)
	if strings.Contains(sealed, planted) {
		t.Error("the sealed value shows it")
	}
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	noError(t, err)
	found := false
	for _, file := range files {
		content, err := os.ReadFile(file)
		noError(t, err)
		found = found || bytes.Contains(content, []byte("dek_"))
		if bytes.Contains(content, []byte(planted)) || bytes.Contains(content, []byte(text.Reveal())) {
			t.Errorf("%s holds a secret", file)
		}
	}
	if !found {
		t.Error("the data key is in none of the files: nothing was looked at")
	}
}

// brokenStore fails every call.
type brokenStore struct{ secret.Store }

var errDisk = fault.New(fault.Unavailable, "store.Any", "the disk is full").With(errors.New("disk"))

func (brokenStore) DataKey(context.Context, string) (*secret.DataKey, error) { return nil, errDisk }
func (brokenStore) DeleteDataKey(context.Context, string) error              { return errDisk }
func (brokenStore) RootKeysInUse(context.Context) ([]string, error)          { return nil, errDisk }

func TestVault_PassesOnThatTheStoreFailed(t *testing.T) {
	t.Parallel()
	key, _ := secret.GenerateRootKey()
	sealed := seal(t, secret.NewVault(key, openStore(t), time.Now), "usr_1", planted)
	v := secret.NewVault(key, brokenStore{}, time.Now)
	_, err := v.Seal(t.Context(), "usr_1", here, secret.NewText(planted))
	wantKind(t, err, fault.Unavailable)
	_, err = v.Open(t.Context(), "usr_1", here, sealed)
	wantKind(t, err, fault.Unavailable)
	wantKind(t, v.Shred(t.Context(), "usr_1"), fault.Unavailable)
}

func FuzzOpen(f *testing.F) {
	key, _ := secret.GenerateRootKey()
	db, err := store.Open(context.Background(), store.Config{DSN: filepath.Join(f.TempDir(), "frigg.db")})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { db.Close() })
	v := secret.NewVault(key, db, time.Now)
	sealed, err := v.Seal(context.Background(), "usr_1", here, secret.NewText(planted))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add(sealed[:len(sealed)-1])
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := v.Open(t.Context(), "usr_1", here, text); err == nil && text != sealed {
			t.Errorf("%q opens", text)
		}
	})
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t *testing.T, err error, want fault.Kind) {
	t.Helper()
	if got := fault.KindOf(err); got != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}
