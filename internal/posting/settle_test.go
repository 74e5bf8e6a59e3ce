package posting_test

import (
	"testing"
	"time"

	"rbcs"
	"rbcs/internal/posting"
)

// What is refused before the original is known is recorded as it was written: another amount is a conflict.
func TestAmountOfARefusedSettlementIsItsContent(t *testing.T) {
	l := newLedger(account("a", 10000), account("b", 0))
	wantOutcomes(t, l.decide(
		settle(t, rbcs.Capture, "c", "none", "5"), settle(t, rbcs.Capture, "c", "none", "5.00"), settle(t, rbcs.Capture, "c", "none", ""),
		settle(t, rbcs.Capture, "all", "none", ""), settle(t, rbcs.Capture, "all", "none", ""), settle(t, rbcs.Capture, "all", "none", "5"),
	), "hold_not_found", "hold_not_found", "!id_conflict", "hold_not_found", "hold_not_found", "!id_conflict")
}

// Whether the accounts of a rejected original happen to be loaded, for another
// transaction of the batch, must not make a difference to what is recorded.
func TestOutcomeDoesNotDependOnTheRestOfTheBatch(t *testing.T) {
	for _, kind := range []rbcs.Type{rbcs.Reversal, rbcs.Capture} {
		l := newLedger(account("a", 100), account("b", 500))
		wantOutcomes(t, l.decide(transfer(t, "t", "5"), hold(t, "h", "5")), "insufficient_funds", "insufficient_funds")
		original := map[rbcs.Type]string{rbcs.Reversal: "t", rbcs.Capture: "h"}[kind]
		want := map[rbcs.Type]string{rbcs.Reversal: "amount_exceeds_reversible", rbcs.Capture: "hold_not_open"}[kind]
		early := settle(t, kind, "s", original, "1")
		early.Source, early.Destination = "", ""

		alone := batch(nil, early)
		alone.Recorded = l.recorded
		wantOutcomes(t, alone.Decide(), "!unavailable")
		wantOutcomes(t, l.decide(early), want)
	}
}

// An original whose accounts never existed is known to have moved nothing.
func TestReversalOfWhatHadNoAccounts(t *testing.T) {
	l := newLedger()
	wantOutcomes(t, l.decide(transfer(t, "t", "5"), hold(t, "h", "5")), "account_not_found", "account_not_found")
	wantOutcomes(t, l.decide(settle(t, rbcs.Reversal, "r", "t", ""), settle(t, rbcs.Release, "s", "h", "")), "account_not_found", "hold_not_open")
}

// Nothing that is recorded as committed at or after a hold's end captures it,
// also where the clock was set back and the account's own time is ahead of it.
func TestDueIsDecidedAtTheTimeOfTheRecord(t *testing.T) {
	ends := now.Add(time.Second)
	for _, ahead := range []string{"a", "b"} {
		a, b := account("a", 10000), account("b", 0)
		l := newLedger(a, b)
		l.decide(hold(t, "h", "60", expiring(ends)))
		l.accounts[ahead].UpdatedAt = ends
		d := l.decide(settle(t, rbcs.Capture, "c", "h", ""))
		wantOutcomes(t, d, "hold_not_open")
		if d[0].CommittedAt.Before(ends) {
			t.Errorf("refused as due at %v, before %v", d[0].CommittedAt, ends)
		}
		if ahead == "a" {
			wantOutcomes(t, l.decide(settle(t, rbcs.Expiry, "rbcs.e", "h", "")), "posted")
		}
	}
}

// All of nothing lacks no funds, however far below its overdraft the account is.
func TestNothingLeftToReverse(t *testing.T) {
	b := account("b", 0)
	l := newLedger(account("a", 10000), b)
	l.decide(transfer(t, "t", "10"), settle(t, rbcs.Reversal, "r", "t", ""))
	b.Balance, b.Sent = rbcs.AmountOf(-500), rbcs.AmountOf(1500) // and its overdraft was cut
	d := l.decide(settle(t, rbcs.Reversal, "r2", "t", ""), settle(t, rbcs.Reversal, "r2", "t", ""))
	wantOutcomes(t, d, "amount_exceeds_reversible", "amount_exceeds_reversible")
	if !d[1].Replayed {
		t.Error("the second is no replay")
	}
}

