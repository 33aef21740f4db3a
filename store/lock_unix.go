//go:build unix

package store

import (
	"errors"
	"io"
	"os"

	"github.com/frigg-host/frigg-host/host/fault"
	"golang.org/x/sys/unix"
)

// fileLock is held on an open file and ends with the process, however that ends. The file stays: removing it would let two
// processes lock two files of the same name.
type fileLock struct {
	file   *os.File
	shared []byte // its first bytes, mapped; nil before share
}

// share maps the first n bytes of the file into memory, where all processes that do so see the same.
func (l *fileLock) share(n int) ([]byte, error) {
	if l == nil {
		return nil, nil
	}
	info, err := l.file.Stat()
	if err == nil && info.Size() < int64(n) {
		err = l.file.Truncate(int64(n))
	}
	if err == nil {
		l.shared, err = unix.Mmap(int(l.file.Fd()), 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	return l.shared, lockFault(err, l.file.Name())
}

// lockFile takes the lock for this process alone, or together with others that share it. It does not wait.
func lockFile(path string, shared bool) (*fileLock, error) {
	how := unix.LOCK_EX
	if shared {
		how = unix.LOCK_SH
	}
	lock, err := flock(path, how|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fault.New(fault.Conflict, "store.Open", "another process serves this database (it holds %s); stop it first", path).On(fault.Host)
	}
	return lock, lockFault(err, path)
}

// waitLock takes the lock for this process alone, after whoever has it now.
func waitLock(path string) (*fileLock, error) {
	lock, err := flock(path, unix.LOCK_EX)
	return lock, lockFault(err, path)
}

func flock(path string, how int) (*fileLock, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(file.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return &fileLock{file: file}, nil
}

func lockFault(err error, path string) error {
	if err == nil {
		return nil
	}
	return fault.New(fault.Unavailable, "store.Open", "cannot lock %s; is its folder there and writable?", path).With(err)
}

// Close unlocks before it closes: a child process that is just being started holds the file open too, for a moment, and
// the lock belongs to the open file. Nil is no lock.
func (l *fileLock) Close() error {
	if l == nil {
		return nil
	}
	var err error
	if l.shared != nil {
		err, l.shared = unix.Munmap(l.shared), nil
	}
	return errors.Join(err, unix.Flock(int(l.file.Fd()), unix.LOCK_UN), l.file.Close())
}

// LockFile locks a file for this process alone until the result is closed, however the process ends. It returns
// fault.Conflict if another process has it.
func LockFile(path string) (io.Closer, error) {
	lock, err := lockFile(path, false)
	if err != nil {
		return nil, err
	}
	return lock, nil
}
