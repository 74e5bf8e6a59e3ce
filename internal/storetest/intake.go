package storetest

import (
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"rbcs"
)

var intakeTests = []test{
	{"accepted", testIntakeAccepted},
	{"recorded-before", testIntakeRecorded},
	{"decided-directly", testIntakeDirect},
	{"in-a-group", testIntakeGroup},
	{"currency", testIntakeCurrency},
	{"currency-at-the-same-moment", testIntakeCurrencyRace},
	{"scheduled", testIntakeScheduled},
	{"in-order", testIntakeOrder},
	{"bounded", testIntakeBounds},
	{"lease-ends", testIntakeLease},
	{"failed", testIntakeFailed},
	{"refused", testIntakeRefused},
	{"dead", testIntakeDead},
	{"decided", testIntakeDecided},
	{"discarded", testIntakeDiscarded},
	{"busy", testIntakeBusy},
	{"long-history", testIntakeHistory},
	{"counted", testIntakeCounted},
	{"too-late", testIntakeTooLate},
	{"given-up-meanwhile", testIntakeGivenUp},
	{"listed", testIntakeListed},
	{"tentative", testTentative},
	{"crowd", testIntakeCrowd},
	{"same-moment", testIntakeRace},
}

// enqueue queues transactions that must be accepted.
func (e *env) enqueue(txs ...*rbcs.Transaction) []rbcs.IntakeEntry {
	e.t.Helper()
	results, err := e.store.Enqueue(e.ctx, txs)
	e.must(err)
	entries := make([]rbcs.IntakeEntry, len(results))
	for i, r := range results {
		if r.Err != nil || r.Entry == nil {
			e.t.Fatalf("%s: %+v, error %v", txs[i].ID, r, r.Err)
		}
		entries[i] = *r.Entry
	}
	return entries
}

// enqueueOne queues one transaction, whatever becomes of it.
func (e *env) enqueueOne(t *rbcs.Transaction) rbcs.IntakeResult {
	e.t.Helper()
	results, err := e.store.Enqueue(e.ctx, []*rbcs.Transaction{t})
	e.must(err)
	return results[0]
}

// claimant returns the name of a claim, which no other one has.
func (e *env) claimant() string { return e.name + "/" + rand.Text() }

// claimIntake claims what there is of this test, and lets go of the rest.
func (e *env) claimIntake(claimant string, lease time.Duration) rbcs.IntakeBatch {
	e.t.Helper()
	b, err := e.store.ClaimIntake(e.ctx, rbcs.IntakeClaim{Claimant: claimant, Lease: lease, Sources: 1000, Limit: 10_000})
	e.must(err)
	foreign := slices.DeleteFunc(slices.Clone(b.Sources), func(s string) bool { return strings.HasPrefix(s, e.name+":") })
	if len(foreign) > 0 {
		e.must(e.store.SettleIntake(e.ctx, claimant, foreign, nil))
	}
	if len(b.Entries) == 0 { // perhaps a source without any
		e.must(e.store.SettleIntake(e.ctx, claimant, b.Sources, nil))
	}
	b.Sources = slices.DeleteFunc(b.Sources, func(s string) bool { return !strings.HasPrefix(s, e.name+":") })
	b.Entries = slices.DeleteFunc(b.Entries, func(x rbcs.IntakeEntry) bool { return !strings.HasPrefix(x.Transaction.ID, e.name+"/") })
	return b
}

// wantClaim claims and checks which entries come, in their order.
func (e *env) wantClaim(claimant string, lease time.Duration, want string) rbcs.IntakeBatch {
	e.t.Helper()
	b := e.claimIntake(claimant, lease)
	if got := e.names(b.Entries); got != want {
		e.t.Errorf("%s claims %q, want %q", claimant, got, want)
	}
	return b
}

