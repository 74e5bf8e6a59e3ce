package sqlite

import (
	"context"
	"time"

	"rbcs"
)

const (
	insertAccount = `INSERT INTO accounts (number, currency, decimals, status, overdraft, balance, received, sent,
			version, metadata, created_at, updated_at)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?6, 0, ?7, ?8, ?8) RETURNING key`
	selectAccounts = "SELECT " + accountColumns + ` FROM accounts
		WHERE number >= ?1 AND number < ?2 AND (?3 = '' OR currency = ?3) AND (?4 = '' OR status = ?4)
		ORDER BY number LIMIT ?5`

	// A creation writes at most three rows, and they are the account's first.
	selectCreation = "SELECT field, new_value, at FROM account_changes WHERE account_key = ? ORDER BY key LIMIT 3"
)

// behindAll sorts behind every byte that a number may have.
const behindAll = "\x7f"

// DeclareCurrencies implements [rbcs.Store].
func (s *Store) DeclareCurrencies(ctx context.Context, declared []rbcs.Currency) ([]rbcs.Currency, error) {
	var all []rbcs.Currency
	err := s.withWrite(ctx, func(w *writer, _ time.Time) error {
		insert, err := w.stmt("INSERT INTO currencies (code, decimals) VALUES (?, ?) ON CONFLICT DO NOTHING")
		if err != nil {
			return err
		}
		for _, c := range declared {
			if err := insert.bind(c.Code, c.Decimals).run(); err != nil {
				return err
			}
		}
		if all, err = w.currencies(); err != nil {
			return err
		}
		recorded := make(map[string]int, len(all))
		for _, c := range all {
			recorded[c.Code] = c.Decimals
		}
		for _, c := range declared {
			if was := recorded[c.Code]; was != c.Decimals {
				return rbcs.Errorf(rbcs.InvalidRequest,
					"the currency %s is recorded with %d decimals and cannot be declared with %d: that would rescale its money",
					c.Code, was, c.Decimals)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

func (c *conn) currencies() (all []rbcs.Currency, err error) {
	s, err := c.stmt("SELECT code, decimals FROM currencies ORDER BY code")
	if err != nil {
		return nil, err
	}
	for s.next() {
		all = append(all, rbcs.Currency{Code: s.textAt(0), Decimals: int(s.intAt(1))})
	}
	return all, s.done()
}

// CreateAccounts implements [rbcs.Store].
func (s *Store) CreateAccounts(ctx context.Context, accounts []rbcs.NewAccount) ([]rbcs.AccountResult, error) {
	results := make([]rbcs.AccountResult, len(accounts))
	err := s.withWrite(ctx, func(w *writer, now time.Time) error {
		for i := range accounts {
			if err := w.createAccount(&accounts[i], now, &results[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

func (w *writer) createAccount(n *rbcs.NewAccount, now time.Time, result *rbcs.AccountResult) error {
	switch existing, err := w.account(n.Number); {
	case err == nil:
		was, err := w.creation(existing)
		if err != nil {
			return err
		}
		if result.Err = n.Conflict(was); result.Err == nil {
			result.Account = existing.Account
		}
		return nil
	case rbcs.CodeOf(err) != rbcs.NotFound:
		return err
	}
	*result = rbcs.AccountResult{Created: true, Account: rbcs.Account{
		Number:    n.Number,
		Currency:  n.Currency,
		Status:    rbcs.Open,
		Overdraft: n.Overdraft,
		Metadata:  n.Metadata,
		CreatedAt: now,
		UpdatedAt: now,
	}}
	insert, err := w.stmt(insertAccount)
	if err != nil {
		return err
	}
	insert.bind(n.Number, n.Currency.Code, n.Currency.Decimals, string(rbcs.Open), overdraftValue(n.Overdraft), rbcs.Amount{},
		textValue(n.Metadata), micros(now))
	var key int64
	for insert.next() {
		key = insert.intAt(0)
	}
	if err := insert.done(); err != nil {
		return err
	}
	changes := accountChanges{writer: w, key: key, at: now, actor: n.Actor}
	changes.record("created", "", n.Currency.Code)
	changes.record("overdraft", "", formatOverdraft(n.Overdraft, n.Currency))
	changes.record("metadata", "", n.Metadata)
	return changes.err
}

// creation returns what created an account: what was changed since makes no
// request for it another one.
func (c *conn) creation(a *account) (*rbcs.NewAccount, error) {
	query, err := c.stmt(selectCreation)
	if err != nil {
		return nil, err
	}
	created := map[string]string{}
	for query.bind(a.key); query.next(); {
		if query.intAt(2) == micros(a.CreatedAt) { // no change is as early
			created[query.textAt(0)] = query.textAt(1)
		}
	}
	if err := query.done(); err != nil {
		return nil, err
	}
	was := &rbcs.NewAccount{Number: a.Number, Currency: a.Currency, Metadata: created["metadata"]}
	was.Overdraft, err = parseOverdraft(created["overdraft"], a.Currency)
	return was, err
}

// account is an account with what the store knows it by.
type account struct {
	rbcs.Account
	key  int64
	last int64 // the sequence that made its current version; 0 before the first
}

// account returns an account, or [rbcs.NotFound].
func (c *conn) account(number string) (*account, error) {
	s, err := c.stmt(selectAccount)
	if err != nil {
		return nil, err
	}
	var a *account
	if s.bind(number).next() {
		a = &account{key: s.intAt(accountWidth), last: s.intAt(accountWidth + 1)}
		scanAccount(s, &a.Account)
	}
	if err := s.done(); err != nil {
		return nil, err
	}
	if a == nil {
		return nil, rbcs.Errorf(rbcs.NotFound, "there is no account %s", number)
	}
	return a, nil
}

// Account implements [rbcs.Store].
func (s *Store) Account(ctx context.Context, number string) (rbcs.Account, error) {
	var found rbcs.Account
	err := s.withRead(ctx, func(c *conn) error {
		a, err := c.account(number)
		if err == nil {
			found = a.Account
		}
		return err
	})
	return found, err
}

// Accounts implements [rbcs.Store].
func (s *Store) Accounts(ctx context.Context, q rbcs.AccountQuery) ([]rbcs.Account, error) {
	first, end := q.Prefix, q.Prefix+behindAll // of the range of numbers, as the index has them
	if q.After != "" {
		first = max(first, q.After+"\x00") // the very next string
	}
	var list []rbcs.Account
	err := s.withRead(ctx, func(c *conn) error {
		query, err := c.stmt(selectAccounts)
		if err != nil {
			return err
		}
		query.bind(first, end, q.Currency, string(q.Status), q.Limit)
		for query.next() {
			list = append(list, rbcs.Account{})
			scanAccount(query, &list[len(list)-1])
		}
		return query.done()
	})
	return list, err
}

// overdraftValue is an overdraft in the database: NULL where it is unlimited.
func overdraftValue(o rbcs.Overdraft) any {
	if o.Unlimited {
		return nil
	}
	return o.Limit
}

func textValue(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func formatOverdraft(o rbcs.Overdraft, c rbcs.Currency) string {
	if o.Unlimited {
		return "unlimited"
	}
	return o.Limit.Format(c.Decimals)
}

// parseOverdraft reads what formatOverdraft wrote.
func parseOverdraft(s string, c rbcs.Currency) (o rbcs.Overdraft, err error) {
	if o.Unlimited = s == "unlimited"; o.Unlimited {
		return o, nil
	}
	limit, err := rbcs.ParseDecimal(s)
	if err == nil {
		o.Limit, err = limit.In(c.Decimals)
	}
	if err != nil {
		return o, &rbcs.Error{Code: rbcs.Internal, Message: "the record of an account's creation is damaged; run: rbcs verify", Err: err}
	}
	return o, nil
}

const selectBalanceNow = "SELECT currency, decimals, balance, held, version, updated_at FROM accounts WHERE number = ?"

// Balances implements [rbcs.BalanceReader]. Each is read by itself, after the call
// began. No cache is ever filled from here: there is one process, and SQLite is in it.
func (s *Store) Balances(ctx context.Context, numbers []string) ([]rbcs.BalanceReading, error) {
	readings := make([]rbcs.BalanceReading, len(numbers))
	err := s.withRead(ctx, func(c *conn) error {
		query, err := c.stmt(selectBalanceNow)
		if err != nil {
			return err
		}
		now := micros(s.clock())
		for i, number := range numbers {
			r := &readings[i]
			r.Number = number
			query.text(1, number)
			if query.next() {
				r.Currency = rbcs.Currency{Code: query.wordAt(0), Decimals: int(query.intAt(1))}
				r.Balance.Balance, r.Held, r.Version = query.amountAt(2), query.amountAt(3), query.intAt(4)
				r.AsOf = timeOf(max(now, query.intAt(5)))
			}
			if err := query.done(); err != nil {
				return err
			}
			if r.AsOf.IsZero() {
				r.Err = rbcs.Errorf(rbcs.NotFound, "there is no account %s", number)
			}
		}
		return nil
	})
	return readings, err
}
