-- The first schema. doc.go says how it is read and written.
--
-- In transactions NULL stands for what is zero, empty or absent.

-- +goose Up

create table currencies (
    code     text collate "C" primary key,
    decimals smallint not null check (decimals between 0 and 18)
);

-- Every commit updates the rows of its accounts. Half of each page is left free
-- for the new versions, and no column that changes is indexed: the updates are
-- heap-only, and cost no index entry and no vacuum of the indexes.
create table accounts (
    key        bigint generated always as identity primary key,
    version    bigint not null default 0,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    decimals   smallint not null,
    number     text collate "C" not null unique,
    currency   text collate "C" not null,
    status     text collate "C" not null default 'open' check (status in ('open', 'frozen', 'frozen_outgoing', 'closed')),
    overdraft  numeric(38,0) check (overdraft >= 0), -- NULL: unlimited
    balance    numeric(38,0) not null default 0,
    held       numeric(38,0) not null default 0,
    received   numeric(38,0) not null default 0,
    sent       numeric(38,0) not null default 0,
    metadata   text,
    check (balance = received - sent)
) with (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.2,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.5,
    autovacuum_vacuum_cost_delay = 0
);

-- Who created an account, and who changed what about it. Append-only.
create table account_changes (
    key           bigint generated always as identity primary key,
    account_key   bigint not null,
    at            timestamptz not null,
    old_status    text collate "C", -- NULL: the account was created
    new_status    text collate "C" not null,
    old_overdraft numeric(38,0),
    new_overdraft numeric(38,0),
    old_metadata  text,
    new_metadata  text,
    actor         text,
    instance      text not null
);
create index account_changes_account on account_changes (account_key, key);

-- CACHE 1, so that the sequences of two commits on one account are in the order of its lock.
create sequence transactions_sequence cache 1;

-- The log of decisions. Append-only. No foreign key: it would lock the accounts' rows once more.
create table transactions (
    sequence            bigint primary key,
    source_key          bigint, -- NULL: the account does not exist, and source_number has its number
    destination_key     bigint,
    source_version      bigint, -- NULL: the account was not changed
    destination_version bigint,
    original_sequence   bigint, -- of a posted one that refers to another: its place in the log
    occurred_at         timestamptz not null,
    committed_at        timestamptz not null,
    expires_at          timestamptz,
    attempt             smallint not null default 1,
    decimals            smallint not null,
    group_position      smallint,
    group_size          smallint,
    id                  text collate "C" not null,
    type                text collate "C" not null,
    status              text collate "C" not null,
    code                text collate "C",
    currency            text collate "C",
    amount              numeric(38,0) not null,
    source_balance      numeric(38,0),
    source_held         numeric(38,0),
    destination_balance numeric(38,0),
    destination_held    numeric(38,0),
    available           numeric(38,0), -- these three explain what was short
    overdraft           numeric(38,0),
    needed              numeric(38,0),
    remainder           numeric(38,0),
    source_number       text collate "C",
    destination_number  text collate "C",
    original_id         text collate "C",
    outcome             text collate "C", -- what its original is now, because of it: captured, released, expired, reversed
    settled_by          text, -- of a rejection: what had settled the hold, or the account that was missing, frozen or closed
    group_id            text,
    description         text,
    metadata            text,
    actor               text,
    instance            text not null
);
create unique index transactions_id on transactions (id, attempt);
-- An account's history. Both together hold each of its versions exactly once.
create unique index transactions_source on transactions (source_key, source_version) where source_version is not null;
create unique index transactions_destination on transactions (destination_key, destination_version) where destination_version is not null;
create index transactions_committed_at on transactions using brin (committed_at) with (pages_per_range = 32, autosummarize = on);
-- Rejections change no version and are few: their indexes cost the others nothing.
create index transactions_rejected on transactions (sequence) where status = 'rejected';
create index transactions_rejected_source on transactions (source_key, sequence) where status = 'rejected';
create index transactions_rejected_destination on transactions (destination_key, sequence) where status = 'rejected';
-- What is named as the destination and does not change: a hold, its release, its expiry.
create index transactions_reserved on transactions (destination_key, sequence) where destination_version is null and status <> 'rejected';
create index transactions_no_source on transactions (source_number, sequence) where source_number is not null;
create index transactions_no_destination on transactions (destination_number, sequence) where destination_number is not null;

-- What refers to a transaction: the last one says what is left of it.
create index transactions_references on transactions (original_sequence, sequence) where original_sequence is not null;
-- What was captured, released, expired or wholly reversed: all of it, and by account.
create index transactions_outcome on transactions (outcome, original_sequence) where outcome is not null;
create index transactions_outcome_source on transactions (source_key, outcome, original_sequence) where outcome is not null;
create index transactions_outcome_destination on transactions (destination_key, outcome, original_sequence) where outcome is not null;

-- The holds that are not settled: a row comes with the commit of its hold and
-- goes with that of its settlement. The truth is in the log; this finds them.
-- Its place stands in it twice: were sequence in the indexes of accounts, then
-- a plan made while the table was empty would look it up there, reading all of them.
create table open_holds (
    sequence        bigint primary key,
    listed          bigint not null check (listed = sequence),
    source_key      bigint not null,
    destination_key bigint not null,
    expires_at      timestamptz
) with (
    autovacuum_vacuum_scale_factor = 0.1,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.5,
    autovacuum_vacuum_cost_delay = 0
);
create index open_holds_due on open_holds (expires_at, sequence) where expires_at is not null;
create index open_holds_source on open_holds (source_key, listed);
create index open_holds_destination on open_holds (destination_key, listed);

-- NULL stands for what is zero, empty or absent.
create table webhooks (
    id            text collate "C" primary key,
    url           text not null,
    secret        text not null,
    account       text,
    prefix        text,
    created_at    timestamptz not null,
    created_by    text,
    cursor        bigint not null,
    failing_since timestamptz,
    failures      int not null,
    last_error    text,
    next_at       timestamptz,
    paused        boolean not null,
    claimed_by    text,
    claimed_until timestamptz
);

-- +goose StatementBegin
create function append_only() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only: % is refused', tg_table_name, tg_op using errcode = 'insufficient_privilege';
end $$;
-- +goose StatementEnd

create trigger append_only before update or delete or truncate on transactions
    for each statement execute function append_only();
create trigger append_only before update or delete or truncate on account_changes
    for each statement execute function append_only();
