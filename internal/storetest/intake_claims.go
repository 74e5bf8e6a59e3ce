package storetest

import (
	"fmt"
	"strings"
	"time"

	"rbcs"
)

// testIntakeScheduled: nothing is claimed before its time, and what is due first goes first.
func testIntakeScheduled(e *env) {
	a, b := e.number("a"), e.number("b")
	at := func(id string, when time.Time) *rbcs.Transaction {
		t := e.transfer(id, a, b, "1")
		t.ExecuteAt = when.UTC().Truncate(time.Microsecond)
		return t
	}
	soon := at("soon", time.Now().Add(150*time.Millisecond))
	e.enqueue(at("far", time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)), soon, at("past", eventTime))
	claimant := e.claimant()
	first := e.wantClaim(claimant, time.Hour, "past")
	if past := e.entry("past"); past.DueAt.Before(past.AcceptedAt) {
		e.t.Errorf("what was scheduled for the past goes before what was accepted earlier: due at %v", past.DueAt)
	}
	e.settleIntake(claimant, first, e.outcome(&first.Entries[0], "", 0))
	claimant, second := e.eventuallyClaim("soon")
	if second.Now.Before(soon.ExecuteAt) {
		e.t.Errorf("claimed at %v, before %v", second.Now, soon.ExecuteAt)
	}
	e.settleIntake(claimant, second, e.outcome(&second.Entries[0], "", 0))

	// What comes now does not wait for what was scheduled.
	e.enqueue(e.transfer("now", a, b, "1"))
	claimant = e.claimant()
	third := e.wantClaim(claimant, time.Hour, "now")
	e.settleIntake(claimant, third, e.outcome(&third.Entries[0], "", 0))
}

// testIntakeOrder: a source's entries come in their order, to one claimant at a time.
func testIntakeOrder(e *env) {
	a, b := e.number("a"), e.number("b")
	e.enqueue(e.transfer("a3", a, b, "1"), e.transfer("a2", a, b, "1"))
	e.enqueue(e.transfer("a1", a, b, "1"), e.transfer("b1", b, a, "1"))
	one, two := e.claimant(), e.claimant()
	batch := e.claimIntake(one, time.Hour)
	got := e.names(batch.Entries)
	if len(batch.Sources) != 2 || strings.ReplaceAll(strings.ReplaceAll(got, " b1", ""), "b1 ", "") != "a3 a2 a1" {
		e.t.Errorf("claimed %q of %v", got, batch.Sources)
	}
	e.enqueue(e.transfer("a4", a, b, "1"), e.transfer("c1", e.number("c"), a, "1"))
	other := e.wantClaim(two, time.Hour, "c1")
	byName := map[string]*rbcs.IntakeEntry{}
	for i := range batch.Entries {
		byName[e.names(batch.Entries[i:i+1])] = &batch.Entries[i]
	}
	// One is decided, the others were not tried.
	e.settleIntake(one, batch, e.outcome(byName["a3"], "", 0), e.outcome(byName["b1"], "", 0))
	three := e.claimant()
	rest := e.wantClaim(three, time.Hour, "a2 a1 a4")
	if rest.Entries[0].Attempts != 0 || rest.Entries[0].State != rbcs.IntakeQueued {
		e.t.Errorf("what was not tried is %+v", rest.Entries[0])
	}
	e.settleIntake(three, rest, e.outcome(&rest.Entries[0], "", 0), e.outcome(&rest.Entries[1], "", 0), e.outcome(&rest.Entries[2], "", 0))
	e.settleIntake(two, other, e.outcome(&other.Entries[0], "", 0))
	e.wantClaim(e.claimant(), time.Hour, "")
	for _, id := range []string{"a1", "a2", "a3", "a4", "b1", "c1"} {
		e.gone(id)
	}
}

