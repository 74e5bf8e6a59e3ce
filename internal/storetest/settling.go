package storetest

import (
	"fmt"
	"sync/atomic"
	"time"

	"rbcs"
)

var settlingTests = []test{
	{"two-captures", testTwoCaptures},
	{"capture-release-expiry", testCaptureAgainstRelease},
	{"last-cent", testLastCent},
	{"held-is-not-spent", testHeldIsNotSpent},
	{"groups", testGroupsTogether},
	{"overdraft-cut", testOverdraftCutWhilePaying},
	{"closing", testClosingWhileHolding},
}

// rounds is how often the committers of these tests meet.
const rounds = 15

// race has each of the transactions committed by a committer of its own, at the
// same moment.
func (e *env) race(txs ...*rbcs.Transaction) []rbcs.Result {
	e.t.Helper()
	results := make([]rbcs.Result, len(txs))
	e.must(together(len(txs), func(i int) error {
		r, _, err := submit(e.ctx, e.store, txs[i:i+1])
		if err == nil {
			results[i] = r[0]
		}
		return err
	}))
	return results
}

// settledOnce checks that one of those who settled a hold at once has won, and
// that the others were told who.
func (e *env) settledOnce(hold *rbcs.Transaction, results []rbcs.Result) (winner rbcs.Result) {
	e.t.Helper()
	won := 0
	for _, r := range results {
		if r.Status == rbcs.Posted {
			won++
			winner = r
		}
	}
	if won != 1 {
		e.t.Fatalf("%s was settled %d times", hold.ID, won)
	}
	for _, r := range results {
		if r.Status != rbcs.Posted && (r.Code != rbcs.HoldNotOpen || r.SettledBy != winner.Transaction.ID) {
			e.t.Errorf("%s: %s, settled by %q; want it refused because of %q", r.Transaction.ID, outcome(&r), r.SettledBy, winner.Transaction.ID)
		}
	}
	if r := e.recorded(hold.ID); r.ClosedBy != winner.Transaction.ID {
		e.t.Errorf("%s is closed by %q, want %q", hold.ID, r.ClosedBy, winner.Transaction.ID)
	}
	return winner
}

// testTwoCaptures: one wins, the others are told who.
func testTwoCaptures(e *env) {
	_, a, b := e.pair()
	for i := range rounds {
		h := e.hold(fmt.Sprint(i), a, b, "2")
		e.one(h)
		e.settledOnce(h, e.race(e.settle(rbcs.Capture, fmt.Sprint(i, "a"), h, "1"), e.settle(rbcs.Capture, fmt.Sprint(i, "b"), h, "1"),
			e.settle(rbcs.Capture, fmt.Sprint(i, "c"), h, "1")))
	}
	e.wantState(a, fmt.Sprint(100-rounds), "0", 1+2*rounds)
	e.wantState(b, fmt.Sprint(rounds), "0", rounds)
}

// testCaptureAgainstRelease has a capture, a release and the expiry of a hold
// that comes due just then, which several instances submit under one ID.
func testCaptureAgainstRelease(e *env) {
	_, a, b := e.pair()
	moved := 0
	for i := range rounds {
		h := e.hold(fmt.Sprint(i), a, b, "1")
		h.ExpiresAt = time.Now().UTC().Add(time.Duration(i%5) * time.Millisecond).Truncate(time.Microsecond)
		e.one(h)
		expiry := e.settle(rbcs.Expiry, fmt.Sprint(i, "x"), h, "")
		results := e.race(e.settle(rbcs.Capture, fmt.Sprint(i, "c"), h, ""), e.settle(rbcs.Release, fmt.Sprint(i, "r"), h, ""), expiry, new(*expiry))
		var decided []rbcs.Result
		for k, r := range results {
			if k == 3 && r.Err == nil && results[2].Err == nil {
				e.same(r, results[2]) // one ID, one outcome
				continue
			}
			switch {
			case r.Err != nil && r.Err.Code == rbcs.InvalidRequest && k >= 2: // it was not due yet
			case r.Code == rbcs.HoldNotOpen && r.SettledBy == "" && k == 0 && !r.CommittedAt.Before(h.ExpiresAt): // due, and not released yet
			default:
				decided = append(decided, r)
			}
		}
		if w := e.settledOnce(h, decided); w.Transaction.Type == rbcs.Capture {
			moved++
		}
	}
	e.wantState(a, fmt.Sprint(100-moved), "0", 1+2*rounds)
}

