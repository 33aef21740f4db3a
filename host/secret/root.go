package secret

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
)

// checkText is what every key check holds.
const checkText = "frigg-host key check"

// Source says where the root key is looked for.
type Source struct {
	// Variable is the content of the environment variable FRIGG_KEY, the zero Text if it is not set. It goes before File.
	Variable Text
	// File is the path of the key file.
	File string
}

// Root is the result of OpenRoot.
type Root struct {
	Key *RootKey
	// Created is the path of the key file if there was none and one was made, else empty. The operator must be told:
	// without this file the secrets are lost, and it does not belong into the same backup as the database.
	Created string
}

// OpenRoot finds the root key and proves that it is the one under which store is sealed. On the very first start, with
// nothing sealed and no key, it makes a key file. It never makes a key for a store in which something is sealed: then a
// missing or a wrong key is a fault that names the key wanted and where it was looked for.
func OpenRoot(ctx context.Context, store Store, from Source, now func() time.Time) (*Root, error) {
	used, err := store.RootKeysInUse(ctx)
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "secret.OpenRoot", "the key checks cannot be read")
	}
	key, err := from.read()
	if err != nil {
		return nil, err
	}
	root := &Root{Key: key}
	if key == nil {
		if len(used) > 0 {
			return nil, wanted(used, "no key was found", from)
		}
		if root, err = createKeyFile(from.File); err != nil {
			return nil, err
		}
	}
	if len(used) == 0 {
		if err := addFirstCheck(ctx, store, root.Key, now); err != nil {
			return nil, err
		}
	}
	if err := verify(ctx, store, root.Key, from); err != nil {
		return nil, err
	}
	return root, nil
}

// CheckRoot finds the root key and proves that it is the one under which store is sealed, as OpenRoot does, and changes
// nothing. Returns fault.NotFound if there is no key and nothing is sealed yet.
func CheckRoot(ctx context.Context, store Store, from Source) (*RootKey, error) {
	used, err := store.RootKeysInUse(ctx)
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "secret.CheckRoot", "the key checks cannot be read")
	}
	key, err := from.read()
	switch {
	case err != nil:
		return nil, err
	case key == nil && len(used) > 0:
		return nil, wanted(used, "no key was found", from)
	case key == nil:
		return nil, fault.New(fault.NotFound, "secret.CheckRoot", "there is no root key yet (looked in %s)", from).On(fault.Host)
	case len(used) == 0:
		return key, nil
	}
	if err := verify(ctx, store, key, from); err != nil {
		return nil, err
	}
	return key, nil
}

func addFirstCheck(ctx context.Context, store Store, key *RootKey, now func() time.Time) error {
	check := &KeyCheck{RootKey: key.ID(), CreatedAt: now().UTC().Truncate(time.Microsecond)}
	var err error
	if check.Wrapped, err = key.Wrap(ctx, []byte(checkText), check.associated()); err != nil {
		return err
	}
	err = store.AddFirstKeyCheck(ctx, check)
	return fault.Wrap(err, fault.Unavailable, "secret.OpenRoot", "the key check cannot be saved")
}

// verify returns a fault unless key opens its check.
func verify(ctx context.Context, store Store, key *RootKey, from Source) error {
	check, err := store.KeyCheck(ctx, key.ID())
	if err == nil {
		var text []byte
		text, err = key.Unwrap(ctx, check.RootKey, check.Wrapped, check.associated())
		if err == nil && string(text) == checkText {
			return nil
		}
		return fault.New(fault.Unavailable, "secret.OpenRoot", "key %s does not open its key check in the database; restore a backup of the database", key.ID()).With(err)
	}
	if !fault.Is(err, fault.NotFound) {
		return fault.Wrap(err, fault.Unavailable, "secret.OpenRoot", "the key check cannot be read")
	}
	used, err := store.RootKeysInUse(ctx)
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "secret.OpenRoot", "the key checks cannot be read")
	}
	return wanted(used, "key "+key.ID()+" was found", from)
}

// wanted says which key is wanted, what was found instead, and where.
func wanted(ids []string, found string, from Source) error {
	return fault.New(fault.Unavailable, "secret.OpenRoot",
		"the secrets in the database are sealed with key %s, but %s (looked in %s); provide the right key, nothing was changed",
		strings.Join(ids, " or "), found, from)
}

// associated binds a check to its row.
func (c *KeyCheck) associated() []byte { return joinParts(version, "key_checks", c.RootKey) }

// String says where the key is looked for.
func (s Source) String() string { return "FRIGG_KEY and " + s.File }

// read returns the key, nil if there is none.
func (s Source) read() (*RootKey, error) {
	if !s.Variable.IsZero() {
		key, err := ParseRootKey(s.Variable)
		return key, inside("FRIGG_KEY", err)
	}
	return readKeyFile(s.File)
}

func inside(where string, err error) error {
	if err == nil {
		return nil
	}
	return fault.New(fault.KindOf(err), "secret.OpenRoot", "%s: %s", where, fault.PublicMessage(err)).On(fault.Host).With(err)
}

// readKeyFile returns the key in a file, nil if there is no such file.
func readKeyFile(path string) (*RootKey, error) {
	info, err := os.Stat(path) // before opening, which would wait for a pipe
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, unreadable(path, err)
	case !info.Mode().IsRegular():
		return nil, fault.New(fault.Invalid, "secret.OpenRoot", "%s is not a file, so not a key file", path).On(fault.Host)
	case info.Size() > 1024:
		return nil, fault.New(fault.Invalid, "secret.OpenRoot", "%s is too large for a key file", path).On(fault.Host)
	case info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows":
		return nil, fault.New(fault.Forbidden, "secret.OpenRoot", "other users may read or change the key file %s (mode %04o); run: chmod 600 %s",
			path, info.Mode().Perm(), path).On(fault.Host)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	key, err := ParseRootKey(NewText(string(text)))
	return key, inside(path, err)
}

func unreadable(path string, err error) error {
	return fault.New(fault.Unavailable, "secret.OpenRoot", "the key file %s cannot be read", path).With(err)
}

// createKeyFile makes a key and puts it on disk before anything is sealed with it. Another host that does the same at the
// same moment ends up with the same key: the file appears whole or not at all, and only once.
func createKeyFile(path string) (*Root, error) {
	_, text := GenerateRootKey()
	root := &Root{Created: path}
	err := writeNewFile(path, text.Reveal()+"\n")
	if errors.Is(err, fs.ErrExist) {
		root.Created, err = "", nil
	}
	if err != nil {
		return nil, fault.New(fault.Unavailable, "secret.OpenRoot", "the key file %s cannot be created", path).With(err)
	}
	root.Key, err = readKeyFile(path)
	if err == nil && root.Key == nil {
		err = fault.New(fault.Unavailable, "secret.OpenRoot", "the key file %s vanished", path)
	}
	return root, err
}

// writeNewFile creates path with text, readable by this user only, and returns when it is on disk. It returns
// fs.ErrExist, and leaves the file alone, if there is one.
func writeNewFile(path, text string) (err error) {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(folder, ".key-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.WriteString(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Link(file.Name(), path); err != nil { // which unlike a rename never replaces
		return err
	}
	return syncFolder(folder)
}

func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	folder, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return errors.Join(folder.Sync(), folder.Close())
}
