package store

import (
	"context"
	"database/sql"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/host/fault"
)

func TestOpen_TakesAnyPath(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"plain.db", "with space.db", "question?mode=memory.db", "hash#1.db", "percent%20.db", "plus+.db", "ünï.db", "noextension"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			db := scratch(t, path)
			noError(t, db.Write(t.Context(), insert(1)))
			noError(t, db.Close())
			if _, err := os.Stat(path); err != nil {
				t.Error(err)
			}
			again, err := Open(t.Context(), Config{DSN: path})
			noError(t, err)
			defer again.Close()
			equal(t, numbers(t, again), []int{1})
		})
	}
}

func TestOpen_RefusesWhatIsNoDatabaseFile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	garbage := filepath.Join(folder, "garbage.db")
	noError(t, os.WriteFile(garbage, []byte(strings.Repeat("this is no database\n", 1000)), 0o600))
	for name, c := range map[string]struct {
		dsn  string
		kind fault.Kind
		want string
	}{
		"nothing":        {"", fault.Invalid, "path"},
		"postgres":       {"postgres://localhost/frigg", fault.Unsupported, "postgres"},
		"missing folder": {filepath.Join(folder, "none", "frigg.db"), fault.Unavailable, "none"},
		"folder":         {folder, fault.Unavailable, "cannot be read"},
		"garbage":        {garbage, fault.Unavailable, "restore a backup"},
	} {
		t.Run(name, func(t *testing.T) {
			db, err := Open(t.Context(), Config{DSN: c.dsn})
			wantKind(t, err, c.kind)
			if !strings.Contains(fault.PublicMessage(err), c.want) {
				t.Errorf("%q does not say %q", fault.PublicMessage(err), c.want)
			}
			if db != nil {
				t.Error("there is a database")
			}
		})
	}
}

func TestOpen_SetsUpEveryConnection(t *testing.T) {
	t.Parallel()
	db := scratch(t, file(t))
	both := map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "10000", "page_size": "8192", "temp_store": "2"}
	pragma := func(conn *sql.Conn, name string) (value string) {
		t.Helper()
		noError(t, conn.QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&value))
		return value
	}
	for name, want := range both {
		equal(t, pragma(db.writer.conn, name), want)
	}
	for range readers { // all at once, so that each is another one
		conn, err := db.reads.Conn(t.Context())
		noError(t, err)
		defer conn.Close()
		for name, want := range both {
			equal(t, pragma(conn, name), want)
		}
		equal(t, pragma(conn, "query_only"), "1")
		_, err = conn.ExecContext(t.Context(), `INSERT INTO numbers (n) VALUES (1)`)
		wantKind(t, classify(err), fault.Unavailable)
	}
}

func TestShared_HostsSeeEachOthersWrites(t *testing.T) {
	t.Parallel()
	path := file(t)
	hosts := make([]*DB, 4)
	errs := make(chan error)
	for i := range hosts {
		go func() { // also the first migration happens once
			var err error
			hosts[i], err = Open(context.Background(), Config{DSN: path, Shared: true})
			errs <- err
		}()
	}
	for range hosts {
		noError(t, <-errs)
	}
	noError(t, hosts[0].Write(t.Context(), func(tx *Tx) error {
		_, err := tx.Exec(`CREATE TABLE numbers (n INTEGER PRIMARY KEY)`)
		return err
	}))
	const each = 25
	for i, db := range hosts {
		go func() {
			var err error
			for n := range each {
				if err == nil {
					err = db.Write(context.Background(), insert(i*each+n))
				}
			}
			errs <- err
		}()
	}
	for range hosts {
		noError(t, <-errs)
	}
	for _, db := range hosts {
		if got := len(numbers(t, db)); got != each*len(hosts) {
			t.Errorf("a host sees %d rows, want %d", got, each*len(hosts))
		}
		noError(t, db.Close())
	}
}

func TestOpen_LetsNobodyElseReadItsFiles(t *testing.T) {
	t.Parallel()
	path := file(t)
	scratch(t, path)
	files, err := filepath.Glob(path + "*")
	noError(t, err)
	if len(files) < 4 { // the database, its log, the log's index and the lock
		t.Errorf("found %v", files)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		noError(t, err)
		if info.Mode() != 0o600 {
			t.Errorf("%s has mode %v", file, info.Mode())
		}
	}
}

func TestClose_LeavesOneFileWithEverything(t *testing.T) {
	t.Parallel()
	path := file(t)
	db := scratch(t, path)
	noError(t, db.Write(t.Context(), insert(1)))
	noError(t, db.Close())
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
		t.Errorf("the log still has %d bytes", info.Size())
	}
}

func TestVersionAtLeast(t *testing.T) {
	t.Parallel()
	least := [3]int{3, 51, 3}
	for text, want := range map[string]bool{
		"3.51.3": true, "3.51.4": true, "3.52.0": true, "4.0.0": true, "3.54.1": true,
		"3.51.2": false, "3.50.9": false, "2.99.99": false, "3.51": false, "": false, "three": false,
	} {
		if got := versionAtLeast(text, least); got != want {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

// The driver is translated from C for exactly one version of its C library; another breaks it in ways no compiler sees.
func TestDriver_HasTheLibraryItWasMadeFor(t *testing.T) {
	t.Parallel()
	list := func(format, module string) string {
		t.Helper()
		out, err := exec.Command("go", "list", "-m", "-f", format, module).Output()
		if err != nil {
			t.Skipf("skipped, since the go command does not answer: %v", err)
		}
		return strings.TrimSpace(string(out))
	}
	text, err := os.ReadFile(list("{{.GoMod}}", "modernc.org/sqlite"))
	noError(t, err)
	pinned := regexp.MustCompile(`(?m)^\s*modernc\.org/libc (v\S+)`).FindSubmatch(text)
	if pinned == nil {
		t.Fatal("the driver's go.mod names no libc: nothing was looked at")
	}
	equal(t, list("{{.Version}}", "modernc.org/libc"), string(pinned[1]))
}
