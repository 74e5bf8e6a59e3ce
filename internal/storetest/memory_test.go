package storetest_test

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"rbcs"
	"rbcs/internal/posting"
)

// memory is the simplest store: the posting rules over maps, under one mutex.
// Running the suite on it tests the suite itself, and the rules against the
// suite's model, without a database.
type memory struct {
	mu         sync.Mutex
	accounts   map[string]*posting.Account
	log        []rbcs.Result // the decision with sequence n is at n−1
	currencies map[string]rbcs.Currency
}

func newMemory() *memory {
	return &memory{accounts: map[string]*posting.Account{}, currencies: map[string]rbcs.Currency{}}
}

func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

func (m *memory) enter(ctx context.Context) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, rbcs.Errorf(rbcs.Unavailable, "the call was cancelled: %w", err)
	}
	m.mu.Lock()
	return m.mu.Unlock, nil
}

func (m *memory) Commit(ctx context.Context, batch []*rbcs.Transaction) ([]rbcs.Result, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	b := posting.Batch{Now: now(), Accounts: m.accounts, Recorded: map[string]*rbcs.Result{}, Transactions: batch}
	for i := range m.log {
		b.Recorded[m.log[i].Transaction.ID] = &m.log[i]
	}
	results := make([]rbcs.Result, len(batch))
	recorded := map[string]rbcs.Result{}
	for i, d := range b.Decide() {
		if d.New() {
			d.Sequence, d.Instance = int64(len(m.log))+1, "memory"
			m.log = append(m.log, d.Result)
			recorded[d.Transaction.ID] = d.Result
		}
		results[i] = d.Result
		if first, ok := recorded[d.Transaction.ID]; ok && d.Replayed {
			results[i] = first // with its sequence
			results[i].Replayed = true
		}
	}
	return results, nil
}

func (m *memory) DeclareCurrencies(ctx context.Context, declared []rbcs.Currency) ([]rbcs.Currency, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	for _, c := range declared {
		if known, ok := m.currencies[c.Code]; ok && known != c {
			return nil, rbcs.Errorf(rbcs.InvalidRequest, "the currency %s has %d decimals", c.Code, known.Decimals)
		}
	}
	for _, c := range declared {
		m.currencies[c.Code] = c
	}
	return slices.Collect(maps.Values(m.currencies)), nil
}

func (m *memory) CreateAccounts(ctx context.Context, accounts []rbcs.NewAccount) ([]rbcs.AccountResult, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	results := make([]rbcs.AccountResult, len(accounts))
	for i, n := range accounts {
		a, exists := m.accounts[n.Number]
		if !exists {
			at := now()
			a = &posting.Account{Account: rbcs.Account{
				Number: n.Number, Currency: n.Currency, Status: rbcs.Open, Overdraft: n.Overdraft, Metadata: n.Metadata, CreatedAt: at, UpdatedAt: at,
			}}
			m.accounts[n.Number] = a
		}
		var fields []rbcs.FieldError
		for pointer, same := range map[string]bool{
			"/currency": a.Currency == n.Currency, "/overdraft": a.Overdraft == n.Overdraft, "/metadata": a.Metadata == n.Metadata,
		} {
			if !same {
				fields = append(fields, rbcs.FieldError{Pointer: pointer, Message: "differs"})
			}
		}
		if fields != nil {
			results[i].Err = &rbcs.Error{Code: rbcs.AccountConflict, Message: "the account exists with other content", Fields: fields}
			continue
		}
		results[i] = rbcs.AccountResult{Account: a.Account, Created: !exists}
	}
	return results, nil
}

func (m *memory) UpdateAccount(ctx context.Context, number string, change rbcs.AccountChange) (rbcs.Account, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return rbcs.Account{}, err
	}
	defer leave()
	stored, ok := m.accounts[number]
	if !ok {
		return rbcs.Account{}, rbcs.Errorf(rbcs.NotFound, "there is no account %s", number)
	}
	a := stored.Account
	if change.Status != nil {
		a.Status = *change.Status
		if a.Status == rbcs.Closed && (!a.Balance.IsZero() || !a.Held.IsZero()) {
			return rbcs.Account{}, rbcs.Errorf(rbcs.InvalidRequest, "the account is not empty")
		}
	}
	if o := change.Overdraft; o != nil {
		limit, err := o.Limit.In(a.Currency.Decimals)
		if err != nil {
			return rbcs.Account{}, rbcs.Errorf(rbcs.InvalidRequest, "overdraft: %w", err)
		}
		a.Overdraft = rbcs.Overdraft{Unlimited: o.Unlimited, Limit: limit}
	}
	if change.Metadata != nil {
		a.Metadata = *change.Metadata
	}
	if at := now(); at.After(a.UpdatedAt) {
		a.UpdatedAt = at
	}
	stored.Account = a
	return a, nil
}

