package disk_test

import (
	"database/sql"
	"math/rand/v2"
	"net/url"
	"testing"

	"github.com/frigg-host/frigg-host/store/disk"
	_ "modernc.org/sqlite"
)

func open(t *testing.T, d *disk.Disk, pragmas ...string) *sql.DB {
	t.Helper()
	q := url.Values{"vfs": {disk.Name}, "_pragma": append(pragmas, "journal_mode(WAL)")}
	db, err := sql.Open("sqlite", "file:"+d.Path("a.db")+"?"+q.Encode())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close(); d.Close() })
	return db
}

func exec(t *testing.T, db *sql.DB, text string) {
	t.Helper()
	if _, err := db.Exec(text); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRow(`SELECT count(*) FROM a`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDisk_KeepsWhatWasSyncedAndAKilledProcessLeavesAllItWrote(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct{ killed, cut int }{"FULL": {3, 3}, "NORMAL": {3, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := disk.New(nil)
			db := open(t, d, "synchronous("+name+")")
			exec(t, db, `CREATE TABLE a (n INT)`)
			exec(t, db, `PRAGMA wal_checkpoint(TRUNCATE)`)
			for range 3 {
				exec(t, db, `INSERT INTO a VALUES (1)`)
			}
			if n := count(t, open(t, d.Killed(d.Changes()))); n != want.killed {
				t.Errorf("%d rows after a kill, want %d", n, want.killed)
			}
			if n := count(t, open(t, d.Cut(d.Changes(), nil))); n != want.cut {
				t.Errorf("%d rows after a cut, want %d", n, want.cut)
			}
		})
	}
}

func TestDisk_ACutLosesARandomHalfOfWhatWasNotSynced(t *testing.T) {
	t.Parallel()
	d := disk.New(nil)
	db := open(t, d, "synchronous(OFF)")
	exec(t, db, `CREATE TABLE a (n INT)`)
	for range 200 {
		exec(t, db, `INSERT INTO a VALUES (1)`)
	}
	broken := 0
	for seed := range uint64(20) {
		var n int
		cut := open(t, d.Cut(d.Changes(), rand.New(rand.NewPCG(seed, 0))))
		if cut.QueryRow(`SELECT count(*) FROM a`).Scan(&n) != nil || n < 200 {
			broken++
		}
	}
	if broken < 15 {
		t.Errorf("only %d of 20 cuts did harm", broken)
	}
}

func TestDisk_WithoutPowerNothingIsWrittenOrRead(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		d := disk.New(nil)
		db := open(t, d, "synchronous(FULL)")
		db.SetMaxOpenConns(1)
		exec(t, db, `CREATE TABLE a (n INT)`)
		exec(t, db, `PRAGMA wal_checkpoint(TRUNCATE)`)
		d.OffAt(1, after)
		if _, err := db.Exec(`INSERT INTO a VALUES (1)`); err == nil {
			t.Error("a commit without power")
		}
		select {
		case <-d.Dead():
		default:
			t.Fatal("the power is still on")
		}
		if _, err := db.Exec(`INSERT INTO a VALUES (1)`); err == nil {
			t.Error("a commit without power")
		}
		if n := count(t, open(t, d.Cut(d.Changes(), nil))); n != 0 {
			t.Errorf("%d rows", n)
		}
	}
}

func TestDisk_ConnectionsKeepEachOtherOut(t *testing.T) {
	t.Parallel()
	d := disk.New(nil)
	db := open(t, d)
	exec(t, db, `CREATE TABLE a (n INT)`)
	first, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := first.ExecContext(t.Context(), `BEGIN IMMEDIATE; INSERT INTO a VALUES (1)`); err != nil {
		t.Fatal(err)
	}
	if n := count(t, db); n != 0 {
		t.Error("a reader sees what is not committed")
	}
	if _, err := db.Exec(`INSERT INTO a VALUES (2)`); err == nil {
		t.Error("two write at once")
	}
	if _, err := first.ExecContext(t.Context(), `COMMIT`); err != nil {
		t.Fatal(err)
	}
	if n := count(t, db); n != 1 {
		t.Error("a reader does not see what is committed")
	}
}
