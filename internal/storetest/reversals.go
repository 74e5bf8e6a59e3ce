package storetest

import (
	"rbcs"
)

var reversalTests = []test{
	{"reversed", testReversed},
	{"in-parts", testReversedInParts},
	{"limits", testReversalLimits},
	{"not-reversible", testNotReversible},
	{"replay", testSettlementReplay},
	{"conflict", testSettlementConflict},
}

// testReversed moves a transfer and a capture back.
func testReversed(e *env) {
	m, a, b := e.pair()
	t, h := e.transfer("t", a, b, "40"), e.hold("h", a, b, "20")
	c := e.settle(rbcs.Capture, "c", h, "15")
	e.wantOutcomes(m, "posted held posted", t, h, c)
	r1, r2 := e.settle(rbcs.Reversal, "r1", t, ""), e.settle(rbcs.Reversal, "r2", c, "15.0")
	r1.Description, r1.Metadata = "wrong order", `{"case":9}`
	results := e.wantOutcomes(m, "posted posted", r1, r2)
	want := *r1
	want.Amount, want.Currency, want.Timestamp = decimal("40.00"), "USD", results[0].CommittedAt
	if d := compareTransactions(&results[0].Transaction, &want); d != nil || want.Source != b {
		e.t.Errorf("recorded: %v", d)
	}
	e.wantState(a, "100", "0", 6)
	e.wantState(b, "0", "0", 4)
	e.wantRecord(t, rbcs.Reversed, nil, "40")
	e.wantRecord(c, rbcs.Reversed, nil, "15")
	e.wantRecord(h, rbcs.Captured, c, "0")
	e.wantRecord(r1, rbcs.Posted, nil, "0")
}

// testReversedInParts reverses until nothing is left, and then some more.
func testReversedInParts(e *env) {
	m, a, b := e.pair()
	t := e.transfer("t", a, b, "10")
	e.wantOutcomes(m, "posted posted", t, e.transfer("more", a, b, "20"))
	back := func(id, amount string) *rbcs.Transaction { return e.settle(rbcs.Reversal, id, t, amount) }
	r := e.wantOutcomes(m, "posted amount_exceeds_reversible posted", back("1", "4"), back("2", "6.01"), back("3", "5.99"))
	want := rbcs.Shortfall{Available: money("6", "USD"), Needed: money("6.01", "USD"), Short: money("0.01", "USD")}
	if r[1].Shortfall != want || r[0].Remainder != money("6", "USD") || r[1].Remainder != money("-0.01", "USD") || r[2].Remainder != money("0.01", "USD") {
		e.t.Errorf("the parts: %+v", r)
	}
	e.wantRecord(t, rbcs.Posted, nil, "9.99")
	r = e.wantOutcomes(m, "posted amount_exceeds_reversible amount_exceeds_reversible", back("4", ""), back("5", ""), back("6", "0.01"))
	if r[0].Transaction.Amount != decimal("0.01") || r[1].Shortfall != (rbcs.Shortfall{}) || !r[1].Transaction.Amount.Units.IsZero() {
		e.t.Errorf("the last cent: %+v", r)
	}
	e.wantRecord(t, rbcs.Reversed, nil, "10")
	e.wantState(a, "80", "0", 6)
	e.wantOutcomes(m, "posted amount_exceeds_reversible posted", back("1", "4.00"), back("5", ""), back("4", "")) // replays move nothing
	e.wantState(a, "80", "0", 6)
}

