package storetest

import (
	"fmt"
	"strings"
	"time"

	"rbcs"
)

var holdTests = []test{
	{"held", testHeld},
	{"captured", testCaptured},
	{"capture-refused", testCaptureRefused},
	{"released", testReleased},
	{"status-of-accounts", testSettledOnStoppedAccounts},
	{"due", testDue},
	{"comes-due", testComesDue},
	{"due-holds", testDueHolds},
	{"overdraft-cut", testHoldsAfterOverdraftCut},
	{"overflow", testHoldOverflow},
	{"long-ids", testLongIDs},
}

// wantState checks balance, held and version of an account.
func (e *env) wantState(number, balance, held string, version int64) {
	e.t.Helper()
	a := e.get(number)
	want := rbcs.State{Balance: money(balance, a.Currency.Code), Held: money(held, a.Currency.Code), Version: version}
	if got := (rbcs.State{Balance: a.Balance, Held: a.Held, Version: a.Version}); got != want {
		e.t.Errorf("account %s is at %+v, want %+v", number, got, want)
	}
}

// wantRecord checks how a decision stands now.
func (e *env) wantRecord(t *rbcs.Transaction, current rbcs.Status, closedBy *rbcs.Transaction, takenBack string) {
	e.t.Helper()
	r, by := e.recorded(t.ID), ""
	if closedBy != nil {
		by = closedBy.ID
	}
	if r.Current != current || r.ClosedBy != by || r.TakenBack != money(takenBack, "USD") {
		e.t.Errorf("%s is %s, closed by %q, %v of it taken back; want %s, %q, %s", t.ID, r.Current, r.ClosedBy, r.TakenBack, current, by, takenBack)
	}
}

// wantOutcomes commits a batch and checks the status or code of each, with "!"
// before a code of a failure. The model must agree.
func (e *env) wantOutcomes(m *model, want string, batch ...*rbcs.Transaction) []rbcs.Result {
	e.t.Helper()
	results := e.judged(m, batch...)
	for i, w := range strings.Fields(want) {
		if got := outcome(&results[i]); got != w {
			e.t.Errorf("%s %s is %s, want %s", results[i].Transaction.Type, results[i].Transaction.ID, got, w)
		}
	}
	return results
}

func outcome(r *rbcs.Result) string {
	switch {
	case r.Err != nil:
		return "!" + string(r.Err.Code)
	case r.Status == rbcs.Rejected:
		return string(r.Code)
	}
	return string(r.Status)
}

// pair returns a model of a, which has 100.00, and b, which has nothing.
func (e *env) pair() (m *model, a, b string) {
	e.t.Helper()
	m = e.modelled("USD", map[string]string{"bank": "unlimited", "a": "0", "b": "0"})
	a, b = e.number("a"), e.number("b")
	e.judged(m, e.transfer("fund", e.number("bank"), a, "100"))
	return m, a, b
}

// testHeld reserves: available falls, the balance does not, and nobody can spend it.
func testHeld(e *env) {
	m, a, b := e.pair()
	h := in(e.hold("h", a, b, "60"), "USD")
	h.Description, h.Metadata, h.ExpiresAt = "Grüße", `{"order":"7"}`, machineFuture
	r := e.wantOutcomes(m, "held", h)[0]
	want := rbcs.Result{
		Transaction: *h, Status: rbcs.Holding, Sequence: r.Sequence, CommittedAt: r.CommittedAt, Attempt: 1, Instance: r.Instance,
		Source: rbcs.State{Balance: money("100", "USD"), Held: money("60", "USD"), Version: 2},
	}
	e.same(r, want)
	e.same(e.recorded(h.ID).Result, want)
	e.wantRecord(h, rbcs.Holding, nil, "0")
	e.wantState(a, "100", "60", 2)
	e.wantState(b, "0", "0", 0)
	r = e.wantOutcomes(m, "insufficient_funds insufficient_funds posted", e.transfer("t", a, b, "40.01"), e.hold("h2", a, b, "40.01"), e.transfer("t2", a, b, "40"))[0]
	if s := r.Shortfall; s.Available != money("40", "USD") || s.Short != money("0.01", "USD") {
		e.t.Errorf("what is held is available: %+v", s)
	}
	e.wantState(a, "60", "60", 3)
	entries := e.history(rbcs.HistoryQuery{Account: a, Limit: 10})
	if len(entries) != 3 || !entries[1].Change.IsZero() || entries[1].Held != money("60", "USD") || entries[1].Credit {
		e.t.Errorf("the history has %+v", entries)
	}
	if entries = e.history(rbcs.HistoryQuery{Account: b, Limit: 10}); len(entries) != 1 {
		e.t.Errorf("the hold is in the history of the account that may get it: %+v", entries)
	}
	at, err := e.store.BalanceAt(e.ctx, a, want.CommittedAt)
	if err != nil || at.Held != money("60", "USD") || at.Balance != money("100", "USD") {
		e.t.Errorf("at the hold: %+v, %v", at, err)
	}
}

