package storetest

import (
	"fmt"
	"slices"

	"rbcs"
)

var groupTests = []test{
	{"all-or-none", testGroups},
	{"originals", testGroupOriginals},
	{"failed-with-originals", testFailedGroupOriginals},
	{"replay", testGroupReplay},
	{"conflict", testGroupConflict},
	{"undecidable", testUndecidableGroups},
	{"broken", testBrokenGroups},
	{"thousand", testLargestGroup},
	{"examples", testGroupExamples},
}

// testGroups has groups and single transactions in one batch: a group takes
// place as a whole or not at all, and the others go on.
func testGroups(e *env) {
	m, a, b := e.pair()
	bank := e.number("bank")
	good := grouped(e.transfer("1", a, b, "60"), e.transfer("2", b, bank, "60"), e.hold("3", a, b, "39")) // later members see earlier ones
	bad := grouped(e.transfer("4", bank, a, "5"), e.transfer("5", a, b, "5.01"), e.transfer("6", bank, b, "1"))
	results := e.wantOutcomes(m, "posted posted posted held group_failed insufficient_funds group_failed posted",
		slices.Concat([]*rbcs.Transaction{e.transfer("0", a, b, "1")}, good, bad, []*rbcs.Transaction{e.transfer("7", bank, b, "2")})...)
	e.wantState(a, "39", "39", 4)
	e.wantState(b, "3", "0", 4)
	for i, r := range results[4:7] {
		t := r.Transaction
		if r.Source != (rbcs.State{}) || r.Destination != (rbcs.State{}) || t.Group != bad[i].Group || t.Currency != "USD" {
			e.t.Errorf("a member of a failed group: %+v", r)
		}
		e.same(e.recorded(t.ID).Result, r)
		e.wantRecord(&t, rbcs.Rejected, nil, "0")
	}
	if s := results[5].Shortfall; s.Available != money("5", "USD") || s.Short != money("0.01", "USD") {
		e.t.Errorf("the member that fails sees what those before it did: %+v", s)
	}
}

// testGroupOriginals: members refer to earlier ones, and to what was recorded before.
func testGroupOriginals(e *env) {
	m, a, b := e.pair()
	h, old := e.hold("h", a, b, "60"), e.hold("old", a, b, "10")
	c := e.settle(rbcs.Capture, "c", h, "50")
	e.wantOutcomes(m, "held", old)
	e.wantOutcomes(m, "held posted posted posted", grouped(h, c, e.settle(rbcs.Reversal, "r", c, "20"), e.settle(rbcs.Release, "ro", old, ""))...)
	e.wantState(a, "70", "0", 6)
	e.wantRecord(h, rbcs.Captured, c, "0")
	e.wantRecord(c, rbcs.Posted, nil, "20")
}

// testFailedGroupOriginals: what a failed group wanted to settle or reverse is
// as it was, and what it wanted to do is not there to refer to.
func testFailedGroupOriginals(e *env) {
	m, a, b := e.pair()
	h1, h2, t := e.hold("h1", a, b, "10"), e.hold("h2", a, b, "10"), e.transfer("t", a, b, "10")
	e.wantOutcomes(m, "held held posted", h1, h2, t)
	before := []rbcs.Account{e.get(a), e.get(b)}
	inner := e.hold("inner", a, b, "1")
	failed := grouped(e.settle(rbcs.Capture, "c", h1, ""), e.settle(rbcs.Release, "r", h2, ""), e.settle(rbcs.Reversal, "v", t, "4"),
		inner, e.transfer("too much", a, b, "1000"), e.settle(rbcs.Capture, "ci", inner, ""))
	results := e.wantOutcomes(m, "group_failed group_failed group_failed group_failed insufficient_funds group_failed", failed...)
	if s := results[0].Transaction; !s.Amount.Units.IsZero() || s.Currency != "" || !s.Timestamp.Equal(results[0].CommittedAt) {
		e.t.Errorf("a settlement that was not decided is recorded as %+v", s)
	}
	e.sameAccount(e.get(a), before[0])
	e.sameAccount(e.get(b), before[1])
	e.wantRecord(h1, rbcs.Holding, nil, "0")
	e.wantRecord(t, rbcs.Posted, nil, "0")
	e.wantOutcomes(m, "hold_not_open posted posted posted", e.settle(rbcs.Capture, "after", inner, ""),
		e.settle(rbcs.Capture, "c1", h1, ""), e.settle(rbcs.Release, "r2", h2, ""), e.settle(rbcs.Reversal, "v1", t, "10"))
}

