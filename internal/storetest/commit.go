package storetest

import (
	"fmt"

	"rbcs"
)

var commitTests = []test{
	{"posted", testPosted},
	{"rejections", testRejections},
	{"rejection-stays", testRejectionStays},
	{"precedence", testPrecedence},
	{"shortfall", testShortfall},
	{"one-batch", testOneBatch},
	{"invalid-decimals", testInvalidDecimals},
	{"batch-sizes", testBatchSizes},
}

// testPosted posts a transfer and reads it back in every way.
func testPosted(e *env) {
	bank, a := e.account("bank", "USD", "unlimited"), e.account("a", "USD", "0")
	t := in(e.transfer("1", bank, a, "12.3"), "USD")
	t.Description, t.Metadata = "Grüße", `{"order":"7"}`
	submitted := *t
	r := e.post(t)
	if *t != submitted {
		e.t.Errorf("the submitted transaction became %+v", *t)
	}
	want := rbcs.Result{
		Transaction: submitted, Status: rbcs.Posted, Sequence: r.Sequence, CommittedAt: r.CommittedAt, Attempt: 1, Instance: r.Instance,
		Source:      rbcs.State{Balance: money("-12.30", "USD"), Version: 1},
		Destination: rbcs.State{Balance: money("12.30", "USD"), Version: 1},
	}
	e.same(r, want)
	if r.Replayed || r.Sequence < 1 || r.CommittedAt.Year() < 2000 || r.CommittedAt.Nanosecond()%1000 != 0 {
		e.t.Errorf("replayed %v, sequence %d, committed at %v", r.Replayed, r.Sequence, r.CommittedAt)
	}
	stored := e.recorded(t.ID).Result
	e.same(stored, want)
	source, destination := e.get(bank), e.get(a)
	for _, c := range []struct {
		account        rbcs.Account
		state          rbcs.State
		received, sent string
	}{{source, want.Source, "0", "12.30"}, {destination, want.Destination, "12.30", "0"}} {
		got := rbcs.State{Balance: c.account.Balance, Held: c.account.Held, Version: c.account.Version}
		if got != c.state || c.account.Received != money(c.received, "USD") || c.account.Sent != money(c.sent, "USD") {
			e.t.Errorf("stored account: %+v, want %+v, received %s, sent %s", c.account, c.state, c.received, c.sent)
		}
		if !c.account.UpdatedAt.Equal(r.CommittedAt) {
			e.t.Errorf("account %s updated at %v, want the commit's %v", c.account.Number, c.account.UpdatedAt, r.CommittedAt)
		}
	}
	next := e.post(e.transfer("2", a, bank, "0.30"))
	if next.Sequence <= r.Sequence || next.CommittedAt.Before(r.CommittedAt) {
		e.t.Errorf("sequence %d at %v follows %d at %v", next.Sequence, next.CommittedAt, r.Sequence, r.CommittedAt)
	}
	if next.Source.Version != 2 || next.Destination.Version != 2 || next.Source.Balance != money("12", "USD") {
		e.t.Errorf("the second: %+v, %+v", next.Source, next.Destination)
	}
}

// reject commits a transaction that must be rejected with the given code, and
// checks all that is true of every rejection.
func (e *env) reject(t *rbcs.Transaction, code rbcs.Code) rbcs.Result {
	e.t.Helper()
	r := e.one(t)
	if r.Err != nil || r.Status != rbcs.Rejected || r.Code != code {
		e.t.Errorf("%s: status %q, code %q, error %v; want it rejected with %q", t.ID, r.Status, r.Code, r.Err, code)
		return r
	}
	none := rbcs.State{}
	if r.Source != none || r.Destination != none || r.Sequence < 1 || r.Attempt != 1 || r.CommittedAt.Year() < 2000 || r.Replayed {
		e.t.Errorf("%s: %+v", t.ID, r)
	}
	if code != rbcs.InsufficientFunds && r.Shortfall != (rbcs.Shortfall{}) {
		e.t.Errorf("%s: shortfall %+v with %s", t.ID, r.Shortfall, code)
	}
	stored := e.recorded(t.ID).Result
	e.same(stored, r)
	again := e.one(t)
	e.same(again, r)
	if !again.Replayed {
		e.t.Errorf("%s again: not a replay", t.ID)
	}
	return r
}

// cast is one account of each kind.
type cast struct{ bank, poor, open, frozen, closed, euro, ghost, ghost2 string }

func (e *env) cast() cast {
	e.t.Helper()
	c := cast{
		bank: e.account("bank", "USD", "unlimited"), poor: e.account("poor", "USD", "0"), open: e.account("open", "USD", "0"),
		frozen: e.account("frozen", "USD", "unlimited"), closed: e.account("closed", "USD", "unlimited"), euro: e.account("euro", "EUR", "unlimited"),
		ghost: e.number("ghost"), ghost2: e.number("ghost2"),
	}
	e.update(c.frozen, rbcs.AccountChange{Status: new(rbcs.Frozen)})
	e.update(c.closed, rbcs.AccountChange{Status: new(rbcs.Closed)})
	return c
}

