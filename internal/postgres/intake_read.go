package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"rbcs"
)

const (
	listIntakeSQL = "select " + intakeColumns + ` from intake e where e.state = $1 and (e.due_at, e.position) > ($2, $3)
order by e.due_at, e.position limit $4`
	// Each state by its index, and the two merged.
	waitingIntakeSQL = `
with queued as (select * from intake where state = 'queued' and (due_at, position) > ($1, $2) order by due_at, position limit $3),
	retrying as (select * from intake where state = 'retrying' and (due_at, position) > ($1, $2) order by due_at, position limit $3)
select ` + intakeColumns + ` from (select * from queued union all select * from retrying) as e order by e.due_at, e.position limit $3`
	// The last attempt may not be an event yet.
	historyIntakeSQL = `
select at, kind, instance, coalesce(actor, ''), coalesce(code, ''), coalesce(detail, ''), next_at, coalesce(omitted, 0) from (
	select 9223372036854775807 as key, tried_at as at, kind, instance, null as actor, code, detail, next_at, unlisted - 1 as omitted
	from intake where id = $1 and unlisted > 0
	union all
	(select key, at, kind, instance, actor, code, detail, next_at, omitted from intake_events where id = $1 order by key desc limit $2)
) as h order by key desc limit $2`
	statsIntakeSQL = `
select (select count(*) from (select 1 from intake where state = 'queued' limit $1) as q),
	(select count(*) from (select 1 from intake where state = 'retrying' limit $1) as r),
	(select count(*) from (select 1 from intake where state = 'dead' limit $1) as d),
	least((select due_at from intake where state = 'queued' order by due_at, position limit 1),
		(select due_at from intake where state = 'retrying' order by due_at, position limit 1)),
	statement_timestamp()`
)

// An operator's action takes the locks of the sources, a discard those of their
// accounts too, then it looks at the entries.
const (
	lockSourcesOfSQL = `select 1 from intake_sources where source in (select source from intake where id = any($1)) order by source for update`
	// No commit that posts one of them is under way then: it has this lock, too.
	lockAccountsOfSQL = `select 1 from accounts where number in (select source from intake where id = any($1)) order by number for no key update`
	lockIntakeSQL     = `
select e.id, e.state, coalesce(e.code, ''), exists (select 1 from transactions t where t.id = e.id),
	coalesce((select s.claim <> '' and s.ready_at > statement_timestamp() from intake_sources s where s.source = e.source), false)
from intake e where e.id = any($1) order by e.id for update of e`
	decidedSQL = "select distinct id from transactions where id = any($1)"
	actSQL     = `
with last as materialized (select * from intake where id = any($1) and unlisted > 0),
changed as (
	update intake e set state = $2, attempts = 0, code = null, detail = null, kind = null, tried_at = null, next_at = null, instance = null,
		listed = null, unlisted = null, due_at = case $2 when 'queued' then greatest(e.execute_at, statement_timestamp()) else e.due_at end
	where e.id = any($1) returning e.id
)
insert into intake_events (at, next_at, id, kind, code, detail, actor, instance, omitted)
select tried_at, next_at, id, kind, code, detail, null, instance, nullif(unlisted - 1, 0) from last
union all
select statement_timestamp(), null, id, $3, null, nullif($4::text, ''), nullif($5::text, ''), $6, null from changed`
	// What waits after a failure waits no longer.
	readyAgainSQL = `
insert into intake_sources as s (source, ready_at)
select e.source, min(e.due_at) from intake e where e.id = any($1) group by e.source order by e.source
on conflict (source) do update set claim = null, ready_at = least(s.ready_at, excluded.ready_at) where s.claim is null or s.claim = ''`
)

// Intake implements [rbcs.IntakeStore].
func (s *Store) Intake(ctx context.Context, id string) (rbcs.IntakeEntry, error) {
	list, err := s.intakes(ctx, intakesSQL, []string{id})
	if err == nil && len(list) == 0 {
		err = rbcs.NotQueued(id, false)
	}
	return first(list), err
}

// Intakes implements [rbcs.IntakeStore].
func (s *Store) Intakes(ctx context.Context, q rbcs.IntakeQuery) ([]rbcs.IntakeEntry, error) {
	after := q.After.DueAt
	if after.IsZero() {
		after = time.Unix(0, 0) // earlier than anything here
	}
	if q.State == rbcs.IntakeWaiting {
		return s.intakes(ctx, waitingIntakeSQL, after, q.After.Position, q.Limit)
	}
	return s.intakes(ctx, listIntakeSQL, string(q.State), after, q.After.Position, q.Limit)
}

func (s *Store) intakes(ctx context.Context, sql string, args ...any) (list []rbcs.IntakeEntry, err error) {
	err = s.read(ctx, func(rows pgx.Rows) error {
		return scanIntake(rows, func(e *rbcs.IntakeEntry) { list = append(list, *e) })
	}, sql, args...)
	return list, err
}

