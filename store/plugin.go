package store

import (
	"context"

	"github.com/frigg-host/frigg-host/host/plugin"
)

var _ plugin.Store = (*DB)(nil)

func grantFields(g *plugin.Grant) []any {
	return []any{&g.Digest, &g.Name, asJSON(&g.Ask), &g.By, micros(&g.At)}
}

func scanGrant(row Row) (*plugin.Grant, error) {
	g := new(plugin.Grant)
	return g, row.Scan(grantFields(g)...)
}

func (db *DB) PluginGrants(ctx context.Context) ([]*plugin.Grant, error) {
	grants, err := Many(db.reader(ctx), scanGrant, `SELECT digest, name, ask, granted_by, granted_at FROM plugin_grants ORDER BY digest`)
	return grants, at("store.PluginGrants", err, nil)
}

func (db *DB) PluginApproved(ctx context.Context, g *plugin.Grant) error {
	err := db.Write(ctx, func(tx *Tx) error { return putGrant(tx, g) })
	return at("store.PluginApproved", err, nil)
}

func (db *DB) PluginRevoked(ctx context.Context, name string) (n int, err error) {
	err = db.Write(ctx, func(tx *Tx) (err error) {
		n, err = tx.Exec(`DELETE FROM plugin_grants WHERE name = $1`, name)
		return err
	})
	return n, at("store.PluginRevoked", err, nil)
}

func putGrant(tx *Tx, g *plugin.Grant) error {
	_, err := tx.Exec(`INSERT INTO plugin_grants (digest, name, ask, granted_by, granted_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (digest) DO UPDATE SET name = excluded.name, ask = excluded.ask, granted_by = excluded.granted_by, granted_at = excluded.granted_at`,
		grantFields(g)...)
	return err
}

func installFields(in *plugin.Install) []any {
	return []any{&in.Name, &in.Digest, &in.File, micros(&in.At)}
}

func scanInstall(row Row) (*plugin.Install, error) {
	in := new(plugin.Install)
	return in, row.Scan(installFields(in)...)
}

func (db *DB) PluginInstalls(ctx context.Context) ([]*plugin.Install, error) {
	installs, err := Many(db.reader(ctx), scanInstall, `SELECT name, digest, file, installed_at FROM plugin_installs ORDER BY name`)
	return installs, at("store.PluginInstalls", err, nil)
}

func (db *DB) PluginInstalled(ctx context.Context, in *plugin.Install, carried *plugin.Grant) error {
	err := db.Write(ctx, func(tx *Tx) error {
		if carried != nil {
			if err := putGrant(tx, carried); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`INSERT INTO plugin_installs (name, digest, file, installed_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (name) DO UPDATE SET digest = excluded.digest, file = excluded.file, installed_at = excluded.installed_at`,
			installFields(in)...)
		return err
	})
	return at("store.PluginInstalled", err, nil)
}

func (db *DB) PluginRemoved(ctx context.Context, name string) error {
	err := db.Write(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`DELETE FROM plugin_installs WHERE name = $1`, name)
		return err
	})
	return at("store.PluginRemoved", err, nil)
}

func settingFields(s *plugin.StoredSetting) []any {
	return []any{&s.Plugin, &s.Name, &s.Value, &s.Sealed, micros(&s.At)}
}

func scanSetting(row Row) (*plugin.StoredSetting, error) {
	s := new(plugin.StoredSetting)
	return s, row.Scan(settingFields(s)...)
}

func (db *DB) PluginSettings(ctx context.Context, name string) ([]*plugin.StoredSetting, error) {
	found, err := cached(ctx, db, cacheKey{read: "settings", id: name}, func() ([]*plugin.StoredSetting, error) {
		return Many(db.reader(ctx), scanSetting,
			`SELECT plugin, name, value, sealed, set_at FROM plugin_settings WHERE plugin = $1 ORDER BY name`, name)
	})
	if err != nil {
		return nil, at("store.PluginSettings", err, nil)
	}
	settings := make([]*plugin.StoredSetting, len(found))
	for i, s := range found {
		own := *s
		settings[i] = &own
	}
	return settings, nil
}

func (db *DB) PluginSettingSet(ctx context.Context, s *plugin.StoredSetting) error {
	err := db.Write(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO plugin_settings (plugin, name, value, sealed, set_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (plugin, name) DO UPDATE SET value = excluded.value, sealed = excluded.sealed, set_at = excluded.set_at`,
			settingFields(s)...)
		return err
	})
	return at("store.PluginSettingSet", err, nil)
}

func (db *DB) PluginSettingCleared(ctx context.Context, name, setting string) error {
	err := db.Write(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`DELETE FROM plugin_settings WHERE plugin = $1 AND name = $2`, name, setting)
		return err
	})
	return at("store.PluginSettingCleared", err, nil)
}
