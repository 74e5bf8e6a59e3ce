package engine

import (
	"context"
	"errors"

	"rbcs"
)

// Cache is a cache of balances that several processes share. It is told of every
// attempt to commit while that holds the locks of its accounts.
type Cache interface {
	// Mark keeps older balances of these accounts from being served and returns
	// at once. One attempt may be marked several times, where it runs again.
	Mark(ctx context.Context, l rbcs.Locked) Marks
}

// Marks are what a [Cache] has set for one attempt. None of the methods but
// Confirmed waits. Where the outcome is not known neither Refresh nor Drop is
// called: the marks then end by themselves.
type Marks interface {
	// Confirmed reports whether it is certain that no older balance is served
	// any more. It may wait, but not for long.
	Confirmed() bool

	// Refresh replaces the marks, after COMMIT, by the balances that it made, one
	// for each account, and keeps the slice.
	Refresh(balances []rbcs.Balance)

	// Drop takes the marks of an attempt away that certainly changed nothing.
	Drop()
}

// marked is a commit that succeeded and its marks.
type marked struct {
	marks   Marks
	results []rbcs.Result
}

// fenced is the store's Commit around which the cache is told. It keeps in the
// effort what is to be refreshed.
func (e *Engine) fenced(effort *effort) storeCall {
	return func(ctx context.Context, txs []*rbcs.Transaction) ([]rbcs.Result, error) {
		var marks Marks
		results, err := e.store.(rbcs.FencedCommitter).CommitFenced(ctx, txs, func(ctx context.Context, l rbcs.Locked) func() bool {
			if marks != nil { // the store rolled back and runs the batch again
				marks.Drop()
			}
			marks = e.cfg.Cache.Mark(ctx, l)
			return marks.Confirmed
		})
		var known *rbcs.Error
		switch {
		case marks == nil:
		case err == nil && len(results) == len(txs):
			effort.marked = append(effort.marked, marked{marks, results})
		case errors.As(err, &known) && known.Code != rbcs.OutcomeUnknown:
			marks.Drop()
		}
		return results, err
	}
}

// refresh hands the balances that commits have made to the cache. It is called
// before their results are handed out, since they are the receivers' from then on.
func refresh(commits []marked) {
	for _, c := range commits {
		if balances := latestBalances(c.results); len(balances) > 0 {
			c.marks.Refresh(balances)
		} else { // the marks are of a run that was overtaken, after which nothing was left to change
			c.marks.Drop()
		}
	}
}

// latestBalances returns the last balance of each account that results have changed.
func latestBalances(results []rbcs.Result) []rbcs.Balance {
	balances := make([]rbcs.Balance, 0, 2*len(results))
	seen := make(map[string]struct{}, 2*len(results))
	for i := len(results) - 1; i >= 0; i-- {
		r := &results[i]
		if r.Err != nil || r.Replayed {
			continue
		}
		for _, side := range [2]struct {
			number string
			state  *rbcs.State
		}{{r.Transaction.Source, &r.Source}, {r.Transaction.Destination, &r.Destination}} {
			if _, later := seen[side.number]; later || side.state.Version == 0 {
				continue
			}
			seen[side.number] = struct{}{}
			balances = append(balances, rbcs.Balance{
				Number:   side.number,
				Currency: rbcs.Currency{Code: r.Transaction.Currency, Decimals: int(r.Transaction.Amount.Scale)},
				Balance:  side.state.Balance, Held: side.state.Held, Version: side.state.Version, AsOf: r.CommittedAt,
			})
		}
	}
	return balances
}
