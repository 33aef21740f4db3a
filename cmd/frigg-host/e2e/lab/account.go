//go:build linux || darwin

package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is another user of this machine to run a server as. The nil account is ourselves.
type account struct {
	name     string
	uid, gid int
}

// unprivileged is nobody for root and nil for everybody else.
func unprivileged() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return nil, fmt.Errorf("root needs an account called nobody to run it: %w", err)
	}
	uid, errUID := strconv.Atoi(u.Uid)
	gid, errGID := strconv.Atoi(u.Gid)
	if err := errors.Join(errUID, errGID); err != nil {
		return nil, err
	}
	return &account{u.Username, uid, gid}, nil
}

// user is the account's name.
func (a *account) user() string {
	if a != nil {
		return a.name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return os.Getenv("USER")
}

// credential makes a child run as the account, without our supplementary groups.
func (a *account) credential() *syscall.Credential {
	if a == nil {
		return nil
	}
	return &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
}

// own gives path to the account.
func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	return os.Lchown(path, a.uid, a.gid)
}

// link mirrors the tree from into to for the account: new directories that it owns, and hard links to the same files, or
// copies that it owns where it could not read a link or the file system has none. The files of from stay as they are.
func (a *account) link(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		if entry.IsDir() {
			if err := os.MkdirAll(target, 0o700); err != nil {
				return err
			}
			return a.own(target)
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Mode()&0o004 != 0 && os.Link(path, target) == nil {
			return nil
		}
		return a.copy(path, target, info.Mode().Perm())
	})
}

func (a *account) copy(from, to string, mode fs.FileMode) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, data, mode); err != nil {
		return err
	}
	return a.own(to)
}
