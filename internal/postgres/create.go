package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"rbcs"
)

const createSQL = `
insert into accounts (number, currency, decimals, overdraft, metadata, created_at, updated_at)
select u.number, u.currency, u.decimals, u.overdraft, u.metadata, now.at, now.at
from (select clock_timestamp() as at) as now,
	unnest($1::text[], $2::text[], $3::smallint[], $4::numeric[], $5::text[]) as u (number, currency, decimals, overdraft, metadata)
order by u.number
on conflict (number) do nothing
returning number`

// A creation is recorded as a change from nothing.
const recordCreationSQL = `
insert into account_changes (account_key, at, new_status, new_overdraft, new_metadata, actor, instance)
select u.key, u.at, $1, u.overdraft, u.metadata, u.actor, $2
from unnest($3::bigint[], $4::timestamptz[], $5::numeric[], $6::text[], $7::text[]) as u (key, at, overdraft, metadata, actor)`

const accountsByNumberSQL = "select " + accountColumnsSQL + " from accounts where number = any($1)"

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

	seen := make(map[string]bool, len(accounts))
	n := newAccountColumns(len(accounts))
	for i := range accounts {
		if a := &accounts[i]; !seen[a.Number] {
			seen[a.Number] = true
			n.add(a)
		}
	}
	created := make(map[string]bool, len(accounts))
	stored := make(map[string]keyedAccount, len(accounts))
	b := tx.open(ctx)
	b.Queue(createSQL, n.number, n.currency, n.decimals, n.overdraft, n.metadata).Query(func(rows pgx.Rows) error {
		var number string
		_, err := pgx.ForEachRow(rows, []any{&number}, func() error {
			created[number] = true
			return nil
		})
		return err
	})
	b.Queue(accountsByNumberSQL, n.number).Query(func(rows pgx.Rows) error {
		return scanAccounts(rows, func(a *keyedAccount) error {
			stored[a.Number] = *a
			return nil
		})
	})
	if err := tx.send(ctx, b); err != nil {
		return nil, failure(err)
	}
	if len(created) > 0 {
		if err := tx.recordCreation(ctx, n, stored, created); err != nil {
			return nil, err
		}
	}
	return accountResults(accounts, stored, created), nil
}

// recordCreation records who created the accounts, and commits.
func (tx *transaction) recordCreation(ctx context.Context, n *newAccounts, stored map[string]keyedAccount, created map[string]bool) error {
	var keys []int64
	var at []time.Time
	c := newAccountColumns(len(created))
	for i, number := range n.number {
		if a := stored[number]; created[number] {
			keys, at = append(keys, a.key), append(at, a.CreatedAt)
			c.overdraft, c.metadata, c.actor = append(c.overdraft, n.overdraft[i]), append(c.metadata, n.metadata[i]), append(c.actor, n.actor[i])
		}
	}
	b := &pgx.Batch{}
	b.Queue(recordCreationSQL, string(rbcs.Open), tx.store.instance, keys, at, c.overdraft, c.metadata, c.actor)
	b.Queue(tx.store.settings.commit)
	if err := tx.send(ctx, b); err != nil {
		return failure(err)
	}
	return tx.commit(ctx)
}

// accountResults compares what was asked for with what is stored now.
func accountResults(asked []rbcs.NewAccount, stored map[string]keyedAccount, created map[string]bool) []rbcs.AccountResult {
	results := make([]rbcs.AccountResult, len(asked))
	for i := range asked {
		a, r := &asked[i], &results[i]
		r.Account = stored[a.Number].Account
		r.Created = created[a.Number]
		delete(created, a.Number) // a number that stands twice is created once
		if fields := differences(a, &r.Account); fields != nil {
			r.Account, r.Err = rbcs.Account{}, &rbcs.Error{
				Code: rbcs.AccountConflict, Message: "the account " + a.Number + " exists with other content", Fields: fields,
			}
		}
	}
	return results
}

// differences returns the fields in which an account differs from what is asked for.
func differences(asked *rbcs.NewAccount, stored *rbcs.Account) (fields []rbcs.FieldError) {
	differ := func(pointer string, same bool, is string) {
		if !same {
			fields = append(fields, rbcs.FieldError{Pointer: pointer, Message: "stored as " + is})
		}
	}
	overdraft := "\"unlimited\""
	if !stored.Overdraft.Unlimited {
		overdraft = `"` + stored.Overdraft.Limit.Format(stored.Currency.Decimals) + `"`
	}
	metadata := stored.Metadata
	if metadata == "" {
		metadata = "absent"
	}
	differ("/currency", asked.Currency == stored.Currency, `"`+stored.Currency.Code+`"`)
	differ("/overdraft", asked.Overdraft == stored.Overdraft, overdraft)
	differ("/metadata", asked.Metadata == stored.Metadata, metadata)
	return fields
}

// newAccounts are accounts to create, as column arrays.
type newAccounts struct {
	number, currency []string
	decimals         []int16
	overdraft        overdrafts
	metadata, actor  texts
}

func newAccountColumns(n int) *newAccounts {
	return &newAccounts{
		number: make([]string, 0, n), currency: make([]string, 0, n), decimals: make([]int16, 0, n),
		overdraft: make(overdrafts, 0, n), metadata: make(texts, 0, n), actor: make(texts, 0, n),
	}
}

func (n *newAccounts) add(a *rbcs.NewAccount) {
	n.number = append(n.number, a.Number)
	n.currency = append(n.currency, a.Currency.Code)
	n.decimals = append(n.decimals, int16(a.Currency.Decimals))
	n.overdraft = append(n.overdraft, a.Overdraft)
	n.metadata = append(n.metadata, a.Metadata)
	n.actor = append(n.actor, a.Actor)
}
