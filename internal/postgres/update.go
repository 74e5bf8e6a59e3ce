package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"rbcs"
)

const lockAccountSQL = "select " + accountColumnsSQL + ", clock_timestamp() from accounts where number = $1 for no key update"

const updateAccountSQL = `
update accounts set status = $2, overdraft = $3, metadata = nullif($4::text, ''), updated_at = $5 where key = $1`

const recordChangeSQL = `
insert into account_changes (account_key, at, old_status, new_status, old_overdraft, new_overdraft, old_metadata, new_metadata, actor, instance)
values ($1, $2, $3, $4, $5, $6, nullif($7::text, ''), nullif($8::text, ''), nullif($9::text, ''), $10)`

// UpdateAccount implements [rbcs.Store].
func (s *Store) UpdateAccount(ctx context.Context, number string, change rbcs.AccountChange) (rbcs.Account, error) {
	tx, err := s.begin(ctx)
	if err != nil {
		return rbcs.Account{}, err
	}
	defer tx.rollback(ctx)
	var was keyedAccount
	var now time.Time
	b := tx.open(ctx)
	b.Queue(lockAccountSQL, number).Query(func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, append(was.targets(), &now), func() error { return nil })
		return err
	})
	if err := tx.send(ctx, b); err != nil {
		return rbcs.Account{}, failure(err)
	}
	if was.key == 0 {
		return rbcs.Account{}, noAccount(number)
	}
	is, err := was.Changed(&change)
	if err != nil {
		return rbcs.Account{}, err
	}
	if is == was.Account { // nothing to record
		return is, tx.confirm(ctx)
	}
	if is.UpdatedAt = was.UpdatedAt; now.After(is.UpdatedAt) {
		is.UpdatedAt = now // it never runs backward, and neither does committed_at, which follows it
	}
	b = &pgx.Batch{}
	b.Queue(updateAccountSQL, was.key, string(is.Status), overdraftOrNull(is.Overdraft), is.Metadata, is.UpdatedAt)
	b.Queue(recordChangeSQL, was.key, is.UpdatedAt, string(was.Status), string(is.Status),
		overdraftOrNull(was.Overdraft), overdraftOrNull(is.Overdraft), was.Metadata, is.Metadata, change.Actor, s.instance)
	b.Queue(s.settings.commit)
	if err := tx.send(ctx, b); err != nil {
		return rbcs.Account{}, failure(err)
	}
	return is, tx.commit(ctx)
}

// overdraftOrNull is an overdraft as a parameter.
func overdraftOrNull(o rbcs.Overdraft) any {
	if o.Unlimited {
		return nil
	}
	return o.Limit
}
