package store_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/store"
)

func TestOpenReadOnly_SeesWhatIsThereAndChangesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "frigg.db")
	if _, err := store.OpenReadOnly(t.Context(), path); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v, want that there is none", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("it was made")
	}
	db, err := store.Open(t.Context(), store.Config{DSN: path, Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, beside := range []bool{true, false} { // another process that has it open
		look, err := store.OpenReadOnly(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if x, err := look.Examine(t.Context()); err != nil || x.Version != x.Known || x.Known == 0 || len(x.Damage) > 0 {
			t.Errorf("got %+v and %v", x, err)
		}
		if err := look.PluginRemoved(t.Context(), "crm"); !fault.Is(err, fault.Forbidden) {
			t.Errorf("a write: %v", err)
		}
		if err := look.Close(); err != nil {
			t.Error(err)
		}
		if beside {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestExamine_NoticesDamage(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "frigg.db")
	db, err := store.Open(t.Context(), store.Config{DSN: path})
	if err != nil {
		t.Fatal(err)
	}
	n := job.New{ID: job.NewID(), Owner: "usr_a", Lane: "a", Kind: "test", Payload: []byte(`"` + strings.Repeat("x", 128<<10) + `"`), CreatedAt: time.Now()}
	if _, _, err := db.Enqueue(t.Context(), n); err != nil { // so that the last pages are not those of the schema
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	junk := make([]byte, 4<<10)
	for at := info.Size() - 4*8<<10; at < info.Size(); at += 8 << 10 { // the beginning of each of the last pages
		if _, err := file.WriteAt(junk, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	look, err := store.OpenReadOnly(t.Context(), path)
	if fault.Is(err, fault.Unavailable) {
		return // one of them has a part of the schema
	}
	if err != nil {
		t.Fatal(err)
	}
	defer look.Close()
	if x, err := look.Examine(t.Context()); err == nil && len(x.Damage) == 0 {
		t.Errorf("got %+v, want that it is damaged", x)
	}
}
