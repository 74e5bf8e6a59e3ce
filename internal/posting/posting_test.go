package posting_test

import (
	"testing"
	"time"

	"rbcs"
	"rbcs/internal/posting"
)

var (
	usd = rbcs.Currency{Code: "USD", Decimals: 2}
	eur = rbcs.Currency{Code: "EUR", Decimals: 2}
	jpy = rbcs.Currency{Code: "JPY"}

	start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now   = start.Add(time.Hour)
)

// account returns an open USD account that received so many cents; edit changes it.
func account(number string, cents int64, edit ...func(*posting.Account)) *posting.Account {
	a := &posting.Account{Key: int64(len(number))}
	a.Number, a.Currency, a.Status = number, usd, rbcs.Open
	a.Balance, a.Received = rbcs.AmountOf(cents), rbcs.AmountOf(cents)
	a.CreatedAt, a.UpdatedAt = start, start
	for _, f := range edit {
		f(a)
	}
	return a
}

func status(s rbcs.AccountStatus) func(*posting.Account) {
	return func(a *posting.Account) { a.Status = s }
}

func currency(c rbcs.Currency) func(*posting.Account) {
	return func(a *posting.Account) { a.Currency = c }
}

func overdraft(cents int64) func(*posting.Account) {
	return func(a *posting.Account) { a.Overdraft.Limit = rbcs.AmountOf(cents) }
}

func unlimited(a *posting.Account) { a.Overdraft.Unlimited = true }

func held(cents int64) func(*posting.Account) {
	return func(a *posting.Account) { a.Held = rbcs.AmountOf(cents) }
}

// transfer returns a transaction of the given amount from a to b; edit changes it.
func transfer(t *testing.T, id, amount string, edit ...func(*rbcs.Transaction)) *rbcs.Transaction {
	t.Helper()
	d, err := rbcs.ParseDecimal(amount)
	if err != nil {
		t.Fatal(err)
	}
	tx := &rbcs.Transaction{ID: id, Type: rbcs.Transfer, Source: "a", Destination: "b", Amount: d, Timestamp: start}
	for _, f := range edit {
		f(tx)
	}
	return tx
}

func in(code string) func(*rbcs.Transaction) {
	return func(t *rbcs.Transaction) { t.Currency = code }
}

func between(source, destination string) func(*rbcs.Transaction) {
	return func(t *rbcs.Transaction) { t.Source, t.Destination = source, destination }
}

func batch(accounts []*posting.Account, txs ...*rbcs.Transaction) *posting.Batch {
	b := &posting.Batch{
		Now:          now,
		Accounts:     map[string]*posting.Account{},
		Recorded:     map[string]*rbcs.Result{},
		References:   map[string]posting.Reference{},
		Transactions: txs,
	}
	for _, a := range accounts {
		b.Accounts[a.Number] = a
	}
	return b
}

func TestPosted(t *testing.T) {
	a, b := account("a", 10_000), account("b", 500)
	d := batch([]*posting.Account{a, b}, transfer(t, "1", "12.5")).Decide()[0]

	if d.Status != rbcs.Posted || d.Code != "" || d.Err != nil || d.Replayed || !d.New() {
		t.Fatalf("decision = %+v, want posted and new", d.Result)
	}
	if d.Transaction.Currency != "USD" || d.Transaction.Amount.String() != "12.50" {
		t.Errorf("recorded as %s %s, want 12.50 USD", d.Transaction.Amount, d.Transaction.Currency)
	}
	wantSource := rbcs.State{Balance: rbcs.AmountOf(8750), Version: 1}
	wantDestination := rbcs.State{Balance: rbcs.AmountOf(1750), Version: 1}
	if d.Source != wantSource || d.Destination != wantDestination {
		t.Errorf("states = %v, %v, want %v, %v", d.Source, d.Destination, wantSource, wantDestination)
	}
	if a.Sent != rbcs.AmountOf(1250) || b.Received != rbcs.AmountOf(1750) || !a.Changed || !b.Changed {
		t.Errorf("accounts = %+v, %+v", a, b)
	}
	if !d.CommittedAt.Equal(now) || !a.UpdatedAt.Equal(now) || d.Attempt != 1 {
		t.Errorf("committed at %v, attempt %d", d.CommittedAt, d.Attempt)
	}
	if d.SourceAccount != a || d.DestinationAccount != b {
		t.Error("the decision does not carry its accounts")
	}
}