// testLastCent has reversals race for what is left.
func testLastCent(e *env) {
	_, a, b := e.pair()
	e.post(e.transfer("reserve", a, b, "50"))
	for i := range rounds {
		t := e.transfer(fmt.Sprint(i), a, b, "1")
		e.post(t)
		results := e.race(e.settle(rbcs.Reversal, fmt.Sprint(i, "a"), t, "0.60"), e.settle(rbcs.Reversal, fmt.Sprint(i, "b"), t, "0.60"),
			e.settle(rbcs.Reversal, fmt.Sprint(i, "c"), t, "0.40"), e.settle(rbcs.Reversal, fmt.Sprint(i, "d"), t, ""))
		var back rbcs.Amount
		for _, r := range results {
			switch {
			case r.Status == rbcs.Posted:
				back, _ = back.Add(r.Transaction.Amount.Units)
			case r.Code != rbcs.AmountExceedsReversible:
				e.t.Errorf("%s: %s", r.Transaction.ID, outcome(&r))
			}
		}
		record := e.recorded(t.ID)
		if record.TakenBack != back || back.Cmp(money("1", "USD")) > 0 || record.Current == rbcs.Reversed != (back == money("1", "USD")) {
			e.t.Errorf("%v of %s was taken back, recorded as %v, %s", back, t.ID, record.TakenBack, record.Current)
		}
	}
}

// testHeldIsNotSpent has transfers, holds and captures compete for one balance:
// never more is spent and held than there is.
func testHeldIsNotSpent(e *env) {
	_, a, b := e.pair()
	var granted atomic.Int64 // in units of 9.00
	e.must(together(crowdSize, func(i int) error {
		for k := range 4 {
			id := fmt.Sprint(i, "-", k)
			t := e.transfer(id, a, b, "9")
			if k%2 == 0 {
				t = e.hold(id, a, b, "9")
			}
			results, _, err := submit(e.ctx, e.store, []*rbcs.Transaction{t})
			if err != nil {
				return err
			}
			if results[0].Status == rbcs.Rejected {
				continue
			}
			granted.Add(1)
			if t.Type == rbcs.Hold && i%2 == 0 {
				if _, _, err = submit(e.ctx, e.store, []*rbcs.Transaction{e.settle(rbcs.Capture, id+"c", t, "")}); err != nil {
					return err
				}
			}
		}
		return nil
	}))
	if granted.Load() != 11 {
		e.t.Errorf("%d times 9.00 were granted of 100.00", granted.Load())
	}
	account, got := e.get(a), e.get(b)
	if rest := account.Available(); rest != money("1", "USD") {
		e.t.Errorf("%v are available, want 1.00", rest)
	}
	if sum := plus(toBig(account.Balance), toBig(got.Balance)); sum.Cmp(toBig(money("100", "USD"))) != 0 {
		e.t.Errorf("both accounts have %v", sum)
	}
}

// testGroupsTogether has several instances submit the same groups at once, and
// groups that share members: each ID has one outcome, and each group one.
func testGroupsTogether(e *env) {
	_, a, b := e.pair()
	for i := range rounds {
		members := func(ids ...string) []*rbcs.Transaction {
			var list []*rbcs.Transaction
			for _, id := range ids {
				list = append(list, e.transfer(fmt.Sprint(i, id), a, b, "0.10"))
			}
			return grouped(list...)
		}
		batches := [][]*rbcs.Transaction{members("1", "2"), members("1", "2"), members("2", "3"), members("3", "4"), members("2", "1")}
		results := make([][]rbcs.Result, len(batches))
		e.must(together(len(batches), func(k int) (err error) {
			results[k], _, err = submit(e.ctx, e.store, batches[k])
			return err
		}))
		posted, posters := map[string]string{}, 0
		for k, list := range results {
			won := 0
			for _, r := range list {
				if r.Status == rbcs.Posted {
					won++
					if was := posted[r.Transaction.ID]; was != "" && was != r.Transaction.Group.ID {
						e.t.Errorf("%s was posted in two groups", r.Transaction.ID)
					}
					posted[r.Transaction.ID] = r.Transaction.Group.ID
				} else if code := rbcs.CodeOf(errorOf(&r)); code != rbcs.IDConflict && code != rbcs.GroupFailed {
					e.t.Errorf("%s: %s", r.Transaction.ID, outcome(&r))
				}
			}
			if won != 0 && won != len(list) {
				e.t.Errorf("group %d took place in part: %d of %d", k, won, len(list))
			}
			if won > 0 {
				posters++
			}
		}
		if posters == 0 {
			e.t.Error("no group took place")
		}
	}
}

