package demo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
)

var errClosed = errors.New("demo: closed")

// store keeps the state in memory and in one file. A change is on disk before anybody can see it.
type store struct {
	path string // empty: memory only

	mu     sync.RWMutex
	state  state
	saved  []byte // the image on disk
	closed bool
}

func openStore(path string, seed func(*state)) (*store, error) {
	s := &store{path: path}
	image, err := readImage(path)
	if err != nil {
		return nil, err
	}
	if image == nil {
		return s, s.change(func(st *state) error {
			st.Version = stateVersion
			seed(st)
			return nil
		})
	}
	s.saved = image
	if err := s.restore(); err != nil {
		return nil, fmt.Errorf("demo: %s is not readable as demo data; move it away to start anew: %w", path, err)
	}
	if s.state.Version != stateVersion {
		return nil, fmt.Errorf("demo: %s has version %d, this program reads %d; move it away to start anew",
			path, s.state.Version, stateVersion)
	}
	return s, nil
}

func readImage(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	image, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, os.MkdirAll(filepath.Dir(path), 0o700)
	}
	return image, err
}

// view runs fn on the last committed state. fn must not keep a map.
func (s *store) view(fn func(*state)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	fn(&s.state)
}

// change runs fn and commits, or puts everything back when fn or the disk fails.
func (s *store) change(fn func(*state) error) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	committed := false
	defer func() {
		if !committed {
			err = errors.Join(err, s.restore())
		}
	}()
	s.state.makeMaps()
	if err := fn(&s.state); err != nil {
		return err
	}
	image, err := json.Marshal(&s.state)
	if err != nil {
		return err
	}
	if !bytes.Equal(image, s.saved) {
		if err := replaceFile(s.path, image); err != nil {
			return err
		}
		s.saved = image
	}
	committed = true
	return nil
}

func (s *store) restore() error {
	s.state = state{}
	if s.saved == nil {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(s.saved))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s.state); err != nil {
		return err
	}
	s.state.makeMaps()
	return nil
}

func (s *store) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// replaceFile swaps the content of path in one step: after a crash the file holds the old image or the new one.
func replaceFile(path string, image []byte) error {
	if path == "" {
		return nil
	}
	next := path + ".next"
	if err := writeSynced(next, image); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func writeSynced(path string, image []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(image); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" { // it has no such call
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