// TestRejected has a row for each code, and for each pair of neighbours in the order of precedence.
func TestRejected(t *testing.T) {
	most := func(a *posting.Account) { a.Balance, a.Received = rbcs.MaxAmount(), rbcs.MaxAmount() }
	tests := []struct {
		name     string
		accounts []*posting.Account
		tx       *rbcs.Transaction
		want     rbcs.Code
	}{
		{"same account", []*posting.Account{account("a", 900)}, transfer(t, "1", "1", between("a", "a")), rbcs.SameAccount},
		{"same account before not found", nil, transfer(t, "1", "1", between("x", "x")), rbcs.SameAccount},
		{"no source", []*posting.Account{account("b", 0)}, transfer(t, "1", "1"), rbcs.AccountNotFound},
		{"no destination", []*posting.Account{account("a", 900)}, transfer(t, "1", "1"), rbcs.AccountNotFound},
		{
			"not found before frozen",
			[]*posting.Account{account("a", 900, status(rbcs.Frozen))},
			transfer(t, "1", "1"), rbcs.AccountNotFound,
		},
		{
			"source frozen",
			[]*posting.Account{account("a", 900, status(rbcs.Frozen)), account("b", 0)},
			transfer(t, "1", "1"), rbcs.AccountFrozen,
		},
		{
			"destination frozen",
			[]*posting.Account{account("a", 900), account("b", 0, status(rbcs.Frozen))},
			transfer(t, "1", "1"), rbcs.AccountFrozen,
		},
		{
			"source frozen for what leaves it",
			[]*posting.Account{account("a", 900, status(rbcs.FrozenOutgoing)), account("b", 0)},
			transfer(t, "1", "1"), rbcs.AccountFrozen,
		},
		{
			"frozen before closed",
			[]*posting.Account{account("a", 900, status(rbcs.Closed)), account("b", 0, status(rbcs.Frozen))},
			transfer(t, "1", "1"), rbcs.AccountFrozen,
		},
		{
			"source closed",
			[]*posting.Account{account("a", 0, status(rbcs.Closed)), account("b", 0)},
			transfer(t, "1", "1"), rbcs.AccountClosed,
		},
		{
			"closed before currency",
			[]*posting.Account{account("a", 900), account("b", 0, status(rbcs.Closed), currency(eur))},
			transfer(t, "1", "1"), rbcs.AccountClosed,
		},
		{
			"accounts of two currencies",
			[]*posting.Account{account("a", 900), account("b", 0, currency(eur))},
			transfer(t, "1", "1"), rbcs.CurrencyMismatch,
		},
		{
			"transaction in another currency",
			[]*posting.Account{account("a", 900), account("b", 0)},
			transfer(t, "1", "1.00", in("EUR")), rbcs.CurrencyMismatch,
		},
		{
			"currency before funds",
			[]*posting.Account{account("a", 0), account("b", 0, currency(jpy))},
			transfer(t, "1", "1"), rbcs.CurrencyMismatch,
		},
		{
			"one cent short",
			[]*posting.Account{account("a", 99), account("b", 0)},
			transfer(t, "1", "1"), rbcs.InsufficientFunds,
		},
		{
			"one cent past the overdraft",
			[]*posting.Account{account("a", 0, overdraft(99)), account("b", 0)},
			transfer(t, "1", "1"), rbcs.InsufficientFunds,
		},
		{
			"held money is not spendable",
			[]*posting.Account{account("a", 150, held(51)), account("b", 0)},
			transfer(t, "1", "1"), rbcs.InsufficientFunds,
		},
		{
			"funds before overflow",
			[]*posting.Account{account("a", 0), account("b", 0, most)},
			transfer(t, "1", "1"), rbcs.InsufficientFunds,
		},
		{
			"destination's balance overflows",
			[]*posting.Account{account("a", 100), account("b", 0, most)},
			transfer(t, "1", "1"), rbcs.Overflow,
		},
		{
			"destination's total overflows",
			[]*posting.Account{account("a", 100), account("b", 0, func(b *posting.Account) { b.Received = rbcs.MaxAmount() })},
			transfer(t, "1", "1"), rbcs.Overflow,
		},
		{
			"source's total overflows",
			[]*posting.Account{account("a", 100, func(a *posting.Account) { a.Sent = rbcs.MaxAmount() }), account("b", 0)},
			transfer(t, "1", "1"), rbcs.Overflow,
		},
		{
			"source's balance overflows",
			[]*posting.Account{
				account("a", 0, unlimited, func(a *posting.Account) { a.Balance = rbcs.MaxAmount().Neg() }), account("b", 0),
			},
			transfer(t, "1", "1"), rbcs.Overflow,
		},
		{
			"source's available overflows",
			[]*posting.Account{
				account("a", 0, unlimited, held(1), func(a *posting.Account) {
					a.Balance, _ = rbcs.MaxAmount().Neg().Add(rbcs.AmountOf(100))
				}), account("b", 0),
			},
			transfer(t, "1", "1"), rbcs.Overflow,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := make([]posting.Account, len(tt.accounts))
			for i, a := range tt.accounts {
				before[i] = *a
			}
			d := batch(tt.accounts, tt.tx).Decide()[0]
			if d.Status != rbcs.Rejected || d.Code != tt.want || !d.New() {
				t.Errorf("decision = %s %q (%v), want rejected as %s", d.Status, d.Code, d.Err, tt.want)
			}
			for i, a := range tt.accounts {
				if *a != before[i] {
					t.Errorf("a rejection changed %+v into %+v", before[i], *a)
				}
			}
			if d.Source != (rbcs.State{}) || d.Destination != (rbcs.State{}) {
				t.Errorf("a rejection has states %v and %v", d.Source, d.Destination)
			}
		})
	}
}

