package storetest_test

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math/big"
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
	created    map[string]rbcs.NewAccount // the words that created each account
	log        []*rbcs.Result             // the decision with sequence n is at n−1
	recorded   map[string]*rbcs.Result    // the same by ID
	references map[string]posting.Reference
	currencies map[string]rbcs.Currency
	webhooks   map[string]*claimed
	intake     memoryIntake
}

func newMemory() *memory {
	return &memory{
		accounts: map[string]*posting.Account{}, created: map[string]rbcs.NewAccount{}, recorded: map[string]*rbcs.Result{}, references: map[string]posting.Reference{},
		currencies: map[string]rbcs.Currency{}, webhooks: map[string]*claimed{}, intake: newMemoryIntake(),
	}
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
	b := posting.Batch{
		Now: now(), Accounts: m.accounts, Recorded: m.recorded, References: m.references, Queued: m.intake.entries, Transactions: batch,
	}
	decisions := b.Decide()
	results := make([]rbcs.Result, len(batch))
	for i := range decisions {
		d := &decisions[i]
		if d.New() {
			d.Sequence, d.Instance = int64(len(m.log))+1, "memory"
			m.log = append(m.log, new(d.Result))
			m.recorded[d.Transaction.ID] = m.log[len(m.log)-1]
		}
		if d.Replayed { // with its sequence, where it stands twice in the batch
			d.Sequence, d.Instance = d.Of.Sequence, d.Of.Instance
		}
		results[i] = d.Result
	}
	return results, nil
}

