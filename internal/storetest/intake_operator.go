package storetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"rbcs"
)

// kill makes an entry a dead letter.
func (e *env) kill(id string, t *rbcs.Transaction) rbcs.IntakeEntry {
	e.t.Helper()
	e.enqueue(t)
	claimant, b := e.eventuallyClaim(id)
	e.settleIntake(claimant, b, e.outcome(&b.Entries[0], rbcs.IntakeDied, 0))
	return e.entry(id)
}

// act has an operator do something with entries of this test.
func (e *env) act(do func(*env, rbcs.IntakeAction) ([]*rbcs.Error, error), want []rbcs.Code, ids ...string) {
	e.t.Helper()
	a := rbcs.IntakeAction{Actor: "alice", Reason: "because ' \" ü"}
	for _, id := range ids {
		a.IDs = append(a.IDs, e.name+"/"+id)
	}
	errs, err := do(e, a)
	e.must(err)
	for i := range ids {
		if code := rbcs.CodeOf(errorOf(&rbcs.Result{Err: errs[i]})); code != want[i] {
			e.t.Errorf("%s: %v, want %q", ids[i], errs[i], want[i])
		}
	}
}

func replay(e *env, a rbcs.IntakeAction) ([]*rbcs.Error, error) {
	return e.store.ReplayIntake(e.ctx, a)
}

func discard(e *env, a rbcs.IntakeAction) ([]*rbcs.Error, error) {
	return e.store.DiscardIntake(e.ctx, a)
}

// emptyQueue discards what other tests have left waiting.
func (e *env) emptyQueue() {
	e.t.Helper()
	for _, state := range []rbcs.IntakeState{rbcs.IntakeQueued, rbcs.IntakeRetrying} {
		list, err := e.store.Intakes(e.ctx, rbcs.IntakeQuery{State: state, Limit: 1000})
		e.must(err)
		a := rbcs.IntakeAction{Reason: "the next test"}
		for i := range list {
			a.IDs = append(a.IDs, list[i].Transaction.ID)
		}
		errs, err := e.store.DiscardIntake(e.ctx, a)
		e.must(err)
		for _, err := range errs {
			if err != nil {
				e.t.Fatal(err)
			}
		}
	}
}

// testIntakeDead: a dead letter is not claimed, until it is replayed.
func testIntakeDead(e *env) {
	a, b := e.number("a"), e.number("b")
	letter := e.kill("1", e.transfer("1", a, b, "1"))
	if letter.State != rbcs.IntakeDead || letter.Attempts != 1 || letter.Code != rbcs.Internal {
		e.t.Errorf("a dead letter: %+v", letter)
	}
	e.enqueue(e.transfer("2", a, b, "1"))
	claimant, rest := e.eventuallyClaim("2")
	e.settleIntake(claimant, rest, e.outcome(&rest.Entries[0], "", 0))
	if r := e.enqueueOne(e.transfer("1", a, b, "1")); r.Entry == nil || r.Entry.State != rbcs.IntakeDead {
		e.t.Errorf("submitted again: %+v", r)
	}
	e.wantConflict(e.enqueueOne(e.transfer("1", a, b, "2")).Err, "/amount")
	e.act(replay, []rbcs.Code{"", rbcs.NotFound}, "1", "none")
	again := e.entry("1")
	if again.State != rbcs.IntakeQueued || again.Attempts != 0 || again.Code != "" || !again.DueAt.After(letter.DueAt) {
		e.t.Errorf("replayed: %+v", again)
	}
	e.act(replay, []rbcs.Code{""}, "1") // it is already
	history, err := e.store.IntakeHistory(e.ctx, letter.Transaction.ID)
	e.must(err)
	if len(history) != 2 || history[0].Kind != rbcs.IntakeDied || !history[0].NextAt.IsZero() || history[1].Kind != rbcs.IntakeReplayed ||
		history[1].Actor != "alice" || history[1].Detail != "because ' \" ü" || history[1].Instance == "" || history[1].At.Before(history[0].At) {
		e.t.Errorf("history: %+v", history)
	}
	claimant, batch := e.eventuallyClaim("1")
	e.settleIntake(claimant, batch, e.outcome(&batch.Entries[0], rbcs.IntakeFailed, time.Hour))
	e.act(replay, []rbcs.Code{""}, "1") // what waits after a failure waits no longer
	claimant, batch = e.eventuallyClaim("1")
	e.settleIntake(claimant, batch, e.outcome(&batch.Entries[0], "", 0))
	e.act(replay, []rbcs.Code{rbcs.NotFound}, "1")

	later := e.transfer("later", a, b, "1")
	later.ExecuteAt = time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)
	e.enqueue(later)
	e.act(discard, []rbcs.Code{""}, "later")
	e.act(replay, []rbcs.Code{""}, "later")
	if x := e.entry("later"); !x.DueAt.Equal(later.ExecuteAt) {
		e.t.Errorf("replayed before its time: %+v", x)
	}
}