func TestShortfall(t *testing.T) {
	cents := rbcs.AmountOf
	tests := []struct {
		name   string
		source *posting.Account
		amount string
		want   rbcs.Shortfall
	}{
		{"plain", account("a", 30), "1", rbcs.Shortfall{Available: cents(30), Needed: cents(100), Short: cents(70)}},
		{
			"with an overdraft and a hold", account("a", 30, overdraft(20), held(5)), "1",
			rbcs.Shortfall{Available: cents(25), Overdraft: cents(20), Needed: cents(100), Short: cents(55)},
		},
		{
			"below a cut overdraft", account("a", 0, func(a *posting.Account) { a.Balance = cents(-500) }), "1",
			rbcs.Shortfall{Available: cents(-500), Needed: cents(100), Short: cents(600)},
		},
		{
			"more than 38 digits", account("a", 0, func(a *posting.Account) { a.Balance = rbcs.MaxAmount().Neg() }), "1",
			rbcs.Shortfall{Available: rbcs.MaxAmount().Neg(), Needed: cents(100), Short: rbcs.MaxAmount()},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := batch([]*posting.Account{tt.source, account("b", 0)}, transfer(t, "1", tt.amount)).Decide()[0]
			if d.Code != rbcs.InsufficientFunds || d.Shortfall != tt.want {
				t.Errorf("decision = %q %+v, want %+v", d.Code, d.Shortfall, tt.want)
			}
		})
	}
}

