package postgres

import (
	"context"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"rbcs"
)

const transactionSQL = "select " + resultColumns + " from transactions t where t.id = $1 order by t.attempt desc limit 1"

// Transaction implements [rbcs.Store].
func (s *Store) Transaction(ctx context.Context, id string) (rbcs.Result, error) {
	found, err := s.results(ctx, readSettings, transactionSQL, id)
	switch {
	case err != nil:
		return rbcs.Result{}, err
	case len(found) == 0:
		return rbcs.Result{}, rbcs.Errorf(rbcs.NotFound, "there is no transaction %s", id)
	}
	return found[0], nil
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

// The log from its end, for a status other than rejected, or for any ($2 = ”).
const listSQL = "select " + resultColumns + ` from transactions t
where t.sequence < $1 and ($2 = '' or t.status = $2) and t.committed_at >= $3 and t.committed_at < $4
order by t.sequence desc limit $5`

// Rejections have an index of their own, which is used only where the query says so in words.
const listRejectedSQL = "select " + resultColumns + ` from transactions t
where t.sequence < $1 and t.status = $2 and t.status = 'rejected' and t.committed_at >= $3 and t.committed_at < $4
order by t.sequence desc limit $5`

// An account's decisions are in four places, each in the order of the log: what
// changed it as source and as destination, by version; what was rejected on it,
// by sequence; and what was rejected while it did not exist, by its number. Each
// place gives its latest rows; at most six times the limit are read.
const listOfAccountSQL = `
with latest as (
	(select t.sequence from transactions t where $7 and t.source_key = $1 and t.source_version between $2 and $3
		and ($8 = '' or t.status = $8) order by t.source_version desc limit $9)
	union
	(select t.sequence from transactions t where $7 and t.destination_key = $1 and t.destination_version between $2 and $3
		and ($8 = '' or t.status = $8) order by t.destination_version desc limit $9)
	union
	(select t.sequence from transactions t where $10 and t.source_key = $1 and t.status = 'rejected'
		and t.sequence < $4 and t.committed_at >= $5 and t.committed_at < $6 order by t.sequence desc limit $9)
	union
	(select t.sequence from transactions t where $10 and t.destination_key = $1 and t.status = 'rejected'
		and t.sequence < $4 and t.committed_at >= $5 and t.committed_at < $6 order by t.sequence desc limit $9)
	union
	(select t.sequence from transactions t where $10 and t.source_number = $11
		and t.sequence < $4 and t.committed_at >= $5 and t.committed_at < $6 order by t.sequence desc limit $9)
	union
	(select t.sequence from transactions t where $10 and t.destination_number = $11
		and t.sequence < $4 and t.committed_at >= $5 and t.committed_at < $6 order by t.sequence desc limit $9)
)
select ` + resultColumns + ` from (select sequence from latest order by sequence desc limit $9) as l
	join transactions t on t.sequence = l.sequence order by t.sequence desc`

// The times that bound a query that does not say so.
var (
	firstTime = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	lastTime  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// Transactions implements [rbcs.Store].
func (s *Store) Transactions(ctx context.Context, q rbcs.TransactionQuery) ([]rbcs.Result, error) {
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
	switch {
	case q.Account != "":
		return s.transactionsOf(ctx, q, from, to, before)
	case q.Status == rbcs.Rejected:
		return s.results(ctx, readSettings, listRejectedSQL, before, string(q.Status), from, to, q.Limit)
	case !q.From.IsZero() || !q.To.IsZero():
		return s.results(ctx, rangeSettings, listSQL, before, string(q.Status), from, to, q.Limit)
	}
	return s.results(ctx, readSettings, listSQL, before, string(q.Status), from, to, q.Limit)
}

func (s *Store) transactionsOf(ctx context.Context, q rbcs.TransactionQuery, from, to time.Time, before int64) ([]rbcs.Result, error) {
	key, version, _, err := s.keyOf(ctx, q.Account)
	if err != nil && rbcs.CodeOf(err) != rbcs.NotFound { // transactions may name an account that does not exist
		return nil, err
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
	changes, rejections := q.Status != rbcs.Rejected, q.Status == rbcs.Rejected || q.Status == ""
	return s.results(ctx, readSettings, listOfAccountSQL, key, low, high, before, from, to, changes, string(q.Status), q.Limit, rejections, q.Account)
}
