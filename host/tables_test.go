package host_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // to look into the database past the store
)

// openFile opens a host's database beside it.
func openFile(t *testing.T, dataDir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dataDir, "frigg.db")+"?mode=ro")
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func tables(t *testing.T, db *sql.DB) []string {
	t.Helper()
	rows, err := db.Query(`SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`)
	must(t, err)
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		must(t, rows.Scan(&name))
		names = append(names, name)
	}
	must(t, rows.Err())
	if len(names) < 10 {
		t.Fatalf("only the tables %v", names)
	}
	return names
}

// counts are the rows of all tables.
func counts(t *testing.T, dataDir string) map[string]int {
	t.Helper()
	db := openFile(t, dataDir)
	out := map[string]int{}
	for _, name := range tables(t, db) {
		var n int
		must(t, db.QueryRow(`SELECT count(*) FROM `+name).Scan(&n))
		out[name] = n
	}
	return out
}

// contents are all rows of a table as text.
func contents(t *testing.T, db *sql.DB, table string) string {
	t.Helper()
	rows, err := db.Query(`SELECT * FROM ` + table)
	must(t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	must(t, err)
	var b strings.Builder
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		must(t, rows.Scan(values...))
		for i, v := range values {
			switch v := (*v.(*any)).(type) {
			case []byte:
				fmt.Fprintf(&b, "%s=%s ", columns[i], v)
			default:
				fmt.Fprintf(&b, "%s=%v ", columns[i], v)
			}
		}
		b.WriteByte('\n')
	}
	must(t, rows.Err())
	return b.String()
}

// files lists all files below a folder with their sizes, without compiled code and what SQLite keeps beside its file.
func files(t *testing.T, dirs ...string) []string {
	t.Helper()
	var out []string
	for _, dir := range dirs {
		must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || d.Type()&os.ModeSymlink != 0 || strings.Contains(path, "frigg.db") {
				return err
			}
			info, err := d.Info()
			out = append(out, fmt.Sprintf("%s %d", strings.TrimPrefix(path, dir), info.Size()))
			return err
		}))
	}
	return out
}