func TestLimitsAreReachedButNotCrossed(t *testing.T) {
	far := account("a", 0, func(a *posting.Account) {
		a.Balance, a.Received, a.Overdraft.Limit = rbcs.MaxAmount(), rbcs.MaxAmount(), rbcs.MaxAmount()
	})
	for name, a := range map[string]*posting.Account{
		"to zero":                       account("a", 100),
		"to the overdraft":              account("a", 40, overdraft(60)),
		"unlimited":                     account("a", 0, unlimited),
		"usable of more than 38 digits": far,
	} {
		t.Run(name, func(t *testing.T) {
			if d := batch([]*posting.Account{a, account("b", 0)}, transfer(t, "1", "1")).Decide()[0]; d.Status != rbcs.Posted {
				t.Errorf("decision = %s %s, want posted", d.Status, d.Code)
			}
		})
	}
}

func TestCreditOfAnAccountBelowItsOverdraft(t *testing.T) {
	b := account("b", 0, func(b *posting.Account) { b.Balance = rbcs.AmountOf(-500) })
	d := batch([]*posting.Account{account("a", 100), b}, transfer(t, "1", "1")).Decide()[0]
	if d.Status != rbcs.Posted || d.Destination.Balance != rbcs.AmountOf(-400) {
		t.Errorf("decision = %+v, want posted with −4.00 left", d.Result)
	}
}

func TestLaterSeesEarlier(t *testing.T) {
	accounts := []*posting.Account{account("a", 100), account("b", 0), account("c", 0)}
	d := batch(accounts,
		transfer(t, "early", "1", between("b", "c")), // b has nothing yet
		transfer(t, "fund", "1"),
		transfer(t, "late", "0.60", between("b", "c")),
		transfer(t, "over", "0.60", between("b", "c")),
	).Decide()
	want := []rbcs.Status{rbcs.Rejected, rbcs.Posted, rbcs.Posted, rbcs.Rejected}
	for i, w := range want {
		if d[i].Status != w {
			t.Errorf("%s is %s, want %s", d[i].Transaction.ID, d[i].Status, w)
		}
	}
	if got := d[2].Source; got != (rbcs.State{Balance: rbcs.AmountOf(40), Version: 2}) {
		t.Errorf("b is at %+v after two changes", got)
	}
}

func TestSameIDInOneBatch(t *testing.T) {
	accounts := []*posting.Account{account("a", 1000), account("b", 0)}
	d := batch(accounts,
		transfer(t, "1", "1"),
		transfer(t, "1", "1.00", in("USD")), // the same by value, the default written out
		transfer(t, "1", "2"),
		transfer(t, "2", "99"),
		transfer(t, "2", "99.0"),
	).Decide()

	if !d[1].Replayed || d[1].New() || d[1].Source != d[0].Source || d[1].Status != rbcs.Posted {
		t.Errorf("the second is %+v, want a replay of the first", d[1].Result)
	}
	if d[2].Err == nil || d[2].Err.Code != rbcs.IDConflict || len(d[2].Err.Fields) != 1 || d[2].Err.Fields[0].Pointer != "/amount" {
		t.Errorf("the third is %+v, want a conflict in /amount", d[2].Result)
	}
	if !d[4].Replayed || d[4].Code != rbcs.InsufficientFunds || d[4].Shortfall != d[3].Shortfall {
		t.Errorf("the fifth is %+v, want a replay of a rejection", d[4].Result)
	}
	if accounts[0].Balance != rbcs.AmountOf(900) || accounts[0].Version != 1 {
		t.Errorf("money moved more than once: %+v", accounts[0])
	}
}

func TestRecordedBefore(t *testing.T) {
	accounts := []*posting.Account{account("a", 1000), account("b", 0)}
	first := batch(accounts, transfer(t, "1", "1"))
	recorded := first.Decide()[0].Result
	again := batch(accounts, transfer(t, "1", "1"))
	again.Recorded["1"] = &recorded
	d := again.Decide()[0]
	recorded.Replayed = true
	if d.Result != recorded {
		t.Errorf("replay = %+v, want %+v", d.Result, recorded)
	}
}

