package postgres

import (
	"context"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"rbcs"
)

const transactionSQL = "select " + recordColumns + " from transactions t" + lastReference + " where t.id = $1 order by t.attempt desc limit 1"

// Transaction implements [rbcs.Store].
func (s *Store) Transaction(ctx context.Context, id string) (rbcs.Record, error) {
	found, err := s.records(ctx, readSettings, transactionSQL, id)
	switch {
	case err != nil:
		return rbcs.Record{}, err
	case len(found) == 0:
		return rbcs.Record{}, rbcs.Errorf(rbcs.NotFound, "there is no transaction %s", id)
	}
	return found[0], nil
}

const attemptsSQL = "select " + resultColumns + " from transactions t where t.id = $1 order by t.attempt"

// Attempts implements [rbcs.Store].
func (s *Store) Attempts(ctx context.Context, id string) ([]rbcs.Result, error) {
	return s.results(ctx, readSettings, attemptsSQL, id)
}

// results runs a query of resultColumns.
func (s *Store) results(ctx context.Context, settings, sql string, args ...any) ([]rbcs.Result, error) {
	var found []rbcs.Result
	err := s.readWith(ctx, settings, func(rows pgx.Rows) error {
		return scanResults(rows, func(r *rbcs.Result) error {
			found = append(found, *r)
			return nil
		})
	}, sql, args...)
	return found, err
}

// records runs a query of recordColumns.
func (s *Store) records(ctx context.Context, settings, sql string, args ...any) ([]rbcs.Record, error) {
	var found []rbcs.Record
	err := s.readWith(ctx, settings, func(rows pgx.Rows) error {
		return scanRecords(rows, func(r *rbcs.Record) error {
			found = append(found, *r)
			return nil
		})
	}, sql, args...)
	return found, err
}

// The times that bound a query that does not say so.
var (
	firstTime = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	lastTime  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// Transactions implements [rbcs.Store].
func (s *Store) Transactions(ctx context.Context, q rbcs.TransactionQuery) ([]rbcs.Record, error) {
	from, to, before := q.From, q.To, q.Before
	if from.IsZero() {
		from = firstTime
	}
	if to.IsZero() {
		to = lastTime
	}
	if before == 0 {
		before = math.MaxInt64
	}
	common := []any{before, from, to, q.Limit}
	if q.Account != "" {
		return s.transactionsOf(ctx, q, common)
	}
	settings := readSettings
	if !q.From.IsZero() || !q.To.IsZero() {
		settings = rangeSettings
	}
	switch q.Status {
	case "":
		return s.records(ctx, settings, listSQL, common...)
	case rbcs.Posted:
		return s.records(ctx, settings, listPostedSQL, common...)
	case rbcs.Rejected:
		return s.records(ctx, readSettings, listRejectedSQL, common...)
	case rbcs.Holding:
		return s.records(ctx, readSettings, listHeldSQL, common...)
	}
	return s.records(ctx, readSettings, listOutcomeSQL, append(common, string(q.Status))...)
}

// transactionsOf lists those of one account. common is what all statements begin with.
func (s *Store) transactionsOf(ctx context.Context, q rbcs.TransactionQuery, common []any) ([]rbcs.Record, error) {
	key, version, _, err := s.keyOf(ctx, q.Account)
	if err != nil && rbcs.CodeOf(err) != rbcs.NotFound { // transactions may name an account that does not exist
		return nil, err
	}
	switch q.Status {
	case "", rbcs.Posted, rbcs.Rejected:
	case rbcs.Holding:
		return s.records(ctx, readSettings, heldOfSQL, append(common, key)...)
	default:
		return s.records(ctx, readSettings, outcomeOfSQL, append(common, string(q.Status), key)...)
	}
	low, high, err := s.versions(ctx, key, version, q.From, q.To)
	if err != nil {
		return nil, err
	}
	if q.Before > 0 {
		var earlier int64
		if err := s.read(ctx, one(&earlier), lastVersionUptoSQL, key, q.Before); err != nil {
			return nil, err
		}
		high = min(high, earlier)
	}
	return s.records(ctx, readSettings, listOfSQL, append(common, low, high, key, q.Account,
		q.Status != rbcs.Rejected, q.Status == "", q.Status != rbcs.Posted)...)
}
