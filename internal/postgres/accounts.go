package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"rbcs"
)

// accountColumnsSQL are the columns of an account, in the order of [scanAccount].
const accountColumnsSQL = `key, number, currency, decimals, status, overdraft, balance, held, received, sent, version,
	coalesce(metadata, ''), created_at, updated_at`

// keyedAccount is an account and the key it has in this database.
type keyedAccount struct {
	rbcs.Account
	key int64
}

func (a *keyedAccount) targets() []any {
	return []any{
		&a.key, &a.Number, &a.Currency.Code, &a.Currency.Decimals, (*string)(&a.Status), &a.Overdraft,
		&a.Balance, &a.Held, &a.Received, &a.Sent, &a.Version, &a.Metadata, &a.CreatedAt, &a.UpdatedAt,
	}
}

func scanAccounts(rows pgx.Rows, each func(*keyedAccount) error) error {
	var a keyedAccount
	targets := a.targets()
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		if err := each(&a); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Account implements [rbcs.Store].
func (s *Store) Account(ctx context.Context, number string) (rbcs.Account, error) {
	var found []rbcs.Account
	err := s.read(ctx, collect(&found), "select "+accountColumnsSQL+" from accounts where number = $1", number)
	switch {
	case err != nil:
		return rbcs.Account{}, err
	case len(found) == 0:
		return rbcs.Account{}, noAccount(number)
	}
	return found[0], nil
}

func noAccount(number string) *rbcs.Error {
	return rbcs.Errorf(rbcs.NotFound, "there is no account %s", number)
}

func collect(to *[]rbcs.Account) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		return scanAccounts(rows, func(a *keyedAccount) error {
			*to = append(*to, a.Account)
			return nil
		})
	}
}

const listAccountsSQL = "select " + accountColumnsSQL + ` from accounts
where number > $1 and number >= $2 and number < $3 and ($4 = '' or currency = $4) and ($5 = '' or status = $5)
order by number limit $6`

// behindAll sorts behind every character of a number.
const behindAll = "~"

// Accounts implements [rbcs.Store].
func (s *Store) Accounts(ctx context.Context, q rbcs.AccountQuery) ([]rbcs.Account, error) {
	var found []rbcs.Account
	err := s.read(ctx, collect(&found), listAccountsSQL, q.After, q.Prefix, q.Prefix+behindAll, q.Currency, string(q.Status), q.Limit)
	return found, err
}