// testOverdraftCutWhilePaying cuts an overdraft while money goes out: whatever
// is decided after the cut keeps the new limit.
func testOverdraftCutWhilePaying(e *env) {
	a, b := e.account("a", "USD", "100"), e.account("b", "USD", "0")
	var cutAt atomic.Int64 // the version that the cut was made at
	cutAt.Store(1 << 40)
	e.must(together(3, func(i int) error {
		if i == 2 {
			var account rbcs.Account
			_, err := retry(e.ctx, func() (err error) {
				account, err = e.store.UpdateAccount(e.ctx, a, rbcs.AccountChange{Overdraft: &rbcs.OverdraftChange{Limit: decimal("10")}})
				return err
			})
			cutAt.Store(account.Version)
			return err
		}
		for k := range 30 {
			t := e.transfer(fmt.Sprint(i, "-", k), a, b, "1.50")
			if i == 1 {
				t.Type = rbcs.Hold
			}
			if _, _, err := submit(e.ctx, e.store, []*rbcs.Transaction{t}); err != nil {
				return err
			}
		}
		return nil
	}))
	for _, entry := range e.history(rbcs.HistoryQuery{Account: a, Limit: 500}) {
		available, limit := minus(toBig(entry.Balance), toBig(entry.Held)), "-100"
		if entry.Version > cutAt.Load() {
			limit = "-10"
		}
		if available.Cmp(toBig(money(limit, "USD"))) < 0 {
			e.t.Errorf("version %d has %v available, beyond %s; the overdraft was cut after version %d", entry.Version, available, limit, cutAt.Load())
		}
	}
}

// testClosingWhileHolding closes an account on which holds come and go: it is
// closed at a moment without one, and none comes after that.
func testClosingWhileHolding(e *env) {
	a, b := e.account("a", "USD", "100"), e.account("b", "USD", "0")
	var closedAt atomic.Int64
	e.must(together(3, func(i int) error {
		for k := range 30 {
			if i == 2 {
				var account rbcs.Account
				_, err := retry(e.ctx, func() (err error) {
					account, err = e.store.UpdateAccount(e.ctx, a, rbcs.AccountChange{Status: new(rbcs.Closed)})
					return err
				})
				switch {
				case err == nil && !account.Held.IsZero():
					return fmt.Errorf("closed with %v held", account.Held)
				case err == nil:
					closedAt.Store(account.Version)
					return nil
				case rbcs.CodeOf(err) != rbcs.InvalidRequest:
					return err
				}
				continue
			}
			h := e.hold(fmt.Sprint(i, "-", k), a, b, "1")
			results, _, err := submit(e.ctx, e.store, []*rbcs.Transaction{h})
			if err != nil {
				return err
			}
			if results[0].Status == rbcs.Holding {
				_, _, err = submit(e.ctx, e.store, []*rbcs.Transaction{e.settle(rbcs.Release, fmt.Sprint(i, "-", k, "r"), h, "")})
			}
			if err != nil {
				return err
			}
		}
		return nil
	}))
	if account := e.get(a); account.Status == rbcs.Closed && (account.Version != closedAt.Load() || !account.Held.IsZero()) {
		e.t.Errorf("closed at version %d, and now it is %+v", closedAt.Load(), account)
	}
}
