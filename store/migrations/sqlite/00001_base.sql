-- +goose Up

CREATE TABLE users (
	id              TEXT PRIMARY KEY,
	kind            TEXT NOT NULL CHECK (kind IN ('individual', 'organization')),
	username        TEXT UNIQUE,
	email           TEXT,
	app_user_id     TEXT UNIQUE,
	organization_id TEXT REFERENCES users (id),
	password_hash   TEXT,
	app_org_id      TEXT UNIQUE,
	name            TEXT,
	created_at      INTEGER NOT NULL
) STRICT;

CREATE INDEX users_organization ON users (organization_id);

CREATE TABLE tokens (
	hash       BLOB PRIMARY KEY,
	user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	issued_at  INTEGER NOT NULL,
	expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX tokens_user ON tokens (user_id);
CREATE INDEX tokens_expiry ON tokens (expires_at);

CREATE TABLE data_keys (
	id         TEXT PRIMARY KEY,
	owner      TEXT NOT NULL UNIQUE,
	kek_id     TEXT NOT NULL,
	wrapped    BLOB NOT NULL,
	created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE key_checks (
	kek_id     TEXT PRIMARY KEY,
	wrapped    BLOB NOT NULL,
	created_at INTEGER NOT NULL
) STRICT;