// testIntakeDecided: an operator who looks for what is decided is told so.
func testIntakeDecided(e *env) {
	a, b := e.account("a", "USD", "unlimited"), e.account("b", "USD", "0")
	e.post(e.transfer("posted", a, b, "1"))
	e.one(e.transfer("rejected", b, e.number("none"), "1"))
	e.enqueue(e.transfer("waiting", a, b, "1"))
	action := rbcs.IntakeAction{Reason: "because", IDs: []string{e.name + "/posted", e.name + "/waiting", e.name + "/none", e.name + "/rejected"}}
	for _, do := range []func(*env, rbcs.IntakeAction) ([]*rbcs.Error, error){discard, replay} {
		errs, err := do(e, action)
		e.must(err)
		for i, decided := range []bool{true, false, false, true} {
			var want *rbcs.Error
			if i != 1 {
				want = rbcs.NotQueued(action.IDs[i], decided)
			}
			if fmt.Sprint(errs[i]) != fmt.Sprint(want) || rbcs.CodeOf(errorOf(&rbcs.Result{Err: errs[i]})) != rbcs.CodeOf(errorOf(&rbcs.Result{Err: want})) {
				e.t.Errorf("%s: %v, want %v", action.IDs[i], errs[i], want)
			}
		}
	}
	claimant, batch := e.eventuallyClaim("waiting")
	e.settleIntake(claimant, batch, e.outcome(&batch.Entries[0], "", 0))
}

// testIntakeDiscarded: what was discarded is never posted, and its ID stays taken.
func testIntakeDiscarded(e *env) {
	a, b := e.account("a", "USD", "unlimited"), e.account("b", "USD", "0")
	e.kill("dead", e.transfer("dead", b, a, "1"))
	e.enqueue(e.transfer("waiting", a, b, "1"))
	e.act(discard, []rbcs.Code{"", rbcs.NotFound, ""}, "waiting", "none", "dead")
	e.act(discard, []rbcs.Code{""}, "dead") // it is already
	e.wantClaim(e.claimant(), time.Hour, "")
	for _, t := range []*rbcs.Transaction{e.transfer("waiting", a, b, "1"), e.transfer("dead", b, a, "7")} {
		e.wantConflict(e.enqueueOne(t).Err, "")
		e.wantConflict(e.one(t).Err, "")
	}
	history, err := e.store.IntakeHistory(e.ctx, e.name+"/dead")
	e.must(err)
	if len(history) != 2 || history[1].Kind != rbcs.IntakeWasDiscarded || history[1].Actor != "alice" || history[1].Detail == "" {
		e.t.Errorf("history: %+v", history)
	}
	e.act(replay, []rbcs.Code{""}, "waiting")
	claimant, batch := e.eventuallyClaim("waiting")
	e.settleIntake(claimant, batch, e.outcome(&batch.Entries[0], "", 0))
}

// testIntakeBusy: an operator has no entry that is being decided.
func testIntakeBusy(e *env) {
	e.enqueue(e.transfer("1", e.number("a"), e.number("b"), "1"))
	claimant := e.claimant()
	batch := e.wantClaim(claimant, time.Hour, "1")
	e.act(discard, []rbcs.Code{rbcs.Unavailable}, "1")
	e.act(replay, []rbcs.Code{rbcs.Unavailable}, "1")
	e.sameEntry(batch.Entries[0])
	e.settleIntake(claimant, batch)
	e.act(discard, []rbcs.Code{""}, "1")
}

