package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"rbcs"
)

// Sums over a prefix read its part of the index of numbers, and those over all
// accounts the whole table in its own order.
const (
	totalsSQL = `
select currency, decimals, count(*), sum(balance), sum(held), statement_timestamp() from accounts
where number >= $1 and number < $2 group by currency, decimals order by currency, decimals`
	allTotalsSQL = `
select currency, decimals, count(*), sum(balance), sum(held), statement_timestamp() from accounts
group by currency, decimals order by currency, decimals`
	totalsSettings = "select " + timeLimits + ", set_config('jit', 'off', true)"
)

// Totals implements [rbcs.Store]. It is one statement, and so one snapshot:
// what was acknowledged before AsOf is in it.
func (s *Store) Totals(ctx context.Context, prefix string) ([]rbcs.Total, error) {
	var totals []rbcs.Total
	scan := func(rows pgx.Rows) error {
		var t rbcs.Total
		_, err := pgx.ForEachRow(rows, []any{&t.Currency.Code, &t.Currency.Decimals, &t.Accounts, &t.Balance, &t.Held, &t.AsOf}, func() error {
			totals = append(totals, t)
			return nil
		})
		if errors.Is(err, rbcs.ErrAmountRange) {
			return rbcs.Errorf(rbcs.InvalidRequest, "a sum of these accounts has more than %d digits; ask for a longer prefix", rbcs.MaxDigits)
		}
		return err
	}
	var err error
	if prefix == "" {
		err = s.readWith(ctx, totalsSettings, scan, allTotalsSQL)
	} else {
		err = s.read(ctx, scan, totalsSQL, prefix, prefix+behindAll)
	}
	return totals, err
}
