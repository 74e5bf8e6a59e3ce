package storetest

import (
	"fmt"
	"strings"

	"rbcs"
)

var updateTests = []test{
	{"statuses", testStatuses},
	{"closing", testClosing},
	{"overdraft", testOverdraft},
	{"overdraft-below-debt", testOverdraftBelowDebt},
	{"reopened", testReopened},
	{"metadata", testUpdateMetadata},
	{"missing", testUpdateMissing},
}

// testStatuses goes from each status to each other one.
func testStatuses(e *env) {
	a := e.account("a", "USD", "1.00")
	before := e.get(a)
	for _, from := range []rbcs.AccountStatus{rbcs.Open, rbcs.Frozen, rbcs.FrozenOutgoing, rbcs.Closed} {
		for _, to := range []rbcs.AccountStatus{rbcs.Open, rbcs.Frozen, rbcs.FrozenOutgoing, rbcs.Closed} {
			e.update(a, rbcs.AccountChange{Status: &from, Actor: "alice"})
			after := e.update(a, rbcs.AccountChange{Status: &to, Actor: "bob"})
			if after.UpdatedAt.Before(before.UpdatedAt) {
				e.t.Errorf("updated_at went back from %v to %v", before.UpdatedAt, after.UpdatedAt)
			}
			want := before
			want.Status, want.UpdatedAt = to, after.UpdatedAt
			e.sameAccount(after, want)
			e.sameAccount(e.get(a), want)
			before = after
		}
	}
}

// testClosing closes an account only when it has nothing; a change that is
// refused changes nothing at all.
func testClosing(e *env) {
	bank, a := e.account("bank", "USD", "unlimited"), e.account("a", "USD", "0")
	e.post(e.transfer("in", bank, a, "0.01"))
	for _, number := range []string{bank, a} { // below zero and above it
		before := e.get(number)
		_, err := e.store.UpdateAccount(e.ctx, number, rbcs.AccountChange{
			Status: new(rbcs.Closed), Metadata: new(`{"x":1}`), Overdraft: &rbcs.OverdraftChange{Limit: decimal("7")},
		})
		e.wantText(err, fmt.Sprintf("invalid_request: the account %s cannot be changed like this; /status: an account is closed "+
			"with nothing on it; it has a balance of %s and 0.00 held", number, before.Balance.Format(2)))
		e.sameAccount(e.get(number), before)
	}
	_, err := e.store.UpdateAccount(e.ctx, a, rbcs.AccountChange{
		Status: new(rbcs.AccountStatus("asleep")), Overdraft: &rbcs.OverdraftChange{Limit: rbcs.Decimal{Units: rbcs.AmountOf(-1)}},
	})
	e.wantText(err, "invalid_request: the account "+a+" cannot be changed like this; /status: the status \"asleep\" is not known; "+
		"write open, frozen, frozen_outgoing or closed; /overdraft: an overdraft is \"unlimited\" or an amount of at least zero")
	e.update(a, rbcs.AccountChange{Status: new(rbcs.Frozen)}) // freezing needs no empty account
	e.update(a, rbcs.AccountChange{Status: new(rbcs.Open)})
	e.post(e.transfer("out", a, bank, "0.01"))
	if s := e.update(a, rbcs.AccountChange{Status: new(rbcs.Closed)}).Status; s != rbcs.Closed {
		e.t.Errorf("the status is %q after closing", s)
	}
	if r := e.one(e.transfer("late", bank, a, "0.01")); r.Code != rbcs.AccountClosed {
		e.t.Errorf("a transfer to the closed account: %q, want %q", r.Code, rbcs.AccountClosed)
	}
}

// testOverdraft sets overdrafts: as written, in the currency's decimals.
func testOverdraft(e *env) {
	nines := strings.Repeat("9", rbcs.MaxDigits)
	for i, c := range []struct{ code, limit string }{
		{"USD", "12.3"}, {"USD", "0"}, {"USD", nines[:36] + ".99"}, {"JPY", nines}, {"BTC", "0.00000001"},
	} {
		number := e.account(fmt.Sprint(i), c.code, "0")
		set := func(o rbcs.OverdraftChange, want rbcs.Overdraft) {
			if got := e.update(number, rbcs.AccountChange{Overdraft: &o}); got.Overdraft != want {
				e.t.Errorf("%s: overdraft %+v, want %+v", c.limit, got.Overdraft, want)
			}
			if got := e.get(number); got.Overdraft != want || got.Version != 0 {
				e.t.Errorf("%s: stored overdraft %+v, version %d, want %+v, 0", c.limit, got.Overdraft, got.Version, want)
			}
		}
		set(rbcs.OverdraftChange{Limit: decimal(c.limit)}, overdraft(c.limit, c.code))
		set(rbcs.OverdraftChange{Unlimited: true}, rbcs.Overdraft{Unlimited: true})
		set(rbcs.OverdraftChange{Limit: decimal(c.limit)}, overdraft(c.limit, c.code))
	}
	for _, c := range []struct{ code, limit string }{{"USD", "1.234"}, {"JPY", "1.0"}, {"USD", nines}} {
		number := e.account("bad-"+c.code+"-"+c.limit[:2], c.code, "3")
		before := e.get(number)
		_, err := e.store.UpdateAccount(e.ctx, number, rbcs.AccountChange{
			Overdraft: &rbcs.OverdraftChange{Limit: decimal(c.limit)}, Status: new(rbcs.Frozen),
		})
		e.wantCode(err, rbcs.InvalidRequest)
		e.sameAccount(e.get(number), before)
	}
}