// testIntakeBounds: a claim has no more than it asked for, and what it leaves is free.
func testIntakeBounds(e *env) {
	const each = 4
	e.emptyQueue()
	var txs []*rbcs.Transaction
	for i := range 3 * each {
		txs = append(txs, e.transfer(fmt.Sprint(i), e.number(fmt.Sprint(i%3)), e.number("x"), "1"))
	}
	e.enqueue(txs...)
	seen := map[string]bool{}
	for deadline := time.Now().Add(logPatience); len(seen) < len(txs); {
		claimant := e.claimant()
		b, err := e.store.ClaimIntake(e.ctx, rbcs.IntakeClaim{Claimant: claimant, Lease: time.Hour, Sources: 2, Limit: 3})
		e.must(err)
		if len(b.Sources) > 2 || len(b.Entries) > 3 || time.Now().After(deadline) {
			e.t.Fatalf("claimed %d entries of %v; %d came until now", len(b.Entries), b.Sources, len(seen))
		}
		var outcomes []rbcs.IntakeOutcome
		for i := range b.Entries {
			seen[b.Entries[i].Transaction.ID] = true
			outcomes = append(outcomes, e.outcome(&b.Entries[i], "", 0))
		}
		e.settleIntake(claimant, b, outcomes...)
	}
}

// testIntakeLease: after a lease another claimant takes over; the first one's
// failures count no more, and what it decided is decided.
func testIntakeLease(e *env) {
	a := e.number("a")
	e.enqueue(e.transfer("1", a, e.number("b"), "1"), e.transfer("2", a, e.number("b"), "1"))
	dead := e.claimant()
	was := e.wantClaim(dead, 100*time.Millisecond, "1 2") // says a later Now than that from which the lease counts
	next, now := e.eventuallyClaim("1 2")
	if now.Now.Sub(was.Now) < 50*time.Millisecond {
		e.t.Errorf("taken over after %v", now.Now.Sub(was.Now))
	}
	e.settleIntake(dead, was, e.outcome(&was.Entries[0], "", 0), e.outcome(&was.Entries[1], rbcs.IntakeFailed, time.Hour))
	e.gone("1")
	e.sameEntry(now.Entries[1])
	e.wantClaim(e.claimant(), time.Hour, "")
	e.settleIntake(next, now, e.outcome(&now.Entries[0], "", 0), e.outcome(&now.Entries[1], rbcs.IntakeFailed, time.Microsecond))
	e.settleIntake(next, now, e.outcome(&now.Entries[1], rbcs.IntakeFailed, time.Microsecond)) // its answer was lost: nothing happens twice
	last, rest := e.eventuallyClaim("2")
	if rest.Entries[0].Attempts != 1 {
		e.t.Errorf("%d attempts are counted, want 1", rest.Entries[0].Attempts)
	}
	e.settleIntake(last, rest, e.outcome(&rest.Entries[0], "", 0))
}

// testIntakeFailed: what failed is tried again before what is behind it.
func testIntakeFailed(e *env) {
	a, b := e.number("a"), e.number("b")
	e.enqueue(e.transfer("1", a, b, "1"), e.transfer("2", a, b, "1"), e.transfer("other", b, a, "1"))
	claimant := e.claimant()
	batch := e.claimIntake(claimant, time.Hour)
	outcomes := []rbcs.IntakeOutcome{}
	for i := range batch.Entries {
		if e.names(batch.Entries[i:i+1]) == "1" {
			outcomes = append(outcomes, e.outcome(&batch.Entries[i], rbcs.IntakeFailed, 200*time.Millisecond))
		}
	}
	e.settleIntake(claimant, batch, outcomes...)
	failed := e.entry("1")
	if failed.State != rbcs.IntakeRetrying || failed.Attempts != 1 || failed.Code != rbcs.Internal || failed.Detail != outcomes[0].Detail {
		e.t.Errorf("after a failure: %+v", failed)
	}
	e.enqueue(e.transfer("3", a, b, "1"))
	claimant = e.claimant()
	rest := e.wantClaim(claimant, time.Hour, "other")
	e.settleIntake(claimant, rest, e.outcome(&rest.Entries[0], "", 0))
	claimant, again := e.eventuallyClaim("1 2 3")
	history, err := e.store.IntakeHistory(e.ctx, failed.Transaction.ID)
	e.must(err)
	if len(history) != 1 || history[0].Kind != rbcs.IntakeFailed || history[0].Code != rbcs.Internal || history[0].Detail != outcomes[0].Detail ||
		history[0].Instance == "" || history[0].NextAt.Sub(history[0].At) != 200*time.Millisecond || again.Now.Before(history[0].NextAt) {
		e.t.Errorf("history %+v; claimed at %v", history, again.Now)
	}
	for i := range again.Entries {
		outcomes = append(outcomes[:i], e.outcome(&again.Entries[i], "", 0))
	}
	e.settleIntake(claimant, again, outcomes...)
	if after, err := e.store.IntakeHistory(e.ctx, failed.Transaction.ID); err != nil || len(after) != 1 {
		e.t.Errorf("history after the decision: %v, %v", after, err)
	}
}