// testCaptured settles holds wholly and in part: the rest is released in the same commit.
func testCaptured(e *env) {
	m, a, b := e.pair()
	h1, h2, h3 := e.hold("h1", a, b, "30"), e.hold("h2", a, b, "20"), e.hold("h3", a, b, "10")
	c1, c2, c3 := e.settle(rbcs.Capture, "c1", h1, ""), e.settle(rbcs.Capture, "c2", h2, "0.5"), e.settle(rbcs.Capture, "c3", h3, "10")
	c1.Description, c1.Metadata = "the rest", `{"k":1}`
	e.wantOutcomes(m, "held held held", h1, h2, h3)
	results := e.wantOutcomes(m, "posted posted posted", c1, c2, c3)
	want := *c1
	want.Amount, want.Currency, want.Timestamp = decimal("30.00"), "USD", results[0].CommittedAt
	if d := compareTransactions(&results[0].Transaction, &want); d != nil {
		e.t.Errorf("recorded: %v", d)
	}
	for i, remainder := range []string{"0", "19.50", "0"} {
		if got := results[i].Remainder; got != money(remainder, "USD") {
			e.t.Errorf("capture %d leaves %v, want %s", i+1, got, remainder)
		}
	}
	e.wantState(a, "59.50", "0", 7)
	e.wantState(b, "40.50", "0", 3)
	for i, h := range []*rbcs.Transaction{h1, h2, h3} {
		e.wantRecord(h, rbcs.Captured, []*rbcs.Transaction{c1, c2, c3}[i], "0")
	}
	e.wantRecord(c2, rbcs.Posted, nil, "0")
}

// testCaptureRefused has every reason against a capture.
func testCaptureRefused(e *env) {
	m, a, b := e.pair()
	h := e.hold("h", a, b, "60")
	transfer, poor, ghost := e.transfer("t", a, b, "1"), e.hold("poor", a, b, "100"), e.hold("ghost", a, e.number("ghost"), "1")
	self := e.hold("self", a, a, "1")
	nothing := &rbcs.Transaction{ID: e.name + "/nothing"}
	e.wantOutcomes(m, "held posted insufficient_funds account_not_found same_account", h, transfer, poor, ghost, self)
	capture := func(id string, of *rbcs.Transaction, amount string) *rbcs.Transaction {
		return e.settle(rbcs.Capture, id, of, amount)
	}
	r := e.wantOutcomes(m, "hold_not_found hold_not_found hold_not_open hold_not_open same_account amount_exceeds_hold !invalid_request",
		capture("1", nothing, "5"), capture("2", transfer, ""), capture("3", poor, ""), capture("4", ghost, ""), capture("4s", self, ""),
		capture("5", h, "60.01"), capture("6", h, "1.234"))
	want := rbcs.Shortfall{Available: money("60", "USD"), Needed: money("60.01", "USD"), Short: money("0.01", "USD")}
	if r[5].Shortfall != want || r[5].Remainder != money("-0.01", "USD") {
		e.t.Errorf("too much: %+v, remainder %v", r[5].Shortfall, r[5].Remainder)
	}
	e.wantFields(r[6].Err, "/amount")
	_, err := e.store.Transaction(e.ctx, e.name+"/6")
	e.wantCode(err, rbcs.NotFound)
	e.wantState(a, "99", "60", 3)
	e.wantOutcomes(m, "posted", capture("c", h, "10"))
	for i, kind := range []rbcs.Type{rbcs.Capture, rbcs.Release} {
		late := e.wantOutcomes(m, "hold_not_open", e.settle(kind, fmt.Sprint("late", i), h, ""))[0]
		if late.SettledBy != e.name+"/c" {
			e.t.Errorf("the hold is said to be settled by %q", late.SettledBy)
		}
		e.same(e.recorded(late.Transaction.ID).Result, late)
	}
	e.wantState(a, "89", "0", 4)
}

