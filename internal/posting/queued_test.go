package posting

import (
	"testing"

	"rbcs"
)

// TestQueued: what is queued is refused with other content, unless the queue itself submits it.
func TestQueued(t *testing.T) {
	mine := rbcs.Transaction{ID: "x", Type: rbcs.Transfer, Source: "a", Destination: "b", Amount: rbcs.Decimal{Units: rbcs.AmountOf(1)}}
	other := mine
	other.Amount.Units = rbcs.AmountOf(2)
	grouped := mine
	grouped.Group = rbcs.Group{ID: rbcs.GroupID([]*rbcs.Transaction{&mine}), Size: 1}
	late := mine
	late.ID, late.Turn = "given up", rbcs.FromQueue
	fromQueue, tentative := other, mine
	fromQueue.Turn, tentative.Turn = rbcs.FromQueue, rbcs.Tentative
	for name, c := range map[string]struct {
		t    rbcs.Transaction
		want rbcs.Code // of an error
	}{
		"the same": {mine, ""}, "other content": {other, rbcs.IDConflict}, "in a group": {grouped, rbcs.IDConflict},
		"by the queue": {fromQueue, ""}, "tentatively": {tentative, rbcs.AccountNotFound}, "by the queue, too late": {late, rbcs.IDConflict},
	} {
		b := Batch{
			Recorded: map[string]*rbcs.Result{}, Accounts: map[string]*Account{}, Transactions: []*rbcs.Transaction{&c.t},
			Queued: map[string]*rbcs.IntakeEntry{
				"x": {Transaction: mine, State: rbcs.IntakeQueued}, "given up": {Transaction: late, State: rbcs.IntakeDiscarded},
			},
		}
		d := b.Decide()[0]
		var code rbcs.Code
		if d.Err != nil {
			code = d.Err.Code
		}
		if code != c.want || d.New() != (c.want == "") || len(b.Recorded) > 0 != d.New() {
			t.Errorf("%s: %+v, recorded %v", name, d.Result, b.Recorded)
		}
		if d.New() && d.Transaction.Turn != rbcs.Direct {
			t.Errorf("%s: the turn is recorded", name)
		}
	}
}

// TestQueuedCurrency: where only one of two submissions names the currency, the
// direct one is decided as what is queued, with its amount in minor units.
func TestQueuedCurrency(t *testing.T) {
	euro := rbcs.Currency{Code: "EUR", Decimals: 2}
	for name, c := range map[string]struct {
		queued, direct string // currencies
		accounts       bool
		want           string // the recorded one
		status         rbcs.Status
		err            rbcs.Code
	}{
		"named in the queue":                 {"EUR", "", true, "EUR", rbcs.Posted, ""},
		"named directly":                     {"", "EUR", true, "EUR", rbcs.Posted, ""},
		"named in the queue, no account":     {"EUR", "", false, "EUR", rbcs.Rejected, ""},
		"named in the queue, another's":      {"USD", "", true, "USD", rbcs.Rejected, ""},
		"named directly, not the account's":  {"", "USD", true, "", "", rbcs.IDConflict},
		"named directly, there's no account": {"", "USD", false, "USD", rbcs.Rejected, ""},
	} {
		submission := func(currency string) rbcs.Transaction {
			amount := rbcs.Decimal{Units: rbcs.AmountOf(5)}
			if currency != "" { // as Prepare leaves it
				amount = rbcs.Decimal{Units: rbcs.AmountOf(500), Scale: 2}
			}
			return rbcs.Transaction{ID: "x", Type: rbcs.Transfer, Source: "a", Destination: "b", Amount: amount, Currency: currency}
		}
		queued, direct := submission(c.queued), submission(c.direct)
		b := Batch{
			Recorded: map[string]*rbcs.Result{}, Accounts: map[string]*Account{}, Transactions: []*rbcs.Transaction{&direct},
			Queued: map[string]*rbcs.IntakeEntry{"x": {Transaction: queued, State: rbcs.IntakeQueued}},
		}
		if c.accounts {
			for _, number := range []string{"a", "b"} {
				b.Accounts[number] = &Account{Account: rbcs.Account{Number: number, Currency: euro, Status: rbcs.Open, Overdraft: rbcs.Overdraft{Unlimited: true}}}
			}
		}
		d := b.Decide()[0]
		if c.err != "" {
			if d.Err == nil || d.Err.Code != c.err {
				t.Errorf("%s: %+v, error %v", name, d.Result, d.Err)
			}
			continue
		}
		if five := (rbcs.Decimal{Units: rbcs.AmountOf(500), Scale: 2}); d.Err != nil || d.Status != c.status || d.Transaction.Currency != c.want || d.Transaction.Amount != five {
			t.Errorf("%s: %+v, error %v", name, d.Result, d.Err)
		}
		if direct != submission(c.direct) {
			t.Errorf("%s: what was submitted has changed: %+v", name, direct)
		}
		queued.Turn = rbcs.FromQueue
		again := Batch{Recorded: b.Recorded, Transactions: []*rbcs.Transaction{&queued}}
		if d := again.Decide()[0]; !d.Replayed {
			t.Errorf("%s: the queue is told %+v, error %v", name, d.Result, d.Err)
		}
	}
}

// TestQueuedMember: of a group nothing is decided where a member's ID is in the queue.
func TestQueuedMember(t *testing.T) {
	one := rbcs.Decimal{Units: rbcs.AmountOf(1)}
	members := []*rbcs.Transaction{
		{ID: "x", Type: rbcs.Transfer, Source: "a", Destination: "b", Amount: one},
		{ID: "y", Type: rbcs.Transfer, Source: "a", Destination: "b", Amount: one},
		{ID: "z", Type: rbcs.Transfer, Source: "a", Destination: "b", Amount: one},
	}
	for queued := range members {
		entry := *members[queued]
		entry.Group = rbcs.Group{}
		for i, m := range members {
			m.Group = rbcs.Group{ID: rbcs.GroupID(members), Position: i, Size: len(members)}
		}
		a, b := &Account{Account: rbcs.Account{Number: "a", Status: rbcs.Open}}, &Account{Account: rbcs.Account{Number: "b", Status: rbcs.Open}}
		a.Overdraft.Unlimited = true
		batch := Batch{
			Recorded: map[string]*rbcs.Result{}, Accounts: map[string]*Account{"a": a, "b": b}, Transactions: members,
			Queued: map[string]*rbcs.IntakeEntry{entry.ID: {Transaction: entry, State: rbcs.IntakeQueued}},
		}
		for i, d := range batch.Decide() {
			want := rbcs.GroupFailed
			if i == queued {
				want = rbcs.IDConflict
			}
			if d.Err == nil || d.Err.Code != want {
				t.Errorf("member %d while %d is queued: %+v", i, queued, d.Result)
			}
		}
		if a.Changed || b.Changed || len(batch.Recorded) > 0 {
			t.Errorf("while %d is queued something changed: %v", queued, batch.Recorded)
		}
	}
}