// testGroupReplay submits groups again: one outcome under all of their IDs.
func testGroupReplay(e *env) {
	m, a, b := e.pair()
	h := e.hold("h", a, b, "10")
	good := grouped(e.transfer("1", a, b, "1.0"), h, e.settle(rbcs.Capture, "c", h, "4"))
	bad := grouped(e.transfer("2", a, b, "1"), e.settle(rbcs.Capture, "c2", h, ""), e.transfer("3", a, b, "1"))
	first := e.wantOutcomes(m, "posted held posted group_failed hold_not_open group_failed", slices.Concat(good, bad)...)
	e.wantOutcomes(m, "posted", e.transfer("later", a, b, "50"))
	again := e.wantOutcomes(m, "posted held posted group_failed hold_not_open group_failed posted held posted", slices.Concat(good, bad, good)...)
	for i, r := range again {
		e.same(r, first[i%6])
		if !r.Replayed {
			e.t.Errorf("%s is no replay", r.Transaction.ID)
		}
	}
	e.wantState(b, "55", "0", 3)
}

// testGroupConflict: other members, another order, or a member by itself is
// another content of each ID that is recorded, and nothing happens.
func testGroupConflict(e *env) {
	m, a, b := e.pair()
	member := func(id string) *rbcs.Transaction { return e.transfer(id, a, b, "1") }
	single := member("single")
	e.wantOutcomes(m, "posted posted posted", append(grouped(member("1"), member("2")), single)...)
	for name, c := range map[string]struct {
		batch []*rbcs.Transaction
		want  string
	}{
		"another order":      {grouped(member("2"), member("1")), "!id_conflict !id_conflict"},
		"fewer":              {grouped(member("1")), "!id_conflict"},
		"more":               {grouped(member("1"), member("2"), member("3")), "!id_conflict !id_conflict !group_failed"},
		"others":             {grouped(member("4"), member("2")), "!group_failed !id_conflict"},
		"alone":              {[]*rbcs.Transaction{member("2")}, "!id_conflict"},
		"a recorded one":     {grouped(new(*single), member("5")), "!id_conflict !group_failed"},
		"earlier in a batch": {append([]*rbcs.Transaction{member("6")}, grouped(member("7"), member("6"))...), "posted !group_failed !id_conflict"},
	} {
		e.t.Logf("%s", name)
		for i, r := range e.wantOutcomes(m, c.want, c.batch...) {
			if r.Err == nil {
				continue
			}
			if r.Err.Code == rbcs.IDConflict {
				e.wantFields(r.Err, "/atomic")
				continue
			}
			_, err := e.store.Transaction(e.ctx, c.batch[i].ID)
			e.wantCode(err, rbcs.NotFound)
		}
	}
	other := grouped(member("1"), e.transfer("2", a, b, "2")) // the same members, another amount
	r := e.wantOutcomes(m, "posted !id_conflict", other...)
	if !r[0].Replayed {
		e.t.Error("the member that is the same is no replay")
	}
	e.wantFields(r[1].Err, "/amount")
	e.wantState(b, "4", "0", 4)
}

// testUndecidableGroups: where a member is malformed or refers to nothing, no
// member is recorded, and all may be submitted again.
func testUndecidableGroups(e *env) {
	m, a, b := e.pair()
	t := e.transfer("t", a, b, "1")
	fine := func(id string) *rbcs.Transaction { return e.transfer(id, a, b, "0.001") }
	before := []rbcs.Account{e.get(a), e.get(b)}
	for i, c := range []struct {
		batch []*rbcs.Transaction
		want  string
	}{
		{grouped(e.transfer("1", a, b, "1"), fine("2")), "!group_failed !invalid_request"},
		{grouped(e.transfer("1", a, b, "1000"), fine("2"), e.transfer("3", a, b, "1")), "!group_failed !invalid_request !group_failed"}, // behind a rejected one
		{grouped(fine("1"), e.transfer("2", a, b, "1000")), "!invalid_request !group_failed"},
		{grouped(e.transfer("1", a, b, "1"), e.settle(rbcs.Reversal, "2", t, "")), "!group_failed !not_found"},
	} {
		for k, r := range e.wantOutcomes(m, c.want, c.batch...) {
			_, err := e.store.Transaction(e.ctx, c.batch[k].ID)
			e.wantCode(err, rbcs.NotFound)
			if r.Sequence != 0 || r.Replayed || r.Status != "" {
				e.t.Errorf("group %d: %+v", i, r)
			}
		}
	}
	e.sameAccount(e.get(a), before[0])
	e.sameAccount(e.get(b), before[1])
	e.wantOutcomes(m, "posted posted posted", append([]*rbcs.Transaction{t}, grouped(e.transfer("1", a, b, "1"), e.transfer("2", a, b, "2"))...)...)
}

