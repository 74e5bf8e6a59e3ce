package posting_test

import (
	"testing"
	"time"

	"rbcs"
	"rbcs/internal/posting"
)

func group(txs ...*rbcs.Transaction) []*rbcs.Transaction {
	id := rbcs.GroupID(txs)
	for i, t := range txs {
		t.Group = rbcs.Group{ID: id, Position: i, Size: len(txs)}
	}
	return txs
}

func TestGroups(t *testing.T) {
	good := func(ids ...string) []*rbcs.Transaction {
		txs := make([]*rbcs.Transaction, len(ids))
		for i, id := range ids {
			txs[i] = transfer(t, id, "50")
		}
		return group(txs...)
	}
	tests := []struct {
		name    string
		batches [][]*rbcs.Transaction
		want    []string // of the last batch
		b       int64
	}{
		{"all", [][]*rbcs.Transaction{good("1", "2")}, []string{"posted", "posted"}, 10000},
		{"none", [][]*rbcs.Transaction{good("1", "2", "3")}, []string{"group_failed", "group_failed", "insufficient_funds"}, 0},
		{
			"later members see earlier ones",
			[][]*rbcs.Transaction{group(transfer(t, "1", "100"), transfer(t, "2", "100", between("b", "c")))},
			[]string{"posted", "posted"},
			0,
		},
		{
			"others in the batch go on",
			[][]*rbcs.Transaction{append(good("1", "2", "3"), transfer(t, "4", "1"))},
			[]string{"group_failed", "group_failed", "insufficient_funds", "posted"},
			100,
		},
		{"replay", [][]*rbcs.Transaction{good("1", "2"), good("1", "2")}, []string{"posted", "posted"}, 10000},
		{"replay of a failure", [][]*rbcs.Transaction{good("1", "2", "3"), good("1", "2", "3")}, []string{"group_failed", "group_failed", "insufficient_funds"}, 0},
		{"another order", [][]*rbcs.Transaction{good("1", "2"), good("2", "1")}, []string{"!id_conflict", "!id_conflict"}, 10000},
		{"fewer members", [][]*rbcs.Transaction{good("1", "2"), good("1")}, []string{"!id_conflict"}, 10000},
		{"more members", [][]*rbcs.Transaction{good("1"), good("1", "2")}, []string{"!id_conflict", "!group_failed"}, 5000},
		{"alone", [][]*rbcs.Transaction{good("1", "2"), {transfer(t, "1", "50")}}, []string{"!id_conflict"}, 10000},
		{
			"a malformed member",
			[][]*rbcs.Transaction{group(transfer(t, "1", "50"), transfer(t, "2", "1.234"))},
			[]string{"!group_failed", "!invalid_request"},
			0,
		},
		{
			"a malformed member behind a rejected one",
			[][]*rbcs.Transaction{group(transfer(t, "1", "101"), transfer(t, "2", "1.234"))},
			[]string{"!group_failed", "!invalid_request"},
			0,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			accounts := []*posting.Account{account("a", 10000), account("b", 0), account("c", 0)}
			recorded := map[string]*rbcs.Result{}
			var decisions []posting.Decision
			for _, txs := range tt.batches {
				b := batch(accounts, txs...)
				b.Recorded = recorded
				decisions = b.Decide()
			}
			for i, d := range decisions {
				if got := outcome(d); got != tt.want[i] {
					t.Errorf("%s is %s, want %s", d.Transaction.ID, got, tt.want[i])
				}
				if d.Status == rbcs.Rejected && d.Source != (rbcs.State{}) {
					t.Errorf("%s is rejected and has the state %+v", d.Transaction.ID, d.Source)
				}
			}
			if accounts[1].Balance != rbcs.AmountOf(tt.b) {
				t.Errorf("b has %s, want %d", accounts[1].Balance, tt.b)
			}
			for _, d := range decisions {
				if d.Err != nil && d.Err.Code == rbcs.GroupFailed && recorded[d.Transaction.ID] != nil && len(tt.batches) == 1 {
					t.Errorf("%s was recorded", d.Transaction.ID)
				}
			}
		})
	}
}

// ledger decides one batch after the other over the same accounts, as a store does.
type ledger struct {
	accounts   map[string]*posting.Account
	recorded   map[string]*rbcs.Result
	references map[string]posting.Reference
	now        time.Time
}

func newLedger(accounts ...*posting.Account) *ledger {
	b := batch(accounts)
	return &ledger{b.Accounts, b.Recorded, b.References, now}
}

func (l *ledger) decide(txs ...*rbcs.Transaction) []posting.Decision {
	b := &posting.Batch{Now: l.now, Accounts: l.accounts, Recorded: l.recorded, References: l.references, Transactions: txs}
	return b.Decide()
}

func wantOutcomes(t *testing.T, decisions []posting.Decision, want ...string) {
	t.Helper()
	for i, d := range decisions {
		if got := outcome(d); got != want[i] {
			t.Errorf("%d: %s %s is %s, want %s", i, d.Transaction.Type, d.Transaction.ID, got, want[i])
		}
	}
}

// A failed group gives back what its members changed on accounts that none of
// them names: those that follow from an original.
func TestFailedGroupRestoresAccountsOfOriginals(t *testing.T) {
	a, b := account("a", 10000), account("b", 0)
	l := newLedger(a, b)
	l.decide(hold(t, "h", "60"))
	unnamed := settle(t, rbcs.Capture, "c", "h", "")
	unnamed.Source, unnamed.Destination = "", ""
	wantOutcomes(t, l.decide(group(unnamed, transfer(t, "t", "99999"))...), "group_failed", "insufficient_funds")
	if a.Balance != rbcs.AmountOf(10000) || a.Held != rbcs.AmountOf(6000) || !b.Balance.IsZero() || a.Version != 1 || b.Version != 0 {
		t.Errorf("a %s held %s version %d, b %s version %d", a.Balance, a.Held, a.Version, b.Balance, b.Version)
	}
}

