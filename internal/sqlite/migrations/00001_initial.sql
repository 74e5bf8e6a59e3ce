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
    available            BLOB,      -- with needed: why funds were insufficient
    overdraft            BLOB,
    needed               BLOB
) STRICT;

CREATE UNIQUE INDEX transactions_id ON transactions (id, attempt);

-- Every 64th version of an account. From there its history is walked by source_previous and destination_previous.
CREATE UNIQUE INDEX transactions_source ON transactions (source_key, source_version)
    WHERE source_version % 64 = 0;
CREATE UNIQUE INDEX transactions_destination ON transactions (destination_key, destination_version)
    WHERE destination_version % 64 = 0;

-- What no account's history leads to.
CREATE INDEX transactions_source_number ON transactions (source_number)
    WHERE source_number IS NOT NULL;
CREATE INDEX transactions_destination_number ON transactions (destination_number)
    WHERE destination_number IS NOT NULL;
CREATE INDEX transactions_status ON transactions (status)
    WHERE status <> 'posted';

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