// testIntakeHistory: of a long history the end is told.
func testIntakeHistory(e *env) {
	x := e.transfer("1", e.number("a"), e.number("b"), "1")
	e.enqueue(x)
	const turns = rbcs.MaxIntakeHistory/2 + 1
	for range turns {
		e.act(discard, []rbcs.Code{""}, "1")
		e.act(replay, []rbcs.Code{""}, "1")
	}
	e.act(discard, []rbcs.Code{""}, "1")
	history, err := e.store.IntakeHistory(e.ctx, x.ID)
	e.must(err)
	if n := len(history); n != rbcs.MaxIntakeHistory || history[n-1].Kind != rbcs.IntakeWasDiscarded || history[n-1].At.Before(history[0].At) {
		e.t.Errorf("%d events, at the end %+v", n, history[n-1])
	}
}

// testIntakeTooLate: a worker whose claim has ended does not post what was
// discarded since, and what it has posted is not discarded.
func testIntakeTooLate(e *env) {
	a, b := e.account("a", "USD", "unlimited"), e.account("b", "USD", "0")
	letter := e.kill("letter", e.transfer("letter", b, a, "0.01"))
	e.enqueue(e.transfer("first", a, b, "1"), e.transfer("second", a, b, "1"))
	late := e.claimant()
	was := e.wantClaim(late, time.Microsecond, "first second")
	e.act(discard, []rbcs.Code{""}, "second")
	for i, want := range []rbcs.Code{"", rbcs.IDConflict} {
		t := was.Entries[i].Transaction
		t.Turn = rbcs.FromQueue
		if r := e.one(&t); rbcs.CodeOf(errorOf(&r)) != want {
			e.t.Errorf("%s: %+v, error %v; want %q", t.ID, r, r.Err, want)
		}
	}
	_, err := e.store.Transaction(e.ctx, e.name+"/second")
	e.wantCode(err, rbcs.NotFound)
	e.act(discard, []rbcs.Code{rbcs.Unavailable}, "first")
	e.settleIntake(late, was, e.outcome(&was.Entries[0], "", 0), e.outcome(&was.Entries[1], rbcs.IntakeDied, 0))
	if x := e.entry("second"); x.State != rbcs.IntakeDiscarded {
		e.t.Errorf("after a late end of the claim: %+v", x)
	}
	e.one(&letter.Transaction)
	e.act(discard, []rbcs.Code{rbcs.IDConflict}, "letter")
	e.act(replay, []rbcs.Code{""}, "letter")
	claimant, batch := e.eventuallyClaim("letter")
	e.settleIntake(claimant, batch, e.outcome(&batch.Entries[0], "", 0))
}

// testIntakeGivenUp has each entry posted by a late worker, or by a client, and
// discarded at the same moment: one of them is told that it cannot.
func testIntakeGivenUp(e *env) {
	a, b := e.account("a", "USD", "unlimited"), e.account("b", "USD", "0")
	for i := range 40 {
		t := e.transfer(fmt.Sprint(i), a, b, "1")
		t.Turn = rbcs.Turn(i % 2)
		e.enqueue(t)
		var given *rbcs.Error
		var result rbcs.Result
		e.must(together(2, func(k int) error {
			if k == 0 {
				results, _, err := submit(e.ctx, e.store, []*rbcs.Transaction{t})
				if err == nil {
					result = results[0]
				}
				return err
			}
			_, err := retry(e.ctx, func() error {
				errs, err := e.store.DiscardIntake(e.ctx, rbcs.IntakeAction{IDs: []string{t.ID}, Reason: "meanwhile"})
				if err == nil {
					given = errs[0]
				}
				return err
			})
			return err
		}))
		if (given == nil) == (result.Err == nil) {
			e.t.Errorf("%d: discarded: %v; posted: %v", i, given, result.Err)
		}
		e.drainOne(given != nil)
	}
}

