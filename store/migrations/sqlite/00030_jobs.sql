-- +goose Up

CREATE TABLE jobs (
	seq          INTEGER PRIMARY KEY, -- by age
	id           TEXT NOT NULL UNIQUE,
	owner        TEXT NOT NULL,
	lane         TEXT NOT NULL,
	kind         TEXT NOT NULL,
	payload      TEXT NOT NULL,
	state        TEXT NOT NULL CHECK (state IN ('queued', 'running', 'parked', 'done', 'halted', 'dead', 'canceled')),
	due          INTEGER NOT NULL,           -- a queued job whose run_at has come, as far as anybody looked
	priority     INTEGER NOT NULL DEFAULT 0,
	limits       TEXT,                       -- JSON list of the keys of limits that count it while it runs
	attempt      INTEGER NOT NULL DEFAULT 0,
	max_attempts INTEGER NOT NULL,
	run_at       INTEGER NOT NULL,
	asleep       INTEGER NOT NULL DEFAULT 0, -- nothing but run_at makes it due
	unique_key   TEXT,
	deadline     INTEGER NOT NULL,
	last_error   TEXT,
	replays      INTEGER NOT NULL DEFAULT 0, -- how often a person replayed it, and the last time how
	replay_from  TEXT,
	replay_input TEXT,
	canceling    INTEGER NOT NULL DEFAULT 0, -- a person wants it stopped while it runs
	epoch        INTEGER NOT NULL DEFAULT 0, -- counts claims
	lost         INTEGER NOT NULL DEFAULT 0, -- of them, the last ones whose worker died before it got any further
	turn         INTEGER NOT NULL DEFAULT 0, -- of the last claim
	lease_owner  TEXT,
	lease_until  INTEGER,
	created_at   INTEGER NOT NULL,
	finished_at  INTEGER
) STRICT;

CREATE INDEX jobs_waiting ON jobs (owner, lane, due, priority DESC) WHERE state = 'queued';
CREATE INDEX jobs_later ON jobs (run_at) WHERE state = 'queued' AND due = 0;
CREATE INDEX jobs_leased ON jobs (lease_owner) WHERE state = 'running';
CREATE INDEX jobs_owner ON jobs (owner, id);
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_key ON jobs (unique_key) WHERE unique_key IS NOT NULL;
CREATE UNIQUE INDEX jobs_unique ON jobs (unique_key) WHERE unique_key IS NOT NULL AND state IN ('queued', 'running', 'parked');

-- What follows counts the jobs above, so that a claim looks at a few rows however many jobs and lanes wait. Triggers keep it
-- right, whichever statement changes a job.

-- Turns of claiming: who was served in an earlier one goes first.
CREATE TABLE turns (
	last INTEGER NOT NULL
) STRICT;

INSERT INTO turns (last) VALUES (0);

CREATE TABLE tenants (
	owner   TEXT PRIMARY KEY,
	open    INTEGER NOT NULL DEFAULT 0, -- lanes
	running INTEGER NOT NULL DEFAULT 0,
	cap     INTEGER,                    -- NULL is the default
	served  INTEGER NOT NULL DEFAULT 0  -- turn
) STRICT, WITHOUT ROWID;

CREATE INDEX tenants_open ON tenants (served) WHERE open > 0;

