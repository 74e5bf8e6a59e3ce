package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"rbcs"
)

// pageTransactions pages through decisions.
func (e *env) pageTransactions(q rbcs.TransactionQuery) (records []rbcs.Record) {
	e.t.Helper()
	for {
		page, err := e.store.Transactions(e.ctx, q)
		e.must(err)
		if len(page) > q.Limit {
			e.t.Fatalf("a page of %d transactions, with a limit of %d", len(page), q.Limit)
		}
		records = append(records, page...)
		if len(page) < q.Limit {
			return records
		}
		q.Before = page[len(page)-1].Sequence
	}
}

// modelled returns a model of accounts that are created now.
func (e *env) modelled(code string, limits map[string]string) *model {
	e.t.Helper()
	m := newModel()
	var asked []rbcs.NewAccount
	for name, limit := range limits {
		asked = append(asked, rbcs.NewAccount{Number: e.number(name), Currency: currency(code), Overdraft: overdraft(limit, code)})
	}
	created, err := e.store.CreateAccounts(e.ctx, asked)
	e.must(err)
	for _, f := range m.create(asked, created) {
		e.t.Error(f)
	}
	return m
}

// judged commits a batch, and the model must agree.
func (e *env) judged(m *model, batch ...*rbcs.Transaction) []rbcs.Result {
	e.t.Helper()
	results := e.commit(batch...)
	for _, f := range m.commit(batch, results) {
		e.t.Error(f)
	}
	return results
}

// records returns what is decided as it stands now, the latest first.
func (m *model) records() (list []rbcs.Record) {
	for _, d := range m.decided {
		list = append(list, *d.want())
	}
	for _, d := range m.earlier {
		list = append(list, *d.want())
	}
	slices.SortFunc(list, func(a, b rbcs.Record) int { return cmp.Compare(b.Sequence, a.Sequence) })
	return list
}

// testTransactions asks for decisions with each filter, alone and together: the
// status is that of now.
func testTransactions(e *env) {
	m := e.modelled("USD", map[string]string{"bank": "unlimited", "a": "0", "b": "0"})
	bank, a, b, ghost := e.number("bank"), e.number("a"), e.number("b"), e.number("ghost")
	for i := range 3 {
		id := func(s string) string { return fmt.Sprint(i, s) }
		e.judged(m,
			e.transfer(id(""), bank, a, "30"), e.transfer(id("b"), a, b, "1.25"), e.transfer(id("x"), a, b, "999"),
			e.transfer(id("s"), a, a, "1"), e.transfer(id("g"), ghost, a, "1"), e.transfer(id("h"), bank, ghost, "1"),
		)
		var later []*rbcs.Transaction
		for k, kind := range []rbcs.Type{rbcs.Capture, rbcs.Capture, rbcs.Release, rbcs.Expiry, ""} {
			h := e.hold(id(fmt.Sprint("h", k)), a, b, "2")
			if kind == rbcs.Expiry {
				h.ExpiresAt = eventTime
			}
			e.judged(m, h)
			if kind != "" {
				later = append(later, e.settle(kind, id(fmt.Sprint("s", k)), h, ""))
			}
		}
		later[1].Amount = decimal("0.50")
		e.judged(m, later...)
		whole, parts := e.transfer(id("w"), bank, a, "4"), e.transfer(id("p"), bank, a, "4")
		e.judged(m, whole, parts, e.settle(rbcs.Reversal, id("w1"), whole, ""), e.settle(rbcs.Reversal, id("p1"), parts, "1"), e.settle(rbcs.Reversal, id("c1"), later[0], ""))
	}
	all := m.records()
	statuses := map[rbcs.Status]int{}
	for _, r := range all {
		statuses[r.Current]++
		if d := compareRecords(new(e.recorded(r.Transaction.ID)), &r); d != nil {
			e.t.Errorf("%s: %v", r.Transaction.ID, d)
		}
	}
	if len(statuses) != 7 {
		e.t.Errorf("this has proved less than it should: %v", statuses)
	}
	for _, account := range []string{"", bank, a, b, ghost} {
		for status := range statuses {
			if status != rbcs.Posted {
				e.checkTransactions(rbcs.TransactionQuery{Account: account, Status: status}, all)
				continue
			}
			for _, from := range []time.Time{{}, all[30].CommittedAt, all[30].CommittedAt.Add(time.Microsecond)} {
				for _, to := range []time.Time{{}, all[8].CommittedAt, all[8].CommittedAt.Add(time.Microsecond)} {
					e.checkTransactions(rbcs.TransactionQuery{Account: account, Status: status, From: from, To: to}, all)
				}
			}
		}
		e.checkTransactions(rbcs.TransactionQuery{Account: account}, all)
	}
	// An account that is made later has the decisions that named its number before.
	e.account("ghost", "USD", "0")
	q := rbcs.TransactionQuery{Account: ghost, Limit: 100}
	if list := e.pageTransactions(q); len(list) != 6 {
		e.t.Errorf("the transactions of the new account: %d, want 6", len(list))
	}
	if entries := e.history(rbcs.HistoryQuery{Account: ghost, Limit: 5}); len(entries) != 0 {
		e.t.Errorf("the new account has the history %+v", entries)
	}
}

func selected(q *rbcs.TransactionQuery, r *rbcs.Record) bool {
	return (q.Account == "" || q.Account == r.Transaction.Source || q.Account == r.Transaction.Destination) &&
		(q.Status == "" || q.Status == r.Current) &&
		!r.CommittedAt.Before(q.From) && (q.To.IsZero() || r.CommittedAt.Before(q.To))
}

// checkTransactions asks in pages of several sizes, and wants those of all that
// are selected. Other tests' decisions may be among the answers and do not count.
func (e *env) checkTransactions(q rbcs.TransactionQuery, all []rbcs.Record) {
	e.t.Helper()
	var want []rbcs.Record
	for _, r := range all {
		if selected(&q, &r) {
			want = append(want, r)
		}
	}
	for _, q.Limit = range []int{1, 4, 1000} {
		if q.Limit == 1 && q.Account == "" {
			continue // too many pages of others
		}
		got := e.pageTransactions(q)
		if !slices.IsSortedFunc(got, func(a, b rbcs.Record) int { return cmp.Compare(b.Sequence, a.Sequence) }) {
			e.t.Errorf("%+v: not the latest first", q)
		}
		got = slices.DeleteFunc(got, func(r rbcs.Record) bool { return !strings.HasPrefix(r.Transaction.ID, e.name+"/") })
		if len(got) != len(want) {
			e.t.Errorf("%+v: %d decisions, want %d", q, len(got), len(want))
			continue
		}
		for i := range got {
			if d := compareRecords(&got[i], &want[i]); d != nil {
				e.t.Errorf("%+v: %v", q, d)
			}
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
		version := entryOf(&results[0].Result, a).Version
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