// testReversalLimits: who gives back keeps its limits, its holds and its freeze.
func testReversalLimits(e *env) {
	m, a, b := e.pair()
	t := e.transfer("t", a, b, "50")
	h := e.hold("h", b, a, "30")
	e.wantOutcomes(m, "posted held", t, h)
	r := e.wantOutcomes(m, "insufficient_funds insufficient_funds posted", e.settle(rbcs.Reversal, "all", t, ""),
		e.settle(rbcs.Reversal, "too much and too poor", t, "51"), e.settle(rbcs.Reversal, "what is there", t, "20"))
	want := rbcs.Shortfall{Available: money("20", "USD"), Needed: money("50", "USD"), Short: money("30", "USD")}
	if r[0].Shortfall != want {
		e.t.Errorf("shortfall %+v, want %+v", r[0].Shortfall, want)
	}
	for _, number := range []string{a, b} {
		for _, status := range []rbcs.AccountStatus{rbcs.Frozen, rbcs.Open} {
			change := rbcs.AccountChange{Status: &status}
			m.update(number, change)
			m.accounts[number].account.UpdatedAt = e.update(number, change).UpdatedAt
			if status == rbcs.Frozen {
				e.wantOutcomes(m, "account_frozen", e.settle(rbcs.Reversal, "frozen "+number, t, "1"))
			}
		}
	}
	e.wantOutcomes(m, "posted posted", e.settle(rbcs.Release, "r", h, ""), e.settle(rbcs.Reversal, "the rest", t, ""))
	e.wantRecord(t, rbcs.Reversed, nil, "50")
}

// testNotReversible reverses what moved nothing, and what moved something back.
func testNotReversible(e *env) {
	m, a, b := e.pair()
	e.wantOutcomes(m, "posted", e.transfer("change", a, b, "5"))
	h, poor, ghost, self := e.hold("h", a, b, "10"), e.transfer("poor", a, b, "1000"), e.transfer("ghost", a, e.number("ghost"), "1"), e.transfer("self", a, a, "1")
	t := e.transfer("t", a, b, "7")
	release, back := e.settle(rbcs.Release, "r", h, ""), e.settle(rbcs.Reversal, "back", t, "3")
	e.wantOutcomes(m, "held insufficient_funds account_not_found same_account posted posted posted", h, poor, ghost, self, t, release, back)
	reverse := func(id string, of *rbcs.Transaction, amount string) *rbcs.Transaction {
		return e.settle(rbcs.Reversal, id, of, amount)
	}
	const exceeds = "amount_exceeds_reversible"
	e.wantOutcomes(m, exceeds+" "+exceeds+" "+exceeds+" "+exceeds+" account_not_found same_account "+exceeds,
		reverse("1", h, ""), reverse("2", h, "1"), reverse("3", poor, ""), reverse("4", release, ""), reverse("5", ghost, ""), reverse("6", self, ""), reverse("7", back, ""))
	results := e.wantOutcomes(m, "!not_found !invalid_request", reverse("8", &rbcs.Transaction{ID: e.name + "/9"}, ""), reverse("10", t, "0.001"))
	e.wantFields(results[1].Err, "/amount")
	for _, r := range results {
		_, err := e.store.Transaction(e.ctx, r.Transaction.ID)
		e.wantCode(err, rbcs.NotFound)
	}
	late := e.transfer("9", a, b, "2")
	e.wantOutcomes(m, "posted posted", late, reverse("8", late, "")) // the ID is still free
	e.wantState(b, "9", "0", 5)
}

// settled returns one transaction of each type that refers to another one, which
// was posted, and one that was refused, with the answers.
func (e *env) settled(m *model, a, b string) (batch []*rbcs.Transaction, answers []rbcs.Result) {
	e.t.Helper()
	h1, h2, h3, h4 := e.hold("h1", a, b, "10"), e.hold("h2", a, b, "10"), e.hold("h3", a, b, "10"), e.hold("h4", a, b, "10")
	h2.ExpiresAt, h3.ExpiresAt, h4.ExpiresAt = machineFuture, eventTime, eventTime
	t := e.transfer("t", a, b, "5")
	batch = []*rbcs.Transaction{
		h1, h2, h3, h4, t, e.settle(rbcs.Capture, "whole", h1, ""), e.settle(rbcs.Capture, "part", h2, "4.0"),
		e.settle(rbcs.Release, "release", h3, ""), e.settle(rbcs.Expiry, "expiry", h4, ""),
		e.settle(rbcs.Reversal, "reversal", t, "2"), e.settle(rbcs.Reversal, "rest", t, ""),
		e.settle(rbcs.Capture, "late", h3, ""), e.settle(rbcs.Release, "too late", h1, ""), e.settle(rbcs.Reversal, "nothing left", t, ""),
		e.settle(rbcs.Capture, "no hold", &rbcs.Transaction{ID: "none"}, "5"), e.settle(rbcs.Capture, "no hold at all", &rbcs.Transaction{ID: "none"}, ""),
	}
	for _, s := range batch[5:] {
		s.Description, s.Metadata = "d", `{"k":1}`
	}
	answers = e.wantOutcomes(m, `held held held held posted posted posted posted posted posted posted
		hold_not_open hold_not_open amount_exceeds_reversible hold_not_found hold_not_found`, batch...)
	return batch, answers
}

