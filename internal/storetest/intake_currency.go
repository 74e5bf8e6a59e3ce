package storetest

import (
	"fmt"

	"rbcs"
)

// testIntakeCurrency has the same transaction queued and submitted directly, the
// one with a currency and the other without: whatever the accounts are, both are
// told one decision, and the entry leaves the queue with it.
func testIntakeCurrency(e *env) {
	usd, sink := e.account("usd", "USD", "unlimited"), e.account("sink", "USD", "0")
	eur := e.account("eur", "EUR", "unlimited")
	for i, c := range []struct {
		queued, direct, source string
		status                 rbcs.Status
		code                   rbcs.Code
		conflict               bool // the direct submission is another transaction
	}{
		{"USD", "", usd, rbcs.Posted, "", false},
		{"", "USD", usd, rbcs.Posted, "", false},
		{"USD", "", e.number("none"), rbcs.Rejected, rbcs.AccountNotFound, false},
		{"", "USD", e.number("none"), rbcs.Rejected, rbcs.AccountNotFound, false},
		{"USD", "", eur, rbcs.Rejected, rbcs.CurrencyMismatch, false},
		{"", "EUR", usd, rbcs.Posted, "", true},
		{"USD", "EUR", usd, rbcs.Posted, "", true},
	} {
		name := fmt.Sprint(i)
		queued, direct := e.transfer(name, c.source, sink, "5"), e.transfer(name, c.source, sink, "5.0")
		for _, t := range []struct {
			*rbcs.Transaction
			currency string
		}{{queued, c.queued}, {direct, c.direct}} {
			if t.Currency = t.currency; t.currency != "" { // as [rbcs.Transaction.Prepare] does
				t.Amount = decimal("5.00")
			}
		}
		e.enqueue(queued)
		preview, err := e.store.Preview(e.ctx, []*rbcs.Transaction{direct})
		e.must(err)
		first := e.one(direct)
		switch {
		case c.conflict:
			e.wantConflict(first.Err, "/currency")
			e.wantConflict(preview[0].Err, "/currency")
		case first.Err != nil || first.Status != c.status || first.Code != c.code || preview[0].Status != c.status || preview[0].Code != c.code:
			e.t.Errorf("%+v: submitted directly: %+v, error %v; previewed: %+v", c, first, first.Err, preview[0])
		}
		claimant, batch := e.eventuallyClaim(name)
		t := batch.Entries[0].Transaction
		t.Turn = rbcs.FromQueue
		second := e.one(&t)
		if second.Err != nil || second.Status != c.status || second.Code != c.code || second.Replayed == c.conflict {
			e.t.Errorf("%+v: by the queue: %+v, error %v", c, second, second.Err)
		}
		if d := compareResults(new(e.recorded(t.ID).Result), &second); d != nil {
			e.t.Errorf("%+v: recorded: %v", c, d)
		}
		e.settleIntake(claimant, batch, e.outcome(&batch.Entries[0], "", 0))
	}
	if a := e.get(sink); a.Balance.Cmp(rbcs.AmountOf(4*500)) != 0 {
		e.t.Errorf("%s were received", a.Balance)
	}
}

// testIntakeCurrencyRace: where a commit did not see that its ID was queued at
// the same moment, and found no account to tell the currency, the entry with one
// finds its decision.
func testIntakeCurrencyRace(e *env) {
	none, sink := e.number("none"), e.account("sink", "USD", "0")
	first := e.one(e.transfer("1", none, sink, "5"))
	t := e.transfer("1", none, sink, "5.00")
	t.Currency = "USD"
	e.wantConflict(e.one(t).Err, "/currency") // a client is told what is recorded
	for _, turn := range []rbcs.Turn{rbcs.FromQueue, rbcs.Tentative} {
		queued := *t
		queued.Turn = turn
		if r := e.one(&queued); !r.Replayed || r.Sequence != first.Sequence || r.Transaction.Currency != "" {
			e.t.Errorf("the queue learns %+v, error %v", r, r.Err)
		}
	}
	other := *t
	other.Turn, other.Amount = rbcs.FromQueue, decimal("6.00")
	e.wantConflict(e.one(&other).Err, "/amount")
}