// testOverdraftBelowDebt cuts an overdraft to less than is owed: debits are
// refused, and say what is short; credits still work.
func testOverdraftBelowDebt(e *env) {
	bank, a := e.account("bank", "USD", "unlimited"), e.account("a", "USD", "50")
	e.post(e.transfer("debt", a, bank, "50"))
	e.update(a, rbcs.AccountChange{Overdraft: &rbcs.OverdraftChange{Limit: decimal("10")}})
	r := e.one(e.transfer("debit", a, bank, "5"))
	want := rbcs.Shortfall{
		Available: money("-50", "USD"), Overdraft: money("10", "USD"), Needed: money("5", "USD"), Short: money("45", "USD"),
	}
	if r.Code != rbcs.InsufficientFunds || r.Shortfall != want {
		e.t.Errorf("a debit: %q, %+v; want %q, %+v", r.Code, r.Shortfall, rbcs.InsufficientFunds, want)
	}
	e.post(e.transfer("credit", bank, a, "1")) // still below the overdraft after it
	if b := e.get(a).Balance; b != money("-49", "USD") {
		e.t.Errorf("the balance is %v after the credit, want −4900", b)
	}
}

// testReopened goes on with an account that was closed, where it stopped.
func testReopened(e *env) {
	m, a, b := e.pair()
	out := e.transfer("out", a, b, "100")
	e.wantOutcomes(m, "posted", out)
	before := e.get(a)
	closed := e.update(a, rbcs.AccountChange{Status: new(rbcs.Closed)})
	for i, t := range []*rbcs.Transaction{e.transfer("in", b, a, "1"), e.hold("h", b, a, "1"), e.settle(rbcs.Reversal, "v", out, "")} {
		if r := e.one(t); r.Code != rbcs.AccountClosed {
			e.t.Errorf("%d: %+v, want %s", i, r, rbcs.AccountClosed)
		}
	}
	opened := e.update(a, rbcs.AccountChange{Status: new(rbcs.Open)})
	before.UpdatedAt = opened.UpdatedAt
	e.sameAccount(opened, before)
	if opened.UpdatedAt.Before(closed.UpdatedAt) {
		e.t.Errorf("updated_at went back from %v to %v", closed.UpdatedAt, opened.UpdatedAt)
	}
	r := e.post(e.settle(rbcs.Reversal, "again", out, "40"))
	if r.Destination.Version != before.Version+1 || r.CommittedAt.Before(opened.UpdatedAt) {
		e.t.Errorf("after it was opened: %+v", r)
	}
	e.wantState(a, "40", "0", before.Version+1)
}

// testUpdateMetadata replaces and clears metadata; a nil field stays as it is.
func testUpdateMetadata(e *env) {
	a := e.account("a", "USD", "2.00")
	for _, metadata := range []string{`{"k":"v"}`, `{"k":"` + strings.Repeat("ж", 8000) + `"}`, ""} {
		if got := e.update(a, rbcs.AccountChange{Metadata: &metadata, Actor: "alice"}).Metadata; got != metadata {
			e.t.Errorf("metadata %.20q, want %.20q", got, metadata)
		}
		kept := e.update(a, rbcs.AccountChange{})
		if kept.Metadata != metadata || kept.Status != rbcs.Open || kept.Overdraft != overdraft("2", "USD") {
			e.t.Errorf("a change of nothing left %+v", kept)
		}
		if got := e.get(a).Metadata; got != metadata {
			e.t.Errorf("stored metadata %.20q, want %.20q", got, metadata)
		}
	}
}

func testUpdateMissing(e *env) {
	number := e.number("nobody")
	_, err := e.store.UpdateAccount(e.ctx, number, rbcs.AccountChange{Status: new(rbcs.Frozen)})
	e.wantCode(err, rbcs.NotFound)
	_, err = e.store.Account(e.ctx, number)
	e.wantCode(err, rbcs.NotFound)
}