func (m *memory) Account(ctx context.Context, number string) (rbcs.Account, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return rbcs.Account{}, err
	}
	defer leave()
	if a, ok := m.accounts[number]; ok {
		return a.Account, nil
	}
	return rbcs.Account{}, rbcs.Errorf(rbcs.NotFound, "there is no account %s", number)
}

func (m *memory) Accounts(ctx context.Context, q rbcs.AccountQuery) (list []rbcs.Account, err error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	for _, number := range slices.Sorted(maps.Keys(m.accounts)) {
		a := m.accounts[number]
		if len(list) < q.Limit && strings.HasPrefix(number, q.Prefix) && number > q.After &&
			(q.Currency == "" || q.Currency == a.Currency.Code) && (q.Status == "" || q.Status == a.Status) {
			list = append(list, a.Account)
		}
	}
	return list, nil
}

func (m *memory) BalanceAt(ctx context.Context, number string, at time.Time) (rbcs.Balance, error) {
	a, err := m.Account(ctx, number)
	if err != nil {
		return rbcs.Balance{}, err
	}
	b := rbcs.Balance{Number: number, Currency: a.Currency, AsOf: at}
	entries, err := m.History(ctx, rbcs.HistoryQuery{Account: number, To: at.Add(time.Nanosecond), Descending: true, Limit: 1})
	if err == nil && len(entries) > 0 {
		b.Balance, b.Held, b.Version = entries[0].Balance, entries[0].Held, entries[0].Version
	}
	return b, err
}

func (m *memory) Transaction(ctx context.Context, id string) (rbcs.Result, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return rbcs.Result{}, err
	}
	defer leave()
	for _, r := range m.log {
		if r.Transaction.ID == id {
			return r, nil
		}
	}
	return rbcs.Result{}, rbcs.Errorf(rbcs.NotFound, "there is no transaction %s", id)
}

func (m *memory) Transactions(ctx context.Context, q rbcs.TransactionQuery) (list []rbcs.Result, err error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	for _, r := range slices.Backward(m.log) {
		if len(list) < q.Limit && (q.Account == "" || q.Account == r.Transaction.Source || q.Account == r.Transaction.Destination) &&
			(q.Status == "" || q.Status == r.Status) && within(r.CommittedAt, q.From, q.To) && (q.Before == 0 || r.Sequence < q.Before) {
			list = append(list, r)
		}
	}
	return list, nil
}

func within(at, from, to time.Time) bool {
	return !at.Before(from) && (to.IsZero() || at.Before(to))
}

func (m *memory) History(ctx context.Context, q rbcs.HistoryQuery) (list []rbcs.Entry, err error) {
	if _, err := m.Account(ctx, q.Account); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	m.mu.Lock()
	for _, r := range m.log {
		entry := rbcs.Entry{Result: r, Credit: r.Transaction.Destination == q.Account, Change: r.Transaction.Amount.Units, State: r.Destination}
		if !entry.Credit {
			entry.Change, entry.State = entry.Change.Neg(), r.Source
		}
		if r.Status == rbcs.Posted && (q.Account == r.Transaction.Source || entry.Credit) && within(r.CommittedAt, q.From, q.To) &&
			(q.After == 0 || q.Descending && entry.Version < q.After || !q.Descending && entry.Version > q.After) {
			list = append(list, entry)
		}
	}
	slices.SortFunc(list, func(a, b rbcs.Entry) int {
		if q.Descending {
			a, b = b, a
		}
		return cmp.Compare(a.Version, b.Version)
	})
	return list[:min(len(list), q.Limit)], nil
}

func (m *memory) Dump(ctx context.Context, decision func(*rbcs.Result) error, account func(*rbcs.Account) error) error {
	leave, err := m.enter(ctx)
	if err != nil {
		return err
	}
	log := slices.Clone(m.log)
	var accounts []rbcs.Account
	for _, a := range m.accounts {
		accounts = append(accounts, a.Account)
	}
	leave()
	for i := range log {
		if err := decision(&log[i]); err != nil {
			return err
		}
	}
	for i := range accounts {
		if err := account(&accounts[i]); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) Check(context.Context) error { return nil }
func (m *memory) Close() error                { return nil }
