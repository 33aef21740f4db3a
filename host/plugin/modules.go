package plugin

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/frigg-host/frigg-host/host/fault"
)

// modules keeps the bytes of every version by its digest, so that running work does not depend on the plugins folder.
// A file is complete or not there.
type modules struct{ dir string }

const partSuffix = ".part"

// open creates the folder and removes what an earlier process left half-written.
func (m modules) open() error {
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return err
	}
	parts, err := filepath.Glob(filepath.Join(m.dir, "*"+partSuffix))
	for _, p := range parts {
		err = errors.Join(err, os.Remove(p))
	}
	return err
}

func (m modules) path(d Digest) string {
	return filepath.Join(m.dir, strings.Replace(string(d), ":", "-", 1)+extension)
}

// put saves the bytes on disk before it returns. A damaged file is replaced.
func (m modules) put(d Digest, module []byte) error {
	if kept, err := os.ReadFile(m.path(d)); err == nil && bytes.Equal(kept, module) {
		return nil
	}
	f, err := os.CreateTemp(m.dir, "*"+partSuffix)
	if err != nil {
		return err
	}
	_, err = f.Write(module)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), m.path(d))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(m.dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// get reads the bytes and checks them. Errors: NotFound; Unavailable when the file is damaged.
func (m modules) get(d Digest) ([]byte, error) {
	const op = "plugin.Module"
	if !d.Valid() {
		return nil, fault.New(fault.NotFound, op, "%q is not the digest of a plugin", string(d))
	}
	module, err := os.ReadFile(m.path(d))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault.New(fault.NotFound, op, "no plugin with digest %s is installed", d)
	case err != nil:
		return nil, fault.Wrap(err, fault.Internal, op, "the module cannot be read")
	case DigestOf(module) != d:
		return nil, fault.New(fault.Unavailable, op, "%s in the folder of modules is damaged; copy the plugin into the plugins folder again", filepath.Base(m.path(d)))
	}
	return module, nil
}

// remove deletes the bytes; having none is fine.
func (m modules) remove(d Digest) error {
	if err := os.Remove(m.path(d)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// prune removes the modules that keep does not want, and returns how many.
func (m modules) prune(keep func(Digest) bool) (int, error) {
	files, err := os.ReadDir(m.dir)
	if err != nil {
		return 0, err
	}
	removed := 0
	for _, f := range files {
		name, isModule := strings.CutSuffix(f.Name(), extension)
		d := Digest(strings.Replace(name, "-", ":", 1))
		if !isModule || !d.Valid() || keep(d) {
			continue
		}
		if err := os.Remove(m.path(d)); err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

// readAll reads a file of at most limit bytes; a larger one gives limit+1 bytes.
func readAll(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit+1))
}