// A negative amount cannot arrive here; should it, it moves nothing the wrong way.
func TestNegativeAmountsOfSettlementsAreRefused(t *testing.T) {
	l := newLedger(account("a", 10000), account("b", 10000))
	l.decide(hold(t, "h", "60"), transfer(t, "t", "10"))
	for kind, original := range map[rbcs.Type]string{rbcs.Capture: "h", rbcs.Reversal: "t"} {
		tx := settle(t, kind, "s"+original, original, "")
		tx.Amount = rbcs.Decimal{Units: rbcs.AmountOf(-100), Scale: 2}
		wantOutcomes(t, l.decide(tx), "!invalid_request")
	}
}

// Each rule that a settlement passes on its way refuses it where it must.
func TestSettlementsMeetEveryRule(t *testing.T) {
	full := func(a *posting.Account) {
		a.Balance, a.Received, a.Overdraft.Unlimited = rbcs.MaxAmount(), rbcs.MaxAmount(), true
	}
	damaged := func(a *posting.Account) { full(a); a.Held = rbcs.Amount{} }
	for name, c := range map[string]struct {
		txs   []*rbcs.Transaction
		after func(a, b *posting.Account) // what happens between the first transaction and the second
		want  string                      // of the second
	}{
		"capture into a full account":     {[]*rbcs.Transaction{hold(t, "h", "1"), settle(t, rbcs.Capture, "s", "h", "")}, func(_, b *posting.Account) { full(b) }, "overflow"},
		"release on a damaged account":    {[]*rbcs.Transaction{hold(t, "h", "1"), settle(t, rbcs.Release, "s", "h", "")}, func(a, _ *posting.Account) { damaged(a) }, "overflow"},
		"reversal into a full account":    {[]*rbcs.Transaction{transfer(t, "t", "1"), settle(t, rbcs.Reversal, "s", "t", "")}, func(a, _ *posting.Account) { full(a) }, "overflow"},
		"reversal from a frozen account":  {[]*rbcs.Transaction{transfer(t, "t", "1"), settle(t, rbcs.Reversal, "s", "t", "")}, func(_, b *posting.Account) { b.Status = rbcs.Frozen }, "account_frozen"},
		"reversal into a closed account":  {[]*rbcs.Transaction{transfer(t, "t", "1"), settle(t, rbcs.Reversal, "s", "t", "")}, func(a, _ *posting.Account) { a.Status = rbcs.Closed }, "account_closed"},
		"reversal with too many decimals": {[]*rbcs.Transaction{transfer(t, "t", "1"), settle(t, rbcs.Reversal, "s", "t", "0.001")}, func(*posting.Account, *posting.Account) {}, "!invalid_request"},
		"reversal of a reversal":          {[]*rbcs.Transaction{transfer(t, "t", "1"), settle(t, rbcs.Reversal, "r", "t", ""), settle(t, rbcs.Reversal, "s", "r", "")}, func(*posting.Account, *posting.Account) {}, "amount_exceeds_reversible"},
		"reversal of a release":           {[]*rbcs.Transaction{hold(t, "h", "1"), settle(t, rbcs.Release, "r", "h", ""), settle(t, rbcs.Reversal, "s", "r", "")}, func(*posting.Account, *posting.Account) {}, "amount_exceeds_reversible"},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := account("a", 10000), account("b", 0)
			l := newLedger(a, b)
			last := len(c.txs) - 1
			l.decide(c.txs[:last]...)
			c.after(a, b)
			wantOutcomes(t, l.decide(c.txs[last]), c.want)
		})
	}
	t.Run("hold with too many decimals", func(t *testing.T) {
		l := newLedger(account("a", 10000), account("b", 0))
		wantOutcomes(t, l.decide(hold(t, "h", "1.234")), "!invalid_request")
	})
}

