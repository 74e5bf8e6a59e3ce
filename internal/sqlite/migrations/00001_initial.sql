-- The first schema. How it is read and written, and why it has so few indexes,
-- stands in doc.go.
--
-- Amounts are BLOBs of 16 bytes: a 128-bit number, big-endian, its sign bit
-- flipped, so that bytes sort as numbers. A NULL amount is zero, except for an
-- overdraft, where NULL is unlimited. Times are microseconds since 1970 UTC.

-- +goose Up

CREATE TABLE currencies (
    code     TEXT PRIMARY KEY,
    decimals INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The names of the instances that wrote here, so that a row holds a small number.
CREATE TABLE instances (
    key  INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE accounts (
    key           INTEGER PRIMARY KEY,
    number        TEXT NOT NULL UNIQUE,
    currency      TEXT NOT NULL,
    decimals      INTEGER NOT NULL,
    status        TEXT NOT NULL,
    overdraft     BLOB,             -- NULL: unlimited
    balance       BLOB NOT NULL,
    held          BLOB,
    received      BLOB NOT NULL,
    sent          BLOB NOT NULL,
    version       INTEGER NOT NULL,
    last_sequence INTEGER,          -- of the transaction that made this version
    metadata      TEXT,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
) STRICT;

-- Who created an account, and who changed what about it; one row for each field.
CREATE TABLE account_changes (
    key         INTEGER PRIMARY KEY,
    account_key INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    actor       TEXT,
    instance    INTEGER NOT NULL,
    field       TEXT NOT NULL,      -- created, status, overdraft, metadata
    old_value   TEXT,
    new_value   TEXT
) STRICT;

CREATE INDEX account_changes_account ON account_changes (account_key);

-- The log of decisions. Sequences are contiguous, and committed_at never runs
-- backward along them. A rejected transaction names its accounts by number,
-- since they may not exist; any other names them by key.
CREATE TABLE transactions (
    sequence             INTEGER PRIMARY KEY,
    id                   TEXT NOT NULL,
    attempt              INTEGER NOT NULL,
    type                 TEXT NOT NULL,
    status               TEXT NOT NULL,
    code                 TEXT,
    source_key           INTEGER,
    source_number        TEXT,
    destination_key      INTEGER,
    destination_number   TEXT,
    amount               BLOB NOT NULL,
    decimals             INTEGER NOT NULL,
    currency             TEXT,
    occurred_at          INTEGER NOT NULL,
    expires_at           INTEGER,
    original_id          TEXT,
    description          TEXT,
    metadata             TEXT,
    actor                TEXT,
    instance             INTEGER NOT NULL,
    committed_at         INTEGER NOT NULL,
    source_balance       BLOB,
    source_held          BLOB,
    source_version       INTEGER,
    source_previous      INTEGER,   -- the sequence that made the source's version before
    destination_balance  BLOB,
    destination_held     BLOB,
    destination_version  INTEGER,
    destination_previous INTEGER,   -- the same for the destination
    available            BLOB,      -- with needed: what there was not enough of
    overdraft            BLOB,
    needed               BLOB,
    remainder            BLOB,      -- what the hold or original had beyond the amount
    settled_by           TEXT,      -- of a rejection: the ID of what had settled the hold, or the number of the account that was missing, frozen or closed
    group_id             TEXT,
    group_position       INTEGER,
    group_size           INTEGER,
    posted_before        INTEGER    -- of what is not posted: the last sequence before it that is; 0 for none
) STRICT;

CREATE UNIQUE INDEX transactions_id ON transactions (id, attempt);

-- Every 64th version of an account. From there its history is walked by source_previous and destination_previous.
CREATE UNIQUE INDEX transactions_source ON transactions (source_key, source_version)
    WHERE source_version % 64 = 0;
CREATE UNIQUE INDEX transactions_destination ON transactions (destination_key, destination_version)
    WHERE destination_version % 64 = 0;

-- What no account's history leads to: rejections, and what left its destination
-- as it was, which are releases and expiries (and holds, which are in standing).
CREATE INDEX transactions_source_number ON transactions (source_number)
    WHERE source_number IS NOT NULL;
CREATE INDEX transactions_destination_number ON transactions (destination_number)
    WHERE destination_number IS NOT NULL;
CREATE INDEX transactions_unmoved ON transactions (destination_key)
    WHERE destination_version IS NULL AND status = 'posted';
CREATE INDEX transactions_rejected ON transactions (status)
    WHERE status = 'rejected';

-- What holds and reversed transactions are now, in the log's words. It follows
-- from the log and changes in the same commit; nothing else is in it.
CREATE TABLE standing (
    sequence        INTEGER PRIMARY KEY, -- of the hold or the reversed transaction
    status          TEXT NOT NULL,       -- held, captured, released, expired; reversed, posted while a part is left
    by_sequence     INTEGER,             -- of what settled the hold, or of the last reversal
    source_key      INTEGER NOT NULL,
    destination_key INTEGER NOT NULL,
    expires_at      INTEGER
) STRICT;

CREATE INDEX standing_status ON standing (status);
-- By account, in eras of the log: what is new goes to few pages, however long the
-- log is. A list asks one era after another.
CREATE INDEX standing_source ON standing (sequence >> 17, source_key, status);
CREATE INDEX standing_destination ON standing (sequence >> 17, destination_key, status);
CREATE INDEX standing_due ON standing (expires_at)
    WHERE status = 'held' AND expires_at IS NOT NULL;

CREATE TABLE webhooks (
    id            TEXT PRIMARY KEY,
    url           TEXT NOT NULL,
    secret        TEXT NOT NULL,
    account       TEXT,
    prefix        TEXT,
    created_at    INTEGER NOT NULL,
    created_by    TEXT,
    cursor        INTEGER NOT NULL,
    failing_since INTEGER,
    failures      INTEGER NOT NULL,
    last_error    TEXT,
    next_at       INTEGER,
    paused        INTEGER NOT NULL,
    claimed_by    TEXT,             -- the instance that delivers
    claimed_until INTEGER
) STRICT;

-- +goose StatementBegin
CREATE TRIGGER transactions_no_update BEFORE UPDATE ON transactions
BEGIN SELECT RAISE(ABORT, 'transactions is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER transactions_no_delete BEFORE DELETE ON transactions
BEGIN SELECT RAISE(ABORT, 'transactions is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER account_changes_no_update BEFORE UPDATE ON account_changes
BEGIN SELECT RAISE(ABORT, 'account_changes is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER account_changes_no_delete BEFORE DELETE ON account_changes
BEGIN SELECT RAISE(ABORT, 'account_changes is append-only'); END;
-- +goose StatementEnd
