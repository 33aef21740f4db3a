-- +goose Up

CREATE TABLE jobs (
	id           TEXT PRIMARY KEY,
	owner        TEXT NOT NULL,
	lane         TEXT NOT NULL,
	kind         TEXT NOT NULL,
	payload      TEXT NOT NULL,
	state        TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'parked', 'halted', 'dead', 'canceled')),
	attempt      INTEGER NOT NULL DEFAULT 0,
	max_attempts INTEGER NOT NULL,
	run_at       INTEGER NOT NULL,
	asleep       INTEGER NOT NULL DEFAULT 0, -- nothing but run_at makes it due
	unique_key   TEXT,
	deadline     INTEGER NOT NULL,
	last_error   TEXT,
	epoch        INTEGER NOT NULL DEFAULT 0,
	lease_owner  TEXT,
	lease_until  INTEGER,
	created_at   INTEGER NOT NULL,
	finished_at  INTEGER
) STRICT;

CREATE INDEX jobs_due ON jobs (run_at, id) WHERE state = 'queued';
CREATE INDEX jobs_waiting ON jobs (lane, id, run_at) WHERE state = 'queued';
CREATE INDEX jobs_enqueued ON jobs (lane) WHERE state = 'queued' AND unique_key IS NOT NULL;
CREATE INDEX jobs_running ON jobs (lane) WHERE state = 'running';
CREATE INDEX jobs_busy ON jobs (owner) WHERE state = 'running';
CREATE INDEX jobs_owner ON jobs (owner, id);
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_key ON jobs (unique_key) WHERE unique_key IS NOT NULL;
CREATE UNIQUE INDEX jobs_unique ON jobs (unique_key) WHERE unique_key IS NOT NULL AND state IN ('queued', 'running', 'parked');
