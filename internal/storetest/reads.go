package storetest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"rbcs"
)

var readTests = []test{
	{"balance-at", testBalanceAt},
	{"balances", testBalances},
	{"history", testHistory},
	{"history-while-writing", testHistoryWhileWriting},
	{"statement", testStatement},
	{"statement-while-writing", testStatementWhileWriting},
	{"transactions", testTransactions},
	{"transactions-while-writing", testTransactionsWhileWriting},
}

// testBalanceAt asks for the balance before, at, between and after changes,
// several of which may have been committed at one moment.
func testBalanceAt(e *env) {
	bank, a := e.account("bank", "USD", "unlimited"), e.account("a", "USD", "0")
	quiet := e.account("quiet", "USD", "0")
	var changes []rbcs.Result
	for i := range 12 {
		batch := []*rbcs.Transaction{e.transfer(fmt.Sprint(i), bank, a, fmt.Sprint(i+1))}
		if i%3 == 0 {
			batch = append(batch, e.transfer(fmt.Sprint(i, "b"), a, bank, "0.50"), e.transfer(fmt.Sprint(i, "c"), a, bank, "1000000"))
		}
		for _, r := range e.commit(batch...) {
			if r.Status == rbcs.Posted {
				changes = append(changes, r)
			}
		}
	}
	check := func(at time.Time) {
		e.t.Helper()
		var want rbcs.State // of the last change at or before at; changes are in the order of versions
		for i := range changes {
			if !changes[i].CommittedAt.After(at) {
				want = entryOf(&changes[i], a).State
			}
		}
		got, err := e.store.BalanceAt(e.ctx, a, at)
		e.must(err)
		if got.Number != a || got.Currency != currency("USD") || got.Balance != want.Balance || got.Held != want.Held || got.Version != want.Version {
			e.t.Errorf("at %v: %+v, want %+v", at, got, want)
		}
		if last := changes[len(changes)-1].CommittedAt; !at.After(last) && !got.AsOf.Equal(at.Truncate(time.Microsecond)) && !got.AsOf.Equal(at) {
			e.t.Errorf("at %v: as of %v", at, got.AsOf)
		}
	}
	for _, r := range changes {
		for _, offset := range []time.Duration{-time.Microsecond, -1, 0, 1, 999, time.Microsecond} {
			check(r.CommittedAt.Add(offset))
		}
	}
	first, last := changes[0].CommittedAt, changes[len(changes)-1].CommittedAt
	check(first.Add(last.Sub(first) / 2))
	check(first.Add(-time.Hour))
	check(last.In(time.FixedZone("", -3600)))
	check(time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC))
	check(time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC))
	for _, at := range []time.Time{first, last.Add(time.Hour)} {
		b, err := e.store.BalanceAt(e.ctx, quiet, at)
		if err != nil || !b.Balance.IsZero() || b.Version != 0 {
			e.t.Errorf("the account that never changed: %+v, %v", b, err)
		}
	}
}

// testBalances reads balances of now, in any order, more than once, and of
// accounts that do not exist, after commits that change them.
func testBalances(e *env) {
	bank, a, b := e.account("bank", "USD", "unlimited"), e.account("a", "USD", "0"), e.account("b", "BTC", "0")
	nobody := e.number("nobody")
	if readings, err := e.store.Balances(e.ctx, nil); err != nil || len(readings) != 0 {
		e.t.Errorf("none: %v, %v", readings, err)
	}
	for i := range 6 {
		r := e.post(e.transfer(fmt.Sprint("t", i), bank, a, "2.50"))
		switch {
		case i%2 == 0:
			r = e.one(e.hold(fmt.Sprint("h", i), a, bank, "1.25"))
		case i == 3:
			e.one(e.transfer("too-much", a, bank, "1000"))
		}
		numbers := []string{b, a, nobody, bank, a, nobody}
		readings, err := e.store.Balances(e.ctx, numbers)
		e.must(err)
		if len(readings) != len(numbers) {
			e.t.Fatalf("%d readings of %d numbers", len(readings), len(numbers))
		}
		for j, number := range numbers {
			got := readings[j]
			if number == nobody {
				if got.Err == nil || got.Err.Code != rbcs.NotFound || got.Number != nobody || got.Fillable || got.Version != 0 || !got.AsOf.IsZero() {
					e.t.Errorf("an account that does not exist: %+v", got)
				}
				continue
			}
			want := e.get(number)
			if got.Err != nil || got.Cached || got.Number != number || got.Currency != want.Currency || got.Balance.Balance != want.Balance ||
				got.Held != want.Held || got.Version != want.Version {
				e.t.Errorf("%s: %+v, want %+v", number, got, want)
			}
			if got.AsOf.Before(want.UpdatedAt) || number == a && got.AsOf.Before(r.CommittedAt) {
				e.t.Errorf("%s: as of %v, before its last change, %v", number, got.AsOf, want.UpdatedAt)
			}
		}
	}
	ended, cancel := context.WithCancel(e.ctx)
	cancel()
	_, err := e.store.Balances(ended, []string{a})
	e.wantCode(err, rbcs.Unavailable)
}

