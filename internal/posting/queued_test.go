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