// testReleased gives holds back.
func testReleased(e *env) {
	m, a, b := e.pair()
	h := e.hold("h", a, b, "60")
	release := e.settle(rbcs.Release, "r", h, "")
	r := e.wantOutcomes(m, "held posted hold_not_open hold_not_open", h, release, e.settle(rbcs.Release, "r2", h, ""), e.settle(rbcs.Capture, "c", h, ""))
	if r[1].Transaction.Amount != decimal("60.00") || r[1].Source.Held != (rbcs.Amount{}) || r[1].Destination != (rbcs.State{}) || r[3].SettledBy != release.ID {
		e.t.Errorf("the release: %+v, and the capture behind it: %+v", r[1], r[3])
	}
	e.wantRecord(h, rbcs.Released, release, "0")
	e.wantRecord(release, rbcs.Posted, nil, "0")
	e.wantState(a, "100", "0", 3)
	e.wantState(b, "0", "0", 0)
}

// testSettledOnStoppedAccounts: what moves money respects a freeze and a
// closure, what gives it back does not; and an account with holds is not closed.
func testSettledOnStoppedAccounts(e *env) {
	m, a, b := e.pair()
	h1, h2, h3, due := e.hold("h1", a, b, "10"), e.hold("h2", a, b, "10"), e.hold("h3", a, b, "10"), e.hold("due", a, b, "10")
	due.ExpiresAt = eventTime
	e.wantOutcomes(m, "held held held held", h1, h2, h3, due)
	set := func(number string, status rbcs.AccountStatus) {
		e.t.Helper()
		change := rbcs.AccountChange{Status: &status}
		m.update(number, change)
		m.accounts[number].account.UpdatedAt = e.update(number, change).UpdatedAt
	}
	for _, number := range []string{a, b} {
		set(number, rbcs.Frozen)
		e.wantOutcomes(m, "account_frozen account_frozen", e.settle(rbcs.Capture, "frozen-"+number, h1, ""), e.hold("h-"+number, a, b, "1"))
		set(number, rbcs.Open)
	}
	set(a, rbcs.Frozen)
	e.wantOutcomes(m, "posted posted", e.settle(rbcs.Release, "r1", h1, ""), e.settle(rbcs.Expiry, "x", due, ""))
	set(a, rbcs.Open)
	set(b, rbcs.Closed)
	e.wantOutcomes(m, "account_closed posted", e.settle(rbcs.Capture, "closed", h2, ""), e.settle(rbcs.Release, "r2", h2, ""))
	e.wantOutcomes(m, "account_closed", e.hold("h4", a, b, "1"))
	set(b, rbcs.Open)
	out := e.transfer("out", a, b, "90")
	e.wantOutcomes(m, "posted", out)
	before := e.get(a) // 10 of it, and they are held
	_, err := e.store.UpdateAccount(e.ctx, a, rbcs.AccountChange{Status: new(rbcs.Closed)})
	e.wantCode(err, rbcs.InvalidRequest)
	e.sameAccount(e.get(a), before)
	e.wantOutcomes(m, "posted", e.settle(rbcs.Capture, "c3", h3, ""))
	set(a, rbcs.Closed)
	e.wantOutcomes(m, "account_closed", e.settle(rbcs.Reversal, "back", out, ""))
	set(a, rbcs.Open)
	e.wantOutcomes(m, "posted", e.settle(rbcs.Reversal, "back again", out, ""))

	c := e.account("with-overdraft", "USD", "50") // a balance of zero, but a hold
	debt := e.hold("debt", c, b, "50")
	if r := e.one(debt); r.Status != rbcs.Holding {
		e.t.Errorf("%+v", r)
	}
	_, err = e.store.UpdateAccount(e.ctx, c, rbcs.AccountChange{Status: new(rbcs.Closed)})
	e.wantCode(err, rbcs.InvalidRequest)
	e.post(e.settle(rbcs.Release, "debt-r", debt, ""))
	e.update(c, rbcs.AccountChange{Status: new(rbcs.Closed)})
}

