-- +goose Up

CREATE TABLE plugin_grants (
	digest     TEXT PRIMARY KEY,
	name       TEXT NOT NULL,
	ask        TEXT NOT NULL,
	granted_by TEXT NOT NULL,
	granted_at INTEGER NOT NULL
) STRICT;

CREATE TABLE plugin_installs (
	name         TEXT PRIMARY KEY,
	digest       TEXT NOT NULL,
	file         TEXT NOT NULL,
	installed_at INTEGER NOT NULL
) STRICT;

CREATE TABLE plugin_settings (
	plugin TEXT NOT NULL,
	name   TEXT NOT NULL,
	value  TEXT NOT NULL,
	sealed INTEGER NOT NULL CHECK (sealed IN (0, 1)),
	set_at INTEGER NOT NULL,
	PRIMARY KEY (plugin, name)
) STRICT;
