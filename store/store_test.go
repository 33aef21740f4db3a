package store_test

import (
	"path/filepath"
	"testing"

	"github.com/frigg-host/frigg-host/store"
	"github.com/frigg-host/frigg-host/store/storetest"
)

func open(t *testing.T) *store.DB { return openAt(t, filepath.Join(t.TempDir(), "frigg.db"), false) }

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