// testIntakeListed lists entries by state in pages, and counts them.
func testIntakeListed(e *env) {
	before, err := e.store.IntakeStats(e.ctx)
	e.must(err)
	const n = 7
	var txs []*rbcs.Transaction
	for i := range n {
		t := e.transfer(fmt.Sprint(i), e.number("a"), e.number("b"), "1")
		t.ExecuteAt = time.Date(2999, 1, 1, 0, 0, (n-i)/2, 0, time.UTC) // two of them at a time
		txs = append(txs, t)
	}
	e.enqueue(txs...)
	e.kill("letter", e.transfer("letter", e.number("c"), e.number("b"), "1"))
	e.enqueue(e.transfer("failing", e.number("d"), e.number("b"), "1"))
	claimant, b := e.eventuallyClaim("failing")
	e.settleIntake(claimant, b, e.outcome(&b.Entries[0], rbcs.IntakeFailed, time.Hour))
	for state, want := range map[rbcs.IntakeState]string{
		rbcs.IntakeQueued: "6 4 5 2 3 0 1", rbcs.IntakeRetrying: "failing", rbcs.IntakeDead: "letter", rbcs.IntakeWaiting: "failing 6 4 5 2 3 0 1",
	} {
		var own []rbcs.IntakeEntry
		for q := (rbcs.IntakeQuery{State: state, Limit: 2}); ; {
			page, err := e.store.Intakes(e.ctx, q)
			e.must(err)
			for _, x := range page {
				if waits := x.State == rbcs.IntakeQueued || x.State == rbcs.IntakeRetrying; x.State != state && (state != rbcs.IntakeWaiting || !waits) {
					e.t.Errorf("%s is %s in the list of %s", x.Transaction.ID, x.State, state)
				}
				if e.names([]rbcs.IntakeEntry{x}) != x.Transaction.ID {
					own = append(own, x)
				}
				q.After = rbcs.IntakePlace{DueAt: x.DueAt, Position: x.Position}
			}
			if len(page) < q.Limit {
				break
			}
		}
		if got := e.names(own); got != want {
			e.t.Errorf("%s: %q, want %q", state, got, want)
		}
	}
	stats, err := e.store.IntakeStats(e.ctx)
	e.must(err)
	if stats.Queued-before.Queued != n || stats.Retrying-before.Retrying != 1 || stats.Dead-before.Dead != 1 {
		e.t.Errorf("counted %+v, before %+v", stats, before)
	}
	if failing := e.entry("failing"); stats.OldestDue.After(failing.DueAt) || stats.OldestDue.IsZero() || stats.Now.Before(before.Now) {
		e.t.Errorf("the oldest is due at %v, and one at %v; now is %v", stats.OldestDue, failing.DueAt, stats.Now)
	}
}

// testIntakeCrowd has several enqueue while several others claim, decide, forget
// what they have done, and settle: each entry is posted once, and those of a
// source in their order.
func testIntakeCrowd(e *env) {
	const sources, each, workers = 5, 60, 3
	e.emptyQueue()
	sink := e.account("sink", "USD", "0")
	for i := range sources {
		e.account(fmt.Sprint(i), "USD", "unlimited")
	}
	var left atomic.Int64
	left.Store(sources * each)
	var producers sync.WaitGroup
	for i := range sources {
		producers.Go(func() {
			for k := range each {
				t := e.transfer(fmt.Sprintf("%d-%03d", i, k), e.number(fmt.Sprint(i)), sink, "1")
				if _, err := retry(e.ctx, func() error {
					_, err := e.store.Enqueue(e.ctx, []*rbcs.Transaction{t})
					return err
				}); err != nil {
					e.t.Error(err)
				}
			}
		})
	}
	deadline := time.Now().Add(2 * logPatience)
	e.must(together(workers, func(int) error {
		for round := 0; left.Load() > 0; round++ {
			if time.Now().After(deadline) {
				return fmt.Errorf("%d are left", left.Load())
			}
			if err := e.workOnce(round%7 == 3, &left); err != nil {
				return err
			}
		}
		return nil
	}))
	producers.Wait()
	for e.isQueued() { // what a crashed worker has decided
		if time.Now().After(deadline) {
			e.t.Fatal("the queue is never empty")
		}
		e.must(e.workOnce(false, &left))
	}
	if a := e.get(sink); a.Version != sources*each {
		e.t.Errorf("%d were posted, want %d", a.Version, sources*each)
	}
	for i := range sources {
		var last int64
		for k := range each {
			r := e.recorded(fmt.Sprintf("%s/%d-%03d", e.name, i, k))
			if r.Sequence <= last {
				e.t.Errorf("%s was decided before what was accepted before it", r.Transaction.ID)
			}
			last = r.Sequence
		}
	}
}

