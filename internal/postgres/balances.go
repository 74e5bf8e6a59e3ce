package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"rbcs"
)

// balancesSQL reads everything from one snapshot: the balance, who holds its row,
// and the timeline.
//
// A cache may take the balance where nobody held the row when it was read: xmax,
// who locked or changed it last, is nobody, or has ended, as far as the snapshot
// knows. (It counts those that were rolled back as ended, and they have changed
// nothing.) xmax has 32 bits of a number of 64, which is the one with these bits
// that is nearest to the next number. It is read from the row itself, perhaps
// later than the snapshot was taken: whoever has locked the row in between is not
// in the snapshot, and counts as holding it.
//
// This needs the rows of accounts to be locked by one transaction at a time, as a
// whole: no foreign key to accounts, no FOR SHARE (xmax would be a multixact), no
// savepoint (it would be a number that a snapshot does not list).
//
// There is a row even where no account is found: the server is to be known then, too.
var balancesSQL = `
select coalesce(a.number, ''), coalesce(a.currency, ''), coalesce(a.decimals, 0), a.balance, a.held, coalesce(a.version, 0),
	greatest(a.updated_at, statement_timestamp()),
	` + unheldSQL + `,
	server.timeline
from (select ` + timelineNumberSQL + ` as timeline offset 0) as server left join accounts a on a.number = any($1)`

// unheldSQL is that nobody holds the row of the account a, as far as the snapshot knows.
var unheldSQL = `case when a.xmax = 0 then true else coalesce(pg_visible_in_snapshot((
		` + wholeSQL("a.xmax::text::bigint", "pg_snapshot_xmax(pg_current_snapshot())::text::bigint") + `
	)::text::xid8, pg_current_snapshot()), false) end`

// wholeSQL is the number nearest to next whose low 32 bits are given.
func wholeSQL(low, next string) string {
	return next + " + ((" + low + " - " + next + " + 2147483648) & 4294967295) - 2147483648"
}

// balancesSettings are as few as leave one plan, which is made once: each costs
// a part of what the rest of this read does.
const balancesSettings = "select " + timeLimits + ", set_config('enable_seqscan', 'off', true), " + genericPlans

// Balances implements [rbcs.BalanceReader]. A standby, which may be behind, does
// not answer: [rbcs.Unavailable].
func (s *Store) Balances(ctx context.Context, numbers []string) ([]rbcs.BalanceReading, error) {
	if len(numbers) == 0 {
		return nil, nil
	}
	declared := s.declared.Load() // before the read: see rule 2 in cache.go
	found := make(map[string]rbcs.BalanceReading, len(numbers))
	err := s.readWith(ctx, balancesSettings, func(rows pgx.Rows) error {
		var r rbcs.BalanceReading
		target := []any{
			&r.Number, &r.Currency.Code, &r.Currency.Decimals, &r.Balance.Balance, &r.Held, &r.Version, &r.AsOf, &r.Fillable, &r.Timeline,
		}
		_, err := pgx.ForEachRow(rows, target, func() error {
			if r.Timeline == 0 {
				return s.standby()
			}
			reading := r
			reading.Fillable = r.Fillable && declared.lasts(r.Timeline, r.AsOf)
			found[r.Number] = reading
			return nil
		})
		return err
	}, balancesSQL, numbers)
	if err != nil {
		return nil, err
	}
	readings := make([]rbcs.BalanceReading, len(numbers))
	for i, number := range numbers {
		r, ok := found[number]
		if !ok {
			r.Number, r.Err = number, noAccount(number)
		}
		readings[i] = r
	}
	return readings, nil
}