func (m *memory) Preview(ctx context.Context, batch []*rbcs.Transaction) ([]rbcs.Result, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	accounts := map[string]*posting.Account{}
	for number, a := range m.accounts {
		accounts[number] = new(*a)
	}
	b := posting.Batch{
		Now: now(), Accounts: accounts, Recorded: maps.Clone(m.recorded), References: maps.Clone(m.references),
		Queued: m.intake.entries, Transactions: batch,
	}
	results := make([]rbcs.Result, len(batch))
	for i, d := range b.Decide() {
		results[i] = d.Result
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
			m.accounts[n.Number], m.created[n.Number] = a, n
		}
		was := m.created[n.Number]
		if results[i].Err = n.Conflict(&was); results[i].Err != nil {
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
	a, err := stored.Account.Changed(&change)
	if err != nil {
		return rbcs.Account{}, err
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

// record is a decision as it stands now.
func (m *memory) record(r *rbcs.Result) rbcs.Record {
	reference := m.references[r.Transaction.ID]
	if m.recorded[r.Transaction.ID] != r { // an earlier attempt
		reference = posting.Reference{}
	}
	record := rbcs.Record{Result: *r, Current: r.Status, ClosedBy: reference.SettledBy, TakenBack: reference.Reversed}
	if reference.SettledBy != "" {
		record.Current = map[rbcs.Type]rbcs.Status{
			rbcs.Capture: rbcs.Captured, rbcs.Release: rbcs.Released, rbcs.Expiry: rbcs.Expired,
		}[m.recorded[reference.SettledBy].Transaction.Type]
	} else if !reference.Reversed.IsZero() && reference.Reversed == r.Transaction.Amount.Units {
		record.Current = rbcs.Reversed
	}
	return record
}

func (m *memory) Transaction(ctx context.Context, id string) (rbcs.Record, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return rbcs.Record{}, err
	}
	defer leave()
	if r := m.recorded[id]; r != nil {
		return m.record(r), nil
	}
	return rbcs.Record{}, rbcs.Errorf(rbcs.NotFound, "there is no transaction %s", id)
}

func (m *memory) Attempts(ctx context.Context, id string) (list []rbcs.Result, err error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	for _, r := range m.log {
		if r.Transaction.ID == id {
			list = append(list, *r)
		}
	}
	return list, nil
}

func (m *memory) Transactions(ctx context.Context, q rbcs.TransactionQuery) (list []rbcs.Record, err error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	for _, r := range slices.Backward(m.log) {
		if len(list) < q.Limit && (q.Account == "" || q.Account == r.Transaction.Source || q.Account == r.Transaction.Destination) &&
			(q.Status == "" || q.Status == m.record(r).Current) && within(r.CommittedAt, q.From, q.To) && (q.Before == 0 || r.Sequence < q.Before) {
			list = append(list, m.record(r))
		}
	}
	return list, nil
}

func (m *memory) Totals(ctx context.Context, prefix string) (list []rbcs.Total, err error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	type sums struct{ balance, held big.Int }
	totals, wide := map[string]*rbcs.Total{}, map[string]*sums{}
	for number, a := range m.accounts {
		if !strings.HasPrefix(number, prefix) {
			continue
		}
		code := a.Currency.Code
		if totals[code] == nil {
			totals[code], wide[code] = &rbcs.Total{Currency: a.Currency, AsOf: now()}, &sums{}
		}
		totals[code].Accounts++
		add(&wide[code].balance, a.Balance)
		add(&wide[code].held, a.Held)
	}
	for _, code := range slices.Sorted(maps.Keys(totals)) {
		t := totals[code]
		var fits1, fits2 bool
		t.Balance, fits1 = narrow(&wide[code].balance)
		t.Held, fits2 = narrow(&wide[code].held)
		if !fits1 || !fits2 {
			return nil, rbcs.Errorf(rbcs.InvalidRequest, "the sum in %s has more than 38 digits", code)
		}
		list = append(list, *t)
	}
	return list, nil
}

func add(sum *big.Int, a rbcs.Amount) {
	n, _ := new(big.Int).SetString(a.String(), 10)
	sum.Add(sum, n)
}

// narrow returns the number as an amount, and whether it is one.
func narrow(n *big.Int) (rbcs.Amount, bool) {
	d, err := rbcs.ParseDecimal(new(big.Int).Abs(n).String())
	if n.Sign() < 0 {
		d.Units = d.Units.Neg()
	}
	return d.Units, err == nil
}

func (m *memory) DueHolds(ctx context.Context, limit int) (list []rbcs.Transaction, err error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	for _, r := range m.log {
		end := r.Transaction.ExpiresAt
		if m.record(r).Current == rbcs.Holding && !end.IsZero() && !end.After(now()) {
			list = append(list, r.Transaction)
		}
	}
	slices.SortStableFunc(list, func(a, b rbcs.Transaction) int { return a.ExpiresAt.Compare(b.ExpiresAt) })
	return list[:min(len(list), limit)], nil
}

func (m *memory) Log(ctx context.Context, after int64, limit int) (page rbcs.LogPage, err error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return page, err
	}
	defer leave()
	page.End = max(after, int64(len(m.log)))
	for _, r := range m.log[min(max(after, 0), int64(len(m.log))):] {
		if len(page.Results) == limit {
			break
		}
		page.Results = append(page.Results, *r)
		page.End = r.Sequence
	}
	return page, nil
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
		entry := rbcs.Entry{Result: *r, Credit: r.Transaction.Destination == q.Account, State: r.Source}
		if entry.Credit {
			entry.State = r.Destination
		}
		if r.Destination.Version > 0 {
			if entry.Change = r.Transaction.Amount.Units; !entry.Credit {
				entry.Change = entry.Change.Neg()
			}
		}
		if entry.Version > 0 && (q.Account == r.Transaction.Source || entry.Credit) && within(r.CommittedAt, q.From, q.To) &&
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
		if err := decision(log[i]); err != nil {
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

func (m *memory) Balances(ctx context.Context, numbers []string) ([]rbcs.BalanceReading, error) {
	readings := make([]rbcs.BalanceReading, len(numbers))
	for i, number := range numbers {
		a, err := m.Account(ctx, number)
		if err != nil && rbcs.CodeOf(err) != rbcs.NotFound {
			return nil, err
		}
		errors.As(err, &readings[i].Err)
		readings[i].Balance = rbcs.Balance{Number: number, Currency: a.Currency, Balance: a.Balance, Held: a.Held, Version: a.Version}
		if err == nil {
			readings[i].AsOf = now()
		}
	}
	return readings, nil
}
