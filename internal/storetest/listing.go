package storetest

import (
	"fmt"
	"slices"
	"strings"

	"rbcs"
)

var listingTests = []test{
	{"numbers", testNumbers},
	{"prefixes", testPrefixes},
	{"filters", testAccountFilters},
	{"currencies", testCurrencies},
	{"not-found", testNotFound},
	{"check", func(e *env) { e.must(e.store.Check(e.ctx)) }},
}

// numberAlphabet is every character of account numbers, in byte order.
const numberAlphabet = "-.0123456789:ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"

// list pages through a query and returns the numbers.
func (e *env) list(q rbcs.AccountQuery) (numbers []string) {
	e.t.Helper()
	for {
		page, err := e.store.Accounts(e.ctx, q)
		e.must(err)
		if len(page) > q.Limit {
			e.t.Fatalf("a page of %d accounts, with a limit of %d", len(page), q.Limit)
		}
		for _, a := range page {
			numbers = append(numbers, a.Number)
		}
		if len(page) < q.Limit {
			return numbers
		}
		q.After = page[len(page)-1].Number
	}
}

// testNumbers has accounts whose numbers differ in one character only: all are
// distinct, and they are listed in the order of bytes.
func testNumbers(e *env) {
	var want []string
	for _, c := range numberAlphabet {
		want = append(want, e.number(string(c)), e.number(string(c)+strings.Repeat("x", rbcs.MaxNumberBytes-len(e.number(""))-1)))
	}
	slices.Sort(want)
	accounts := make([]rbcs.NewAccount, len(want))
	for i, number := range want {
		accounts[len(want)-1-i] = rbcs.NewAccount{Number: number, Currency: currency("USD")}
	}
	results, err := e.store.CreateAccounts(e.ctx, accounts)
	e.must(err)
	for i, r := range results {
		if !r.Created {
			e.t.Errorf("account %q was not created: %v", accounts[i].Number, r.Err)
		}
	}
	for _, limit := range []int{1, 7, len(want), 1000} {
		if got := e.list(rbcs.AccountQuery{Prefix: e.number(""), Limit: limit}); !slices.Equal(got, want) {
			e.t.Errorf("in pages of %d:\n%q, want\n%q", limit, got, want)
		}
	}
	all := e.list(rbcs.AccountQuery{Limit: 50})
	if !slices.IsSorted(all) || len(all) < len(want) {
		e.t.Errorf("without a filter: %d accounts, sorted: %v", len(all), slices.IsSorted(all))
	}
	for _, number := range want {
		e.sameAccount(e.get(number), results[slices.IndexFunc(accounts, func(a rbcs.NewAccount) bool { return a.Number == number })].Account)
	}
}

// testPrefixes asks for prefixes: the characters that SQL patterns know mean
// themselves, and so does the case of letters.
func testPrefixes(e *env) {
	for _, s := range []string{"acme", "acme:users:1", "acme:users:2", "acme:users", "acme2", "ACME:users:1", "a_c", "abc", "a-c", "a.c", "zz", "z:"} {
		e.account(s, "USD", "0")
	}
	for prefix, want := range map[string]string{
		"acme":          "acme acme2 acme:users acme:users:1 acme:users:2",
		"acme:":         "acme:users acme:users:1 acme:users:2",
		"acme:users:":   "acme:users:1 acme:users:2",
		"acme:users:1":  "acme:users:1",
		"acme:users:11": "",
		"ACME":          "ACME:users:1",
		"a_":            "a_c",
		"a.":            "a.c",
		"z":             "z: zz",
		"":              "ACME:users:1 a-c a.c a_c abc acme acme2 acme:users acme:users:1 acme:users:2 z: zz",
	} {
		for _, limit := range []int{1, 2, 100} {
			var got []string
			for _, number := range e.list(rbcs.AccountQuery{Prefix: e.number(prefix), Limit: limit}) {
				got = append(got, strings.TrimPrefix(number, e.number("")))
			}
			if strings.Join(got, " ") != want {
				e.t.Errorf("prefix %q in pages of %d: %q, want %q", prefix, limit, got, want)
			}
		}
	}
	after := e.list(rbcs.AccountQuery{Prefix: e.number("acme:"), After: e.number("acme:users:0"), Limit: 5}) // no such account
	if want := []string{e.number("acme:users:1"), e.number("acme:users:2")}; !slices.Equal(after, want) {
		e.t.Errorf("after a number that no account has: %q, want %q", after, want)
	}
}

