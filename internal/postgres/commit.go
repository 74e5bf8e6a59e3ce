package postgres

import (
	"context"
	"slices"
	"strings"
	"time"

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
	fresh := s.place(l, decisions)
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

// place gives the new decisions their places in the log, in the order in which
// they were decided, and returns them.
func (s *Store) place(l *loaded, decisions []posting.Decision) []*posting.Decision {
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

const insertSQL = `
insert into transactions (
	sequence, id, attempt, type, status, code, source_key, destination_key, source_number, destination_number,
	amount, decimals, currency, occurred_at, expires_at, original_id, description, metadata, actor, instance, committed_at,
	source_balance, source_held, source_version, destination_balance, destination_held, destination_version,
	available, overdraft, needed)
select u.sequence, u.id, u.attempt, u.type, u.status, u.code, u.source_key, u.destination_key, u.source_number, u.destination_number,
	u.amount, u.decimals, u.currency, u.occurred_at, u.expires_at, u.original_id, u.description, u.metadata, u.actor, $1, u.committed_at,
	u.source_balance, u.source_held, u.source_version, u.destination_balance, u.destination_held, u.destination_version,
	u.available, u.overdraft, u.needed
from unnest(
	$2::bigint[], $3::text[], $4::smallint[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::bigint[], $10::text[], $11::text[],
	$12::numeric[], $13::smallint[], $14::text[], $15::timestamptz[], $16::timestamptz[], $17::text[], $18::text[], $19::text[], $20::text[], $21::timestamptz[],
	$22::numeric[], $23::numeric[], $24::bigint[], $25::numeric[], $26::numeric[], $27::bigint[],
	$28::numeric[], $29::numeric[], $30::numeric[]
) as u (
	sequence, id, attempt, type, status, code, source_key, destination_key, source_number, destination_number,
	amount, decimals, currency, occurred_at, expires_at, original_id, description, metadata, actor, committed_at,
	source_balance, source_held, source_version, destination_balance, destination_held, destination_version,
	available, overdraft, needed)
on conflict (id, attempt) do nothing`

const updateSQL = `
update accounts a set balance = u.balance, held = u.held, received = u.received, sent = u.sent, version = u.version, updated_at = u.updated_at
from unnest($1::tid[], $2::bigint[], $3::numeric[], $4::numeric[], $5::numeric[], $6::numeric[], $7::bigint[], $8::timestamptz[])
	as u (place, key, balance, held, received, sent, version, updated_at)
where a.ctid = u.place and a.key = u.key`

// record writes the decisions and the accounts that they changed, in one round trip.
func (tx *transaction) record(ctx context.Context, fresh []*posting.Decision, accounts []lockedAccount) (overtaken bool, err error) {
	// Two commits that insert the same IDs wait for each other in one order.
	slices.SortFunc(fresh, func(a, b *posting.Decision) int { return strings.Compare(a.Transaction.ID, b.Transaction.ID) })
	rows := newDecisionColumns(len(fresh))
	for i, d := range fresh {
		rows.set(i, d)
	}
	changed := changedColumns(accounts)

	var inserted, updated pgconn.CommandTag
	b := &pgx.Batch{}
	b.Queue(insertSQL, rows.args(tx.store.instance)...).Exec(keep(&inserted))
	b.Queue(updateSQL, changed.args()...).Exec(keep(&updated))
	b.Queue(tx.store.settings.commit)
	if err := tx.send(ctx, b); err != nil {
		return false, failure(err)
	}
	switch {
	case inserted.RowsAffected() < int64(len(fresh)):
		return true, nil
	case updated.RowsAffected() != int64(len(changed.key)):
		return false, rbcs.Errorf(rbcs.Internal, "%d of %d locked accounts were written", updated.RowsAffected(), len(changed.key))
	}
	return false, nil
}

func keep(to *pgconn.CommandTag) func(pgconn.CommandTag) error {
	return func(tag pgconn.CommandTag) error {
		*to = tag
		return nil
	}
}

// accountColumns are the accounts to write, as column arrays.
type accountColumns struct {
	place                         []pgtype.TID
	key, version                  []int64
	balance, held, received, sent []rbcs.Amount
	updatedAt                     []time.Time
}

func changedColumns(accounts []lockedAccount) *accountColumns {
	c := &accountColumns{}
	for i := range accounts {
		a := &accounts[i]
		if !a.Changed {
			continue
		}
		c.place = append(c.place, a.place)
		c.key = append(c.key, a.Key)
		c.version = append(c.version, a.Version)
		c.balance = append(c.balance, a.Balance)
		c.held = append(c.held, a.Held)
		c.received = append(c.received, a.Received)
		c.sent = append(c.sent, a.Sent)
		c.updatedAt = append(c.updatedAt, a.UpdatedAt)
	}
	return c
}

func (c *accountColumns) args() []any {
	return []any{c.place, c.key, c.balance, c.held, c.received, c.sent, c.version, c.updatedAt}
}
