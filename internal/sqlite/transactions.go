package sqlite

import (
	"cmp"
	"context"
	"math"
	"slices"

	"rbcs"
)

const (
	selectDecisions = "SELECT " + resultColumns + ` FROM transactions t
		WHERE t.sequence BETWEEN ?1 AND ?2 ORDER BY t.sequence DESC LIMIT ?3`
	// Decisions that are posted are most of the log: the others have an index of their own.
	selectPosted = "SELECT " + resultColumns + ` FROM transactions t
		WHERE t.sequence BETWEEN ?1 AND ?2 AND t.status = 'posted' ORDER BY t.sequence DESC LIMIT ?3`
	selectNotPosted = "SELECT " + resultColumns + ` FROM transactions t INDEXED BY transactions_status
		WHERE t.status = ?4 AND t.status <> 'posted' AND t.sequence BETWEEN ?1 AND ?2 ORDER BY t.sequence DESC LIMIT ?3`

	selectRejectedSource = "SELECT " + resultColumns + ` FROM transactions t INDEXED BY transactions_source_number
		WHERE t.source_number = ?4 AND t.sequence BETWEEN ?1 AND ?2 ORDER BY t.sequence DESC LIMIT ?3`
	selectRejectedDestination = "SELECT " + resultColumns + ` FROM transactions t INDEXED BY transactions_destination_number
		WHERE t.destination_number = ?4 AND t.sequence BETWEEN ?1 AND ?2 ORDER BY t.sequence DESC LIMIT ?3`

	selectLog         = "SELECT " + resultColumns + " FROM transactions t ORDER BY t.sequence"
	selectAllAccounts = "SELECT " + accountColumns + " FROM accounts ORDER BY key"
)

// Transaction implements [rbcs.Store].
func (s *Store) Transaction(ctx context.Context, id string) (rbcs.Result, error) {
	var results []rbcs.Result
	err := s.withRead(ctx, func(c *conn) (err error) {
		results, err = c.results(selectRecorded, id)
		return err
	})
	switch {
	case err != nil:
		return rbcs.Result{}, err
	case len(results) == 0:
		return rbcs.Result{}, rbcs.Errorf(rbcs.NotFound, "there is no transaction %s", id)
	}
	return results[0], nil
}

// results returns the decisions that a query selects.
func (c *conn) results(sql string, args ...any) ([]rbcs.Result, error) {
	s, err := c.stmt(sql)
	if err != nil {
		return nil, err
	}
	s.bind(args...)
	var list []rbcs.Result
	for s.next() {
		list = append(list, rbcs.Result{})
		scanResult(s, &list[len(list)-1])
	}
	return list, s.done()
}

// Transactions implements [rbcs.Store].
func (s *Store) Transactions(ctx context.Context, q rbcs.TransactionQuery) ([]rbcs.Result, error) {
	var list []rbcs.Result
	err := s.withRead(ctx, func(c *conn) error {
		low, high, err := c.sequencesOf(&q)
		if err != nil {
			return err
		}
		switch {
		case q.Account != "":
			list, err = c.transactionsOf(&q, low, high)
		case q.Status == "":
			list, err = c.results(selectDecisions, low, high, q.Limit)
		case q.Status == rbcs.Posted:
			list, err = c.results(selectPosted, low, high, q.Limit)
		default:
			list, err = c.results(selectNotPosted, low, high, q.Limit, string(q.Status))
		}
		return err
	})
	return list, err
}

// sequencesOf returns the first and the last sequence that a query may select.
func (c *conn) sequencesOf(q *rbcs.TransactionQuery) (low, high int64, err error) {
	low, high = 1, math.MaxInt64
	if q.Before > 0 {
		high = q.Before - 1
	}
	if !q.From.IsZero() {
		before, err := c.lastBefore(q.From)
		if err != nil {
			return 0, 0, err
		}
		low = before + 1
	}
	if !q.To.IsZero() {
		before, err := c.lastBefore(q.To)
		if err != nil {
			return 0, 0, err
		}
		high = min(high, before)
	}
	return low, high, nil
}

// transactionsOf lists the decisions that name one account: those that changed
// it by walking its history, those that were rejected from their indexes.
func (c *conn) transactionsOf(q *rbcs.TransactionQuery, low, high int64) (list []rbcs.Result, err error) {
	if q.Status != rbcs.Rejected {
		if list, err = c.changesOf(q, low, high); err != nil {
			return nil, err
		}
	}
	if q.Status == rbcs.Rejected || q.Status == "" {
		for _, sql := range []string{selectRejectedSource, selectRejectedDestination} {
			rejected, err := c.results(sql, low, high, q.Limit, q.Account)
			if err != nil {
				return nil, err
			}
			list = append(list, rejected...)
		}
		slices.SortFunc(list, func(a, b rbcs.Result) int { return cmp.Compare(b.Sequence, a.Sequence) })
		list = slices.CompactFunc(list, func(a, b rbcs.Result) bool { return a.Sequence == b.Sequence }) // both sides
	}
	return list[:min(len(list), q.Limit)], nil
}

// changesOf lists the decisions that changed an account, the latest first; none
// where it does not exist.
func (c *conn) changesOf(q *rbcs.TransactionQuery, low, high int64) ([]rbcs.Result, error) {
	a, err := c.account(q.Account)
	if err != nil {
		if rbcs.CodeOf(err) == rbcs.NotFound {
			return nil, nil
		}
		return nil, err
	}
	last, err := c.versionAt(a, high)
	if err != nil {
		return nil, err
	}
	before, err := c.versionAt(a, low-1)
	if err != nil {
		return nil, err
	}
	var list []rbcs.Result
	err = c.entries(a, last, before+1, q.Status, q.Limit, func(r *rbcs.Result, _ bool) {
		list = append(list, *r)
	})
	return list, err
}

// Dump implements [rbcs.Store].
func (s *Store) Dump(ctx context.Context, decision func(*rbcs.Result) error, account func(*rbcs.Account) error) error {
	return s.withRead(ctx, func(c *conn) error {
		if err := c.exec("BEGIN"); err != nil {
			return err
		}
		if err := dump(ctx, c, selectLog, scanResult, decision); err != nil {
			return err
		}
		return dump(ctx, c, selectAllAccounts, scanAccount, account)
	})
}

// dump calls f with each row of a query.
func dump[T any](ctx context.Context, c *conn, sql string, scan func(*stmt, *T), f func(*T) error) (err error) {
	s, err := c.stmt(sql)
	if err != nil {
		return err
	}
	defer func() {
		if failed := s.done(); err == nil {
			err = failed
		}
	}()
	var row T
	for s.next() {
		scan(s, &row)
		if err := f(&row); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ended(ctx)
		}
	}
	return nil
}
