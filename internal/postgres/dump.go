package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"rbcs"
)

const (
	dumpDecisionsSQL = "select " + resultColumns + " from transactions t order by t.sequence"
	dumpAccountsSQL  = "select " + accountColumnsSQL + " from accounts order by number"
	// The log is read in its order by its index, and no sort is made of it; it takes as long as it takes.
	dumpSettings = "select " + indexesOnly + `, set_config('enable_sort', 'off', true), set_config('statement_timeout', '0', true)`
)

// Dump implements [rbcs.Store]. Rows are streamed: memory does not grow with the log.
func (s *Store) Dump(ctx context.Context, decision func(*rbcs.Result) error, account func(*rbcs.Account) error) error {
	done, err := s.reading(ctx)
	if err != nil {
		return err
	}
	defer done()
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return failure(err)
	}
	tx := &transaction{store: s, conn: conn}
	defer tx.rollback(ctx)
	b := &pgx.Batch{}
	b.Queue("begin isolation level repeatable read read only")
	b.Queue(dumpSettings)
	if err := tx.send(ctx, b); err != nil {
		return failure(err)
	}
	var stopped error // by a callback: passed on as it is
	err = tx.stream(ctx, dumpDecisionsSQL, func(rows pgx.Rows) error {
		return scanResults(rows, func(r *rbcs.Result) error {
			stopped = decision(r)
			return stopped
		})
	})
	if err == nil {
		err = tx.stream(ctx, dumpAccountsSQL, func(rows pgx.Rows) error {
			return scanAccounts(rows, func(a *keyedAccount) error {
				stopped = account(&a.Account)
				return stopped
			})
		})
	}
	switch {
	case stopped != nil:
		return stopped
	case err != nil:
		return failure(err)
	}
	return nil
}

// stream runs a query and scans its rows as they come. An end before the last
// row cancels what is left of it.
func (tx *transaction) stream(ctx context.Context, sql string, scan func(pgx.Rows) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rows, err := tx.conn.Query(ctx, sql)
	if err != nil {
		return err
	}
	if err := scan(rows); err != nil {
		cancel() // else Close would read all rows that are left
		rows.Close()
		return err
	}
	rows.Close()
	return rows.Err()
}
