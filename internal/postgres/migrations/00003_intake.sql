-- The durable queue of transactions that are decided later; intake.go says how it
-- is read and written.

-- +goose Up

-- What a client asked of the queue is a part of the content, and so of the log.
alter table transactions add column execute_at timestamptz, add column retry_until timestamptz;

create sequence intake_positions cache 1;

-- NULL stands for what is zero, empty or absent. A decided entry is deleted: the log has it.
create table intake (
    position    bigint not null,
    due_at      timestamptz not null,
    accepted_at timestamptz not null,
    occurred_at timestamptz not null,
    expires_at  timestamptz,
    execute_at  timestamptz,
    retry_until timestamptz,
    attempts    int not null default 0,
    decimals    smallint not null,
    id          text collate "C" primary key,
    state       text collate "C" not null default 'queued' check (state in ('queued', 'retrying', 'dead', 'discarded')),
    type        text collate "C" not null,
    source      text collate "C" not null,
    destination text collate "C" not null,
    currency    text collate "C",
    code        text collate "C",
    detail      text collate "C",
    description text collate "C",
    metadata    text collate "C",
    actor       text collate "C",
    amount      numeric(38,0) not null
) with (
    autovacuum_vacuum_scale_factor = 0.1,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.5,
    autovacuum_vacuum_cost_delay = 0
);
-- A source's entries in their order, and each state's.
create index intake_source on intake (source, due_at, position) where state in ('queued', 'retrying');
create index intake_state on intake (state, due_at, position);

-- The source accounts that have entries waiting. Who has the row's lock may
-- change what is claimed of the source.
create table intake_sources (
    source   text collate "C" primary key,
    ready_at timestamptz not null, -- the first entry's time; of a claimed source, the end of the lease
    claim    text collate "C"      -- NULL: free. Else ready_at must not be brought forward: whose claim it is, or that it waits after a failure
) with (
    autovacuum_vacuum_scale_factor = 0.1,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.5,
    autovacuum_vacuum_cost_delay = 0
);
create index intake_sources_ready on intake_sources (ready_at);

-- What happened to entries. Append-only.
create table intake_events (
    key      bigint generated always as identity primary key,
    at       timestamptz not null,
    next_at  timestamptz,
    id       text collate "C" not null,
    kind     text collate "C" not null,
    code     text collate "C",
    detail   text collate "C",
    actor    text collate "C",
    instance text collate "C" not null
);
create index intake_events_id on intake_events (id, key);
create trigger append_only before update or delete or truncate on intake_events
    for each statement execute function append_only();
