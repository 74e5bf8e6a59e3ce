package postgres

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"rbcs"
)

// The columns of a plain transfer, and its values. Arrays are unnested in the
// select list: in FROM each of them would be spooled into a tuple store of its
// own, which costs seven times as much.
const (
	insertedColumns = `
	instance, sequence, id, attempt, type, status, code, source_key, destination_key, source_number, destination_number,
	amount, decimals, currency, occurred_at, description, metadata, actor, committed_at,
	source_balance, source_held, source_version, destination_balance, destination_held, destination_version,
	available, overdraft, needed`
	insertedValues = `$1, unnest($2::bigint[]), unnest($3::text[]), unnest($4::smallint[]), unnest($5::text[]), unnest($6::text[]), unnest($7::text[]),
	unnest($8::bigint[]), unnest($9::bigint[]), unnest($10::text[]), unnest($11::text[]),
	unnest($12::numeric[]), unnest($13::smallint[]), unnest($14::text[]), unnest($15::timestamptz[]),
	unnest($16::text[]), unnest($17::text[]), unnest($18::text[]), unnest($19::timestamptz[]),
	unnest($20::numeric[]), unnest($21::numeric[]), unnest($22::bigint[]), unnest($23::numeric[]), unnest($24::numeric[]), unnest($25::bigint[]),
	unnest($26::numeric[]), unnest($27::numeric[]), unnest($28::numeric[])`
)

// A batch of plain transfers does not pay for what only other transactions have.
const (
	insertSQL        = "insert into transactions (" + insertedColumns + ") select " + insertedValues
	insertFurtherSQL = "insert into transactions (" + insertedColumns + `,
	expires_at, original_id, original_sequence, outcome, remainder, settled_by, group_id, group_position, group_size, execute_at, retry_until)
select ` + insertedValues + `, unnest($29::timestamptz[]), unnest($30::text[]), unnest($31::bigint[]), unnest($32::text[]),
	unnest($33::numeric[]), unnest($34::text[]), unnest($35::text[]), unnest($36::smallint[]), unnest($37::smallint[]),
	unnest($38::timestamptz[]), unnest($39::timestamptz[])`
)

const updateSQL = `
update accounts a set balance = u.balance, held = u.held, received = u.received, sent = u.sent, version = u.version, updated_at = u.updated_at
from (
	select unnest($1::tid[]) as place, unnest($2::bigint[]) as key, unnest($3::numeric[]) as balance, unnest($4::numeric[]) as held,
		unnest($5::numeric[]) as received, unnest($6::numeric[]) as sent, unnest($7::bigint[]) as version, unnest($8::timestamptz[]) as updated_at
) as u
where a.ctid = u.place and a.key = u.key`

// record writes the decisions and the accounts that they changed, in one round trip.
func (tx *transaction) record(ctx context.Context, w *writes) (overtaken bool, err error) {
	// Two commits that insert the same IDs wait for each other in one order.
	slices.SortFunc(w.decisions, func(a, b *decision) int { return strings.Compare(a.Transaction.ID, b.Transaction.ID) })
	changes, changed := accountColumns(w.accounts)
	insert, columns := insertSQL, decisionColumns(tx.store.instance, w.decisions)
	if w.further {
		insert, columns = insertFurtherSQL, append(columns, furtherColumns(w.decisions)...)
	}

	var inserted, updated, deleted pgconn.CommandTag
	b := &pgx.Batch{}
	b.Queue(insert, columns...).Exec(keep(&inserted))
	b.Queue(updateSQL, changes...).Exec(keep(&updated))
	if len(w.opened) > 0 {
		b.Queue(openHoldsSQL, openHoldColumns(w.opened)...)
	}
	if len(w.settled) > 0 {
		b.Queue(indexAgainSQL)
		b.Queue(closeHoldsSQL, w.settled).Exec(keep(&deleted))
	}
	b.Queue(tx.store.settings.commit)
	err = tx.send(ctx, b)
	switch {
	case idTaken(err):
		return true, nil
	case err != nil:
		return false, failure(err)
	case inserted.RowsAffected() != int64(len(w.decisions)):
		return false, rbcs.Errorf(rbcs.Internal, "%d of %d decisions were written", inserted.RowsAffected(), len(w.decisions))
	case updated.RowsAffected() != int64(changed):
		return false, rbcs.Errorf(rbcs.Internal, "%d of %d locked accounts were written", updated.RowsAffected(), changed)
	case deleted.RowsAffected() != int64(len(w.settled)):
		return false, rbcs.Errorf(rbcs.Internal, "%d of %d holds that were settled were open", deleted.RowsAffected(), len(w.settled))
	}
	return false, nil
}

// idTaken reports whether an ID of the batch was committed since they were looked
// up. An INSERT that fails then costs less, for all batches in which it does not
// happen, than ON CONFLICT DO NOTHING.
func idTaken(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505" && pg.ConstraintName == "transactions_id"
}

func keep(to *pgconn.CommandTag) func(pgconn.CommandTag) error {
	return func(tag pgconn.CommandTag) error {
		*to = tag
		return nil
	}
}

// accountColumns returns the parameters of updateSQL, and how many accounts are to be written.
func accountColumns(accounts []lockedAccount) (args []any, changed int) {
	const commonAmount = numericHeader + 4*2 // up to 16 digits
	n := len(accounts)
	amount := func() *column { return newColumn(pgtype.NumericOID, n, commonAmount) }
	place, key, version := newColumn(pgtype.TIDOID, n, 6), newColumn(pgtype.Int8OID, n, 8), newColumn(pgtype.Int8OID, n, 8)
	balance, held, received, sent := amount(), amount(), amount(), amount()
	updatedAt := newColumn(pgtype.TimestamptzOID, n, 8)
	for i := range accounts {
		a := &accounts[i]
		if !a.Changed {
			continue
		}
		changed++
		place.tid(a.place)
		key.bigint(a.Key)
		balance.amount(a.Balance)
		held.amount(a.Held)
		received.amount(a.Received)
		sent.amount(a.Sent)
		version.bigint(a.Version)
		updatedAt.timestamp(a.UpdatedAt)
	}
	return []any{place, key, balance, held, received, sent, version, updatedAt}, changed
}
