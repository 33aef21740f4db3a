-- +goose Up

-- AUTOINCREMENT: a cursor behind removed facts never meets their numbers again.
CREATE TABLE facts (
	seq     INTEGER PRIMARY KEY AUTOINCREMENT,
	id      TEXT NOT NULL,
	owner   TEXT NOT NULL,
	name    TEXT NOT NULL,
	subject TEXT NOT NULL,
	data    TEXT NOT NULL,
	once    TEXT, -- what an integration tells twice by this key is told once
	at      INTEGER NOT NULL
) STRICT;

CREATE INDEX facts_owner ON facts (owner, seq);
CREATE INDEX facts_told ON facts (subject, at) WHERE once IS NOT NULL;
CREATE UNIQUE INDEX facts_once ON facts (once) WHERE once IS NOT NULL;

CREATE TABLE webhook_endpoints (
	id             TEXT PRIMARY KEY,
	owner          TEXT NOT NULL,
	url            TEXT NOT NULL,
	description    TEXT NOT NULL,
	events         TEXT NOT NULL,
	secret         TEXT NOT NULL,
	secret_no      INTEGER NOT NULL,
	old_secret     TEXT,
	old_until      INTEGER,
	state          TEXT NOT NULL CHECK (state IN ('enabled', 'disabled', 'failing', 'gone')),
	reason         TEXT,
	from_seq       INTEGER NOT NULL, -- it gets facts behind this one
	failing_since  INTEGER,
	failures       INTEGER NOT NULL DEFAULT 0,
	created_at     INTEGER NOT NULL,
	updated_at     INTEGER NOT NULL
) STRICT;

CREATE INDEX webhook_endpoints_owner ON webhook_endpoints (owner, id);

CREATE TABLE webhook_deliveries (
	id          TEXT PRIMARY KEY,
	endpoint_id TEXT NOT NULL REFERENCES webhook_endpoints (id) ON DELETE CASCADE,
	fact_seq    INTEGER NOT NULL REFERENCES facts (seq) ON DELETE CASCADE,
	state       TEXT NOT NULL CHECK (state IN ('waiting', 'held', 'done', 'failed')),
	attempt     INTEGER NOT NULL DEFAULT 0,
	next_at     INTEGER,
	status      INTEGER NOT NULL DEFAULT 0,
	error       TEXT,
	created_at  INTEGER NOT NULL,
	updated_at  INTEGER NOT NULL,
	UNIQUE (endpoint_id, fact_seq)
) STRICT;

CREATE INDEX webhook_deliveries_of ON webhook_deliveries (endpoint_id, id);
CREATE INDEX webhook_deliveries_fact ON webhook_deliveries (fact_seq);
CREATE INDEX webhook_deliveries_held ON webhook_deliveries (endpoint_id) WHERE state = 'held';

-- Up to which fact deliveries were made.
CREATE TABLE webhook_cursor (
	one INTEGER PRIMARY KEY CHECK (one = 1),
	seq INTEGER NOT NULL
) STRICT;

INSERT INTO webhook_cursor (one, seq) VALUES (1, 0);