// testAccountFilters combines prefix, currency and status.
func testAccountFilters(e *env) {
	statuses := []rbcs.AccountStatus{rbcs.Open, rbcs.Frozen, rbcs.Closed}
	codes := []string{"USD", "BTC"}
	for i := range 30 {
		number := e.account(fmt.Sprintf("%d:%02d", i%2, i), codes[i/2%2], "0")
		e.update(number, rbcs.AccountChange{Status: &statuses[i/4%3]})
	}
	for _, prefix := range []string{"", "0:", "1:"} {
		for _, code := range append(codes, "", "EUR") {
			for _, status := range append(statuses, "") {
				var want []string
				for i := range 30 {
					number := fmt.Sprintf("%d:%02d", i%2, i)
					if strings.HasPrefix(number, prefix) && (code == "" || code == codes[i/2%2]) && (status == "" || status == statuses[i/4%3]) {
						want = append(want, e.number(number))
					}
				}
				slices.Sort(want)
				got := e.list(rbcs.AccountQuery{Prefix: e.number(prefix), Currency: code, Status: status, Limit: 4})
				if !slices.Equal(got, want) {
					e.t.Errorf("prefix %q, currency %q, status %q: %q, want %q", prefix, code, status, got, want)
				}
			}
		}
	}
}

// testCurrencies declares currencies: all that ever were are returned, and one
// with other decimals is refused together with the whole call.
func testCurrencies(e *env) {
	declare := func(list ...rbcs.Currency) []rbcs.Currency {
		e.t.Helper()
		all, err := e.store.DeclareCurrencies(e.ctx, list)
		e.must(err)
		return all
	}
	before := declare()
	for _, c := range declared {
		if !slices.Contains(before, c) {
			e.t.Errorf("%v was declared, but is not among %v", c, before)
		}
	}
	gold := rbcs.Currency{Code: "GOLD", Decimals: 4}
	if after := declare(gold); !slices.Contains(after, gold) || len(after) != len(before)+1 {
		e.t.Errorf("declaring %v: %v, was %v", gold, after, before)
	}
	after := declare(gold, gold)
	if len(after) != len(before)+1 {
		e.t.Errorf("declaring it again: %v", after)
	}
	for _, decimals := range []int{0, 3, 5} {
		_, err := e.store.DeclareCurrencies(e.ctx, []rbcs.Currency{{Code: "SILVER", Decimals: 2}, {Code: "GOLD", Decimals: decimals}})
		e.wantCode(err, rbcs.InvalidRequest)
	}
	if again := declare(); len(again) != len(after) || !slices.Contains(again, gold) {
		e.t.Errorf("after the refused calls: %v, want %v", again, after)
	}
}

// testNotFound asks for what is not there.
func testNotFound(e *env) {
	nobody := e.number("nobody")
	_, err := e.store.Account(e.ctx, nobody)
	e.wantCode(err, rbcs.NotFound)
	_, err = e.store.BalanceAt(e.ctx, nobody, eventTime)
	e.wantCode(err, rbcs.NotFound)
	_, err = e.store.History(e.ctx, rbcs.HistoryQuery{Account: nobody, Limit: 1})
	e.wantCode(err, rbcs.NotFound)
	_, err = e.store.Transaction(e.ctx, "nothing")
	e.wantCode(err, rbcs.NotFound)
	list, err := e.store.Transactions(e.ctx, rbcs.TransactionQuery{Account: nobody, Limit: 1})
	if err != nil || len(list) != 0 {
		e.t.Errorf("the transactions of nobody: %v, %v", list, err)
	}
}
