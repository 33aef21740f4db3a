-- +goose Up

CREATE TABLE runs (
	job_id         TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
	owner          TEXT NOT NULL,
	integration_id TEXT NOT NULL,
	event          TEXT NOT NULL,
	plugin         TEXT NOT NULL,
	version        TEXT NOT NULL,
	digest         TEXT NOT NULL,
	generation     INTEGER NOT NULL,
	chunks         INTEGER NOT NULL,
	entries        INTEGER NOT NULL,
	bytes          INTEGER NOT NULL,
	doubt          TEXT,
	modules        TEXT NOT NULL,
	started_at     INTEGER NOT NULL,
	updated_at     INTEGER NOT NULL
) STRICT;

CREATE INDEX runs_owner ON runs (owner, job_id);
CREATE INDEX runs_integration ON runs (integration_id, job_id);
CREATE INDEX runs_plugin ON runs (plugin, job_id);
CREATE INDEX runs_digest ON runs (digest);

CREATE TABLE journal (
	job_id TEXT NOT NULL REFERENCES runs (job_id) ON DELETE CASCADE,
	seq    INTEGER NOT NULL,
	data   BLOB NOT NULL,
	PRIMARY KEY (job_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE journal_blobs (
	job_id TEXT NOT NULL REFERENCES runs (job_id) ON DELETE CASCADE,
	sum    TEXT NOT NULL,
	data   BLOB NOT NULL,
	PRIMARY KEY (job_id, sum)
) STRICT;
