-- +goose Up

CREATE TABLE processes (
	id             TEXT PRIMARY KEY,
	owner          TEXT NOT NULL,
	integration_id TEXT NOT NULL REFERENCES integrations (id) ON DELETE CASCADE,
	name           TEXT NOT NULL,
	type           TEXT NOT NULL,
	state          TEXT NOT NULL,
	context        TEXT NOT NULL,
	total          INTEGER NOT NULL DEFAULT 0,
	synced         INTEGER NOT NULL DEFAULT 0,
	failed         INTEGER NOT NULL DEFAULT 0,
	skipped        INTEGER NOT NULL DEFAULT 0,
	additions      INTEGER NOT NULL DEFAULT 0, -- how often a plugin added to the totals
	message        TEXT,
	parent         TEXT REFERENCES processes (id) ON DELETE SET NULL,
	dedupe         TEXT, -- key of the plugin that made it
	created_at     INTEGER NOT NULL,
	updated_at     INTEGER NOT NULL,
	ended_at       INTEGER
) STRICT;

CREATE INDEX processes_owner ON processes (owner, id);
CREATE INDEX processes_of ON processes (integration_id, type, name, id);
CREATE INDEX processes_parent ON processes (parent) WHERE parent IS NOT NULL;
CREATE INDEX processes_ended ON processes (ended_at) WHERE ended_at IS NOT NULL;
CREATE UNIQUE INDEX processes_dedupe ON processes (integration_id, dedupe) WHERE dedupe IS NOT NULL;

CREATE TABLE process_errors (
	seq         INTEGER PRIMARY KEY,
	process_id  TEXT NOT NULL REFERENCES processes (id) ON DELETE CASCADE,
	external_id TEXT,
	message     TEXT NOT NULL,
	at          INTEGER NOT NULL
) STRICT;

CREATE INDEX process_errors_of ON process_errors (process_id, seq);

-- Keys under which a plugin has added to a process.
CREATE TABLE process_additions (
	process_id TEXT NOT NULL REFERENCES processes (id) ON DELETE CASCADE,
	key        TEXT NOT NULL,
	PRIMARY KEY (process_id, key)
) STRICT, WITHOUT ROWID;

-- Where the run behind a process is; see syncs.Run.
CREATE TABLE sync_runs (
	process_id     TEXT PRIMARY KEY REFERENCES processes (id) ON DELETE CASCADE,
	owner          TEXT NOT NULL,
	integration_id TEXT NOT NULL REFERENCES integrations (id) ON DELETE CASCADE,
	sync           TEXT NOT NULL,
	spec           TEXT NOT NULL,
	active         INTEGER NOT NULL,
	phase          TEXT NOT NULL,
	initial        INTEGER NOT NULL,
	cursor         TEXT NOT NULL,
	more           INTEGER NOT NULL,
	fetching       INTEGER NOT NULL,
	page           INTEGER NOT NULL,
	open           INTEGER NOT NULL,
	failures       INTEGER NOT NULL,
	base           INTEGER NOT NULL
) STRICT;

CREATE INDEX sync_runs_of ON sync_runs (integration_id, sync, process_id);
CREATE UNIQUE INDEX sync_runs_active ON sync_runs (integration_id, sync) WHERE active;

-- Pages of the phase under way whose watermark has not been passed.
CREATE TABLE sync_pages (
	process_id TEXT NOT NULL REFERENCES processes (id) ON DELETE CASCADE,
	page       INTEGER NOT NULL,
	open       INTEGER NOT NULL, -- batches that are not done
	watermark  TEXT,
	PRIMARY KEY (process_id, page)
) STRICT, WITHOUT ROWID;

CREATE TABLE sync_batches (
	id         TEXT PRIMARY KEY,
	process_id TEXT NOT NULL REFERENCES processes (id) ON DELETE CASCADE,
	page       INTEGER NOT NULL,
	side       TEXT NOT NULL,
	data       TEXT NOT NULL, -- sealed
	job_id     TEXT NOT NULL
) STRICT;

CREATE INDEX sync_batches_of ON sync_batches (process_id);

CREATE TABLE sync_states (
	integration_id TEXT NOT NULL REFERENCES integrations (id) ON DELETE CASCADE,
	sync           TEXT NOT NULL,
	phase          TEXT NOT NULL,
	watermark      TEXT,
	complete       INTEGER NOT NULL DEFAULT 0, -- all records were read once
	updated_at     INTEGER NOT NULL,
	PRIMARY KEY (integration_id, sync, phase)
) STRICT, WITHOUT ROWID;

-- What is known of each record on each side. Content is only kept, sealed, of records that were put off.
CREATE TABLE sync_records (
	integration_id TEXT NOT NULL REFERENCES integrations (id) ON DELETE CASCADE,
	sync           TEXT NOT NULL,
	side           TEXT NOT NULL,
	external_id    TEXT NOT NULL,
	counterpart    TEXT,
	hash           TEXT,    -- keyed, of the content
	key            TEXT,    -- keyed hash of what it is matched by
	state          TEXT CHECK (state IN ('again', 'failed')),
	data           TEXT,    -- sealed
	batch          TEXT,    -- that it is or was in
	written_at     INTEGER, -- by the host
	confirmed_at   INTEGER, -- what was written was read back
	updated_at     INTEGER NOT NULL,
	PRIMARY KEY (integration_id, sync, side, external_id)
) STRICT;

CREATE INDEX sync_records_counterpart ON sync_records (integration_id, sync, side, counterpart) WHERE counterpart IS NOT NULL;
CREATE INDEX sync_records_key ON sync_records (integration_id, sync, side, key) WHERE key IS NOT NULL;
CREATE INDEX sync_records_state ON sync_records (integration_id, sync, side, state) WHERE state IS NOT NULL;

CREATE TABLE associations (
	integration_id TEXT NOT NULL REFERENCES integrations (id) ON DELETE CASCADE,
	set_name       TEXT NOT NULL,
	from_id        TEXT NOT NULL,
	to_id          TEXT NOT NULL,
	kind           TEXT NOT NULL,
	created_at     INTEGER NOT NULL,
	PRIMARY KEY (integration_id, set_name, from_id, to_id, kind)
) STRICT, WITHOUT ROWID;

CREATE INDEX associations_to ON associations (integration_id, set_name, to_id, from_id, kind);
