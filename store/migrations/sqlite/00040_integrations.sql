-- +goose Up

CREATE TABLE integrations (
	id         TEXT PRIMARY KEY,
	owner      TEXT NOT NULL REFERENCES users (id),
	plugin     TEXT NOT NULL,
	version    TEXT NOT NULL,
	status     TEXT NOT NULL,
	config     TEXT NOT NULL,
	secrets    TEXT,
	complete   INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	revision   INTEGER NOT NULL DEFAULT 0,
	value_bytes   INTEGER NOT NULL DEFAULT 0, -- of integration_values, with an overhead for each
	mapping_bytes INTEGER NOT NULL DEFAULT 0  -- of mappings, likewise
) STRICT;

CREATE INDEX integrations_owner ON integrations (owner, id);
CREATE INDEX integrations_plugin ON integrations (plugin, status, id);

-- An entity stays while an integration uses it.
CREATE TABLE integration_members (
	integration_id TEXT NOT NULL REFERENCES integrations (id) ON DELETE CASCADE,
	role           TEXT NOT NULL,
	entity_id      TEXT NOT NULL REFERENCES entities (id),
	PRIMARY KEY (integration_id, role)
) STRICT;

CREATE INDEX integration_members_entity ON integration_members (entity_id);

CREATE TABLE integration_messages (
	seq            INTEGER PRIMARY KEY,
	integration_id TEXT NOT NULL REFERENCES integrations (id) ON DELETE CASCADE,
	level          TEXT NOT NULL,
	title          TEXT NOT NULL,
	message        TEXT,
	at             INTEGER NOT NULL
) STRICT;

CREATE INDEX integration_messages_of ON integration_messages (integration_id, level, seq);

-- Secrets of webhooks, sealed.
CREATE TABLE integration_webhooks (
	id             TEXT PRIMARY KEY,
	integration_id TEXT NOT NULL REFERENCES integrations (id) ON DELETE CASCADE,
	webhook        TEXT NOT NULL,
	origin         TEXT NOT NULL CHECK (origin IN ('host', 'vendor')),
	secret         TEXT NOT NULL,
	created_at     INTEGER NOT NULL
) STRICT;

CREATE INDEX integration_webhooks_of ON integration_webhooks (integration_id, webhook, origin, id);

-- Subscriptions to webhooks at vendors, which the host keeps alive.
CREATE TABLE webhook_subscriptions (
	integration_id TEXT NOT NULL REFERENCES integrations (id) ON DELETE CASCADE,
	webhook        TEXT NOT NULL,
	state          TEXT NOT NULL CHECK (state IN ('subscribing', 'active', 'failed')),
	vendor_id      TEXT,
	token          TEXT,
	pending        TEXT,
	previous       TEXT,
	expires_at     INTEGER,
	due_at         INTEGER,
	problem        TEXT,
	updated_at     INTEGER NOT NULL,
	PRIMARY KEY (integration_id, webhook)
) STRICT;

-- Events that came to the URL of an application. They belong to nobody; those who get them have copies in events.
CREATE TABLE app_events (
	id          TEXT PRIMARY KEY,
	plugin      TEXT NOT NULL,
	webhook     TEXT NOT NULL,
	account     TEXT NOT NULL,
	dedupe      TEXT NOT NULL,
	state       TEXT NOT NULL CHECK (state IN ('routing', 'routed', 'unrouted', 'ambiguous')),
	data        TEXT NOT NULL,
	received_at INTEGER NOT NULL,
	UNIQUE (plugin, webhook, dedupe)
) STRICT;

CREATE INDEX app_events_state ON app_events (plugin, state, id);
CREATE INDEX app_events_age ON app_events (received_at);

CREATE TABLE events (
	id             TEXT PRIMARY KEY,
	integration_id TEXT NOT NULL REFERENCES integrations (id) ON DELETE CASCADE,
	owner          TEXT NOT NULL,
	webhook        TEXT NOT NULL,
	dedupe         TEXT NOT NULL,
	event          TEXT,             -- the vendor's name of it
	bytes          INTEGER NOT NULL, -- of data
	data           TEXT,             -- NULL: that of app_event
	app_event      TEXT REFERENCES app_events (id),
	received_at    INTEGER NOT NULL,
	job_id         TEXT,             -- that works it off; pruned jobs are done; NULL: held back
	UNIQUE (integration_id, webhook, dedupe)
) STRICT;

CREATE INDEX events_age ON events (received_at);
CREATE INDEX events_owner ON events (owner, id);
CREATE INDEX events_app ON events (app_event) WHERE app_event IS NOT NULL;

CREATE TABLE mappings (
	integration_id TEXT NOT NULL REFERENCES integrations (id) ON DELETE CASCADE,
	set_name       TEXT NOT NULL,
	source_id      TEXT NOT NULL,
	value          TEXT NOT NULL,
	updated_at     INTEGER NOT NULL,
	PRIMARY KEY (integration_id, set_name, source_id)
) STRICT;

CREATE TABLE integration_values (
	integration_id TEXT NOT NULL REFERENCES integrations (id) ON DELETE CASCADE,
	key            TEXT NOT NULL,
	value          TEXT NOT NULL,
	updated_at     INTEGER NOT NULL,
	PRIMARY KEY (integration_id, key)
) STRICT;
