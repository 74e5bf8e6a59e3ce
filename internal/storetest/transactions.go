package storetest

import (
	"fmt"
	"slices"
	"time"

	"rbcs"
)

// pageTransactions pages through decisions.
func (e *env) pageTransactions(q rbcs.TransactionQuery) (results []rbcs.Result) {
	e.t.Helper()
	for {
		page, err := e.store.Transactions(e.ctx, q)
		e.must(err)
		if len(page) > q.Limit {
			e.t.Fatalf("a page of %d transactions, with a limit of %d", len(page), q.Limit)
		}
		results = append(results, page...)
		if len(page) < q.Limit {
			return results
		}
		q.Before = page[len(page)-1].Sequence
	}
}

// testTransactions asks for decisions with each filter, alone and together.
func testTransactions(e *env) {
	bank, a, b, ghost := e.account("bank", "USD", "unlimited"), e.account("a", "USD", "0"), e.account("b", "USD", "0"), e.number("ghost")
	var all []rbcs.Result // the latest last
	for i := range 6 {
		all = append(all, e.commit(
			e.transfer(fmt.Sprint(i), bank, a, "3"), e.transfer(fmt.Sprint(i, "b"), a, b, "1.25"), e.transfer(fmt.Sprint(i, "x"), a, b, "999"),
			e.transfer(fmt.Sprint(i, "s"), a, a, "1"), e.transfer(fmt.Sprint(i, "g"), ghost, a, "1"), e.transfer(fmt.Sprint(i, "h"), bank, ghost, "1"),
		)...)
	}
	slices.Reverse(all)
	for _, account := range []string{"", bank, a, b, ghost} {
		for _, status := range []rbcs.Status{"", rbcs.Posted, rbcs.Rejected} {
			for _, from := range []time.Time{{}, all[20].CommittedAt, all[20].CommittedAt.Add(time.Microsecond)} {
				for _, to := range []time.Time{{}, all[8].CommittedAt, all[8].CommittedAt.Add(time.Microsecond)} {
					q := rbcs.TransactionQuery{Account: account, Status: status, From: from, To: to}
					var want []rbcs.Result
					for _, r := range all {
						if selected(&q, &r) {
							want = append(want, r)
						}
					}
					e.checkTransactions(q, want, all)
				}
			}
		}
	}
	// An account that is made later has the decisions that named its number before.
	e.account("ghost", "USD", "0")
	q := rbcs.TransactionQuery{Account: ghost, Limit: 100}
	if list := e.pageTransactions(q); len(list) != 12 {
		e.t.Errorf("the transactions of the new account: %d, want 12", len(list))
	}
	if entries := e.history(rbcs.HistoryQuery{Account: ghost, Limit: 5}); len(entries) != 0 {
		e.t.Errorf("the new account has the history %+v", entries)
	}
}

func selected(q *rbcs.TransactionQuery, r *rbcs.Result) bool {
	return (q.Account == "" || q.Account == r.Transaction.Source || q.Account == r.Transaction.Destination) &&
		(q.Status == "" || q.Status == r.Status) &&
		!r.CommittedAt.Before(q.From) && (q.To.IsZero() || r.CommittedAt.Before(q.To))
}

// checkTransactions asks in pages of several sizes. Where no account is given,
// other tests' decisions are among the answers and do not count.
func (e *env) checkTransactions(q rbcs.TransactionQuery, want, own []rbcs.Result) {
	e.t.Helper()
	for _, q.Limit = range []int{1, 4, 1000} {
		if q.Limit == 1 && q.Account == "" {
			continue // too many pages of others
		}
		got := e.pageTransactions(q)
		if !slices.IsSortedFunc(got, func(a, b rbcs.Result) int { return int(b.Sequence - a.Sequence) }) {
			e.t.Errorf("%+v: not the latest first", q)
		}
		got = slices.DeleteFunc(got, func(r rbcs.Result) bool {
			return !slices.ContainsFunc(own, func(o rbcs.Result) bool { return o.Transaction.ID == r.Transaction.ID })
		})
		if len(got) != len(want) {
			e.t.Errorf("%+v: %d decisions, want %d", q, len(got), len(want))
			continue
		}
		for i := range got {
			e.same(got[i], want[i])
		}
	}
}

// testTransactionsWhileWriting pages while others commit: nothing twice, and
// nothing missed that was there at the start.
func testTransactionsWhileWriting(e *env) {
	bank, a := e.account("bank", "USD", "unlimited"), e.account("a", "USD", "0")
	stop := e.writing(bank, a)
	for range 10 {
		atLeast := e.get(a).Version
		results := e.pageTransactions(rbcs.TransactionQuery{Account: a, Status: rbcs.Posted, Limit: 7})
		version := results[0].Destination.Version
		if results[0].Transaction.Source == a {
			version = results[0].Source.Version
		}
		if int64(len(results)) != version || version < atLeast {
			e.t.Errorf("%d decisions, the latest of version %d, of at least %d", len(results), version, atLeast)
		}
		for i := range results[1:] {
			if results[i].Sequence <= results[i+1].Sequence {
				e.t.Fatalf("sequence %d is followed by %d", results[i].Sequence, results[i+1].Sequence)
			}
		}
	}
	stop()
}