// testRejections provokes each code of a transfer's rejections, with an omitted
// currency and with one.
func testRejections(e *env) {
	c := e.cast()
	for i, k := range []struct {
		source, destination string
		code                rbcs.Code
		about               string // the account that it names
	}{
		{c.bank, c.bank, rbcs.SameAccount, ""},
		{c.ghost, c.ghost, rbcs.SameAccount, ""},
		{c.ghost, c.open, rbcs.AccountNotFound, c.ghost},
		{c.bank, c.ghost, rbcs.AccountNotFound, c.ghost},
		{c.ghost, c.ghost2, rbcs.AccountNotFound, c.ghost},
		{c.frozen, c.open, rbcs.AccountFrozen, c.frozen},
		{c.bank, c.frozen, rbcs.AccountFrozen, c.frozen},
		{c.closed, c.frozen, rbcs.AccountFrozen, c.frozen},
		{c.closed, c.open, rbcs.AccountClosed, c.closed},
		{c.bank, c.closed, rbcs.AccountClosed, c.closed},
		{c.bank, c.euro, rbcs.CurrencyMismatch, ""},
		{c.euro, c.bank, rbcs.CurrencyMismatch, ""},
		{c.poor, c.open, rbcs.InsufficientFunds, ""},
	} {
		id := fmt.Sprintf("%02d", i)
		omitted := e.reject(e.transfer(id, k.source, k.destination, "1.5"), k.code)
		given := e.reject(in(e.transfer(id+"-given", k.source, k.destination, "1.5"), "USD"), k.code)
		if omitted.SettledBy != k.about || given.SettledBy != k.about {
			e.t.Errorf("%s names the account %q, want %q", k.code, omitted.SettledBy, k.about)
		}
		if t := given.Transaction; t.Currency != "USD" || t.Amount != decimal("1.50") {
			e.t.Errorf("%s: recorded as %v %q", t.ID, t.Amount, t.Currency)
		}
		t, want := omitted.Transaction, e.transfer(id, k.source, k.destination, "1.5")
		switch k.source {
		case c.ghost: // nothing tells the currency: recorded as it was written
		case c.euro:
			in(want, "EUR")
		default:
			in(want, "USD")
		}
		if d := compareTransactions(&t, want); d != nil {
			e.t.Errorf("%s recorded: %v", t.ID, d)
		}
	}
	for _, number := range []string{c.bank, c.poor, c.open, c.frozen, c.closed, c.euro} {
		if a := e.get(number); a.Version != 0 || !a.Balance.IsZero() || !a.Received.IsZero() || !a.Sent.IsZero() {
			e.t.Errorf("after rejections only, %s is %+v", number, a)
		}
	}
	e.reject(in(e.transfer("foreign", c.bank, c.open, "1"), "BTC"), rbcs.CurrencyMismatch)
	e.reject(in(e.transfer("tiny", c.ghost, c.open, "0.000000000000000001"), "WEI"), rbcs.AccountNotFound)
	e.reject(e.transfer("tinier", c.ghost, c.open, "0.000000000000000100"), rbcs.AccountNotFound)
}

// testRejectionStays takes the reason of rejections away: the IDs stay rejected
// and no money moves.
func testRejectionStays(e *env) {
	c := e.cast()
	submitted := []*rbcs.Transaction{
		e.transfer("ghost", c.bank, c.ghost, "1"), e.transfer("from-ghost", c.ghost, c.open, "1"),
		e.transfer("frozen", c.bank, c.frozen, "1"), e.transfer("poor", c.poor, c.open, "1"),
	}
	first := e.commit(submitted...)
	e.account("ghost", "USD", "unlimited")
	e.update(c.frozen, rbcs.AccountChange{Status: new(rbcs.Open)})
	e.update(c.poor, rbcs.AccountChange{Overdraft: &rbcs.OverdraftChange{Unlimited: true}})
	for i, r := range e.commit(submitted...) {
		e.same(r, first[i])
		if !r.Replayed || r.Status != rbcs.Rejected {
			e.t.Errorf("%s: status %q, replayed %v", r.Transaction.ID, r.Status, r.Replayed)
		}
	}
	e.post(e.transfer("new-id", c.bank, c.ghost, "1"))
}

// testPrecedence has several reasons apply at once.
func testPrecedence(e *env) {
	c := e.cast()
	e.reject(e.transfer("1", c.frozen, c.frozen, "1"), rbcs.SameAccount)
	e.reject(e.transfer("2", c.frozen, c.ghost, "1"), rbcs.AccountNotFound)
	e.reject(e.transfer("3", c.closed, c.frozen, "1"), rbcs.AccountFrozen)
	e.reject(in(e.transfer("4", c.closed, c.euro, "1"), "JPY"), rbcs.AccountClosed)
	e.reject(e.transfer("5", c.poor, c.euro, "1"), rbcs.CurrencyMismatch)
	e.reject(in(e.transfer("6", c.poor, c.bank, "1"), "EUR"), rbcs.CurrencyMismatch)
	e.post(e.transfer("fill", c.bank, c.open, largest("USD")))
	e.reject(e.transfer("7", c.poor, c.open, "1"), rbcs.InsufficientFunds) // and it would overflow
}

// testShortfall checks the numbers of insufficient funds, at the edge.
func testShortfall(e *env) {
	bank, a := e.account("bank", "USD", "unlimited"), e.account("a", "USD", "10.00")
	e.post(e.transfer("fund", bank, a, "5.00"))
	r := e.reject(e.transfer("over", a, bank, "15.01"), rbcs.InsufficientFunds)
	want := rbcs.Shortfall{
		Available: money("5", "USD"), Overdraft: money("10", "USD"), Needed: money("15.01", "USD"), Short: money("0.01", "USD"),
	}
	if r.Shortfall != want {
		e.t.Errorf("shortfall %+v, want %+v", r.Shortfall, want)
	}
	e.post(e.transfer("exact", a, bank, "15.00"))
	r = e.reject(e.transfer("empty", a, bank, "0.01"), rbcs.InsufficientFunds)
	want = rbcs.Shortfall{
		Available: money("-10", "USD"), Overdraft: money("10", "USD"), Needed: money("0.01", "USD"), Short: money("0.01", "USD"),
	}
	if r.Shortfall != want {
		e.t.Errorf("shortfall %+v, want %+v", r.Shortfall, want)
	}
}
