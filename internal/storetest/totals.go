package storetest

import (
	"fmt"
	"strings"

	"rbcs"
)

var totalsTests = []test{
	{"prefixes", testTotals},
	{"while-writing", testTotalsWhileWriting},
	{"too-large", testTotalsTooLarge},
}

// testTotals sums over prefixes, by currency in the order of their codes.
func testTotals(e *env) {
	bank, btcBank := e.account("bank", "USD", "unlimited"), e.account("bank-btc", "BTC", "unlimited")
	for i, number := range []string{"acme", "acme:users:1", "acme:users:2", "acme2", "ACME:users:1", "a_c", "abc"} {
		e.account(number, "USD", "0")
		e.post(e.transfer(fmt.Sprint(i), bank, e.number(number), fmt.Sprint(1<<i)))
	}
	e.account("acme:coins:1", "BTC", "0")
	e.account("acme:quiet", "JPY", "0")
	e.post(e.transfer("coins", btcBank, e.number("acme:coins:1"), "0.00000007"))
	e.one(e.hold("h", e.number("acme:users:2"), bank, "3"))
	for prefix, want := range map[string]string{
		"acme":          "[BTC 1 7 0] [JPY 1 0 0] [USD 4 1500 300]",
		"acme:":         "[BTC 1 7 0] [JPY 1 0 0] [USD 2 600 300]",
		"acme:users:":   "[USD 2 600 300]",
		"acme:users:11": "",
		"ACME":          "[USD 1 1600 0]",
		"a_":            "[USD 1 3200 0]",
		"bank":          "[BTC 1 -7 0] [USD 1 -12700 0]",
		"":              "[BTC 2 0 0] [JPY 1 0 0] [USD 8 0 300]",
	} {
		totals, err := e.store.Totals(e.ctx, e.number(prefix))
		e.must(err)
		var got []string
		for _, t := range totals {
			if t.Currency != currency(t.Currency.Code) || t.AsOf.Year() < 2000 {
				e.t.Errorf("total %+v", t)
			}
			got = append(got, fmt.Sprintf("[%s %d %s %s]", t.Currency.Code, t.Accounts, t.Balance, t.Held))
		}
		if text := strings.Join(got, " "); text != want {
			e.t.Errorf("prefix %q: %q, want %q", prefix, text, want)
		}
	}
	totals, err := e.store.Totals(e.ctx, "")
	if err != nil || len(totals) < 3 {
		e.t.Errorf("all accounts: %+v, %v", totals, err)
	}
	for _, t := range totals {
		if !t.Balance.IsZero() {
			e.t.Errorf("the sum of all accounts: %+v", t)
		}
	}
}

// testTotalsWhileWriting sums while money moves: it is nowhere twice and nowhere missing.
func testTotalsWhileWriting(e *env) {
	bank, a := e.account("bank", "USD", "unlimited"), e.account("a", "USD", "0")
	e.account("z", "USD", "0")
	stop := e.writing(bank, a)
	for range 50 {
		before := e.get(a)
		totals, err := e.store.Totals(e.ctx, e.number(""))
		e.must(err)
		if len(totals) != 1 || totals[0].Accounts != 3 || !totals[0].Balance.IsZero() {
			e.t.Fatalf("the totals are %+v while money moves", totals)
		}
		if totals[0].AsOf.Before(before.UpdatedAt) {
			e.t.Errorf("the totals are as of %v, after a read that shows %v", totals[0].AsOf, before.UpdatedAt)
		}
		part, err := e.store.Totals(e.ctx, a)
		e.must(err)
		if part[0].Balance.Cmp(before.Balance) < 0 { // it grows with every batch
			e.t.Errorf("the total of one account is %v, after %v", part[0].Balance, before.Balance)
		}
	}
	stop()
}

// testTotalsTooLarge: a sum of more than 38 digits is refused, not wrapped;
// sums on the way to one that fits do not matter.
func testTotalsTooLarge(e *env) {
	bank := e.account("bank", "POINTS", "unlimited")
	bank2 := e.account("bank2", "POINTS", "unlimited")
	for i, from := range []string{bank, bank2} {
		e.post(e.transfer(fmt.Sprint(i), from, e.account(fmt.Sprint("rich", i), "POINTS", "0"), largest("POINTS")))
	}
	for _, prefix := range []string{"rich", "bank"} {
		_, err := e.store.Totals(e.ctx, e.number(prefix))
		e.wantCode(err, rbcs.InvalidRequest)
	}
	totals, err := e.store.Totals(e.ctx, e.number(""))
	if err != nil || len(totals) != 1 || !totals[0].Balance.IsZero() || totals[0].Accounts != 4 {
		e.t.Errorf("all of them: %+v, %v", totals, err)
	}
}
