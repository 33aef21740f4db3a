-- +goose Up

CREATE TABLE authorization_states (
	hash       TEXT PRIMARY KEY,
	owner      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	module     TEXT NOT NULL,
	secrets    TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX authorization_states_user ON authorization_states (owner, user_id, created_at);
CREATE INDEX authorization_states_actor ON authorization_states (user_id);
CREATE INDEX authorization_states_expiry ON authorization_states (expires_at);

CREATE TABLE credentials (
	id           TEXT PRIMARY KEY,
	owner        TEXT NOT NULL REFERENCES users (id),
	module       TEXT NOT NULL,
	status       TEXT NOT NULL CHECK (status IN ('ok', 'invalid')),
	secrets      TEXT NOT NULL,
	version      INTEGER NOT NULL,
	expires_at   INTEGER,
	renew_at     INTEGER,
	retry_at     INTEGER,
	refused_at   INTEGER,
	lease_holder TEXT,
	lease_until  INTEGER,
	created_at   INTEGER NOT NULL,
	updated_at   INTEGER NOT NULL
) STRICT;

CREATE INDEX credentials_module ON credentials (owner, module, created_at);

CREATE TABLE entities (
	id            TEXT PRIMARY KEY,
	owner         TEXT NOT NULL REFERENCES users (id),
	module        TEXT NOT NULL,
	credential_id TEXT NOT NULL REFERENCES credentials (id),
	external_id   TEXT NOT NULL,
	sub_type      TEXT NOT NULL,
	name          TEXT NOT NULL,
	details       TEXT,
	value_bytes   INTEGER NOT NULL DEFAULT 0,
	created_at    INTEGER NOT NULL,
	updated_at    INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX entities_account ON entities (owner, module, external_id, sub_type);
CREATE INDEX entities_external ON entities (module, external_id);
CREATE INDEX entities_credential ON entities (credential_id);

CREATE TABLE entity_values (
	entity_id  TEXT NOT NULL REFERENCES entities (id) ON DELETE CASCADE,
	key        TEXT NOT NULL,
	value      TEXT NOT NULL,
	updated_at INTEGER NOT NULL,
	PRIMARY KEY (entity_id, key)
) STRICT;