// testBrokenGroups: what is not a whole group is never decided in part.
func testBrokenGroups(e *env) {
	_, a, b := e.pair()
	three := func() []*rbcs.Transaction {
		return grouped(e.transfer("1", a, b, "1"), e.transfer("2", a, b, "1"), e.transfer("3", a, b, "1"))
	}
	edited := func(edit func(g *rbcs.Group)) []*rbcs.Transaction {
		txs := three()
		edit(&txs[1].Group)
		return txs
	}
	swapped := three()
	swapped[1], swapped[2] = swapped[2], swapped[1]
	before := []rbcs.Account{e.get(a), e.get(b)}
	for name, batch := range map[string][]*rbcs.Transaction{
		"cut at the end":   three()[:2],
		"cut at the start": three()[1:],
		"out of order":     swapped,
		"another group":    edited(func(g *rbcs.Group) { g.ID = "other" }),
		"another size":     edited(func(g *rbcs.Group) { g.Size = 2 }),
		"an ID twice":      grouped(e.transfer("1", a, b, "1"), e.transfer("1", a, b, "1")),
	} {
		for _, r := range e.commit(batch...) {
			if outcome(&r) != "!invalid_request" {
				e.t.Errorf("%s: %s is %s, want !invalid_request", name, r.Transaction.ID, outcome(&r))
			}
			_, err := e.store.Transaction(e.ctx, r.Transaction.ID)
			e.wantCode(err, rbcs.NotFound)
		}
	}
	e.sameAccount(e.get(a), before[0])
	e.sameAccount(e.get(b), before[1])
	for _, r := range e.commit(append(three()[1:], e.transfer("beside", a, b, "1"))...)[2:] {
		if r.Status != rbcs.Posted {
			e.t.Errorf("beside a broken group: %+v", r)
		}
	}
}

// testLargestGroup commits the largest group there may be, twice, and one that
// fails with its last member.
func testLargestGroup(e *env) {
	m, a, b := e.pair()
	var good, bad []*rbcs.Transaction
	for i := range rbcs.MaxGroup {
		good = append(good, e.transfer(fmt.Sprint("g", i), a, b, "0.01"))
		bad = append(bad, e.transfer(fmt.Sprint("b", i), a, b, "0.01"))
	}
	bad[len(bad)-1].Amount = decimal("1000")
	first := e.judged(m, slices.Concat(grouped(good...), grouped(bad...))...)
	for i, r := range e.judged(m, slices.Concat(bad, good)...) {
		e.same(r, first[(i+rbcs.MaxGroup)%(2*rbcs.MaxGroup)])
	}
	e.wantState(a, "90", "0", rbcs.MaxGroup+1)
	if r := first[len(first)-1]; r.Code != rbcs.InsufficientFunds || first[rbcs.MaxGroup].Code != rbcs.GroupFailed {
		e.t.Errorf("the failed group: %+v", r)
	}
}

// testGroupExamples makes a payment with a fee, and an exchange of currencies.
func testGroupExamples(e *env) {
	bank, a, shop, fees := e.account("bank", "USD", "unlimited"), e.account("a", "USD", "0"), e.account("shop", "USD", "0"), e.account("fees", "USD", "0")
	euroBank, euro := e.account("euro-bank", "EUR", "unlimited"), e.account("euro", "EUR", "0")
	e.post(e.transfer("fund", bank, a, "100"))
	for i, r := range e.commit(slices.Concat(
		grouped(e.transfer("payment", a, shop, "49.25"), e.transfer("fee", a, fees, "0.75")),
		grouped(e.transfer("sell", a, bank, "50"), e.transfer("buy", euroBank, euro, "46.10")),
		grouped(e.transfer("sell again", a, bank, "50"), e.transfer("buy again", euroBank, euro, "46.10")),
	)...) {
		if (r.Status == rbcs.Posted) != (i < 4) {
			e.t.Errorf("%s: %+v", r.Transaction.ID, r)
		}
	}
	e.wantState(a, "0", "0", 4)
	e.wantState(fees, "0.75", "0", 1)
	e.wantState(euro, "46.10", "0", 1)
}
