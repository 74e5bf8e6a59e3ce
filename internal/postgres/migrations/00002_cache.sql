-- Where instances agree on whether their balance cache may answer; cache.go says how.

-- +goose Up

create table cache_control (
    one          boolean primary key default true check (one),
    database     text collate "C" not null default gen_random_uuid()::text, -- names this database in a cache that others use too
    timeline     bigint not null default 0, -- of the server, when a cache was last declared or turned off
    in_use_until timestamptz not null default '-infinity',
    off_since    timestamptz, -- everybody who looks since then finds the cache off; NULL: not known yet
    off_until    timestamptz not null default '-infinity'
);
insert into cache_control default values;
