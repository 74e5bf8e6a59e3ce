package posting_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rbcs"
	"rbcs/internal/posting"
)

// TestInvariants decides random batches of every type over few accounts, loaded
// as a store loads them, while the clock moves back and forth and accounts are
// frozen and their overdrafts cut. What the package promises is worked out from
// the recorded results alone (books), which share no code with the rules.
func TestInvariants(t *testing.T) {
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for range 31 - rapid.IntRange(1, 30).Draw(t, "fewer") {
			w.shake(t)
			w.decide(t, w.draw(t), seen)
		}
	})
	if n := seen["all"]; n > 5000 { // fewer are asked for by a flag
		for _, outcome := range []string{
			"transfer posted", "transfer insufficient_funds", "transfer group_failed", "transfer !group_failed", "transfer !invalid_request", "transfer !id_conflict",
			"hold held", "hold insufficient_funds", "hold account_frozen", "hold group_failed",
			"capture posted", "capture hold_not_found", "capture hold_not_open", "capture amount_exceeds_hold", "capture group_failed", "capture !unavailable",
			"release posted", "release hold_not_open", "expiry posted", "expiry !invalid_request",
			"reversal posted", "reversal amount_exceeds_reversible", "reversal insufficient_funds", "reversal group_failed", "reversal !not_found",
		} {
			if seen[outcome] == 0 {
				t.Errorf("%q never happened among %d decisions: %v", outcome, n, seen)
			}
		}
	}
}

// world is a store in memory.
type world struct {
	accounts  map[string]*posting.Account
	recorded  map[string]*rbcs.Result
	books     *books
	now       time.Time
	submitted [][]*rbcs.Transaction // single transactions and groups, to be submitted again
	ids       map[rbcs.Type][]string
	next      int // number of the next ID
}

var numbers = []string{"n0", "n1", "n2", "n3", "n4"}

func newWorld(t *rapid.T) *world {
	// Small numbers are drawn most often: they stand for what should happen most.
	w := &world{
		accounts: map[string]*posting.Account{}, recorded: map[string]*rbcs.Result{}, books: newBooks(), now: now, ids: map[rbcs.Type][]string{},
	}
	for i, number := range numbers {
		a := account(number, 1000-rapid.Int64Range(0, 1000).Draw(t, "spent"))
		a.Currency = usd
		if i == len(numbers)-1 {
			a.Currency = eur
		}
		w.accounts[number] = a
		w.books.open(a)
	}
	return w
}

// shake changes what happens between batches: the time, and what an operator decides.
func (w *world) shake(t *rapid.T) {
	w.now = w.now.Add(time.Duration(rapid.IntRange(-1, 6).Draw(t, "seconds")) * time.Second)
	for _, number := range numbers {
		a := w.accounts[number]
		a.Changed = false
		if rapid.IntRange(0, 9).Draw(t, "operator") < 8 {
			continue
		}
		a.Status = rapid.SampledFrom([]rbcs.AccountStatus{rbcs.Open, rbcs.Open, rbcs.Open, rbcs.Frozen, rbcs.Closed}).Draw(t, "status")
		a.Overdraft = rbcs.Overdraft{Limit: rbcs.AmountOf(rapid.Int64Range(0, 200).Draw(t, "overdraft"))}
		if rapid.IntRange(0, 9).Draw(t, "unlimited") == 9 {
			a.Overdraft = rbcs.Overdraft{Unlimited: true}
		}
	}
}

// draw draws the transactions of a batch.
func (w *world) draw(t *rapid.T) []*rbcs.Transaction {
	var txs []*rbcs.Transaction
	for range 9 - rapid.IntRange(1, 8).Draw(t, "fewer") {
		var unit []*rbcs.Transaction
		switch kind := rapid.IntRange(0, 9).Draw(t, "unit"); {
		case kind == 9 && len(w.submitted) > 0:
			unit = rapid.SampledFrom(w.submitted).Draw(t, "again")
			if rapid.IntRange(0, 2).Draw(t, "edit") == 0 { // the same IDs with other content
				unit = slices.Clone(unit)
				i := rapid.IntRange(0, len(unit)-1).Draw(t, "which")
				unit[i] = new(*unit[i])
				unit[i].Amount = rbcs.Decimal{Units: rbcs.AmountOf(777), Scale: 2}
			}
		case kind > 6:
			for range rapid.IntRange(1, 4).Draw(t, "members") {
				unit = append(unit, w.transaction(t))
			}
			unit = group(unit...)
			if rapid.IntRange(0, 9).Draw(t, "broken") == 9 {
				unit = unit[1:]
			}
		default:
			unit = append(unit, w.transaction(t))
		}
		if len(unit) > 0 {
			w.submitted = append(w.submitted, unit)
		}
		txs = append(txs, unit...)
	}
	return txs
}

