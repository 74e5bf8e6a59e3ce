package posting_test

import (
	"fmt"
	"testing"
	"time"

	"rbcs"
	"rbcs/internal/posting"
)

func hold(t *testing.T, id, amount string, edit ...func(*rbcs.Transaction)) *rbcs.Transaction {
	t.Helper()
	tx := transfer(t, id, amount, edit...)
	tx.Type = rbcs.Hold
	return tx
}

// settle returns a capture, release, expiry or reversal of the original; amount "" leaves it out.
func settle(t *testing.T, kind rbcs.Type, id, original, amount string) *rbcs.Transaction {
	t.Helper()
	tx := &rbcs.Transaction{ID: id, Type: kind, Original: original, Source: "a", Destination: "b"}
	if kind == rbcs.Reversal {
		tx.Source, tx.Destination = "b", "a"
	}
	if amount != "" {
		d, err := rbcs.ParseDecimal(amount)
		if err != nil {
			t.Fatal(err)
		}
		tx.Amount = d
	}
	return tx
}

func expiring(at time.Time) func(*rbcs.Transaction) {
	return func(t *rbcs.Transaction) { t.ExpiresAt = at }
}

// TestLife decides sequences over a (100.00) and b (0.00) and looks at the outcome of each and at what is left.
func TestLife(t *testing.T) {
	const cap, rel, exp, rev = rbcs.Capture, rbcs.Release, rbcs.Expiry, rbcs.Reversal
	tests := []struct {
		name               string
		txs                []*rbcs.Transaction
		want               []string // status or code of each, "!code" where nothing is recorded
		a, held, b         int64
		versionA, versionB int64
	}{
		{"hold", []*rbcs.Transaction{hold(t, "h", "60")}, []string{"held"}, 10000, 6000, 0, 1, 0},
		{"hold more than there is", []*rbcs.Transaction{hold(t, "h", "100.01")}, []string{"insufficient_funds"}, 10000, 0, 0, 0, 0},
		{
			"held money is not spendable",
			[]*rbcs.Transaction{hold(t, "h", "60"), transfer(t, "t", "40.01"), hold(t, "h2", "40.01"), transfer(t, "t2", "40")},
			[]string{"held", "insufficient_funds", "insufficient_funds", "posted"},
			6000, 6000, 4000, 2, 1,
		},
		{
			"capture all",
			[]*rbcs.Transaction{hold(t, "h", "60"), settle(t, cap, "c", "h", "")},
			[]string{"held", "posted"},
			4000, 0, 6000, 2, 1,
		},
		{
			"capture a part, the rest is released",
			[]*rbcs.Transaction{hold(t, "h", "60"), settle(t, cap, "c", "h", "10")},
			[]string{"held", "posted"},
			9000, 0, 1000, 2, 1,
		},
		{
			"capture too much",
			[]*rbcs.Transaction{hold(t, "h", "60"), settle(t, cap, "c", "h", "60.01")},
			[]string{"held", "amount_exceeds_hold"},
			10000, 6000, 0, 1, 0,
		},
		{
			"capture with too many decimals",
			[]*rbcs.Transaction{hold(t, "h", "60"), settle(t, cap, "c", "h", "1.234")},
			[]string{"held", "!invalid_request"},
			10000, 6000, 0, 1, 0,
		},
		{
			"capture twice",
			[]*rbcs.Transaction{hold(t, "h", "60"), settle(t, cap, "c", "h", "1"), settle(t, cap, "c2", "h", "1")},
			[]string{"held", "posted", "hold_not_open"},
			9900, 0, 100, 2, 1,
		},
		{
			"capture of what is no hold",
			[]*rbcs.Transaction{transfer(t, "t", "1"), settle(t, cap, "c", "t", ""), settle(t, cap, "c2", "none", "")},
			[]string{"posted", "hold_not_found", "hold_not_found"},
			9900, 0, 100, 1, 1,
		},
		{
			"settling a rejected hold",
			[]*rbcs.Transaction{hold(t, "h", "101"), settle(t, cap, "c", "h", ""), settle(t, rel, "r", "h", "")},
			[]string{"insufficient_funds", "hold_not_open", "hold_not_open"},
			10000, 0, 0, 0, 0,
		},
		{
			"release",
			[]*rbcs.Transaction{hold(t, "h", "60"), settle(t, rel, "r", "h", ""), settle(t, rel, "r2", "h", ""), settle(t, cap, "c", "h", "")},
			[]string{"held", "posted", "hold_not_open", "hold_not_open"},
			10000, 0, 0, 2, 0,
		},
		{
			"a due hold can only be released",
			[]*rbcs.Transaction{hold(t, "h", "60", expiring(now)), settle(t, cap, "c", "h", ""), settle(t, exp, "rbcs.e", "h", "")},
			[]string{"held", "hold_not_open", "posted"},
			10000, 0, 0, 2, 0,
		},
		{
			"no expiry before its time",
			[]*rbcs.Transaction{hold(t, "h", "60", expiring(now.Add(time.Microsecond))), settle(t, exp, "rbcs.e", "h", ""), settle(t, cap, "c", "h", "")},
			[]string{"held", "!invalid_request", "posted"},
			4000, 0, 6000, 2, 1,
		},
		{
			"expiry after a capture",
			[]*rbcs.Transaction{hold(t, "h", "60"), settle(t, cap, "c", "h", ""), settle(t, exp, "rbcs.e", "h", "")},
			[]string{"held", "posted", "!invalid_request"},
			4000, 0, 6000, 2, 1,
		},
		{
			"reverse in parts until it is used up",
			[]*rbcs.Transaction{
				transfer(t, "t", "10"), settle(t, rev, "1", "t", "4"), settle(t, rev, "2", "t", "6.01"),
				settle(t, rev, "3", "t", ""), settle(t, rev, "4", "t", ""), settle(t, rev, "5", "t", "0.01"),
			},
			[]string{"posted", "posted", "insufficient_funds", "posted", "amount_exceeds_reversible", "insufficient_funds"},
			10000, 0, 0, 3, 3,
		},
		{
			"reverse more than is left, with funds",
			[]*rbcs.Transaction{transfer(t, "t0", "50"), transfer(t, "t", "10"), settle(t, rev, "1", "t", "4"), settle(t, rev, "2", "t", "6.01")},
			[]string{"posted", "posted", "posted", "amount_exceeds_reversible"},
			4400, 0, 5600, 3, 3,
		},
		{
			"a reversal respects the limits of who gives back",
			[]*rbcs.Transaction{transfer(t, "t", "10"), transfer(t, "away", "5", between("b", "c")), settle(t, rev, "1", "t", "")},
			[]string{"posted", "posted", "insufficient_funds"},
			9000, 0, 500, 1, 2,
		},
		{
			"a capture is reversible, a hold is not",
			[]*rbcs.Transaction{hold(t, "h", "60"), settle(t, rev, "x", "h", "1"), settle(t, cap, "c", "h", "10"), settle(t, rev, "1", "c", "")},
			[]string{"held", "insufficient_funds", "posted", "posted"},
			10000, 0, 0, 3, 2,
		},
		{"reversal of nothing", []*rbcs.Transaction{settle(t, rev, "1", "none", "")}, []string{"!not_found"}, 10000, 0, 0, 0, 0},
		{
			"reversal of a rejected one",
			[]*rbcs.Transaction{transfer(t, "t", "101"), settle(t, rev, "1", "t", "")},
			[]string{"insufficient_funds", "amount_exceeds_reversible"},
			10000, 0, 0, 0, 0,
		},
		{
			"replays move nothing",
			[]*rbcs.Transaction{
				hold(t, "h", "60"), settle(t, cap, "c", "h", "60.00"), settle(t, cap, "c", "h", ""), settle(t, cap, "c", "h", "59"),
				settle(t, rev, "r", "c", ""), settle(t, rev, "r", "c", "60"), settle(t, rev, "r", "h", "60"), hold(t, "h", "60.0"),
			},
			[]string{"held", "posted", "posted", "!id_conflict", "posted", "posted", "!id_conflict", "held"},
			10000, 0, 0, 3, 2,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := account("a", 10000), account("b", 0)
			decisions := batch([]*posting.Account{a, b, account("c", 0)}, tt.txs...).Decide()
			for i, d := range decisions {
				if got := outcome(d); got != tt.want[i] {
					t.Errorf("%d: %s %s is %s, want %s", i, d.Transaction.Type, d.Transaction.ID, got, tt.want[i])
				}
			}
			if a.Balance != rbcs.AmountOf(tt.a) || a.Held != rbcs.AmountOf(tt.held) || b.Balance != rbcs.AmountOf(tt.b) || !b.Held.IsZero() {
				t.Errorf("a %s held %s, b %s; want %d held %d, %d", a.Balance, a.Held, b.Balance, tt.a, tt.held, tt.b)
			}
			if a.Version != tt.versionA || b.Version != tt.versionB {
				t.Errorf("versions %d and %d, want %d and %d", a.Version, b.Version, tt.versionA, tt.versionB)
			}
		})
	}
}