func TestInvalidOnlyInTheAccountsCurrency(t *testing.T) {
	for name, tx := range map[string]*rbcs.Transaction{
		"too many decimals": transfer(t, "1", "1.5"),
		"too many digits":   transfer(t, "1", "99999999999999999999999999999999999999"),
	} {
		c := jpy
		if name == "too many digits" {
			c = usd
		}
		t.Run(name, func(t *testing.T) {
			accounts := []*posting.Account{account("a", 1000, currency(c)), account("b", 0, currency(c))}
			b := batch(accounts, tx)
			d := b.Decide()[0]
			if d.Err == nil || d.Err.Code != rbcs.InvalidRequest || d.Err.Fields[0].Pointer != "/amount" || d.New() {
				t.Errorf("decision = %+v, want invalid_request at /amount", d.Result)
			}
			if len(b.Recorded) != 0 || accounts[0].Changed {
				t.Error("an invalid transaction left a trace")
			}
		})
	}
}

func TestUnknownSourceKeepsTheAmountAsWritten(t *testing.T) {
	d := batch(nil, transfer(t, "1", "1.2345")).Decide()[0]
	if d.Code != rbcs.AccountNotFound || d.Transaction.Amount.String() != "1.2345" || d.Transaction.Currency != "" {
		t.Errorf("decision = %+v", d.Result)
	}
}

func TestTimeNeverRunsBackwardOnAnAccount(t *testing.T) {
	later := now.Add(time.Minute)
	ahead := func(a *posting.Account) { a.UpdatedAt = later }
	for name, accounts := range map[string][]*posting.Account{
		"source":      {account("a", 1000, ahead), account("b", 0)},
		"destination": {account("a", 1000), account("b", 0, ahead)},
	} {
		t.Run(name, func(t *testing.T) {
			d := batch(accounts, transfer(t, "1", "1")).Decide()[0]
			if !d.CommittedAt.Equal(later) || !accounts[0].UpdatedAt.Equal(later) || !accounts[1].UpdatedAt.Equal(later) {
				t.Errorf("committed at %v, want %v", d.CommittedAt, later)
			}
		})
	}
}

// TestRejectionNamesItsAccount: the source's, where it is true of both.
func TestRejectionNamesItsAccount(t *testing.T) {
	a := func(s rbcs.AccountStatus) *posting.Account { return account("a", 0, status(s)) }
	b := func(s rbcs.AccountStatus) *posting.Account { return account("b", 0, status(s)) }
	for _, tt := range []struct {
		accounts []*posting.Account
		code     rbcs.Code
		want     string
	}{
		{nil, rbcs.AccountNotFound, "a"},
		{[]*posting.Account{b(rbcs.Open)}, rbcs.AccountNotFound, "a"},
		{[]*posting.Account{a(rbcs.Frozen)}, rbcs.AccountNotFound, "b"},
		{[]*posting.Account{a(rbcs.Frozen), b(rbcs.Frozen)}, rbcs.AccountFrozen, "a"},
		{[]*posting.Account{a(rbcs.Closed), b(rbcs.Frozen)}, rbcs.AccountFrozen, "b"},
		{[]*posting.Account{a(rbcs.Closed), b(rbcs.Closed)}, rbcs.AccountClosed, "a"},
		{[]*posting.Account{a(rbcs.Open), b(rbcs.Closed)}, rbcs.AccountClosed, "b"},
		{[]*posting.Account{a(rbcs.Open), b(rbcs.Open)}, rbcs.InsufficientFunds, ""},
	} {
		if d := batch(tt.accounts, transfer(t, "1", "1")).Decide()[0]; d.Code != tt.code || d.SettledBy != tt.want {
			t.Errorf("%s of %q, want %s of %q", d.Code, d.SettledBy, tt.code, tt.want)
		}
	}
}

func TestCreditOfAnAccountThatIsFrozenForWhatLeavesIt(t *testing.T) {
	accounts := []*posting.Account{account("a", 100), account("b", 0, status(rbcs.FrozenOutgoing))}
	if d := batch(accounts, transfer(t, "1", "1")).Decide()[0]; d.Status != rbcs.Posted {
		t.Errorf("decision = %s %s, want posted", d.Status, d.Code)
	}
}
