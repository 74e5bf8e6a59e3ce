-- Bounds the history of an entry of the queue: attempts that fail again and again
-- are counted; intake_settle.go says which of them become events.

-- +goose Up

-- The last attempt that failed (its code and detail were there before), and how
-- many there were: NULL stands for none.
ALTER TABLE intake ADD COLUMN tried_at INTEGER;
ALTER TABLE intake ADD COLUMN next_at INTEGER;
ALTER TABLE intake ADD COLUMN kind TEXT;
ALTER TABLE intake ADD COLUMN instance TEXT;
ALTER TABLE intake ADD COLUMN listed INTEGER;   -- attempts that became events, since it was accepted or replayed
ALTER TABLE intake ADD COLUMN unlisted INTEGER; -- attempts after those, up to the last one

-- Attempts that failed between the event before and this one, and are only counted; NULL: none.
ALTER TABLE intake_events ADD COLUMN omitted INTEGER;