// eventuallyClaim claims until the wanted entries come.
func (e *env) eventuallyClaim(want string) (string, rbcs.IntakeBatch) {
	e.t.Helper()
	for deadline := time.Now().Add(logPatience); ; {
		claimant := e.claimant()
		b := e.claimIntake(claimant, time.Hour)
		if got := e.names(b.Entries); got == want {
			return claimant, b
		} else if time.Now().After(deadline) {
			e.t.Fatalf("%q is never claimed, but %q", want, got)
		}
		e.settleIntake(claimant, b)
	}
}

// names are the IDs of entries without what begins all of this test's.
func (e *env) names(entries []rbcs.IntakeEntry) string {
	var names []string
	for _, x := range entries {
		names = append(names, strings.TrimPrefix(x.Transaction.ID, e.name+"/"))
	}
	return strings.Join(names, " ")
}

// settleIntake ends a claim.
func (e *env) settleIntake(claimant string, b rbcs.IntakeBatch, outcomes ...rbcs.IntakeOutcome) {
	e.t.Helper()
	e.must(e.store.SettleIntake(e.ctx, claimant, b.Sources, outcomes))
}

// outcome is what became of an entry of a batch.
func (e *env) outcome(entry *rbcs.IntakeEntry, kind rbcs.IntakeEventKind, after time.Duration) rbcs.IntakeOutcome {
	o := rbcs.IntakeOutcome{ID: entry.Transaction.ID, Source: entry.Transaction.Source, Kind: kind, After: after}
	if kind != "" {
		o.Code, o.Detail = rbcs.Internal, "it failed ' \" ü"
	}
	return o
}

// entry returns a stored entry.
func (e *env) entry(id string) rbcs.IntakeEntry {
	e.t.Helper()
	x, err := e.store.Intake(e.ctx, e.name+"/"+id)
	e.must(err)
	return x
}

// gone checks that an ID is not in the queue.
func (e *env) gone(id string) {
	e.t.Helper()
	_, err := e.store.Intake(e.ctx, e.name+"/"+id)
	e.wantCode(err, rbcs.NotFound)
}

func compareEntries(got, want *rbcs.IntakeEntry) differences {
	d := compareTransactions(&got.Transaction, &want.Transaction)
	differ(&d, "state", got.State, want.State)
	differ(&d, "position", got.Position, want.Position)
	differ(&d, "attempts", got.Attempts, want.Attempts)
	differ(&d, "code", got.Code, want.Code)
	differ(&d, "detail", got.Detail, want.Detail)
	d.time("accepted_at", got.AcceptedAt, want.AcceptedAt)
	d.time("due_at", got.DueAt, want.DueAt)
	return d
}

// sameEntry checks what is stored.
func (e *env) sameEntry(want rbcs.IntakeEntry) {
	e.t.Helper()
	got, err := e.store.Intake(e.ctx, want.Transaction.ID)
	e.must(err)
	if d := compareEntries(&got, &want); d != nil {
		e.t.Errorf("%s: %v", want.Transaction.ID, d)
	}
}

// wantConflict checks a conflict and the fields that it names.
func (e *env) wantConflict(err *rbcs.Error, fields string) {
	e.t.Helper()
	if err == nil {
		e.t.Errorf("there is no conflict; want %s", fields)
		return
	}
	if got := strings.Join(pointers(err), " "); err.Code != rbcs.IDConflict || got != fields {
		e.t.Errorf("%v in %q, want %q", err, got, fields)
	}
}

