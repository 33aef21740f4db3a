package store

import (
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/host/fault"
)

func TestOpen_RefusesADatabaseOfANewerProgramAndLeavesItAlone(t *testing.T) {
	t.Parallel()
	path := file(t)
	db := scratch(t, path)
	noError(t, db.Write(t.Context(), func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`)
		return err
	}))
	noError(t, db.Close())
	before, err := os.ReadFile(path)
	noError(t, err)
	_, err = Open(t.Context(), Config{DSN: path})
	wantKind(t, err, fault.Unsupported)
	for _, want := range []string{"99999", "newer frigg-host", "backup"} {
		if !strings.Contains(fault.PublicMessage(err), want) {
			t.Errorf("%q does not say %q", fault.PublicMessage(err), want)
		}
	}
	after, err := os.ReadFile(path)
	noError(t, err)
	if string(before) != string(after) {
		t.Error("the file was changed")
	}
}

func TestMigrations_AreNumberedOnce(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(migrations, "migrations/sqlite/*.sql")
	noError(t, err)
	if len(files) == 0 {
		t.Fatal("there are none: nothing was looked at")
	}
	seen := map[string]string{}
	for _, file := range files {
		number, _, found := strings.Cut(strings.TrimPrefix(file, "migrations/sqlite/"), "_")
		if !found || len(number) != 5 {
			t.Errorf("%s does not begin with five digits and an underscore", file)
		}
		if other, found := seen[number]; found {
			t.Errorf("%s and %s have one number", file, other)
		}
		seen[number] = file
	}
}

// What the rest of this package takes for granted about every table.
func TestSchema_KeepsItsConventions(t *testing.T) {
	t.Parallel()
	db := scratch(t, file(t))
	type column struct{ table, name, kind string }
	columns, err := Many(db.reader(t.Context()), func(row Row) (c column, err error) { return c, row.Scan(&c.table, &c.name, &c.kind) },
		`SELECT t.name, c.name, c.type FROM pragma_table_list AS t JOIN pragma_table_info(t.name) AS c
		WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name <> 'goose_db_version'`)
	noError(t, err)
	if len(columns) < 10 {
		t.Fatalf("%d columns: nothing was looked at", len(columns))
	}
	for _, c := range columns {
		if strings.HasSuffix(c.name, "_at") && c.kind != "INTEGER" {
			t.Errorf("%s.%s is %s, but a time is INTEGER microseconds", c.table, c.name, c.kind)
		}
	}
	loose, err := Many(db.reader(t.Context()), Value[string],
		`SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND strict = 0 AND name NOT LIKE 'sqlite_%' AND name <> 'goose_db_version'`)
	noError(t, err)
	equal(t, loose, []string{})
	// A constraint that is checked at the commit would undo the acts of others.
	deferred, err := Many(db.reader(t.Context()), Value[string], `SELECT name FROM sqlite_schema WHERE sql LIKE '%DEFERR%' AND name <> 'goose_db_version'`)
	noError(t, err)
	equal(t, deferred, []string{})
}
