package postgres

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"rbcs"
	"rbcs/internal/posting"
)

// commitAttempts bounds how often a batch runs again because one of its IDs was
// committed at the same moment with other accounts. Each further one needs
// another such ID.
const commitAttempts = 20

// Commit implements [rbcs.Committer].
func (s *Store) Commit(ctx context.Context, batch []*rbcs.Transaction) ([]rbcs.Result, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	for range commitAttempts {
		results, overtaken, err := s.tryCommit(ctx, batch)
		if !overtaken {
			return results, err
		}
	}
	return nil, rbcs.Errorf(rbcs.Unavailable, "%d times an ID of the batch was committed at the same moment with other accounts", commitAttempts)
}

// tryCommit commits a batch, unless one of its IDs was committed since they were
// looked up: then nothing was changed and it reports overtaken.
func (s *Store) tryCommit(ctx context.Context, batch []*rbcs.Transaction) (results []rbcs.Result, overtaken bool, err error) {
	tx, err := s.begin(ctx)
	if err != nil {
		return nil, false, err
	}
	defer tx.rollback(ctx)
	l, err := tx.load(ctx, batch)
	if err != nil {
		return nil, false, failure(err)
	}
	decisions := l.Decide()
	fresh := s.assign(l, decisions)
	if len(fresh) > 0 {
		if overtaken, err = tx.record(ctx, fresh, l.accounts); err != nil || overtaken {
			return nil, overtaken, err
		}
		if err := tx.commit(ctx); err != nil {
			return nil, false, err
		}
	}
	results = make([]rbcs.Result, len(decisions))
	for i := range decisions {
		results[i] = decisions[i].Result
	}
	return results, false, nil
}

// loaded is a batch with all that its decisions need, under its locks.
type loaded struct {
	posting.Batch
	accounts  []lockedAccount
	sequences []int64 // one for each transaction, ascending
}

// lockedAccount is an account under its lock, and the place of its row, which
// only the holder of the lock can change.
type lockedAccount struct {
	posting.Account
	place pgtype.TID
}

// Rows are locked here and nowhere else in a commit, in the order of numbers.
const lockSQL = `
select ctid, key, number, currency, decimals, status, overdraft, balance, held, received, sent, version, updated_at
from accounts where number = any($1) order by number for no key update`

// The IDs are looked up in a statement of their own: its snapshot is younger than the locks.
const recordedSQL = "select " + resultColumns + " from transactions t where t.id = any($1) order by t.id, t.attempt"

// The time and the sequences are taken under the locks, too. From here on rows
// are found by their place only.
const placeSQL = `
select array(select nextval('transactions_sequence') from generate_series(1, $1::int)), clock_timestamp(),
	set_config('enable_indexscan', 'off', true), set_config('enable_indexonlyscan', 'off', true)`

// load begins the transaction, locks the accounts and loads what is known, in one round trip.
func (tx *transaction) load(ctx context.Context, batch []*rbcs.Transaction) (*loaded, error) {
	l := &loaded{Batch: posting.Batch{
		Accounts:     make(map[string]*posting.Account, 2*len(batch)),
		Recorded:     make(map[string]*rbcs.Result, len(batch)),
		Transactions: batch,
	}}
	ids := make([]string, len(batch))
	for i, t := range batch {
		ids[i] = t.ID
		l.Accounts[t.Source], l.Accounts[t.Destination] = nil, nil
	}
	numbers := make([]string, 0, len(l.Accounts))
	for number := range l.Accounts {
		numbers = append(numbers, number)
	}
	l.accounts = make([]lockedAccount, 0, len(numbers))

	b := tx.open(ctx)
	b.Queue(lockSQL, numbers).Query(l.scanAccounts)
	b.Queue(recordedSQL, ids).Query(func(rows pgx.Rows) error {
		return scanResults(rows, func(r *rbcs.Result) error {
			l.Recorded[r.Transaction.ID] = new(*r) // of several attempts the last one stays
			return nil
		})
	})
	b.Queue(placeSQL, len(batch)).QueryRow(func(row pgx.Row) error {
		return row.Scan(&l.sequences, &l.Now, nil, nil)
	})
	return l, tx.send(ctx, b)
}

