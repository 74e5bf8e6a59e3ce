-- The durable queue of transactions that are decided later; intake.go says how it
-- is read and written.

-- +goose Up

-- What a client asked of the queue is a part of the content, and so of the log.
ALTER TABLE transactions ADD COLUMN execute_at INTEGER;
ALTER TABLE transactions ADD COLUMN retry_until INTEGER;

-- A decided entry is deleted: the log has it. Positions are never used twice.
CREATE TABLE intake (
    position    INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    state       TEXT NOT NULL,      -- queued, retrying, dead, discarded
    due_at      INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    code        TEXT,
    detail      TEXT,
    type        TEXT NOT NULL,
    source      TEXT NOT NULL,
    destination TEXT NOT NULL,
    amount      BLOB NOT NULL,
    decimals    INTEGER NOT NULL,
    currency    TEXT,
    occurred_at INTEGER NOT NULL,
    expires_at  INTEGER,
    execute_at  INTEGER,
    retry_until INTEGER,
    description TEXT,
    metadata    TEXT,
    actor       TEXT
) STRICT;

-- A source's entries in their order, and each state's.
CREATE INDEX intake_source ON intake (source, due_at, position)
    WHERE state IN ('queued', 'retrying');
CREATE INDEX intake_state ON intake (state, due_at, position);

-- The source accounts that have entries waiting.
CREATE TABLE intake_sources (
    source   TEXT PRIMARY KEY,
    ready_at INTEGER NOT NULL,      -- the first entry's time; of a claimed source, the end of the lease
    claim    TEXT                   -- NULL: free. Else ready_at must not be brought forward: whose claim it is, or that it waits after a failure
) STRICT, WITHOUT ROWID;

CREATE INDEX intake_sources_ready ON intake_sources (ready_at);

-- What happened to entries. Append-only.
CREATE TABLE intake_events (
    key      INTEGER PRIMARY KEY,
    id       TEXT NOT NULL,
    at       INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    code     TEXT,
    detail   TEXT,
    actor    TEXT,
    instance TEXT NOT NULL,
    next_at  INTEGER
) STRICT;

CREATE INDEX intake_events_id ON intake_events (id, key);

-- +goose StatementBegin
CREATE TRIGGER intake_events_no_update BEFORE UPDATE ON intake_events
BEGIN SELECT RAISE(ABORT, 'intake_events is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER intake_events_no_delete BEFORE DELETE ON intake_events
BEGIN SELECT RAISE(ABORT, 'intake_events is append-only'); END;
-- +goose StatementEnd