// transaction draws a transaction of any type. What it refers to may be anything
// or nothing; its accounts are named where the original was recorded in time.
func (w *world) transaction(t *rapid.T) *rbcs.Transaction {
	types := []rbcs.Type{rbcs.Transfer, rbcs.Transfer, rbcs.Hold, rbcs.Hold, rbcs.Hold, rbcs.Capture, rbcs.Capture, rbcs.Release, rbcs.Expiry, rbcs.Reversal, rbcs.Reversal}
	tx := &rbcs.Transaction{Type: rapid.SampledFrom(types).Draw(t, "type"), ID: fmt.Sprint("t", w.next)}
	w.next++
	if w.next > 1 && rapid.IntRange(0, 19).Draw(t, "taken") == 19 {
		tx.ID = fmt.Sprint("t", rapid.IntRange(0, w.next-1).Draw(t, "id"))
	}
	tx.Amount = rbcs.Decimal{Units: rbcs.AmountOf(rapid.Int64Range(1, 400).Draw(t, "amount")), Scale: 2}
	if rapid.IntRange(0, 19).Draw(t, "fine") == 19 {
		tx.Amount.Scale = 3
	}
	if !tx.Settles() {
		tx.Timestamp = start
		source := rapid.IntRange(0, 4).Draw(t, "source")
		tx.Source = numbers[source]
		tx.Destination = append(numbers, "absent")[(source+rapid.IntRange(1, 5).Draw(t, "destination"))%6]
		if rapid.IntRange(0, 19).Draw(t, "same") == 19 {
			tx.Destination = tx.Source
		}
		if tx.Type == rbcs.Hold && rapid.Bool().Draw(t, "expires") {
			tx.ExpiresAt = w.now.Add(time.Duration(7-rapid.IntRange(0, 8).Draw(t, "expiry")) * time.Second)
		}
		w.ids[tx.Type] = append(w.ids[tx.Type], tx.ID)
		return tx
	}
	if rapid.Bool().Draw(t, "all") || tx.Type == rbcs.Release || tx.Type == rbcs.Expiry {
		tx.Amount = rbcs.Decimal{}
	}
	candidates := w.fitting(tx.Type)
	tx.Original = fmt.Sprint("t", rapid.IntRange(0, w.next+5).Draw(t, "original"))
	if len(candidates) > 0 && rapid.IntRange(0, 9).Draw(t, "fitting") < 9 {
		tx.Original = rapid.SampledFrom(candidates).Draw(t, "candidate")
	}
	if original := w.recorded[tx.Original]; original != nil && rapid.IntRange(0, 9).Draw(t, "early") < 9 {
		tx.Source, tx.Destination = original.Transaction.Source, original.Transaction.Destination
		if tx.Type == rbcs.Reversal {
			tx.Source, tx.Destination = tx.Destination, tx.Source
		}
	}
	w.ids[tx.Type] = append(w.ids[tx.Type], tx.ID)
	return tx
}

// fitting returns what a transaction of this type is likely to refer to: most
// of it was posted or held, and the latest stand first.
func (w *world) fitting(settles rbcs.Type) []string {
	ids := w.ids[rbcs.Hold]
	if settles == rbcs.Reversal {
		ids = slices.Concat(w.ids[rbcs.Transfer], w.ids[rbcs.Capture])
	}
	ids = slices.Clone(ids)
	slices.Reverse(ids)
	slices.SortStableFunc(ids, func(a, b string) int { return w.rank(a) - w.rank(b) })
	return ids
}

func (w *world) rank(id string) int {
	switch r := w.recorded[id]; {
	case r == nil:
		return 1
	case r.Status == rbcs.Rejected || w.books.settled[id] != "":
		return 2
	}
	return 0
}

// load returns a batch with what a store loads for it, or with all that there is.
func (w *world) load(txs []*rbcs.Transaction, all bool) *posting.Batch {
	b := &posting.Batch{
		Now: w.now, Accounts: map[string]*posting.Account{}, Recorded: map[string]*rbcs.Result{}, References: map[string]posting.Reference{}, Transactions: txs,
	}
	account := func(number string) {
		if a := w.accounts[number]; a != nil && b.Accounts[number] == nil {
			b.Accounts[number] = new(*a)
		}
	}
	result := func(id string) {
		if r := w.recorded[id]; r != nil {
			b.Recorded[id] = r
			b.References[id] = w.books.reference(id)
		}
	}
	for _, tx := range txs {
		account(tx.Source)
		account(tx.Destination)
		result(tx.ID)
		result(tx.Original)
	}
	if all {
		for number := range w.accounts {
			account(number)
		}
		for id := range w.recorded {
			result(id)
		}
	}
	return b
}

