package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
	"modernc.org/sqlite"
)

// family returns a database with rules that a statement can break.
func family(t *testing.T) *DB {
	t.Helper()
	db := scratch(t, file(t))
	for _, text := range []string{
		`CREATE TABLE parents (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, age INTEGER CHECK (age >= 0)) STRICT`,
		`CREATE TABLE children (id TEXT PRIMARY KEY, parent TEXT NOT NULL REFERENCES parents (id)) STRICT`,
		`INSERT INTO parents (id, name) VALUES ('p1', 'Ann')`,
		`INSERT INTO children (id, parent) VALUES ('c1', 'p1')`,
	} {
		noError(t, run(t, db, text))
	}
	return db
}

func run(t *testing.T, db *DB, text string, args ...any) error {
	t.Helper()
	return at("store.Test", db.Write(t.Context(), func(tx *Tx) error { _, err := tx.Exec(text, args...); return err }), nil)
}

func TestWrite_SaysWhatADatabaseErrorMeans(t *testing.T) {
	t.Parallel()
	db := family(t)
	for name, c := range map[string]struct {
		text string
		args []any
		want fault.Kind
	}{
		"primary key":    {`INSERT INTO parents (id, name) VALUES ('p1', 'Bob')`, nil, fault.Conflict},
		"unique":         {`INSERT INTO parents (id, name) VALUES ('p2', 'Ann')`, nil, fault.Conflict},
		"missing parent": {`INSERT INTO children (id, parent) VALUES ('c2', 'p9')`, nil, fault.Conflict},
		"has children":   {`DELETE FROM parents WHERE id = 'p1'`, nil, fault.Conflict},
		"not null":       {`INSERT INTO parents (id) VALUES ('p2')`, nil, fault.Internal},
		"check":          {`INSERT INTO parents (id, name, age) VALUES ('p2', 'Bob', -1)`, nil, fault.Internal},
		"strict type":    {`INSERT INTO parents (id, name, age) VALUES ('p2', 'Bob', 'old')`, nil, fault.Internal},
		"syntax":         {`INSERT INTO`, nil, fault.Internal},
		"string quotes":  {`UPDATE parents SET name = "Bob"`, nil, fault.Internal},
		"missing value":  {`UPDATE parents SET name = $1`, nil, fault.Internal},
		"secret":         {`UPDATE parents SET name = $1`, []any{secret.NewText("planted")}, fault.Internal},
		"too big":        {`UPDATE parents SET name = zeroblob(1100000000)`, nil, fault.TooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			err := run(t, db, c.text, c.args...)
			wantKind(t, err, c.want)
			for _, hidden := range []string{"parents", "children", "UNIQUE", "FOREIGN", "INSERT", "constraint", "SQL"} {
				if strings.Contains(fault.PublicMessage(err), hidden) {
					t.Errorf("%q shows SQL", fault.PublicMessage(err))
				}
			}
			var f *fault.Error
			if !errors.As(err, &f) || f.Op != "store.Test" || strings.Contains(err.Error(), "planted") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWrite_BusyIsUnavailable(t *testing.T) {
	t.Parallel()
	path := file(t)
	hosts := make([]*DB, 2)
	for i := range hosts {
		var err error
		hosts[i], err = Open(t.Context(), Config{DSN: path, Shared: true})
		noError(t, err)
		defer hosts[i].Close()
	}
	_, err := hosts[1].writer.conn.ExecContext(t.Context(), `PRAGMA busy_timeout = 0`)
	noError(t, err)
	noError(t, hosts[0].Write(t.Context(), func(tx *Tx) error {
		wantKind(t, run(t, hosts[1], `DELETE FROM tokens`), fault.Unavailable)
		return nil
	}))
	noError(t, run(t, hosts[1], `DELETE FROM tokens`))
}

func TestAt_SaysWhatAKindMeansInAnAct(t *testing.T) {
	t.Parallel()
	texts := says{fault.NotFound: "no such integration"}
	for name, c := range map[string]struct {
		err  error
		kind fault.Kind
		msg  string
	}{
		"named":      {errNoRow, fault.NotFound, "no such integration"},
		"not named":  {fault.New(fault.Conflict, "x", "it exists already"), fault.Conflict, "it exists already"},
		"from above": {fault.New(fault.Invalid, "room.Rule", "no"), fault.Invalid, "no"},
		"foreign":    {errors.New("something"), fault.Internal, "Internal Server Error"},
		"cancelled":  {context.Canceled, fault.Canceled, "the caller left"},
		"too late":   {context.DeadlineExceeded, fault.Timeout, "the caller left"},
	} {
		t.Run(name, func(t *testing.T) {
			err := at("store.Act", c.err, texts)
			wantKind(t, err, c.kind)
			equal(t, fault.PublicMessage(err), c.msg)
			if !errors.Is(err, c.err) || !strings.HasPrefix(err.Error(), "store.Act: ") {
				t.Errorf("got %v", err)
			}
		})
	}
	noError(t, at("store.Act", nil, texts))
}

func TestMeaning_KnowsExtendedCodes(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]fault.Kind{
		5: fault.Unavailable, 517: fault.Unavailable, 6: fault.Unavailable, 7: fault.Unavailable, 10: fault.Unavailable, 4874: fault.Unavailable,
		13: fault.Unavailable, 14: fault.Unavailable, 11: fault.Unavailable, 26: fault.Unavailable, 18: fault.TooLarge, 9: fault.Canceled,
		19: fault.Internal, 1: fault.Internal, 2067: fault.Conflict, 1555: fault.Conflict, 787: fault.Conflict, 21: fault.Internal,
	} {
		if got, msg := meaning(code); got != want || msg == "" {
			t.Errorf("%d: got %q, %q", code, got, msg)
		}
	}
}

func TestRead_SeesOneSnapshot(t *testing.T) {
	t.Parallel()
	db := scratch(t, file(t))
	count := func(q Querier) int {
		n, err := One(q, Value[int], `SELECT count(*) FROM numbers`)
		noError(t, err)
		return n
	}
	noError(t, db.Read(t.Context(), func(q Querier) error {
		equal(t, count(q), 0)
		noError(t, db.Write(t.Context(), insert(1)))
		equal(t, count(q), 0)
		equal(t, count(db.reader(t.Context())), 1)
		return nil
	}))
	errOwn := errors.New("own")
	if err := db.Read(t.Context(), func(Querier) error { return errOwn }); !errors.Is(err, errOwn) {
		t.Errorf("got %v", err)
	}
}

func TestRead_EndsWithItsCaller(t *testing.T) {
	t.Parallel()
	db := scratch(t, file(t))
	const endless = `WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c`
	ctx, leave := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer leave()
	_, err := One(db.reader(ctx), Value[int], endless)
	wantKind(t, err, fault.Timeout)
	wantKind(t, db.Read(ctx, func(Querier) error { return nil }), fault.Timeout)
	_, err = One(db.reader(t.Context()), Value[int], `SELECT 1`) // the pool is whole
	noError(t, err)
}

// Each snapshot needs a second connection for a moment, to prepare a text that is new. Were all connections snapshots, no
// text would ever be prepared.
func TestRead_SnapshotsDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	db := family(t)
	inside, begin, ended := make(chan struct{}, readers), make(chan struct{}), make(chan error, readers)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for i := range readers {
		go func() {
			ended <- db.Read(ctx, func(q Querier) error {
				inside <- struct{}{}
				<-begin
				_, err := One(q, Value[int], fmt.Sprintf(`SELECT %d FROM parents WHERE id = $1`, i), "p1")
				return err
			})
		}()
	}
	for range readers - 1 {
		<-inside
	}
	select {
	case <-inside:
		t.Error("no connection is left over")
	case <-time.After(50 * time.Millisecond):
	}
	close(begin)
	for range readers {
		noError(t, <-ended)
	}
}

func TestQueries_FindNothingOneOrMany(t *testing.T) {
	t.Parallel()
	db := scratch(t, file(t))
	q := db.reader(t.Context())
	_, err := One(q, Value[int], `SELECT n FROM numbers`)
	wantKind(t, err, fault.NotFound)
	equal(t, numbers(t, db), []int{})
	noError(t, db.Write(t.Context(), func(tx *Tx) error {
		_, err := One(tx, Value[int], `SELECT n FROM numbers`) // finding nothing does not spoil the act
		wantKind(t, err, fault.NotFound)
		wantKind(t, tx.ExecOne(`DELETE FROM numbers`), fault.NotFound)
		n, err := One(tx, Value[int], `INSERT INTO numbers (n) VALUES (1) RETURNING n`)
		equal(t, n, 1)
		noError(t, err)
		changed, err := tx.Exec(`INSERT INTO numbers (n) VALUES (2), (3)`)
		equal(t, changed, 2)
		noError(t, err)
		found, err := Many(tx, Value[int], `SELECT n FROM numbers ORDER BY n`)
		equal(t, found, []int{1, 2, 3})
		return err
	}))
	first, err := One(q, Value[int], `SELECT n FROM numbers ORDER BY n`)
	noError(t, err)
	equal(t, first, 1)
	_, err = Many(q, Value[time.Time], `SELECT n FROM numbers`)
	wantKind(t, at("store.Test", err, nil), fault.Internal)
}

func TestColumns_ComeBackAsTheyWent(t *testing.T) {
	t.Parallel()
	db := scratch(t, file(t))
	noError(t, run(t, db, `CREATE TABLE shapes (at INTEGER, label TEXT, hash TEXT, doc TEXT) STRICT`))
	type label string
	type doc struct{ A []int }
	for name, c := range map[string]struct {
		at    time.Time
		label label
		hash  secret.Text
		doc   doc
		nulls int
	}{
		"empty":       {nulls: 3},
		"full":        {time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC), "l", secret.NewText("h"), doc{[]int{1}}, 0},
		"before 1970": {time.Date(1969, 1, 2, 3, 4, 5, 678901000, time.UTC), "NULL", secret.NewText("NULL"), doc{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			noError(t, run(t, db, `DELETE FROM shapes`))
			noError(t, run(t, db, `INSERT INTO shapes (at, label, hash, doc) VALUES ($1, $2, $3, $4)`, micros(&c.at), optional(&c.label), revealed(&c.hash), asJSON(&c.doc)))
			at, l, hash, d := time.Now(), label("old"), secret.NewText("old"), doc{[]int{9}}
			_, err := One(db.reader(t.Context()), func(row Row) (any, error) {
				return nil, row.Scan(micros(&at), optional(&l), revealed(&hash), asJSON(&d))
			}, `SELECT at, label, hash, doc FROM shapes`)
			noError(t, err)
			if at != c.at || l != c.label || hash.Reveal() != c.hash.Reveal() || len(d.A) != len(c.doc.A) {
				t.Errorf("got %v, %v, %v, %v", at, l, hash.Reveal(), d)
			}
			nulls, err := One(db.reader(t.Context()), Value[int], `SELECT (at IS NULL) + (label IS NULL) + (hash IS NULL) FROM shapes`)
			noError(t, err)
			equal(t, nulls, c.nulls)
		})
	}
	for _, column := range []interface{ Scan(any) error }{micros(new(time.Time)), optional(new(string)), revealed(new(secret.Text)), asJSON(new(json.RawMessage))} {
		if err := column.Scan(1.5); err == nil {
			t.Errorf("%T takes a real number", column)
		}
	}
}

func TestNoTransaction_TellsItFromOtherErrors(t *testing.T) {
	t.Parallel()
	db := scratch(t, file(t))
	_, err := db.writer.conn.ExecContext(t.Context(), `ROLLBACK`)
	if !noTransaction(err) {
		t.Errorf("%v is not recognised", err)
	}
	_, err = db.writer.conn.ExecContext(t.Context(), `ROLLBACK TO nothing`)
	if noTransaction(err) || noTransaction(errors.New("no transaction is active")) || noTransaction(&sqlite.Error{}) {
		t.Errorf("%v is taken for it", err)
	}
}