// testIntakeAccepted: what is queued is kept as it was submitted, and the same
// again changes nothing.
func testIntakeAccepted(e *env) {
	full := e.hold("full", e.number("a"), e.number("b"), "12.340")
	full.ExecuteAt, full.RetryUntil = time.Date(2999, 1, 2, 3, 4, 5, 6000, time.UTC), time.Date(2999, 2, 2, 3, 4, 5, 7000, time.UTC)
	full.ExpiresAt, full.Currency, full.Description, full.Metadata = eventTime.Add(time.Hour), "USD", "ü ' \"", `{"a":[1,"ü"]}`
	plain := e.transfer("plain", e.number("c"), e.number("b"), "1")
	entries := e.enqueue(full, plain, new(*full))
	if entries[0].Position >= entries[1].Position || entries[2] != entries[0] {
		e.t.Errorf("positions %d, %d, %d", entries[0].Position, entries[1].Position, entries[2].Position)
	}
	for i, t := range []*rbcs.Transaction{full, plain} {
		x := entries[i]
		want := rbcs.IntakeEntry{Transaction: *t, State: rbcs.IntakeQueued, Position: x.Position, AcceptedAt: x.AcceptedAt, DueAt: t.ExecuteAt}
		if want.DueAt.IsZero() {
			want.DueAt = x.AcceptedAt
		}
		if d := compareEntries(&x, &want); d != nil || x.AcceptedAt.Year() < 2000 || x.Position < 1 {
			e.t.Errorf("%s: %v, accepted at %v", t.ID, d, x.AcceptedAt)
		}
		e.sameEntry(want)
	}
	again := new(*full)
	again.Amount, again.Actor = decimal("12.34"), "somebody else"
	if r := e.enqueueOne(again); r.Entry == nil || compareEntries(r.Entry, &entries[0]) != nil {
		e.t.Errorf("the same again: %+v", r)
	}
	other := new(*full)
	other.Amount, other.ExecuteAt, other.RetryUntil = decimal("1"), other.ExecuteAt.Add(time.Microsecond), time.Time{}
	e.wantConflict(e.enqueueOne(other).Err, "/amount /execute_at /retry_until")
	mixed, err := e.store.Enqueue(e.ctx, []*rbcs.Transaction{
		e.transfer("x", e.number("d"), e.number("b"), "1"), e.transfer("x", e.number("d"), e.number("b"), "2"), e.transfer("x", e.number("d"), e.number("b"), "1.0"),
	})
	e.must(err)
	e.wantConflict(mixed[1].Err, "/amount")
	if mixed[0].Entry == nil || mixed[2].Entry == nil || *mixed[0].Entry != *mixed[2].Entry {
		e.t.Errorf("an ID twice in a batch: %+v", mixed)
	}
	if history, err := e.store.IntakeHistory(e.ctx, plain.ID); err != nil || len(history) != 0 {
		e.t.Errorf("history %v, error %v", history, err)
	}
	if none, err := e.store.Enqueue(e.ctx, nil); err != nil || len(none) != 0 {
		e.t.Errorf("nothing is queued: %v, %v", none, err)
	}
	e.gone("nothing")
	claimant := e.claimant()
	e.settleIntake(claimant, e.wantClaim(claimant, time.Hour, "plain x"))
}

// testIntakeRecorded: what is recorded is not queued, but replayed.
func testIntakeRecorded(e *env) {
	a, b := e.account("a", "USD", "unlimited"), e.account("b", "USD", "0")
	done := e.transfer("done", a, b, "5")
	first := e.post(done)
	refused := e.one(e.transfer("refused", b, e.number("none"), "5"))
	for _, want := range []*rbcs.Result{&first, &refused} {
		t := want.Transaction
		r := e.enqueueOne(&t)
		if r.Decided == nil || !r.Decided.Replayed || r.Entry != nil || r.Err != nil {
			e.t.Fatalf("%s: %+v", t.ID, r)
		}
		if d := compareResults(r.Decided, want); d != nil {
			e.t.Errorf("%s: %v", t.ID, d)
		}
		e.gone(strings.TrimPrefix(t.ID, e.name+"/"))
	}
	other := new(*done)
	other.ExecuteAt, other.Description = eventTime, "x"
	results, err := e.store.Enqueue(e.ctx, []*rbcs.Transaction{other, done, e.transfer("new", b, a, "1")})
	e.must(err)
	e.wantConflict(results[0].Err, "/execute_at /description")
	if results[1].Decided == nil || results[2].Entry == nil {
		e.t.Errorf("beside a conflict: %+v", results)
	}

	// What was asked of the queue is in the log.
	scheduled := e.transfer("scheduled", a, b, "1")
	scheduled.ExecuteAt, scheduled.RetryUntil, scheduled.Turn = eventTime, eventTime.Add(time.Hour), rbcs.FromQueue
	r := e.post(scheduled)
	if !r.Transaction.ExecuteAt.Equal(eventTime) || r.Transaction.Turn != rbcs.Direct {
		e.t.Errorf("decided as %+v", r.Transaction)
	}
	if d := compareResults(new(e.recorded(scheduled.ID).Result), &r); d != nil {
		e.t.Errorf("recorded: %v", d)
	}
	plain := new(*scheduled)
	plain.ExecuteAt, plain.RetryUntil = time.Time{}, time.Time{}
	e.wantConflict(e.one(plain).Err, "/execute_at /retry_until")
}