// history pages through a history.
func (e *env) history(q rbcs.HistoryQuery) (entries []rbcs.Entry) {
	e.t.Helper()
	for {
		page, err := e.store.History(e.ctx, q)
		e.must(err)
		if len(page) > q.Limit {
			e.t.Fatalf("a page of %d entries, with a limit of %d", len(page), q.Limit)
		}
		entries = append(entries, page...)
		if len(page) < q.Limit {
			return entries
		}
		q.After = page[len(page)-1].Version
	}
}

// checkHistory compares entries with what was committed: results in the order
// of the account's versions.
func (e *env) checkHistory(name, number string, got []rbcs.Entry, want []rbcs.Result) {
	e.t.Helper()
	if len(got) != len(want) {
		e.t.Errorf("%s: %d entries, want %d", name, len(got), len(want))
		return
	}
	for i := range got {
		g, r := &got[i], &want[i]
		entry := entryOf(r, number)
		if g.Credit != entry.Credit || g.Change != entry.Change || g.State != entry.State {
			e.t.Errorf("%s: entry %d is credit %v, change %v, %+v; want %v, %v, %+v",
				name, i, g.Credit, g.Change, g.State, entry.Credit, entry.Change, entry.State)
		}
		if d := compareResults(&g.Result, r); d != nil {
			e.t.Errorf("%s: entry %d: %v", name, i, d)
		}
	}
}

// testHistory asks for an account's changes in both orders, from and to, in
// pages of several sizes.
func testHistory(e *env) {
	bank, a, b := e.account("bank", "USD", "unlimited"), e.account("a", "USD", "0"), e.account("b", "USD", "0")
	var want []rbcs.Result
	for i := range 8 {
		t := e.transfer(fmt.Sprint(i), bank, a, "3")
		t.Description, t.Metadata = "d", `{"i":1}`
		for _, r := range e.commit(t, e.transfer(fmt.Sprint(i, "b"), a, b, "1.25"), e.transfer(fmt.Sprint(i, "x"), a, b, "999"), e.transfer(fmt.Sprint(i, "c"), bank, b, "1")) {
			if r.Status == rbcs.Posted && (r.Transaction.Source == a || r.Transaction.Destination == a) {
				want = append(want, r)
			}
		}
	}
	times := []time.Time{{}, want[0].CommittedAt, want[5].CommittedAt, want[5].CommittedAt.Add(time.Microsecond), want[9].CommittedAt, eventTime, want[15].CommittedAt.Add(time.Hour)}
	for _, from := range times {
		for _, to := range times {
			var within []rbcs.Result
			for _, r := range want {
				if !r.CommittedAt.Before(from) && (to.IsZero() || r.CommittedAt.Before(to)) {
					within = append(within, r)
				}
			}
			for _, limit := range []int{1, 3, 100} {
				name := fmt.Sprintf("from %v to %v in pages of %d", from, to, limit)
				q := rbcs.HistoryQuery{Account: a, From: from, To: to, Limit: limit}
				e.checkHistory(name, a, e.history(q), within)
				q.Descending = true
				descending := slices.Clone(within)
				slices.Reverse(descending)
				e.checkHistory(name+", the latest first", a, e.history(q), descending)
			}
		}
	}
	if entries := e.history(rbcs.HistoryQuery{Account: e.account("quiet", "USD", "0"), Limit: 5}); len(entries) != 0 {
		e.t.Errorf("the account that never changed has the history %+v", entries)
	}
}

// maxWritten is how many batches [env.writing] commits: enough to last as long
// as its readers on a store with a disk, few enough for one without.
const maxWritten = 300

// writing commits transfers between two accounts in the background until the
// returned function is called, which waits for it.
func (e *env) writing(bank, a string) (stop func()) {
	quit, started, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < maxWritten && err == nil && !isClosed(quit); i++ {
			_, _, err = submit(e.ctx, e.store, []*rbcs.Transaction{
				e.transfer(fmt.Sprint("w", i), bank, a, "2"), e.transfer(fmt.Sprint("v", i), a, bank, "1"), e.transfer(fmt.Sprint("x", i), a, bank, "1000000"),
			})
			if i == 0 {
				close(started)
			}
		}
		done <- err
	}()
	<-started
	return func() {
		e.t.Helper()
		close(quit)
		e.must(<-done)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// testHistoryWhileWriting pages while the account changes: upward no version is
// missed up to the last page, downward none that was there at the start.
func testHistoryWhileWriting(e *env) {
	bank, a := e.account("bank", "USD", "unlimited"), e.account("a", "USD", "0")
	stop := e.writing(bank, a)
	for round := range 10 {
		atLeast := e.get(a).Version
		for _, descending := range []bool{false, true} {
			entries := e.history(rbcs.HistoryQuery{Account: a, Limit: 10 + round, Descending: descending})
			if descending {
				slices.Reverse(entries)
			}
			if int64(len(entries)) < atLeast {
				e.t.Errorf("%d entries, of a version of at least %d", len(entries), atLeast)
			}
			for i, entry := range entries {
				if entry.Version != int64(i)+1 {
					e.t.Fatalf("descending %v: entry %d has version %d", descending, i, entry.Version)
				}
			}
		}
	}
	stop()
}