// A hold that a failed group wanted to settle is open, and what it wanted to reverse is reversible.
func TestFailedGroupRestoresReferences(t *testing.T) {
	tooMuch := func() *rbcs.Transaction { return transfer(t, "x", "99999") }
	for _, kind := range []rbcs.Type{rbcs.Capture, rbcs.Release} {
		l := newLedger(account("a", 10000), account("b", 0))
		l.decide(hold(t, "h", "60"))
		txs := append(group(settle(t, kind, "s", "h", ""), tooMuch()), settle(t, rbcs.Capture, "c", "h", "60"))
		wantOutcomes(t, l.decide(txs...), "group_failed", "insufficient_funds", "posted")
		if l.references["h"].SettledBy != "c" {
			t.Errorf("the hold is settled by %q, want c", l.references["h"].SettledBy)
		}
	}
	l := newLedger(account("a", 10000), account("b", 5000))
	l.decide(transfer(t, "t", "10"))
	txs := append(group(settle(t, rbcs.Reversal, "r", "t", "4"), tooMuch()), settle(t, rbcs.Reversal, "r2", "t", "10"))
	wantOutcomes(t, l.decide(txs...), "group_failed", "insufficient_funds", "posted")
}

func TestGroupMembersReferToEarlierOnes(t *testing.T) {
	a, b := account("a", 10000), account("b", 0)
	l := newLedger(a, b)
	wantOutcomes(t, l.decide(group(
		hold(t, "h", "60"), settle(t, rbcs.Capture, "c", "h", "50"), settle(t, rbcs.Reversal, "r", "c", "20"),
	)...), "held", "posted", "posted")
	if a.Balance != rbcs.AmountOf(7000) || !a.Held.IsZero() || b.Balance != rbcs.AmountOf(3000) {
		t.Errorf("a %s held %s, b %s", a.Balance, a.Held, b.Balance)
	}
	// And what a failed group did is not there to refer to, but recorded as failed.
	l = newLedger(account("a", 10000), account("b", 0))
	txs := append(group(hold(t, "h", "60"), transfer(t, "x", "99999")), settle(t, rbcs.Capture, "c", "h", ""))
	wantOutcomes(t, l.decide(txs...), "group_failed", "insufficient_funds", "hold_not_open")
	l = newLedger(account("a", 10000), account("b", 0))
	txs = append(group(hold(t, "h", "60"), transfer(t, "x", "1.234")), settle(t, rbcs.Capture, "c", "h", ""))
	wantOutcomes(t, l.decide(txs...), "!group_failed", "!invalid_request", "hold_not_found")
}

// A group that is not whole is never decided in part, and an ID that stands twice in one moves nothing twice.
func TestBrokenGroupsAreRefused(t *testing.T) {
	three := func() []*rbcs.Transaction {
		return group(transfer(t, "1", "1"), transfer(t, "2", "1"), transfer(t, "3", "1"))
	}
	edited := func(edit func(*rbcs.Group)) []*rbcs.Transaction {
		txs := three()
		edit(&txs[1].Group)
		return txs
	}
	endless := transfer(t, "1", "1")
	endless.Group.ID = "g"
	swapped := three()
	swapped[1], swapped[2] = swapped[2], swapped[1]
	for name, txs := range map[string][]*rbcs.Transaction{
		"one is missing at the end":   three()[:2],
		"one is missing at the start": three()[1:],
		"another order":               swapped,
		"of another group":            edited(func(g *rbcs.Group) { g.ID = "other" }),
		"another size":                edited(func(g *rbcs.Group) { g.Size = 2 }),
		"no size":                     {endless},
		"an ID twice":                 group(transfer(t, "1", "1"), transfer(t, "1", "1")),
	} {
		t.Run(name, func(t *testing.T) {
			a := account("a", 10000)
			l := newLedger(a, account("b", 0))
			for _, d := range l.decide(txs...) {
				if outcome(d) != "!invalid_request" {
					t.Errorf("%s is %s, want invalid_request", d.Transaction.ID, outcome(d))
				}
			}
			if a.Changed || len(l.recorded) > 0 {
				t.Error("it left a trace")
			}
		})
	}
}

// A settlement in a failed group is recorded as it was written: what it would
// have meant was not decided. It has a time like any other.
func TestSettlementsInFailedGroups(t *testing.T) {
	l := newLedger(account("a", 10000), account("b", 0))
	l.decide(hold(t, "h", "60"))
	members := func(amount string) []*rbcs.Transaction {
		return group(settle(t, rbcs.Capture, "c", "h", amount), transfer(t, "x", "99999"))
	}
	d := l.decide(members("5")...)
	if c := d[0]; !c.Transaction.Timestamp.Equal(now) || c.Transaction.Amount.String() != "5" || c.Transaction.Currency != "" ||
		c.SourceAccount == nil || c.DestinationAccount == nil {
		t.Errorf("recorded %+v", c.Result)
	}
	for _, d := range l.decide(members("5.0")...) {
		if !d.Replayed {
			t.Errorf("%s is no replay: %v", d.Transaction.ID, d.Err)
		}
	}
	if d := l.decide(members("")...)[0]; outcome(d) != "!id_conflict" {
		t.Errorf("all of the hold instead of 5.00 is %s, want a conflict", outcome(d))
	}
}
