package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"rbcs"
)

// What is stored beside the log and follows from it, or must agree otherwise.
// Each statement returns what differs: account, transaction, what, expected, found.
// They read whole tables, and are planned for that.
var derivedSQL = []string{
	// What a decision refers to, and what it makes of it: what is told of the
	// original, and whether it may be settled or reversed once more, hangs on it.
	`select '', t.id, 'original_sequence', coalesce(o.sequence::text, 'none'), coalesce(t.original_sequence::text, 'none')
	from (select * from transactions t where ` + settles + `) as t left join transactions o on o.id = t.original_id and o.status <> 'rejected'
	where t.original_sequence is distinct from o.sequence`,
	`select '', t.id, 'original_sequence', 'none', t.original_sequence::text
	from transactions t where t.original_sequence is not null and not (` + settles + `)`,
	`select '', t.id, 'outcome', coalesce(x.outcome, 'none'), coalesce(t.outcome, 'none')
	from transactions t, lateral (select case when ` + settles + ` then case t.type when 'capture' then 'captured' when 'release' then 'released'
		when 'expiry' then 'expired' else case when coalesce(t.remainder, 0) = 0 then 'reversed' end end end as outcome) as x
	where t.outcome is distinct from x.outcome`,

	// The holds that are open: one that is missing never expires and cannot be settled.
	`select '', coalesce(o.id, h.sequence::text), 'open hold', coalesce(o.state::text, 'none'), coalesce(h.state::text, 'none') from (
		select o.sequence, o.id, (o.source_key, o.destination_key, o.expires_at) as state from transactions o
		where o.status = 'held' and not exists (select from transactions t where ` + settles + ` and t.type <> 'reversal' and t.original_id = o.id)
	) as o full join (
		select sequence, (source_key, destination_key, expires_at) as state from open_holds
	) as h on h.sequence = o.sequence
	where o.state is distinct from h.state`,

	// What an account is besides its balance is what it was last changed to.
	`select coalesce(a.number, c.account_key::text), '', 'status, overdraft and metadata', coalesce(c.state::text, 'none'), coalesce(a.state::text, 'none') from (
		select key, number, (status, overdraft, metadata) as state from accounts
	) as a full join (
		select distinct on (account_key) account_key, (new_status, new_overdraft, new_metadata) as state from account_changes order by account_key, key desc
	) as c on c.account_key = a.key
	where a.state is distinct from c.state`,
	`select a.number, '', 'decimals of ' || a.currency, c.decimals::text, a.decimals::text
	from accounts a join currencies c on c.code = a.currency where a.decimals <> c.decimals`,

	// A sequence that was given out is not given out again.
	`select '', '', 'transactions_sequence', 'at least ' || l.sequence, q.last_value::text
	from (select max(sequence) as sequence from transactions) as l, transactions_sequence q where l.sequence > q.last_value`,

	// The queue finds what waits by its source account.
	`select e.source, '', 'turn of its queue', 'not after ' || e.due_at, coalesce(s.ready_at::text, 'none') from (
		select source, min(due_at) as due_at from intake where state in ` + liveStates + ` group by source
	) as e left join intake_sources s on s.source = e.source
	where s.source is null or s.claim is null and s.ready_at > greatest(e.due_at, clock_timestamp())`,
}

// settles is that t refers to another one and took place.
const settles = "t.status = 'posted' and t.type in ('capture', 'release', 'expiry', 'reversal')"

// Derived compares, in one snapshot, all that is stored beside the log with it,
// and calls differs for what does not follow.
func (s *Store) Derived(ctx context.Context, differs func(rbcs.Difference)) error {
	done, err := s.reading(ctx)
	if err != nil {
		return err
	}
	defer done()
	tx, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer tx.rollback(ctx)
	b := &pgx.Batch{}
	b.Queue("begin isolation level repeatable read read only")
	b.Queue("select set_config('statement_timeout', '0', true)") // it takes as long as it takes
	if err := tx.send(ctx, b); err != nil {
		return failure(err)
	}
	for _, sql := range derivedSQL {
		var d rbcs.Difference
		err := tx.stream(ctx, sql, func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&d.Account, &d.Transaction, &d.What, &d.Expected, &d.Found}, func() error {
				differs(d)
				return nil
			})
			return err
		})
		if err != nil {
			return failure(err)
		}
	}
	return nil
}