// IntakeHistory implements [rbcs.IntakeStore].
func (s *Store) IntakeHistory(ctx context.Context, id string) (list []rbcs.IntakeEvent, err error) {
	err = s.read(ctx, func(rows pgx.Rows) error {
		var e rbcs.IntakeEvent
		var next pgtype.Timestamptz
		_, err := pgx.ForEachRow(rows, []any{&e.At, (*string)(&e.Kind), &e.Instance, &e.Actor, (*string)(&e.Code), &e.Detail, &next, &e.Omitted}, func() error {
			e.NextAt = next.Time
			list = append(list, e)
			return nil
		})
		return err
	}, historyIntakeSQL, id, rbcs.MaxIntakeHistory)
	slices.Reverse(list)
	return list, err
}

// IntakeStats implements [rbcs.IntakeStore].
func (s *Store) IntakeStats(ctx context.Context) (stats rbcs.IntakeStats, err error) {
	err = s.read(ctx, func(rows pgx.Rows) error {
		var oldest pgtype.Timestamptz
		_, err := pgx.ForEachRow(rows, []any{&stats.Queued, &stats.Retrying, &stats.Dead, &oldest, &stats.Now}, func() error {
			stats.OldestDue = oldest.Time
			return nil
		})
		return err
	}, statsIntakeSQL, rbcs.IntakeCountLimit)
	return stats, err
}

// ReplayIntake implements [rbcs.IntakeStore].
func (s *Store) ReplayIntake(ctx context.Context, a rbcs.IntakeAction) ([]*rbcs.Error, error) {
	return s.act(ctx, a, rbcs.IntakeQueued, rbcs.IntakeReplayed)
}

// DiscardIntake implements [rbcs.IntakeStore].
func (s *Store) DiscardIntake(ctx context.Context, a rbcs.IntakeAction) ([]*rbcs.Error, error) {
	return s.act(ctx, a, rbcs.IntakeDiscarded, rbcs.IntakeWasDiscarded)
}

// lockedEntry is an entry under an operator's lock.
type lockedEntry struct {
	rbcs.IntakeEntry
	recorded, claimed bool
}

// act moves entries to a state, where they are not in it already.
func (s *Store) act(ctx context.Context, a rbcs.IntakeAction, to rbcs.IntakeState, kind rbcs.IntakeEventKind) ([]*rbcs.Error, error) {
	if len(a.IDs) == 0 {
		return nil, nil
	}
	tx, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer tx.rollback(ctx)
	found := map[string]lockedEntry{}
	b := tx.open(ctx)
	b.Queue(lockSourcesOfSQL, a.IDs)
	if to == rbcs.IntakeDiscarded {
		b.Queue(lockAccountsOfSQL, a.IDs)
	}
	b.Queue(lockIntakeSQL, a.IDs).Query(func(rows pgx.Rows) error {
		var e lockedEntry
		id := &e.Transaction.ID
		_, err := pgx.ForEachRow(rows, []any{id, (*string)(&e.State), (*string)(&e.Code), &e.recorded, &e.claimed}, func() error {
			found[*id] = e
			return nil
		})
		return err
	})
	if err := tx.send(ctx, b); err != nil {
		return nil, failure(err)
	}
	recorded, err := tx.recordedOf(ctx, a.IDs, found)
	if err != nil {
		return nil, failure(err)
	}
	errs := make([]*rbcs.Error, len(a.IDs))
	var ids []string
	for i, id := range a.IDs {
		e, ok := found[id]
		if !ok {
			errs[i] = rbcs.NotQueued(id, recorded[id])
		} else if errs[i] = e.Refuse(to, e.recorded, e.claimed); errs[i] == nil && e.State != to {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return errs, nil
	}
	b = &pgx.Batch{}
	b.Queue(actSQL, ids, string(to), string(kind), a.Reason, a.Actor, s.instance)
	if to == rbcs.IntakeQueued {
		b.Queue(readyAgainSQL, ids)
	}
	b.Queue(s.settings.commit)
	if err := tx.send(ctx, b); err != nil {
		return nil, failure(err)
	}
	if err := tx.commit(ctx); err != nil {
		return nil, err
	}
	return errs, nil
}

// recordedOf tells which of the IDs that are not in the queue are in the log. A
// later statement than that which did not find them: they may be decided just now.
func (tx *transaction) recordedOf(ctx context.Context, ids []string, queued map[string]lockedEntry) (map[string]bool, error) {
	var missing []string
	for _, id := range ids {
		if _, ok := queued[id]; !ok {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return nil, nil
	}
	recorded := map[string]bool{}
	b := &pgx.Batch{}
	b.Queue(decidedSQL, missing).Query(func(rows pgx.Rows) error {
		var id string
		_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
			recorded[id] = true
			return nil
		})
		return err
	})
	return recorded, tx.send(ctx, b)
}
