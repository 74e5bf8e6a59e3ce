package postgres

import (
	"context"

	"github.com/jackc/pgx/v5/pgtype"

	"rbcs"
)

const openHoldsSQL = `
insert into open_holds (sequence, listed, source_key, destination_key, expires_at)
select unnest($1::bigint[]), unnest($1::bigint[]), unnest($2::bigint[]), unnest($3::bigint[]), unnest($4::timestamptz[])`

// The updates of accounts have put index scans out of the planner's sight.
const indexAgainSQL = "select set_config('enable_indexscan', 'on', true)"

const closeHoldsSQL = "delete from open_holds where sequence = any($1::bigint[])"

// openHoldColumns returns the parameters of openHoldsSQL.
func openHoldColumns(holds map[int64]*decision) []any {
	n := len(holds)
	sequence, expiresAt := newColumn(pgtype.Int8OID, n, 8), newColumn(pgtype.TimestamptzOID, n, 8)
	source, destination := newColumn(pgtype.Int8OID, n, 8), newColumn(pgtype.Int8OID, n, 8)
	for _, d := range holds {
		sequence.bigint(d.Sequence)
		source.bigint(d.SourceAccount.Key)
		destination.bigint(d.DestinationAccount.Key)
		expiresAt.timestampOrNull(d.Transaction.ExpiresAt)
	}
	return []any{sequence, source, destination, expiresAt}
}

// The time is the statement's: that of clock_timestamp is no condition of an index.
const dueHoldsSQL = "select " + resultColumns + ` from (
	select h.sequence from open_holds h where h.expires_at <= statement_timestamp() order by h.expires_at, h.sequence limit $1
) as due join transactions t on t.sequence = due.sequence order by t.expires_at, t.sequence`

// DueHolds implements [rbcs.Store].
func (s *Store) DueHolds(ctx context.Context, limit int) ([]rbcs.Transaction, error) {
	found, err := s.results(ctx, readSettings, dueHoldsSQL, limit)
	due := make([]rbcs.Transaction, len(found))
	for i := range found {
		due[i] = found[i].Transaction
	}
	return due, err
}