// testIntakeDirect: a client may submit what is queued, but not with other content.
func testIntakeDirect(e *env) {
	a, b := e.account("a", "USD", "unlimited"), e.account("b", "USD", "0")
	queued := e.transfer("q", a, b, "5")
	later := e.transfer("later", a, b, "6")
	later.ExecuteAt = time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)
	e.enqueue(queued, later)
	before := e.get(a)
	for id, c := range map[string]struct {
		t      *rbcs.Transaction
		fields string
	}{
		"amount":   {e.transfer("q", a, b, "5.01"), "/amount"},
		"source":   {e.transfer("q", b, a, "5"), "/source /destination"},
		"type":     {e.hold("q", a, b, "5"), "/type"},
		"schedule": {e.transfer("later", a, b, "6"), "/execute_at"},
	} {
		r := e.one(c.t)
		if r.Err == nil {
			e.t.Fatalf("%s: %s", id, r.Status)
		}
		e.wantConflict(r.Err, c.fields)
		preview, err := e.store.Preview(e.ctx, []*rbcs.Transaction{c.t})
		e.must(err)
		e.wantConflict(preview[0].Err, c.fields)
	}
	if after := e.get(a); compareAccounts(&after, &before) != nil {
		e.t.Errorf("a conflict changed the account: %+v", after)
	}
	same := e.transfer("q", a, b, "5.00")
	same.Currency = "USD"
	first := e.post(same)
	claimant := e.claimant()
	claimed := e.wantClaim(claimant, time.Hour, "q")
	t := claimed.Entries[0].Transaction
	t.Turn = rbcs.Tentative
	r := e.one(&t)
	if !r.Replayed {
		e.t.Errorf("the queue posts it again: %+v", r)
	}
	if d := compareResults(&r, &first); d != nil {
		e.t.Errorf("the queue learns %v", d)
	}
	e.settleIntake(claimant, claimed, e.outcome(&claimed.Entries[0], "", 0))
	e.gone("q")
	if r := e.enqueueOne(queued); r.Decided == nil {
		e.t.Errorf("queued after it was decided: %+v", r)
	}
	if got := e.get(a).Version - before.Version; got != 1 {
		e.t.Errorf("the account has changed %d times", got)
	}
}

// testIntakeGroup: the ID of an entry is no member of a group.
func testIntakeGroup(e *env) {
	a, b := e.account("a", "USD", "unlimited"), e.account("b", "USD", "0")
	e.enqueue(e.transfer("q", a, b, "5"))
	results := e.commit(grouped(e.transfer("1", a, b, "1"), e.transfer("q", a, b, "5"))...)
	e.wantConflict(results[1].Err, "/atomic")
	if results[0].Err == nil || results[0].Err.Code != rbcs.GroupFailed {
		e.t.Errorf("the other member: %+v", results[0])
	}
	claimant := e.claimant()
	e.settleIntake(claimant, e.wantClaim(claimant, time.Hour, "q"))
}
