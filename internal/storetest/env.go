package storetest

import (
	"context"
	"strings"
	"testing"
	"time"

	"rbcs"
	"rbcs/internal/audit"
)

// env is what a test works with: a store, and short ways to say what it does.
type env struct {
	t     *testing.T
	ctx   context.Context
	store rbcs.Store
	name  string // of the test: begins its accounts and IDs, so that tests can share a store
}

// declared are the currencies beside ISO 4217 that every test may use.
var declared = []rbcs.Currency{{Code: "BTC", Decimals: 8}, {Code: "POINTS", Decimals: 0}, {Code: "WEI", Decimals: 18}}

// known are all currencies that the tests use.
var known = func() *rbcs.Currencies {
	set, err := rbcs.NewCurrencies(declared...)
	if err != nil {
		panic(err)
	}
	return set
}()

// begin opens an empty store and declares the currencies.
func begin(t *testing.T, open func(t *testing.T) rbcs.Store) *env {
	t.Helper()
	e := (&env{store: open(t)}).in(t)
	_, err := e.store.DeclareCurrencies(e.ctx, declared)
	e.must(err)
	return e
}

// in returns the same store for a subtest.
func (e *env) in(t *testing.T) *env {
	name := t.Name()[strings.LastIndexByte(t.Name(), '/')+1:]
	return &env{t: t, ctx: t.Context(), store: e.store, name: name}
}

// must ends the test where something failed that should not.
func (e *env) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatalf("unexpected error: %v", err)
	}
}

// wantCode checks an error's code. Every error of a store is an [rbcs.Error].
func (e *env) wantCode(err error, code rbcs.Code) {
	e.t.Helper()
	if got := rbcs.CodeOf(err); got != code {
		e.t.Errorf("error %v: code %q, want %q", err, got, code)
	}
}

// wantText checks all that an error tells: no store has words of its own.
func (e *env) wantText(err error, want string) {
	e.t.Helper()
	if err == nil || err.Error() != want {
		e.t.Errorf("the error is\n%v\nwant\n%s", err, want)
	}
}

// audit checks that all that the store holds is consistent.
func (e *env) audit() {
	e.t.Helper()
	report, err := audit.Run(e.ctx, e.store, nil)
	e.must(err)
	for _, fault := range report.Faults {
		e.t.Errorf("audit: %v", fault)
	}
	if !report.OK() {
		e.t.Errorf("audit: %d faults", report.FaultCount)
	}
}

// number returns an account number of this test.
func (e *env) number(s string) string { return e.name + ":" + s }

// currency returns a currency by its code.
func currency(code string) rbcs.Currency {
	c, ok := known.Lookup(code)
	if !ok {
		panic("storetest: unknown currency " + code)
	}
	return c
}

// money reads an amount, which may be negative, in minor units of a currency.
func money(s, code string) rbcs.Amount {
	digits, negative := strings.CutPrefix(s, "-")
	a, err := decimal(digits).In(currency(code).Decimals)
	if err != nil {
		panic(err)
	}
	if negative {
		return a.Neg()
	}
	return a
}

// decimal reads an amount as it is written.
func decimal(s string) rbcs.Decimal {
	d, err := rbcs.ParseDecimal(s)
	if err != nil {
		panic(err)
	}
	return d
}

// overdraft reads an overdraft as the API writes it.
func overdraft(s, code string) rbcs.Overdraft {
	if s == "unlimited" {
		return rbcs.Overdraft{Unlimited: true}
	}
	return rbcs.Overdraft{Limit: money(s, code)}
}

// account creates an account of this test and returns its number.
func (e *env) account(name, code, limit string) string {
	e.t.Helper()
	number := e.number(name)
	results, err := e.store.CreateAccounts(e.ctx, []rbcs.NewAccount{
		{Number: number, Currency: currency(code), Overdraft: overdraft(limit, code), Actor: "tester"},
	})
	e.must(err)
	if len(results) != 1 || results[0].Err != nil || !results[0].Created {
		e.t.Fatalf("creating %s: %+v", number, results)
	}
	return number
}

// get returns the stored account.
func (e *env) get(number string) rbcs.Account {
	e.t.Helper()
	a, err := e.store.Account(e.ctx, number)
	e.must(err)
	return a
}

// recorded returns what is stored under an ID.
func (e *env) recorded(id string) rbcs.Record {
	e.t.Helper()
	r, err := e.store.Transaction(e.ctx, id)
	e.must(err)
	return r
}

// update changes an account.
func (e *env) update(number string, change rbcs.AccountChange) rbcs.Account {
	e.t.Helper()
	a, err := e.store.UpdateAccount(e.ctx, number, change)
	e.must(err)
	return a
}

// eventTime is when the tests' transactions happened, in the client's words.
var eventTime = time.Date(2024, 2, 29, 23, 59, 59, 123456000, time.UTC)

// transfer returns a transfer between two accounts, by their full numbers, in
// the currency of its source; its ID is one of this test.
func (e *env) transfer(id, source, destination, amount string) *rbcs.Transaction {
	return &rbcs.Transaction{
		ID: e.name + "/" + id, Type: rbcs.Transfer, Source: source, Destination: destination,
		Amount: decimal(amount), Timestamp: eventTime, Actor: "tester",
	}
}

// hold returns a hold like a transfer.
func (e *env) hold(id, source, destination, amount string) *rbcs.Transaction {
	t := e.transfer(id, source, destination, amount)
	t.Type = rbcs.Hold
	return t
}

// settle returns a capture, release, expiry or reversal of an original as who
// has looked that up would submit it; amount "" is all that is left.
func (e *env) settle(kind rbcs.Type, id string, original *rbcs.Transaction, amount string) *rbcs.Transaction {
	t := &rbcs.Transaction{
		ID: e.name + "/" + id, Type: kind, Original: original.ID, Source: original.Source, Destination: original.Destination, Actor: "tester",
	}
	if kind == rbcs.Reversal {
		t.Source, t.Destination = t.Destination, t.Source
	}
	if amount != "" {
		t.Amount = decimal(amount)
	}
	return t
}

// grouped makes transactions the members of an atomic group.
func grouped(members ...*rbcs.Transaction) []*rbcs.Transaction {
	id := rbcs.GroupID(members)
	for i, t := range members {
		t.Group = rbcs.Group{ID: id, Position: i, Size: len(members)}
	}
	return members
}

// in returns the transaction with a currency, as a client's would be after its check.
func in(t *rbcs.Transaction, code string) *rbcs.Transaction {
	t.Currency = code
	if err := t.Prepare(known); err != nil {
		panic(err)
	}
	return t
}

// commit commits a batch as the engine does.
func (e *env) commit(batch ...*rbcs.Transaction) []rbcs.Result {
	e.t.Helper()
	results, _, err := submit(e.ctx, e.store, batch)
	e.must(err)
	return results
}

// one commits a transaction alone.
func (e *env) one(t *rbcs.Transaction) rbcs.Result {
	e.t.Helper()
	return e.commit(t)[0]
}

// post commits a transaction that must be posted.
func (e *env) post(t *rbcs.Transaction) rbcs.Result {
	e.t.Helper()
	r := e.one(t)
	if r.Err != nil || r.Status != rbcs.Posted {
		e.t.Fatalf("%s: status %q, code %q, error %v; want it posted", t.ID, r.Status, r.Code, r.Err)
	}
	return r
}
