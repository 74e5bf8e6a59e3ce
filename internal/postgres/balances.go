package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"rbcs"
)

// balancesSQL reads everything from one snapshot: the balance, who holds its row,
// the timeline, and whether a cache is in use. What is in brackets is evaluated
// once, not for each row.
//
// A cache may take the balance where nobody held the row when it was read: xmax,
// who locked or changed it last, is nobody, or has ended, as far as the snapshot
// knows. (It counts those that were rolled back as ended, and they have changed
// nothing.) xmax has 32 bits of a number of 64, which is the one with these bits
// that is nearest to the next number. It is read from the row itself, perhaps
// later than the snapshot was taken: whoever has locked the row in between is not
// in the snapshot, and counts as holding it.
//
// This needs the rows of accounts to be locked by one transaction at a time, as a whole: no
// foreign key to accounts, no FOR SHARE (xmax would be a multixact), no savepoint
// (it would be a number that a snapshot does not list).
var balancesSQL = `
select coalesce(a.number, ''), coalesce(a.currency, ''), coalesce(a.decimals, 0), a.balance, a.held, coalesce(a.version, 0),
	greatest(a.updated_at, statement_timestamp()),
	coalesce(` + lastingSQL + ` and case when a.xmax = 0 then true else pg_visible_in_snapshot((
		(select ` + nextSQL + `) + ((a.xmax::text::bigint - (select ` + nextSQL + `) + 2147483648) & 4294967295) - 2147483648
	)::text::xid8, pg_current_snapshot()) end, false),
	(select ` + timelineNumberSQL + `)
from cache_control c left join accounts a on a.number = any($1) where c.one`

const nextSQL = "pg_snapshot_xmax(pg_current_snapshot())::text::bigint"

// balancesSettings make an array of numbers cost no planning.
const balancesSettings = "select " + timeLimits + ", " + indexesOnly + ", " + genericPlans

// Balances implements [rbcs.BalanceReader]. A standby, which may be behind, does
// not answer: [rbcs.Unavailable].
func (s *Store) Balances(ctx context.Context, numbers []string) ([]rbcs.BalanceReading, error) {
	if len(numbers) == 0 {
		return nil, nil
	}
	found := make(map[string]rbcs.BalanceReading, len(numbers))
	err := s.readWith(ctx, balancesSettings, func(rows pgx.Rows) error {
		var r rbcs.BalanceReading
		target := []any{
			&r.Number, &r.Currency.Code, &r.Currency.Decimals, &r.Balance.Balance, &r.Held, &r.Version, &r.AsOf, &r.Fillable, &r.Timeline,
		}
		_, err := pgx.ForEachRow(rows, target, func() error {
			if r.Timeline == 0 {
				return errStandby
			}
			found[r.Number] = r
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