// A rejection says which account would overflow, and what a settlement lacks.
func TestRejectionsSayWhatTheyLack(t *testing.T) {
	full := func(a *posting.Account) { a.Balance, a.Received = rbcs.MaxAmount(), rbcs.MaxAmount() }
	spent := func(a *posting.Account) {
		a.Balance, a.Sent, a.Overdraft.Unlimited = rbcs.MaxAmount().Neg(), rbcs.MaxAmount(), true
	}
	for name, c := range map[string]struct {
		a, b  func(*posting.Account)
		txs   []*rbcs.Transaction
		about string
		short rbcs.Shortfall
	}{
		"a full destination": {unlimited, full, []*rbcs.Transaction{transfer(t, "t", "1")}, "b", rbcs.Shortfall{}},
		"a spent source":     {spent, unlimited, []*rbcs.Transaction{transfer(t, "t", "1")}, "a", rbcs.Shortfall{}},
		"a hold on it":       {spent, unlimited, []*rbcs.Transaction{hold(t, "h", "1")}, "a", rbcs.Shortfall{}},
		"a capture": {
			unlimited, unlimited,
			[]*rbcs.Transaction{hold(t, "h", "1"), settle(t, rbcs.Capture, "c", "h", "1.50")},
			"",
			rbcs.Shortfall{Available: rbcs.AmountOf(100), Needed: rbcs.AmountOf(150), Short: rbcs.AmountOf(50)},
		},
		"a reversal": {
			unlimited, unlimited,
			[]*rbcs.Transaction{transfer(t, "t", "1"), settle(t, rbcs.Reversal, "r", "t", "1.50")},
			"",
			rbcs.Shortfall{Available: rbcs.AmountOf(100), Needed: rbcs.AmountOf(150), Short: rbcs.AmountOf(50)},
		},
	} {
		l := newLedger(account("a", 0, c.a), account("b", 0, c.b))
		d := l.decide(c.txs...)
		if r := d[len(d)-1]; r.Status != rbcs.Rejected || r.SettledBy != c.about || r.Shortfall != c.short {
			t.Errorf("%s: %s %s about %q, short %+v", name, r.Status, r.Code, r.SettledBy, r.Shortfall)
		}
	}
}

// A release changes its source only: what happened on the destination later is no matter of its time.
func TestReleaseHasTheTimeOfItsSource(t *testing.T) {
	l := newLedger(account("a", 10000), account("b", 0))
	l.decide(hold(t, "h", "60"))
	l.accounts["b"].UpdatedAt = now.Add(time.Hour)
	if d := l.decide(settle(t, rbcs.Release, "r", "h", ""))[0]; !d.CommittedAt.Equal(now) {
		t.Errorf("released at %v, want %v", d.CommittedAt, now)
	}
}

// What settles something that is not there is recorded with the accounts that it names.
func TestRefusedSettlementKeepsItsAccounts(t *testing.T) {
	l := newLedger(account("a", 0), account("b", 0))
	if d := l.decide(settle(t, rbcs.Release, "r", "none", ""))[0]; d.SourceAccount != l.accounts["a"] || d.DestinationAccount != l.accounts["b"] {
		t.Errorf("recorded with %v and %v", d.SourceAccount, d.DestinationAccount)
	}
}

// Only who names both accounts of an original knew that they are not there.
func TestSettlementThatKnewOneAccount(t *testing.T) {
	l := newLedger()
	l.decide(transfer(t, "t", "5"))
	for _, named := range [][2]string{{"b", "x"}, {"x", "a"}, {"", ""}} {
		r := settle(t, rbcs.Reversal, "r"+named[0], "t", "")
		r.Source, r.Destination = named[0], named[1]
		wantOutcomes(t, l.decide(r), "!unavailable")
	}
}
