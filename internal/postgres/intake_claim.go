package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"rbcs"
)

// statement_timestamp is stable, so that an index is asked for it.
const (
	claimSQL = `
update intake_sources s set claim = $1, ready_at = statement_timestamp() + $2::interval
from (
	select source from intake_sources where ready_at <= statement_timestamp() order by ready_at limit $3 for update skip locked
) as free where s.source = free.source returning s.source`
	claimedSQL = `
select ` + intakeColumns + `, statement_timestamp()
from (select unnest($1::text[]) as source) as c cross join lateral (
	select * from intake i where i.source = c.source and i.state in ` + liveStates + ` and i.due_at <= statement_timestamp()
	order by i.due_at, i.position limit $2
) as e limit $2`
	lockSourcesSQL = "select 1 from intake_sources where source = any($1) order by source for update"
)

// What happened is counted and kept in one statement, and only of who has the claim.
// The state is asked for in words that do not lead to the index of what is live:
// while that is empty it would be read whole.
//
// An attempt that is not listed is kept in the entry, as its last one, and becomes
// an event when that is over: with the next one that is listed, an operator's act
// ([actSQL]) or the decision ([dequeueSQL]). Nothing is ever taken out of intake_events.
const failedSQL = `
with tried as materialized (
	select u.*, case when u.kind <> 'died' then statement_timestamp() + u.wait end as next, coalesce(e.listed, 0) as listed, coalesce(e.unlisted, 0) as unlisted,
		u.kind = 'died' or coalesce(e.listed, 0) < $9
			or coalesce(e.listed, 0) < $10 and (e.kind is distinct from u.kind or e.code is distinct from u.code) as lists,
		e.tried_at, e.next_at, e.kind as last_kind, e.code as last_code, e.detail as last_detail, e.instance
	from (
		select unnest($2::text[]) as id, unnest($3::text[]) as kind, unnest($4::text[]) as code, unnest($5::text[]) as detail,
			unnest($6::bigint[]) * interval '1 microsecond' as wait, unnest($7::smallint[]) as kept
	) as u join intake e on e.id = u.id
	where e.state not in ('dead', 'discarded') and (select s.claim from intake_sources s where s.source = e.source) = $1
), changed as (
	update intake e set attempts = e.attempts * t.kept + 1, state = case t.kind when 'died' then 'dead' else 'retrying' end, code = t.code, detail = t.detail,
		due_at = case t.kind when 'refused' then t.next else e.due_at end,
		tried_at = statement_timestamp(), next_at = t.next, kind = t.kind, instance = $8,
		listed = case when t.lists then t.listed + 1 + least(t.unlisted, 1) else t.listed end, unlisted = case when not t.lists then t.unlisted + 1 end
	from tried t where e.id = t.id
)
insert into intake_events (at, next_at, id, kind, code, detail, instance, omitted)
select tried_at, next_at, id, last_kind, last_code, last_detail, instance, nullif(unlisted - 1, 0) from tried where lists and unlisted > 0
union all
select statement_timestamp(), next, id, kind, code, detail, $8, null from tried where lists`

// lastSQL makes an event of the last attempt of entries, where it is not one yet.
const lastSQL = `
insert into intake_events (at, next_at, id, kind, code, detail, instance, omitted)
select tried_at, next_at, id, kind, code, detail, instance, nullif(unlisted - 1, 0) from `

// dequeueSQL lets go of entries that were decided.
const dequeueSQL = "with gone as (delete from intake where id = any($1) returning *)" + lastSQL + "gone where unlisted > 0"

const firstDueSQL = "(select i.due_at from intake i where i.source = s.source and i.state in " + liveStates + " order by i.due_at, i.position limit 1)"

// A source without entries goes; another is free when its first entry is due, or,
// after a failure, waits for that to be tried again.
const (
	endSourcesSQL  = "delete from intake_sources s where s.source = any($2) and s.claim = $1 and " + firstDueSQL + " is null"
	freeSourcesSQL = `
update intake_sources s set claim = case when u.wait is not null then '' end,
	ready_at = coalesce(statement_timestamp() + u.wait * interval '1 microsecond', ` + firstDueSQL + `)
from (select unnest($2::text[]) as source, unnest($3::bigint[]) as wait) as u
where s.source = u.source and s.claim = $1`
)