// testIntakeRefused: what was refused for a reason that may pass lets others pass.
func testIntakeRefused(e *env) {
	a, b := e.number("a"), e.number("b")
	e.enqueue(e.transfer("1", a, b, "1"), e.transfer("2", a, b, "1"))
	claimant := e.claimant()
	batch := e.wantClaim(claimant, time.Hour, "1 2")
	e.settleIntake(claimant, batch, e.outcome(&batch.Entries[0], rbcs.IntakeRefused, 200*time.Millisecond))
	waiting := e.entry("1")
	if waiting.State != rbcs.IntakeRetrying || waiting.Attempts != 1 || !waiting.DueAt.After(batch.Entries[0].DueAt) {
		e.t.Errorf("after a refusal: %+v", waiting)
	}
	claimant = e.claimant()
	rest := e.wantClaim(claimant, time.Hour, "2")
	e.settleIntake(claimant, rest, e.outcome(&rest.Entries[0], "", 0))
	claimant, again := e.eventuallyClaim("1")
	if again.Now.Before(waiting.DueAt) {
		e.t.Errorf("claimed at %v, before %v", again.Now, waiting.DueAt)
	}
	e.settleIntake(claimant, again, e.outcome(&again.Entries[0], rbcs.IntakeRefused, time.Microsecond))
	claimant, again = e.eventuallyClaim("1")
	other := e.outcome(&again.Entries[0], rbcs.IntakeFailed, time.Microsecond)
	other.Anew = true
	e.settleIntake(claimant, again, other)
	claimant, again = e.eventuallyClaim("1")
	if n := again.Entries[0].Attempts; n != 1 {
		e.t.Errorf("%d attempts are counted anew, want 1", n)
	}
	e.settleIntake(claimant, again, e.outcome(&again.Entries[0], "", 0))
}

// testTentative: a tentative transaction is posted or refused as any other, but
// a rejection that may pass is not recorded.
func testTentative(e *env) {
	bank, a := e.account("bank", "USD", "unlimited"), e.account("a", "USD", "0")
	tentative := func(id, source, destination string) *rbcs.Transaction {
		t := e.transfer(id, source, destination, "5")
		t.RetryUntil, t.Turn = eventTime.AddDate(500, 0, 0), rbcs.Tentative
		return t
	}
	for _, c := range []struct {
		t    *rbcs.Transaction
		want rbcs.Code
	}{
		{tentative("funds", a, bank), rbcs.InsufficientFunds},
		{tentative("nobody", e.number("nobody"), bank), rbcs.AccountNotFound},
	} {
		r := e.one(c.t)
		if r.Err == nil || r.Err.Code != c.want {
			e.t.Errorf("%s: %s, error %v; want %s", c.t.ID, r.Status, r.Err, c.want)
		}
		_, err := e.store.Transaction(e.ctx, c.t.ID)
		e.wantCode(err, rbcs.NotFound)
	}
	if r := e.one(tentative("same", a, a)); r.Status != rbcs.Rejected || r.Code != rbcs.SameAccount {
		e.t.Errorf("what never passes: %+v", r)
	}
	results := e.commit(e.transfer("fund", bank, a, "5"), tentative("funds", a, bank))
	if results[1].Status != rbcs.Posted || results[1].Err != nil {
		e.t.Errorf("with funds: %+v", results[1])
	}
	last := tentative("nobody", e.number("nobody"), bank)
	last.Turn = rbcs.FromQueue
	if r := e.one(last); r.Status != rbcs.Rejected || r.Code != rbcs.AccountNotFound {
		e.t.Errorf("the last attempt: %+v", r)
	}
	last.Turn = rbcs.Tentative
	if r := e.one(last); !r.Replayed || r.Code != rbcs.AccountNotFound {
		e.t.Errorf("what is recorded: %+v", r)
	}
}
