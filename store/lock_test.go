//go:build unix

package store

import (
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/host/fault"
	"golang.org/x/sys/unix"
)

func TestOpen_RefusesASecondProcessUnlessBothShare(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first, second bool
		kind          fault.Kind
	}{
		"alone twice":    {false, false, fault.Conflict},
		"alone, shared":  {false, true, fault.Conflict},
		"shared, alone":  {true, false, fault.Conflict},
		"shared by both": {true, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t)
			first, err := Open(t.Context(), Config{DSN: path, Shared: c.first})
			noError(t, err)
			defer first.Close()
			second, err := Open(t.Context(), Config{DSN: path, Shared: c.second})
			wantKind(t, err, c.kind)
			if err == nil {
				noError(t, second.Close())
				return
			}
			if !strings.Contains(fault.PublicMessage(err), path+".lock") {
				t.Errorf("%q does not name the lock", fault.PublicMessage(err))
			}
			noError(t, first.Close())
			second, err = Open(t.Context(), Config{DSN: path, Shared: c.second})
			noError(t, err)
			noError(t, second.Close())
		})
	}
}

// A child process that is just being started has all open files for a moment, and with them the lock.
func TestClose_FreesTheFileAlsoIfAChildHasTheLockOpen(t *testing.T) {
	t.Parallel()
	path := file(t)
	db, err := Open(t.Context(), Config{DSN: path})
	noError(t, err)
	child, err := unix.Dup(int(db.lock.file.Fd()))
	noError(t, err)
	defer unix.Close(child)
	noError(t, db.Close())
	db, err = Open(t.Context(), Config{DSN: path})
	noError(t, err)
	noError(t, db.Close())
}