// testDue: a hold whose end has come can only be released, or expire, once.
func testDue(e *env) {
	m, a, b := e.pair()
	h1, h2, later, never := e.hold("h1", a, b, "10"), e.hold("h2", a, b, "10"), e.hold("later", a, b, "10"), e.hold("never", a, b, "10")
	h1.ExpiresAt, h2.ExpiresAt, later.ExpiresAt = eventTime, eventTime, machineFuture
	e.wantOutcomes(m, "held held held held", h1, h2, later, never)
	expiry := e.settle(rbcs.Expiry, "x", h1, "")
	r := e.wantOutcomes(m, "hold_not_open posted posted hold_not_open hold_not_open !invalid_request !invalid_request hold_not_found",
		e.settle(rbcs.Capture, "c1", h1, ""), expiry, e.settle(rbcs.Release, "r2", h2, ""),
		e.settle(rbcs.Expiry, "x2", h2, ""), e.settle(rbcs.Release, "r1", h1, ""),
		e.settle(rbcs.Expiry, "x3", later, ""), e.settle(rbcs.Expiry, "x4", never, ""), e.settle(rbcs.Expiry, "x5", &rbcs.Transaction{ID: "none"}, ""))
	for i, by := range map[int]string{0: "", 3: e.name + "/r2", 4: expiry.ID} {
		if r[i].SettledBy != by {
			e.t.Errorf("%s is told that %q settled the hold, want %q", r[i].Transaction.ID, r[i].SettledBy, by)
		}
	}
	e.wantFields(r[5].Err, "/original")
	e.wantRecord(h1, rbcs.Expired, expiry, "0")
	e.wantRecord(h2, rbcs.Released, e.settle(rbcs.Release, "r2", h2, ""), "0")
	e.wantState(a, "100", "20", 7)
	again := e.wantOutcomes(m, "posted posted", expiry, expiry)
	if !again[0].Replayed || !again[1].Replayed {
		e.t.Error("an expiry under one ID was decided twice")
	}
	e.wantOutcomes(m, "posted posted", e.settle(rbcs.Capture, "c3", later, ""), e.settle(rbcs.Capture, "c4", never, "1"))
}

// isDue reports whether a hold is listed as due.
func (e *env) isDue(t *rbcs.Transaction) bool {
	e.t.Helper()
	due, err := e.store.DueHolds(e.ctx, 1_000_000)
	e.must(err)
	for _, d := range due {
		if d.ID == t.ID {
			return true
		}
	}
	return false
}

// testComesDue waits until a hold is due: what is due is decided on the
// database's clock.
func testComesDue(e *env) {
	m, a, b := e.pair()
	h, taken := e.hold("h", a, b, "10"), e.hold("taken", a, b, "5")
	end := time.Now().UTC().Add(400 * time.Millisecond).Truncate(time.Microsecond)
	h.ExpiresAt, taken.ExpiresAt = end, end
	e.wantOutcomes(m, "held held", h, taken)
	early := e.judged(m, e.settle(rbcs.Expiry, "early", h, ""))[0]
	if early.Err == nil && early.CommittedAt.Before(end) {
		e.t.Errorf("it expired at %v, before its end at %v", early.CommittedAt, end)
	}
	e.judged(m, e.settle(rbcs.Capture, "in time", taken, "")) // the model knows from the record's time whether it was
	deadline := time.Now().Add(logPatience)
	for early.Err != nil && !e.isDue(h) {
		if time.Now().After(deadline) {
			e.t.Fatalf("the hold is never due")
		}
	}
	r := e.wantOutcomes(m, "hold_not_open", e.settle(rbcs.Capture, "late", h, ""))[0]
	if r.CommittedAt.Before(end) {
		e.t.Errorf("refused as due at %v, before its end at %v", r.CommittedAt, end)
	}
	if early.Err != nil {
		e.wantOutcomes(m, "posted", e.settle(rbcs.Expiry, "x", h, ""))
	}
	if e.isDue(h) || e.isDue(taken) {
		e.t.Error("a hold that is settled is listed as due")
	}
}