-- A lane is open when its first job may start now, as far as anybody looked.
CREATE TABLE lanes (
	owner        TEXT NOT NULL,
	name         TEXT NOT NULL,
	ready        INTEGER NOT NULL DEFAULT 0, -- queued jobs that are due
	later        INTEGER NOT NULL DEFAULT 0, -- queued jobs that are not
	keyed        INTEGER NOT NULL DEFAULT 0, -- queued jobs with a unique key
	running      INTEGER NOT NULL DEFAULT 0,
	cap          INTEGER NOT NULL DEFAULT 1,
	served       INTEGER NOT NULL DEFAULT 0, -- turn
	paused_until INTEGER,
	blocked_by   TEXT,                       -- key of the limit for which its first job waits
	open         INTEGER NOT NULL GENERATED ALWAYS AS (ready > 0 AND running < cap AND paused_until IS NULL AND blocked_by IS NULL) STORED,
	PRIMARY KEY (owner, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX lanes_open ON lanes (owner, served) WHERE open = 1;
CREATE INDEX lanes_paused ON lanes (paused_until) WHERE paused_until IS NOT NULL;
CREATE INDEX lanes_blocked ON lanes (blocked_by, served) WHERE blocked_by IS NOT NULL;

CREATE TABLE limits (
	key          TEXT PRIMARY KEY,
	running      INTEGER NOT NULL DEFAULT 0,
	cap          INTEGER,                    -- NULL is the default
	waiting      INTEGER NOT NULL DEFAULT 0, -- lanes that it blocks
	paused_until INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX limits_wanted ON limits (key) WHERE waiting > 0 AND paused_until IS NULL;
CREATE INDEX limits_paused ON limits (paused_until) WHERE paused_until IS NOT NULL;

-- +goose StatementBegin
CREATE TRIGGER jobs_enqueued AFTER INSERT ON jobs BEGIN
	INSERT INTO lanes (owner, name, ready, later, keyed) VALUES (new.owner, new.lane, new.due, NOT new.due, new.unique_key IS NOT NULL)
	ON CONFLICT (owner, name) DO UPDATE SET ready = ready + excluded.ready, later = later + excluded.later, keyed = keyed + excluded.keyed,
		blocked_by = CASE WHEN blocked_by IS NULL OR NOT EXISTS (SELECT 1 FROM jobs WHERE state = 'queued' AND owner = new.owner
			AND lane = new.lane AND due = 1 AND priority >= new.priority AND seq <> new.seq) THEN NULL ELSE blocked_by END;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER jobs_revived AFTER UPDATE OF state ON jobs WHEN new.state = 'queued' AND old.state NOT IN ('queued', 'running') BEGIN
	INSERT INTO lanes (owner, name, ready, later, keyed) VALUES (new.owner, new.lane, new.due, NOT new.due, new.unique_key IS NOT NULL)
	ON CONFLICT (owner, name) DO UPDATE SET ready = ready + excluded.ready, later = later + excluded.later, keyed = keyed + excluded.keyed,
		blocked_by = NULL;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER jobs_moved AFTER UPDATE OF state, due ON jobs WHEN old.state IN ('queued', 'running') BEGIN
	UPDATE lanes SET
		ready = ready + (new.state = 'queued' AND new.due) - (old.state = 'queued' AND old.due),
		later = later + (new.state = 'queued' AND NOT new.due) - (old.state = 'queued' AND NOT old.due),
		keyed = keyed + (new.unique_key IS NOT NULL) * ((new.state = 'queued') - (old.state = 'queued')),
		running = running + (new.state = 'running') - (old.state = 'running'),
		served = CASE WHEN new.state = 'running' THEN new.turn ELSE served END,
		blocked_by = NULL
	WHERE owner = new.owner AND name = new.lane;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER jobs_started AFTER UPDATE OF state ON jobs WHEN new.state = 'running' AND old.state <> 'running' BEGIN
	UPDATE tenants SET running = running + 1, served = new.turn WHERE owner = new.owner;
	INSERT INTO limits (key, running) SELECT value, 1 FROM json_each(new.limits) WHERE true
	ON CONFLICT (key) DO UPDATE SET running = running + 1;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER jobs_stopped AFTER UPDATE OF state ON jobs WHEN old.state = 'running' AND new.state <> 'running' BEGIN
	UPDATE tenants SET running = running - 1 WHERE owner = new.owner;
	UPDATE limits SET running = running - 1 WHERE key IN (SELECT value FROM json_each(new.limits));
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER jobs_removed AFTER DELETE ON jobs WHEN old.state IN ('queued', 'running') BEGIN
	UPDATE lanes SET
		ready = ready - (old.state = 'queued' AND old.due),
		later = later - (old.state = 'queued' AND NOT old.due),
		keyed = keyed - (old.state = 'queued' AND old.unique_key IS NOT NULL),
		running = running - (old.state = 'running'),
		blocked_by = NULL
	WHERE owner = old.owner AND name = old.lane;
	UPDATE tenants SET running = running - (old.state = 'running') WHERE owner = old.owner;
	UPDATE limits SET running = running - (old.state = 'running') WHERE key IN (SELECT value FROM json_each(old.limits));
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER lanes_made AFTER INSERT ON lanes BEGIN
	INSERT INTO tenants (owner, open) VALUES (new.owner, new.open) ON CONFLICT (owner) DO UPDATE SET open = open + excluded.open;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER lanes_turned AFTER UPDATE ON lanes WHEN old.open <> new.open BEGIN
	UPDATE tenants SET open = open + new.open - old.open WHERE owner = new.owner;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER lanes_unblocked AFTER UPDATE OF blocked_by ON lanes WHEN old.blocked_by IS NOT new.blocked_by BEGIN
	UPDATE limits SET waiting = waiting - 1 WHERE key = old.blocked_by;
	UPDATE limits SET waiting = waiting + 1 WHERE key = new.blocked_by;
END;
-- +goose StatementEnd
