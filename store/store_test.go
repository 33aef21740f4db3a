package store_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/store"
	"github.com/frigg-host/frigg-host/store/storetest"
)

// template is an empty database. Copying it is much faster than migrating each time.
var template = sync.OnceValues(func() ([]byte, error) {
	folder, err := os.MkdirTemp("", "frigg-store-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "frigg.db")
	db, err := store.Open(context.Background(), store.Config{DSN: path})
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

func open(t *testing.T) *store.DB {
	t.Helper()
	empty, err := template()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "frigg.db")
	if err := os.WriteFile(path, empty, 0o600); err != nil {
		t.Fatal(err)
	}
	return openAt(t, path, false)
}

func openAt(t *testing.T, path string, shared bool) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{DSN: path, Shared: shared})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestSQLite_PassesTheSuite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, open)
}

// A connection that stays open would keep the log beside the file, and the file from being replaced.
func TestClose_LeavesNothingOpen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "frigg.db")
	db, err := store.Open(t.Context(), store.Config{DSN: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := db.Enqueue(t.Context(), job.New{ID: job.NewID(), Owner: "usr_a", Lane: "a", Kind: "test", CreatedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.CountJobs(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, ending := range []string{"-wal", "-shm"} { // which the last connection removes
		if _, err := os.Stat(path + ending); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", ending, err)
		}
	}
}