// testDueHolds lists what is due, the most overdue first.
func testDueHolds(e *env) {
	m, a, b := e.pair()
	var batch, want []*rbcs.Transaction
	for i := range 9 {
		h := e.hold(fmt.Sprint(i), a, b, "1")
		h.Description, h.Metadata, h.ExpiresAt = "d", `{"i":1}`, eventTime.Add(-time.Duration(i*7%9)*time.Hour)
		batch, want = append(batch, in(h, "USD")), append(want, nil)
	}
	for i, h := range batch {
		want[8-i*7%9] = h
	}
	e.judged(m, batch...)
	e.judged(m, e.hold("never", a, b, "1"), e.settle(rbcs.Release, "r", batch[4], ""))
	want = append(want[:8-4*7%9], want[8-4*7%9+1:]...)
	for _, limit := range []int{1, 3, 1_000_000} {
		due, err := e.store.DueHolds(e.ctx, limit)
		e.must(err)
		if len(due) > limit || len(due) < min(limit, len(want)) {
			e.t.Errorf("%d holds are due, with a limit of %d", len(due), limit)
		}
		for i, own := 0, 0; i < len(due); i++ {
			if i > 0 && due[i].ExpiresAt.Before(due[i-1].ExpiresAt) {
				e.t.Errorf("due at %v, listed behind %v", due[i].ExpiresAt, due[i-1].ExpiresAt)
			}
			if strings.HasPrefix(due[i].ID, e.name+"/") {
				if d := compareTransactions(&due[i], want[own]); d != nil {
					e.t.Errorf("due: %v", d)
				}
				own++
			}
		}
	}
}

// testHoldsAfterOverdraftCut: a capture never lowers available, so that it works
// after the overdraft was cut; a new hold does not.
func testHoldsAfterOverdraftCut(e *env) {
	m := e.modelled("USD", map[string]string{"a": "50", "b": "0"})
	a, b := e.number("a"), e.number("b")
	h1, h2 := e.hold("h1", a, b, "30"), e.hold("h2", a, b, "20")
	e.wantOutcomes(m, "held held insufficient_funds", h1, h2, e.hold("h3", a, b, "0.01"))
	change := rbcs.AccountChange{Overdraft: &rbcs.OverdraftChange{Limit: decimal("10")}}
	m.update(a, change)
	m.accounts[a].account.UpdatedAt = e.update(a, change).UpdatedAt
	r := e.wantOutcomes(m, "insufficient_funds posted posted insufficient_funds", e.hold("h4", a, b, "0.01"),
		e.settle(rbcs.Capture, "c1", h1, "29"), e.settle(rbcs.Release, "r2", h2, ""), e.transfer("t", a, b, "1"))
	if s := r[0].Shortfall; s.Available != money("-50", "USD") || s.Short != money("40.01", "USD") {
		e.t.Errorf("shortfall %+v", s)
	}
	e.wantState(a, "-29", "0", 4)
}

// testHoldOverflow takes what is held and what is available past 38 digits.
func testHoldOverflow(e *env) {
	m := e.modelled("JPY", map[string]string{"a": "unlimited", "b": "0", "c": "unlimited"})
	a, b, c := e.number("a"), e.number("b"), e.number("c")
	most := e.hold("most", a, b, largest("JPY"))
	e.wantOutcomes(m, "held overflow overflow", most, e.hold("more", a, b, "1"), e.transfer("available", a, b, "1"))
	e.wantOutcomes(m, "posted overflow posted", e.settle(rbcs.Capture, "c", most, ""), e.hold("again", a, b, "1"), e.transfer("back", b, a, "1"))
	h := e.hold("h", c, b, "7")
	e.wantOutcomes(m, "held overflow posted", h, e.settle(rbcs.Capture, "full", h, ""), e.settle(rbcs.Release, "r", h, "")) // b cannot receive more
}

// testLongIDs: the service's own IDs contain a client's, and may be longer.
func testLongIDs(e *env) {
	m, a, b := e.pair()
	h := e.hold(strings.Repeat("~", rbcs.MaxIDBytes-len(e.name)-1), a, b, "10")
	h.ExpiresAt = eventTime
	expiry := e.settle(rbcs.Expiry, "", h, "")
	expiry.ID = rbcs.ReservedPrefix + "expiry." + h.ID
	e.wantOutcomes(m, "held posted", h, expiry)
	e.wantRecord(h, rbcs.Expired, expiry, "0")
	e.wantOutcomes(m, "posted", expiry)
}