func (l *loaded) scanAccounts(rows pgx.Rows) error {
	var a lockedAccount
	target := []any{
		&a.place, &a.Key, &a.Number, &a.Currency.Code, &a.Currency.Decimals, (*string)(&a.Status), &a.Overdraft,
		&a.Balance, &a.Held, &a.Received, &a.Sent, &a.Version, &a.UpdatedAt,
	}
	for rows.Next() {
		if err := rows.Scan(target...); err != nil {
			return err
		}
		l.accounts = append(l.accounts, a) // has the capacity: the pointers below stay good
		l.Accounts[a.Number] = &l.accounts[len(l.accounts)-1].Account
	}
	return rows.Err()
}

// assign gives the new decisions their places in the log, in the order in which
// they were decided, and returns them.
func (s *Store) assign(l *loaded, decisions []posting.Decision) []*posting.Decision {
	fresh := make([]*posting.Decision, 0, len(decisions))
	for i := range decisions {
		d := &decisions[i]
		switch {
		case d.New():
			d.Sequence, d.Instance = l.sequences[len(fresh)], s.instance
			fresh = append(fresh, d)
		case d.Replayed: // possibly of a decision of this very batch, which has its place only now
			original := l.Recorded[d.Transaction.ID]
			d.Sequence, d.Instance = original.Sequence, original.Instance
		}
	}
	return fresh
}

// Arrays are unnested in the select list: in FROM each of them would be spooled
// into a tuple store of its own, which costs seven times as much.
const insertSQL = `
insert into transactions (
	instance, sequence, id, attempt, type, status, code, source_key, destination_key, source_number, destination_number,
	amount, decimals, currency, occurred_at, expires_at, original_id, description, metadata, actor, committed_at,
	source_balance, source_held, source_version, destination_balance, destination_held, destination_version,
	available, overdraft, needed)
select $1, unnest($2::bigint[]), unnest($3::text[]), unnest($4::smallint[]), unnest($5::text[]), unnest($6::text[]), unnest($7::text[]),
	unnest($8::bigint[]), unnest($9::bigint[]), unnest($10::text[]), unnest($11::text[]),
	unnest($12::numeric[]), unnest($13::smallint[]), unnest($14::text[]), unnest($15::timestamptz[]), unnest($16::timestamptz[]),
	unnest($17::text[]), unnest($18::text[]), unnest($19::text[]), unnest($20::text[]), unnest($21::timestamptz[]),
	unnest($22::numeric[]), unnest($23::numeric[]), unnest($24::bigint[]), unnest($25::numeric[]), unnest($26::numeric[]), unnest($27::bigint[]),
	unnest($28::numeric[]), unnest($29::numeric[]), unnest($30::numeric[])
on conflict (id, attempt) do nothing`

const updateSQL = `
update accounts a set balance = u.balance, held = u.held, received = u.received, sent = u.sent, version = u.version, updated_at = u.updated_at
from (
	select unnest($1::tid[]) as place, unnest($2::bigint[]) as key, unnest($3::numeric[]) as balance, unnest($4::numeric[]) as held,
		unnest($5::numeric[]) as received, unnest($6::numeric[]) as sent, unnest($7::bigint[]) as version, unnest($8::timestamptz[]) as updated_at
) as u
where a.ctid = u.place and a.key = u.key`

// record writes the decisions and the accounts that they changed, in one round trip.
func (tx *transaction) record(ctx context.Context, fresh []*posting.Decision, accounts []lockedAccount) (overtaken bool, err error) {
	// Two commits that insert the same IDs wait for each other in one order.
	slices.SortFunc(fresh, func(a, b *posting.Decision) int { return strings.Compare(a.Transaction.ID, b.Transaction.ID) })
	changes, changed := accountColumns(accounts)

	var inserted, updated pgconn.CommandTag
	b := &pgx.Batch{}
	b.Queue(insertSQL, decisionColumns(tx.store.instance, fresh)...).Exec(keep(&inserted))
	b.Queue(updateSQL, changes...).Exec(keep(&updated))
	b.Queue(tx.store.settings.commit)
	if err := tx.send(ctx, b); err != nil {
		return false, failure(err)
	}
	switch {
	case inserted.RowsAffected() < int64(len(fresh)):
		return true, nil
	case updated.RowsAffected() != int64(changed):
		return false, rbcs.Errorf(rbcs.Internal, "%d of %d locked accounts were written", updated.RowsAffected(), changed)
	}
	return false, nil
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