// ClaimIntake implements [rbcs.IntakeStore].
func (s *Store) ClaimIntake(ctx context.Context, c rbcs.IntakeClaim) (rbcs.IntakeBatch, error) {
	tx, err := s.begin(ctx)
	if err != nil {
		return rbcs.IntakeBatch{}, err
	}
	defer tx.rollback(ctx)
	var claimed rbcs.IntakeBatch
	b := tx.open(ctx)
	b.Queue(asynchronous)
	b.Queue(claimSQL, c.Claimant, c.Lease, c.Sources).Query(func(rows pgx.Rows) (err error) {
		claimed.Sources, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	b.Queue(nowSQL).QueryRow(func(row pgx.Row) error { return row.Scan(&claimed.Now) })
	if err := tx.send(ctx, b); err != nil {
		return rbcs.IntakeBatch{}, failure(err)
	}
	if len(claimed.Sources) == 0 {
		return claimed, nil
	}
	claimed.Entries = make([]rbcs.IntakeEntry, 0, min(c.Limit, 4*len(claimed.Sources)))
	b = &pgx.Batch{}
	b.Queue(claimedSQL, claimed.Sources, c.Limit).Query(func(rows pgx.Rows) error {
		return scanIntake(rows, func(e *rbcs.IntakeEntry) { claimed.Entries = append(claimed.Entries, *e) }, &claimed.Now)
	})
	b.Queue(s.settings.commit)
	if err := tx.send(ctx, b); err != nil {
		return rbcs.IntakeBatch{}, failure(err)
	}
	if err := tx.commit(ctx); err != nil {
		return rbcs.IntakeBatch{}, err
	}
	return claimed, nil
}

// SettleIntake implements [rbcs.IntakeStore].
func (s *Store) SettleIntake(ctx context.Context, claimant string, sources []string, outcomes []rbcs.IntakeOutcome) error {
	tx, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer tx.rollback(ctx)
	decided := make([]string, 0, len(outcomes))
	var failed []*rbcs.IntakeOutcome
	waits := map[string]time.Duration{}
	for i := range outcomes {
		o := &outcomes[i]
		switch o.Kind {
		case "":
			decided = append(decided, o.ID)
			continue
		case rbcs.IntakeFailed:
			waits[o.Source] = max(waits[o.Source], o.After)
		}
		failed = append(failed, o)
	}
	slices.Sort(decided)
	b := tx.open(ctx)
	b.Queue(asynchronous)
	b.Queue(lockSourcesSQL, sources)
	if len(decided) > 0 {
		b.Queue(dequeueSQL, decided)
	}
	if len(failed) > 0 {
		b.Queue(failedSQL, append(append([]any{claimant}, failedColumns(failed)...), s.instance, rbcs.IntakeListedAll, rbcs.IntakeListedMost)...)
	}
	wait := newColumn(pgtype.Int8OID, len(sources), 8)
	for _, source := range sources {
		wait.bigintOrNull(waits[source].Microseconds())
	}
	b.Queue(endSourcesSQL, claimant, sources)
	b.Queue(freeSourcesSQL, claimant, sources, wait)
	b.Queue(s.settings.commit)
	if err := tx.send(ctx, b); err != nil {
		return failure(err)
	}
	return tx.commit(ctx)
}

// failedColumns returns the parameters of failedSQL between the claimant and the instance.
func failedColumns(failed []*rbcs.IntakeOutcome) []any {
	n := len(failed)
	text := func() *column { return newColumn(pgtype.TextOID, n, 16) }
	id, kind, code, detail := text(), text(), text(), text()
	wait, kept := newColumn(pgtype.Int8OID, n, 8), newColumn(pgtype.Int2OID, n, 2)
	for _, o := range failed {
		id.text(o.ID)
		kind.text(string(o.Kind))
		code.textOrNull(string(o.Code))
		detail.textOrNull(o.Detail)
		wait.bigint(o.After.Microseconds())
		if o.Anew {
			kept.smallint(0)
		} else {
			kept.smallint(1)
		}
	}
	return []any{id, kind, code, detail, wait, kept}
}
