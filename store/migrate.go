package store

import (
	"context"
	"database/sql"
	"embed"
	"io/fs"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/pressly/goose/v3"
)

//go:embed migrations
var migrations embed.FS

// migrate brings the tables up to date, one process after another. A database that a newer program has changed is refused
// and left as it is.
func migrate(ctx context.Context, pool *sql.DB, path string, cfg Config) error {
	folder, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return at("store.Migrate", err, nil)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, pool, folder,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return at("store.Migrate", err, nil)
	}
	if cfg.VFS == "" {
		lock, err := waitLock(path + ".migrate.lock")
		if err != nil {
			return err
		}
		defer lock.Close()
	}
	have, known, err := provider.GetVersions(ctx)
	switch {
	case err != nil:
		return at("store.Migrate", err, nil)
	case have > known:
		return fault.New(fault.Unsupported, "store.Migrate",
			"the database has version %d and this program knows versions up to %d; start a newer frigg-host, or restore a backup", have, known)
	}
	applied, err := provider.Up(ctx)
	if err != nil {
		return at("store.Migrate", err, nil)
	}
	if len(applied) > 0 {
		cfg.Log.InfoContext(ctx, "database updated", "from", have, "to", known)
	}
	return nil
}
