package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"rbcs"
)

const declareSQL = `
insert into currencies (code, decimals) select * from unnest($1::text[], $2::smallint[]) as u (code, decimals) order by code
on conflict (code) do nothing`

const currenciesSQL = `select code, decimals from currencies order by code`

// DeclareCurrencies implements [rbcs.Store].
func (s *Store) DeclareCurrencies(ctx context.Context, declared []rbcs.Currency) ([]rbcs.Currency, error) {
	tx, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer tx.rollback(ctx)
	codes, decimals := make([]string, len(declared)), make([]int16, len(declared))
	for i, c := range declared {
		codes[i], decimals[i] = c.Code, int16(c.Decimals)
	}
	var all []rbcs.Currency
	b := tx.open(ctx)
	b.Queue(declareSQL, codes, decimals)
	b.Queue(currenciesSQL).Query(func(rows pgx.Rows) error {
		var err error
		all, err = pgx.CollectRows(rows, pgx.RowToStructByPos[rbcs.Currency])
		return err
	})
	b.Queue(s.settings.commit)
	if err := tx.send(ctx, b); err != nil {
		return nil, failure(err)
	}
	for _, c := range declared {
		i := slices.IndexFunc(all, func(known rbcs.Currency) bool { return known.Code == c.Code })
		if all[i].Decimals != c.Decimals {
			return nil, rbcs.Errorf(rbcs.InvalidRequest,
				"the currency %s is declared with %d decimals, but the database has it with %d; other decimals would rescale money", c.Code, c.Decimals, all[i].Decimals)
		}
	}
	return all, tx.commit(ctx)
}