func outcome(d posting.Decision) string {
	switch {
	case d.Err != nil:
		return "!" + string(d.Err.Code)
	case d.Status == rbcs.Rejected:
		return string(d.Code)
	}
	return string(d.Status)
}

func TestSettlementIsRecordedInFull(t *testing.T) {
	accounts := []*posting.Account{account("a", 10000), account("b", 0)}
	d := batch(accounts,
		hold(t, "h", "60"), settle(t, rbcs.Capture, "c", "h", "10"), settle(t, rbcs.Release, "late", "h", ""),
		settle(t, rbcs.Capture, "big", "h", "70"),
	).Decide()
	c := d[1]
	if c.Transaction.Amount.String() != "10.00" || c.Transaction.Currency != "USD" || c.Remainder != rbcs.AmountOf(5000) ||
		!c.Transaction.Timestamp.Equal(now) || c.Source.Held != (rbcs.Amount{}) {
		t.Errorf("capture = %+v", c.Result)
	}
	if d[2].SettledBy != "c" {
		t.Errorf("the release was told that %q settled the hold, want c", d[2].SettledBy)
	}
}

func TestCapturesRespectTheStateOfAccounts(t *testing.T) {
	for name, tt := range map[string]struct {
		status rbcs.AccountStatus
		kind   rbcs.Type
		want   string
	}{
		"capture, frozen": {rbcs.Frozen, rbcs.Capture, "account_frozen"},
		"release, frozen": {rbcs.Frozen, rbcs.Release, "posted"},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := account("a", 10000), account("b", 0)
			first := batch([]*posting.Account{a, b}, hold(t, "h", "60"))
			first.Decide()
			a.Status = tt.status
			second := batch([]*posting.Account{a, b}, settle(t, tt.kind, "s", "h", ""))
			second.Recorded = first.Recorded
			if got := outcome(second.Decide()[0]); got != tt.want {
				t.Errorf("outcome = %s, want %s", got, tt.want)
			}
		})
	}
}

