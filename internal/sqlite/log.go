package sqlite

import (
	"context"

	"rbcs"
)

const (
	selectSequence = "SELECT max(sequence) FROM transactions"
	selectPage     = "SELECT " + resultColumns + ` FROM transactions t
		WHERE t.sequence > ?1 AND t.sequence <= ?2 ORDER BY t.sequence LIMIT ?3`
	selectLog         = "SELECT " + resultColumns + " FROM transactions t ORDER BY t.sequence"
	selectAllAccounts = "SELECT " + accountColumns + " FROM accounts ORDER BY key"
	selectDue         = "SELECT " + resultColumns + ` FROM standing s INDEXED BY standing_due
		CROSS JOIN transactions t ON t.sequence = s.sequence
		WHERE s.status = 'held' AND s.expires_at <= ?1 ORDER BY s.expires_at LIMIT ?2`
)

// maxSequence returns the last sequence of the log, 0 for none.
func (c *conn) maxSequence() (sequence int64, err error) {
	s, err := c.stmt(selectSequence)
	if err != nil {
		return 0, err
	}
	if s.next() {
		sequence = s.intAt(0)
	}
	return sequence, s.done()
}

// Log implements [rbcs.Store]. There is one writer, and it gives out sequences
// without a gap: what is committed is settled, and the file has one timeline.
func (s *Store) Log(ctx context.Context, after int64, limit int) (rbcs.LogPage, error) {
	page := rbcs.LogPage{Timeline: 1}
	err := s.withRead(ctx, func(c *conn) (err error) {
		if page.End, err = c.maxSequence(); err != nil { // first: what commits now is for the next page
			return err
		}
		page.Results, err = c.results(selectPage, after, page.End, limit)
		if n := len(page.Results); n > 0 {
			page.End = page.Results[n-1].Sequence
		}
		return err
	})
	return page, err
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

// DueHolds implements [rbcs.Store].
func (s *Store) DueHolds(ctx context.Context, limit int) ([]rbcs.Transaction, error) {
	var due []rbcs.Transaction
	err := s.withRead(ctx, func(c *conn) error {
		holds, err := c.results(selectDue, micros(s.clock()), limit)
		for i := range holds {
			due = append(due, holds[i].Transaction)
		}
		return err
	})
	return due, err
}

// Dump implements [rbcs.Store].
func (s *Store) Dump(ctx context.Context, decision func(*rbcs.Result) error, account func(*rbcs.Account) error) error {
	return s.withSnapshot(ctx, func(c *conn) error {
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
