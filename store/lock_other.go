//go:build !unix

package store

import (
	"io"

	"github.com/frigg-host/frigg-host/host/fault"
)

// Without a lock that ends with its process two hosts could serve one database, so none does.
type fileLock struct{}

func lockFile(string, bool) (*fileLock, error) {
	return nil, fault.New(fault.Unsupported, "store.Open", "databases are not served on this operating system; use Linux, macOS or a BSD")
}

func waitLock(string) (*fileLock, error) { return lockFile("", false) }

func (*fileLock) share(int) ([]byte, error) { return nil, nil }

func (*fileLock) Close() error { return nil }

// LockFile is not offered here.
func LockFile(string) (io.Closer, error) {
	_, err := lockFile("", false)
	return nil, err
}
