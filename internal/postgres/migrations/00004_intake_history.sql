-- Bounds the history of an entry of the queue: attempts that fail again and again
-- are counted; intake_claim.go says which of them become events.

-- +goose Up

-- Every commit looks at intake, and so waits for who waits to change it: not for
-- as long as a dump may take. See tryAgain in migrate.go.
set local lock_timeout = '1s';

-- The last attempt that failed (its code and detail were there before), and how
-- many there were: NULL stands for none.
alter table intake
    add column tried_at timestamptz,
    add column next_at  timestamptz,
    add column kind     text collate "C",
    add column instance text collate "C",
    add column listed   int, -- attempts that became events, since it was accepted or replayed
    add column unlisted int; -- attempts after those, up to the last one

-- Attempts that failed between the event before and this one, and are only counted; NULL: none.
alter table intake_events add column omitted int;