// testSettlementReplay submits each type again, also in other words: the answer
// is the recorded one, whatever has become of the accounts and of the original.
func testSettlementReplay(e *env) {
	m, a, b := e.pair()
	batch, answers := e.settled(m, a, b)
	e.post(e.transfer("later", a, b, "1"))
	e.update(a, rbcs.AccountChange{Status: new(rbcs.Frozen)})
	check := func(name string, edit func(t *rbcs.Transaction)) {
		e.t.Helper()
		again := make([]*rbcs.Transaction, len(batch))
		for i, t := range batch {
			again[i] = new(*t)
			edit(again[i])
		}
		for i, r := range e.commit(again...) {
			if d := compareResults(&r, &answers[i]); d != nil || !r.Replayed {
				e.t.Errorf("%s, %s: replayed %v, %v, %v", again[i].ID, name, r.Replayed, d, r.Err)
			}
		}
	}
	check("the same", func(*rbcs.Transaction) {})
	check("another actor", func(t *rbcs.Transaction) { t.Actor = "mallory" })
	check("without accounts", func(t *rbcs.Transaction) {
		if t.Settles() {
			t.Source, t.Destination = "", ""
		}
	})
	check("as it was recorded", func(t *rbcs.Transaction) {
		for i := range answers {
			if r := &answers[i].Transaction; r.ID == t.ID {
				*t = *r
			}
		}
	})
	for i, t := range batch {
		e.same(e.recorded(t.ID).Result, answers[i])
	}
}

// testSettlementConflict submits each type with other content: the fields that
// differ are named.
func testSettlementConflict(e *env) {
	m, a, b := e.pair()
	batch, answers := e.settled(m, a, b)
	for name, c := range map[string]struct {
		change func(t *rbcs.Transaction)
		fields []string
	}{
		"original":    {func(t *rbcs.Transaction) { t.Original = e.name + "/x" }, []string{"/original"}},
		"description": {func(t *rbcs.Transaction) { t.Description = "D" }, []string{"/description"}},
		"metadata":    {func(t *rbcs.Transaction) { t.Metadata = "" }, []string{"/metadata"}},
		"amount":      {func(t *rbcs.Transaction) { t.Amount = decimal("9.99") }, []string{"/amount"}},
		"timestamp":   {func(t *rbcs.Transaction) { t.Timestamp = eventTime }, []string{"/timestamp"}},
		"group":       {func(t *rbcs.Transaction) { grouped(t) }, []string{"/atomic"}},
	} {
		for i, s := range batch[5:] {
			t := new(*s)
			c.change(t)
			r := e.one(t)
			if r.Err == nil || r.Err.Code != rbcs.IDConflict {
				e.t.Errorf("%s of %s: %+v, want a conflict", name, t.ID, r)
				continue
			}
			e.wantFields(r.Err, c.fields...)
			e.wantFields(r.Err, modelConflicts(t, &answers[i+5])...)
		}
	}
	// All that is left is another amount than a part, and the other way round.
	part, noHold := new(*batch[6]), new(*batch[14])
	part.Amount, noHold.Amount = rbcs.Decimal{}, rbcs.Decimal{}
	results := e.wantOutcomes(m, "!id_conflict !id_conflict", part, noHold)
	for _, r := range results {
		e.wantFields(r.Err, "/amount")
	}
	// Another type under the ID: a transfer has accounts of its own, and a time.
	other := e.transfer("whole", a, e.number("bank"), "10")
	e.wantFields(e.judged(m, other)[0].Err, "/type", "/destination", "/timestamp", "/original", "/description", "/metadata")
}