// decide decides a batch, enters it into the books and checks everything.
func (w *world) decide(t *rapid.T, txs []*rbcs.Transaction, seen map[string]int) {
	b, other := w.load(txs, false), w.load(txs, true)
	decisions := b.Decide()
	sameAs(t, decisions, other.Decide())
	for i := range decisions {
		d := &decisions[i]
		seen["all"]++
		seen[string(txs[i].Type)+" "+outcome(*d)]++
		w.checkOne(t, txs[i], d)
		if d.New() {
			w.recorded[d.Transaction.ID] = &d.Result
			w.books.enter(t, &d.Result, w.accounts)
		}
	}
	checkGroups(t, txs, decisions)
	for id, r := range b.Recorded {
		if w.recorded[id] != r {
			t.Fatalf("the batch says that %s is recorded: %+v", id, r)
		}
		if got, want := b.References[id], w.books.reference(id); got != want {
			t.Fatalf("what refers to %s is %+v, and the books say %+v", id, got, want)
		}
	}
	for number, a := range b.Accounts {
		w.accounts[number] = a
	}
	w.books.check(t, w.accounts)
}

// sameAs fails where more that is loaded leads to other decisions. What fails
// because accounts are missing may do so only in the first.
func sameAs(t *rapid.T, decisions, others []posting.Decision) {
	unknown := slices.IndexFunc(decisions, func(d posting.Decision) bool { return d.Err != nil && d.Err.Code == rbcs.Unavailable })
	if unknown >= 0 { // what comes behind sees another state, and so does its group
		decisions = decisions[:unknown-decisions[unknown].Transaction.Group.Position]
	}
	for i := range decisions {
		d, o := decisions[i].Result, others[i].Result
		if (d.Err == nil) != (o.Err == nil) || d.Err != nil && d.Err.Error() != o.Err.Error() {
			t.Fatalf("decision %d is %v, and %v with everything loaded", i, d.Err, o.Err)
		}
		d.Err, o.Err = nil, nil
		if d != o {
			t.Fatalf("decision %d is\n%+v, and with everything loaded\n%+v", i, d, o)
		}
	}
}

// checkOne checks one decision against what is recorded before it.
func (w *world) checkOne(t *rapid.T, tx *rbcs.Transaction, d *posting.Decision) {
	before := w.recorded[tx.ID]
	switch {
	case d.Err != nil && d.Err.Code == rbcs.IDConflict:
		if before == nil || len(d.Err.Fields) == 0 {
			t.Fatalf("%s conflicts with %+v in %v", tx.ID, before, d.Err.Fields)
		}
	case d.Err != nil:
		whole := d.Err.Code == rbcs.GroupFailed // else the group is broken
		if before != nil && (tx.Group.ID == "" || whole && before.Transaction.Group == tx.Group) {
			t.Fatalf("%s is recorded and gets %v", tx.ID, d.Err)
		}
	case d.Replayed:
		want := *before
		want.Replayed = true
		if d.Result != want {
			t.Fatalf("%s is recorded as\n%+v\nand replayed as\n%+v", tx.ID, *before, d.Result)
		}
	case before != nil:
		t.Fatalf("%s is decided twice: %+v and %+v", tx.ID, *before, d.Result)
	}
	if d.Err != nil && (d.Status != "" || d.Attempt != 0 || !d.CommittedAt.IsZero()) {
		t.Fatalf("a failure decides something: %+v", d.Result)
	}
}

// checkGroups fails where a group is posted in part.
func checkGroups(t *rapid.T, txs []*rbcs.Transaction, decisions []posting.Decision) {
	for i := 0; i < len(txs); {
		size, err := rbcs.Unit(txs[i:])
		if err != nil {
			if decisions[i].Err == nil || decisions[i].Err.Code != rbcs.InvalidRequest {
				t.Fatalf("%s of a broken group: %+v", txs[i].ID, decisions[i].Result)
			}
			i++
			continue
		}
		posted, rejected, reasons := 0, 0, 0
		for j := range decisions[i : i+size] {
			switch d := &decisions[i+j]; {
			case !d.New():
			case d.Status != rbcs.Rejected:
				posted++
			default:
				rejected++
				if d.Code != rbcs.GroupFailed {
					reasons++
				}
			}
		}
		if posted+rejected > 0 && posted != size && (rejected != size || reasons != 1) {
			t.Fatalf("of %d members %d were posted, and %d rejected for %d reasons", size, posted, rejected, reasons)
		}
		i += size
	}
}
