package sqlite

import (
	"cmp"
	"context"
	"math/bits"
	"slices"
	"time"

	"rbcs"
)

// Sums over a prefix read its part of the index of numbers, and those over all
// accounts the whole table in its own order.
const (
	selectAllBalances = "SELECT currency, decimals, balance, held FROM accounts"
	selectBalances    = selectAllBalances + " WHERE number >= ?1 AND number < ?2"
)

// Totals implements [rbcs.Store]. What was acknowledged before AsOf is in it.
func (s *Store) Totals(ctx context.Context, prefix string) ([]rbcs.Total, error) {
	var totals []rbcs.Total
	err := s.withRead(ctx, func(c *conn) error {
		now := s.clock()
		sql, args := selectAllBalances, []any(nil)
		if prefix != "" {
			sql, args = selectBalances, []any{prefix, prefix + behindAll}
		}
		query, err := c.stmt(sql)
		if err != nil {
			return err
		}
		query.bind(args...)
		sums := map[rbcs.Currency]*sum{}
		for query.next() {
			currency := rbcs.Currency{Code: query.wordAt(0), Decimals: int(query.intAt(1))}
			t := sums[currency]
			if t == nil {
				t = new(sum)
				sums[currency] = t
			}
			t.accounts++
			t.balance.add(query.amountAt(2))
			t.held.add(query.amountAt(3))
		}
		if err := query.done(); err != nil {
			return err
		}
		totals, err = totalsOf(sums, now)
		return err
	})
	return totals, err
}

// sum is what accounts of one currency have.
type sum struct {
	accounts      int64
	balance, held wide
}

// totalsOf fails where a sum is not an amount; a smaller prefix may have one.
func totalsOf(sums map[rbcs.Currency]*sum, now time.Time) ([]rbcs.Total, error) {
	totals := make([]rbcs.Total, 0, len(sums))
	for currency, s := range sums {
		balance, fits := s.balance.amount()
		held, heldFits := s.held.amount()
		if !fits || !heldFits {
			return nil, rbcs.Errorf(rbcs.InvalidRequest,
				"the sum in %s has more than %d digits; ask for a longer prefix", currency.Code, rbcs.MaxDigits)
		}
		totals = append(totals, rbcs.Total{Currency: currency, Accounts: s.accounts, Balance: balance, Held: held, AsOf: now})
	}
	slices.SortFunc(totals, func(a, b rbcs.Total) int {
		return cmp.Or(cmp.Compare(a.Currency.Code, b.Currency.Code), cmp.Compare(a.Currency.Decimals, b.Currency.Decimals))
	})
	return totals, nil
}

// wide is a signed 192-bit number, the least significant word first: no sum of
// amounts on its way to one that is an amount leaves it.
type wide [3]uint64

func (w *wide) add(a rbcs.Amount) {
	hi, lo := a.Words()
	var carry uint64
	w[0], carry = bits.Add64(w[0], lo, 0)
	w[1], carry = bits.Add64(w[1], uint64(hi), carry)
	w[2] += uint64(hi>>63) + carry
}

// amount returns the number as an amount, and whether it is one.
func (w *wide) amount() (rbcs.Amount, bool) {
	if w[2] != uint64(int64(w[1])>>63) {
		return rbcs.Amount{}, false
	}
	a, err := rbcs.AmountFromWords(int64(w[1]), w[0])
	return a, err == nil
}
