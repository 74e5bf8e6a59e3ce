package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"rbcs"
)

const createSQL = `
insert into accounts (number, currency, decimals, overdraft, metadata, created_at, updated_at)
select u.number, u.currency, u.decimals, u.overdraft, u.metadata, now.at, now.at
from (select clock_timestamp() as at) as now, (
	select unnest($1::text[]) as number, unnest($2::text[]) as currency, unnest($3::smallint[]) as decimals,
		unnest($4::numeric[]) as overdraft, unnest($5::text[]) as metadata
) as u
order by u.number collate "C"
on conflict (number) do nothing
returning number`

// A creation is recorded as a change from nothing.
const recordCreationSQL = `
insert into account_changes (new_status, instance, account_key, at, new_overdraft, new_metadata, actor)
select $1, $2, unnest($3::bigint[]), unnest($4::timestamptz[]), unnest($5::numeric[]), unnest($6::text[]), unnest($7::text[])`

const accountsByNumberSQL = "select " + accountColumnsSQL + " from accounts where number = any($1)"

// What was asked for at the creation is an account's first change. It is looked
// up for each by itself, so that its later changes are not read.
const creationsSQL = `
select a.number, c.new_overdraft, coalesce(c.new_metadata, '') from accounts a, lateral (
	select new_overdraft, new_metadata from account_changes where account_key = a.key order by key limit 1
) as c where a.number = any($1)`

// creation is what may differ between two requests for an account, and change later.
type creation struct {
	overdraft rbcs.Overdraft
	metadata  string
}

// CreateAccounts implements [rbcs.Store].
func (s *Store) CreateAccounts(ctx context.Context, accounts []rbcs.NewAccount) ([]rbcs.AccountResult, error) {
	if len(accounts) == 0 {
		return nil, nil
	}
	tx, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer tx.rollback(ctx)

	distinct, numbers := firstOfEach(accounts)
	created := make(map[string]bool, len(accounts))
	stored := make(map[string]keyedAccount, len(accounts))
	existing := make(map[string]creation)
	b := tx.open(ctx)
	b.Queue(createSQL, newAccountColumns(distinct)...).Query(func(rows pgx.Rows) error {
		var number string
		_, err := pgx.ForEachRow(rows, []any{&number}, func() error {
			created[number] = true
			return nil
		})
		return err
	})
	b.Queue(accountsByNumberSQL, numbers).Query(func(rows pgx.Rows) error {
		return scanAccounts(rows, func(a *keyedAccount) error {
			stored[a.Number] = *a
			return nil
		})
	})
	b.Queue(creationsSQL, numbers).Query(func(rows pgx.Rows) error { // those of this commit come later
		var number string
		var c creation
		_, err := pgx.ForEachRow(rows, []any{&number, &c.overdraft, &c.metadata}, func() error {
			existing[number] = c
			return nil
		})
		return err
	})
	if err := tx.send(ctx, b); err != nil {
		return nil, failure(err)
	}
	if len(created) > 0 {
		err = tx.recordCreation(ctx, distinct, stored, created)
	} else {
		err = tx.confirm(ctx)
	}
	if err != nil {
		return nil, err
	}
	for _, a := range distinct {
		if created[a.Number] {
			existing[a.Number] = creation{a.Overdraft, a.Metadata}
		}
	}
	return accountResults(accounts, stored, existing, created), nil
}

// recordCreation records who created the accounts, and commits.
func (tx *transaction) recordCreation(ctx context.Context, accounts []*rbcs.NewAccount, stored map[string]keyedAccount, created map[string]bool) error {
	n := len(created)
	key, at, overdraft := newColumn(pgtype.Int8OID, n, 8), newColumn(pgtype.TimestamptzOID, n, 8), newColumn(pgtype.NumericOID, n, 0)
	metadata, actor := newColumn(pgtype.TextOID, n, 0), newColumn(pgtype.TextOID, n, 0)
	for _, asked := range accounts {
		if a := stored[asked.Number]; created[asked.Number] {
			key.bigint(a.key)
			at.timestamp(a.CreatedAt)
			overdraft.overdraft(asked.Overdraft)
			metadata.textOrNull(asked.Metadata)
			actor.textOrNull(asked.Actor)
		}
	}
	b := &pgx.Batch{}
	b.Queue(recordCreationSQL, string(rbcs.Open), tx.store.instance, key, at, overdraft, metadata, actor)
	b.Queue(tx.store.settings.commit)
	if err := tx.send(ctx, b); err != nil {
		return failure(err)
	}
	return tx.commit(ctx)
}

// accountResults compares what is asked for with what was asked for at the
// creation: who repeats that gets the account, whatever has become of it.
func accountResults(asked []rbcs.NewAccount, stored map[string]keyedAccount, existing map[string]creation, created map[string]bool) []rbcs.AccountResult {
	results := make([]rbcs.AccountResult, len(asked))
	for i := range asked {
		a, r := &asked[i], &results[i]
		r.Account = stored[a.Number].Account
		r.Created = created[a.Number]
		delete(created, a.Number) // a number that stands twice is created once
		first := existing[a.Number]
		was := rbcs.NewAccount{Currency: r.Account.Currency, Overdraft: first.overdraft, Metadata: first.metadata}
		if err := a.Conflict(&was); err != nil {
			r.Account, r.Err = rbcs.Account{}, err
		}
	}
	return results
}

// firstOfEach returns the first account of each number.
func firstOfEach(accounts []rbcs.NewAccount) (distinct []*rbcs.NewAccount, numbers []string) {
	seen := make(map[string]bool, len(accounts))
	for i := range accounts {
		if a := &accounts[i]; !seen[a.Number] {
			seen[a.Number] = true
			distinct, numbers = append(distinct, a), append(numbers, a.Number)
		}
	}
	return distinct, numbers
}

// newAccountColumns returns the parameters of createSQL.
func newAccountColumns(accounts []*rbcs.NewAccount) []any {
	n := len(accounts)
	number, currency, decimals := newColumn(pgtype.TextOID, n, 16), newColumn(pgtype.TextOID, n, 4), newColumn(pgtype.Int2OID, n, 2)
	overdraft, metadata := newColumn(pgtype.NumericOID, n, numericHeader), newColumn(pgtype.TextOID, n, 0)
	for _, a := range accounts {
		number.text(a.Number)
		currency.text(a.Currency.Code)
		decimals.smallint(a.Currency.Decimals)
		overdraft.overdraft(a.Overdraft)
		metadata.textOrNull(a.Metadata)
	}
	return []any{number, currency, decimals, overdraft, metadata}
}
