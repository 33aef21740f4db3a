-- +goose Up

-- Which plan of its plugin's manifest the schedules of a record follow; '' is none.
ALTER TABLE integrations ADD COLUMN schedules TEXT NOT NULL DEFAULT '';

CREATE INDEX integrations_plan ON integrations (plugin, schedules) WHERE status IN ('ENABLED', 'PROCESSING') OR schedules <> '';

CREATE TABLE schedules (
	id             TEXT PRIMARY KEY,
	owner          TEXT NOT NULL,
	integration_id TEXT NOT NULL REFERENCES integrations (id) ON DELETE CASCADE,
	name           TEXT NOT NULL,
	from_manifest  INTEGER NOT NULL,
	event          TEXT NOT NULL,
	rule           TEXT NOT NULL,
	data           TEXT,
	paused         INTEGER NOT NULL,
	next_at        INTEGER, -- NULL while it is held
	held_at        INTEGER, -- the first tick that did not come since it is held
	last_at        INTEGER,
	created_at     INTEGER NOT NULL,
	updated_at     INTEGER NOT NULL,
	revision       INTEGER NOT NULL,
	UNIQUE (integration_id, name)
) STRICT;

CREATE INDEX schedules_due ON schedules (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX schedules_owner ON schedules (owner, id);
