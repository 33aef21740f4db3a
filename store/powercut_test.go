package store_test

import (
	"context"
	"database/sql"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/store"
	"github.com/frigg-host/frigg-host/store/disk"
	"github.com/frigg-host/frigg-host/store/storetest"
)

const dbFile = "frigg.db"

// scaled is how much of something a test does: usual, unless a variable says otherwise.
func scaled(t *testing.T, variable string, usual int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// newDisk returns a disk with an empty database.
func newDisk(t *testing.T) *disk.Disk {
	t.Helper()
	empty, err := template()
	if err != nil {
		t.Fatal(err)
	}
	d := disk.New(map[string][]byte{dbFile: empty})
	t.Cleanup(d.Close)
	return d
}

// openOn opens the database of a disk. Closing it fails if the power went, so nobody asks.
func openOn(t *testing.T, d *disk.Disk) *store.DB {
	t.Helper()
	db, err := store.Open(context.Background(), store.Config{DSN: d.Path(dbFile), VFS: disk.Name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// acknowledged is how long the log of the disk was when a number had been acknowledged.
type acknowledged map[int]int

// insertPairs lets clients insert numbers, each in two tables by one act, until enough are acknowledged.
func insertPairs(t *testing.T, d *disk.Disk, acks int, insert func(n int) error) acknowledged {
	t.Helper()
	const clients = 16
	acked := acknowledged{}
	var mu sync.Mutex
	var inserting sync.WaitGroup
	for c := range clients {
		inserting.Go(func() {
			for n := c; n < acks; n += clients {
				if err := insert(n); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acked[n] = d.Changes()
				mu.Unlock()
			}
		})
	}
	inserting.Wait()
	return acked
}

// content makes some acts larger than a page.
func content(n int) string { return strings.Repeat("x", n%7*1500) }

// durable is the real store.
func durable(t *testing.T, d *disk.Disk) func(n int) error {
	return inserter(openOn(t, d))
}

// hasty acknowledges before the commit.
func hasty(t *testing.T, d *disk.Disk) func(n int) error {
	return inserter(&storetest.Hasty{DB: openOn(t, d)})
}

func inserter(w storetest.Writer) func(n int) error {
	return func(n int) error {
		return w.Write(context.Background(), func(tx *store.Tx) error {
			if _, err := tx.Exec(`INSERT INTO first (n, content) VALUES ($1, $2)`, n, content(n)); err != nil {
				return err
			}
			_, err := tx.Exec(`INSERT INTO second (n) VALUES ($1)`, n)
			return err
		})
	}
}

// relaxed syncs at checkpoints only, as most guides advise.
func relaxed(synchronous string) func(t *testing.T, d *disk.Disk) func(n int) error {
	return func(t *testing.T, d *disk.Disk) func(n int) error {
		db := openPlain(t, d, "&_txlock=immediate&_pragma=synchronous("+synchronous+")")
		return func(n int) error {
			tx, err := db.Begin()
			if err != nil {
				return err
			}
			defer tx.Rollback()
			if _, err := tx.Exec(`INSERT INTO first (n, content) VALUES ($1, $2)`, n, content(n)); err != nil {
				return err
			}
			if _, err := tx.Exec(`INSERT INTO second (n) VALUES ($1)`, n); err != nil {
				return err
			}
			return tx.Commit()
		}
	}
}

func openPlain(t *testing.T, d *disk.Disk, more string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+d.Path(dbFile)+"?vfs="+disk.Name+"&_pragma=journal_mode(WAL)"+more)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

// harm is what a power cut did.
type harm struct {
	lost    int  // acknowledged rows
	halves  int  // acts of which only a part is there
	corrupt bool // the file is broken
}

// after opens what a power cut at a change left, and says what is wrong with it.
func after(t *testing.T, left *disk.Disk, at int, acked acknowledged) (h harm) {
	t.Helper()
	defer left.Close()
	db, err := store.Open(t.Context(), store.Config{DSN: left.Path(dbFile), VFS: disk.Name})
	if err != nil {
		return harm{corrupt: true}
	}
	defer db.Close()
	var first, second []int
	var check string
	err = db.Read(t.Context(), func(q store.Querier) (err error) {
		if check, err = store.One(q, store.Value[string], `PRAGMA integrity_check(1)`); err != nil {
			return err
		}
		if first, err = store.Many(q, store.Value[int], `SELECT n FROM first`); err != nil {
			return err
		}
		second, err = store.Many(q, store.Value[int], `SELECT n FROM second`)
		return err
	})
	if err != nil || check != "ok" {
		return harm{corrupt: true}
	}
	has := map[int]int{}
	for _, n := range slices.Concat(first, second) {
		has[n]++
	}
	for _, times := range has {
		if times != 2 {
			h.halves++
		}
	}
	for n, by := range acked {
		if by <= at && has[n] == 0 {
			h.lost++
		}
	}
	return h
}

// cutAtRandom writes through a writer, cuts the power at random moments in two ways, and sums up the harm by way.
func cutAtRandom(t *testing.T, make func(*testing.T, *disk.Disk) func(int) error, acks, cuts int) (synced, mixed []harm, checkpointed bool) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	d := newDisk(t)
	tables := openPlain(t, d, "")
	if _, err := tables.Exec(`CREATE TABLE first (n INT PRIMARY KEY, content TEXT); CREATE TABLE second (n INT PRIMARY KEY)`); err != nil {
		t.Fatal(err)
	}
	tables.Close()
	d = d.Killed(d.Changes())
	t.Cleanup(d.Close)
	acked := insertPairs(t, d, acks, make(t, d))
	all := d.Changes()
	for range cuts {
		at := random.IntN(all + 1)
		if h := after(t, d.Cut(at, nil), at, acked); h != (harm{}) {
			synced = append(synced, h)
		}
		if h := after(t, d.Cut(at, random), at, acked); h != (harm{}) {
			mixed = append(mixed, h)
		}
	}
	return synced, mixed, d.Writes(dbFile) > 0
}

func TestPowerCut_LosesNothingAcknowledgedAndLeavesNothingHalf(t *testing.T) {
	t.Parallel()
	synced, mixed, checkpointed := cutAtRandom(t, durable, 1000, scaled(t, "FRIGG_CUTS", 8))
	for _, h := range slices.Concat(synced, mixed) {
		t.Errorf("%+v", h)
	}
	if !checkpointed {
		t.Error("no checkpoint was under way: not all was looked at")
	}
}

// The harness sees the ways to lose what was acknowledged.
func TestPowerCut_CatchesWritersThatAreNotDurable(t *testing.T) {
	t.Parallel()
	for name, writer := range map[string]func(*testing.T, *disk.Disk) func(int) error{
		"acknowledged before the commit": hasty, "synchronous=NORMAL": relaxed("NORMAL"), "synchronous=OFF": relaxed("OFF"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synced, mixed, _ := cutAtRandom(t, writer, 500, 5)
			worst, corrupt := 0, 0
			for _, h := range slices.Concat(synced, mixed) {
				worst = max(worst, h.lost)
				if h.corrupt {
					corrupt++
				}
			}
			t.Logf("harm after %d and %d of 5 cuts, worst %d rows, %d times a broken file", len(synced), len(mixed), worst, corrupt)
			if len(synced) < 2 || worst == 0 && corrupt == 0 {
				t.Error("the harness sees next to nothing")
			}
		})
	}
}
