package storetest

import (
	"fmt"
	"math/big"
	"time"

	"rbcs"
)

// A statement is the balance before a time, the changes up to another one, and
// the balance then. It is made of three reads, and opening + changes = closing
// whatever is committed between them.

// checkStatement checks that identity, with from included and to not.
func (e *env) checkStatement(number string, from, to time.Time) (lines int) {
	e.t.Helper()
	at := func(t time.Time) rbcs.Balance {
		b, err := e.store.BalanceAt(e.ctx, number, t.Add(-time.Microsecond))
		e.must(err)
		return b
	}
	closing := at(to)
	opening := at(from)
	entries := e.history(rbcs.HistoryQuery{Account: number, From: from, To: to, Limit: 37})
	balance, held, version := toBig(opening.Balance), toBig(opening.Held), opening.Version
	for _, entry := range entries {
		balance = plus(balance, toBig(entry.Change))
		version++
		if balance.Cmp(toBig(entry.Balance)) != 0 || version != entry.Version {
			e.t.Errorf("%s from %v to %v: version %d has %v, want %v as version %d", number, from, to, entry.Version, entry.Balance, balance, version)
		}
		held = toBig(entry.Held)
	}
	want := [3]*big.Int{balance, held, big.NewInt(version)}
	got := [3]*big.Int{toBig(closing.Balance), toBig(closing.Held), big.NewInt(closing.Version)}
	for i := range want {
		if got[i].Cmp(want[i]) != 0 {
			e.t.Errorf("%s from %v to %v: the opening and %d lines give %v, the closing is %v", number, from, to, len(entries), want, got)
			break
		}
	}
	return len(entries)
}

// testStatement makes statements between all moments at which something was
// committed, and the moments beside them.
func testStatement(e *env) {
	m, a, b := e.pair()
	var times []time.Time
	for i := range 8 {
		h := e.hold(fmt.Sprint(i, "h"), a, b, "3")
		t := e.transfer(fmt.Sprint(i), a, b, "2.01")
		for _, r := range e.judged(m, t, h, e.settle(rbcs.Capture, fmt.Sprint(i, "c"), h, "1"), e.settle(rbcs.Reversal, fmt.Sprint(i, "v"), t, "0.02"),
			e.hold(fmt.Sprint(i, "o"), b, a, "0.5"), e.transfer(fmt.Sprint(i, "x"), a, b, "1000")) {
			times = append(times, r.CommittedAt)
		}
	}
	moments := []time.Time{times[0].Add(-time.Hour), times[len(times)-1].Add(time.Hour)}
	for _, t := range times {
		moments = append(moments, t, t.Add(time.Microsecond))
	}
	most := 0
	for i, from := range moments {
		for k, to := range moments {
			if !from.After(to) && (i+k)%5 == 0 {
				most = max(most, e.checkStatement([]string{a, b}[k%2], from, to))
			}
		}
	}
	if most < 8 {
		e.t.Errorf("the longest statement has %d lines: this has proved nothing", most)
	}
}

// testStatementWhileWriting makes statements up to the last moments that can be
// known, while more is committed. (A statement up to the present is not final:
// what is being committed may still get a time before it.)
func testStatementWhileWriting(e *env) {
	bank, a := e.account("bank", "USD", "unlimited"), e.account("a", "USD", "0")
	start := time.Now().UTC().Add(-time.Hour)
	stop := e.writing(bank, a)
	for range 20 {
		last := e.get(a).UpdatedAt
		e.checkStatement(a, start, last)
		start = last.Add(-20 * time.Millisecond)
	}
	stop()
}