// testIntakeRace has each ID queued and submitted directly at the same moment,
// every third one with other content: whatever each is told, one of them moves
// money, and once the queue is empty its record is what both were told.
func testIntakeRace(e *env) {
	const n = 40
	e.emptyQueue()
	a, b := e.account("a", "USD", "unlimited"), e.account("b", "USD", "0")
	for i := range n {
		queued, direct := e.transfer(fmt.Sprint(i), a, b, "1"), e.transfer(fmt.Sprint(i), a, b, "1")
		if i%3 == 0 {
			direct.Amount = decimal("2")
		}
		var told rbcs.IntakeResult
		var result rbcs.Result
		e.must(together(2, func(k int) error {
			if k == 0 {
				results, _, err := submit(e.ctx, e.store, []*rbcs.Transaction{direct})
				if err == nil {
					result = results[0]
				}
				return err
			}
			_, err := retry(e.ctx, func() error {
				results, err := e.store.Enqueue(e.ctx, []*rbcs.Transaction{queued})
				if err == nil {
					told = results[0]
				}
				return err
			})
			return err
		}))
		if i%3 != 0 && (result.Err != nil || told.Err != nil) {
			e.t.Errorf("the same content: %v, %v", result.Err, told.Err)
		}
		if result.Err != nil && told.Entry == nil {
			e.t.Errorf("%d: nothing was accepted: %v, %+v", i, result.Err, told)
		}
		e.drainOne(told.Entry != nil)
		r := e.recorded(queued.ID)
		if result.Err == nil && r.Sequence != result.Sequence {
			e.t.Errorf("%d: told %d, recorded %d", i, result.Sequence, r.Sequence)
		}
	}
	if got := e.get(b); got.Version != n {
		e.t.Errorf("%d moves of %d IDs", got.Version, n)
	}
}

// drainOne decides what is in the queue, as a worker does.
func (e *env) drainOne(expected bool) {
	e.t.Helper()
	if !expected {
		return
	}
	claimant := e.claimant()
	batch := e.claimIntake(claimant, time.Hour)
	var outcomes []rbcs.IntakeOutcome
	for i := range batch.Entries {
		t := batch.Entries[i].Transaction
		t.Turn = rbcs.FromQueue
		kind := rbcs.IntakeEventKind("")
		if r := e.one(&t); r.Err != nil {
			e.wantCode(r.Err, rbcs.IDConflict)
			kind = rbcs.IntakeDied
		}
		outcomes = append(outcomes, e.outcome(&batch.Entries[i], kind, 0))
	}
	if len(batch.Entries) > 0 {
		e.settleIntake(claimant, batch, outcomes...)
	}
}

// isQueued reports whether anything waits.
func (e *env) isQueued() bool {
	e.t.Helper()
	stats, err := e.store.IntakeStats(e.ctx)
	e.must(err)
	return stats.Queued+stats.Retrying > 0
}

// workOnce is one round of a worker. One that crashes has decided and forgets to settle.
func (e *env) workOnce(crash bool, left *atomic.Int64) error {
	claimant, lease := e.claimant(), time.Hour
	if crash {
		lease = 20 * time.Millisecond
	}
	var b rbcs.IntakeBatch
	if _, err := retry(e.ctx, func() (err error) {
		b, err = e.store.ClaimIntake(e.ctx, rbcs.IntakeClaim{Claimant: claimant, Lease: lease, Sources: 2, Limit: 20})
		return err
	}); err != nil || len(b.Sources) == 0 {
		return err
	}
	var txs []*rbcs.Transaction
	var outcomes []rbcs.IntakeOutcome
	for i := range b.Entries {
		t := b.Entries[i].Transaction
		t.Turn = rbcs.FromQueue
		txs = append(txs, &t)
		outcomes = append(outcomes, e.outcome(&b.Entries[i], "", 0))
	}
	if len(txs) > 0 {
		results, _, err := submit(e.ctx, e.store, txs)
		if err != nil {
			return err
		}
		for i := range results {
			if results[i].Err != nil || results[i].Status != rbcs.Posted {
				return fmt.Errorf("%s: %+v", txs[i].ID, results[i])
			}
			if !results[i].Replayed {
				left.Add(-1)
			}
		}
	}
	if crash {
		return nil
	}
	_, err := retry(e.ctx, func() error { return e.store.SettleIntake(e.ctx, claimant, b.Sources, outcomes) })
	return err
}
