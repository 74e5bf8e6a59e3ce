package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"rbcs"
	"rbcs/internal/posting"
)

// loaded is a batch with all that its decisions need, under its locks.
type loaded struct {
	posting.Batch
	accounts  []lockedAccount
	sequences []int64 // one for each transaction, ascending
	control   control
}

// lockedAccount is an account under its lock, and the place of its row, which
// only the holder of the lock can change.
type lockedAccount struct {
	posting.Account
	place pgtype.TID
}

const lookSQL = `
select ctid, key, number, currency, decimals, status, overdraft, balance, held, received, sent, version, updated_at
from accounts where number = any($1) order by number`

// Rows are locked here and nowhere else in a commit, in the order of numbers.
const lockSQL = lookSQL + " for no key update"

// The IDs, and those that settlements refer to, are looked up in a statement of
// their own: its snapshot is younger than the locks.
const recordedSQL = "select " + recordColumns + " from transactions t" + lastReference + " where t.id = any($1) order by t.id, t.attempt"

// The time and the sequences are taken under the locks, too. Each sequence is
// taken by a transaction that has its number already, even where no row was
// there to be locked: [Store.Log] relies on it. From here on rows are found by
// their place only. Whether a cache is in use is looked up in a snapshot that is
// younger than the locks as well; see cache.go.
var placeSQL = `
select array(select nextval('transactions_sequence') from generate_series(1, case when pg_current_xact_id() is not null then $1::int end)),
	clock_timestamp(), set_config('enable_indexscan', 'off', true), set_config('enable_indexonlyscan', 'off', true),
	` + controlColumns + " from cache_control c where c.one"

const nowSQL = "select clock_timestamp()"

// load begins the transaction, locks the accounts and loads what is known, in one round trip.
func (tx *transaction) load(ctx context.Context, batch []*rbcs.Transaction) (*loaded, error) {
	b := tx.open(ctx)
	l := queue(b, lockSQL, batch)
	b.Queue(placeSQL, len(batch)).QueryRow(func(row pgx.Row) error {
		return row.Scan(append([]any{&l.sequences, &l.Now, nil, nil}, l.control.targets()...)...)
	})
	return l, tx.send(ctx, b)
}

// look loads the same from one snapshot and locks nothing.
func (tx *transaction) look(ctx context.Context, batch []*rbcs.Transaction) (*loaded, error) {
	b := tx.openAs(ctx, "begin isolation level repeatable read read only")
	l := queue(b, lookSQL, batch)
	b.Queue(nowSQL).QueryRow(func(row pgx.Row) error { return row.Scan(&l.Now) })
	b.Queue("rollback")
	return l, tx.send(ctx, b)
}

// queue queues what loads the accounts that a batch names, and the decisions that it repeats or refers to.
func queue(b *pgx.Batch, accountsSQL string, batch []*rbcs.Transaction) *loaded {
	l := &loaded{Batch: posting.Batch{
		Accounts:     make(map[string]*posting.Account, 2*len(batch)),
		Recorded:     make(map[string]*rbcs.Result, len(batch)),
		References:   map[string]posting.Reference{},
		Transactions: batch,
	}}
	ids := make([]string, 0, len(batch))
	for _, t := range batch {
		ids = append(ids, t.ID)
		if t.Settles() {
			ids = append(ids, t.Original)
		}
		l.Accounts[t.Source], l.Accounts[t.Destination] = nil, nil
	}
	numbers := make([]string, 0, len(l.Accounts))
	for number := range l.Accounts {
		numbers = append(numbers, number)
	}
	l.accounts = make([]lockedAccount, 0, len(numbers))
	b.Queue(accountsSQL, numbers).Query(l.scanAccounts)
	b.Queue(recordedSQL, ids).Query(func(rows pgx.Rows) error {
		return scanRecords(rows, func(r *rbcs.Record) error {
			l.Recorded[r.Transaction.ID] = &r.Result // of several attempts the last one stays
			if r.ClosedBy != "" || !r.TakenBack.IsZero() {
				l.References[r.Transaction.ID] = posting.Reference{SettledBy: r.ClosedBy, Reversed: r.TakenBack}
			}
			return nil
		})
	})
	l.lookQueued(b, batch)
	return l
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