// TestAccountsThatFollowLater: the hold was committed after its capture was sent on its way without accounts.
func TestAccountsThatFollowLater(t *testing.T) {
	first := batch([]*posting.Account{account("a", 10000), account("b", 0)}, hold(t, "h", "60"), transfer(t, "t", "1"))
	first.Decide()
	second := batch(nil, settle(t, rbcs.Capture, "c", "h", ""), settle(t, rbcs.Reversal, "r", "t", ""))
	second.Recorded = first.Recorded
	for _, d := range second.Decide() {
		if got := outcome(d); got != "!unavailable" {
			t.Errorf("%s: outcome = %s, want !unavailable", d.Transaction.ID, got)
		}
	}
}

func TestHoldOverflows(t *testing.T) {
	most := func(a *posting.Account) { a.Overdraft.Unlimited, a.Held = true, rbcs.MaxAmount() }
	low := func(a *posting.Account) { a.Overdraft.Unlimited, a.Balance = true, rbcs.MaxAmount().Neg() }
	for name, edit := range map[string]func(*posting.Account){"held": most, "available": low} {
		t.Run(name, func(t *testing.T) {
			d := batch([]*posting.Account{account("a", 0, edit), account("b", 0)}, hold(t, "h", "1")).Decide()[0]
			if outcome(d) != "overflow" {
				t.Errorf("outcome = %s, want overflow", outcome(d))
			}
		})
	}
}

// TestHeldIsTheSumOfOpenHolds drives many holds and checks that held is their open sum.
func TestHeldIsTheSumOfOpenHolds(t *testing.T) {
	a := account("a", 100000)
	accounts := []*posting.Account{a, account("b", 0)}
	recorded, references, open := map[string]*rbcs.Result{}, map[string]posting.Reference{}, int64(0)
	for i := range 60 {
		h := fmt.Sprint("h", i)
		txs := []*rbcs.Transaction{hold(t, h, "3")}
		switch i % 4 {
		case 0:
			txs = append(txs, settle(t, rbcs.Capture, "c"+h, h, "2"))
		case 1:
			txs = append(txs, settle(t, rbcs.Release, "r"+h, h, ""))
		default:
			open += 300
		}
		b := batch(accounts, txs...)
		b.Recorded, b.References = recorded, references
		b.Decide()
		if a.Held != rbcs.AmountOf(open) {
			t.Fatalf("after %d holds %s is held, want %d", i+1, a.Held, open)
		}
	}
}
